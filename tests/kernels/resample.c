/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/mem.h"
#include "tests/kernels/harness.h"

#include <math.h>

/* A coordinate in f32 is off by some 2^-23 of the table's size; the result is continuous in it, with slopes of at most twice the
 * largest element in each direction. Eight roundings are for the weights and sums. */
static void check(struct kernels *t, struct resample_params p, int64_t d, enum fill fill, bool bench)
{
    struct kernel_case c = kernel_case(OP_resample, "%dx%d -> %dx%d d=%d %s %s", p.in_w, p.in_h, p.out_w, p.out_h,
                                       (int)d, p.align_corners ? "corners" : "centres", kernel_fill_name(fill));
    kernel_random(&c, 0, TENSOR_INPUT, TYPE_F32, (int64_t)p.in_h * p.in_w, d, fill);
    c.params.resample = p;
    const float *x = c.operands[0].data;
    double peak = 0;
    for (int64_t i = 0; i < (int64_t)p.in_h * p.in_w * d; i++)
        peak = fmax(peak, fabs(x[i]));
    c.absolute = peak * (8 * 0x1p-24 + 2 * (p.in_w + p.in_h) * 0x1p-23) + 4 * 0x1p-126;
    c.nmse = fill == FILL_NORMAL ? 1e-9 : 0;
    c.bench = bench;
    c.bytes = 4.0 * (double)d * ((double)p.in_w * p.in_h + (double)p.out_w * p.out_h);
    kernel_check(t, &c);
}

void test_resample(struct kernels *t)
{
    for (int corners = 0; corners < 2; corners++) {
        bool c = corners;
        for (int fill = 0; fill < FILL_N; fill++)
            check(t, (struct resample_params){7, 5, 11, 3, c}, 13, (enum fill)fill, false);
        check(t, (struct resample_params){48, 48, 31, 67, c}, 5, FILL_NORMAL, false);
        check(t, (struct resample_params){4, 4, 4, 4, c}, 33, FILL_NORMAL, false); /* as it was */
        check(t, (struct resample_params){1, 1, 5, 3, c}, 3, FILL_NORMAL, false);
        check(t, (struct resample_params){5, 3, 1, 1, c}, 3, FILL_NORMAL, false);
        check(t, (struct resample_params){1, 9, 4, 1, c}, 1, FILL_NORMAL, false);
        check(t, (struct resample_params){16, 16, 5, 5, c}, 64, FILL_NORMAL, false);
        check(t, (struct resample_params){48, 48, 64, 36, c}, 1024, FILL_NORMAL, true);
    }
}
