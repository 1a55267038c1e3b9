/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/kernels/harness.h"

/* tanh in f32 is good to a few 2^-24 of its range of 1, times the limit. Where |x| is far below the limit the result is x. */
static void check(struct kernels *t, int64_t rows, int64_t cols, float cap, enum fill fill, bool bench)
{
    struct kernel_case c =
        kernel_case(OP_softcap, "[%d, %d] cap %g %s", (int)rows, (int)cols, (double)cap, kernel_fill_name(fill));
    kernel_random(&c, 0, TENSOR_INPUT, TYPE_F32, rows, cols, fill);
    c.params.factor = cap;
    c.absolute = 8 * 0x1p-24 * cap;
    c.nmse = fill == FILL_NORMAL ? 1e-10 : 0;
    c.bench = bench;
    c.bytes = 8.0 * (double)rows * (double)cols;
    kernel_check(t, &c);
}

void test_softcap(struct kernels *t)
{
    for (int fill = 0; fill < FILL_N; fill++) {
        check(t, 5, 67, 30, (enum fill)fill, false);
        check(t, 3, 33, 0.5f, (enum fill)fill, false);
        check(t, 3, 33, 1e4f, (enum fill)fill, false);
    }
    check(t, 1, 1, 3, FILL_NORMAL, false);
    check(t, 1, 1031, 50, FILL_NORMAL, false);
    check(t, 256, 2048, 30, FILL_NORMAL, true);
}
