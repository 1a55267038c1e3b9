/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The inside of a canvas, for the files of draw/.
 */
#pragma once

#include "draw/canvas.h"

#include <cairo.h>

struct draw_canvas {
    cairo_surface_t *surface;
    cairo_t *cr;
    char *path; /* of a PDF; NULL */
};
void draw_set_colour(struct draw_canvas *canvas, uint32_t colour);
