/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A picture as it comes from ingest: a frame, a page, a file, or a part of one.
 */
#pragma once

#include "pagereel/source.h"

#include <stddef.h>
#include <stdint.h>

struct vision_image {
    int32_t width, height;
    size_t stride;      /* bytes from one row to the next; 3 * width or more */
    const uint8_t *rgb; /* [height, width, 3] with that stride; borrowed */
    struct pr_span span;
};

/* A part of a picture at its full resolution, for a second look: in its pixels, clipped to it, one pixel at least. The memory is
 * shared; the span is that of the whole picture, and the caller narrows it. */
struct vision_image vision_image_part(const struct vision_image *image, int32_t x, int32_t y, int32_t width,
                                      int32_t height);
