/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * y = x . w^T for many tokens and weights of any type: the weights of 32 rows are widened to f32, a piece of their columns at a
 * time, which stays in the first-level cache while all tokens pass by. Nothing is rounded but the f32 sums. Compiled once per
 * tier.
 */
#include "base/mem.h"
#include "compute/cpu/codes.h"
#include "compute/cpu/product.h"
#include "compute/cpu/tier.h"

enum {
    ROWS = 2 * PACK_ROWS,
    COLUMNS = 128, /* of a piece */
};

/* VECTORS x TOKENS sums are kept in registers; with the operands they fill the 32 (16) that there are. */
#if defined(__AVX512F__)
enum { VECTORS = 2, TOKENS = 12 };
#else
enum { VECTORS = 2, TOKENS = 6 };
#endif

/* ---- weights: columns first .. end - 1 of a group to out[column - first][ROWS] --------------------------------------- */

INLINE void widen_codes(struct packing p, const uint8_t *group, int64_t k, int64_t first, int64_t end, float *out)
{
    const int spans = 32 / p.span;
    for (int64_t b = first / 32; b < end / 32; b++, out += 32 * ROWS) {
        const uint8_t *meta = group + b / p.super * cpu_meta_bytes(p);
        const uint8_t *codes = group + cpu_group_codes(p, k) + b * cpu_code_bytes(p);
        for (int part = 0; part < PARTS; part++) {
            vf d, dmin, scale[2], min[2];
            vq w[8];
            load_factors(p, meta, part, &d, &dmin);
            for (int h = 0; h < spans; h++)
                load_scale(p, meta, part, (int)(b % p.super) * spans + h, d, dmin, &scale[h], &min[h]);
            codes_load(p, codes, part, w);
            for (int c = 0; c < 32; c++) {
                vf value = codes_column(p, w[c / 4], c % 4) - vf_set((float)codes_zero(p));
                vf_store(out + c * ROWS + VF * part, vf_fma(value, scale[c / p.span], vf_set(0) - min[c / p.span]));
            }
        }
    }
}

INLINE void widen_floats(enum type type, const void *group, int64_t first, int64_t end, float *out)
{
    for (int64_t c = first; c < end; c++, out += ROWS)
        for (int r = 0; r < PACK_ROWS; r += VF) {
            int64_t at = c * PACK_ROWS + r;
            if (type == TYPE_F32)
                vf_store(out + r, vf_load((const float *)group + at));
            else if (type == TYPE_F16)
                vf_store(out + r, vf_load_f16((const uint16_t *)group + at));
            else
                vf_store(out + r, vf_load_bf16((const uint16_t *)group + at));
        }
}

static void widen(enum type type, const void *group, int64_t k, int64_t first, int64_t end, float *out)
{
    switch (type) {
    case TYPE_F32:
        widen_floats(TYPE_F32, group, first, end, out);
        break;
    case TYPE_F16:
        widen_floats(TYPE_F16, group, first, end, out);
        break;
    case TYPE_BF16:
        widen_floats(TYPE_BF16, group, first, end, out);
        break;
    case TYPE_Q4_0:
        widen_codes(cpu_packing(TYPE_Q4_0), group, k, first, end, out);
        break;
    case TYPE_Q4_1:
        widen_codes(cpu_packing(TYPE_Q4_1), group, k, first, end, out);
        break;
    case TYPE_Q5_0:
        widen_codes(cpu_packing(TYPE_Q5_0), group, k, first, end, out);
        break;
    case TYPE_Q5_1:
        widen_codes(cpu_packing(TYPE_Q5_1), group, k, first, end, out);
        break;
    case TYPE_Q8_0:
        widen_codes(cpu_packing(TYPE_Q8_0), group, k, first, end, out);
        break;
    case TYPE_Q2_K:
        widen_codes(cpu_packing(TYPE_Q2_K), group, k, first, end, out);
        break;
    case TYPE_Q3_K:
        widen_codes(cpu_packing(TYPE_Q3_K), group, k, first, end, out);
        break;
    case TYPE_Q4_K:
        widen_codes(cpu_packing(TYPE_Q4_K), group, k, first, end, out);
        break;
    case TYPE_Q5_K:
        widen_codes(cpu_packing(TYPE_Q5_K), group, k, first, end, out);
        break;
    case TYPE_Q6_K:
        widen_codes(cpu_packing(TYPE_Q6_K), group, k, first, end, out);
        break;
    case TYPE_IQ4_NL:
        widen_codes(cpu_packing(TYPE_IQ4_NL), group, k, first, end, out);
        break;
    case TYPE_IQ4_XS:
        widen_codes(cpu_packing(TYPE_IQ4_XS), group, k, first, end, out);
        break;
    case TYPE_MXFP4:
        widen_codes(cpu_packing(TYPE_MXFP4), group, k, first, end, out);
        break;
    default:
        break;
    }
}

/* ---- products ------------------------------------------------------------------------------------------------------- */

/* sums[token][row] += x[token] . w[row] over n columns, of `tokens` tokens and VECTORS vectors of rows. x: [tokens, k]. */
INLINE void tile(const float *x, int64_t k, const float *w, int64_t n, int tokens, float *sums)
{
    vf sum[TOKENS][VECTORS];
    UNROLL
    for (int i = 0; i < tokens; i++)
        for (int v = 0; v < VECTORS; v++)
            sum[i][v] = vf_load(sums + i * ROWS + v * VF);
    for (int64_t c = 0; c < n; c++) {
        vf a[VECTORS];
        for (int v = 0; v < VECTORS; v++)
            a[v] = vf_load(w + c * ROWS + v * VF);
        UNROLL
        for (int i = 0; i < tokens; i++) {
            vf b = vf_set(x[i * k + c]);
            for (int v = 0; v < VECTORS; v++)
                sum[i][v] = vf_fma(a[v], b, sum[i][v]);
        }
    }
    UNROLL
    for (int i = 0; i < tokens; i++)
        for (int v = 0; v < VECTORS; v++)
            vf_store(sums + i * ROWS + v * VF, sum[i][v]);
}

/* All rows at hand and `tokens` tokens. */
static void tiles(const float *x, int64_t k, const float *w, int64_t n, int64_t tokens, float *sums)
{
    for (int row = 0; row < ROWS; row += VECTORS * VF) {
        int64_t t = 0;
        for (; t + TOKENS <= tokens; t += TOKENS)
            tile(x + t * k, k, w + row, n, TOKENS, sums + t * ROWS + row);
        for (; t + 3 <= tokens; t += 3)
            tile(x + t * k, k, w + row, n, 3, sums + t * ROWS + row);
        for (; t < tokens; t++)
            tile(x + t * k, k, w + row, n, 1, sums + t * ROWS + row);
    }
}

void CPU_TIER(product_many)(const struct cpu_product *job)
{
    const enum type type = job->w->type;
    const size_t bytes = cpu_group_bytes(type, job->k);
    const int64_t tokens = job->t1 - job->t0;
    float *w = (float *)((char *)job->scratch + 2 * base_align(bytes, 64)), *sums = w + COLUMNS * ROWS;
    for (int64_t row = job->m0; row < job->m1; row += ROWS) {
        const void *groups[2] = {cpu_product_group(job, row / PACK_ROWS, bytes, 0), NULL};
        if (row + PACK_ROWS < job->m1)
            groups[1] = cpu_product_group(job, row / PACK_ROWS + 1, bytes, 1);
        else
            groups[1] = groups[0]; /* sums that nobody reads */
        memset(sums, 0, (size_t)(tokens * ROWS) * sizeof *sums);
        for (int64_t first = 0; first < job->k; first += COLUMNS) {
            int64_t end = first + COLUMNS < job->k ? first + COLUMNS : job->k;
            widen(type, groups[0], job->k, first, end, w);
            widen(type, groups[1], job->k, first, end, w + PACK_ROWS);
            tiles(job->x + job->t0 * job->k + first, job->k, w, end - first, tokens, sums);
        }
        for (int64_t t = 0; t < tokens; t++)
            for (int r = 0; r < ROWS && row + r < job->m1; r += VF)
                product_store(job, job->t0 + t, row + r, vf_load(sums + t * ROWS + r));
    }
}
