/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * y = x . w^T for f32, f16 and bf16 weights and few tokens: f32 products and sums, VF rows of w at a time. Compiled once per tier.
 */
#include "compute/cpu/product.h"
#include "compute/cpu/tier.h"

enum { VECTORS = 2, TOKENS = 4 }; /* sums kept in registers */

INLINE vf load_weight(enum type type, const void *w, int64_t i)
{
    if (type == TYPE_F32)
        return vf_load((const float *)w + i);
    if (type == TYPE_F16)
        return vf_load_f16((const uint16_t *)w + i);
    return vf_load_bf16((const uint16_t *)w + i);
}

/* `vectors` times VF rows, w[v] pointing to their first column, times `tokens` tokens from t on. Few sums are split in `chains`
 * by column, because each waits for its last addition. */
INLINE void tile(enum type type, const struct cpu_product *job, const void *const w[], int64_t row, int vectors,
                 int64_t t, int tokens, int chains)
{
    vf sum[TOKENS][VECTORS];
    UNROLL
    for (int i = 0; i < tokens * chains; i++)
        for (int v = 0; v < vectors; v++)
            sum[i][v] = vf_set(0);
    const float *x = job->x + t * job->k;
    int64_t k = 0;
    for (; k + chains <= job->k; k += chains) {
        UNROLL
        for (int c = 0; c < chains; c++) {
            vf a[VECTORS];
            for (int v = 0; v < vectors; v++)
                a[v] = load_weight(type, w[v], (k + c) * PACK_ROWS);
            UNROLL
            for (int i = 0; i < tokens; i++) {
                vf b = vf_set(x[i * job->k + k + c]);
                for (int v = 0; v < vectors; v++)
                    sum[c * tokens + i][v] = vf_fma(a[v], b, sum[c * tokens + i][v]);
            }
        }
    }
    for (; k < job->k; k++) {
        for (int v = 0; v < vectors; v++) {
            vf a = load_weight(type, w[v], k * PACK_ROWS);
            UNROLL
            for (int i = 0; i < tokens; i++)
                sum[i][v] = vf_fma(a, vf_set(x[i * job->k + k]), sum[i][v]);
        }
    }
    UNROLL
    for (int i = 0; i < tokens; i++) {
        for (int v = 0; v < vectors; v++) {
            UNROLL
            for (int c = 1; c < chains; c++)
                sum[i][v] += sum[c * tokens + i][v];
            product_store(job, t + i, row + v * VF, sum[i][v]);
        }
    }
}

INLINE void all_tokens(enum type type, const struct cpu_product *job, const void *const w[], int64_t row, int vectors)
{
    int64_t t = job->t0;
    for (; t + TOKENS <= job->t1; t += TOKENS)
        tile(type, job, w, row, vectors, t, TOKENS, 1);
    for (; t < job->t1; t++)
        tile(type, job, w, row, vectors, t, 1, 4);
}

INLINE void product(enum type type, const struct cpu_product *job)
{
    size_t bytes = cpu_group_bytes(type, job->k), element = type == TYPE_F32 ? 4 : 2;
    const int wide = VECTORS * VF, step = wide > PACK_ROWS ? wide : PACK_ROWS;
    for (int64_t row = job->m0; row < job->m1; row += step) {
        const char *groups[2] = {cpu_product_group(job, row / PACK_ROWS, bytes, 0), NULL};
        if (step > PACK_ROWS && row + PACK_ROWS < job->m1)
            groups[1] = cpu_product_group(job, row / PACK_ROWS + 1, bytes, 1);
        for (int first = 0; first < step; first += wide) {
            const void *w[VECTORS];
            for (int v = 0; v < VECTORS; v++) {
                int at = first + v * VF;
                w[v] = groups[at / PACK_ROWS] ? groups[at / PACK_ROWS] + (size_t)(at % PACK_ROWS) * element : NULL;
            }
            if (w[VECTORS - 1])
                all_tokens(type, job, w, row + first, VECTORS);
            else
                all_tokens(type, job, w, row + first, 1);
        }
    }
}

void CPU_TIER(product_float)(const struct cpu_product *job)
{
    switch (job->w->type) {
    case TYPE_F32:
        product(TYPE_F32, job);
        break;
    case TYPE_F16:
        product(TYPE_F16, job);
        break;
    case TYPE_BF16:
        product(TYPE_BF16, job);
        break;
    default:
        break;
    }
}
