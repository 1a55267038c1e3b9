/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/kernels/harness.h"

/* Nothing is computed: exact. */
static void check(struct kernels *t, int n, struct patch_params p, enum fill fill, bool bench)
{
    struct kernel_case c = kernel_case(OP_patches, "%d pictures %dx%d channels=%d patch=%d %s", n, p.width, p.height,
                                       p.channels, p.patch, kernel_fill_name(fill));
    kernel_random(&c, 0, TENSOR_INPUT, TYPE_F32, (int64_t)n * p.channels * p.height, p.width, fill);
    c.params.patches = p;
    c.bench = bench;
    c.bytes = 8.0 * n * p.channels * p.height * p.width;
    kernel_check(t, &c);
}

void test_patches(struct kernels *t)
{
    for (int fill = 0; fill < FILL_N; fill++)
        check(t, 2, (struct patch_params){28, 42, 3, 14}, (enum fill)fill, false);
    check(t, 1, (struct patch_params){16, 16, 3, 16}, FILL_NORMAL, false);
    check(t, 1, (struct patch_params){1, 1, 1, 1}, FILL_NORMAL, false);
    check(t, 3, (struct patch_params){7, 5, 2, 1}, FILL_NORMAL, false);
    check(t, 5, (struct patch_params){15, 9, 1, 3}, FILL_NORMAL, false);
    check(t, 1, (struct patch_params){77, 11, 4, 11}, FILL_NORMAL, false);
    check(t, 1, (struct patch_params){512, 512, 3, 16}, FILL_NORMAL, true);
}
