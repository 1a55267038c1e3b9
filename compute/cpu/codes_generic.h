/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * compute/cpu/codes.h for any processor.
 */
#pragma once

#include "compute/cpu/pack.h"
#include "compute/cpu/simd.h"

#if !defined(__AVX2__)

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
INLINE vsum vsum_times_256(vsum a)
{
    return a * 256;
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

INLINE vsum codes_add(struct packing p, const vq w[8], int first, int count, const int8_t *x, vsum acc)
{
    (void)p;
    for (int r = 0; r < VF; r++) {
        int32_t sum = 0;
        for (int j = first; j < first + count; j++)
            for (int i = 0; i < 4; i++)
                sum += w[j].byte[4 * r + i] * x[4 * j + i];
        acc[r] += sum;
    }
    return acc;
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
