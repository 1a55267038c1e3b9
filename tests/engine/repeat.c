/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/repeat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* At which byte an answer that comes byte by byte is ended; its length: never. */
static size_t ends_at(const char *once, int times, const char *before)
{
    struct base_buf whole = {0}, text = {0};
    base_buf_puts(&whole, before);
    for (int i = 0; i < times; i++)
        base_buf_puts(&whole, once);
    size_t n = 0;
    while (n < whole.len && !engine_loops(&text))
        base_buf_append(&text, &whole.data[n++], 1);
    bool ended = engine_loops(&text);
    base_buf_finish(&whole);
    base_buf_finish(&text);
    return ended ? n : SIZE_MAX;
}

static void loops_are_ended(void **state)
{
    (void)state;
    assert_int_equal(ends_at("the cat sat on the mat. ", 100, ""), 24 * 11); /* 256 bytes in whole sentences */
    assert_in_range(ends_at("I don't know. ", 100, "The valve closes at nine bar. "), 256, 30 + 256 + 14);
    assert_int_equal(ends_at("\xe6\xb0\xb4\xe3\x81\xaf\xe9\x9d\x92\xe3\x81\x84\xe3\x80\x82", 100, ""), 15 * 18);
    char paragraph[701];
    for (size_t i = 0; i < sizeof paragraph - 1; i++)
        paragraph[i] = (char)('a' + (i * i * i + i / 26) % 25);
    paragraph[sizeof paragraph - 1] = '\0';
    assert_int_equal(ends_at(paragraph, 3, ""), SIZE_MAX); /* someone may well say a paragraph three times */
    assert_in_range(ends_at(paragraph, 9, ""), 4 * 690, 4 * 701);
}

/* What tables, lists and listings repeat. */
static void answers_are_not(void **state)
{
    (void)state;
    static const char *const repeated[] = {"-",  "- ",  "=",    " ",    "\n",      "| --- ",
                                           "| ", "0, ", "1 0 ", "....", "* * *\n", "[0, 0, 0],\n"};
    for (size_t i = 0; i < sizeof repeated / sizeof *repeated; i++)
        assert_int_equal(ends_at(repeated[i], 1000, "A table: "), SIZE_MAX);
}

static void never(const char *format, int rows)
{
    struct base_buf text = {0};
    for (int i = 1; i <= rows; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        base_buf_printf(&text, format, i, i % 7);
#pragma GCC diagnostic pop
        assert_false(engine_loops(&text));
    }
    base_buf_finish(&text);
}

static void rows_that_are_alike_are_not(void **state)
{
    (void)state;
    never("| pump %d | open | open | open | open | open | open | open | open | open | bar %d |\n", 200);
    never(
        "  {\"valve\": %d, \"state\": \"closed and locked by hand\", \"checked\": true, \"by\": null, \"bar\": %d},\n",
        200);
    never("%d. Close the valve.\n", 300);
    never("step %d of %d: turn the red lever to the left, wait until the whistle blows, then turn it back again\n",
          200);
}

static void the_end_of_notes(void **state)
{
    (void)state;
    struct base_buf text = {0};
    base_buf_puts(&text, "He opens the valve slowly and closes it. Then he opens the valve slowly and");
    assert_int_equal(engine_repeats_from(&text, text.data, text.len - 1, 24), 47);
    assert_int_equal(engine_repeats_from(&text, text.data, text.len - 1, 40), text.len);
    base_buf_finish(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(loops_are_ended), cmocka_unit_test(answers_are_not),
                                       cmocka_unit_test(rows_that_are_alike_are_not),
                                       cmocka_unit_test(the_end_of_notes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
