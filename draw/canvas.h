/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pictures for people: contact sheets, marked pages, curves. Colours are 0xRRGGBB. Coordinates are pixels from the upper left
 * corner. A canvas belongs to one thread at a time.
 */
#pragma once

#include "base/error.h"
#include "base/mem.h"

#include <stddef.h>
#include <stdint.h>

struct draw_canvas;

/* PR_ERR_NOMEM: the size can't be had; PR_ERR_INVALID: a side is outside 1..32767. The caller owns *out. */
int draw_canvas_create(int32_t width, int32_t height, uint32_t background, struct draw_canvas **out);
void draw_canvas_destroy(struct draw_canvas *canvas); /* takes NULL */

/* Draws rgb [height, width, 3] scaled into the rectangle (x, y, w, h). */
void draw_picture(struct draw_canvas *canvas, const uint8_t *rgb, int32_t width, int32_t height, double x, double y,
                  double w, double h);
void draw_rectangle(struct draw_canvas *canvas, double x, double y, double w, double h, uint32_t fill);
void draw_frame(struct draw_canvas *canvas, double x, double y, double w, double h, double line, uint32_t colour);

/* One line of UTF-8 text with its baseline at y, `size` pixels high, cut off with an ellipsis where it would be wider than
 * max_width (0: no limit). */
void draw_text(struct draw_canvas *canvas, double x, double y, double size, double max_width, uint32_t colour,
               const char *text);

/* The face that draw_text() takes from now on: a family that fontconfig knows ("sans-serif", "serif", "monospace"), bold or not. */
void draw_face(struct draw_canvas *canvas, const char *family, bool bold);
/* How wide draw_text() would draw a line without a limit. */
double draw_text_width(struct draw_canvas *canvas, double size, const char *text);

/* Shapes and things of the small world that the embedded model knows (tools/world/picture.py draws the same), filled with a colour. */
extern const char *const draw_things[]; /* their names, ended by NULL */
/* Draws one into the rectangle. false: nothing is called so. */
bool draw_thing(struct draw_canvas *canvas, const char *name, double x, double y, double w, double h, uint32_t fill);

/* Draws what is on another canvas of pixels scaled into the rectangle. */
void draw_canvas_on(struct draw_canvas *canvas, const struct draw_canvas *picture, double x, double y, double w,
                    double h);

/* A PDF instead of pixels: coordinates are points, text stays text. Written to `path` page by page; what a canvas of pixels needs can't be
 * asked of it. PR_ERR_IO. The caller owns *out. */
int draw_pdf_create(const char *path, double width, double height, struct draw_canvas **out);
void draw_pdf_next(struct draw_canvas *pdf);  /* ends the page; what follows is drawn on another */
int draw_pdf_finish(struct draw_canvas *pdf); /* behind the last page. PR_ERR_IO; the canvas is destroyed in any case */

/* Appends the canvas as a PNG to a buffer. */
int draw_put_png(const struct draw_canvas *canvas, struct base_buf *out);
/* Writes a PNG through a temporary file beside it, so that a failure leaves what was there. PR_ERR_IO says why. */
int draw_write_png(const struct draw_canvas *canvas, const char *path);
/* The same of pixels [height, width, 3] whose rows begin `stride` bytes apart. */
int draw_write_rgb(const uint8_t *rgb, int32_t width, int32_t height, size_t stride, const char *path);
