/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a kernel may do to be fast decides its bound:
 * - sum k products in f32 in any order: (k + 2) * 2^-24 * sum |w x|;
 * - with F16 weights, round x to f16: 2^-11 |x|, or 2^-25 below the smallest normal half;
 * - with BF16 weights, round x to bf16: 2^-9 |x|;
 * - with quantised weights, round x to whole steps of max|x| / 127 in blocks of 32 (of 256 where the weight's block is): half a
 *   step each, and the scale to f16: 2^-11 |x|;
 * - take f32 denormals for zero: 2^-126 at the most.
 */
#include "base/mem.h"
#include "tests/kernels/harness.h"

#include <math.h>

/* The largest |x| among the `block` columns that c belongs to. */
static double block_peak(const float *x, int64_t c, int64_t k, int64_t block)
{
    double peak = 0;
    int64_t first = c / block * block;
    for (int64_t i = first; i < first + block && i < k; i++)
        peak = fmax(peak, fabs(x[i]));
    return peak;
}

/* How far x may be from what it was, per column. */
static void rounding_of(enum type type, const float *x, int64_t k, double *out)
{
    int block = compute_type((int)type)->block;
    for (int64_t c = 0; c < k; c++) {
        double size = fabs(x[c]);
        if (type == TYPE_F32)
            out[c] = 0;
        else if (type == TYPE_F16)
            out[c] = fmax(0x1p-11 * size, fmin(size, 0x1p-25));
        else if (type == TYPE_BF16)
            out[c] = 0x1p-9 * size;
        else
            out[c] = block_peak(x, c, k, block) / 254 * 1.001 + 0x1p-11 * size;
        out[c] += fmin(size, 0x1p-126);
    }
}

static void bound(struct kernel_case *c)
{
    const struct operand *w = &c->operands[0], *x = &c->operands[1];
    float *weights = kernel_values(c, 0), *bias = c->operands[2].data ? kernel_values(c, 2) : NULL;
    const float *added = c->operands[KERNEL_ADDEND].data;
    double *rounding = base_alloc_array((size_t)w->cols, sizeof *rounding);
    c->magnitude = base_alloc_array((size_t)(x->rows * w->rows), sizeof *c->magnitude);
    c->unit = 1;
    for (int64_t i = 0; i < x->rows; i++) {
        const float *row = (const float *)x->data + i * x->cols;
        rounding_of(w->type, row, w->cols, rounding);
        for (int64_t j = 0; j < w->rows; j++) {
            double sum = bias ? fabs(bias[j]) : 0, moved = 0;
            sum += added ? fabs(added[i * w->rows + j]) : 0;
            for (int64_t k = 0; k < w->cols; k++) {
                double size = fabs(weights[j * w->cols + k]);
                sum += size * fabs(row[k]);
                moved += size * rounding[k];
            }
            c->magnitude[i * w->rows + j] = moved + (double)(w->cols + 2) * 0x1p-24 * sum + 0x1p-126;
        }
    }
    base_free(rounding);
    base_free(weights);
    base_free(bias);
}

/* Mean square errors of the roundings above for normal data, with some room: x in steps of about 2.9 / 127 has 4.3e-5. */
static double nmse_of(enum type type)
{
    return type == TYPE_F32 ? 1e-12 : type == TYPE_F16 ? 1e-6 : type == TYPE_BF16 ? 2e-5 : 1e-4;
}

struct shape {
    int64_t m, k, n;
};

static void check(struct kernels *t, enum type type, struct shape s, enum fill fill_w, enum fill fill_x, int extras)
{
    static const char *const extra_names[] = {"", " bias", " bias16", " bias added"};
    struct kernel_case c =
        kernel_case(OP_matmul, "%s m=%d k=%d n=%d%s w:%s x:%s", compute_type((int)type)->name, (int)s.m, (int)s.k,
                    (int)s.n, extra_names[extras], kernel_fill_name(fill_w), kernel_fill_name(fill_x));
    kernel_random(&c, 0, TENSOR_WEIGHT, type, s.m, s.k, fill_w);
    kernel_random(&c, 1, TENSOR_INPUT, TYPE_F32, s.n, s.k, fill_x);
    if (extras)
        kernel_random(&c, 2, TENSOR_WEIGHT, extras == 2 ? TYPE_F16 : TYPE_F32, 1, s.m, FILL_NORMAL);
    if (extras == 3)
        kernel_random(&c, KERNEL_ADDEND, TENSOR_INPUT, TYPE_F32, s.n, s.m, FILL_NORMAL);
    bound(&c);
    /* A single x has a single draw of roundings, which all its products share: no sample of the mean. */
    if (fill_w == FILL_NORMAL && fill_x == FILL_NORMAL && s.m * s.n > 16)
        c.nmse = s.n < 16 ? 5 * nmse_of(type) : nmse_of(type);
    kernel_check(t, &c);
}

static void measure(struct kernels *t, enum type type, struct shape s)
{
    struct kernel_case c =
        kernel_case(OP_matmul, "%s m=%d k=%d n=%d", compute_type((int)type)->name, (int)s.m, (int)s.k, (int)s.n);
    c.bench_only = true;
    if (!kernel_wanted(t, &c))
        return;
    kernel_random(&c, 0, TENSOR_WEIGHT, type, s.m, s.k, FILL_NORMAL);
    kernel_random(&c, 1, TENSOR_INPUT, TYPE_F32, s.n, s.k, FILL_NORMAL);
    c.flops = 2.0 * (double)s.m * (double)s.k * (double)s.n;
    c.bytes = (double)compute_row_bytes(type, s.k) * (double)s.m;
    kernel_check(t, &c);
}

void test_matmul(struct kernels *t)
{
    static const int64_t rows[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 64};
    for (int type = 0; type < TYPE_LIMIT; type++) {
        const struct type_traits *traits = compute_type(type);
        if (!traits || !traits->weight)
            continue;
        int64_t block = traits->block > 1 ? traits->block : 1;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            check(t, (enum type)type, (struct shape){37, block == 256 ? 512 : 7 * 32, rows[i]}, FILL_NORMAL,
                  FILL_NORMAL, 0);
            check(t, (enum type)type, (struct shape){1, block > 1 ? block : 3, rows[i]}, FILL_NORMAL, FILL_NORMAL, 0);
        }
        check(t, (enum type)type, (struct shape){131, block == 1 ? 67 : 3 * block, 5}, FILL_NORMAL, FILL_NORMAL, 0);
        check(t, (enum type)type, (struct shape){64, block == 256 ? 768 : 576, 1}, FILL_NORMAL, FILL_NORMAL, 0);
        check(t, (enum type)type, (struct shape){65, block == 256 ? 768 : 576, 129}, FILL_NORMAL, FILL_NORMAL, 0);
        for (int64_t n = 1; n <= 33; n += 32) {
            int64_t k = block == 256 ? 256 : 96;
            check(t, (enum type)type, (struct shape){35, k, n}, FILL_NORMAL, FILL_NORMAL, 1);
            check(t, (enum type)type, (struct shape){35, k, n}, FILL_NORMAL, FILL_NORMAL, 2);
            check(t, (enum type)type, (struct shape){35, k, n}, FILL_NORMAL, FILL_NORMAL, 3);
            check(t, (enum type)type, (struct shape){35, k, n}, FILL_NORMAL, FILL_LARGE, 0);
            check(t, (enum type)type, (struct shape){35, k, n}, FILL_NORMAL, FILL_TINY, 0);
            check(t, (enum type)type, (struct shape){35, k, n}, FILL_NORMAL, FILL_ZERO, 0);
            check(t, (enum type)type, (struct shape){35, k, n}, FILL_NORMAL, FILL_MIXED, 0);
            check(t, (enum type)type, (struct shape){35, k, n}, FILL_LARGE, FILL_NORMAL, 0);
            check(t, (enum type)type, (struct shape){35, k, n}, FILL_TINY, FILL_NORMAL, 0);
            check(t, (enum type)type, (struct shape){35, k, n}, FILL_ZERO, FILL_NORMAL, 0);
        }
    }
    for (int k = 1; k <= 70; k += k < 10 ? 1 : 7) /* columns of types without blocks, down to one */
        for (int type = 0; type < 3; type++)
            check(t, (enum type[]){TYPE_F32, TYPE_F16, TYPE_BF16}[type], (struct shape){5, k, 3}, FILL_NORMAL,
                  FILL_NORMAL, 0);
    for (int type = 0; type < TYPE_LIMIT; type++) {
        if (!compute_type(type) || !compute_type(type)->weight)
            continue;
        measure(t, (enum type)type, (struct shape){4096, 4096, 1});
        measure(t, (enum type)type, (struct shape){768, 768, 1});
        measure(t, (enum type)type, (struct shape){2048, 1024, 256});
    }
}
