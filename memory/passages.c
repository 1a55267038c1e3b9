/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/passages.h"

#include "base/mem.h"

#include <math.h>

enum {
    /* About 150 tokens of English: small enough that a citation points somewhere, large enough to be understood alone. */
    PASSAGE_BYTES = 600,
    PAUSE = 4000000,   /* microseconds without a word that end what is said */
    SILENCE = 12000000 /* and those behind which something else is said, so that a citation doesn't stretch over them */
};

static bool has_box(const struct pr_box *box)
{
    return box->x1 > box->x0 && box->y1 > box->y0;
}

static struct pr_box box_union(struct pr_box a, struct pr_box b)
{
    if (!has_box(&a))
        return b;
    if (!has_box(&b))
        return a;
    return (struct pr_box){fminf(a.x0, b.x0), fminf(a.y0, b.y0), fmaxf(a.x1, b.x1), fmaxf(a.y1, b.y1)};
}

/* A gap of more than a line's height, a step back up to a new column, or a pause ends a paragraph. */
static bool starts_paragraph(const struct evidence_line *above, const struct evidence_line *line)
{
    if (line->t0 != PR_TIME_NONE)
        return above->t1 != PR_TIME_NONE && line->t0 > above->t1 && (uint64_t)line->t0 - (uint64_t)above->t1 > PAUSE;
    if (!has_box(&above->box) || !has_box(&line->box))
        return false;
    float height = line->box.y1 - line->box.y0;
    return line->box.y0 - above->box.y1 > height || line->box.y1 < above->box.y0;
}

static bool is_apart(const struct evidence_line *above, const struct evidence_line *line)
{
    return line->t0 != PR_TIME_NONE && above->t1 != PR_TIME_NONE && line->t0 > above->t1 &&
           (uint64_t)line->t0 - (uint64_t)above->t1 > SILENCE;
}

/* Passages end with a paragraph once they are half full, and anyway when they are full. A chapter's title stands for itself. */
size_t memory_passage_end(const struct evidence_segment *segment, size_t first)
{
    size_t bytes = (size_t)segment->lines[first].len + 1, i = first + 1;
    if (segment->kind == EVIDENCE_OUTLINE)
        return i;
    for (; i < segment->n_lines; i++) {
        size_t len = (size_t)segment->lines[i].len + 1;
        bool full = bytes + len > PASSAGE_BYTES;
        bool paragraph = bytes > PASSAGE_BYTES / 2 && starts_paragraph(&segment->lines[i - 1], &segment->lines[i]);
        if (full || paragraph || is_apart(&segment->lines[i - 1], &segment->lines[i]))
            break;
        bytes += len;
    }
    return i;
}

void memory_passage_make(const struct evidence_segment *segment, size_t first, size_t end, struct passage *out)
{
    struct base_buf text = {0};
    const struct evidence_line *lines = segment->lines;
    *out = (struct passage){.t0 = lines[first].t0, .t1 = lines[first].t1, .page = lines[first].page};
    for (size_t i = first; i < end; i++) {
        if (i > first)
            base_buf_puts(&text, "\n");
        base_buf_append(&text, lines[i].text, lines[i].len);
        out->box = box_union(out->box, lines[i].box);
        if (lines[i].t0 != PR_TIME_NONE && out->t0 != PR_TIME_NONE) {
            out->t0 = lines[i].t0 < out->t0 ? lines[i].t0 : out->t0;
            out->t1 = lines[i].t1 > out->t1 ? lines[i].t1 : out->t1;
        }
    }
    out->text = text.data;
    out->len = text.len;
}
