/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The bytes are figures and lines of a page. Each caption that is found is made of lines that are there, begins as captions do, and belongs to
 * one figure.
 */
#include "tests/fuzz/fuzz.h"

#include "base/mem.h"
#include "ingest/captions.h"

#include <stdlib.h>
#include <string.h>

enum { BOX = 4, MAX_FIGURES = 64, MAX_LINES = 400 };

static struct pr_box read_box(const uint8_t *data)
{
    float x0 = 2.5f * data[0], y0 = 3.5f * data[1];
    return (struct pr_box){x0, y0, x0 + 2.5f * data[2], y0 + data[3]};
}

/* Lines are a box and words up to a zero byte or the end; byte 1 stands for "Figure 1: ", which libFuzzer would hardly find. */
static struct pr_line read_line(const uint8_t **at, const uint8_t *end)
{
    struct base_buf text = {0};
    struct pr_box box = read_box(*at);
    const uint8_t *c = *at + BOX;
    for (; c < end && *c; c++) {
        char word = (char)*c;
        base_buf_append(&text, *c == 1 ? "Figure 1: " : &word, *c == 1 ? 10 : 1);
    }
    *at = c < end ? c + 1 : c;
    base_buf_append(&text, "", 1);
    return (struct pr_line){text.data, box};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct pr_region figures[MAX_FIGURES];
    static struct pr_line lines[MAX_LINES];
    const uint8_t *end = data + size;
    size_t n_figures = size ? *data++ % (MAX_FIGURES + 1) : 0, n = 0, captions = 0, longest = 0;
    for (size_t i = 0; i < n_figures && end - data >= BOX; i++, data += BOX)
        figures[i] = (struct pr_region){.kind = PR_REGION_FIGURE, .box = read_box(data)};
    if (end - data < BOX)
        n_figures = 0;
    while (end - data >= BOX && n < MAX_LINES) {
        lines[n] = read_line(&data, end);
        captions += ingest_caption_is(lines[n].text);
        longest += strlen(lines[n++].text) + 1;
    }
    ingest_captions_find(figures, n_figures, lines, n);
    size_t given = 0;
    for (size_t i = 0; i < n_figures; i++) {
        if (*figures[i].text && (!ingest_caption_is(figures[i].text) || strlen(figures[i].text) > longest))
            abort();
        given += *figures[i].text != '\0';
        base_free((char *)(uintptr_t)figures[i].text);
    }
    if (given > captions)
        abort();
    for (size_t i = 0; i < n; i++)
        base_free((char *)(uintptr_t)lines[i].text);
    return 0;
}
