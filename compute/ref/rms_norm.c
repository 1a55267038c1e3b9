/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/ref/ref.h"

#include <math.h>

void ref_rms_norm(const struct op *op, void *scratch)
{
    (void)scratch;
    const struct tensor *x = op->src[0], *weight = op->src[1];
    for (int64_t r = 0; r < x->rows; r++) {
        const float *in = (const float *)ref_row(x, r);
        float *out = (float *)ref_row(op->dst, r);
        double squares = 0;
        for (int64_t c = 0; c < x->cols; c++)
            squares += (double)in[c] * in[c];
        double scale = 1 / sqrt(squares / (double)x->cols + op->eps);
        for (int64_t c = 0; c < x->cols; c++)
            out[c] = (float)(in[c] * scale * (weight ? ref_at(weight, 0, c) : 1));
    }
}
