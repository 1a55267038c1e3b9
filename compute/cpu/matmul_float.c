/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * y = x . w^T for f32, f16 and bf16 weights, which stay in their rows: f32 dot products along the columns, VF at a time.
 * Compiled once per tier.
 */
#include "compute/cpu/simd.h"
#include "compute/cpu/tier.h"

/* Sums of ROWS x TOKENS products are kept in registers; with the operands they fill the 32 (16) that there are. */
#if defined(__AVX512F__)
enum { ROWS = 4, TOKENS = 6 };
#else
enum { ROWS = 4, TOKENS = 3 };
#endif

/* Columns of a piece, so that the pieces of ROWS weight rows and TOKENS token rows stay in the first-level cache. */
enum { COLUMNS = 768, FEW_TOKENS = 3 };

static int element_bytes(enum type type)
{
    return type == TYPE_F32 ? 4 : 2;
}

INLINE vf load_weight(enum type type, const void *row, int64_t col)
{
    if (type == TYPE_F32)
        return vf_load((const float *)row + col);
    return type == TYPE_F16 ? vf_load_f16((const uint16_t *)row + col) : vf_load_bf16((const uint16_t *)row + col);
}

INLINE vf load_weight_n(enum type type, const void *row, int64_t col, int n)
{
    if (type == TYPE_F32)
        return vf_load_n((const float *)row + col, n);
    return type == TYPE_F16 ? vf_load_f16_n((const uint16_t *)row + col, n)
                            : vf_load_bf16_n((const uint16_t *)row + col, n);
}

/* sum[t][r] = x row t . w row r over `cols` columns. */
INLINE void dots(enum type type, const void *const w[ROWS], int rows, const float *x, int64_t stride, int tokens,
                 int64_t cols, float sum[TOKENS][ROWS])
{
    vf acc[TOKENS][ROWS];
    for (int t = 0; t < tokens; t++)
        for (int r = 0; r < rows; r++)
            acc[t][r] = vf_set(0);
    int64_t c = 0;
    for (; c + VF <= cols; c += VF) {
        vf a[ROWS];
        for (int r = 0; r < rows; r++)
            a[r] = load_weight(type, w[r], c);
        for (int t = 0; t < tokens; t++) {
            vf b = vf_load(x + t * stride + c);
            for (int r = 0; r < rows; r++)
                acc[t][r] = vf_fma(a[r], b, acc[t][r]);
        }
    }
    if (c < cols) {
        int n = (int)(cols - c);
        vf a[ROWS];
        for (int r = 0; r < rows; r++)
            a[r] = load_weight_n(type, w[r], c, n);
        for (int t = 0; t < tokens; t++) {
            vf b = vf_load_n(x + t * stride + c, n);
            for (int r = 0; r < rows; r++)
                acc[t][r] = vf_fma(a[r], b, acc[t][r]);
        }
    }
    for (int t = 0; t < tokens; t++)
        for (int r = 0; r < rows; r++)
            sum[t][r] = vf_sum(acc[t][r]);
}

static float bias_at(const struct tensor *bias, int64_t i)
{
    const void *p = compute_tensor_data(bias);
    return bias->type == TYPE_F16 ? compute_f16_to_f32(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

INLINE void finish(const struct cpu_product *job, int64_t t, int64_t row, int rows, int tokens, float sum[TOKENS][ROWS],
                   bool first, bool last)
{
    for (int i = 0; i < tokens; i++)
        for (int r = 0; r < rows; r++) {
            int64_t at = (t + i) * job->m + row + r;
            float y = sum[i][r];
            if (!first)
                y += job->y[at];
            if (last && job->bias)
                y += bias_at(job->bias, row + r);
            if (last && job->addend)
                y += job->addend[at];
            job->y[at] = y;
        }
}

/* ROWS weight rows (fewer at the end) times all tokens of the job, columns c0 .. c0 + cols - 1. */
INLINE void row_block(enum type type, const struct cpu_product *job, const void *const w[ROWS], int64_t row, int rows,
                      int64_t c0, int64_t cols)
{
    bool first = c0 == 0, last = c0 + cols == job->k;
    float sum[TOKENS][ROWS];
    int64_t t = job->t0;
    const float *x = job->x + t * job->k + c0;
    if (rows == ROWS) {
        for (; t + TOKENS <= job->t1; t += TOKENS, x += TOKENS * job->k) {
            dots(type, w, ROWS, x, job->k, TOKENS, cols, sum);
            finish(job, t, row, ROWS, TOKENS, sum, first, last);
        }
        for (; t < job->t1; t++, x += job->k) {
            dots(type, w, ROWS, x, job->k, 1, cols, sum);
            finish(job, t, row, ROWS, 1, sum, first, last);
        }
        return;
    }
    for (; t < job->t1; t++, x += job->k)
        for (int r = 0; r < rows; r++) {
            const void *one[ROWS] = {w[r]};
            dots(type, one, 1, x, job->k, 1, cols, sum);
            finish(job, t, row + r, 1, 1, sum, first, last);
        }
}

INLINE void product(enum type type, const struct cpu_product *job)
{
    const char *data = compute_tensor_data(job->w);
    size_t row_bytes = (size_t)job->k * (size_t)element_bytes(type);
    bool widen = type != TYPE_F32 && job->t1 - job->t0 > FEW_TOKENS;
    float *wide = job->scratch;
    for (int64_t row = job->m0; row < job->m1; row += ROWS) {
        int rows = job->m1 - row < ROWS ? (int)(job->m1 - row) : ROWS;
        for (int64_t c0 = 0; c0 < job->k; c0 += COLUMNS) {
            int64_t cols = job->k - c0 < COLUMNS ? job->k - c0 : COLUMNS;
            const void *w[ROWS] = {0};
            for (int r = 0; r < rows; r++) {
                w[r] = data + (size_t)(row + r) * row_bytes + (size_t)c0 * (size_t)element_bytes(type);
                if (!widen)
                    continue;
                float *to = wide + r * COLUMNS;
                int64_t c = 0;
                for (; c + VF <= cols; c += VF)
                    vf_store(to + c, load_weight(type, w[r], c));
                if (c < cols)
                    vf_store_n(to + c, load_weight_n(type, w[r], c, (int)(cols - c)), (int)(cols - c));
                w[r] = to;
            }
            row_block(widen ? TYPE_F32 : type, job, w, row, rows, c0, cols);
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
