/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Finds the figures of a rendered page: regions of ink that aren't text, whether bitmap or drawn, with their captions.
 */
#pragma once

#include "ingest/source.h"

enum { FIGURES_MAX = 64 };

/* rgb: [height, width, 3], the page of page_width x page_height points. lines: its text with boxes in points. images: boxes of
 * bitmaps that the document itself names, which count even where they are pale. Writes at most FIGURES_MAX regions, from top
 * to bottom; their text is the caption (captions.h) or "", which the caller frees with base_free(). Returns how many.
 *
 * Method: ink outside of text lines on a grid of GRID x GRID points; cells that lie closer than a line's height join into
 * clusters; text lines that lie mostly inside a cluster (axis labels, legends) belong to it; clusters smaller than a figure
 * can be (rules, bullets, logos) are dropped. Thin lines along most of the page are layout. */
size_t ingest_figures_find(const uint8_t *rgb, int32_t width, int32_t height, double page_width, double page_height,
                           const struct pr_line *lines, size_t n_lines, const struct pr_box *images, size_t n_images,
                           struct pr_region *out);

/* The share of pixels that differ clearly from the page's background (its most common colour). */
double ingest_figures_ink(const uint8_t *rgb, int32_t width, int32_t height);
