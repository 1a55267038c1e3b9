/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Takes the bytes as the numbers of an mmproj file and of a picture or a video, lays it out and makes its pixels. Runs must cover all crops in
 * order, tokens must add up, and budgets must hold where the family can keep them.
 */
#include "tests/fuzz/fuzz.h"

#include "base/mem.h"
#include "vision/preprocess.h"
#include "vision/sample.h"

#include <stdlib.h>
#include <string.h>

static const struct vision_family families[] = {
    {.layout = vision_idefics3_layout,
     .resize = vision_idefics3_resize,
     .cut = vision_idefics3_cut,
     .fps = 1,
     .min_frames = 1,
     .max_frames = 64},
    {.layout = vision_qwen2vl_layout, .resize = vision_qwen_resize, .fps = 2, .min_frames = 4, .max_frames = 768},
    {.layout = vision_qwen25vl_layout, .resize = vision_qwen_resize, .fps = 2, .min_frames = 4, .max_frames = 768},
    {.layout = vision_qwen3vl_layout, .resize = vision_qwen_resize, .fps = 2, .min_frames = 4, .max_frames = 768},
    {.layout = vision_internvl_layout,
     .resize = vision_internvl_resize,
     .cut = vision_internvl_cut,
     .fps = 1,
     .min_frames = 8,
     .max_frames = 32},
};
enum { INTERNVL = 4, N_FAMILIES = sizeof families / sizeof families[0] };

/* The next n bytes as a number; zeros when there are no more. */
static uint64_t take(const uint8_t **data, size_t *size, size_t n)
{
    uint64_t v = 0;
    n = n < *size ? n : *size;
    memcpy(&v, *data, n);
    *data += n;
    *size -= n;
    return v;
}

static void check(const struct vision_layout *l)
{
    int32_t next = 0;
    int64_t tokens = 0;
    for (int32_t i = 0; i < l->n_pieces; i++) {
        if (l->pieces[i].text)
            continue;
        if (l->pieces[i].crop != next)
            abort();
        next += l->pieces[i].n_crops;
        tokens += vision_tokens(l, l->pieces[i].crop, l->pieces[i].n_crops);
    }
    if (next != l->n_crops || tokens != l->n_tokens || tokens < 1)
        abort();
}

static void fill(const struct vision_layout *l)
{
    size_t size = vision_fill_size(l, 0, l->n_crops), side = (size_t)l->request.width * (size_t)l->request.height;
    if (size > 1 << 17 || side > 1 << 14 || l->request.n_frames > 16 || l->params->longest_edge > 256)
        return;                                               /* right as it may be, it takes too long here */
    uint8_t *rgb = malloc(size), *picture = malloc(3 * side); /* of its exact size: reading beyond it shows */
    struct vision_image images[16];
    memset(picture, 77, 3 * side);
    for (int32_t i = 0; i < l->request.n_frames; i++)
        images[i] =
            (struct vision_image){l->request.width, l->request.height, 3 * (size_t)l->request.width, picture, {0}};
    if (vision_fill(l, 0, l->n_crops, images, rgb) == PR_OK && (rgb[0] != 77 || rgb[size - 1] != 77))
        abort(); /* one colour stays that colour */
    free(rgb);
    free(picture);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int32_t patches[] = {14, 16, 1, 64}, merges[] = {1, 2, 3, 4};
    int which = (int)take(&data, &size, 1) % N_FAMILIES;
    struct vision_params p = {.family = &families[which],
                              .patch = patches[take(&data, &size, 1) % 4],
                              .merge = merges[take(&data, &size, 1) % 4]};
    p.n_frames = which == 0 || which == INTERNVL ? 1 : 2;
    p.min_tiles = 1;
    p.max_tiles = which == INTERNVL ? (int32_t)(size ? data[size - 1] % 40 + 1 : 12) : 0;
    p.image_size = p.patch * p.merge * (int32_t)(take(&data, &size, 1) % 32 + 1);
    p.longest_edge = (int32_t)(take(&data, &size, 2) % (uint64_t)(8 * p.image_size + 1)); /* as the family reads it */
    p.min_pixels = (int64_t)take(&data, &size, 8) & INT64_MAX;
    p.max_pixels = (int64_t)take(&data, &size, 8) & INT64_MAX;
    struct vision_request r = {.medium = take(&data, &size, 1) & 1 ? VISION_VIDEO : VISION_IMAGE};
    r.width = (int32_t)take(&data, &size, 4);
    r.height = (int32_t)take(&data, &size, 4);
    r.max_tokens = (int32_t)take(&data, &size, 2);
    r.whole = take(&data, &size, 1) & 1;
    r.duration = (int64_t)take(&data, &size, 6);
    r.n_frames = r.medium == VISION_VIDEO ? (int32_t)take(&data, &size, 1) : 1;
    int64_t times[256];
    for (int i = 0; i < 256; i++)
        times[i] = (i ? times[i - 1] : 0) + (int64_t)take(&data, &size, 3);
    r.times = r.medium == VISION_VIDEO ? times : NULL;

    struct vision_layout l;
    if (vision_layout_init(&l, &p, &r) == PR_OK) {
        check(&l);
        fill(&l);
        vision_layout_finish(&l);
    }
    int64_t total = (int64_t)(r.duration & 0xffffff) + 1, frames[768];
    int32_t (*const samples[])(const struct vision_family *family, int64_t n, double fps,
                               int64_t *frames) = {vision_idefics3_sample, vision_qwen2vl_sample, vision_qwen2vl_sample,
                                                   vision_qwen3vl_sample, vision_internvl_sample};
    int32_t n = samples[which](&families[which], total, r.max_tokens / 7.0 + 0.01, frames);
    if (n < 1 || n > families[which].max_frames)
        abort();
    for (int32_t i = 0; i < n; i++)
        if (frames[i] < 0 || frames[i] >= total || (i && frames[i] < frames[i - 1]))
            abort();
    return 0;
}
