/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * compute/cpu/simd.h in GNU vectors, for any processor: 4 lanes.
 */
#pragma once

#include "compute/cpu/inline.h"
#include "compute/type.h"

#include <string.h>

#if !defined(__AVX2__)

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
    vi half = {p[0], p[1], p[2], p[3]};
    vi bits = (half & 0x7fff) << 13;
    vf a;
    memcpy(&a, &bits, sizeof a);
    a = a * vf_set(0x1p112f); /* from the exponent's bias of f16 to that of f32, and denormal numbers to normal ones */
    memcpy(&bits, &a, sizeof bits);
    bits |= ((half & 0x7c00) == 0x7c00) & 0x7f800000; /* infinity, NaN */
    bits |= (half & 0x8000) << 16;
    memcpy(&a, &bits, sizeof a);
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
