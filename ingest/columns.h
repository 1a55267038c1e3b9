/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The reading order of pages in columns. Poppler's is good within a column; where headings of two columns stand at one height, or columns
 * hold lists, it mixes them.
 */
#pragma once

#include "ingest/reader.h"

/* The widest gap between two words of a line: `at` bytes of its text stand before it, from x0 to x1 there is nothing. at 0: none. */
struct column_gap {
    size_t at;
    float x0, x1;
};

/* Puts lines [n] in the order of columns: a gutter is a strip beside which lines begin, that nothing crosses for a part of the page, with
 * lines enough on both sides. What stands above it comes first, then the column before it (the left one, or from right to left the
 * right one), then the other, then what stands below. In columns the order stays as it was; lines that go over a gutter with a gap of
 * theirs (gaps [n]) are divided. A table whose rows were read one after the other stays as it is. */
void ingest_columns_sort(struct ingest_lines *lines, const struct column_gap *gaps, bool right_to_left);
