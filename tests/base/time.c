/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pagereel/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t microseconds;
    } cases[] = {
        {"0", 0},
        {"83.5", 83500000},
        {"02:03", 123000000},
        {"1:02:03.456", 3723456000},
        {"00:41:10.5", 2470500000},
        {"0:0:0,25", 250000},
        {"90s", 90000000},
        {"1h2m3s", 3723000000},
        {"500ms", 500000},
        {"1.5h", 5400000000},
        {"2m", 120000000},
        {"5 m", 300000000},
        {"90 sec", 90000000},
        {"1 hour 2 min 3.5 seconds", 3723500000},
        {".5", 500000},
        {"7us", 7},
        {"-1.5", -1500000},
        {" 5", 5000000},
        {"0.0000019", 1},
        {"100:00:00", 360000000000},
        {"75:00", 4500000000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t value = -99;
        assert_int_equal(pr_time_parse(cases[i].text, &value), PR_OK);
        assert_int_equal(value, cases[i].microseconds);
    }
}

static void test_refuse(void **state)
{
    (void)state;
    static const char *const cases[] = {"",
                                        "-",
                                        "x",
                                        "1:2:3:4",
                                        "1::2",
                                        ":1",
                                        "1:",
                                        "1.5:30",
                                        "5 x",
                                        "5 minx",
                                        "s",
                                        "3s2m",
                                        "1h1h",
                                        "--5",
                                        "99999999999999999999",
                                        "20000000000000000000us",
                                        "9223372036854775807s",
                                        "1e3",
                                        "nan",
                                        "0x10",
                                        "."};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t value = 77;
        assert_int_equal(pr_time_parse(cases[i], &value), PR_ERR_INVALID);
        assert_int_equal(value, 77);
        assert_non_null(strstr(pr_error_message(), "no time"));
    }
}

static void test_text(void **state)
{
    (void)state;
    char out[32];
    assert_string_equal(pr_time_text(0, out, sizeof out), "0:00:00.000");
    assert_string_equal(pr_time_text(3723456000, out, sizeof out), "1:02:03.456");
    assert_string_equal(pr_time_text(59999600, out, sizeof out), "0:01:00.000");
    assert_string_equal(pr_time_text(-1500000, out, sizeof out), "-0:00:01.500");
    assert_string_equal(pr_time_text(PR_TIME_NONE, out, sizeof out), "-");
    assert_string_equal(pr_time_text(INT64_MAX, out, sizeof out), "2562047788:00:54.776");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_refuse),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
