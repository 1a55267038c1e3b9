/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/ref/ref.h"

#include <math.h>

/* The variance is that of the row itself (divided by the number of columns). */
void ref_layer_norm(const struct op *op, void *scratch)
{
    (void)scratch;
    const struct tensor *x = op->src[0], *weight = op->src[1], *bias = op->src[2];
    double n = (double)x->cols;
    for (int64_t r = 0; r < x->rows; r++) {
        const float *in = (const float *)ref_row(x, r);
        float *out = (float *)ref_row(op->dst, r);
        double sum = 0, squares = 0;
        for (int64_t c = 0; c < x->cols; c++)
            sum += in[c];
        double mean = sum / n;
        for (int64_t c = 0; c < x->cols; c++)
            squares += (in[c] - mean) * (in[c] - mean);
        double scale = 1 / sqrt(squares / n + op->eps);
        for (int64_t c = 0; c < x->cols; c++)
            out[c] =
                (float)((in[c] - mean) * scale * (weight ? ref_at(weight, 0, c) : 1) + (bias ? ref_at(bias, 0, c) : 0));
    }
}
