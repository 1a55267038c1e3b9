/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Cuts a segment's lines into passages, which are found, shown and cited as one. The cuts follow from the lines alone: a passage is
 * named by its segment and its first line.
 */
#pragma once

#include "memory/evidence.h"

/* The line behind the passage that begins with line `first`; first < segment->n_lines. */
size_t memory_passage_end(const struct evidence_segment *segment, size_t first);

struct passage {
    char *text; /* lines joined by '\n' */
    size_t len;
    int64_t t0, t1; /* the union of its lines' spans and boxes */
    int32_t page;
    struct pr_box box;
};
/* Makes the passage of lines [first, end). The caller frees out->text with base_free(). */
void memory_passage_make(const struct evidence_segment *segment, size_t first, size_t end, struct passage *out);
