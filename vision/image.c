/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vision/image.h"

/* Clips [first, first + n) to [0, size), one at least. */
static void clip(int32_t first, int32_t n, int32_t size, int32_t *from, int32_t *length)
{
    int64_t a = first < 0 ? 0 : first >= size ? size - 1 : first, end = (int64_t)first + n;
    end = end > size ? size : end;
    *from = (int32_t)a;
    *length = end > a ? (int32_t)(end - a) : 1;
}

struct vision_image vision_image_part(const struct vision_image *image, int32_t x, int32_t y, int32_t width,
                                      int32_t height)
{
    struct vision_image part = *image;
    int32_t left, top;
    clip(x, width, image->width, &left, &part.width);
    clip(y, height, image->height, &top, &part.height);
    part.rgb += (size_t)top * image->stride + 3 * (size_t)left;
    return part;
}
