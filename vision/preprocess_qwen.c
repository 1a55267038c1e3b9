/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The rules are those of transformers' Qwen2VLImageProcessor, Qwen2VLVideoProcessor and Qwen3VLVideoProcessor, with videos limited as
 * Qwen's own qwen-vl-utils limits them (cap_pixels_per_frame). MODEL.md tells them in words.
 */
#include "vision/preprocess_qwen.h"

#include "base/error.h"
#include "vision/resize.h"

#include <math.h>

static const int64_t MOST_PIXELS = (int64_t)1 << 40;

static int64_t at_least(int64_t n, int64_t least)
{
    return n < least ? least : n;
}

/* Half to even, as Python rounds; the default rounding mode of C. */
static int64_t round_to(double n, int32_t unit)
{
    return (int64_t)nearbyint(n / unit) * unit;
}

int vision_qwen_smart_resize(int32_t width, int32_t height, int32_t unit, int64_t min_pixels, int64_t max_pixels,
                             int32_t frames, int32_t *out_width, int32_t *out_height)
{
    double w = width, h = height, longer = w > h ? w : h, shorter = w > h ? h : w;
    if (longer / shorter > 200)
        return base_fail(PR_ERR_INVALID,
                         "a picture of %d x %d pixels is more than 200 times as long as wide; show a part of it", width,
                         height);
    int64_t new_w = round_to(w, unit), new_h = round_to(h, unit), all = round_to(frames, 2);
    all = frames == 1 ? 1 : all;
    if (all * new_w * new_h > max_pixels) {
        double beta = sqrt((double)frames * h * w / (double)max_pixels);
        new_w = at_least((int64_t)floor(w / beta / unit) * unit, unit);
        new_h = at_least((int64_t)floor(h / beta / unit) * unit, unit);
    } else if (all * new_w * new_h < min_pixels) {
        double beta = sqrt((double)min_pixels / ((double)frames * h * w));
        new_w = (int64_t)ceil(w * beta / unit) * unit;
        new_h = (int64_t)ceil(h * beta / unit) * unit;
    }
    *out_width = (int32_t)at_least(new_w, unit);
    *out_height = (int32_t)at_least(new_h, unit);
    return PR_OK;
}

void vision_qwen_keep_asked(const struct vision_request *r, int32_t unit, int32_t *width, int32_t *height)
{
    int32_t cols = *width / unit, rows = *height / unit;
    while (r->max_tokens > 0 && (int64_t)cols * rows > r->max_tokens)
        if (cols > rows)
            cols--;
        else
            rows--;
    *width = cols * unit;
    *height = rows * unit;
}

static void add_crop(struct vision_layout *out, int32_t image, int32_t t)
{
    int32_t unit = out->params->patch * out->params->merge;
    vision_add_crop(out, &(struct vision_crop){.image = image,
                                               .width = out->resized_width,
                                               .height = out->resized_height,
                                               .rows = out->resized_height / unit,
                                               .cols = out->resized_width / unit,
                                               .t = t,
                                               .tile_row = -1,
                                               .tile_col = -1});
}

/* What a picture may have, by the file and by what is asked for; a file's numbers are kept where sides fit 32 bits. */
static int64_t budget(const struct vision_params *p, const struct vision_request *r, int64_t max_pixels)
{
    int64_t unit = (int64_t)p->patch * p->merge, asked = r->max_tokens * unit * unit;
    max_pixels = max_pixels < MOST_PIXELS ? max_pixels : MOST_PIXELS;
    return r->max_tokens > 0 && asked < max_pixels ? asked : max_pixels;
}

int vision_qwen_picture_layout(const struct vision_params *p, const struct vision_request *r, struct vision_layout *out)
{
    int64_t most = budget(p, r, p->max_pixels), least = p->min_pixels < most ? p->min_pixels : most;
    int32_t unit = p->patch * p->merge;
    int err =
        vision_qwen_smart_resize(r->width, r->height, unit, least, most, 1, &out->resized_width, &out->resized_height);
    if (err < 0)
        return err;
    vision_qwen_keep_asked(r, unit, &out->resized_width, &out->resized_height);
    vision_add_words(out, "<|vision_start|>");
    add_crop(out, 0, 0);
    vision_add_run(out, 0, 1);
    vision_add_words(out, "<|vision_end|>");
    return PR_OK;
}

void vision_qwen_add_pair(struct vision_layout *out, int32_t pair, int32_t t)
{
    add_crop(out, 2 * pair, t);
}

int vision_qwen_video_layout(const struct vision_params *p, const struct vision_request *r, double step,
                             struct vision_layout *out)
{
    /* qwen-vl-utils: 128 to 768 tokens a frame, and 90% of 128000 tokens for all pairs. */
    int32_t unit = p->patch * p->merge;
    int64_t token = (int64_t)unit * unit, least = 128 * token,
            share = (int64_t)(128000.0 * (double)token * 0.9) * 2 / r->n_frames;
    int64_t most = at_least(share < 768 * token ? share : 768 * token, (int64_t)((double)least * 1.05));
    most = budget(p, r, most);
    int err = vision_qwen_smart_resize(r->width, r->height, unit, least < most ? least : most, most, 1,
                                       &out->resized_width, &out->resized_height);
    if (err < 0)
        return err;
    vision_qwen_keep_asked(r, unit, &out->resized_width, &out->resized_height);
    vision_add_words(out, "<|vision_start|>");
    for (int32_t pair = 0; pair < (r->n_frames + 1) / 2; pair++)
        vision_qwen_add_pair(out, pair, (int32_t)((float)pair * (float)step));
    vision_add_run(out, 0, out->n_crops);
    vision_add_words(out, "<|vision_end|>");
    return PR_OK;
}

int vision_qwen_resize(const struct vision_layout *l, const struct vision_image *image, uint8_t *rgb)
{
    return vision_resize(image->rgb, image->stride, image->width, image->height, rgb, l->resized_width,
                         l->resized_height, RESIZE_BICUBIC, RESIZE_TORCH);
}
