/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/ref/ref.h"

enum { TOGETHER = 4 }; /* rows of x whose sums don't wait for each other */

/* sums[i] += weights . rows[i], each in the order of the columns. */
static void add_dots(const float *weights, const float *const rows[TOGETHER], int64_t n, double sums[TOGETHER])
{
    double sum[TOGETHER];
    for (int i = 0; i < TOGETHER; i++)
        sum[i] = sums[i];
    for (int64_t k = 0; k < n; k++)
        for (int i = 0; i < TOGETHER; i++)
            sum[i] += (double)weights[k] * rows[i][k];
    for (int i = 0; i < TOGETHER; i++)
        sums[i] = sum[i];
}

void ref_matmul(const struct op *op, void *scratch)
{
    const struct tensor *w = op->src[0], *x = op->src[1], *bias = op->src[2];
    float *weights = scratch;
    for (int64_t j = 0; j < w->rows; j++) {
        ref_load(w, j, 0, w->cols, weights);
        for (int64_t first = 0; first < x->rows; first += TOGETHER) {
            const float *rows[TOGETHER];
            double sums[TOGETHER];
            for (int64_t i = 0; i < TOGETHER; i++) { /* past the end: the last one again */
                rows[i] = (const float *)ref_row(x, first + i < x->rows ? first + i : x->rows - 1);
                sums[i] = bias ? ref_at(bias, 0, j) : 0;
            }
            add_dots(weights, rows, w->cols, sums);
            for (int64_t i = first; i < first + TOGETHER && i < x->rows; i++) {
                double addend = op->addend ? ref_at(op->addend, i, j) : 0;
                ((float *)ref_row(op->dst, i))[j] = (float)(sums[i - first] + addend);
            }
        }
    }
}
