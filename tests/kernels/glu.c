/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/mem.h"
#include "compute/ref/ref.h"
#include "tests/kernels/harness.h"

#include <math.h>

static const char *const names[] = {"silu", "gelu tanh", "gelu erf", "gelu quick", "sigmoid"};

/* The activation's bound (tests/kernels/activate.c) times |up|, and one more rounding. */
static void check(struct kernels *t, enum activation kind, int64_t rows, int64_t cols, enum fill gate_fill,
                  enum fill up_fill, bool bench)
{
    struct kernel_case c = kernel_case(OP_glu, "%s [%d, %d] %s, %s", names[kind], (int)rows, (int)cols,
                                       kernel_fill_name(gate_fill), kernel_fill_name(up_fill));
    kernel_random(&c, 0, TENSOR_INPUT, TYPE_F32, rows, cols, gate_fill);
    kernel_random(&c, 1, TENSOR_INPUT, TYPE_F32, rows, cols, up_fill);
    const float *gate = c.operands[0].data, *up = c.operands[1].data;
    c.params.activation = kind;
    c.magnitude = base_alloc_array((size_t)(rows * cols), sizeof *c.magnitude);
    for (int64_t i = 0; i < rows * cols; i++)
        c.magnitude[i] = (kind == ACT_SIGMOID ? 1 : fabs(gate[i])) * fabs(up[i]);
    c.unit = 17 * 0x1p-24;
    c.absolute = up_fill == FILL_LARGE ? 1e7 * 0x1p-126 : 0x1p-110;
    c.nmse = gate_fill == FILL_NORMAL && up_fill == FILL_NORMAL && cols > 1 ? 1e-12 : 0;
    c.bench = bench;
    c.bytes = 12.0 * (double)rows * (double)cols;
    kernel_check(t, &c);
}

void test_glu(struct kernels *t)
{
    for (int kind = ACT_SILU; kind <= ACT_SIGMOID; kind++) {
        for (int fill = 0; fill < FILL_N; fill++) {
            check(t, (enum activation)kind, 5, 67, (enum fill)fill, FILL_NORMAL, false);
            check(t, (enum activation)kind, 5, 67, FILL_NORMAL, (enum fill)fill, false);
        }
        check(t, (enum activation)kind, 1, 1, FILL_NORMAL, FILL_NORMAL, false);
        check(t, (enum activation)kind, 1, 1537, FILL_NORMAL, FILL_NORMAL, false);
        check(t, (enum activation)kind, 257, 3, FILL_NORMAL, FILL_NORMAL, false);
        check(t, (enum activation)kind, 256, 2048, FILL_NORMAL, FILL_NORMAL, true);
    }
}
