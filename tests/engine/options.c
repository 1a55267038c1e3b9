/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/options.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/folder.h"

static void every_row_is_whole(void **state)
{
    (void)state;
    size_t n;
    const struct pr_option *options = pr_options(&n);
    assert_true(n > 20);
    for (size_t i = 0; i < n; i++) {
        const struct pr_option *o = &options[i];
        assert_true(strlen(o->key) > 0 && strspn(o->key, "abcdefghijklmnopqrstuvwxyz-") == strlen(o->key));
        assert_true(strlen(o->help) > 0 && o->help[strlen(o->help) - 1] == '.');
        assert_true(o->offset >= sizeof(size_t) && o->offset < sizeof(struct pr_settings));
        assert_true((o->type == PR_OPTION_BOOL) == (o->value == NULL));
        assert_true(!strcmp(o->commands, "*") ||
                    (o->commands[0] == ' ' && o->commands[strlen(o->commands) - 1] == ' '));
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(o->key, options[j].key);
            assert_true(o->offset != options[j].offset);
            assert_true(!o->letter || o->letter != options[j].letter);
        }
        /* The default is one of the values that the row allows; numbers say so by reading back. */
        struct pr_settings settings = pr_settings_default();
        assert_int_equal(o->choices || o->type != PR_OPTION_TEXT ? pr_settings_set(&settings, o->key, o->fallback) : 0,
                         PR_OK);
    }
}

static void defaults(void **state)
{
    (void)state;
    struct pr_settings s = pr_settings_default();
    assert_int_equal(s.size, sizeof s);
    assert_string_equal(s.device, "auto");
    assert_string_equal(s.cache_type, "f16");
    assert_string_equal(s.model, "");
    assert_int_equal(s.max_tokens, -1);
    assert_int_equal(s.seed, -1);
    assert_true(s.temperature == 0.0f && s.repeat_penalty == 1.0f);
    assert_true(s.top_p == 0.95f);
    assert_false(s.raw || s.json || s.verbose);
}

static void good_values(void **state)
{
    (void)state;
    struct pr_settings s = pr_settings_default();
    static const char *const values[][2] = {
        {"ctx", "4096"},      {"device", "vulkan"},   {"device", "vulkan:12"}, {"temp", "0.75"},
        {"top_p", "1e-1"},    {"raw", "on"},          {"gpu-memory", "1.5G"},  {"seed", "9223372036854775807"},
        {"max-tokens", "+7"}, {"cache_type", "q8_0"},
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        assert_int_equal(pr_settings_set(&s, values[i][0], values[i][1]), PR_OK);
    assert_int_equal(s.ctx, 4096);
    assert_string_equal(s.device, "vulkan:12");
    assert_true(s.temperature == 0.75f && s.top_p == 0.1f && s.raw);
    assert_int_equal(s.gpu_memory, 3ll << 29);
    assert_true(s.seed == INT64_MAX && s.max_tokens == 7);
    pr_settings_set(&s, "gpu-memory", "512m");
    assert_int_equal(s.gpu_memory, 512ll << 20);
    pr_settings_set(&s, "raw", "no");
    assert_false(s.raw);
}

static void bad_values_change_nothing(void **state)
{
    (void)state;
    static const char *const values[][2] = {
        {"ctx", ""},
        {"ctx", "-1"},
        {"ctx", "1e3"},
        {"ctx", "12x"},
        {"ctx", " 12"},
        {"ctx", "0x10"},
        {"ctx", "2147483648"},
        {"ctx", "99999999999999999999999999"},
        {"ctx", "--5"},
        {"ctx", "-"},
        {"max-tokens", "-2"},
        {"seed", "9223372036854775808"},
        {"seed", "-2"},
        {"temp", "nan"},
        {"temp", "inf"},
        {"temp", "-0.1"},
        {"temp", "1e400"},
        {"temp", "0x1p3"},
        {"temp", "1,5"},
        {"temp", "."},
        {"temp", "1e"},
        {"temp", ""},
        {"top-p", "1.0001"},
        {"repeat-penalty", "0"},
        {"gpu-memory", "G"},
        {"gpu-memory", "-1K"},
        {"gpu-memory", "1e300T"},
        {"gpu-memory", "99999999T"},
        {"gpu-memory", "1GG"},
        {"gpu-memory", "nanG"},
        {"raw", "maybe"},
        {"raw", ""},
        {"device", ""},
        {"device", "vulkan:"},
        {"device", "vulkan:x"},
        {"device", "vulkan:1x"},
        {"device", "vulkan:99999999"},
        {"device", "cpu:1"},
        {"device", "vulkan[:N]"},
        {"device", "cp"},
        {"device", "auto|cpu"},
        {"cache-type", "F16"},
        {"runs", "0"},
        {"runs", "\033[31m"},
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct pr_settings s = pr_settings_default(), before = s;
        assert_int_equal(pr_settings_set(&s, values[i][0], values[i][1]), PR_ERR_INVALID);
        assert_memory_equal(&s, &before, sizeof s);
        assert_memory_equal(pr_error_message(), values[i][0], strlen(values[i][0]));
        assert_null(strchr(pr_error_message(), '\033'));
    }
    char longest[5000];
    memset(longest, '9', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    struct pr_settings s = pr_settings_default();
    assert_int_equal(pr_settings_set(&s, "ctx", longest), PR_ERR_INVALID);
    assert_int_equal(pr_settings_set(&s, "temp", longest), PR_ERR_INVALID);
    assert_true(strlen(pr_error_message()) < 200);
}

static void unknown_keys_get_a_suggestion(void **state)
{
    (void)state;
    struct pr_settings s = pr_settings_default();
    assert_int_equal(pr_settings_set(&s, "cache-typ", "f16"), PR_ERR_NOT_FOUND);
    assert_string_equal(pr_error_message(), "there is no option 'cache-typ'; did you mean 'cache-type'?");
    assert_int_equal(pr_settings_set(&s, "zzzzzz", "1"), PR_ERR_NOT_FOUND);
    assert_string_equal(pr_error_message(), "there is no option 'zzzzzz'");
    assert_int_equal(pr_settings_set(&s, "", "1"), PR_ERR_NOT_FOUND);
}

/* An older program's struct ends earlier: what it doesn't have is neither set nor read. */
static void smaller_settings(void **state)
{
    (void)state;
    struct pr_settings whole, s;
    memset(&s, 0x5a, sizeof s);
    size_t size = offsetof(struct pr_settings, special);
    pr_settings_init(&s, size);
    assert_int_equal(s.size, size);
    assert_int_equal(*(unsigned char *)&s.special, 0x5a);
    assert_int_equal(pr_settings_set(&s, "special", "yes"), PR_ERR_NOT_FOUND);
    assert_int_equal(pr_settings_set(&s, "ctx", "77"), PR_OK);
    assert_int_equal(engine_settings(&s, &whole), PR_OK);
    assert_true(whole.ctx == 77 && !whole.special && whole.size == sizeof whole);
}

static void settings_of_programs_are_checked(void **state)
{
    (void)state;
    struct pr_settings whole, s = pr_settings_default();
    assert_int_equal(engine_settings(NULL, &whole), PR_OK);
    assert_string_equal(whole.device, "auto");
    s.device = NULL;
    s.stop = NULL;
    assert_int_equal(engine_settings(&s, &whole), PR_OK);
    assert_string_equal(whole.device, "auto");
    assert_string_equal(whole.stop, "");
    s.temperature = NAN;
    assert_int_equal(engine_settings(&s, &whole), PR_ERR_INVALID);
    s = pr_settings_default();
    s.ctx = -5;
    assert_int_equal(engine_settings(&s, &whole), PR_ERR_INVALID);
    assert_non_null(strstr(pr_error_message(), "ctx takes"));
    s = pr_settings_default();
    s.cache_type = "f64";
    assert_int_equal(engine_settings(&s, &whole), PR_ERR_INVALID);
    memset(&s, 0, sizeof s);
    assert_int_equal(engine_settings(&s, &whole), PR_ERR_INVALID);
}

/* ---- the config file ---------------------------------------------------------------------------------------------- */

static int read_config(const char *text, size_t len, struct pr_settings *s, char **keep)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/config", test_folder);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite(text, 1, len, file);
    fclose(file);
    *s = pr_settings_default();
    return pr_settings_read(s, path, keep);
}

static void a_config_file(void **state)
{
    (void)state;
    static const char text[] = "# mine\n\n  model =  ~/m/a b#c.gguf \r\n device=cpu\ncache_type = q8_0\nstop = a = b\n"
                               "text = notes.txt\nctx = 1\nctx = 2";
    struct pr_settings s;
    char *keep, expected[512];
    setenv("HOME", "/home-of-test", 1);
    assert_int_equal(read_config(text, sizeof text - 1, &s, &keep), PR_OK);
    assert_string_equal(s.model, "/home-of-test/m/a b#c.gguf");
    assert_string_equal(s.device, "cpu");
    assert_string_equal(s.cache_type, "q8_0");
    assert_string_equal(s.stop, "a = b");
    snprintf(expected, sizeof expected, "%s/notes.txt", test_folder);
    assert_string_equal(s.text, expected);
    assert_int_equal(s.ctx, 2);
    pr_free(keep);

    assert_int_equal(read_config("", 0, &s, &keep), PR_OK);
    pr_free(keep);
    assert_int_equal(pr_settings_read(&s, "/nowhere/config", &keep), PR_ERR_NOT_FOUND);
    assert_null(keep);
}

static void wrong_lines_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *where;
    } cases[] = {
        {"device = cpu\nnonsense\n", "config:2: 'nonsense' isn't of the form 'key = value'"},
        {"[section]\n", "config:1: '[section]' isn't of the form"},
        {"\n\nctx = many\n", "config:3: ctx takes a whole number"},
        {"modle = x\n", "config:1: there is no option 'modle'; did you mean 'model'?"},
        {"= x\n", "config:1: there is no option ''"},
        {"stop = a\033[2J\n", "config:1: holds a control character"},
        {"ctx = 9\ndevice = gpu\nctx = 3\n", "config:2: device takes auto|cpu|vulkan[:N]|ref, not 'gpu'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pr_settings s;
        char *keep;
        assert_int_equal(read_config(cases[i].text, strlen(cases[i].text), &s, &keep), PR_ERR_INVALID);
        assert_non_null(strstr(pr_error_message(), cases[i].where));
        assert_true(s.ctx == 0 || s.ctx == 9);
        pr_free(keep);
    }
    struct pr_settings s;
    char *keep;
    assert_int_equal(read_config("ctx = 1\0\n", 9, &s, &keep), PR_ERR_INVALID);
    pr_free(keep);
}

/* Bytes at random: nothing but an error comes of it. */
static void junk(void **state)
{
    (void)state;
    uint32_t seed = 1;
    for (int round = 0; round < 300; round++) {
        char text[300];
        for (size_t i = 0; i < sizeof text; i++) {
            seed = seed * 1664525u + 1013904223u;
            text[i] = (seed >> 24) % 5 == 0 ? "=\n#-"[(seed >> 16) % 4] : (char)(seed >> 16);
        }
        struct pr_settings s;
        char *keep;
        read_config(text, (size_t)(round % 300), &s, &keep);
        pr_free(keep);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_whole),
        cmocka_unit_test(defaults),
        cmocka_unit_test(good_values),
        cmocka_unit_test(bad_values_change_nothing),
        cmocka_unit_test(unknown_keys_get_a_suggestion),
        cmocka_unit_test(smaller_settings),
        cmocka_unit_test(settings_of_programs_are_checked),
        cmocka_unit_test(a_config_file),
        cmocka_unit_test(wrong_lines_are_named),
        cmocka_unit_test(junk),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
