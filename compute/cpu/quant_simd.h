/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Integer dot products over packed codes (compute/cpu/pack.h) in the width of a tier: VF rows at a time, which is all 16 of a
 * group with AVX-512 and a half or quarter ("part") of it elsewhere.
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

/* The codes of a block of 32 columns, widened to bytes and looked up. */
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

/* What codes_load() hasn't taken off yet. */
INLINE int codes_zero(struct packing p)
{
    return p.zero;
}

/* Sum over quads first .. first + count - 1 of codes * x; x: the block's 32 bytes. */
INLINE vf codes_dot(struct packing p, const vq w[8], int first, int count, const int8_t *x)
{
    (void)p;
    __m512i acc = _mm512_setzero_si512();
    for (int j = first; j < first + count; j++) {
        int32_t quad;
        memcpy(&quad, x + 4 * j, sizeof quad);
        acc = vsum_add_products(acc, w[j], vq_set(quad));
    }
    return vsum_to_vf(acc);
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

#elif defined(__AVX2__) && !defined(__AVX512F__)

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
INLINE vsum vsum_add_products(vsum sum, vq u, vq s)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), _mm256_set1_epi16(1)));
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
    if (p.bits == 8) { /* signed here: codes_dot takes their magnitudes */
        for (int j = 0; j < 8; j++)
            w[j] =
                _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(plane + 64 * j)), _mm256_set1_epi8((char)0x80));
        return;
    }
    if (p.bits >= 4) {
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
        for (int j = 0; j < 8; j++) {
            w[j] = _mm256_shuffle_epi8(table, w[j]);
            if (p.zero == 128)
                w[j] = _mm256_xor_si256(w[j], _mm256_set1_epi8((char)0x80));
        }
    }
}

INLINE int codes_zero(struct packing p)
{
    return p.zero == 128 ? 0 : p.zero;
}

/* maddubs adds two products of u8 and s8 with saturation to 16 bits. 8-bit codes go in as magnitudes, with their sign moved to
 * x: 2 * 128 * 127 just fits. Narrow codes leave room to add up several pairs before widening. */
INLINE vf codes_dot(struct packing p, const vq w[8], int first, int count, const int8_t *x)
{
    const __m256i ones = _mm256_set1_epi16(1);
    bool wide = p.zero == 128;
    int room = p.bits == 6 ? 2 : p.bits == 5 ? 4 : 8; /* 32767 / (2 * 127 * (2^bits - 1)); MXFP4's 28 fits 4 times */
    if (p.table)
        room = 4;
    __m256i acc = _mm256_setzero_si256();
    __m256i pairs = _mm256_setzero_si256();
    for (int j = first; j < first + count; j++) {
        int32_t quad;
        memcpy(&quad, x + 4 * j, sizeof quad);
        __m256i a = _mm256_set1_epi32(quad);
        if (wide) {
            a = _mm256_maddubs_epi16(_mm256_abs_epi8(w[j]), _mm256_sign_epi8(a, w[j]));
            acc = _mm256_add_epi32(acc, _mm256_madd_epi16(a, ones));
            continue;
        }
        a = _mm256_maddubs_epi16(w[j], a);
        pairs = (j - first) % room ? _mm256_add_epi16(pairs, a) : a;
        if ((j - first) % room == room - 1 || j == first + count - 1)
            acc = _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, ones));
    }
    return _mm256_cvtepi32_ps(acc);
}

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

#else

enum { PARTS = PACK_ROWS / VF };
typedef struct {
    uint8_t byte[4 * VF];
} vq;
typedef vi vsum;

INLINE vq vq_set(int32_t quad)
{
    vq w;
    for (int i = 0; i < VF; i++)
        memcpy(w.byte + 4 * i, &quad, sizeof quad);
    return w;
}
INLINE vsum vsum_set(int32_t a)
{
    return (vsum){a, a, a, a};
}
INLINE vsum vsum_add(vsum a, vsum b)
{
    return a + b;
}
INLINE vq vq_hide(vq a)
{
    __asm__ volatile("" : "+m"(a));
    return a;
}
INLINE vsum vsum_add_products(vsum sum, vq u, vq s)
{
    for (int i = 0; i < 4 * VF; i++)
        sum[i / 4] += u.byte[i] * (int8_t)s.byte[i];
    return sum;
}
INLINE vf vsum_to_vf(vsum a)
{
    return __builtin_convertvector(a, vf);
}

INLINE void codes_load(struct packing p, const uint8_t *codes, int part, vq w[8])
{
    const uint8_t *pairs = codes + (p.bits >= 4 ? 256 : 0);
    const uint8_t *bits = pairs + (p.bits == 3 ? 128 : 0);
    for (int j = 0; j < 8; j++)
        for (int i = 0; i < 4 * VF; i++) {
            int at = 4 * VF * part + i, code = 0, above = 0;
            if (p.bits == 8) {
                w[j].byte[i] = codes[64 * j + at];
                continue;
            }
            if (p.bits >= 4) {
                code = codes[64 * (j % 4) + at] >> (j / 4 * 4) & 15;
                above = 4;
            }
            if (p.bits == 2 || p.bits == 3 || p.bits == 6) {
                code |= (pairs[64 * (j / 4) + at] >> 2 * (j % 4) & 3) << above;
                above += 2;
            }
            if (p.bits == 3 || p.bits == 5)
                code |= (bits[8 * j + at / 8] >> at % 8 & 1) << above;
            w[j].byte[i] = p.table ? p.table[code] : (uint8_t)code;
        }
}

INLINE int codes_zero(struct packing p)
{
    return p.zero;
}

INLINE vf codes_dot(struct packing p, const vq w[8], int first, int count, const int8_t *x)
{
    (void)p;
    vf out;
    for (int r = 0; r < VF; r++) {
        int32_t acc = 0;
        for (int j = first; j < first + count; j++)
            for (int i = 0; i < 4; i++)
                acc += w[j].byte[4 * r + i] * x[4 * j + i];
        out[r] = (float)acc;
    }
    return out;
}

INLINE vf vf_load_u8(const uint8_t *p)
{
    vf a;
    for (int i = 0; i < VF; i++)
        a[i] = p[i];
    return a;
}
INLINE vf vf_load_low_nibbles(const uint8_t *p)
{
    vf a;
    for (int i = 0; i < VF; i++)
        a[i] = (float)(p[i] & 15);
    return a;
}
INLINE vf vf_load_high_nibbles(const uint8_t *p)
{
    vf a;
    for (int i = 0; i < VF; i++)
        a[i] = (float)(p[i] >> 4);
    return a;
}

#endif

/* d and dmin of a super-block. */
INLINE void load_factors(struct packing p, const uint8_t *meta, int part, vf *d, vf *dmin)
{
    const uint16_t *f = (const uint16_t *)meta + VF * part;
    *d = p.bf16 ? vf_load_bf16(f) : vf_load_f16(f);
    *dmin = p.min ? vf_load_f16(f + PACK_ROWS) : vf_set(0);
}

/* Scale and min of one span; `span` counts within the super-block. */
INLINE void load_scale(struct packing p, const uint8_t *meta, int part, int span, vf d, vf dmin, vf *scale, vf *min)
{
    const uint8_t *code = meta + PACK_ROWS * (2 + 2 * p.min) + VF * part;
    *min = dmin;
    switch (p.scale) {
    case SCALE_PLAIN:
        *scale = d;
        break;
    case SCALE_BYTE:
        *scale = d * vf_load_i8((const int8_t *)code + PACK_ROWS * span);
        break;
    case SCALE_BYTE_MIN:
        *scale = d * vf_load_u8(code + PACK_ROWS * 2 * span);
        *min = dmin * vf_load_u8(code + PACK_ROWS * (2 * span + 1));
        break;
    case SCALE_NIBBLES:
        *scale = d * vf_load_low_nibbles(code + PACK_ROWS * span);
        *min = dmin * vf_load_high_nibbles(code + PACK_ROWS * span);
        break;
    }
}
