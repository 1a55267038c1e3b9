/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/make_pdf.h"

#include <cairo-pdf.h>
#include <stddef.h>

void make_pdf(const char *path, const struct make_pdf_line *lines, int n)
{
    cairo_surface_t *surface = cairo_pdf_surface_create(path, 595, 842);
    cairo_t *cr = cairo_create(surface);
    cairo_select_font_face(cr, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, 12);
    int page = 0;
    for (int i = 0; i < n; i++) {
        for (; page < lines[i].page; page++)
            cairo_show_page(cr);
        if (!lines[i].text)
            continue;
        cairo_move_to(cr, lines[i].x, lines[i].y);
        cairo_show_text(cr, lines[i].text);
    }
    cairo_show_page(cr);
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
}
