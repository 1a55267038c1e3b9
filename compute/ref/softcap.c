/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/ref/ref.h"

#include <math.h>

void ref_softcap(const struct op *op, void *scratch)
{
    (void)scratch;
    double cap = op->factor;
    for (int64_t r = 0; r < op->dst->rows; r++)
        for (int64_t c = 0; c < op->dst->cols; c++)
            ((float *)ref_row(op->dst, r))[c] = (float)(cap * tanh(ref_at(op->src[0], r, c) / cap));
}
