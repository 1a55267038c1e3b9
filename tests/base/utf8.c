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

static void encoding_is_the_inverse(void **state)
{
    (void)state;
    char bytes[5] = "";
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        uint32_t back = 0;
        if (c >= 0xd800 && c < 0xe000)
            continue;
        size_t n = base_utf8_encode(c, bytes);
        assert_int_equal(base_utf8_decode(bytes, n, &back), n);
        assert_int_equal(back, c);
    }
}

static void longest_valid_beginning(void **state)
{
    (void)state;
    assert_int_equal(base_utf8_valid("", 0), 0);
    assert_int_equal(base_utf8_valid("a\xc3\xa4\xff"
                                     "b",
                                     5),
                     3);
    assert_int_equal(base_utf8_valid("a\xe4\xbd", 3), 1);
    assert_int_equal(base_utf8_valid("\xf0\x9f\x98\x80", 4), 4);
    assert_int_equal(base_utf8_valid("\x80", 1), 0);
}

/* The texts of the Unicode standard, table 3-8 and its neighbours, cut everywhere. */
static void stream(void **state)
{
    (void)state;
#define R "\xef\xbf\xbd"
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", ""},
        {"abc", "abc"},
        {"\xc3\xa4\xe4\xbd\xa0\xf0\x9f\x98\x80!", "\xc3\xa4\xe4\xbd\xa0\xf0\x9f\x98\x80!"},
        {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", R R R R R R R R "A"},
        {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", R R R R R R R R "A"},
        {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", R R R R R "A" R R "B"},
        {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", R R R R "A"},
        {"\xe4\xbd", R},
        {"\xf0\x9f\x98", R},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t cut = 0; cut <= strlen(cases[i].in); cut++) {
            struct base_utf8_stream stream = {0};
            struct base_buf out = {0};
            base_buf_puts(&out, "");
            base_utf8_stream_push(&stream, cases[i].in, cut, &out);
            assert_int_equal(base_utf8_valid(out.data, out.len), out.len);
            base_utf8_stream_push(&stream, cases[i].in + cut, strlen(cases[i].in) - cut, &out);
            base_utf8_stream_flush(&stream, &out);
            base_utf8_stream_flush(&stream, &out);
            assert_string_equal(out.data, cases[i].out);
            base_buf_finish(&out);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters),
        cmocka_unit_test(what_is_not_utf8),
        cmocka_unit_test(encoding_is_the_inverse),
        cmocka_unit_test(longest_valid_beginning),
        cmocka_unit_test(stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
