/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/suggest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void distances(void **state)
{
    (void)state;
    assert_int_equal(base_edit_distance("", ""), 0);
    assert_int_equal(base_edit_distance("", "abc"), 3);
    assert_int_equal(base_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(base_edit_distance("modle", "model"), 1);
    char longer[100];
    memset(longer, 'a', 99);
    longer[99] = '\0';
    assert_int_equal(base_edit_distance(longer, "a"), 99);
}

static void near_words(void **state)
{
    (void)state;
    assert_true(base_is_near("modle", "model"));
    assert_true(base_is_near("cachetype", "cache-type"));
    assert_false(base_is_near("x", "model"));
    assert_false(base_is_near("ab", "cd"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances),
        cmocka_unit_test(near_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
