/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void arithmetic_is_checked(void **state)
{
    (void)state;
    size_t out;
    assert_true(base_mul(3, 4, &out));
    assert_int_equal(out, 12);
    assert_false(base_mul(SIZE_MAX, 2, &out));
    assert_false(base_add(SIZE_MAX, 1, &out));
    assert_int_equal(base_align(0, 64), 0);
    assert_int_equal(base_align(65, 64), 128);
}

static void sizes_of_others_are_refused(void **state)
{
    (void)state;
    assert_null(base_try_alloc(SIZE_MAX, 2));
    assert_null(base_try_alloc(SIZE_MAX, 1));
    assert_null(base_try_alloc(SIZE_MAX / 2, 1));
    unsigned char *p = base_try_alloc(100, 3);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % 64, 0);
    for (int i = 0; i < 300; i++)
        assert_int_equal(p[i], 0);
    base_free(p);
    p = base_try_alloc(0, 8);
    assert_non_null(p);
    base_free(p);
    base_free(NULL);
}

static void buffers_grow(void **state)
{
    (void)state;
    struct base_buf b = {0};
    base_buf_append(&b, "", 0);
    assert_string_equal(b.data, "");
    for (int i = 0; i < 1000; i++)
        base_buf_printf(&b, "%d,", i);
    assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
    assert_int_equal(strlen(b.data), b.len);
    base_buf_append(&b, "\0x", 2);
    assert_int_equal(b.data[b.len - 1], 'x');
    base_buf_finish(&b);
    assert_null(b.data);
    base_buf_puts(&b, "again");
    assert_string_equal(b.data, "again");
    base_buf_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic_is_checked),
        cmocka_unit_test(sizes_of_others_are_refused),
        cmocka_unit_test(buffers_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
