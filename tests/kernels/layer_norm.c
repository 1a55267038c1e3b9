/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/mem.h"
#include "tests/kernels/harness.h"

#include <math.h>

/* In f32: the mean is off by cols * 2^-24 of the mean of |x|, which moves every difference; the differences are rounded by
 * 2^-24 |x|; the variance follows (from differences, so that an offset doesn't drown it), halved by the root. */
static void bound(struct kernel_case *c, int64_t rows, int64_t cols, double eps)
{
    const float *x = c->operands[0].data;
    float *weight = c->operands[1].data ? kernel_values(c, 1) : NULL,
          *bias = c->operands[2].data ? kernel_values(c, 2) : NULL;
    c->magnitude = base_alloc_array((size_t)(rows * cols), sizeof *c->magnitude);
    c->unit = 0x1p-24;
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * cols;
        double mean = 0, size = 0, var = 0;
        for (int64_t k = 0; k < cols; k++) {
            mean += row[k] / (double)cols;
            size += fabs(row[k]) / (double)cols;
        }
        for (int64_t k = 0; k < cols; k++)
            var += (row[k] - mean) * (row[k] - mean) / (double)cols;
        double scale = 1 / sqrt(var + eps);
        double moved = ((double)cols + 2) * size; /* of a difference, in 2^-24 */
        for (int64_t k = 0; k < cols; k++) {
            double w = weight ? fabs(weight[k]) : 1, difference = fabs(row[k] - mean);
            double of_scale = ((double)cols / 2 + 8) + moved * moved * 0x1p-24 * scale * scale / 2 + moved * scale;
            c->magnitude[r * cols + k] =
                w * scale * (moved + 2 * fabs(row[k]) + difference * of_scale) + (bias ? 2 * fabs(bias[k]) : 0);
        }
    }
    base_free(weight);
    base_free(bias);
}

static void check(struct kernels *t, int64_t rows, int64_t cols, int weights, float eps, enum fill fill, bool bench)
{
    static const char *const names[] = {"", " weight", " weight, bias", " f16 weight, bias"};
    struct kernel_case c = kernel_case(OP_layer_norm, "[%d, %d] eps %g%s %s", (int)rows, (int)cols, (double)eps,
                                       names[weights], kernel_fill_name(fill));
    enum type type = weights == 3 ? TYPE_F16 : TYPE_F32;
    kernel_random(&c, 0, TENSOR_INPUT, TYPE_F32, rows, cols, fill);
    if (weights > 0)
        kernel_random(&c, 1, TENSOR_WEIGHT, type, 1, cols, FILL_NORMAL);
    if (weights > 1)
        kernel_random(&c, 2, TENSOR_WEIGHT, type, 1, cols, FILL_NORMAL);
    c.params.eps = eps;
    bound(&c, rows, cols, (double)eps);
    c.absolute = fill == FILL_TINY ? 1e-34 : 0x1p-126;
    c.nmse = fill == FILL_NORMAL && cols > 1 ? 1e-12 : fill == FILL_OFFSET && cols > 8 ? 1e-7 : 0;
    c.bench = bench;
    c.bytes = 8.0 * (double)rows * (double)cols;
    kernel_check(t, &c);
}

void test_layer_norm(struct kernels *t)
{
    for (int weights = 0; weights < 4; weights++) {
        for (int fill = 0; fill < FILL_N; fill++) {
            check(t, 5, 67, weights, 1e-6f, (enum fill)fill, false);
            check(t, 2, 768, weights, 1e-5f, (enum fill)fill, false);
        }
        static const int64_t widths[] = {1, 2, 3, 8, 31, 32, 33, 64, 127, 257, 1031, 1152, 4608};
        for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
            check(t, 3, widths[i], weights, 1e-5f, FILL_NORMAL, false);
        check(t, 256, 2048, weights, 1e-6f, FILL_NORMAL, true);
    }
}
