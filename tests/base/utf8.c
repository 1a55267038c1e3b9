/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void characters(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        uint32_t c;
    } cases[] = {
        {"a", 1, 'a'},
        {"\xc2\x80", 2, 0x80},
        {"\xdf\xbf", 2, 0x7ff},
        {"\xe0\xa0\x80", 3, 0x800},
        {"\xed\x9f\xbf", 3, 0xd7ff},
        {"\xee\x80\x80", 3, 0xe000},
        {"\xf0\x90\x80\x80", 4, 0x10000},
        {"\xf4\x8f\xbf\xbf", 4, 0x10ffff},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint32_t c = 0;
        assert_int_equal(base_utf8_decode(cases[i].text, 10 > cases[i].len ? cases[i].len : 10, &c), cases[i].len);
        assert_int_equal(c, cases[i].c);
        for (size_t cut = 0; cut < cases[i].len; cut++)
            assert_int_equal(base_utf8_decode(cases[i].text, cut, NULL), 0);
    }
    assert_int_equal(base_utf8_decode("\0", 1, NULL), 1);
}

static void what_is_not_utf8(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc2"
        "a",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xe1\x80"
        "a",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xff",
        "\xf1\x80\x80"
        "a",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(base_utf8_decode(cases[i], strlen(cases[i]), NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters),
        cmocka_unit_test(what_is_not_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
