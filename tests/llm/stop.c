/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "llm/stop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Pushes the text in cuts of `cut` bytes. True: stopped. */
static bool push_all(const char *strings, const char *text, size_t len, size_t cut, struct base_buf *out)
{
    struct llm_stop *stop = llm_stop_create(strings);
    bool stopped = false;
    out->len = 0;
    for (size_t i = 0; i < len && !stopped; i += cut)
        stopped = llm_stop_push(stop, text + i, len - i < cut ? len - i : cut, out);
    if (!stopped)
        llm_stop_flush(stop, out);
    base_buf_append(out, "", 1);
    llm_stop_destroy(stop);
    return stopped;
}

static void strings_stop_however_they_are_cut(void **state)
{
    (void)state;
    static const struct {
        const char *strings, *text, *expected;
        bool stopped;
    } cases[] = {
        {"", "all of it", "all of it", false},
        {"\n\n", "all of it", "all of it", false},
        {"END", "some ENENEND more", "some ENEN", true},
        {"END", "some EN", "some EN", false},
        {"aab", "aaaab", "aa", true},
        {"two\none", "a one two", "a ", true},
        {"longer stop\nstop", "a longer stop", "a ", true},
        {"longer stop\nstop", "a longer sto", "a longer sto", false},
        {"\xc3\xa9t\xc3\xa9", "l'\xc3\xa9t\xc3\xa9 vient", "l'", true},
        {"x", "x", "", true},
        {"User:", "fine.\nUser: and", "fine.\n", true},
    };
    struct base_buf out = {0};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t cut = 1; cut < 6; cut++) {
            bool stopped = push_all(cases[i].strings, cases[i].text, strlen(cases[i].text), cut, &out);
            /* A string that is complete earlier stops earlier: only then may the cut matter. */
            assert_int_equal(stopped, cases[i].stopped);
            assert_string_equal(out.data, cases[i].expected);
        }
    base_buf_finish(&out);
}

static void only_whole_characters_come_out(void **state)
{
    (void)state;
    struct llm_stop *stop = llm_stop_create("");
    struct base_buf out = {0};
    const char *euro = "\xe2\x82\xac";
    assert_false(llm_stop_push(stop, euro, 1, &out));
    assert_int_equal(out.len, 0);
    assert_false(llm_stop_push(stop, euro + 1, 1, &out));
    assert_int_equal(out.len, 0);
    assert_false(llm_stop_push(stop, euro + 2, 1, &out));
    assert_int_equal(out.len, 3);
    assert_memory_equal(out.data, euro, 3);
    assert_false(llm_stop_push(stop, euro, 2, &out));
    llm_stop_flush(stop, &out);
    assert_string_equal(out.data, "\xe2\x82\xac\xef\xbf\xbd");
    base_buf_finish(&out);
    llm_stop_destroy(stop);
}

static void nothing_is_held_longer_than_needed(void **state)
{
    (void)state;
    struct llm_stop *stop = llm_stop_create("END");
    struct base_buf out = {0};
    assert_false(llm_stop_push(stop, "", 0, &out)); /* tokens may have no bytes */
    assert_false(llm_stop_push(stop, "go E", 4, &out));
    assert_int_equal(out.len, 3);
    assert_false(llm_stop_push(stop, "at", 2, &out));
    assert_int_equal(out.len, 6);
    base_buf_finish(&out);
    llm_stop_destroy(stop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_stop_however_they_are_cut),
        cmocka_unit_test(only_whole_characters_come_out),
        cmocka_unit_test(nothing_is_held_longer_than_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
