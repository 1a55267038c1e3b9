/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The cpu backend's arrangement of weights: 16 rows side by side, so that one register holds the same columns of all of them,
 * one activation broadcast serves 16 rows, and sums come out as 16 neighbouring elements of y. A weight [m, k] is ceil(m / 16)
 * groups; rows past m are zero.
 *
 * A group of f32, f16 or bf16 is [k, 16] elements.
 *
 * Every quantised format becomes unsigned codes of 2 to 8 bits with, for a span of 16 or 32 columns,
 *
 *     w = scale * (table[code] - zero) - min          (table: identity for most; min: 0 for most)
 *
 * and a group is its numbers' factors ("meta"), then their codes:
 *
 *   meta, for each super-block of `super` blocks of 32 columns:
 *     f16[16] d (MXFP4: bf16), one per row;  f16[16] dmin if the format has minimums
 *     super == 8: for each block, for each span: s8[16] scale code (SCALE_NIBBLES: scale in the low, min in the high half;
 *     SCALE_BYTE_MIN: followed by u8[16] min code)
 *   codes, for each block of 32 columns; quad j is columns 4j..4j+3, byte 4r+i of a 64-byte plane belongs to row r, column
 *   4j+i:
 *     8 bits: 8 planes, one for each quad
 *     4, 5, 6 bits: 4 planes of nibbles, low half for quad v, high half for quad v + 4
 *     2, 3, 6 bits: 2 planes of bit pairs, bits 2p..2p+1 of plane v for quad 4v + p (6 bits: the upper two)
 *     3, 5 bits: 8 words of 64 bits, bit 4r+i of word j for quad j: the uppermost bit
 *
 * Both parts of a group begin at multiples of 64 bytes.
 */
#pragma once

#include "base/error.h"
#include "compute/tensor.h"

enum { PACK_ROWS = 16, PACK_MAX_CODES = 256 };

enum scale_code {
    SCALE_PLAIN,    /* d is the scale, dmin the min */
    SCALE_BYTE,     /* scale = d * s8 */
    SCALE_BYTE_MIN, /* scale = d * u8, min = dmin * u8 */
    SCALE_NIBBLES,  /* the same in one byte */
};

struct packing {
    int bits;  /* of a code; 0: not a quantised type */
    int span;  /* columns under one scale: 16 or 32 */
    int super; /* blocks of 32 columns under one d: 1 or 8 */
    int zero;  /* a power of two, or 0 */
    enum scale_code scale;
    bool min;
    bool bf16;            /* d is bf16 */
    const uint8_t *table; /* 16 values that codes stand for; NULL: themselves */
};

/* Values of IQ4_NL and IQ4_XS + 128, and of MXFP4 (doubled) + 16. */
static const uint8_t cpu_table_iq4[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
static const uint8_t cpu_table_mxfp4[16] = {16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4};

/* Inline, so that a kernel that knows the type at compile time knows all of this. bits is 0 for types that aren't packed. */
static inline __attribute__((always_inline)) struct packing cpu_packing(enum type type)
{
    switch (type) {
    case TYPE_Q4_0:
        return (struct packing){.bits = 4, .span = 32, .super = 1, .zero = 8};
    case TYPE_Q4_1:
        return (struct packing){.bits = 4, .span = 32, .super = 1, .min = true};
    case TYPE_Q5_0:
        return (struct packing){.bits = 5, .span = 32, .super = 1, .zero = 16};
    case TYPE_Q5_1:
        return (struct packing){.bits = 5, .span = 32, .super = 1, .min = true};
    case TYPE_Q8_0:
        return (struct packing){.bits = 8, .span = 32, .super = 1, .zero = 128};
    case TYPE_Q2_K:
        return (struct packing){.bits = 2, .span = 16, .super = 8, .scale = SCALE_NIBBLES, .min = true};
    case TYPE_Q3_K:
        return (struct packing){.bits = 3, .span = 16, .super = 8, .zero = 4, .scale = SCALE_BYTE};
    case TYPE_Q4_K:
        return (struct packing){.bits = 4, .span = 32, .super = 8, .scale = SCALE_BYTE_MIN, .min = true};
    case TYPE_Q5_K:
        return (struct packing){.bits = 5, .span = 32, .super = 8, .scale = SCALE_BYTE_MIN, .min = true};
    case TYPE_Q6_K:
        return (struct packing){.bits = 6, .span = 16, .super = 8, .zero = 32, .scale = SCALE_BYTE};
    case TYPE_IQ4_NL:
        return (struct packing){.bits = 4, .span = 32, .super = 1, .zero = 128, .table = cpu_table_iq4};
    case TYPE_IQ4_XS:
        return (struct packing){
            .bits = 4, .span = 32, .super = 8, .zero = 128, .scale = SCALE_BYTE, .table = cpu_table_iq4};
    case TYPE_MXFP4:
        return (struct packing){.bits = 4, .span = 32, .super = 1, .zero = 16, .bf16 = true, .table = cpu_table_mxfp4};
    default:
        return (struct packing){0};
    }
}

/* Bytes of the meta of one super-block of a group, and of the codes of one block of 32 columns. */
static inline __attribute__((always_inline)) int cpu_meta_bytes(struct packing p)
{
    int spans = 32 / p.span;
    int codes = p.scale == SCALE_PLAIN ? 0 : p.scale == SCALE_BYTE_MIN ? 2 * spans : spans;
    return PACK_ROWS * (2 + 2 * p.min + p.super * codes);
}
static inline __attribute__((always_inline)) int cpu_code_bytes(struct packing p)
{
    return PACK_ROWS * 4 * p.bits;
}
/* Offset of the codes from the group's start, for k columns. */
static inline __attribute__((always_inline)) size_t cpu_group_codes(struct packing p, int64_t k)
{
    return ((size_t)(k / (32 * p.super)) * (size_t)cpu_meta_bytes(p) + 63) & ~(size_t)63;
}
/* Bytes of a group. */
static inline __attribute__((always_inline)) size_t cpu_group_bytes(enum type type, int64_t k)
{
    struct packing p = cpu_packing(type);
    if (!p.bits)
        return (size_t)k * PACK_ROWS * (type == TYPE_F32 ? 4 : 2);
    return cpu_group_codes(p, k) + (size_t)(k / 32) * (size_t)cpu_code_bytes(p);
}

/* Writes group `group` (rows 16 * group ...) of a weight to `out`, cpu_group_bytes() at a multiple of 64. */
void cpu_pack_group(const struct tensor *weight, int64_t group, void *out);

/* A row of a quantised weight as floats; k a whole number of blocks. */
void cpu_unpack_row(enum type type, const void *row, int64_t k, float *out);
