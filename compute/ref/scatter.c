/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/ref/ref.h"

/* An id past the end writes nothing either: a wrong one must not reach other memory. */
void ref_scatter(const struct op *op, void *scratch)
{
    (void)scratch;
    const struct tensor *x = op->src[1], *ids = op->src[2];
    for (int64_t i = 0; i < x->rows; i++) {
        int32_t id = ((const int32_t *)compute_tensor_data(ids))[i];
        if (id >= 0 && id < op->dst->rows)
            ref_quantize(op->dst->type, (const float *)ref_row(x, i), ref_row(op->dst, id), x->cols);
    }
}
