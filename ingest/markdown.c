/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Markdown with local pictures: text and pictures in the author's order. Each heading of the first two levels begins a page, and
 * each picture stands on a page of its own, between the text before and behind it.
 *
 * Pictures are taken from below the document's folder only: links to the network or to other places are named, not followed.
 */
#include "ingest/markdown.h"
#include "base/mem.h"
#include "ingest/plain.h"
#include "ingest/reader.h"
#include "ingest/still.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_BYTES = 64 << 20, MAX_LINES = 200 /* of a page */ };

/* ---- the reader ------------------------------------------------------------------------------------------------- */

struct markdown {
    char *path, *folder; /* folder: resolved, with a slash at its end */
    char *text;
    size_t len, at;
    int32_t page, first, last;
    int64_t max_pixels;
    struct ingest_lines lines;
    struct ingest_still *still;
    bool fenced; /* inside ``` code, where nothing is markup */
};

static int read_all(struct markdown *markdown)
{
    FILE *file = fopen(markdown->path, "rb");
    if (!file)
        return base_fail(PR_ERR_IO, "%s: can't be opened: %s", markdown->path, strerror(errno));
    struct base_buf text = {0};
    char block[1 << 16];
    size_t n;
    while ((n = fread(block, 1, sizeof block, file)) > 0 && text.len <= MAX_BYTES)
        base_buf_append(&text, block, n);
    bool failed = ferror(file);
    fclose(file);
    struct base_buf words = {0};
    size_t skip;
    enum plain_encoding encoding = ingest_plain_detect(text.data, text.len, &skip);
    ingest_plain_append(&words, encoding, text.data + skip, text.len - skip, true);
    base_buf_finish(&text);
    markdown->text = words.data;
    markdown->len = words.len;
    if (failed)
        return base_fail(PR_ERR_IO, "%s: reading failed", markdown->path);
    if (words.len > MAX_BYTES)
        return base_fail(PR_ERR_UNSUPPORTED, "%s: is larger than %d MiB", markdown->path, MAX_BYTES >> 20);
    return PR_OK;
}

static int markdown_open(void *priv, const char *path, const struct ingest_options *options,
                         struct pr_source_info *info)
{
    struct markdown *markdown = priv;
    char resolved[PATH_MAX];
    markdown->path = base_strdup(path);
    markdown->first = options->first_page;
    markdown->last = options->last_page < 0 ? INT32_MAX : options->last_page;
    markdown->max_pixels = options->max_pixels;
    markdown->still = ingest_still_create();
    info->format = "Markdown";
    if (realpath(path, resolved)) {
        *(strrchr(resolved, '/') + 1) = '\0';
        markdown->folder = base_strdup(resolved);
    }
    return read_all(markdown);
}

/* The picture's file, if it lies below the document's folder. The caller frees it; NULL: not there, or elsewhere. */
static char *picture_file(const struct markdown *markdown, const struct markdown_picture *picture)
{
    struct base_buf name = {0};
    char resolved[PATH_MAX];
    if (!markdown->folder || picture->path[0] == '/' || memmem(picture->path, picture->path_len, "://", 3))
        return NULL;
    base_buf_puts(&name, markdown->folder);
    base_buf_append(&name, picture->path, picture->path_len);
    bool found = strlen(name.data) == name.len && realpath(name.data, resolved) != NULL;
    base_buf_finish(&name);
    return found && strncmp(resolved, markdown->folder, strlen(markdown->folder)) == 0 ? base_strdup(resolved) : NULL;
}

/* A page of its own for a picture: its alternative text as the line below it. */
static void read_picture(struct markdown *markdown, const struct markdown_picture *picture, struct pr_unit *unit)
{
    char *file = picture_file(markdown, picture);
    unit->visual_only = true;
    if (!file || ingest_still_decode_file(markdown->still, file, markdown->max_pixels, unit) < 0) {
        unit->partial = true;
        unit->visual_only = false;
    }
    base_free(file);
    if (picture->alt_len > 0)
        ingest_lines_add(&markdown->lines, picture->alt, picture->alt_len, (struct pr_box){0});
    else if (unit->partial)
        ingest_lines_add(&markdown->lines, picture->path, picture->path_len, (struct pr_box){0});
}

/* Reads lines up to the next heading of a page or the next picture. False at the end of the document. */
static bool read_page(struct markdown *markdown, struct pr_unit *unit)
{
    ingest_lines_reset(&markdown->lines);
    while (markdown->at < markdown->len) {
        const char *line = markdown->text + markdown->at;
        size_t left = markdown->len - markdown->at;
        const char *end = memchr(line, '\n', left);
        size_t len = end ? (size_t)(end - line) : left, whole = len + (end != NULL);
        struct markdown_picture picture;
        if (len >= 3 && (memcmp(line, "```", 3) == 0 || memcmp(line, "~~~", 3) == 0))
            markdown->fenced = !markdown->fenced;
        if (!markdown->fenced && ingest_markdown_picture(line, len, &picture)) {
            if (picture.begin > 0 && strspn(line, " \t") < picture.begin)
                ingest_lines_add(&markdown->lines, line, picture.begin, (struct pr_box){0});
            if (markdown->lines.n > 0) { /* the text before it is a page first; the rest of the line stays */
                markdown->at += picture.begin;
                return true;
            }
            markdown->at += picture.end;
            read_picture(markdown, &picture, unit);
            return true;
        }
        int level = markdown->fenced ? 0 : ingest_markdown_heading(line, len);
        if (markdown->lines.n > 0 && (level == 1 || level == 2 || markdown->lines.n == MAX_LINES))
            return true;
        markdown->at += whole;
        while (len > 0 && strchr(" \t\r", line[len - 1]))
            len--;
        if (len > 0)
            ingest_lines_add(&markdown->lines, line, len, (struct pr_box){0});
    }
    return markdown->lines.n > 0;
}

static int markdown_next(void *priv, struct pr_unit *unit)
{
    struct markdown *markdown = priv;
    for (;;) {
        struct pr_unit page = *unit;
        ingest_report(markdown->page);
        if (markdown->page > markdown->last || !read_page(markdown, &page))
            return PR_EOF;
        if (markdown->page++ < markdown->first)
            continue;
        page.kind = PR_UNIT_PAGE;
        page.span.page = markdown->page - 1;
        page.lines = markdown->lines.lines;
        page.n_lines = markdown->lines.n;
        *unit = page;
        return PR_OK;
    }
}

static void markdown_close(void *priv)
{
    struct markdown *markdown = priv;
    ingest_lines_finish(&markdown->lines);
    ingest_still_destroy(markdown->still);
    base_free(markdown->text);
    base_free(markdown->folder);
    base_free(markdown->path);
}

const struct ingest_reader ingest_markdown = {
    .kind = "Markdown",
    .priv_size = sizeof(struct markdown),
    .open = markdown_open,
    .next = markdown_next,
    .close = markdown_close,
};
