/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/pretokenize.h"

#include "tests/support/golden_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const char *const families[] = {"gpt-2",   "smollm",  "default", "llama-bpe", "llama3",           "llama-v3",
                                       "falcon3", "pixtral", "lfm2",    "qwen2",     "deepseek-r1-qwen", "qwen35",
                                       "tekken",  "gpt-4o",  "llama4"};
enum { N_FAMILIES = sizeof families / sizeof *families };

static struct pretokenizer *create(const char *name)
{
    struct pretokenizer *p;
    if (model_pretokenizer_create(name, strlen(name), &p) < 0)
        fail_msg("%s: %s", name, pr_error_message());
    return p;
}

/* The words of text with '|' after each. */
static void assert_words(const char *family, const char *text, const char *expected)
{
    struct pretokenizer *p = create(family);
    struct words words = {0};
    struct base_buf out = {0};
    base_buf_puts(&out, "");
    assert_int_equal(model_pretokenize(p, text, strlen(text), &words), PR_OK);
    for (size_t i = 0, start = 0; i < words.n; start = words.ends[i++]) {
        base_buf_append(&out, text + start, words.ends[i] - start);
        base_buf_puts(&out, "|");
    }
    assert_string_equal(out.data, expected);
    base_buf_finish(&out);
    model_words_finish(&words);
    model_pretokenizer_destroy(p);
}

static void families_differ(void **state)
{
    (void)state;
    static const char text[] = "It's 12345 Ok'LL\n\n  x";
    assert_words("gpt-2", text, "It|'s| 12345| Ok|'|LL|\n\n | x|");
    assert_words("smollm", text, "It|'s| |1|2|3|4|5| Ok|'|LL|\n\n | x|");
    assert_words("default", text, "It|'|s| |123|45| Ok|'|LL|\n\n | x|");
    assert_words("llama-bpe", text, "It|'s| |123|45| Ok|'LL|\n\n| | x|");
    assert_words("qwen2", text, "It|'s| |1|2|3|4|5| Ok|'LL|\n\n| | x|");
    assert_words("tekken", text, "It|'s| |1|2|3|4|5| Ok|'LL|\n\n| | x|");
    assert_words("gpt-4o", text, "It's| |123|45| Ok'LL|\n\n| | x|");
    /* marks: a word for qwen35, symbols for qwen2 */
    assert_words("qwen2",
                 "a\xcc\x81"
                 "b",
                 "a|\xcc\x81"
                 "b|");
    assert_words("qwen35",
                 "a\xcc\x81"
                 "b",
                 "a\xcc\x81"
                 "b|");
    assert_words("gpt-2", "", "");
}

/* U+0085 and U+00A0 are white space, U+180E and U+200B are not (PCRE2's own \s has it otherwise). */
static void white_space_is_unicodes(void **state)
{
    (void)state;
    assert_words("gpt-2",
                 "a\xc2\x85\xc2\xa0\xe3\x80\x80"
                 "b",
                 "a|\xc2\x85\xc2\xa0|\xe3\x80\x80|b|");
    assert_words("gpt-2",
                 "a!\xe1\xa0\x8e?\xe2\x80\x8b"
                 "b",
                 "a|!\xe1\xa0\x8e?\xe2\x80\x8b|b|");
}

static void words_are_those_of_hugging_face(void **state)
{
    (void)state;
    cJSON *golden = golden_json("tests/golden/words.json");
    for (const cJSON *family = golden->child; family; family = family->next) {
        struct pretokenizer *p = create(family->string);
        struct words words = {0};
        int n = 0;
        for (const cJSON *one = family->child; one; one = one->next, n++) {
            const char *text = one->child->valuestring;
            assert_int_equal(model_pretokenize(p, text, strlen(text), &words), PR_OK);
            size_t i = 0;
            for (const cJSON *end = one->child->next->child; end; end = end->next, i++)
                if (i >= words.n || words.ends[i] != (size_t)end->valueint)
                    fail_msg("%s: word %zu of \"%s\" doesn't end at %d", family->string, i, text, end->valueint);
            assert_int_equal(i, words.n);
        }
        assert_true(n > 100);
        model_words_finish(&words);
        model_pretokenizer_destroy(p);
    }
    cJSON_Delete(golden);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Words cover the text, and an expression that goes back over long runs again and again would take hours here. */
static void long_runs_take_linear_time(void **state)
{
    (void)state;
    enum { LENGTH = 1 << 20, LIMIT = 10 };
    static const char *const patterns[] = {"a",  "A",  " ",    "\n", "7",     "!", "/", "\xcc\x81", "\xe4\xbd\xa0",
                                           "Ab", " a", "\r\n", "'",  "\t \n", "'l"};
    struct words words = {0};
    char *text = malloc(LENGTH + 1);
    for (int f = 0; f < N_FAMILIES; f++) {
        if (f > 3 && f < 9) /* llama-bpe by other names */
            continue;
        struct pretokenizer *p = create(families[f]);
        for (size_t k = 0; k < sizeof patterns / sizeof *patterns; k++) {
            size_t n = strlen(patterns[k]), len = LENGTH / n * n;
            for (size_t i = 0; i < len; i++)
                text[i] = patterns[k][i % n];
            text[len] = 'x';
            double start = seconds();
            if (model_pretokenize(p, text, len + 1, &words) < 0)
                fail_msg("%s: 1 MiB of \"%s\": %s", families[f], patterns[k], pr_error_message());
            if (seconds() - start > LIMIT)
                fail_msg("%s: 1 MiB of \"%s\" took %.1f s", families[f], patterns[k], seconds() - start);
            size_t last = 0;
            for (size_t i = 0; i < words.n; last = words.ends[i++])
                assert_true(words.ends[i] > last);
            assert_int_equal(last, len + 1);
        }
        model_pretokenizer_destroy(p);
    }
    model_words_finish(&words);
    free(text);
}

static void unknown_families_are_named(void **state)
{
    (void)state;
    struct pretokenizer *p;
    assert_int_equal(model_pretokenizer_create("qwen22", 6, &p), PR_ERR_UNSUPPORTED);
    assert_non_null(strstr(pr_error_message(), "\"qwen22\""));
    assert_int_equal(model_pretokenizer_create("", 0, &p), PR_ERR_UNSUPPORTED);
    assert_int_equal(model_pretokenizer_create("qwen2x", 5, &p), PR_OK); /* not NUL-terminated */
    assert_true(model_pretokenizer_normalizes(p));
    assert_false(model_pretokenizer_whole_words(p));
    assert_false(model_pretokenizer_begins_bos(p));
    model_pretokenizer_destroy(p);
    for (int f = 0; f < N_FAMILIES; f++)
        model_pretokenizer_destroy(create(families[f]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_differ),
        cmocka_unit_test(white_space_is_unicodes),
        cmocka_unit_test(words_are_those_of_hugging_face),
        cmocka_unit_test(long_runs_take_linear_time),
        cmocka_unit_test(unknown_families_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
