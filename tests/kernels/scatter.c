/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * f32 is copied and f16 rounded to nearest even, both exactly; in q8_0 an element may differ by one step of its block where x
 * lies close to the middle between two (and the scale by its last bit).
 */
#include "base/mem.h"
#include "tests/kernels/harness.h"

#include <assert.h>
#include <math.h>

/* The bound of every element of dst: a step of the block that was written there. */
static void bound_steps(struct kernel_case *c, const int32_t *ids, int64_t v, int64_t d, int64_t n)
{
    const float *x = c->operands[1].data;
    c->magnitude = base_alloc_array((size_t)(v * d), sizeof *c->magnitude);
    c->unit = 1.002;
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= v)
            continue;
        for (int64_t k = 0; k < d; k += 32) {
            double peak = 0;
            for (int64_t j = k; j < k + 32; j++)
                peak = fmax(peak, fabs(x[i * d + j]));
            for (int64_t j = k; j < k + 32; j++)
                c->magnitude[ids[i] * d + j] = peak / 127;
        }
    }
}

static void check(struct kernels *t, enum type type, enum tensor_role role, int64_t v, int64_t d, int64_t n,
                  enum fill fill, bool bench)
{
    struct kernel_case c =
        kernel_case(OP_scatter, "%s%s v=%d d=%d n=%d %s", compute_type((int)type)->name,
                    role == TENSOR_STATE ? "" : " activation", (int)v, (int)d, (int)n, kernel_fill_name(fill));
    kernel_random(&c, 0, TENSOR_STATE, type, v, d, FILL_NORMAL);
    kernel_random(&c, 1, TENSOR_INPUT, TYPE_F32, n, d, fill);
    assert(v % 7 != 0);
    int32_t *ids = kernel_operand(&c, 2, TENSOR_INPUT, TYPE_I32, 1, n);
    for (int64_t i = 0; i < n; i++)
        ids[i] = (int32_t)((i * 7 + 3) % v); /* 7 and v have no common divisor: all differ while n <= v */
    if (n > 3) {
        ids[1] = -1;
        ids[2] = INT32_MIN;
    }
    c.bench = bench;
    c.bytes = (double)n * (double)((size_t)d * 4 + compute_row_bytes(type, d));
    if (type == TYPE_Q8_0)
        bound_steps(&c, ids, v, d, n);
    kernel_check(t, &c);
}

void test_scatter(struct kernels *t)
{
    for (int i = 0; i < 3; i++) {
        enum type type = (enum type[]){TYPE_F32, TYPE_F16, TYPE_Q8_0}[i];
        int64_t block = compute_type((int)type)->block;
        for (int fill = 0; fill < FILL_N; fill++) {
            check(t, type, TENSOR_STATE, 65, 96, 9, (enum fill)fill, false);
            check(t, type, TENSOR_STATE, 33, block * 7, 31, (enum fill)fill, false);
        }
        check(t, type, TENSOR_STATE, 1, block, 1, FILL_NORMAL, false);
        check(t, type, TENSOR_STATE, 129, 576, 1, FILL_NORMAL, false);
        check(t, type, TENSOR_STATE, 1003, 192, 257, FILL_NORMAL, true);
    }
    check(t, TYPE_F16, TENSOR_STATE, 5, 3, 5, FILL_NORMAL, false); /* rows that are no whole number of words */
    check(t, TYPE_F16, TENSOR_STATE, 9, 1, 4, FILL_NORMAL, false);
}
