/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/range.h"

#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_pages(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int32_t first, last;
    } good[] = {{"", 0, -1}, {"7", 6, 6}, {"3-10", 2, 9}, {"3-", 2, -1}, {"-10", 0, 9}, {"5-5", 4, 4}};
    static const char *const bad[] = {"0",   "x", "7x",    "3-2", "0-4",   "-0",
                                      "--1", "-", "3-4-5", "1.5", "3 - x", "99999999999"};
    int32_t first, last;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(engine_parse_pages(good[i].text, &first, &last), PR_OK);
        assert_int_equal(first, good[i].first);
        assert_int_equal(last, good[i].last);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(engine_parse_pages(bad[i], &first, &last), PR_ERR_INVALID);
        assert_non_null(strstr(pr_error_message(), bad[i]));
    }
}

static void test_boxes(void **state)
{
    (void)state;
    static const char *const bad[] = {"",        "1,2,3",     "1,2,3,4,5", "3,0,1,1",
                                      "0,3,1,1", "nan,0,1,1", "0,0,inf,1", "a,b,c,d"};
    double box[4];
    assert_int_equal(engine_parse_box("72,100.5,300,250", box), PR_OK);
    assert_true(box[0] == 72 && box[1] == 100.5 && box[2] == 300 && box[3] == 250);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(engine_parse_box(bad[i], box), PR_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pages), cmocka_unit_test(test_boxes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
