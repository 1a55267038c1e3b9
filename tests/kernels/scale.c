/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/kernels/harness.h"

/* One product in f32: exact, but that a device may take denormals for zero. */
static void check(struct kernels *t, int64_t rows, int64_t cols, float factor, enum fill fill, bool bench)
{
    struct kernel_case c =
        kernel_case(OP_scale, "[%d, %d] * %g %s", (int)rows, (int)cols, (double)factor, kernel_fill_name(fill));
    kernel_random(&c, 0, TENSOR_INPUT, TYPE_F32, rows, cols, fill);
    c.params.factor = factor;
    c.absolute = (factor > 1 ? factor : 1) * 0x1p-126;
    c.bench = bench;
    c.bytes = 8.0 * (double)rows * (double)cols;
    kernel_check(t, &c);
}

void test_scale(struct kernels *t)
{
    for (int fill = 0; fill < FILL_N; fill++) {
        check(t, 5, 67, 0.125f, (enum fill)fill, false);
        check(t, 3, 33, -27.7f, (enum fill)fill, false);
        check(t, 1, 9, 0, (enum fill)fill, false);
    }
    check(t, 1, 1, 3, FILL_NORMAL, false);
    check(t, 1, 1031, 1e-3f, FILL_NORMAL, false);
    check(t, 256, 2048, 0.5f, FILL_NORMAL, true);
}
