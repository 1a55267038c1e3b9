/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * SmolVLM and SmolVLM2: a picture is scaled to a longest edge, stretched to whole tiles and cut; then comes the whole picture as
 * one more tile. Frames of a video are one tile each. The rules are those of transformers' SmolVLM processors; MODEL.md tells
 * them in words.
 */
#include "base/mem.h"
#include "vision/preprocess.h"
#include "vision/resize.h"
#include "vision/words.h"

enum { MAX_EDGE = 4096 }; /* of a picture after the first resizing, whatever the file says */

struct size {
    int32_t width, height;
};

static int32_t up_to(int32_t n, int32_t unit)
{
    return n < 1 ? unit : (n + unit - 1) / unit * unit;
}

/* The longer side becomes `edge`, the other follows and is made even. Divisions as Python does them, in doubles. */
static struct size scale_to_edge(int32_t width, int32_t height, int32_t edge)
{
    double aspect = (double)width / height;
    struct size s = {edge, edge};
    if (width >= height)
        s.height = (int32_t)(edge / aspect);
    else
        s.width = (int32_t)(edge * aspect);
    if (width >= height)
        s.height += s.height % 2;
    else
        s.width += s.width % 2;
    s.width = s.width < 1 ? 1 : s.width;
    s.height = s.height < 1 ? 1 : s.height;
    return s;
}

/* Both sides become multiples of a tile. */
static struct size whole_tiles(struct size s, int32_t tile)
{
    double aspect = (double)s.width / s.height;
    struct size t;
    if (s.width >= s.height) {
        t.width = up_to(s.width, tile);
        t.height = up_to((int32_t)(t.width / aspect), tile);
    } else {
        t.height = up_to(s.height, tile);
        t.width = up_to((int32_t)(t.height * aspect), tile);
    }
    return t;
}

static int32_t first_edge(const struct vision_params *p, int32_t edge)
{
    edge = edge > 0 ? edge : p->image_size;
    return edge > MAX_EDGE ? MAX_EDGE : edge;
}

/* The longest edge at which a picture takes no more tokens than asked for: whole tiles fewer. *tiles: its size then. */
static int32_t edge_within(const struct vision_params *p, const struct vision_request *r, int64_t tile_tokens,
                           struct size *tiles)
{
    int32_t edge = first_edge(p, p->longest_edge);
    for (;; edge = (edge - 1) / p->image_size * p->image_size) {
        *tiles = whole_tiles(scale_to_edge(r->width, r->height, edge), p->image_size);
        int64_t n = (int64_t)(tiles->width / p->image_size) * (tiles->height / p->image_size) + 1;
        if (r->max_tokens == 0 || n * tile_tokens <= r->max_tokens || edge <= p->image_size)
            return edge;
    }
}

static void add_whole(struct vision_layout *out, int32_t image, int32_t side)
{
    const struct vision_params *p = out->params;
    struct vision_crop crop = {image, p->image_size, p->image_size, side, side, 0, -1, -1};
    vision_add_words(out, "<fake_token_around_image><global-img>");
    vision_add_crop(out, &crop);
    vision_add_run(out, out->n_crops - 1, 1);
    vision_add_words(out, "<fake_token_around_image>");
}

static void add_video_words(struct vision_layout *out, const struct vision_request *r)
{
    struct base_buf words = {0};
    int64_t duration = r->duration > 0 ? r->duration : r->times[r->n_frames - 1];
    vision_words_number(&words, r->n_frames);
    base_buf_puts(&words, " frames from a ");
    vision_words_duration(&words, duration / 1000000);
    vision_add_words(out, "You are provided the following series of %s [H:MM:SS] video.\n", words.data);
    base_buf_finish(&words);
}

int vision_idefics3_layout(const struct vision_params *p, const struct vision_request *r, struct vision_layout *out)
{
    int32_t tile = p->image_size, side = tile / p->patch / p->merge;
    if (r->medium == VISION_VIDEO) {
        out->resized_width = out->resized_height = tile;
        add_video_words(out, r);
        for (int32_t i = 0; i < r->n_frames; i++) {
            int seconds = (int)vision_seconds(r, i);
            vision_add_words(out, "\nFrame from %02d:%02d:", seconds / 60, seconds % 60);
            add_whole(out, i, side);
        }
        vision_add_words(out, "\n\n");
        return PR_OK;
    }

    struct size s = {tile, tile};
    if (!r->whole && p->longest_edge > 0)
        edge_within(p, r, (int64_t)side * side, &s);
    out->resized_width = s.width;
    out->resized_height = s.height;
    if (s.width > tile || s.height > tile) {
        out->tile_cols = s.width / tile;
        out->tile_rows = s.height / tile;
    }
    for (int32_t row = 0; row < out->tile_rows; row++) {
        for (int32_t col = 0; col < out->tile_cols; col++) {
            struct vision_crop crop = {0, tile, tile, side, side, 0, row, col};
            vision_add_words(out, "<fake_token_around_image><row_%d_col_%d>", row + 1, col + 1);
            vision_add_crop(out, &crop);
            vision_add_run(out, out->n_crops - 1, 1);
        }
        vision_add_words(out, "\n");
    }
    if (out->tile_rows)
        vision_add_words(out, "\n");
    add_whole(out, 0, side);
    return PR_OK;
}

/* Two resizings, one after the other: the processor rounds to bytes between them. `to` [b.height, b.width, 3]. */
static int resize_twice(const struct vision_image *image, struct size a, struct size b, uint8_t *to)
{
    int err = PR_OK;
    if (a.width == b.width && a.height == b.height)
        return vision_resize(image->rgb, image->stride, image->width, image->height, to, b.width, b.height,
                             RESIZE_LANCZOS, RESIZE_PILLOW);
    uint8_t *between = base_try_alloc((size_t)a.width * 3, (size_t)a.height);
    if (!between)
        return base_fail(PR_ERR_NOMEM, "no memory for a picture of %d x %d pixels", a.width, a.height);
    TRY(vision_resize(image->rgb, image->stride, image->width, image->height, between, a.width, a.height,
                      RESIZE_LANCZOS, RESIZE_PILLOW));
    TRY(vision_resize(between, 3 * (size_t)a.width, a.width, a.height, to, b.width, b.height, RESIZE_LANCZOS,
                      RESIZE_PILLOW));
fail:
    base_free(between);
    return err;
}

/* The longest edge after the first resizing. */
static int32_t edge_of(const struct vision_layout *l)
{
    const struct vision_params *p = l->params;
    int32_t side = p->image_size / p->patch / p->merge;
    struct size tiles;
    if (l->request.medium == VISION_VIDEO)
        return first_edge(p, p->image_size);
    return l->request.whole ? first_edge(p, p->longest_edge)
                            : edge_within(p, &l->request, (int64_t)side * side, &tiles);
}

int vision_idefics3_cut(const struct vision_layout *l, const struct vision_image *image, uint8_t *rgb)
{
    int err;
    struct size s = {l->resized_width, l->resized_height};
    int32_t tile = l->params->image_size;
    size_t stride = 3 * (size_t)s.width;
    uint8_t *picture = base_try_alloc(stride, (size_t)s.height);
    if (!picture)
        return base_fail(PR_ERR_NOMEM, "no memory for a picture of %d x %d pixels", s.width, s.height);
    TRY(resize_twice(image, scale_to_edge(image->width, image->height, edge_of(l)), s, picture));
    rgb = vision_cut_tiles(l, picture, rgb);
    TRY(vision_resize(picture, stride, s.width, s.height, rgb, tile, tile, RESIZE_LANCZOS, RESIZE_PILLOW));
fail:
    base_free(picture);
    return err;
}

int vision_idefics3_resize(const struct vision_layout *l, const struct vision_image *image, uint8_t *rgb)
{
    struct size tile = {l->params->image_size, l->params->image_size};
    return resize_twice(image, scale_to_edge(image->width, image->height, edge_of(l)), tile, rgb);
}
