/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Element types of tensors. The numbers are those of GGUF files, so no table translates between the two.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum type {
    TYPE_F32 = 0,
    TYPE_F16 = 1,
    TYPE_Q4_0 = 2,
    TYPE_Q4_1 = 3,
    TYPE_Q5_0 = 6,
    TYPE_Q5_1 = 7,
    TYPE_Q8_0 = 8,
    TYPE_Q2_K = 10,
    TYPE_Q3_K = 11,
    TYPE_Q4_K = 12,
    TYPE_Q5_K = 13,
    TYPE_Q6_K = 14,
    TYPE_IQ4_NL = 20,
    TYPE_IQ4_XS = 23,
    TYPE_I32 = 26,
    TYPE_BF16 = 30,
    TYPE_MXFP4 = 39,
    TYPE_LIMIT = 64
};

/* A row of a quantised tensor is a whole number of blocks; each block holds `block` elements in `bytes` bytes.
 * Types without blocks have block 1. The byte layout of each block is documented in compute/ref/dequant.c. */
struct type_traits {
    const char *name; /* as GGUF tools write it: "Q4_K" */
    int32_t block;    /* elements in a block */
    int32_t bytes;    /* bytes of a block */
    bool weight;      /* may be the weight of op_matmul and the table of op_gather */
};

/* NULL for a type that pagereel doesn't know (removed or newer ids included). */
const struct type_traits *compute_type(int type);

/* Bytes of a row of `cols` elements. The caller has checked that the type is known and cols % block == 0. */
static inline size_t compute_row_bytes(enum type type, int64_t cols)
{
    const struct type_traits *t = compute_type(type);
    return (size_t)(cols / t->block) * (size_t)t->bytes;
}

/* IEEE half and bfloat16 conversions, round to nearest even, exact for every input incl. subnormals, inf and NaN. */
float compute_f16_to_f32(uint16_t h);
uint16_t compute_f32_to_f16(float f);
static inline float compute_bf16_to_f32(uint16_t b)
{
    union {
        uint32_t u;
        float f;
    } v = {.u = (uint32_t)b << 16};
    return v.f;
}
uint16_t compute_f32_to_bf16(float f);
