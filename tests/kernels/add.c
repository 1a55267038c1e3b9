/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/kernels/harness.h"

/* One operation in f32: exact, but that a device may take denormals for zero. */
static void check(struct kernels *t, enum type type, enum tensor_role role, int64_t rows, int64_t cols, int64_t b_rows,
                  enum fill fill, bool bench)
{
    struct kernel_case c =
        kernel_case(OP_add, "[%d, %d] with %s [%d, %d] %s%s", (int)rows, (int)cols, compute_type((int)type)->name,
                    (int)b_rows, (int)cols, kernel_fill_name(fill), role == TENSOR_WEIGHT ? " weight" : "");
    kernel_random(&c, 0, TENSOR_INPUT, TYPE_F32, rows, cols, fill);
    kernel_random(&c, 1, role, type, b_rows, cols, fill);
    c.absolute = 2 * 0x1p-126;
    c.bench = bench;
    c.bytes = 12.0 * (double)rows * (double)cols;
    kernel_check(t, &c);
}

void test_add(struct kernels *t)
{
    for (int i = 0; i < 4; i++) {
        enum type type = i % 2 ? TYPE_F16 : TYPE_F32;
        enum tensor_role role = i / 2 ? TENSOR_WEIGHT : TENSOR_INPUT;
        for (int fill = 0; fill < FILL_N; fill++) {
            check(t, type, role, 5, 67, 5, (enum fill)fill, false);
            check(t, type, role, 5, 67, 1, (enum fill)fill, false);
        }
        check(t, type, role, 1, 1, 1, FILL_NORMAL, false);
        check(t, type, role, 1, 1031, 1, FILL_NORMAL, false);
        check(t, type, role, 257, 3, 1, FILL_NORMAL, false);
        check(t, type, role, 67, 576, 67, FILL_NORMAL, false);
        check(t, type, role, 256, 2048, 256, FILL_NORMAL, true);
        check(t, type, role, 256, 2048, 1, FILL_NORMAL, true);
    }
}
