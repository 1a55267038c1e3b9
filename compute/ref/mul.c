/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/ref/ref.h"

void ref_mul(const struct op *op, void *scratch)
{
    (void)scratch;
    const struct tensor *a = op->src[0], *b = op->src[1];
    for (int64_t r = 0; r < a->rows; r++)
        for (int64_t c = 0; c < a->cols; c++)
            ((float *)ref_row(op->dst, r))[c] = ref_at(a, r, c) * ref_at(b, ref_broadcast(b, r), c);
}
