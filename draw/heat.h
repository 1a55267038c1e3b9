/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Heat maps of shares as SVG: a square for each pair of a row and a column, coloured from red (0) over yellow to green (1), with the
 * percentage written in it.
 */
#pragma once

#include "base/error.h"

#include <stddef.h>

struct draw_heat {
    const char *title;
    const char *x_title, *y_title;
    const char *const *x; /* [n_x] names of the columns */
    const char *const *y; /* [n_y] of the rows, the first at the top */
    size_t n_x, n_y;
    const double *values; /* [n_y, n_x], 0 to 1; NaN: nothing was measured */
};

/* Writes the maps beside each other, two in a row, under one title. PR_ERR_IO. */
int draw_heat_svg(const char *path, const char *title, const struct draw_heat *maps, size_t n);
