/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ingest/kinds.h"
#include "ingest/plain.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

static bool is_folder(const unsigned char *head, size_t len, const char *path)
{
    struct stat st;
    (void)head;
    return len == 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_archive(const unsigned char *head, size_t len, const char *path)
{
    (void)path;
    return (len >= 4 && memcmp(head, "PK\3\4", 4) == 0) || (len >= 6 && memcmp(head, "7z\xbc\xaf\x27\x1c", 6) == 0) ||
           (len >= 6 && memcmp(head, "Rar!\x1a\x07", 6) == 0) || (len >= 262 && memcmp(head + 257, "ustar", 5) == 0);
}

/* Some writers put bytes before the header; readers accept it within the first kilobyte. */
static bool is_pdf(const unsigned char *head, size_t len, const char *path)
{
    (void)path;
    return memmem(head, len < 1024 ? len : 1024, "%PDF-", 5) != NULL;
}

/* Text: no byte below space but white space and escape, for which old manuals are known; or UTF-16. */
static bool is_text(const unsigned char *head, size_t len, const char *path)
{
    (void)path;
    if (ingest_plain_is_utf16(head, len))
        return true;
    for (size_t i = 0; i < len; i++)
        if (head[i] < 0x20 && !memchr("\t\n\v\f\r\x1b", head[i], 6))
            return false;
    return len > 0;
}

/* By its bytes it is plain text: here the name decides. */
static bool is_markdown(const unsigned char *head, size_t len, const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot && (strcasecmp(dot, ".md") == 0 || strcasecmp(dot, ".markdown") == 0) && is_text(head, len, path);
}

/* What is none of the others; its reader looks closer. */
static bool is_rest(const unsigned char *head, size_t len, const char *path)
{
    (void)head;
    (void)len;
    (void)path;
    return true;
}

/* Text comes before video: what consists of printable characters is no film, and a playlist that poses as one is read as the
 * text that it is. */
const struct ingest_kind ingest_kinds[INGEST_KINDS] = {
    {"folder of pictures", "pagereel-ingest-media", is_folder},
    {"archive of pictures", "pagereel-ingest-media", is_archive},
    {"PDF", "pagereel-ingest-pdf", is_pdf},
    {"Markdown", "pagereel-ingest-media", is_markdown},
    {"text", "pagereel-ingest", is_text},
    {"video, sound and pictures", "pagereel-ingest-media", is_rest},
};
