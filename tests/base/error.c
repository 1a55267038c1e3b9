/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void message_is_kept(void **state)
{
    (void)state;
    assert_int_equal(base_fail(PR_ERR_IO, "%s: no such file", "a.gguf"), PR_ERR_IO);
    assert_string_equal(pr_error_message(), "a.gguf: no such file");
    assert_int_equal(base_fail_prefix(PR_ERR_FORMAT, "b"), PR_ERR_FORMAT);
    assert_string_equal(pr_error_message(), "b: a.gguf: no such file");
}

static void control_characters_are_replaced(void **state)
{
    (void)state;
    base_fail(PR_ERR_IO, "%s", "x\033[31m\ny\177");
    assert_string_equal(pr_error_message(), "x?[31m?y?");
}

static void broken_utf8_is_replaced(void **state)
{
    (void)state;
    base_fail(PR_ERR_IO, "%s", "\xc3\xa4 \xff \xe2\x82 \xc2\x9b.");
    assert_string_equal(pr_error_message(), "\xc3\xa4 ? ?? ??.");
}

static void long_messages_are_cut(void **state)
{
    (void)state;
    char *text = malloc(5000);
    memset(text, 'a', 4999);
    text[4999] = '\0';
    base_fail(PR_ERR_IO, "%s", text);
    assert_int_equal(strlen(pr_error_message()), 1023);
    base_fail_prefix(PR_ERR_IO, "%s", text);
    assert_int_equal(strlen(pr_error_message()), 1023);
    free(text);
}

static void every_error_has_a_name(void **state)
{
    (void)state;
    for (int e = PR_ERR_INTERNAL; e <= PR_MORE; e++)
        assert_memory_equal(pr_error_name(e), "PR_", 3);
    assert_string_equal(pr_error_name(-1000), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_is_kept),         cmocka_unit_test(control_characters_are_replaced),
        cmocka_unit_test(broken_utf8_is_replaced), cmocka_unit_test(long_messages_are_cut),
        cmocka_unit_test(every_error_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
