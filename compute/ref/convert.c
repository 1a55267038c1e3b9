/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/ref/ref.h"

/* One side is f32 (op.c). */
void ref_convert(const struct op *op, void *scratch)
{
    (void)scratch;
    const struct tensor *x = op->src[0];
    for (int64_t r = 0; r < x->rows; r++) {
        if (x->type == TYPE_F32)
            ref_quantize(op->dst->type, (const float *)ref_row(x, r), ref_row(op->dst, r), x->cols);
        else
            ref_load(x, r, 0, x->cols, (float *)ref_row(op->dst, r));
    }
}
