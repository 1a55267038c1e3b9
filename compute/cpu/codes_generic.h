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

INLINE vf codes_column(struct packing p, vq quad, int i)
{
    (void)p;
    vf a;
    for (int r = 0; r < VF; r++)
        a[r] = quad.byte[4 * r + i];
    return a;
}

INLINE int codes_zero(struct packing p)
{
    return p.zero;
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
