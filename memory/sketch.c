/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/sketch.h"

#include <math.h>
#include <stdint.h>

enum { ADDS = 4 };

float memory_dot(const float *a, const float *b, size_t d)
{
    float sum[8] = {0};
    size_t i = 0;
    for (; i + 8 <= d; i += 8)
        for (size_t j = 0; j < 8; j++)
            sum[j] += a[i + j] * b[i + j];
    for (; i < d; i++)
        sum[0] += a[i] * b[i];
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

/* 64 mixed bits of a number (splitmix64). */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static void sketch_row(const float *row, size_t d, float *out)
{
    for (size_t j = 0; j < SKETCH_WIDTH; j++)
        out[j] = 0;
    for (size_t i = 0; i < d; i++) {
        uint64_t bits = mix(i);
        for (int k = 0; k < ADDS; k++, bits >>= 8) {
            size_t place = (size_t)k * (SKETCH_WIDTH / ADDS) + (bits & (SKETCH_WIDTH / ADDS - 1));
            out[place] += bits & 0x80 ? -row[i] : row[i];
        }
    }
}

void memory_sketch(const float *rows, size_t n, size_t d, float *out)
{
    size_t width = memory_sketch_width(d);
    for (size_t i = 0; i < n; i++, rows += d, out += width) {
        if (d > SKETCH_WIDTH)
            sketch_row(rows, d, out);
        const float *from = d > SKETCH_WIDTH ? out : rows;
        float length = sqrtf(memory_dot(from, from, width));
        float scale = length > 0 && isfinite(length) ? 1 / length : 0;
        for (size_t j = 0; j < width; j++)
            out[j] = scale > 0 ? from[j] * scale : 0;
    }
}
