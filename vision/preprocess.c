/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vision/preprocess.h"

#include "base/mem.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int vision_layout_init(struct vision_layout *out, const struct vision_params *params,
                       const struct vision_request *request)
{
    *out = (struct vision_layout){.params = params, .request = *request};
    out->request.times = NULL;
    if (request->width < 1 || request->height < 1 || request->n_frames < 1)
        return base_fail(PR_ERR_INVALID, "a picture of %d x %d pixels has nothing to see", request->width,
                         request->height);
    if (request->width > VISION_MAX_SIDE || request->height > VISION_MAX_SIDE || request->n_frames > VISION_MAX_FRAMES)
        return base_fail(PR_ERR_INVALID,
                         "%d pictures of %d x %d pixels are more than can be shown; give fewer or smaller ones",
                         request->n_frames, request->width, request->height);
    int err = params->family->layout(params, request, out);
    if (err < 0)
        vision_layout_finish(out);
    return err;
}

void vision_layout_finish(struct vision_layout *layout)
{
    for (int32_t i = 0; i < layout->n_pieces; i++)
        base_free(layout->pieces[i].text);
    base_free(layout->pieces);
    base_free(layout->crops);
    *layout = (struct vision_layout){0};
}

double vision_seconds(const struct vision_request *request, int32_t i)
{
    double seconds = (double)request->times[i] / 1e6;
    if (!(request->rate > 0))
        return seconds;
    double by_index = nearbyint(seconds * request->rate) / request->rate;
    return fabs(by_index - seconds) < 1e-6 ? by_index : seconds;
}

static size_t crop_size(const struct vision_layout *layout, const struct vision_crop *crop)
{
    return (size_t)layout->params->n_frames * 3 * (size_t)crop->width * (size_t)crop->height;
}

size_t vision_fill_size(const struct vision_layout *layout, int32_t first, int32_t n)
{
    size_t size = 0;
    for (int32_t i = first; i < first + n; i++)
        size += crop_size(layout, &layout->crops[i]);
    return size;
}

size_t vision_frame_size(const struct vision_layout *layout)
{
    return crop_size(layout, &layout->crops[0]) / (size_t)layout->params->n_frames;
}

int vision_fill_frame(const struct vision_layout *layout, const struct vision_image *frame, uint8_t *rgb)
{
    return layout->params->family->resize(layout, frame, rgb);
}

int vision_fill(const struct vision_layout *layout, int32_t first, int32_t n, const struct vision_image *images,
                uint8_t *rgb)
{
    if (layout->tile_rows)
        return layout->params->family->cut(layout, &images[0], rgb);
    size_t size = vision_frame_size(layout);
    for (int32_t i = first; i < first + n; i++)
        for (int32_t f = 0; f < layout->params->n_frames; f++, rgb += size) {
            int32_t image = layout->crops[i].image + f;
            if (f > 0 && image >= layout->request.n_frames) { /* a still, or an odd last frame */
                memcpy(rgb, rgb - size, size);
                continue;
            }
            int err = vision_fill_frame(layout, &images[image - layout->crops[first].image], rgb);
            if (err < 0)
                return err;
        }
    return PR_OK;
}

/* ---- for the layouts of families -------------------------------------------------------------------------------- */

/* Room for one more: lists double. */
static void *grow(void *list, int32_t n, size_t size)
{
    return n & (n - 1) ? list : base_realloc(list, (n ? 2 * (size_t)n : 1) * size);
}

struct vision_crop *vision_add_crop(struct vision_layout *layout, const struct vision_crop *crop)
{
    layout->crops = grow(layout->crops, layout->n_crops, sizeof *crop);
    layout->crops[layout->n_crops] = *crop;
    layout->n_tokens += (int64_t)crop->rows * crop->cols;
    return &layout->crops[layout->n_crops++];
}

static struct vision_piece *add_piece(struct vision_layout *layout)
{
    layout->pieces = grow(layout->pieces, layout->n_pieces, sizeof *layout->pieces);
    layout->pieces[layout->n_pieces] = (struct vision_piece){0};
    return &layout->pieces[layout->n_pieces++];
}

void vision_add_words(struct vision_layout *layout, const char *format, ...)
{
    struct base_buf text = {0};
    struct vision_piece *last = layout->n_pieces ? &layout->pieces[layout->n_pieces - 1] : NULL;
    char words[256];
    va_list args;
    if (!last || !last->text)
        last = add_piece(layout);
    base_buf_puts(&text, last->text ? last->text : "");
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    base_buf_puts(&text, words);
    base_free(last->text);
    last->text = text.data;
}

void vision_add_run(struct vision_layout *layout, int32_t crop, int32_t n_crops)
{
    *add_piece(layout) = (struct vision_piece){.crop = crop, .n_crops = n_crops};
}

uint8_t *vision_cut_tiles(const struct vision_layout *l, const uint8_t *picture, uint8_t *rgb)
{
    size_t tile = (size_t)l->params->image_size, row = 3 * tile, stride = row * (size_t)l->tile_cols;
    for (size_t r = 0; r < (size_t)l->tile_rows; r++)
        for (size_t c = 0; c < (size_t)l->tile_cols; c++)
            for (size_t y = 0; y < tile; y++, rgb += row)
                memcpy(rgb, picture + (r * tile + y) * stride + c * row, row);
    return rgb;
}

/* ---- tokens ----------------------------------------------------------------------------------------------------- */

int64_t vision_tokens(const struct vision_layout *layout, int32_t first, int32_t n)
{
    int64_t tokens = 0;
    for (int32_t i = first; i < first + n; i++)
        tokens += (int64_t)layout->crops[i].rows * layout->crops[i].cols;
    return tokens;
}

void vision_positions(const struct vision_layout *layout, const struct vision_piece *run, int32_t *positions,
                      int32_t *advance)
{
    int32_t *at = positions, last = 0;
    for (int32_t i = run->crop; i < run->crop + run->n_crops; i++) {
        const struct vision_crop *c = &layout->crops[i];
        for (int32_t row = 0; row < c->rows; row++)
            for (int32_t col = 0; col < c->cols; col++, at += 4)
                memcpy(at, (int32_t[4]){c->t, row, col, 0}, 4 * sizeof *at);
        int32_t most = c->rows > c->cols ? c->rows - 1 : c->cols - 1;
        most = most > c->t ? most : c->t;
        last = last > most ? last : most;
    }
    *advance = last + 1;
}
