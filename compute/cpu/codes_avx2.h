/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * compute/cpu/codes.h with AVX2: half of a group at a time; with AVX-VNNI where the tier has it.
 */
#pragma once

#include "compute/cpu/pack.h"
#include "compute/cpu/simd.h"

#if defined(__AVX2__) && !defined(__AVX512F__)

enum { PARTS = 2 };
typedef __m256i vq;
typedef __m256i vsum;

INLINE vq vq_set(int32_t quad)
{
    return _mm256_set1_epi32(quad);
}
INLINE vsum vsum_set(int32_t a)
{
    return _mm256_set1_epi32(a);
}
INLINE vsum vsum_add(vsum a, vsum b)
{
    return _mm256_add_epi32(a, b);
}
INLINE vq vq_hide(vq a)
{
    __asm__ volatile("" : "+x"(a));
    return a;
}
#if defined(__AVXVNNI__)
enum { SIGNED_CODES = 0 };
INLINE vsum vsum_add_products(vsum sum, vq u, vq s)
{
    return _mm256_dpbusd_avx_epi32(sum, u, s);
}
#else
enum { SIGNED_CODES = 1 }; /* those whose zero is 128 */
INLINE vsum vsum_add_products(vsum sum, vq u, vq s)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1)));
}
#endif
INLINE vsum vsum_times_256(vsum a)
{
    return _mm256_slli_epi32(a, 8);
}
INLINE vf vsum_to_vf(vsum a)
{
    return _mm256_cvtepi32_ps(a);
}

INLINE vq shift_pairs(vq a, int pairs)
{
    switch (pairs) {
    case 1:
        return _mm256_srli_epi16(a, 2);
    case 2:
        return _mm256_srli_epi16(a, 4);
    case 3:
        return _mm256_srli_epi16(a, 6);
    default:
        return a;
    }
}

INLINE void codes_load(struct packing p, const uint8_t *codes, int part, vq w[8])
{
    const uint8_t *plane = codes + 32 * part;
    if (p.bits == 8)
        for (int j = 0; j < 8; j++)
            w[j] = _mm256_loadu_si256((const __m256i *)(plane + 64 * j));
    if (p.bits >= 4 && p.bits < 8) {
        const __m256i low = _mm256_set1_epi8(15);
        for (int v = 0; v < 4; v++) {
            __m256i both = _mm256_loadu_si256((const __m256i *)(plane + 64 * v));
            w[v] = _mm256_and_si256(both, low);
            w[v + 4] = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
        }
        plane += 256;
    }
    if (p.bits == 2 || p.bits == 3 || p.bits == 6) {
        const __m256i two = _mm256_set1_epi8(3);
        for (int j = 0; j < 8; j++) {
            __m256i pairs = _mm256_loadu_si256((const __m256i *)(plane + 64 * (j / 4)));
            pairs = _mm256_and_si256(shift_pairs(pairs, j % 4), two);
            w[j] = p.bits == 6 ? _mm256_or_si256(w[j], _mm256_slli_epi16(pairs, 4)) : pairs;
        }
        plane += 128;
    }
    if (p.bits == 3 || p.bits == 5) {
        plane += 4 * part - 32 * part;
        const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2,
                                                3, 3, 3, 3, 3, 3, 3, 3);
        const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201ull);
        for (int j = 0; j < 8; j++) {
            int32_t mask;
            memcpy(&mask, plane + 8 * j, sizeof mask);
            __m256i bytes = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(mask), spread), bit);
            __m256i set = _mm256_and_si256(_mm256_cmpeq_epi8(bytes, bit), _mm256_set1_epi8((char)(1 << (p.bits - 1))));
            w[j] = _mm256_or_si256(w[j], set);
        }
    }
    if (p.table) {
        const __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p.table));
        for (int j = 0; j < 8; j++)
            w[j] = _mm256_shuffle_epi8(table, w[j]);
    }
    if (SIGNED_CODES && p.zero == 128)
        for (int j = 0; j < 8; j++)
            w[j] = _mm256_xor_si256(w[j], _mm256_set1_epi8((char)0x80));
}

INLINE vf codes_column(struct packing p, vq quad, int i)
{
    quad = _mm256_slli_epi32(quad, 24 - 8 * i);
    if (SIGNED_CODES && p.zero == 128)
        return _mm256_cvtepi32_ps(_mm256_srai_epi32(quad, 24));
    return _mm256_cvtepi32_ps(_mm256_srli_epi32(quad, 24));
}

INLINE int codes_zero(struct packing p)
{
    return SIGNED_CODES && p.zero == 128 ? 0 : p.zero;
}

#if defined(__AVXVNNI__)

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

#else

/* maddubs adds two products of u8 and s8 with saturation to 16 bits. 8-bit codes go in as magnitudes, with their sign moved to
 * x: 2 * 128 * 127 just fits. Narrow codes leave room to add up several pairs before widening. */
INLINE vsum codes_add(struct packing p, const vq w[8], int first, int count, const int8_t *x, vsum acc)
{
    const __m256i ones = _mm256_set1_epi16(1);
    int room = p.bits == 6 ? 2 : p.bits == 5 ? 4 : 8; /* 32767 / (2 * 127 * (2^bits - 1)); MXFP4's 28 fits 4 times */
    if (p.table)
        room = 4;
    __m256i pairs = _mm256_setzero_si256();
    for (int j = first; j < first + count; j++) {
        int32_t quad;
        memcpy(&quad, x + 4 * j, sizeof quad);
        __m256i a = vq_set(quad);
        if (p.zero == 128) {
            a = _mm256_maddubs_epi16(_mm256_abs_epi8(w[j]), _mm256_sign_epi8(a, w[j]));
            acc = _mm256_add_epi32(acc, _mm256_madd_epi16(a, ones));
            continue;
        }
        a = _mm256_maddubs_epi16(w[j], a);
        pairs = (j - first) % room ? _mm256_add_epi16(pairs, a) : a;
        if ((j - first) % room == room - 1 || j == first + count - 1)
            acc = _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, ones));
    }
    return acc;
}

#endif

INLINE vf vf_load_u8(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
INLINE vf vf_load_low_nibbles(const uint8_t *p)
{
    __m256i a = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
    return _mm256_cvtepi32_ps(_mm256_and_si256(a, _mm256_set1_epi32(15)));
}
INLINE vf vf_load_high_nibbles(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_srli_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)), 4));
}

#endif
