/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Makes small PDFs for tests.
 */
#pragma once

struct make_pdf_line {
    int page; /* from 0, ascending */
    double x, y;
    const char *text; /* NULL: the page stays empty */
};

/* Writes pages of 595 x 842 points with lines of text (12 points, baseline at y) to `path`. */
void make_pdf(const char *path, const struct make_pdf_line *lines, int n);
