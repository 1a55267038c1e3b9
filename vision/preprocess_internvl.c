/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * InternVL: a picture is stretched to a grid of tiles whose shape is nearest to its own, and cut; behind the tiles comes the whole picture as
 * one more. Frames of a video are one tile each. The rules are those of transformers' GotOcr2ImageProcessor and InternVLProcessor;
 * MODEL.md tells them in words.
 */
#include "base/mem.h"
#include "vision/preprocess.h"
#include "vision/resize.h"

#include <math.h>

/* Of the grids of min..max tiles the one whose shape is nearest to the picture's; among equals the larger, as long as the picture has more
 * than half its pixels. */
static void choose_grid(int32_t width, int32_t height, int32_t tile, int32_t min, int32_t max, int32_t *rows,
                        int32_t *cols)
{
    double aspect = (double)width / height, area = (double)width * height, best = INFINITY;
    *rows = *cols = 1;
    for (int32_t n = min; n <= max; n++)
        for (int32_t c = 1; c <= n; c++) {
            double off = fabs(aspect - (double)c / (n / c));
            if (n % c || off > best || (off == best && area <= 0.5 * tile * tile * n))
                continue;
            best = off;
            *cols = c;
            *rows = n / c;
        }
}

/* How many tiles fit the tokens that were asked for, with the whole picture behind them. */
static int32_t most_tiles(const struct vision_params *p, const struct vision_request *r, int32_t tile_tokens)
{
    int32_t n = r->max_tokens > 0 ? r->max_tokens / tile_tokens - 1 : p->max_tiles;
    if (r->whole || n < 2)
        return 1;
    return n < p->max_tiles ? n : p->max_tiles;
}

static void add_tile(struct vision_layout *out, int32_t image, int32_t row, int32_t col)
{
    int32_t tile = out->params->image_size, side = tile / out->params->patch / out->params->merge;
    vision_add_crop(out, &(struct vision_crop){image, tile, tile, side, side, 0, row, col});
}

int vision_internvl_layout(const struct vision_params *p, const struct vision_request *r, struct vision_layout *out)
{
    int32_t tile = p->image_size, side = tile / p->patch / p->merge, rows, cols;
    if (r->medium == VISION_VIDEO) {
        out->resized_width = out->resized_height = tile;
        for (int32_t i = 0; i < r->n_frames; i++) {
            vision_add_words(out, "%sFrame%d: <img>", i ? "\n" : "", i + 1);
            add_tile(out, i, -1, -1);
            vision_add_run(out, i, 1);
            vision_add_words(out, "</img>");
        }
        return PR_OK;
    }
    int32_t most = most_tiles(p, r, side * side), least = p->min_tiles < most ? p->min_tiles : most;
    choose_grid(r->width, r->height, tile, least, most, &rows, &cols);
    out->resized_width = cols * tile;
    out->resized_height = rows * tile;
    if (rows * cols > 1) {
        out->tile_rows = rows;
        out->tile_cols = cols;
    }
    for (int32_t i = 0; i < out->tile_rows * out->tile_cols; i++)
        add_tile(out, 0, i / cols, i % cols);
    add_tile(out, 0, -1, -1);
    vision_add_words(out, "<img>");
    vision_add_run(out, 0, out->n_crops);
    vision_add_words(out, "</img>");
    return PR_OK;
}

static int resize(const struct vision_image *image, uint8_t *to, int32_t width, int32_t height)
{
    return vision_resize(image->rgb, image->stride, image->width, image->height, to, width, height, RESIZE_BICUBIC,
                         RESIZE_TORCH);
}

int vision_internvl_cut(const struct vision_layout *l, const struct vision_image *image, uint8_t *rgb)
{
    int err;
    uint8_t *picture = base_try_alloc(3 * (size_t)l->resized_width, (size_t)l->resized_height);
    if (!picture)
        return base_fail(PR_ERR_NOMEM, "no memory for a picture of %d x %d pixels", l->resized_width,
                         l->resized_height);
    TRY(resize(image, picture, l->resized_width, l->resized_height));
    rgb = vision_cut_tiles(l, picture, rgb);
    TRY(vision_internvl_resize(l, image, rgb));
fail:
    base_free(picture);
    return err;
}

int vision_internvl_resize(const struct vision_layout *l, const struct vision_image *image, uint8_t *rgb)
{
    return resize(image, rgb, l->params->image_size, l->params->image_size);
}
