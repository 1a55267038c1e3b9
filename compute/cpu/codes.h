/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Integer dot products over packed codes (compute/cpu/pack.h) in the width of a tier: VF rows at a time, which is all 16 of a
 * group with AVX-512 and a half or quarter ("part") of it elsewhere. Each tier's header has
 *
 *   vq                VF rows of one quad (4 columns of each) as bytes
 *   codes_load()      the codes of a block of 32 columns, widened to bytes and looked up
 *   codes_column()    one column of a quad, as floats
 *   codes_zero()      what is still to be taken off them
 *   vf_load_u8(), vf_load_low_nibbles(), vf_load_high_nibbles()      VF scale codes as floats
 *
 * and, but for the generic one, whose processor may have no such instructions:
 *
 *   vsum              VF sums of i32
 *   codes_add()       adds products of codes and x over `count` quads from `first` on; x: the block's 32 bytes
 */
#pragma once

#include "compute/cpu/codes_avx2.h"
#include "compute/cpu/codes_avx512.h"
#include "compute/cpu/codes_generic.h"
#include "compute/cpu/kernels.h"

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
