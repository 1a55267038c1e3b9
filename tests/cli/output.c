/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cli/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *in, *out;
} cases[] = {
    {"plain\ttext\n", "plain\ttext\n"},
    {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\x9e \xc2\xa0!", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x8e\x9e \xc2\xa0!"},
    {"a\033[1;31mb\033[0m", "ab"},
    {"a\033]0;title\007b", "ab"},
    {"a\033]8;;http://x\033\\link\033]8;;\033\\b", "alinkb"},
    {"a\033Pq#0\033\\b", "ab"},
    {"a\033(Bb", "ab"},
    {"a\033cb", "ab"},
    {"a\033\033[Kb", "ab"},
    {"\xc2\x9b"
     "31mred",
     "red"},
    {"\xc2\x9dtitle\007x", "x"},
    {"a\rb\bc\x7f"
     "d\x01",
     "abcd"},
    {"line\033]never ends\nnext", "line\nnext"},
    {"\033[", ""},
    {"a \"\033[1\nb\"", "a \"\nb\""},
};

static void sequences_are_taken_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct base_buf out = {0};
        cli_filter(&(struct cli_filter){0}, cases[i].in, strlen(cases[i].in), &out);
        assert_string_equal(out.data ? out.data : "", cases[i].out);
        base_buf_finish(&out);
    }
}

static void also_in_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct base_buf out = {0};
        struct cli_filter filter = {0};
        for (const char *c = cases[i].in; *c; c++)
            cli_filter(&filter, c, 1, &out);
        assert_string_equal(out.data ? out.data : "", cases[i].out);
        base_buf_finish(&out);
    }
}

/* A sequence that never ends can't hide the answer behind it. */
static void endless_sequences_end(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 'x', sizeof text);
    memcpy(text, "\033]", 2);
    struct base_buf out = {0};
    cli_filter(&(struct cli_filter){0}, text, sizeof text, &out);
    assert_true(out.len > 700);
    base_buf_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_are_taken_out),
        cmocka_unit_test(also_in_pieces),
        cmocka_unit_test(endless_sequences_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
