/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/json.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect_text(const char *text, size_t len, const char *json)
{
    struct base_buf out = {0};
    base_json_text(&out, text, len);
    assert_string_equal(out.data, json);
    base_buf_finish(&out);
}

static void texts(void **state)
{
    (void)state;
    expect_text("", 0, "\"\"");
    expect_text("a\"b\\c", 5, "\"a\\\"b\\\\c\"");
    expect_text("\n\t\0\033\177", 5, "\"\\n\\u0009\\u0000\\u001b\\u007f\"");
    expect_text("\xc2\x9b\xc2\x80\xc2\xa0", 6, "\"\\u009b\\u0080\xc2\xa0\"");
    expect_text("\xc3\xa4\xf0\x9f\x8e\x9e", 6, "\"\xc3\xa4\xf0\x9f\x8e\x9e\"");
    expect_text("\xff"
                "a\xc3",
                3,
                "\"\xef\xbf\xbd"
                "a\xef\xbf\xbd\"");
    expect_text("\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void expect_float(float value, const char *json)
{
    struct base_buf out = {0};
    base_json_float(&out, value);
    assert_string_equal(out.data, json);
    base_buf_finish(&out);
}

static void floats_are_short(void **state)
{
    (void)state;
    expect_float(0, "0");
    expect_float(0.1f, "0.1");
    expect_float(-1.5f, "-1.5");
    expect_float(16777216.0f, "16777216");
    expect_float(1e-10f, "1e-10");
    expect_float(NAN, "null");
    expect_float(INFINITY, "null");
    expect_float(-INFINITY, "null");
}

/* Every float reads back as itself: all exponents, a spread of mantissas. */
static void floats_round_trip(void **state)
{
    (void)state;
    struct base_buf out = {0};
    for (uint32_t bits = 1; bits < 0x7f800000; bits += 99991) {
        float value;
        memcpy(&value, &bits, sizeof value);
        out.len = 0;
        base_json_float(&out, value);
        assert_true(strtof(out.data, NULL) == value);
    }
    const double doubles[] = {0.1, 1.0 / 3, DBL_MAX, DBL_MIN, DBL_TRUE_MIN, 123456789.125, -2.5e-300};
    for (size_t i = 0; i < sizeof doubles / sizeof doubles[0]; i++) {
        out.len = 0;
        base_json_double(&out, doubles[i]);
        assert_true(strtod(out.data, NULL) == doubles[i]);
    }
    base_buf_finish(&out);
}

static void the_locale_does_not_matter(void **state)
{
    (void)state;
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8")) {
        print_message("skipped: no locale with a decimal comma on this machine\n");
        skip();
    }
    expect_float(-1.5f, "-1.5");
    setlocale(LC_NUMERIC, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts),
        cmocka_unit_test(floats_are_short),
        cmocka_unit_test(floats_round_trip),
        cmocka_unit_test(the_locale_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
