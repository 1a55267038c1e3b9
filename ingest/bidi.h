/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Lines with Hebrew, Arabic and their kin, whose letters run from right to left: from what stands where on the page back to the
 * order in which it is read.
 */
#pragma once

#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bidi_glyph {
    uint32_t character;
    float x0, x1; /* on the page; a mark on another letter may have no width */
};

enum bidi_page { BIDI_LEFT_TO_RIGHT, BIDI_RIGHT_TO_LEFT };

/* Whether a character is written from right to left. */
bool ingest_bidi_is_right_to_left(uint32_t character);

/* Appends the text of a line, as UTF-8, in the order of reading: glyphs [n] come in the order of the page, from left to right, and
 * without blanks; there is one where a gap is wider than `blank`. The line runs as most of its letters do; `page`
 * is the page's own direction, and where that is from right to left, a quarter of them is enough. Numbers and words of the
 * other direction keep their own order, and brackets that the page shows mirrored are turned back.
 * After Unicode Standard Annex 9, whose rules are followed backwards. */
void ingest_bidi_line(const struct bidi_glyph *glyphs, size_t n, float blank, enum bidi_page page,
                      struct base_buf *out);
