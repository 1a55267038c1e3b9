/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sketches: short stand-ins for long rows, whose inner products are about those of the rows. Compression compares every token with
 * many others, and a comparison of 128 numbers costs a sixteenth of one of 2,048. Each column of a row is added, with a sign, to 4 of
 * the 128 sums; which ones is fixed for ever, since radii in evidence logs rest on it (Kane and Nelson 2014, "Sparser
 * Johnson-Lindenstrauss transforms"). A distance comes out right within about a tenth. Thread-safe.
 */
#pragma once

#include <stddef.h>

enum { SKETCH_WIDTH = 128 };

/* Columns of the sketch of a row of d: d itself up to SKETCH_WIDTH, where the sketch is the row. */
static inline size_t memory_sketch_width(size_t d)
{
    return d < SKETCH_WIDTH ? d : SKETCH_WIDTH;
}

/* The sketches [n, memory_sketch_width(d)] of rows [n, d], each of length 1, or 0 where the row is zero or isn't finite. */
void memory_sketch(const float *rows, size_t n, size_t d, float *out);

float memory_dot(const float *a, const float *b, size_t d);
