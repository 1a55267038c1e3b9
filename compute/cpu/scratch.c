/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How much scratch a thread needs for a kernel, the same for every tier.
 */
#include "base/mem.h"
#include "compute/cpu/kernels.h"

/* Two groups are packed there when the weight isn't. Of two groups, matmul_amx.c prepares 32 tiles, 2 KiB each,
 * matmul_many.c fewer bytes, and both keep the sums. */
size_t cpu_product_scratch(const struct tensor *w)
{
    return 2 * base_align(cpu_group_bytes(w->type, w->cols), 64) + 64 * 2048 + CPU_PIECE_TOKENS * 32 * sizeof(float);
}

/* As attention.c lays it out, with its struct. */
size_t cpu_attention_scratch(const struct attention_params *p)
{
    size_t head = (size_t)(p->d_head + 15) & ~(size_t)15, value = (size_t)(p->d_value + 15) & ~(size_t)15;
    size_t floats = CPU_ATTENTION_QUERIES * (head + CPU_ATTENTION_CELLS + value) + CPU_ATTENTION_CELLS * (head + value);
    return 4096 + floats * sizeof(float);
}
