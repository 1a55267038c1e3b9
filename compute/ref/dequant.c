/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the bytes of every weight format mean. Numbers are little-endian; "f16" is an IEEE half. Where one byte holds two 4-bit
 * values, the low half comes first in the block order given below. In each comment, "block" is what lies in the file, in order.
 *
 * Source: the formats of GGUF files as ggml writes them; checked bit by bit with the Python package "gguf"
 * (tests/compute/dequant.c).
 */
#include "compute/ref/ref.h"

#include <string.h>

static float f16_at(const uint8_t *p)
{
    return compute_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* ---- blocks of 32 ------------------------------------------------------------------------------------------------------- */

/* block: f16 d, 16 bytes. Element j < 16 is the low half of byte j, element j + 16 its high half; w = d * (q - 8). */
static void q4_0(const uint8_t *b, float *w)
{
    float d = f16_at(b);
    for (int j = 0; j < 16; j++) {
        w[j] = d * (float)((b[2 + j] & 15) - 8);
        w[j + 16] = d * (float)((b[2 + j] >> 4) - 8);
    }
}

/* block: f16 d, f16 m, 16 bytes as in Q4_0; w = d * q + m. */
static void q4_1(const uint8_t *b, float *w)
{
    float d = f16_at(b), m = f16_at(b + 2);
    for (int j = 0; j < 16; j++) {
        w[j] = d * (float)(b[4 + j] & 15) + m;
        w[j + 16] = d * (float)(b[4 + j] >> 4) + m;
    }
}

/* block: f16 d, u32 high, 16 bytes as in Q4_0; bit j of `high` is the fifth bit of element j; w = d * (q - 16). */
static void q5_0(const uint8_t *b, float *w)
{
    float d = f16_at(b);
    uint32_t high = u32_at(b + 2);
    for (int j = 0; j < 16; j++) {
        int low = (b[6 + j] & 15) | (int)(high >> j & 1) << 4;
        int up = (b[6 + j] >> 4) | (int)(high >> (j + 16) & 1) << 4;
        w[j] = d * (float)(low - 16);
        w[j + 16] = d * (float)(up - 16);
    }
}

/* block: f16 d, f16 m, u32 high, 16 bytes as in Q5_0; w = d * q + m. */
static void q5_1(const uint8_t *b, float *w)
{
    float d = f16_at(b), m = f16_at(b + 2);
    uint32_t high = u32_at(b + 4);
    for (int j = 0; j < 16; j++) {
        int low = (b[8 + j] & 15) | (int)(high >> j & 1) << 4;
        int up = (b[8 + j] >> 4) | (int)(high >> (j + 16) & 1) << 4;
        w[j] = d * (float)low + m;
        w[j + 16] = d * (float)up + m;
    }
}

/* block: f16 d, 32 signed bytes; w = d * q. */
static void q8_0(const uint8_t *b, float *w)
{
    float d = f16_at(b);
    for (int j = 0; j < 32; j++)
        w[j] = d * (float)(int8_t)b[2 + j];
}

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* block: f16 d, 16 bytes as in Q4_0; w = d * iq4_values[q]. */
static void iq4_nl(const uint8_t *b, float *w)
{
    float d = f16_at(b);
    for (int j = 0; j < 16; j++) {
        w[j] = d * (float)iq4_values[b[2 + j] & 15];
        w[j + 16] = d * (float)iq4_values[b[2 + j] >> 4];
    }
}

/* block: u8 e, 16 bytes as in Q4_0; w = 2^(e-128) * doubled E2M1 value of q (OCP Microscaling Formats 1.0; doubled so that the
 * table is whole numbers, and the scale halved in return). */
static void mxfp4(const uint8_t *b, float *w)
{
    static const int8_t e2m1_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    uint32_t bits = b[0] < 2 ? UINT32_C(0x00200000) << b[0] : (uint32_t)(b[0] - 1) << 23;
    float d;
    memcpy(&d, &bits, sizeof d);
    for (int j = 0; j < 16; j++) {
        w[j] = d * (float)e2m1_doubled[b[1 + j] & 15];
        w[j + 16] = d * (float)e2m1_doubled[b[1 + j] >> 4];
    }
}

/* ---- blocks of 256 ---------------------------------------------------------------------------------------------------------
 * The 2-bit planes of Q2_K and Q3_K: a half block of 128 elements takes 32 bytes; element 32 * s + l of the half is bits
 * 2s and 2s+1 of byte l. Groups of 16 elements have a scale each. */

/* block: 16 bytes of scales (low half: scale, high half: minimum), 64 bytes of 2-bit planes, f16 d, f16 dmin;
 * w = d * scale * q - dmin * minimum. */
static void q2_k(const uint8_t *b, float *w)
{
    const uint8_t *scales = b, *planes = b + 16;
    float d = f16_at(b + 80), dmin = f16_at(b + 82);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, s = i % 128 / 32, l = i % 32;
        int q = planes[32 * half + l] >> 2 * s & 3;
        uint8_t scale = scales[i / 16];
        w[i] = d * (float)(scale & 15) * (float)q - dmin * (float)(scale >> 4);
    }
}

/* block: 32 bytes of high bits, 64 bytes of 2-bit planes, 12 bytes of scales, f16 d. Bit i/32 of byte i%32 of the high bits is
 * the third bit of element i, inverted: where it is 0, 4 is taken off. The sixteen 6-bit scales: low 4 bits in bytes 0..7 (scales
 * 0..7 in low halves, 8..15 in high halves), upper 2 bits in bytes 8..11 (scale j: bits 2*(j/4).. of byte 8 + j%4).
 * w = d * (scale - 32) * q. */
static void q3_k(const uint8_t *b, float *w)
{
    const uint8_t *high = b, *planes = b + 32, *packed = b + 96;
    float d = f16_at(b + 108);
    int scales[16];
    for (int j = 0; j < 16; j++) {
        int low = j < 8 ? packed[j] & 15 : packed[j - 8] >> 4;
        int upper = packed[8 + j % 4] >> 2 * (j / 4) & 3;
        scales[j] = (low | upper << 4) - 32;
    }
    for (int i = 0; i < 256; i++) {
        int half = i / 128, s = i % 128 / 32, l = i % 32;
        int q = (planes[32 * half + l] >> 2 * s & 3) - (high[l] >> (i / 32) & 1 ? 0 : 4);
        w[i] = d * (float)scales[i / 16] * (float)q;
    }
}

/* The eight 6-bit pairs (scale, minimum) in the 12 bytes of Q4_K and Q5_K: pairs 0..3 are the low 6 bits of bytes j and j + 4;
 * pairs 4..7 have their low 4 bits in byte j + 4 (low half: scale, high half: minimum) and their upper 2 bits on top of bytes
 * j - 4 and j. */
static void scale_and_minimum(const uint8_t *s, int j, int *scale, int *minimum)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *minimum = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
        *minimum = (s[j + 4] >> 4) | (s[j] >> 6) << 4;
    }
}

/* block: f16 d, f16 dmin, 12 bytes of scales, 128 bytes. Each 32 bytes hold 64 elements: low halves the first 32, high halves
 * the next 32. Groups of 32 share a scale and a minimum; w = d * scale * q - dmin * minimum. */
static void q4_k(const uint8_t *b, float *w)
{
    float d = f16_at(b), dmin = f16_at(b + 2);
    const uint8_t *quants = b + 16;
    for (int j = 0; j < 8; j++) {
        int scale, minimum;
        scale_and_minimum(b + 4, j, &scale, &minimum);
        for (int l = 0; l < 32; l++) {
            int q = quants[32 * (j / 2) + l] >> 4 * (j % 2) & 15;
            w[32 * j + l] = d * (float)scale * (float)q - dmin * (float)minimum;
        }
    }
}

/* block: f16 d, f16 dmin, 12 bytes of scales, 32 bytes of high bits, 128 bytes as in Q4_K. Bit j of byte l of the high bits is
 * the fifth bit of element l of group j. */
static void q5_k(const uint8_t *b, float *w)
{
    float d = f16_at(b), dmin = f16_at(b + 2);
    const uint8_t *high = b + 16, *quants = b + 48;
    for (int j = 0; j < 8; j++) {
        int scale, minimum;
        scale_and_minimum(b + 4, j, &scale, &minimum);
        for (int l = 0; l < 32; l++) {
            int q = (quants[32 * (j / 2) + l] >> 4 * (j % 2) & 15) | (high[l] >> j & 1) << 4;
            w[32 * j + l] = d * (float)scale * (float)q - dmin * (float)minimum;
        }
    }
}

/* block: 128 bytes of low halves, 64 bytes of upper 2 bits, 16 signed bytes of scales, f16 d. A half block of 128 elements takes
 * 64 low bytes and 32 upper bytes; its element 32 * g + l (g = 0..3) has its low 4 bits in byte l + 32 * (g % 2) (g < 2: low
 * half, otherwise high half) and its upper 2 bits in bits 2g and 2g+1 of byte l. Groups of 16 share a scale;
 * w = d * scale * (q - 32). */
static void q6_k(const uint8_t *b, float *w)
{
    float d = f16_at(b + 208);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, g = i % 128 / 32, l = i % 32;
        int low = b[64 * half + l + 32 * (g % 2)] >> 4 * (g / 2) & 15;
        int upper = b[128 + 32 * half + l] >> 2 * g & 3;
        int scale = (int8_t)b[192 + i / 16];
        w[i] = d * (float)scale * (float)((low | upper << 4) - 32);
    }
}

/* block: f16 d, u16 upper, 4 bytes of low scale bits, 128 bytes. Eight groups of 32, each 16 bytes as in IQ4_NL. The scale of
 * group j has its low 4 bits in the j-th half byte and its upper 2 bits in bits 2j and 2j+1 of `upper`;
 * w = d * (scale - 32) * iq4_values[q]. */
static void iq4_xs(const uint8_t *b, float *w)
{
    float d = f16_at(b);
    int upper = b[2] | b[3] << 8;
    for (int j = 0; j < 8; j++) {
        int scale = ((b[4 + j / 2] >> 4 * (j % 2) & 15) | (upper >> 2 * j & 3) << 4) - 32;
        const uint8_t *quants = b + 8 + 16 * j;
        for (int l = 0; l < 16; l++) {
            w[32 * j + l] = d * (float)scale * (float)iq4_values[quants[l] & 15];
            w[32 * j + l + 16] = d * (float)scale * (float)iq4_values[quants[l] >> 4];
        }
    }
}

/* ---- rows --------------------------------------------------------------------------------------------------------------- */

static void (*const unpack_block[TYPE_LIMIT])(const uint8_t *, float *) = {
    [TYPE_Q4_0] = q4_0,     [TYPE_Q4_1] = q4_1,     [TYPE_Q5_0] = q5_0,   [TYPE_Q5_1] = q5_1, [TYPE_Q8_0] = q8_0,
    [TYPE_Q2_K] = q2_k,     [TYPE_Q3_K] = q3_k,     [TYPE_Q4_K] = q4_k,   [TYPE_Q5_K] = q5_k, [TYPE_Q6_K] = q6_k,
    [TYPE_IQ4_NL] = iq4_nl, [TYPE_IQ4_XS] = iq4_xs, [TYPE_MXFP4] = mxfp4,
};

void ref_dequantize(enum type type, const void *blocks, float *out, int64_t n)
{
    if (type == TYPE_F32) {
        memcpy(out, blocks, (size_t)n * sizeof *out);
    } else if (type == TYPE_F16) {
        for (int64_t i = 0; i < n; i++)
            out[i] = compute_f16_to_f32(((const uint16_t *)blocks)[i]);
    } else if (type == TYPE_BF16) {
        for (int64_t i = 0; i < n; i++)
            out[i] = compute_bf16_to_f32(((const uint16_t *)blocks)[i]);
    } else {
        const struct type_traits *traits = compute_type((int)type);
        for (int64_t i = 0; i < n / traits->block; i++)
            unpack_block[type]((const uint8_t *)blocks + i * traits->bytes, out + i * traits->block);
    }
}
