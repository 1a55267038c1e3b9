/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/ref/ref.h"

#include <string.h>

void ref_gather(const struct op *op, void *scratch)
{
    (void)scratch;
    const struct tensor *table = op->src[0], *ids = op->src[1];
    for (int64_t i = 0; i < op->dst->rows; i++) {
        int32_t id = ((const int32_t *)compute_tensor_data(ids))[i];
        float *out = (float *)ref_row(op->dst, i);
        if (id >= 0 && id < table->rows)
            ref_load(table, id, 0, table->cols, out);
        else
            memset(out, 0, (size_t)table->cols * sizeof *out);
    }
}
