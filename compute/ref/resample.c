/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/ref/ref.h"

#include <math.h>

/* Where output index i of `out` falls among `in` samples: between samples *first and *second, `second` with weight *mix. */
static void position(int64_t i, int32_t in, int32_t out, bool align_corners, int64_t *first, int64_t *second,
                     double *mix)
{
    double at = align_corners ? (out > 1 ? (double)i * (in - 1) / (out - 1) : 0) : (i + 0.5) * in / out - 0.5;
    at = fmin(in - 1, fmax(0, at));
    *first = (int64_t)at;
    *second = *first + 1 < in ? *first + 1 : *first;
    *mix = at - (double)*first;
}

void ref_resample(const struct op *op, void *scratch)
{
    (void)scratch;
    const struct resample_params *p = &op->resample;
    const struct tensor *x = op->src[0];
    for (int64_t r = 0; r < op->dst->rows; r++) {
        int64_t y0, y1, x0, x1;
        double fy, fx;
        position(r / p->out_w, p->in_h, p->out_h, p->align_corners, &y0, &y1, &fy);
        position(r % p->out_w, p->in_w, p->out_w, p->align_corners, &x0, &x1, &fx);
        const float *a = (const float *)ref_row(x, y0 * p->in_w + x0),
                    *b = (const float *)ref_row(x, y0 * p->in_w + x1);
        const float *c = (const float *)ref_row(x, y1 * p->in_w + x0),
                    *d = (const float *)ref_row(x, y1 * p->in_w + x1);
        float *out = (float *)ref_row(op->dst, r);
        for (int64_t i = 0; i < x->cols; i++) {
            double top = (1 - fx) * a[i] + fx * b[i], bottom = (1 - fx) * c[i] + fx * d[i];
            out[i] = (float)((1 - fy) * top + fy * bottom);
        }
    }
}
