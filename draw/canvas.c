/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "draw/canvas_impl.h"

#include <cairo-pdf.h>
#include <stdio.h>
#include <string.h>

void draw_set_colour(struct draw_canvas *canvas, uint32_t colour)
{
    cairo_set_source_rgb(canvas->cr, (colour >> 16 & 255) / 255.0, (colour >> 8 & 255) / 255.0, (colour & 255) / 255.0);
}

int draw_canvas_create(int32_t width, int32_t height, uint32_t background, struct draw_canvas **out)
{
    if (width < 1 || height < 1 || width > 32767 || height > 32767)
        return base_fail(PR_ERR_INVALID, "a picture of %d x %d pixels can't be drawn; each side is 1 to 32767", width,
                         height);
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    if (cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS) {
        cairo_surface_destroy(surface);
        return base_fail(PR_ERR_NOMEM, "no memory for a picture of %d x %d pixels", width, height);
    }
    struct draw_canvas *canvas = base_alloc(sizeof *canvas);
    canvas->surface = surface;
    canvas->cr = cairo_create(surface);
    cairo_select_font_face(canvas->cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    draw_set_colour(canvas, background);
    cairo_paint(canvas->cr);
    *out = canvas;
    return PR_OK;
}

void draw_canvas_destroy(struct draw_canvas *canvas)
{
    if (!canvas)
        return;
    cairo_destroy(canvas->cr);
    cairo_surface_destroy(canvas->surface);
    base_free(canvas->path);
    base_free(canvas);
}

void draw_picture(struct draw_canvas *canvas, const uint8_t *rgb, int32_t width, int32_t height, double x, double y,
                  double w, double h)
{
    cairo_surface_t *picture = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    if (cairo_surface_status(picture) != CAIRO_STATUS_SUCCESS) {
        cairo_surface_destroy(picture);
        return;
    }
    for (int32_t v = 0; v < height; v++) {
        unsigned char *row =
            cairo_image_surface_get_data(picture) + (ptrdiff_t)v * cairo_image_surface_get_stride(picture);
        for (int32_t u = 0; u < width; u++, rgb += 3) {
            uint32_t pixel = (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
            memcpy(row + 4 * (ptrdiff_t)u, &pixel, sizeof pixel);
        }
    }
    cairo_surface_mark_dirty(picture);
    cairo_save(canvas->cr);
    cairo_translate(canvas->cr, x, y);
    cairo_scale(canvas->cr, w / width, h / height);
    cairo_set_source_surface(canvas->cr, picture, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(canvas->cr), CAIRO_FILTER_GOOD);
    cairo_pattern_set_extend(cairo_get_source(canvas->cr), CAIRO_EXTEND_PAD);
    cairo_rectangle(canvas->cr, 0, 0, width, height);
    cairo_fill(canvas->cr);
    cairo_restore(canvas->cr);
    cairo_surface_destroy(picture);
}

void draw_rectangle(struct draw_canvas *canvas, double x, double y, double w, double h, uint32_t fill)
{
    draw_set_colour(canvas, fill);
    cairo_rectangle(canvas->cr, x, y, w, h);
    cairo_fill(canvas->cr);
}

void draw_frame(struct draw_canvas *canvas, double x, double y, double w, double h, double line, uint32_t colour)
{
    draw_set_colour(canvas, colour);
    cairo_set_line_width(canvas->cr, line);
    cairo_rectangle(canvas->cr, x, y, w, h);
    cairo_stroke(canvas->cr);
}

static double text_width(cairo_t *cr, const char *text)
{
    cairo_text_extents_t extents;
    cairo_text_extents(cr, text, &extents);
    return extents.x_advance;
}

void draw_text(struct draw_canvas *canvas, double x, double y, double size, double max_width, uint32_t colour,
               const char *text)
{
    cairo_set_font_size(canvas->cr, size);
    draw_set_colour(canvas, colour);
    struct base_buf cut = {0};
    base_buf_puts(&cut, text);
    size_t len = cut.len;
    while (max_width > 0 && len > 0 && text_width(canvas->cr, cut.data) > max_width) {
        do /* whole characters */
            len--;
        while (len > 0 && (text[len] & 0xc0) == 0x80);
        cut.len = len;
        base_buf_puts(&cut, "\xe2\x80\xa6");
    }
    cairo_move_to(canvas->cr, x, y);
    cairo_show_text(canvas->cr, cut.data);
    base_buf_finish(&cut);
}

void draw_face(struct draw_canvas *canvas, const char *family, bool bold)
{
    cairo_select_font_face(canvas->cr, family, CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
}

double draw_text_width(struct draw_canvas *canvas, double size, const char *text)
{
    cairo_set_font_size(canvas->cr, size);
    return text_width(canvas->cr, text);
}

void draw_canvas_on(struct draw_canvas *canvas, const struct draw_canvas *picture, double x, double y, double w,
                    double h)
{
    int width = cairo_image_surface_get_width(picture->surface),
        height = cairo_image_surface_get_height(picture->surface);
    cairo_save(canvas->cr);
    cairo_translate(canvas->cr, x, y);
    cairo_scale(canvas->cr, w / width, h / height);
    cairo_set_source_surface(canvas->cr, picture->surface, 0, 0);
    cairo_pattern_set_extend(cairo_get_source(canvas->cr), CAIRO_EXTEND_PAD);
    cairo_rectangle(canvas->cr, 0, 0, width, height);
    cairo_fill(canvas->cr);
    cairo_restore(canvas->cr);
}

int draw_pdf_create(const char *path, double width, double height, struct draw_canvas **out)
{
    cairo_surface_t *surface = cairo_pdf_surface_create(path, width, height);
    cairo_status_t status = cairo_surface_status(surface);
    if (status != CAIRO_STATUS_SUCCESS) {
        cairo_surface_destroy(surface);
        return base_fail(PR_ERR_IO, "%s: can't be written: %s", path, cairo_status_to_string(status));
    }
    struct draw_canvas *canvas = base_alloc(sizeof *canvas);
    canvas->surface = surface;
    canvas->cr = cairo_create(surface);
    canvas->path = base_strdup(path);
    draw_face(canvas, "sans-serif", false);
    *out = canvas;
    return PR_OK;
}

void draw_pdf_next(struct draw_canvas *pdf)
{
    cairo_show_page(pdf->cr);
}

int draw_pdf_finish(struct draw_canvas *pdf)
{
    int err = PR_OK;
    cairo_surface_finish(pdf->surface);
    cairo_status_t status = cairo_surface_status(pdf->surface);
    if (status != CAIRO_STATUS_SUCCESS)
        err = base_fail(PR_ERR_IO, "%s: can't be written: %s", pdf->path, cairo_status_to_string(status));
    draw_canvas_destroy(pdf);
    return err;
}
