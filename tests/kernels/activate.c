/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/mem.h"
#include "tests/kernels/harness.h"

#include <math.h>

static const char *const names[] = {"silu", "gelu tanh", "gelu erf", "gelu quick", "sigmoid"};

/* Each is x (sigmoid: 1) times a function of range 0..1 that f32 gives to some 2^-24 of 1; its argument is rounded, too, which
 * moves it by at most |argument| 2^-24 times its slope (below 1/2 where the slope isn't 0): 16 units of 2^-24 leave room for an
 * exp and a division of a few units each. */
static void check(struct kernels *t, enum activation kind, int64_t rows, int64_t cols, enum fill fill, bool bench)
{
    struct kernel_case c =
        kernel_case(OP_activate, "%s [%d, %d] %s", names[kind], (int)rows, (int)cols, kernel_fill_name(fill));
    kernel_random(&c, 0, TENSOR_INPUT, TYPE_F32, rows, cols, fill);
    const float *x = c.operands[0].data;
    c.params.activation = kind;
    c.magnitude = base_alloc_array((size_t)(rows * cols), sizeof *c.magnitude);
    for (int64_t i = 0; i < rows * cols; i++)
        c.magnitude[i] = kind == ACT_SIGMOID ? 1 : fabs(x[i]);
    c.unit = 16 * 0x1p-24;
    c.absolute = 0x1p-126;
    c.nmse = fill == FILL_NORMAL && cols > 1 ? 1e-12 : 0;
    c.bench = bench;
    c.bytes = 8.0 * (double)rows * (double)cols;
    kernel_check(t, &c);
}

/* All of -20..20, where the functions bend. */
static void check_ramp(struct kernels *t, enum activation kind)
{
    struct kernel_case c = kernel_case(OP_activate, "%s ramp", names[kind]);
    float *x = kernel_operand(&c, 0, TENSOR_INPUT, TYPE_F32, 1, 4001);
    c.params.activation = kind;
    c.magnitude = base_alloc_array(4001, sizeof *c.magnitude);
    for (int i = 0; i < 4001; i++) {
        x[i] = (float)(i - 2000) / 100;
        c.magnitude[i] = kind == ACT_SIGMOID ? 1 : fabs(x[i]);
    }
    c.unit = 16 * 0x1p-24;
    c.nmse = 1e-12;
    kernel_check(t, &c);
}

void test_activate(struct kernels *t)
{
    for (int kind = ACT_SILU; kind <= ACT_SIGMOID; kind++) {
        for (int fill = 0; fill < FILL_N; fill++)
            check(t, (enum activation)kind, 5, 67, (enum fill)fill, false);
        check_ramp(t, (enum activation)kind);
        check(t, (enum activation)kind, 1, 1, FILL_NORMAL, false);
        check(t, (enum activation)kind, 257, 3, FILL_NORMAL, false);
        check(t, (enum activation)kind, 256, 2048, FILL_NORMAL, true);
    }
}
