/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/ref/ref.h"

#include <math.h>

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

double ref_activation(enum activation kind, double x)
{
    switch (kind) {
    case ACT_SILU:
        return x * sigmoid(x);
    case ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case ACT_GELU_ERF:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    case ACT_GELU_QUICK:
        return x * sigmoid(1.702 * x);
    case ACT_SIGMOID:
        return sigmoid(x);
    }
    return NAN;
}

void ref_activate(const struct op *op, void *scratch)
{
    (void)scratch;
    for (int64_t r = 0; r < op->dst->rows; r++)
        for (int64_t c = 0; c < op->dst->cols; c++)
            ((float *)ref_row(op->dst, r))[c] = (float)ref_activation(op->activation, ref_at(op->src[0], r, c));
}
