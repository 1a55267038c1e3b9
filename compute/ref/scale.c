/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/ref/ref.h"

void ref_scale(const struct op *op, void *scratch)
{
    (void)scratch;
    for (int64_t r = 0; r < op->dst->rows; r++)
        for (int64_t c = 0; c < op->dst->cols; c++)
            ((float *)ref_row(op->dst, r))[c] = op->factor * ref_at(op->src[0], r, c);
}
