/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Vectors of f32 in the width of the tier that a file is compiled for (compute/cpu/meson.build): 16 lanes with AVX-512, 8 with
 * AVX2, 4 in plain GNU vectors elsewhere. Operators + - * / work on vf as they do on float. Only files that are compiled
 * once per tier include this.
 */
#pragma once

#include "compute/cpu/inline.h"
#include "compute/cpu/simd_avx2.h"
#include "compute/cpu/simd_avx512.h"
#include "compute/cpu/simd_generic.h"
#include "compute/type.h"

#include <string.h>

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
