/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * text_pdf OUT.pdf FILE: a text file as a PDF, so that the demonstration has a document to ask about.
 */
#include <cairo-pdf.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 595, HEIGHT = 842, MARGIN = 50, LEADING = 14, SIZE = 8 };

int main(int argc, char **argv)
{
    FILE *file = argc == 3 ? fopen(argv[2], "r") : NULL;
    if (!file) {
        fprintf(stderr, "usage: text_pdf OUT.pdf FILE\n");
        return 1;
    }
    cairo_surface_t *surface = cairo_pdf_surface_create(argv[1], WIDTH, HEIGHT);
    cairo_t *cr = cairo_create(surface);
    cairo_select_font_face(cr, "monospace", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, SIZE);
    char line[400];
    int y = MARGIN;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\r\n")] = '\0';
        if (y > HEIGHT - MARGIN) {
            cairo_show_page(cr);
            y = MARGIN;
        }
        cairo_move_to(cr, MARGIN, y);
        cairo_show_text(cr, line);
        y += LEADING;
    }
    fclose(file);
    cairo_show_page(cr);
    cairo_destroy(cr);
    cairo_surface_finish(surface);
    cairo_status_t status = cairo_surface_status(surface);
    cairo_surface_destroy(surface);
    if (status != CAIRO_STATUS_SUCCESS)
        fprintf(stderr, "text_pdf: %s: %s\n", argv[1], cairo_status_to_string(status));
    return status != CAIRO_STATUS_SUCCESS;
}
