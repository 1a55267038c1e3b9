/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/cpu/huge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Apart from each other, aligned, zeroed, also after others were freed. */
static void test_alloc(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 64, 100, 5u << 20, 40u << 20, 3, 7u << 20};
    enum { N = sizeof sizes / sizeof *sizes };
    struct cpu_huge huge = {0};
    unsigned char *p[N];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) {
            p[i] = cpu_huge_alloc(&huge, sizes[i]);
            assert_non_null(p[i]);
            assert_int_equal((uintptr_t)p[i] % 64, 0);
            assert_int_equal(p[i][0] | p[i][sizes[i] / 2] | p[i][sizes[i] - 1], 0);
            memset(p[i], i + 1, sizes[i]);
            if (i == 3) { /* a hole in the middle */
                cpu_huge_free(&huge, p[1], sizes[1]);
                p[1] = NULL;
            }
        }
        for (int i = 0; i < N; i++)
            if (p[i])
                for (size_t k = 0; k < sizes[i]; k += 4093)
                    assert_int_equal(p[i][k], i + 1);
        for (int i = 0; i < N; i++)
            cpu_huge_free(&huge, p[i], sizes[i]); /* takes NULL */
        assert_null(huge.chunks);
    }
}

static void test_too_much(void **state)
{
    (void)state;
    struct cpu_huge huge = {0};
    assert_null(cpu_huge_alloc(&huge, SIZE_MAX));
    assert_null(cpu_huge_alloc(&huge, (size_t)1 << 60));
    assert_null(huge.chunks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
