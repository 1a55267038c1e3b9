/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/mem.h"
#include "compute/pass.h"
#include "engine/clock.h"
#include "engine/model.h"

#include <stdio.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int32_t n)
{
    qsort(values, (size_t)n, sizeof *values, compare);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* A picture with something on it. */
static uint8_t *draw(int32_t side)
{
    uint8_t *rgb = base_alloc(3 * (size_t)side * (size_t)side);
    for (int32_t y = 0; y < side; y++)
        for (int32_t x = 0; x < side; x++)
            for (int c = 0; c < 3; c++)
                rgb[3 * (y * side + x) + c] = (uint8_t)(x * (c + 1) / 4 + (x / 16 + y / 16) % 2 * 60 + y / 8);
    return rgb;
}

static int measure(struct vision_encoder *encoder, const struct vision_layout *layout, int32_t runs,
                   const struct base_cancel *cancel, struct pr_bench_vision *out)
{
    int err = PR_OK;
    int32_t side = out->side;
    uint8_t *picture = draw(side), *rgb = base_alloc(vision_fill_size(layout, 0, layout->n_crops));
    float *rows = base_alloc((size_t)layout->n_tokens * (size_t)vision_encoder_width(encoder) * sizeof *rows);
    double *prepare = base_alloc_array((size_t)runs, sizeof *prepare),
           *encode = base_alloc_array((size_t)runs, sizeof *encode);
    struct vision_image image = {.width = side, .height = side, .stride = 3 * (size_t)side, .rgb = picture};
    for (int32_t i = -1; i < runs; i++) { /* the first one warms up */
        double start = engine_now();
        TRY(vision_fill(layout, 0, layout->n_crops, &image, rgb));
        double middle = engine_now();
        TRY(vision_encode(encoder, layout, 0, layout->n_crops, rgb, rows, cancel));
        if (i < 0)
            continue;
        prepare[i] = middle - start;
        encode[i] = engine_now() - middle;
    }
    out->prepare_s = median(prepare, runs);
    out->encode_s = median(encode, runs);
fail:
    base_free(picture);
    base_free(rgb);
    base_free(rows);
    base_free(prepare);
    base_free(encode);
    return err;
}

static int fill_costs(struct vision_encoder *encoder, const struct vision_layout *layout, struct pr_bench_vision *out)
{
    int err;
    struct pass_cost one, batch;
    const struct vision_crop *crop = &layout->crops[0];
    TRY(vision_encoder_cost(encoder, crop->width, crop->height, 1, &one));
    int32_t n = vision_encoder_batch(encoder, crop->width, crop->height, layout->n_crops);
    TRY(n);
    TRY(vision_encoder_cost(encoder, crop->width, crop->height, n, &batch));
    out->arena_bytes = batch.arena;
    out->gflop_s = one.flops * layout->n_crops / out->encode_s * 1e-9;
    return PR_OK;
fail:
    return err;
}

int pr_bench_vision(const struct pr_settings *settings, struct pr_cancel *cancel, struct pr_bench_vision *out)
{
    int err;
    struct pr_settings s;
    struct vision_layout layout = {0};
    struct pr_model *model = base_alloc(sizeof *model);
    *out = (struct pr_bench_vision){0};
    TRY(engine_settings(settings, &s));
    out->side = s.side;
    TRY(engine_open_devices(model, &s));
    TRY(engine_vision_open(&model->vision, s.mmproj, s.model, model->device, model->host, NULL, NULL));
    struct vision_encoder *encoder = model->vision.encoder;
    struct vision_request request = {
        .medium = VISION_IMAGE, .width = s.side, .height = s.side, .n_frames = 1, .max_tokens = s.image_tokens};
    TRY(vision_layout_init(&layout, vision_encoder_params(encoder), &request));
    TRY(measure(encoder, &layout, s.runs, engine_cancel(cancel), out));
    TRY(fill_costs(encoder, &layout, out));
    out->crops = layout.n_crops;
    out->tokens = layout.n_tokens;
    out->runs = s.runs;
    out->peak_device_bytes = model->device->peak;
    snprintf(out->family, sizeof out->family, "%s", vision_encoder_params(encoder)->family->title);
    snprintf(out->device, sizeof out->device, "%s", model->device->info.id);
    err = PR_OK;
fail:
    vision_layout_finish(&layout);
    pr_model_close(model);
    return err;
}
