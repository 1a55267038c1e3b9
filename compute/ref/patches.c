/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/ref/ref.h"

void ref_patches(const struct op *op, void *scratch)
{
    (void)scratch;
    const struct patch_params *p = &op->patches;
    const struct tensor *x = op->src[0];
    int64_t columns = p->width / p->patch, rows = p->height / p->patch;
    for (int64_t r = 0; r < op->dst->rows; r++) {
        int64_t picture = r / (rows * columns), py = r / columns % rows, px = r % columns;
        float *out = (float *)ref_row(op->dst, r);
        for (int64_t c = 0; c < p->channels; c++) {
            for (int64_t y = 0; y < p->patch; y++) {
                int64_t line = (picture * p->channels + c) * p->height + py * p->patch + y;
                for (int64_t u = 0; u < p->patch; u++)
                    out[(c * p->patch + y) * p->patch + u] = ref_at(x, line, px * p->patch + u);
            }
        }
    }
}
