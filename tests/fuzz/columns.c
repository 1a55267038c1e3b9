/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The bytes are lines of a page, six each: place, size, words, and where a gap of theirs is. Whatever their order is made, no word is lost or
 * made up, and each line lies on the page.
 */
#include "tests/fuzz/fuzz.h"

#include "base/mem.h"
#include "ingest/columns.h"

#include <stdlib.h>
#include <string.h>

enum { LINE = 6, MAX_LINES = 900 };
static const float unit = 2.5f; /* points: a byte reaches over a page */

static uint64_t sum_of_words(const struct ingest_lines *lines)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < lines->n; i++)
        for (const char *c = lines->lines[i].text; *c; c++)
            sum += *c == ' ' ? 0 : (uint64_t)*c * 2654435761u;
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ingest_lines lines = {0};
    size_t n = size / LINE < MAX_LINES ? size / LINE : MAX_LINES;
    struct column_gap *gaps = base_alloc_array(n + 1, sizeof *gaps);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *line = data + LINE * i;
        char words[] = "aaa bbb ccc";
        float x0 = unit * line[0], y0 = unit * line[1], width = unit * line[2];
        for (char *c = words; *c; c++)
            *c = *c == ' ' ? ' ' : (char)('a' + line[4] % 20);
        ingest_lines_add(&lines, words, strlen(words), (struct pr_box){x0, y0, x0 + width, y0 + 1 + line[3] % 32});
        if (line[5] & 1) /* behind the first word or the second, somewhere in the line */
            gaps[i] = (struct column_gap){line[5] & 2 ? 3 : 7, x0 + width / 4, x0 + width / 4 + width * line[5] / 512};
    }
    uint64_t sum = sum_of_words(&lines);
    ingest_columns_sort(&lines, gaps, size % 2);
    if (lines.n < n || lines.n > 2 * n || sum_of_words(&lines) != sum)
        abort();
    for (size_t i = 0; i < lines.n; i++) {
        struct pr_box box = lines.lines[i].box;
        if (!(box.x0 >= 0 && box.x1 <= 2 * 255 * unit && box.y0 >= 0 && box.y1 > box.y0) || !lines.lines[i].text[0])
            abort();
    }
    ingest_lines_finish(&lines);
    base_free(gaps);
    return 0;
}
