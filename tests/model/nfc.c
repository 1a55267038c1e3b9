/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/nfc.h"

#include "base/utf8.h"
#include "tests/support/golden_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_form(const char *text, size_t len, const char *expected, size_t expected_len)
{
    struct base_buf out = {0};
    bool normalized = model_nfc(text, len, &out);
    if (normalized) {
        assert_int_equal(out.len, 0);
        base_buf_append(&out, text, len);
    }
    assert_int_equal(out.len, expected_len);
    assert_memory_equal(out.data, expected, expected_len);
    base_buf_finish(&out);
}

static void forms_are_those_of_hugging_face(void **state)
{
    (void)state;
    cJSON *golden = golden_json("tests/golden/nfc.json");
    int n = 0;
    for (const cJSON *one = golden->child; one; one = one->next, n++) {
        const char *text = one->child->valuestring, *form = one->child->next->valuestring;
        assert_form(text, strlen(text), form, strlen(form));
        assert_form(form, strlen(form), form, strlen(form));
    }
    assert_true(n > 400);
    cJSON_Delete(golden);
}

/* 1120 characters change and are all in the golden; the others stay as they are. */
static void other_characters_stay(void **state)
{
    (void)state;
    int changed = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        char text[4];
        struct base_buf out = {0};
        if (c >= 0xd800 && c < 0xe000)
            continue;
        size_t len = base_utf8_encode(c, text);
        if (!model_nfc(text, len, &out) && (out.len != len || memcmp(out.data, text, len) != 0))
            changed++;
        base_buf_finish(&out);
    }
    assert_int_equal(changed, 1120);
}

static void plain_text_is_left_alone(void **state)
{
    (void)state;
    struct base_buf out = {0};
    static const char text[] = "plain, Gr\xc3\xbc\xc3\x9f"
                               "e, \xe4\xbd\xa0\xe5\xa5\xbd, \xea\xb0\x80, \xf0\x9f\x98\x80";
    assert_true(model_nfc(text, strlen(text), &out));
    assert_true(model_nfc("", 0, &out));
    assert_null(out.data);
}

/* A million marks out of order are sorted, not shuffled one by one. */
static void long_runs_of_marks(void **state)
{
    (void)state;
    enum { PAIRS = 200000 };
    struct base_buf text = {0}, out = {0};
    for (int i = 0; i < PAIRS; i++)
        base_buf_puts(&text, "\xcc\x81\xcc\xa3"); /* classes 230 and 220 */
    assert_false(model_nfc(text.data, text.len, &out));
    assert_int_equal(out.len, text.len);
    for (int i = 0; i < PAIRS; i++) {
        assert_memory_equal(out.data + 2 * i, "\xcc\xa3", 2);
        assert_memory_equal(out.data + 2 * (PAIRS + i), "\xcc\x81", 2);
    }
    base_buf_finish(&text);
    base_buf_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_are_those_of_hugging_face),
        cmocka_unit_test(other_characters_stay),
        cmocka_unit_test(plain_text_is_left_alone),
        cmocka_unit_test(long_runs_of_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
