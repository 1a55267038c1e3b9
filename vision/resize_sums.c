/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Compiled once per tier (meson.build), which decides how wide vectors are and how pairs of 16 bits are multiplied.
 */
#include "vision/resize_sums.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define INLINE       static inline __attribute__((always_inline))
#define PASTE2(a, b) a##b
#define PASTE(a, b)  PASTE2(a, b)
#define TEXT2(a)     #a
#define TEXT(a)      TEXT2(a)

#if defined(__AVX512BW__)
enum { LANES = 16 };
#elif defined(__AVX2__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
enum { COLOURS = 3, BLOCK = 4 }; /* vectors that are summed together: the first pass's, the second's */

typedef int32_t lanes __attribute__((vector_size(4 * LANES)));
typedef uint32_t quads __attribute__((vector_size(4 * LANES)));

/* sum + a0 * b0 + a1 * b1 of each lane's two halves, which are signed. Sums are modulo 2^32: the low parts of a window's weights
 * alone may come to more, what all parts come to fits. */
INLINE quads add_products(quads sum, quads a, quads b)
{
#if defined(__AVX512VNNI__)
    return (quads)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#elif defined(__AVX512BW__)
    return sum + (quads)_mm512_madd_epi16((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return sum + (quads)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    return sum + (quads)_mm_madd_epi16((__m128i)a, (__m128i)b);
#else
    return sum + (quads)((lanes)(a << 16) >> 16) * (quads)((lanes)(b << 16) >> 16) +
           (quads)((lanes)a >> 16) * (quads)((lanes)b >> 16);
#endif
}

/* The pair in every lane. */
INLINE quads spread(const int16_t pair[2])
{
    uint32_t both;
    memcpy(&both, pair, sizeof both);
    return both - (quads){0};
}

/* Output i of n vectors of quads; those of the next are `stride` bytes behind. */
INLINE void sum_quads(const struct resize_windows *w, int i, const uint8_t *from, size_t stride, int n, bool narrow,
                      lanes *out)
{
    quads low[BLOCK] = {0}, high[BLOCK] = {0};
    const struct resize_quad *weights = w->weights + (size_t)i * (size_t)w->reach;
    for (int k = 0; k < w->n[i]; k++, from += stride)
        for (int v = 0; v < n; v++) {
            quads in;
            memcpy(&in, from + (size_t)v * sizeof in, sizeof in);
            quads even = in & 0xff00ff, odd = in >> 8 & 0xff00ff;
            high[v] = add_products(high[v], even, spread(weights[k].even_high));
            high[v] = add_products(high[v], odd, spread(weights[k].odd_high));
            if (narrow)
                continue;
            low[v] = add_products(low[v], even, spread(weights[k].even_low));
            low[v] = add_products(low[v], odd, spread(weights[k].odd_low));
        }
    for (int v = 0; v < n; v++) {
        quads sum = low[v] + (high[v] << (narrow ? 0 : RESIZE_LOW_BITS));
        out[v] = (lanes)(sum + (1U << (w->bits - 1))) >> w->bits;
    }
}

/* ---- four rows by four pixels ----------------------------------------------------------------------------------------- */

typedef uint8_t bytes __attribute__((vector_size(16)));
typedef uint32_t words __attribute__((vector_size(16)));

/* The colours of four pixels: RGBRGBRGBRGB.... -> RRRRGGGGBBBB.... */
INLINE words colours(const uint8_t *rgb)
{
    bytes v;
    memcpy(&v, rgb, sizeof v);
    return (words)__builtin_shufflevector(v, v, 0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11, 12, 13, 14, 15);
}

INLINE void gather_four(const uint8_t *const *rows, size_t at, uint8_t *to)
{
    words a = colours(rows[0] + at), b = colours(rows[1] + at), c = colours(rows[2] + at), d = colours(rows[3] + at);
    words ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    words colour[COLOURS] = {
        __builtin_shufflevector(ab, cd, 0, 1, 4, 5),
        __builtin_shufflevector(ab, cd, 2, 3, 6, 7),
        (words){a[2], b[2], c[2], d[2]},
    };
    for (int i = 0; i < COLOURS; i++)
        memcpy(to + (size_t)4 * LANES * (size_t)i, &colour[i], sizeof colour[i]);
}

static void gather(const uint8_t *const *rows, int columns, uint8_t *to)
{
    const size_t quad = (size_t)COLOURS * 4 * LANES;
    int x = 0;
    for (; x + 6 <= columns; x += 4, to += quad) /* it reads 16 bytes */
        for (int r = 0; r < LANES; r += 4)
            gather_four(rows + r, 3 * (size_t)x, to + (size_t)4 * (size_t)r);
    for (; x < columns; x += 4, to += quad)
        for (int c = 0; c < COLOURS; c++)
            for (int r = 0; r < LANES; r++)
                for (int k = 0; k < 4; k++)
                    to[4 * (c * LANES + r) + k] = x + k < columns ? rows[r][3 * (x + k) + c] : 0;
}

/* ---- the passes ------------------------------------------------------------------------------------------------------- */

/* 0 to 255 in its lowest byte. */
INLINE lanes clip(lanes v)
{
    return (v & ~(v >> 31)) | ((255 - v) >> 31);
}

/* n vectors as bytes. */
INLINE void put_bytes(const lanes *sum, int n, uint8_t *to)
{
#if defined(__AVX512BW__)
    for (int v = 0; v < n; v++)
        _mm_storeu_si128((__m128i *)(to + v * LANES), _mm512_cvtepi32_epi8((__m512i)clip(sum[v])));
#else
    int32_t values[BLOCK * LANES];
    for (int v = 0; v < n; v++) {
        lanes clipped = clip(sum[v]);
        memcpy(values + v * LANES, &clipped, sizeof clipped);
    }
    for (int i = 0; i < n * LANES; i++)
        to[i] = (uint8_t)values[i];
#endif
}

INLINE void squeeze_all(const struct resize_windows *x, const uint8_t *from, int columns, bool narrow, uint8_t *to,
                        size_t stride)
{
    const size_t quad = (size_t)COLOURS * 4 * LANES;
    for (int i = 0; i < columns; i++) {
        lanes sum[COLOURS];
        uint8_t done[COLOURS * LANES];
        sum_quads(x, i, from + (size_t)x->first[i] * quad, quad, COLOURS, narrow, sum);
        put_bytes(sum, COLOURS, done);
        for (int r = 0; r < LANES; r += 4)
            for (int c = 0; c < COLOURS; c++)
                memcpy(to + (size_t)(r / 4) * stride + 4 * (3 * (size_t)i + (size_t)c), done + c * LANES + r, 4);
    }
}

static void squeeze(const struct resize_windows *x, const uint8_t *from, int columns, uint8_t *to, size_t stride)
{
    if (x->narrow)
        squeeze_all(x, from, columns, true, to, stride);
    else
        squeeze_all(x, from, columns, false, to, stride);
}

INLINE void blend_all(const struct resize_windows *y, int i, const uint8_t *from, size_t stride, int n, bool narrow,
                      uint8_t *dst)
{
    for (int at = 0; at < n; at += BLOCK * LANES) {
        lanes sum[BLOCK];
        uint8_t done[BLOCK * LANES];
        sum_quads(y, i, from + 4 * (size_t)at, stride, BLOCK, narrow, sum);
        put_bytes(sum, BLOCK, done);
        memcpy(dst + at, done, (size_t)(n - at < BLOCK * LANES ? n - at : BLOCK * LANES));
    }
}

static void blend(const struct resize_windows *y, int i, const uint8_t *from, size_t stride, int n, uint8_t *dst)
{
    if (y->narrow)
        blend_all(y, i, from, stride, n, true, dst);
    else
        blend_all(y, i, from, stride, n, false, dst);
}

const struct resize_sums PASTE(vision_resize_sums_, CPU_TIER_NAME) = {
    .tier = TEXT(CPU_TIER_NAME),
    .rows = LANES,
    .block = BLOCK * LANES,
    .gather = gather,
    .squeeze = squeeze,
    .blend = blend,
};
