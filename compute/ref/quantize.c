/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * f32 to the types that activations and caches can have.
 */
#include "compute/ref/ref.h"

#include <math.h>
#include <string.h>

/* The scale is max|x| / 127 as f16, at most 65504; elements are x / scale (before its rounding to f16), rounded to nearest, half
 * away from zero. A block whose scale rounds to 0 becomes zeros. */
static void q8_0(const float *x, uint8_t *block)
{
    float largest = 0;
    for (int i = 0; i < 32; i++)
        largest = fmaxf(largest, fabsf(x[i]));
    float scale = fminf(largest / 127, 65504);
    uint16_t half = compute_f32_to_f16(scale);
    memcpy(block, &half, sizeof half);
    for (int i = 0; i < 32; i++) {
        float q = half ? roundf(x[i] / scale) : 0;
        block[2 + i] = (uint8_t)(int8_t)fmaxf(-127, fminf(127, q));
    }
}

void ref_quantize(enum type type, const float *in, void *blocks, int64_t n)
{
    if (type == TYPE_F32) {
        memcpy(blocks, in, (size_t)n * sizeof *in);
    } else if (type == TYPE_F16) {
        for (int64_t i = 0; i < n; i++)
            ((uint16_t *)blocks)[i] = compute_f32_to_f16(in[i]);
    } else if (type == TYPE_BF16) {
        for (int64_t i = 0; i < n; i++)
            ((uint16_t *)blocks)[i] = compute_f32_to_bf16(in[i]);
    } else {
        for (int64_t i = 0; i < n / 32; i++)
            q8_0(in + 32 * i, (uint8_t *)blocks + 34 * i);
    }
}
