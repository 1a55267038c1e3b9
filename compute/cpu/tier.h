/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For the files that are compiled once per tier. meson.build defines CPU_TIER_NAME and the instruction set's flags; CPU_TIER(x)
 * is the name of this tier's x, so that the tiers live side by side in one program.
 */
#pragma once

#include "compute/cpu/kernels.h"

#define CPU_PASTE2(a, b, c) a##b##_##c
#define CPU_PASTE(a, b, c)  CPU_PASTE2(a, b, c)
#define CPU_TIER(x)         CPU_PASTE(cpu_, x, CPU_TIER_NAME)

extern cpu_rows_kernel *const CPU_TIER(rows)[OP_COUNT];
void CPU_TIER(rope)(const struct op *op, const struct cpu_range *range, const float *cos_sin);
void CPU_TIER(quantize)(const float *x, struct cpu_act *act, int64_t blocks);
void CPU_TIER(product_quant)(const struct cpu_product *p);
void CPU_TIER(product_float)(const struct cpu_product *p);
void CPU_TIER(product_many)(const struct cpu_product *p);
void CPU_TIER(attention)(const struct cpu_attention *a);
void CPU_TIER(attention_merge)(const struct cpu_attention *a);
double CPU_TIER(int8_work)(float *sink);
void CPU_TIER(read_work)(const float *from, size_t size, float *sink);
