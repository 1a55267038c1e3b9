/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Plain text, as pages of up to PAGE_LINES lines; a form feed begins a page, as it does in printed text.
 * A text has no boxes: its spans name the page only.
 */
#include "base/mem.h"
#include "ingest/plain.h"
#include "ingest/reader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PAGE_LINES = 60, LINE_BYTES = 4096 /* a longer line is given in pieces */, HEAD_BYTES = 1 << 16 };

struct text {
    FILE *file;
    char *path;
    int32_t page, first, last;
    enum plain_encoding encoding;
    unsigned char raw[LINE_BYTES]; /* as it stands in the file */
    size_t n_raw;
    struct base_buf words; /* as UTF-8 */
    size_t taken;          /* bytes of it */
    bool at_end;
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
    unsigned char *head = base_alloc(HEAD_BYTES);
    size_t skip, len = fread(head, 1, HEAD_BYTES, text->file);
    text->encoding = ingest_plain_detect(head, len, &skip);
    base_free(head);
    if (fseek(text->file, (long)skip, SEEK_SET) != 0)
        return base_fail(PR_ERR_IO, "%s: reading failed", path);
    return PR_OK;
}

/* Reads on until there is a whole line, or as much as is given of a long one. */
static void fill(struct text *text)
{
    size_t left = text->words.len - text->taken;
    if (left > 0)
        memmove(text->words.data, text->words.data + text->taken, left);
    text->words.len = left;
    text->taken = 0;
    while (!text->at_end && text->words.len < LINE_BYTES) {
        size_t n = fread(text->raw + text->n_raw, 1, sizeof text->raw - text->n_raw, text->file);
        text->at_end = n == 0;
        text->n_raw += n;
        size_t used = ingest_plain_append(&text->words, text->encoding, text->raw, text->n_raw, text->at_end);
        text->n_raw -= used;
        memmove(text->raw, text->raw + used, text->n_raw);
    }
}

/* How many bytes of a line without end are given as one piece: up to its last blank, or else a whole character. */
static size_t piece_length(const char *words)
{
    const char *blank = memrchr(words, ' ', LINE_BYTES);
    size_t len = blank ? (size_t)(blank + 1 - words) : LINE_BYTES;
    while (!blank && len > LINE_BYTES - 4 && (words[len] & 0xc0) == 0x80)
        len--;
    return len;
}

/* The next piece of a line, up to a line break or form feed, which is what ends it. False at the end of the file. */
static bool read_piece(struct text *text, const char **words, size_t *len, bool *page_ends)
{
    if (text->words.len - text->taken < LINE_BYTES)
        fill(text);
    size_t left = text->words.len - text->taken, most = left < LINE_BYTES ? left : LINE_BYTES;
    if (left == 0)
        return false;
    *words = text->words.data + text->taken;
    for (*len = 0; *len < most && (*words)[*len] != '\n' && (*words)[*len] != '\f';)
        ++*len;
    if (*len == LINE_BYTES)
        *len = piece_length(*words);
    bool ends = *len < left && ((*words)[*len] == '\n' || (*words)[*len] == '\f');
    *page_ends = ends && (*words)[*len] == '\f';
    text->taken += *len + ends;
    return true;
}

/* Reads the lines of a page that has some; false at the end of the file. */
static bool read_page(struct text *text)
{
    bool page_ends = false;
    const char *words;
    size_t len;
    ingest_lines_reset(&text->lines);
    while (text->lines.n < PAGE_LINES && !(page_ends && text->lines.n > 0) &&
           read_piece(text, &words, &len, &page_ends)) {
        while (len > 0 && strchr(" \t\r", words[len - 1]))
            len--;
        if (len > 0)
            ingest_lines_add(&text->lines, words, len, (struct pr_box){0});
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
    base_buf_finish(&text->words);
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
