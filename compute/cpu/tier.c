/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One tier's kernels together, and the loop that measures its peak. Compiled once per tier.
 */
#include "compute/cpu/tier.h"
#include "compute/cpu/simd.h"

#define CPU_STRING2(x) #x
#define CPU_STRING(x)  CPU_STRING2(x)

/* Multiplications and additions in ten chains, which hide the latency of both units of today's cores. */
static double fma_work(float *sink)
{
    enum { CHAINS = 10, ROUNDS = 20000 };
    vf a[CHAINS], x = vf_set(*sink), y = vf_set(0.5f);
    for (int i = 0; i < CHAINS; i++)
        a[i] = vf_set((float)i);
    for (int r = 0; r < ROUNDS; r++)
        for (int i = 0; i < CHAINS; i++)
            a[i] = vf_fma(a[i], y, x);
    for (int i = 1; i < CHAINS; i++)
        a[0] = a[0] + a[i];
    *sink = vf_sum(a[0]) * 0x1p-40f;
    return 2.0 * VF * CHAINS * ROUNDS;
}

const struct cpu_kernels CPU_TIER(kernels) = {
    .name = CPU_STRING(CPU_TIER_NAME),
    .rows = &CPU_TIER(rows),
    .rope = CPU_TIER(rope),
    .quantize = CPU_TIER(quantize),
    .product_quant = CPU_TIER(product_quant),
    .product_float = CPU_TIER(product_float),
    .attention = CPU_TIER(attention),
    .attention_merge = CPU_TIER(attention_merge),
    .fma_work = fma_work,
};
