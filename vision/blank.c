/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vision/blank.h"

#include "base/mem.h"

enum { BLANK = 2 }; /* of 255: pixels of a flat cell differ by no more */

/* Whether the pixels of cell (y, x) of a crop [height, width, 3] are all alike. */
static bool is_flat(const struct vision_crop *crop, const uint8_t *rgb, int32_t y, int32_t x)
{
    int32_t y0 = crop->height * y / crop->rows, y1 = crop->height * (y + 1) / crop->rows;
    int32_t x0 = crop->width * x / crop->cols, x1 = crop->width * (x + 1) / crop->cols;
    uint8_t low[3] = {255, 255, 255}, high[3] = {0};
    for (int32_t v = y0; v < y1; v++)
        for (int32_t u = x0; u < x1; u++)
            for (int c = 0; c < 3; c++) {
                uint8_t value = rgb[3 * ((size_t)v * (size_t)crop->width + (size_t)u) + (size_t)c];
                low[c] = value < low[c] ? value : low[c];
                high[c] = value > high[c] ? value : high[c];
            }
    return high[0] - low[0] <= BLANK && high[1] - low[1] <= BLANK && high[2] - low[2] <= BLANK;
}

void vision_find_blank(const struct vision_crop *crop, const uint8_t *rgb, bool *blank)
{
    static const int32_t around[5][2] = {{0, 0}, {-1, 0}, {1, 0}, {0, -1}, {0, 1}};
    bool *flat = base_alloc_array((size_t)crop->rows * (size_t)crop->cols, sizeof *flat);
    for (int32_t y = 0; y < crop->rows; y++)
        for (int32_t x = 0; x < crop->cols; x++)
            flat[y * crop->cols + x] = is_flat(crop, rgb, y, x);
    for (int32_t y = 0; y < crop->rows; y++)
        for (int32_t x = 0; x < crop->cols; x++) {
            bool all = true;
            for (int i = 0; i < 5; i++) {
                int32_t v = y + around[i][0], u = x + around[i][1];
                if (v >= 0 && v < crop->rows && u >= 0 && u < crop->cols)
                    all &= flat[v * crop->cols + u];
            }
            blank[y * crop->cols + x] = all;
        }
    base_free(flat);
}
