/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Plain text in UTF-8, as pages of up to PAGE_LINES lines; a form feed begins a page, as it does in printed text.
 * A text has no boxes: its spans name the page only.
 */
#include "base/mem.h"
#include "ingest/reader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PAGE_LINES = 60, LINE_BYTES = 4096 };

struct text {
    FILE *file;
    char *path;
    int32_t page;
    struct ingest_lines lines;
};

/* Text: no byte below space but white space and escape, for which old manuals are known. */
static bool text_probe(const unsigned char *head, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (head[i] < 0x20 && !memchr("\t\n\v\f\r\x1b", head[i], 6))
            return false;
    return true;
}

static int text_open(void *priv, const char *path, struct ingest_info *info)
{
    struct text *text = priv;
    (void)info;
    text->path = base_strdup(path);
    text->file = fopen(path, "rb");
    if (!text->file)
        return base_fail(PR_ERR_IO, "%s: can't be opened: %s", path, strerror(errno));
    return PR_OK;
}

/* Replaces what isn't UTF-8, and control characters, by '?' and a blank, so that every line is clean. */
static void clean(char *line)
{
    for (unsigned char *c = (unsigned char *)line; *c;) {
        int more = *c >= 0xf0 && *c <= 0xf4 ? 3 : *c >= 0xe0 ? 2 : *c >= 0xc2 ? 1 : 0;
        bool good = *c < 0x80 || (more > 0 && *c <= 0xf4);
        for (int i = 1; good && i <= more; i++)
            good = (c[i] & 0xc0) == 0x80;
        if (good && *c == 0xe0)
            good = c[1] >= 0xa0;
        if (good && *c == 0xed)
            good = c[1] < 0xa0;
        if (good && *c == 0xf0)
            good = c[1] >= 0x90;
        if (good && *c == 0xf4)
            good = c[1] < 0x90;
        if (!good)
            *c = '?';
        else if (*c < 0x20 || *c == 0x7f)
            *c = ' ';
        c += good ? more + 1 : 1;
    }
}

static int text_next(void *priv, struct ingest_unit *unit)
{
    struct text *text = priv;
    char line[LINE_BYTES];
    bool any = false;
    ingest_lines_reset(&text->lines);
    while (text->lines.n < PAGE_LINES && fgets(line, sizeof line, text->file)) {
        any = true;
        bool page_ends = strchr(line, '\f') != NULL;
        line[strcspn(line, "\n")] = '\0';
        clean(line);
        size_t len = strlen(line);
        while (len > 0 && line[len - 1] == ' ')
            len--;
        if (len > 0)
            ingest_lines_add(&text->lines, line, len, (struct base_box){0});
        if (page_ends && text->lines.n > 0)
            break;
    }
    if (ferror(text->file))
        return base_fail(PR_ERR_IO, "%s: reading failed", text->path);
    if (!any)
        return PR_EOF;
    unit->span.page = text->page++;
    unit->lines = text->lines.lines;
    unit->n_lines = text->lines.n;
    return PR_OK;
}

static void text_close(void *priv)
{
    struct text *text = priv;
    ingest_lines_finish(&text->lines);
    if (text->file)
        fclose(text->file);
    base_free(text->path);
}

const struct ingest_reader ingest_text = {
    .kind = "text",
    .priv_size = sizeof(struct text),
    .probe = text_probe,
    .open = text_open,
    .next = text_next,
    .close = text_close,
};
