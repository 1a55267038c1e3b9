/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Vectors of f32 in the width of the tier that a file is compiled for (compute/cpu/meson.build): 16 lanes with AVX-512, 8 with
 * AVX2, 4 in plain GNU vectors elsewhere. Operators + - * / work on vf as they do on float. Only files that are compiled
 * once per tier include this.
 */
#pragma once

#include "compute/type.h"

#include <string.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__)

enum { VF = 16 }; /* lanes */
typedef __m512 vf;

INLINE vf vf_set(float a)
{
    return _mm512_set1_ps(a);
}
INLINE vf vf_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
INLINE void vf_store(float *p, vf a)
{
    _mm512_storeu_ps(p, a);
}
INLINE __mmask16 lanes(int n)
{
    return (__mmask16)((1u << n) - 1);
}
INLINE vf vf_load_n(const float *p, int n)
{
    return _mm512_maskz_loadu_ps(lanes(n), p);
}
INLINE void vf_store_n(float *p, vf a, int n)
{
    _mm512_mask_storeu_ps(p, lanes(n), a);
}
INLINE vf vf_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
INLINE void vf_store_f16(uint16_t *p, vf a)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
INLINE vf vf_load_bf16(const uint16_t *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
INLINE vf vf_load_i8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
INLINE vf vf_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
} /* b where either is NaN */
INLINE vf vf_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
INLINE vf vf_abs(vf a)
{
    return _mm512_abs_ps(a);
}
INLINE float vf_sum(vf a)
{
    return _mm512_reduce_add_ps(a);
}
INLINE float vf_largest(vf a)
{
    return _mm512_reduce_max_ps(a);
}
/* Rows become columns. */
INLINE void vf_transpose(vf a[VF])
{
    vf b[16];
    for (int i = 0; i < 16; i += 2) { /* within 128 bits: pairs, then fours */
        b[i] = _mm512_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_ps(a[i], a[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int k = 0; k < 2; k++) {
            __m512d low = _mm512_castps_pd(b[i + k]), high = _mm512_castps_pd(b[i + 2 + k]);
            a[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
            a[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
        }
    for (int i = 0; i < 4; i++) { /* a[4 g + i]: columns i, i + 4, i + 8, i + 12 of rows 4 g .. 4 g + 3 */
        b[i] = _mm512_shuffle_f32x4(a[i], a[4 + i], 0x88);
        b[4 + i] = _mm512_shuffle_f32x4(a[i], a[4 + i], 0xdd);
        b[8 + i] = _mm512_shuffle_f32x4(a[8 + i], a[12 + i], 0x88);
        b[12 + i] = _mm512_shuffle_f32x4(a[8 + i], a[12 + i], 0xdd);
    }
    for (int i = 0; i < 4; i++) {
        a[i] = _mm512_shuffle_f32x4(b[i], b[8 + i], 0x88);
        a[8 + i] = _mm512_shuffle_f32x4(b[i], b[8 + i], 0xdd);
        a[4 + i] = _mm512_shuffle_f32x4(b[4 + i], b[12 + i], 0x88);
        a[12 + i] = _mm512_shuffle_f32x4(b[4 + i], b[12 + i], 0xdd);
    }
}
/* Lane i is the sum of a[i]. */
INLINE vf vf_sums(const vf a[VF])
{
    vf b[8], c[4], d[2];
    for (int i = 0; i < 8; i++)
        b[i] = _mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]) + _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]);
    for (int i = 0; i < 4; i++) {
        __m512d low = _mm512_castps_pd(b[2 * i]), high = _mm512_castps_pd(b[2 * i + 1]);
        c[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high)) + _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
    }
    for (int i = 0; i < 2; i++)
        d[i] = _mm512_shuffle_f32x4(c[2 * i], c[2 * i + 1], 0x88) + _mm512_shuffle_f32x4(c[2 * i], c[2 * i + 1], 0xdd);
    return _mm512_shuffle_f32x4(d[0], d[1], 0x88) + _mm512_shuffle_f32x4(d[0], d[1], 0xdd);
}
INLINE vf vf_sqrt(vf a)
{
    return _mm512_sqrt_ps(a);
}
/* 2^n * a for whole n; b where a is NaN is kept. */
INLINE vf vf_ldexp(vf a, vf n)
{
    return _mm512_scalef_ps(a, n);
}
INLINE vf vf_round(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vf vf_floor(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
}
/* a < b ? c : d, lane by lane. */
INLINE vf vf_select_less(vf a, vf b, vf c, vf d)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), d, c);
}
/* Rounds to the nearest whole numbers and stores them as bytes; |a| <= 127. */
INLINE void vf_store_i8(int8_t *p, vf a)
{
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
}
/* (a0 b0 a1 b1 ...) of a even and odd: out[2i] = even[i], out[2i+1] = odd[i], and back. */
INLINE void vf_load_pairs(const float *p, vf *even, vf *odd)
{
    const __m512i e = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i o = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    vf a = vf_load(p), b = vf_load(p + VF);
    *even = _mm512_permutex2var_ps(a, e, b);
    *odd = _mm512_permutex2var_ps(a, o, b);
}
INLINE void vf_store_pairs(float *p, vf even, vf odd)
{
    const __m512i l = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i h = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    vf_store(p, _mm512_permutex2var_ps(even, l, odd));
    vf_store(p + VF, _mm512_permutex2var_ps(even, h, odd));
}

#elif defined(__AVX2__)

enum { VF = 8 };
typedef __m256 vf;

INLINE vf vf_set(float a)
{
    return _mm256_set1_ps(a);
}
INLINE vf vf_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
INLINE void vf_store(float *p, vf a)
{
    _mm256_storeu_ps(p, a);
}
INLINE __m256i lanes(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE vf vf_load_n(const float *p, int n)
{
    return _mm256_maskload_ps(p, lanes(n));
}
INLINE void vf_store_n(float *p, vf a, int n)
{
    _mm256_maskstore_ps(p, lanes(n), a);
}
INLINE vf vf_load_f16(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
INLINE void vf_store_f16(uint16_t *p, vf a)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}
INLINE vf vf_load_bf16(const uint16_t *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
INLINE vf vf_load_i8(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
INLINE vf vf_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
INLINE vf vf_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
INLINE vf vf_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
INLINE vf vf_abs(vf a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
INLINE float vf_sum(vf a)
{
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
INLINE float vf_largest(vf a)
{
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
INLINE void vf_transpose(vf a[VF])
{
    vf b[8];
    for (int i = 0; i < 8; i += 2) {
        b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int k = 0; k < 2; k++) {
            __m256d low = _mm256_castps_pd(b[i + k]), high = _mm256_castps_pd(b[i + 2 + k]);
            a[i + 2 * k] = _mm256_castpd_ps(_mm256_unpacklo_pd(low, high));
            a[i + 2 * k + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low, high));
        }
    for (int i = 0; i < 4; i++) {
        b[i] = _mm256_permute2f128_ps(a[i], a[4 + i], 0x20);
        b[4 + i] = _mm256_permute2f128_ps(a[i], a[4 + i], 0x31);
    }
    for (int i = 0; i < 8; i++)
        a[i] = b[i];
}
INLINE vf vf_sums(const vf a[VF])
{
    vf b[4], c[2];
    for (int i = 0; i < 4; i++)
        b[i] = _mm256_unpacklo_ps(a[2 * i], a[2 * i + 1]) + _mm256_unpackhi_ps(a[2 * i], a[2 * i + 1]);
    for (int i = 0; i < 2; i++) {
        __m256d low = _mm256_castps_pd(b[2 * i]), high = _mm256_castps_pd(b[2 * i + 1]);
        c[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(low, high)) + _mm256_castpd_ps(_mm256_unpackhi_pd(low, high));
    }
    return _mm256_permute2f128_ps(c[0], c[1], 0x20) + _mm256_permute2f128_ps(c[0], c[1], 0x31);
}
INLINE vf vf_sqrt(vf a)
{
    return _mm256_sqrt_ps(a);
}
INLINE vf vf_ldexp(vf a, vf n)
{
    /* In two halves, so that 2^-149 .. 2^128 come out right. */
    __m256i whole = _mm256_cvtps_epi32(n);
    __m256i half = _mm256_srai_epi32(whole, 1);
    __m256i rest = _mm256_sub_epi32(whole, half);
    __m256i bias = _mm256_set1_epi32(127);
    vf f = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    vf g = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23));
    return a * f * g;
}
INLINE vf vf_round(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vf vf_floor(vf a)
{
    return _mm256_floor_ps(a);
}
INLINE vf vf_select_less(vf a, vf b, vf c, vf d)
{
    return _mm256_blendv_ps(d, c, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
INLINE void vf_store_i8(int8_t *p, vf a)
{
    __m256i i = _mm256_cvtps_epi32(a);
    __m128i s = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
    _mm_storel_epi64((__m128i *)p, _mm_packs_epi16(s, s));
}
INLINE void vf_load_pairs(const float *p, vf *even, vf *odd)
{
    __m256 a = vf_load(p), b = vf_load(p + VF);
    __m256 low = _mm256_permute2f128_ps(a, b, 0x20), high = _mm256_permute2f128_ps(a, b, 0x31);
    *even = _mm256_shuffle_ps(low, high, 0x88);
    *odd = _mm256_shuffle_ps(low, high, 0xdd);
}
INLINE void vf_store_pairs(float *p, vf even, vf odd)
{
    __m256 low = _mm256_unpacklo_ps(even, odd), high = _mm256_unpackhi_ps(even, odd);
    vf_store(p, _mm256_permute2f128_ps(low, high, 0x20));
    vf_store(p + VF, _mm256_permute2f128_ps(low, high, 0x31));
}

#else

enum { VF = 4 };
typedef float vf __attribute__((vector_size(16), aligned(4)));
typedef int32_t vi __attribute__((vector_size(16), aligned(4)));

INLINE vf vf_set(float a)
{
    return (vf){a, a, a, a};
}
INLINE vf vf_load(const float *p)
{
    vf a;
    memcpy(&a, p, sizeof a);
    return a;
}
INLINE void vf_store(float *p, vf a)
{
    memcpy(p, &a, sizeof a);
}
INLINE vf vf_load_n(const float *p, int n)
{
    vf a = vf_set(0);
    for (int i = 0; i < n; i++)
        a[i] = p[i];
    return a;
}
INLINE void vf_store_n(float *p, vf a, int n)
{
    for (int i = 0; i < n; i++)
        p[i] = a[i];
}
INLINE vf vf_load_f16(const uint16_t *p)
{
    vf a;
    for (int i = 0; i < VF; i++)
        a[i] = compute_f16_to_f32(p[i]);
    return a;
}
INLINE void vf_store_f16(uint16_t *p, vf a)
{
    for (int i = 0; i < VF; i++)
        p[i] = compute_f32_to_f16(a[i]);
}
INLINE vf vf_load_bf16(const uint16_t *p)
{
    vf a;
    for (int i = 0; i < VF; i++)
        a[i] = compute_bf16_to_f32(p[i]);
    return a;
}
INLINE vf vf_load_i8(const int8_t *p)
{
    vf a;
    for (int i = 0; i < VF; i++)
        a[i] = p[i];
    return a;
}
INLINE vf vf_fma(vf a, vf b, vf c)
{
    return a * b + c;
}
INLINE vf vf_pick(vi mask, vf a, vf b)
{
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}
INLINE vf vf_max(vf a, vf b)
{
    return vf_pick(a > b, a, b);
}
INLINE vf vf_min(vf a, vf b)
{
    return vf_pick(a < b, a, b);
}
INLINE vf vf_abs(vf a)
{
    return (vf)((vi)a & 0x7fffffff);
}
INLINE float vf_sum(vf a)
{
    return (a[0] + a[2]) + (a[1] + a[3]);
}
INLINE void vf_transpose(vf a[VF])
{
    for (int i = 0; i < VF; i++)
        for (int k = 0; k < i; k++) {
            float t = a[i][k];
            a[i][k] = a[k][i];
            a[k][i] = t;
        }
}
INLINE vf vf_sums(const vf a[VF])
{
    vf sums;
    for (int i = 0; i < VF; i++)
        sums[i] = vf_sum(a[i]);
    return sums;
}
INLINE float vf_largest(vf a)
{
    float m = a[0];
    for (int i = 1; i < VF; i++)
        m = a[i] > m ? a[i] : m;
    return m;
}
INLINE vf vf_sqrt(vf a)
{
    for (int i = 0; i < VF; i++)
        a[i] = __builtin_sqrtf(a[i]);
    return a;
}
INLINE vf vf_ldexp(vf a, vf n)
{
    vi whole = __builtin_convertvector(n, vi);
    vi half = whole >> 1, rest = whole - half;
    return a * (vf)((half + 127) << 23) * (vf)((rest + 127) << 23);
}
INLINE vf vf_round(vf a) /* |a| < 2^22 */
{
    vf magic = vf_set(0x1.8p23f);
    return (a + magic) - magic;
}
INLINE vf vf_floor(vf a)
{
    for (int i = 0; i < VF; i++)
        a[i] = __builtin_floorf(a[i]);
    return a;
}
INLINE vf vf_select_less(vf a, vf b, vf c, vf d)
{
    return vf_pick(a < b, c, d);
}
INLINE void vf_store_i8(int8_t *p, vf a)
{
    a = vf_round(a);
    for (int i = 0; i < VF; i++)
        p[i] = (int8_t)a[i];
}
INLINE void vf_load_pairs(const float *p, vf *even, vf *odd)
{
    for (int i = 0; i < VF; i++) {
        (*even)[i] = p[2 * i];
        (*odd)[i] = p[2 * i + 1];
    }
}
INLINE void vf_store_pairs(float *p, vf even, vf odd)
{
    for (int i = 0; i < VF; i++) {
        p[2 * i] = even[i];
        p[2 * i + 1] = odd[i];
    }
}

#endif

/* One half, at any address. */
INLINE float half_at(const void *p)
{
    uint16_t half;
    memcpy(&half, p, sizeof half);
#if defined(__F16C__)
    return _cvtsh_ss(half);
#else
    return compute_f16_to_f32(half);
#endif
}

/* The first n of VF halves; the rest is zero. */
INLINE vf vf_load_f16_n(const uint16_t *p, int n)
{
    uint16_t t[VF] = {0};
    for (int i = 0; i < n; i++)
        t[i] = p[i];
    return vf_load_f16(t);
}
INLINE vf vf_load_bf16_n(const uint16_t *p, int n)
{
    uint16_t t[VF] = {0};
    for (int i = 0; i < n; i++)
        t[i] = p[i];
    return vf_load_bf16(t);
}
INLINE void vf_store_f16_n(uint16_t *p, vf a, int n)
{
    uint16_t t[VF];
    vf_store_f16(t, a);
    memcpy(p, t, (size_t)n * sizeof *p);
}

/* e^x to 1.5 ulp over the whole range; 0 below -104, inf above 88.73; NaN stays.
 * x = n ln 2 + r, |r| <= ln 2 / 2; e^r by its Taylor series, whose rest is below 2^-27 there. */
INLINE vf vf_exp(vf x)
{
    vf lowest = vf_set(-104.0f), highest = vf_set(89.0f);
    vf clamped = vf_min(highest, vf_max(lowest, x)); /* a NaN in x comes through: it is the second operand */
    vf n = vf_round(clamped * vf_set(1.44269504088896341f));
    vf r = vf_fma(n, vf_set(-0.693359375f), clamped);
    r = vf_fma(n, vf_set(2.12194440e-4f), r);
    vf p = vf_set(1.0f / 5040);
    p = vf_fma(p, r, vf_set(1.0f / 720));
    p = vf_fma(p, r, vf_set(1.0f / 120));
    p = vf_fma(p, r, vf_set(1.0f / 24));
    p = vf_fma(p, r, vf_set(1.0f / 6));
    p = vf_fma(p, r, vf_set(0.5f));
    p = vf_fma(p, r * r, r) + vf_set(1.0f);
    return vf_ldexp(p, n);
}

INLINE vf vf_sigmoid(vf x)
{
    return vf_set(1.0f) / (vf_set(1.0f) + vf_exp(vf_set(0) - x));
}

/* tanh x to 3 ulp: an odd polynomial (Cephes tanhf) near 0, where the exponential form cancels. */
INLINE vf vf_tanh(vf x)
{
    vf a = vf_abs(x);
    vf far = vf_set(1.0f) - vf_set(2.0f) / (vf_exp(a + a) + vf_set(1.0f));
    vf s = x * x;
    vf p = vf_set(-5.70498872745e-3f);
    p = vf_fma(p, s, vf_set(2.06390887954e-2f));
    p = vf_fma(p, s, vf_set(-5.37397155531e-2f));
    p = vf_fma(p, s, vf_set(1.33314422036e-1f));
    p = vf_fma(p, s, vf_set(-3.33332819422e-1f));
    vf near = vf_fma(p * s, x, x);
    vf signed_far = vf_select_less(x, vf_set(0), vf_set(0) - far, far);
    return vf_select_less(a, vf_set(0.625f), near, signed_far);
}
