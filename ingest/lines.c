/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/mem.h"
#include "ingest/reader.h"

#include <string.h>

/* Bytes of the well-formed UTF-8 character at c (Unicode 15, table 3-7), 0 if there is none. */
static size_t character_size(const unsigned char *c, size_t len)
{
    if (c[0] < 0x80)
        return 1;
    size_t size = c[0] >= 0xc2 && c[0] <= 0xdf   ? 2
                  : c[0] >= 0xe0 && c[0] <= 0xef ? 3
                  : c[0] >= 0xf0 && c[0] <= 0xf4 ? 4
                                                 : 0;
    if (size == 0 || size > len)
        return 0;
    unsigned char low = c[0] == 0xe0 ? 0xa0 : c[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = c[0] == 0xed ? 0x9f : c[0] == 0xf4 ? 0x8f : 0xbf;
    if (c[1] < low || c[1] > high)
        return 0;
    for (size_t i = 2; i < size; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

/* Three bytes for each broken one at the most: what fits `3 * len` fits always. */
static size_t clean(const char *text, size_t len, char *out)
{
    const unsigned char *c = (const unsigned char *)text;
    size_t n = 0;
    for (size_t i = 0; i < len;) {
        size_t size = character_size(c + i, len - i);
        bool control = size == 1 && (c[i] < 0x20 || c[i] == 0x7f);
        if (control)
            out[n++] = ' ';
        else if (size == 0)
            n += (size_t)(stpcpy(out + n, "\xef\xbf\xbd") - (out + n));
        else {
            memcpy(out + n, c + i, size);
            n += size;
        }
        i += size ? size : 1;
    }
    return n;
}

void ingest_lines_add(struct ingest_lines *lines, const char *text, size_t len, struct pr_box box)
{
    if (lines->n == lines->cap) {
        lines->cap = lines->cap ? 2 * lines->cap : 64;
        lines->lines = base_realloc(lines->lines, lines->cap * sizeof *lines->lines);
    }
    char *copy = base_alloc(3 * len + 1);
    size_t n = clean(text, len, copy);
    lines->lines[lines->n++] = (struct pr_line){base_realloc(copy, n + 1), box};
}

void ingest_lines_reset(struct ingest_lines *lines)
{
    for (size_t i = 0; i < lines->n; i++)
        base_free((void *)lines->lines[i].text);
    lines->n = 0;
}

void ingest_lines_finish(struct ingest_lines *lines)
{
    ingest_lines_reset(lines);
    base_free(lines->lines);
    *lines = (struct ingest_lines){0};
}
