/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * compute/cpu/codes.h with AVX-512 VNNI: all 16 rows of a group at a time.
 */
#pragma once

#include "compute/cpu/pack.h"
#include "compute/cpu/simd.h"

#if defined(__AVX512VNNI__)

enum { PARTS = 1 };
typedef __m512i vq;   /* VF rows of one quad: 4 columns of each */
typedef __m512i vsum; /* VF sums, i32 */

INLINE vq vq_set(int32_t quad)
{
    return _mm512_set1_epi32(quad);
}
INLINE vsum vsum_set(int32_t a)
{
    return _mm512_set1_epi32(a);
}
INLINE vsum vsum_add(vsum a, vsum b)
{
    return _mm512_add_epi32(a, b);
}
/* What the compiler can't know: keeps a measured product in its loop. */
INLINE vq vq_hide(vq a)
{
    __asm__ volatile("" : "+v"(a));
    return a;
}
/* sum + u0 s0 + u1 s1 + u2 s2 + u3 s3 in each lane; u unsigned, s signed. */
INLINE vsum vsum_add_products(vsum sum, vq u, vq s)
{
    return _mm512_dpbusd_epi32(sum, u, s);
}
INLINE vsum vsum_times_256(vsum a)
{
    return _mm512_slli_epi32(a, 8);
}
INLINE vf vsum_to_vf(vsum a)
{
    return _mm512_cvtepi32_ps(a);
}

INLINE vq shift_pairs(vq a, int pairs)
{
    switch (pairs) {
    case 1:
        return _mm512_srli_epi16(a, 2);
    case 2:
        return _mm512_srli_epi16(a, 4);
    case 3:
        return _mm512_srli_epi16(a, 6);
    default:
        return a;
    }
}

INLINE void codes_load(struct packing p, const uint8_t *codes, int part, vq w[8])
{
    (void)part;
    const __m512i *plane = (const __m512i *)codes;
    if (p.bits == 8) {
        for (int j = 0; j < 8; j++)
            w[j] = _mm512_loadu_si512(plane + j);
        return;
    }
    if (p.bits >= 4) {
        const __m512i low = _mm512_set1_epi8(15);
        for (int v = 0; v < 4; v++) {
            __m512i both = _mm512_loadu_si512(plane + v);
            w[v] = _mm512_and_si512(both, low);
            w[v + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
        }
        plane += 4;
    }
    if (p.bits == 2 || p.bits == 3 || p.bits == 6) {
        const __m512i two = _mm512_set1_epi8(3);
        for (int j = 0; j < 8; j++) {
            __m512i pairs = _mm512_loadu_si512(plane + j / 4);
            pairs = _mm512_and_si512(shift_pairs(pairs, j % 4), two);
            w[j] = p.bits == 6 ? _mm512_or_si512(w[j], _mm512_slli_epi16(pairs, 4)) : pairs;
        }
        plane += 2;
    }
    if (p.bits == 3 || p.bits == 5)
        for (int j = 0; j < 8; j++) {
            uint64_t mask;
            memcpy(&mask, (const uint8_t *)plane + 8 * j, sizeof mask);
            w[j] = _mm512_mask_add_epi8(w[j], mask, w[j], _mm512_set1_epi8((char)(1 << (p.bits - 1))));
        }
    if (p.table) {
        const __m512i table = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)p.table));
        for (int j = 0; j < 8; j++)
            w[j] = _mm512_shuffle_epi8(table, w[j]);
    }
}

INLINE vf codes_column(struct packing p, vq quad, int i)
{
    (void)p;
    return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(quad, (unsigned)(8 * i)), _mm512_set1_epi32(255)));
}

INLINE int codes_zero(struct packing p)
{
    return p.zero;
}

INLINE vsum codes_add(struct packing p, const vq w[8], int first, int count, const int8_t *x, vsum acc)
{
    (void)p;
    for (int j = first; j < first + count; j++) {
        int32_t quad;
        memcpy(&quad, x + 4 * j, sizeof quad);
        acc = vsum_add_products(acc, w[j], vq_set(quad));
    }
    return acc;
}

INLINE vf vf_load_u8(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
INLINE vf vf_load_low_nibbles(const uint8_t *p)
{
    __m512i a = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm512_cvtepi32_ps(_mm512_and_si512(a, _mm512_set1_epi32(15)));
}
INLINE vf vf_load_high_nibbles(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_srli_epi32(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)), 4));
}

#endif
