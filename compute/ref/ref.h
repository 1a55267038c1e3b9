/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The definitions of all operations: plain C, double accumulators, no concern for speed. Other host backends call them for what
 * they don't make faster.
 */
#pragma once

#include "compute/backend.h"

/* Each computes the whole of op->dst. `scratch` is ref_scratch(op) bytes, aligned to 64, or NULL when that is 0. */
#define KERNEL(name, sources) void ref_##name(const struct op *op, void *scratch);
#include "compute/kernels.def"
#undef KERNEL

size_t ref_scratch(const struct op *op);
/* Calls the definition of op->kind. */
void ref_compute(const struct op *op, void *scratch);

/* Converts n elements, which begin at a block's border, to f32. Any type but I32. */
void ref_dequantize(enum type type, const void *blocks, float *out, int64_t n);
/* Converts n f32 elements to `type` (F32, F16, BF16 or Q8_0), n a multiple of its block. */
void ref_quantize(enum type type, const float *in, void *blocks, int64_t n);

/* Row r of a tensor. */
static inline char *ref_row(const struct tensor *t, int64_t r)
{
    return (char *)compute_tensor_data(t) + (size_t)r * compute_row_bytes(t->type, t->cols);
}
/* Columns first..first+n-1 of row r as f32; `first` is a multiple of the type's block. */
void ref_load(const struct tensor *t, int64_t r, int64_t first, int64_t n, float *out);
/* One element of an F32 or F16 tensor. */
float ref_at(const struct tensor *t, int64_t r, int64_t c);
/* Row of the second operand of add and mul that belongs to row r: a single row belongs to all. */
static inline int64_t ref_broadcast(const struct tensor *t, int64_t r)
{
    return t->rows == 1 ? 0 : r;
}
double ref_activation(enum activation kind, double x);
/* Radians that pair i turns for each step of position; divisors may be NULL. And which of a row's positions turns it. */
double ref_rope_frequency(const struct rope_params *params, const float *divisors, int i);
int ref_rope_axis(const struct rope_params *params, int i);
