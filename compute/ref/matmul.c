/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/ref/ref.h"

void ref_matmul(const struct op *op, void *scratch)
{
    const struct tensor *w = op->src[0], *x = op->src[1], *bias = op->src[2];
    float *weights = scratch;
    for (int64_t j = 0; j < w->rows; j++) {
        ref_load(w, j, 0, w->cols, weights);
        for (int64_t i = 0; i < x->rows; i++) {
            const float *row = (const float *)ref_row(x, i);
            double sum = bias ? ref_at(bias, 0, j) : 0;
            for (int64_t k = 0; k < w->cols; k++)
                sum += (double)weights[k] * row[k];
            if (op->addend)
                sum += ref_at(op->addend, i, j);
            ((float *)ref_row(op->dst, i))[j] = (float)sum;
        }
    }
}
