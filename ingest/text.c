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
    int32_t page, first, last;
    char line[LINE_BYTES], *rest; /* what was read; what of it is still to be taken */
    struct ingest_lines lines;
};

static int text_open(void *priv, const char *path, const struct ingest_options *options, struct pr_source_info *info)
{
    struct text *text = priv;
    info->format = "text";
    text->first = options->first_page;
    text->last = options->last_page < 0 ? INT32_MAX : options->last_page;
    text->path = base_strdup(path);
    text->file = fopen(path, "rb");
    if (!text->file)
        return base_fail(PR_ERR_IO, "%s: can't be opened: %s", path, strerror(errno));
    return PR_OK;
}

/* The next piece of a line, up to a line break or form feed. False at the end of the file. */
static bool read_piece(struct text *text, size_t *len, bool *page_ends)
{
    if (!text->rest || !*text->rest) {
        text->rest = text->line;
        if (!fgets(text->line, sizeof text->line, text->file)) {
            text->rest = NULL;
            return false;
        }
    }
    *len = strcspn(text->rest, "\n\f");
    *page_ends = text->rest[*len] == '\f';
    return true;
}

/* Reads the lines of a page that has some; false at the end of the file. */
static bool read_page(struct text *text)
{
    bool page_ends = false;
    size_t len;
    ingest_lines_reset(&text->lines);
    while (text->lines.n < PAGE_LINES && !(page_ends && text->lines.n > 0) && read_piece(text, &len, &page_ends)) {
        size_t used = len + (text->rest[len] != '\0');
        while (len > 0 && strchr(" \t\r", text->rest[len - 1]))
            len--;
        if (len > 0)
            ingest_lines_add(&text->lines, text->rest, len, (struct pr_box){0});
        text->rest += used;
    }
    return text->lines.n > 0;
}

static int text_next(void *priv, struct pr_unit *unit)
{
    struct text *text = priv;
    bool any;
    do {
        ingest_report(text->page);
        any = text->page <= text->last && read_page(text);
        if (ferror(text->file))
            return base_fail(PR_ERR_IO, "%s: reading failed", text->path);
    } while (any && text->page++ < text->first);
    if (!any)
        return PR_EOF;
    unit->kind = PR_UNIT_PAGE;
    unit->span.page = text->page - 1;
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
    .open = text_open,
    .next = text_next,
    .close = text_close,
};
