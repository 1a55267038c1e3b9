/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Resizing of RGB bytes as the processors of model families do it: antialiased, separable (columns first, then rows), rounded to
 * bytes between the two passes. The result is the reference's to the last bit; both agree on the window of each output pixel
 *     centre = (i + 0.5) * scale, from (int)(centre - support + 0.5) to (int)(centre + support + 0.5), scale = in / out
 * with the filter stretched by max(scale, 1) and the weights made to sum to 1, and differ in how weights become integers:
 *
 *     RESIZE_PILLOW  22 fractional bits (Pillow's Resample.c)
 *     RESIZE_TORCH   16-bit weights, with as many fractional bits as the largest weight of that pass leaves room for
 *                    (torch's interpolate on uint8 with antialias, which torchvision's resize calls)
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum resize_filter {
    RESIZE_BILINEAR, /* triangle, reaches 1 pixel */
    RESIZE_BICUBIC,  /* a = -0.5, reaches 2 */
    RESIZE_LANCZOS   /* three lobes, reaches 3 */
};
enum resize_rounding { RESIZE_PILLOW, RESIZE_TORCH };

/* Resizes `src` [src_h, src_w, 3], whose rows are `src_stride` bytes apart, into `dst` [dst_h, dst_w, 3] (packed). Sides are 1 to
 * 2^24. Needs a few rows of memory beside the two pictures; never more. A side that stays as it is isn't filtered.
 * Thread-safe. Errors: PR_ERR_NOMEM. */
int vision_resize(const uint8_t *src, size_t src_stride, int src_w, int src_h, uint8_t *dst, int dst_w, int dst_h,
                  enum resize_filter filter, enum resize_rounding rounding);
