/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/ref/ref.h"

void ref_glu(const struct op *op, void *scratch)
{
    (void)scratch;
    const struct tensor *gate = op->src[0], *up = op->src[1];
    for (int64_t r = 0; r < op->dst->rows; r++)
        for (int64_t c = 0; c < op->dst->cols; c++)
            ((float *)ref_row(op->dst, r))[c] =
                (float)(ref_activation(op->activation, ref_at(gate, r, c)) * ref_at(up, r, c));
}
