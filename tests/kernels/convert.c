/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * f16 and bf16 round to nearest even, exactly (bf16 has denormals where f32 has them; a device may take those for zero). In q8_0
 * an element may differ by one step of its block where x lies close to the middle between two (and the scale by its last bit).
 */
#include "base/mem.h"
#include "tests/kernels/harness.h"

#include <math.h>

static void bound_steps(struct kernel_case *c, int64_t n)
{
    const float *x = c->operands[0].data;
    c->magnitude = base_alloc_array((size_t)n, sizeof *c->magnitude);
    c->unit = 1.002;
    for (int64_t i = 0; i < n; i += 32) {
        double peak = 0;
        for (int64_t j = i; j < i + 32; j++)
            peak = fmax(peak, fabs(x[j]));
        for (int64_t j = i; j < i + 32; j++)
            c->magnitude[j] = peak / 127;
    }
}

static void check(struct kernels *t, enum type from, enum type to, int64_t rows, int64_t cols, enum fill fill,
                  bool bench)
{
    struct kernel_case c = kernel_case(OP_convert, "%s -> %s [%d, %d] %s", compute_type((int)from)->name,
                                       compute_type((int)to)->name, (int)rows, (int)cols, kernel_fill_name(fill));
    kernel_random(&c, 0, TENSOR_INPUT, from, rows, cols, fill);
    c.convert_to = to;
    if (from == TYPE_BF16 || to == TYPE_BF16 || to == TYPE_F32)
        c.absolute = 0x1p-126;
    if (to == TYPE_Q8_0)
        bound_steps(&c, rows * cols);
    c.bench = bench;
    c.bytes = (double)rows * (double)(compute_row_bytes(from, cols) + compute_row_bytes(to, cols));
    kernel_check(t, &c);
}

/* A number and what becomes of it where rounding is decided: middles between halves, the largest half, the smallest. */
static void check_borders(struct kernels *t, enum type to)
{
    static const float borders[] = {
        1.00048828125f, 1.00146484375f, 65504,   65519.996f,  65520,       1e30f,         5.9604645e-8f, 2.9802322e-8f,
        2.9802326e-8f,  6.1035156e-5f,  6.1e-5f, 1.00390625f, 1.01171875f, 3.3895314e38f, 3.4e38f,       0};
    struct kernel_case c = kernel_case(OP_convert, "F32 -> %s borders", compute_type((int)to)->name);
    float *x = kernel_operand(&c, 0, TENSOR_INPUT, TYPE_F32, 2, 16);
    for (int i = 0; i < 16; i++) {
        x[i] = borders[i];
        x[16 + i] = -borders[i];
    }
    c.convert_to = to;
    kernel_check(t, &c);
}

void test_convert(struct kernels *t)
{
    static const enum type types[] = {TYPE_F32, TYPE_F16, TYPE_BF16, TYPE_Q8_0};
    for (int i = 0; i < 4; i++) {
        for (int back = 0; back < 2; back++) {
            enum type from = back ? types[i] : TYPE_F32, to = back ? TYPE_F32 : types[i];
            if (back && i == 0)
                continue;
            int64_t block = compute_type((int)types[i])->block;
            for (int fill = 0; fill < FILL_N; fill++) {
                check(t, from, to, 5, 96, (enum fill)fill, false);
                check(t, from, to, 3, 5 * block, (enum fill)fill, false);
            }
            check(t, from, to, 1, block, FILL_NORMAL, false);
            check(t, from, to, 67, 7 * block, FILL_NORMAL, false);
            check(t, from, to, 256, 2048, FILL_NORMAL, true);
        }
    }
    check_borders(t, TYPE_F16);
    check_borders(t, TYPE_BF16);
}
