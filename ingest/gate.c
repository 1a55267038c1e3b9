/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ingest/gate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Below both, a frame shows nothing new: coding noise of good encoders stays under them. */
static const float min_difference = 1.5f / 255, min_block = 8.0f / 255;
/* A cut: the histogram distance (0..1) is far above what it was lately, and not tiny. */
static const float min_cut = 0.25f;
enum { BLOCK = 8, MIN_SCENE = 2 };

/* Area average of luma (BT.601 weights in 1/256) down to at most GATE_WIDTH x GATE_HEIGHT. */
static void make_thumbnail(const uint8_t *rgb, int32_t width, int32_t height, int32_t w, int32_t h, uint8_t *out)
{
    for (int32_t y = 0; y < h; y++) {
        int32_t y0 = (int32_t)((int64_t)y * height / h), y1 = (int32_t)((int64_t)(y + 1) * height / h);
        for (int32_t x = 0; x < w; x++) {
            int32_t x0 = (int32_t)((int64_t)x * width / w), x1 = (int32_t)((int64_t)(x + 1) * width / w);
            uint64_t sum = 0;
            for (int32_t v = y0; v < y1; v++) {
                const uint8_t *p = rgb + ((int64_t)v * width + x0) * 3;
                for (int32_t u = x0; u < x1; u++, p += 3)
                    sum += 77u * p[0] + 150u * p[1] + 29u * p[2];
            }
            out[y * w + x] = (uint8_t)(sum / ((uint64_t)(y1 - y0) * (uint64_t)(x1 - x0) * 256));
        }
    }
}

static void compare(const uint8_t *a, const uint8_t *b, int32_t w, int32_t h, struct ingest_gate_result *out)
{
    uint64_t total = 0;
    float worst = 0;
    for (int32_t by = 0; by < h; by += BLOCK) {
        for (int32_t bx = 0; bx < w; bx += BLOCK) {
            int32_t y1 = by + BLOCK < h ? by + BLOCK : h, x1 = bx + BLOCK < w ? bx + BLOCK : w;
            uint32_t sum = 0;
            for (int32_t y = by; y < y1; y++)
                for (int32_t x = bx; x < x1; x++)
                    sum += (uint32_t)abs(a[y * w + x] - b[y * w + x]);
            total += sum;
            worst = fmaxf(worst, (float)sum / (float)((y1 - by) * (x1 - bx)));
        }
    }
    out->difference = (float)((double)total / ((double)w * h)) / 255;
    out->block = worst / 255;
}

/* Every 4th pixel each way is plenty for a histogram. */
static void make_histogram(const uint8_t *rgb, int32_t width, int32_t height, float *out)
{
    uint32_t counts[GATE_BINS] = {0}, n = 0;
    int32_t step = width >= 64 && height >= 64 ? 4 : 1;
    for (int32_t y = 0; y < height; y += step)
        for (int32_t x = 0; x < width; x += step, n++) {
            const uint8_t *p = rgb + ((int64_t)y * width + x) * 3;
            counts[(p[0] >> 6) << 4 | (p[1] >> 6) << 2 | p[2] >> 6]++;
        }
    for (int i = 0; i < GATE_BINS; i++)
        out[i] = (float)counts[i] / (float)n;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static float median(const float *values, int32_t n)
{
    float sorted[120];
    memcpy(sorted, values, (size_t)n * sizeof *values);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    return sorted[n / 2];
}

/* median + 4 MAD of the recent distances, as for feature cuts: films with much motion cut later. */
static float cut_threshold(const struct ingest_gate *gate)
{
    if (gate->n_steps < 8)
        return min_cut;
    float middle = median(gate->steps, gate->n_steps), deviations[120];
    for (int32_t i = 0; i < gate->n_steps; i++)
        deviations[i] = fabsf(gate->steps[i] - middle);
    return fmaxf(min_cut, middle + 4 * median(deviations, gate->n_steps));
}

struct ingest_gate_result ingest_gate_look(struct ingest_gate *gate, const uint8_t *rgb, int32_t width, int32_t height)
{
    static const int32_t n_recent = sizeof gate->steps / sizeof *gate->steps;
    struct ingest_gate_result result = {.difference = 1, .block = 1, .passed = true, .cut = true};
    bool first = gate->width == 0;
    int32_t w = width < GATE_WIDTH ? width : GATE_WIDTH;
    int32_t h = (int32_t)((int64_t)height * w / width);
    h = h < 1 ? 1 : h > GATE_HEIGHT ? GATE_HEIGHT : h;
    h = h > height ? height : h;
    static _Thread_local uint8_t luma[GATE_WIDTH * GATE_HEIGHT];
    float histogram[GATE_BINS], distance = 0;

    make_thumbnail(rgb, width, height, w, h, luma);
    make_histogram(rgb, width, height, histogram);
    for (int i = 0; i < GATE_BINS; i++)
        distance += fabsf(histogram[i] - gate->histogram[i]) / 2;
    if (!first && w == gate->width && h == gate->height) {
        compare(luma, gate->luma, w, h, &result);
        result.passed = result.difference >= min_difference || result.block >= min_block;
    }
    if (!first) {
        result.cut = gate->since_cut >= MIN_SCENE && distance > cut_threshold(gate);
        gate->steps[gate->at_step] = distance;
        gate->at_step = (gate->at_step + 1) % n_recent;
        gate->n_steps += gate->n_steps < n_recent;
    }
    gate->since_cut = result.cut ? 0 : gate->since_cut + 1;
    result.passed |= result.cut;
    memcpy(gate->histogram, histogram, sizeof histogram);
    if (result.passed) {
        memcpy(gate->luma, luma, (size_t)w * (size_t)h);
        gate->width = w;
        gate->height = h;
    }
    return result;
}
