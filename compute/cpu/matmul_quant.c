/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * y = x . w^T for quantised weights and few tokens: activations as whole numbers in two planes of 8 bit, integer dot products over
 * spans of 16 or 32 columns, f32 sums over the spans in the order of the columns. Compiled once per tier.
 */
#include "compute/cpu/codes.h"
#include "compute/cpu/product.h"
#include "compute/cpu/tier.h"

enum { TILE = 4 }; /* tokens that share one load of the codes */

/* Products of codes and activations over `count` quads from `first` on, in steps of the activations' scale. */
INLINE vf codes_dot(struct packing p, const vq w[8], int first, int count, const struct cpu_act *x)
{
    vsum coarse = codes_add(p, w, first, count, x->q, vsum_set(0));
    vsum fine = codes_add(p, w, first, count, x->fine, vsum_set(0));
    return vsum_to_vf(vsum_add(vsum_times_256(coarse), fine));
}

/* VF rows of one group times `n` tokens from `t` on. */
INLINE void tile(struct packing p, const struct cpu_product *job, const uint8_t *group, int64_t row, int part,
                 int64_t t, int n)
{
    const int64_t blocks = job->k / 32;
    const int spans = 32 / p.span, quads = p.span / 4;
    const uint8_t *meta = group, *codes = group + cpu_group_codes(p, job->k);
    const struct cpu_act *act = job->act + t * blocks;
    vf y[TILE];
    UNROLL
    for (int i = 0; i < n; i++)
        y[i] = vf_set(0);
    for (int64_t s = 0; s < blocks / p.super; s++) {
        vf d, dmin;
        load_factors(p, meta, part, &d, &dmin);
        for (int b = 0; b < p.super; b++) {
            vf scale[2], off[2];
            for (int h = 0; h < spans; h++) {
                load_scale(p, meta, part, b * spans + h, d, dmin, &scale[h], &off[h]);
                off[h] = vf_set(0) - off[h] - scale[h] * vf_set((float)codes_zero(p));
            }
            vq w[8];
            codes_load(p, codes, part, w);
            UNROLL
            for (int i = 0; i < n; i++) {
                const struct cpu_act *x = act + i * blocks;
                for (int h = 0; h < spans; h++) {
                    vf dot = codes_dot(p, w, h * quads, quads, x);
                    y[i] = vf_fma(dot, scale[h] * vf_set(x->scale), y[i]);
                    if (p.min || codes_zero(p))
                        y[i] = vf_fma(off[h], vf_set(spans == 2 ? x->half[h] : x->sum), y[i]);
                }
            }
            codes += cpu_code_bytes(p);
            act++;
        }
        meta += cpu_meta_bytes(p);
    }
    UNROLL
    for (int i = 0; i < n; i++)
        product_store(job, t + i, row + VF * part, y[i]);
}

INLINE void product(enum type type, const struct cpu_product *job)
{
    struct packing p = cpu_packing(type);
    size_t bytes = cpu_group_bytes(type, job->k);
    for (int64_t row = job->m0; row < job->m1; row += PACK_ROWS) {
        const uint8_t *group = cpu_product_group(job, row / PACK_ROWS, bytes, 0);
        for (int part = 0; part < PARTS; part++) {
            int64_t t = job->t0;
            for (; t + TILE <= job->t1; t += TILE)
                tile(p, job, group, row, part, t, TILE);
            for (; t < job->t1; t++)
                tile(p, job, group, row, part, t, 1);
        }
    }
}

void CPU_TIER(product_quant)(const struct cpu_product *job)
{
    switch (job->w->type) {
    case TYPE_Q4_0:
        product(TYPE_Q4_0, job);
        break;
    case TYPE_Q4_1:
        product(TYPE_Q4_1, job);
        break;
    case TYPE_Q5_0:
        product(TYPE_Q5_0, job);
        break;
    case TYPE_Q5_1:
        product(TYPE_Q5_1, job);
        break;
    case TYPE_Q8_0:
        product(TYPE_Q8_0, job);
        break;
    case TYPE_Q2_K:
        product(TYPE_Q2_K, job);
        break;
    case TYPE_Q3_K:
        product(TYPE_Q3_K, job);
        break;
    case TYPE_Q4_K:
        product(TYPE_Q4_K, job);
        break;
    case TYPE_Q5_K:
        product(TYPE_Q5_K, job);
        break;
    case TYPE_Q6_K:
        product(TYPE_Q6_K, job);
        break;
    case TYPE_IQ4_NL:
        product(TYPE_IQ4_NL, job);
        break;
    case TYPE_IQ4_XS:
        product(TYPE_IQ4_XS, job);
        break;
    case TYPE_MXFP4:
        product(TYPE_MXFP4, job);
        break;
    default:
        break;
    }
}

/* Sums of products of bytes in registers, in chains that hide the latency. */
double CPU_TIER(int8_work)(float *sink)
{
    enum { CHAINS = 10, ROUNDS = 20000 };
    vsum a[CHAINS];
    vq w = vq_set((int32_t)*sink + 0x01020304), x = vq_set(0x04030201);
    for (int i = 0; i < CHAINS; i++)
        a[i] = vsum_set(i);
    for (int r = 0; r < ROUNDS; r++)
        for (int i = 0; i < CHAINS; i++)
            a[i] = vsum_add_products(a[i], vq_hide(w), x);
    for (int i = 1; i < CHAINS; i++)
        a[0] = vsum_add(a[0], a[i]);
    *sink = vf_sum(vsum_to_vf(a[0])) * 0x1p-60f;
    return 2.0 * 4 * VF * CHAINS * ROUNDS;
}
