/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vision/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* What num2words 0.5.14 says. */
static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        int32_t n;
        const char *words;
    } cases[] = {
        {0, "zero"},
        {1, "one"},
        {4, "four"},
        {12, "twelve"},
        {20, "twenty"},
        {21, "twenty-one"},
        {64, "sixty-four"},
        {99, "ninety-nine"},
        {100, "one hundred"},
        {101, "one hundred and one"},
        {110, "one hundred and ten"},
        {123, "one hundred and twenty-three"},
        {768, "seven hundred and sixty-eight"},
        {900, "nine hundred"},
        {999, "nine hundred and ninety-nine"},
        {1000, "one thousand"},
        {1001, "one thousand and one"},
        {1023, "one thousand and twenty-three"},
        {1100, "one thousand, one hundred"},
        {1234, "one thousand, two hundred and thirty-four"},
        {2000, "two thousand"},
        {20000, "twenty thousand"},
        {100000, "one hundred thousand"},
        {123456, "one hundred and twenty-three thousand, four hundred and fifty-six"},
        {1000000, "one million"},
        {1000001, "one million and one"},
        {2345678, "two million, three hundred and forty-five thousand, six hundred and seventy-eight"},
        {999999999,
         "nine hundred and ninety-nine million, nine hundred and ninety-nine thousand, nine hundred and ninety-nine"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct base_buf out = {0};
        vision_words_number(&out, cases[i].n);
        assert_string_equal(out.data, cases[i].words);
        base_buf_finish(&out);
    }
}

/* str(timedelta(seconds=n)) */
static void test_durations(void **state)
{
    (void)state;
    static const struct {
        int64_t n;
        const char *words;
    } cases[] = {
        {0, "0:00:00"},
        {9, "0:00:09"},
        {60, "0:01:00"},
        {90, "0:01:30"},
        {3599, "0:59:59"},
        {3600, "1:00:00"},
        {36125, "10:02:05"},
        {86399, "23:59:59"},
        {86400, "1 day, 0:00:00"},
        {86405, "1 day, 0:00:05"},
        {200000, "2 days, 7:33:20"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct base_buf out = {0};
        vision_words_duration(&out, cases[i].n);
        assert_string_equal(out.data, cases[i].words);
        base_buf_finish(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
