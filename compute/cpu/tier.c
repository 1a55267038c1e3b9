/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One tier's kernels together, and the loop that measures its peak. Compiled once per tier.
 */
#include "compute/cpu/tier.h"
#include "compute/cpu/simd.h"

#define CPU_STRING2(x) #x
#define CPU_STRING(x)  CPU_STRING2(x)

enum { CHAINS = 10, ROUNDS = 20000 }; /* independent sums, which hide the latency of both units of today's cores */

static double f32_work(float *sink)
{
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

void CPU_TIER(read_work)(const float *from, size_t size, float *sink)
{
    enum { WAYS = 8 };
    vf a[WAYS];
    for (int i = 0; i < WAYS; i++)
        a[i] = vf_set(0);
    const float *end = from + size / sizeof *from;
    for (; from < end; from += WAYS * VF)
        for (int i = 0; i < WAYS; i++)
            a[i] = a[i] + vf_load(from + i * VF);
    for (int i = 1; i < WAYS; i++)
        a[0] = a[0] + a[i];
    *sink = vf_sum(a[0]);
}

const struct cpu_kernels CPU_TIER(kernels) = {
    .name = CPU_STRING(CPU_TIER_NAME),
    .rows = &CPU_TIER(rows),
    .rope = CPU_TIER(rope),
#if defined(__AVX2__)
    .quantize = CPU_TIER(quantize),
    .product_quant = CPU_TIER(product_quant),
    .int8_work = CPU_TIER(int8_work),
#endif
    .product_float = CPU_TIER(product_float),
    .product_many = CPU_TIER(product_many),
    .attention = CPU_TIER(attention),
    .attention_merge = CPU_TIER(attention_merge),
    .f32_work = f32_work,
    .read_work = CPU_TIER(read_work),
};
