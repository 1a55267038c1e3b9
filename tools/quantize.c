/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/quantize.h"

#include "compute/ref/ref.h"

#include <math.h>
#include <string.h>

/* ---- helpers ------------------------------------------------------------------------------------------------------ */

static int round_to(float x, int min, int max)
{
    long q = lrintf(x);
    return q < min ? min : q > max ? max : (int)q;
}

static float inverse(float x)
{
    return x != 0 ? 1 / x : 0;
}

/* Stores a scale as f16 and returns what it then is. */
static float store_f16(uint8_t *at, float value)
{
    uint16_t h = compute_f32_to_f16(value);
    memcpy(at, &h, sizeof h);
    return compute_f16_to_f32(h);
}

/* The element of the largest magnitude, with its sign: as the lowest code is one step longer than the highest, it gets that. */
static float extreme(const float *x, int n)
{
    float found = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(found))
            found = x[i];
    return found;
}

static void range(const float *x, int n, float *min, float *max)
{
    *min = *max = x[0];
    for (int i = 1; i < n; i++) {
        *min = x[i] < *min ? x[i] : *min;
        *max = x[i] > *max ? x[i] : *max;
    }
}

/* ---- blocks of 32 ------------------------------------------------------------------------------------------------- */

static void pack_nibbles(const uint8_t q[32], uint8_t *out)
{
    for (int j = 0; j < 16; j++)
        out[j] = (uint8_t)((q[j] & 15) | (q[j + 16] & 15) << 4);
}

/* Bit 4 of every code, as Q5_0 and Q5_1 keep it apart. */
static void pack_fifth_bits(const uint8_t q[32], uint8_t *out)
{
    uint32_t bits = 0;
    for (int j = 0; j < 32; j++)
        bits |= (uint32_t)(q[j] >> 4 & 1) << j;
    memcpy(out, &bits, sizeof bits);
}

/* Q4_0 (levels 16) and Q5_0 (32): w = d * (q - levels/2). */
static void symmetric_32(const float *x, uint8_t *out, int levels)
{
    uint8_t q[32];
    float d = store_f16(out, extreme(x, 32) / (float)(-levels / 2)), id = inverse(d);
    for (int j = 0; j < 32; j++)
        q[j] = (uint8_t)(round_to(x[j] * id, -levels / 2, levels / 2 - 1) + levels / 2);
    if (levels == 32)
        pack_fifth_bits(q, out + 2);
    pack_nibbles(q, out + (levels == 32 ? 6 : 2));
}

/* Q4_1 and Q5_1: w = d * q + m. */
static void affine_32(const float *x, uint8_t *out, int levels)
{
    uint8_t q[32];
    float min, max;
    range(x, 32, &min, &max);
    float d = store_f16(out, (max - min) / (float)(levels - 1)), id = inverse(d);
    float m = store_f16(out + 2, min);
    for (int j = 0; j < 32; j++)
        q[j] = (uint8_t)round_to((x[j] - m) * id, 0, levels - 1);
    if (levels == 32)
        pack_fifth_bits(q, out + 4);
    pack_nibbles(q, out + (levels == 32 ? 8 : 4));
}

/* The index of the entry of an ascending table that is nearest to x. */
static uint8_t nearest(const int8_t *table, int n, float x)
{
    int low = 0, high = n - 1;
    while (high - low > 1) {
        int mid = (low + high) / 2;
        if (x < table[mid])
            high = mid;
        else
            low = mid;
    }
    return (uint8_t)(x - table[low] <= table[high] - x ? low : high);
}

static const int8_t iq4_table[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static void iq4_codes(const float *x, float d, uint8_t *out)
{
    uint8_t q[32];
    float id = inverse(d);
    for (int j = 0; j < 32; j++)
        q[j] = nearest(iq4_table, 16, x[j] * id);
    pack_nibbles(q, out);
}

static void iq4_nl(const float *x, uint8_t *out)
{
    iq4_codes(x, store_f16(out, extreme(x, 32) / -127), out + 2);
}

/* Powers of two as scales; codes are sign and magnitude. */
static void mxfp4(const float *x, uint8_t *out)
{
    static const int8_t magnitudes[8] = {0, 1, 2, 3, 4, 6, 8, 12};
    uint8_t q[32];
    float largest = fabsf(extreme(x, 32));
    int exponent = largest > 0 ? (int)ceilf(log2f(largest / 12)) + 128 : 1;
    exponent = exponent < 1 ? 1 : exponent > 254 ? 254 : exponent;
    float id = ldexpf(1, 128 - exponent);
    out[0] = (uint8_t)exponent;
    for (int j = 0; j < 32; j++)
        q[j] = (uint8_t)(nearest(magnitudes, 8, fabsf(x[j]) * id) | (x[j] < 0 ? 8 : 0));
    pack_nibbles(q, out + 1);
}

/* ---- blocks of 256 ------------------------------------------------------------------------------------------------ */

/* Scales and minima of sub-blocks, in steps that the block's d and dmin share: w = d*scale*q - dmin*min. */
struct affine {
    uint8_t scale[16], min[16];
    uint8_t q[256];
};

static void affine_256(const float *x, int sub, int levels, int steps, uint8_t *d_at, uint8_t *dmin_at,
                       struct affine *a)
{
    float scales[16], mins[16], top_scale = 0, top_min = 0;
    int n = 256 / sub;
    for (int s = 0; s < n; s++) {
        float min, max;
        range(x + s * sub, sub, &min, &max);
        min = min < 0 ? min : 0; /* minima are subtracted and can't be negative */
        scales[s] = max > min ? (max - min) / (float)(levels - 1) : 0;
        mins[s] = -min;
        top_scale = scales[s] > top_scale ? scales[s] : top_scale;
        top_min = mins[s] > top_min ? mins[s] : top_min;
    }
    float d = store_f16(d_at, top_scale / (float)steps), dmin = store_f16(dmin_at, top_min / (float)steps);
    for (int s = 0; s < n; s++) {
        a->scale[s] = (uint8_t)round_to(scales[s] * inverse(d), 0, steps);
        a->min[s] = (uint8_t)round_to(mins[s] * inverse(dmin), 0, steps);
        float step = inverse(d * a->scale[s]), offset = dmin * a->min[s];
        for (int i = s * sub; i < (s + 1) * sub; i++)
            a->q[i] = (uint8_t)round_to((x[i] + offset) * step, 0, levels - 1);
    }
}

static void q2_k(const float *x, uint8_t *out)
{
    struct affine a;
    affine_256(x, 16, 4, 15, out + 80, out + 82, &a);
    for (int s = 0; s < 16; s++)
        out[s] = (uint8_t)(a.scale[s] | a.min[s] << 4);
    for (int half = 0; half < 2; half++)
        for (int l = 0; l < 32; l++) {
            const uint8_t *q = a.q + half * 128 + l;
            out[16 + half * 32 + l] = (uint8_t)(q[0] | q[32] << 2 | q[64] << 4 | q[96] << 6);
        }
}

/* Eight pairs of 6-bit numbers in 12 bytes, as Q4_K and Q5_K have them. */
static void pack_scales(const struct affine *a, uint8_t *out)
{
    for (int j = 0; j < 4; j++) {
        out[j] = (uint8_t)((a->scale[j] & 63) | (a->scale[j + 4] >> 4) << 6);
        out[j + 4] = (uint8_t)((a->min[j] & 63) | (a->min[j + 4] >> 4) << 6);
        out[j + 8] = (uint8_t)((a->scale[j + 4] & 15) | (a->min[j + 4] & 15) << 4);
    }
}

static void q4_k(const float *x, uint8_t *out)
{
    struct affine a;
    affine_256(x, 32, 16, 63, out, out + 2, &a);
    pack_scales(&a, out + 4);
    for (int i = 0; i < 4; i++)
        for (int l = 0; l < 32; l++)
            out[16 + i * 32 + l] = (uint8_t)(a.q[i * 64 + l] | a.q[i * 64 + 32 + l] << 4);
}

static void q5_k(const float *x, uint8_t *out)
{
    struct affine a;
    affine_256(x, 32, 32, 63, out, out + 2, &a);
    pack_scales(&a, out + 4);
    memset(out + 16, 0, 32);
    for (int i = 0; i < 4; i++)
        for (int l = 0; l < 32; l++) {
            uint8_t low = a.q[i * 64 + l], high = a.q[i * 64 + 32 + l];
            out[16 + l] |= (uint8_t)((low >> 4) << (2 * i) | (high >> 4) << (2 * i + 1));
            out[48 + i * 32 + l] = (uint8_t)((low & 15) | (high & 15) << 4);
        }
}

/* Signed scales of sub-blocks in steps that the block's d shares; the sub-block's extreme gets the code `lowest`. */
static float symmetric_scales(const float *x, int sub, float lowest, int steps, uint8_t *d_at, int8_t *scale)
{
    float scales[16], top = 0;
    int n = 256 / sub;
    for (int s = 0; s < n; s++) {
        scales[s] = extreme(x + s * sub, sub) / lowest;
        top = fabsf(scales[s]) > top ? fabsf(scales[s]) : top;
    }
    float d = store_f16(d_at, top / (float)steps);
    for (int s = 0; s < n; s++)
        scale[s] = (int8_t)round_to(scales[s] * inverse(d), -steps, steps);
    return d;
}

static void q3_k(const float *x, uint8_t *out)
{
    int8_t scale[16];
    uint8_t *mask = out, *qs = out + 32, *scales = out + 96;
    float d = symmetric_scales(x, 16, -4, 31, out + 108, scale);
    memset(out, 0, 108);
    for (int s = 0; s < 16; s++) {
        uint8_t six = (uint8_t)(scale[s] + 32);
        scales[s % 8] |= (uint8_t)((six & 15) << (s < 8 ? 0 : 4));
        scales[8 + s % 4] |= (uint8_t)((six >> 4) << (2 * (s / 4)));
    }
    for (int i = 0; i < 256; i++) {
        int q = round_to(x[i] * inverse(d * scale[i / 16]), -4, 3) + 4;
        int half = i / 128, shift = i % 128 / 32, l = i % 32;
        qs[half * 32 + l] |= (uint8_t)((q & 3) << (2 * shift));
        mask[l] |= (uint8_t)((q >> 2) << (half * 4 + shift)); /* set: nothing is subtracted */
    }
}

static void q6_k(const float *x, uint8_t *out)
{
    int8_t scale[16];
    uint8_t q[256];
    float d = symmetric_scales(x, 16, -32, 127, out + 208, scale);
    memcpy(out + 192, scale, sizeof scale);
    for (int i = 0; i < 256; i++)
        q[i] = (uint8_t)(round_to(x[i] * inverse(d * scale[i / 16]), -32, 31) + 32);
    for (int half = 0; half < 2; half++)
        for (int l = 0; l < 32; l++) {
            const uint8_t *p = q + half * 128 + l;
            uint8_t *ql = out + half * 64 + l;
            ql[0] = (uint8_t)((p[0] & 15) | (p[64] & 15) << 4);
            ql[32] = (uint8_t)((p[32] & 15) | (p[96] & 15) << 4);
            out[128 + half * 32 + l] = (uint8_t)(p[0] >> 4 | (p[32] >> 4) << 2 | (p[64] >> 4) << 4 | (p[96] >> 4) << 6);
        }
}

static void iq4_xs(const float *x, uint8_t *out)
{
    int8_t scale[16];
    uint16_t high = 0;
    float d = symmetric_scales(x, 32, -127, 31, out, scale);
    memset(out + 4, 0, 4);
    for (int s = 0; s < 8; s++) {
        uint8_t six = (uint8_t)(scale[s] + 32);
        high |= (uint16_t)((six >> 4) << (2 * s));
        out[4 + s / 2] |= (uint8_t)((six & 15) << (4 * (s % 2)));
        iq4_codes(x + s * 32, d * scale[s], out + 8 + s * 16);
    }
    memcpy(out + 2, &high, sizeof high);
}

/* ------------------------------------------------------------------------------------------------------------------- */

static void quantize_block(enum type type, const float *x, uint8_t *out)
{
    switch (type) {
    case TYPE_Q4_0:
        symmetric_32(x, out, 16);
        break;
    case TYPE_Q5_0:
        symmetric_32(x, out, 32);
        break;
    case TYPE_Q4_1:
        affine_32(x, out, 16);
        break;
    case TYPE_Q5_1:
        affine_32(x, out, 32);
        break;
    case TYPE_Q2_K:
        q2_k(x, out);
        break;
    case TYPE_Q3_K:
        q3_k(x, out);
        break;
    case TYPE_Q4_K:
        q4_k(x, out);
        break;
    case TYPE_Q5_K:
        q5_k(x, out);
        break;
    case TYPE_Q6_K:
        q6_k(x, out);
        break;
    case TYPE_IQ4_NL:
        iq4_nl(x, out);
        break;
    case TYPE_IQ4_XS:
        iq4_xs(x, out);
        break;
    case TYPE_MXFP4:
        mxfp4(x, out);
        break;
    default: /* handled by quantize() */
        break;
    }
}

void quantize(enum type type, const float *in, void *blocks, int64_t n)
{
    const struct type_traits *t = compute_type((int)type);
    if (t->block == 1 || type == TYPE_Q8_0) { /* the formats that state and activations can have */
        ref_quantize(type, in, blocks, n);
        return;
    }
    for (int64_t i = 0; i < n / t->block; i++)
        quantize_block(type, in + i * t->block, (uint8_t *)blocks + i * t->bytes);
}
