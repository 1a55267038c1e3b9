/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/kernels/harness.h"

/* A sum of `cols` squares in f32 in any order is off by at most cols * 2^-24, its root by half of that; root, division and two
 * products add a few roundings. Squares of tiny numbers vanish beside eps; large ones must not overflow (1e6^2 * cols fits). */
static void check(struct kernels *t, int64_t rows, int64_t cols, int weight, float eps, enum fill fill, bool bench)
{
    static const char *const weights[] = {"", " f32 weight", " f16 weight"};
    struct kernel_case c = kernel_case(OP_rms_norm, "[%d, %d] eps %g%s %s", (int)rows, (int)cols, (double)eps,
                                       weights[weight], kernel_fill_name(fill));
    kernel_random(&c, 0, TENSOR_INPUT, TYPE_F32, rows, cols, fill);
    if (weight)
        kernel_random(&c, 1, TENSOR_WEIGHT, weight == 1 ? TYPE_F32 : TYPE_F16, 1, cols, FILL_NORMAL);
    c.params.eps = eps;
    c.relative = ((double)cols / 2 + 12) * 0x1p-24;
    c.absolute = fill == FILL_TINY ? 1e-34 : 0x1p-126; /* denormals may count as zero */
    c.nmse = fill == FILL_NORMAL ? 1e-12 : 0;
    c.bench = bench;
    c.bytes = 8.0 * (double)rows * (double)cols;
    kernel_check(t, &c);
}

void test_rms_norm(struct kernels *t)
{
    for (int weight = 0; weight < 3; weight++) {
        for (int fill = 0; fill < FILL_N; fill++) {
            check(t, 5, 67, weight, 1e-6f, (enum fill)fill, false);
            check(t, 2, 576, weight, 1e-5f, (enum fill)fill, false);
        }
        static const int64_t widths[] = {1, 2, 3, 8, 31, 32, 33, 64, 127, 128, 255, 257, 960, 1031, 4096, 8192};
        for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++)
            check(t, 3, widths[i], weight, 1e-5f, FILL_NORMAL, false);
        check(t, 1, 769, weight, 1e-5f, FILL_NORMAL, false);
        check(t, 300, 64, weight, 1e-6f, FILL_NORMAL, false); /* heads as rows: q and k norm */
        check(t, 256, 2048, weight, 1e-6f, FILL_NORMAL, true);
    }
}
