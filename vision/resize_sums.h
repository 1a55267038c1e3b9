/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The inner loops of resize.c. Both passes are one sum: what comes in lies in quads, four neighbouring columns or four neighbouring
 * rows of one colour in four bytes, and an output value is the sum over some quads. resize_sums.c is compiled once per instruction
 * set; whole numbers, so the same values come out of all.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Weights of a quad's columns 0 and 2, 1 and 3: high * 2^RESIZE_LOW_BITS + low, low 0 or more; narrow ones are high alone. */
struct resize_quad {
    int16_t even_low[2], odd_low[2], even_high[2], odd_high[2];
};
enum { RESIZE_LOW_BITS = 15 };

/* One pass: output i is the sum over k < n[i] of weights[i * reach + k] times quad first[i] + k, shifted right by `bits`, 0 to 255. */
struct resize_windows {
    int *first, *n;
    struct resize_quad *weights;
    int reach, bits;
    bool narrow;
    bool same; /* the side stays: nothing to do */
};

struct resize_sums {
    const char *tier; /* "generic", "avx2", "avx512": as in compute/cpu */
    int rows;         /* that lie side by side in the first pass: 4, 8 or 16 */
    int block;        /* of the second pass: quads of a row of the strip, a multiple of this, are read together */

    /* rows[this->rows] of `columns` RGB pixels -> quads of columns [(columns + 3) / 4, 3, rows]. */
    void (*gather)(const uint8_t *const *rows, int columns, uint8_t *quads);
    /* Those, squeezed to `columns` pixels -> quads of rows [rows / 4] at `to`, `stride` bytes apart, each [columns, 3]. */
    void (*squeeze)(const struct resize_windows *x, const uint8_t *quads, int columns, uint8_t *to, size_t stride);
    /* Output i of quads of rows, the first one at `from`, `stride` bytes apart: n bytes. */
    void (*blend)(const struct resize_windows *y, int i, const uint8_t *from, size_t stride, int n, uint8_t *dst);
};

extern const struct resize_sums vision_resize_sums_generic, vision_resize_sums_avx2, vision_resize_sums_avx512;
