/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rows are converted, not computed with: f32, f16 and bf16 are exact; a quantised element is a product and perhaps a sum in f32,
 * in any order: some 2^-24 of the largest term, which is at most four times the largest element of the table's row.
 */
#include "base/mem.h"
#include "tests/kernels/harness.h"

#include <math.h>
#include <string.h>

static void check(struct kernels *t, enum type type, enum tensor_role role, int64_t v, int64_t d, int64_t n,
                  enum fill fill, bool bench)
{
    static const char *const roles[] = {"weight", "state", "input"};
    struct kernel_case c = kernel_case(OP_gather, "%s %s v=%d d=%d n=%d %s", compute_type((int)type)->name, roles[role],
                                       (int)v, (int)d, (int)n, kernel_fill_name(fill));
    kernel_random(&c, 0, role, type, v, d, fill);
    int32_t *ids = kernel_operand(&c, 1, TENSOR_INPUT, TYPE_I32, 1, n);
    uint64_t seed = 7;
    for (int64_t i = 0; i < n; i++)
        ids[i] = (int32_t)kernel_integer(&seed, v);
    if (n > 3) { /* the ends, and ids that have no row */
        ids[0] = (int32_t)v - 1;
        ids[1] = (int32_t)v;
        ids[2] = -1;
        ids[3] = 0;
    }
    if (n > 6) {
        ids[4] = INT32_MIN;
        ids[5] = INT32_MAX;
    }
    c.bench = bench;
    c.bytes = (double)n * (double)(compute_row_bytes(type, d) + (size_t)d * 4);
    if (compute_type((int)type)->block > 1) {
        float *values = kernel_values(&c, 0);
        c.magnitude = base_alloc_array((size_t)(n * d), sizeof *c.magnitude);
        c.unit = 4 * 0x1p-23;
        for (int64_t i = 0; i < n; i++) {
            double peak = 1e-38;
            for (int64_t k = 0; k < d && ids[i] >= 0 && ids[i] < v; k++)
                peak = fmax(peak, fabs(values[ids[i] * d + k]));
            for (int64_t k = 0; k < d; k++)
                c.magnitude[i * d + k] = peak;
        }
        base_free(values);
    }
    kernel_check(t, &c);
}

void test_gather(struct kernels *t)
{
    for (int type = 0; type < TYPE_LIMIT; type++) {
        const struct type_traits *traits = compute_type(type);
        if (!traits || !traits->weight)
            continue;
        int64_t block = traits->block;
        check(t, (enum type)type, TENSOR_WEIGHT, 101, block * 3, 7, FILL_NORMAL, false);
        check(t, (enum type)type, TENSOR_WEIGHT, 1, block, 1, FILL_NORMAL, false);
        check(t, (enum type)type, TENSOR_WEIGHT, 33, block * 5, 67, FILL_MIXED, false);
        check(t, (enum type)type, TENSOR_WEIGHT, 33, block * 2, 8, FILL_TINY, false);
        check(t, (enum type)type, TENSOR_WEIGHT, 33, block * 2, 8, FILL_ZERO, false);
        check(t, (enum type)type, TENSOR_WEIGHT, 3000, 1024, 256, FILL_NORMAL, true);
    }
    for (int type = 0; type < 3; type++) {
        enum type of = (enum type[]){TYPE_F32, TYPE_F16, TYPE_Q8_0}[type];
        check(t, of, TENSOR_STATE, 65, 96, 9, FILL_NORMAL, false);
        check(t, of, TENSOR_STATE, 65, 96, 9, FILL_LARGE, false);
    }
    check(t, TYPE_F32, TENSOR_INPUT, 53, 13, 19, FILL_NORMAL, false);
    check(t, TYPE_F32, TENSOR_INPUT, 53, 1, 1, FILL_NORMAL, false);
    check(t, TYPE_F32, TENSOR_WEIGHT, 7, 1, 5, FILL_NORMAL, false);
    check(t, TYPE_F16, TENSOR_WEIGHT, 7, 3, 5, FILL_NORMAL, false);
}
