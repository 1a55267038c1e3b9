/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char golden[] = "tests/golden/llm/llama.f16.gguf";

static struct pr_settings settings_for(const char *path)
{
    struct pr_settings s = pr_settings_default();
    s.model = path;
    s.device = "ref";
    return s;
}

static void check(int err)
{
    if (err < 0)
        fail_msg("%s: %s", pr_error_name(err), pr_error_message());
}

/* Opening fails with `error`, and the message names what it is about. */
static void assert_refused(const struct pr_settings *s, int error, const char *words)
{
    struct pr_model *model;
    int err = pr_model_open(s, NULL, &model);
    if (err != error)
        fail_msg("%s instead of %s: %s", pr_error_name(err), pr_error_name(error), pr_error_message());
    assert_null(model);
    if (!strstr(pr_error_message(), words))
        fail_msg("\"%s\" isn't in: %s", words, pr_error_message());
}

static void opens(void **state)
{
    (void)state;
    struct pr_settings s = settings_for(golden);
    struct pr_model *model;
    size_t len;
    check(pr_model_open(&s, NULL, &model));
    assert_string_equal(pr_model_placement(model), "all 2 layers on ref");
    assert_true(pr_model_n_vocab(model) > 256 && pr_model_context(model) > 0 && *pr_model_name(model));
    assert_int_equal(pr_token_bytes(model, 257, &len)[0], 'h');
    assert_int_equal(len, 2);
    pr_token_bytes(model, -1, &len);
    assert_int_equal(len, 0);
    pr_model_close(model);
    pr_model_close(NULL);
}

static void refuses(void **state)
{
    (void)state;
    struct pr_settings s = settings_for("");
    assert_refused(&s, PR_ERR_INVALID, "--model");
    s.model = "/nowhere/at/all.gguf";
    assert_refused(&s, PR_ERR_IO, "/nowhere/at/all.gguf");
    s.model = "meson.build";
    assert_refused(&s, PR_ERR_FORMAT, "meson.build");
    s = settings_for(golden);
    s.device = "vulkan:999";
    struct pr_model *model;
    assert_true(pr_model_open(&s, NULL, &model) < 0);
    s.device = "nonsense";
    assert_refused(&s, PR_ERR_INVALID, "nonsense");
    s = settings_for(golden);
    struct pr_cancel *cancel = pr_cancel_create();
    pr_cancel_request(cancel);
    assert_int_equal(pr_model_open(&s, cancel, &model), PR_ERR_CANCELLED);
    pr_cancel_destroy(cancel);
}

static void too_much_context_is_an_error(void **state)
{
    (void)state;
    struct pr_settings s = settings_for(golden);
    struct pr_model *model;
    struct pr_session *session;
    check(pr_model_open(&s, NULL, &model));
    s.window = 1 << 23;
    assert_int_equal(pr_session_create(model, &s, &session), PR_ERR_INVALID);
    assert_null(session);
    assert_non_null(strstr(pr_error_message(), "--window"));
    pr_model_close(model);
}

static void tokenizers_open_alone(void **state)
{
    (void)state;
    struct pr_model *model;
    struct pr_session *session;
    struct pr_settings s = settings_for(golden);
    int32_t *ids;
    size_t n;
    check(pr_tokenizer_open(golden, &model));
    check(pr_tokenize(model, "hello", 5, false, &ids, &n));
    assert_int_equal(n, 4);
    assert_int_equal(ids[0], 257);
    pr_free(ids);
    check(pr_tokenize(model, "", 0, false, &ids, &n));
    assert_int_equal(n, 0);
    pr_free(ids);
    assert_int_equal(pr_session_create(model, &s, &session), PR_ERR_INVALID);
    pr_model_close(model);
}

static struct engine_cache plan(const struct gguf *gguf, const char *type, int32_t ctx, int32_t window)
{
    struct hparams hp;
    struct engine_cache cache;
    struct pr_settings s = settings_for("");
    s.cache_type = type;
    s.ctx = ctx;
    s.window = window;
    check(model_hparams_read(gguf, &hp));
    check(engine_cache_plan(gguf, &hp, &s, 0, &cache));
    return cache;
}

static void caches_fit_their_models(void **state)
{
    (void)state;
    struct gguf *plain, *biased;
    check(model_gguf_open("tests/golden/llm/qwen3.f16.gguf", &plain));
    check(model_gguf_open("tests/golden/llm/qwen2.f16.gguf", &biased));
    assert_int_equal(plan(plain, "f32", 0, 0).key_type, TYPE_F32);
    assert_int_equal(plan(plain, "f16", 0, 0).value_type, TYPE_F16);
    assert_int_equal(plan(plain, "q8_0", 0, 0).key_type, TYPE_Q8_0);
    assert_int_equal(plan(plain, "q8_0", 0, 64).key_type, TYPE_F16); /* will be rotated */
    assert_int_equal(plan(plain, "q8_0", 0, 64).value_type, TYPE_Q8_0);
    assert_int_equal(plan(biased, "q8_0", 0, 0).key_type, TYPE_F16);
    assert_int_equal(plan(biased, "q8_0", 0, 0).value_type, TYPE_Q8_0);
    assert_int_equal(plan(plain, "f16", 1000, 0).cells, 1000);
    struct hparams hp;
    check(model_hparams_read(plain, &hp));
    assert_int_equal(plan(plain, "f16", 0, 0).cells, hp.n_ctx_train);
    assert_true(plan(plain, "f16", 0, 64).cells >= 64 + 4 + LLM_BATCH);
    assert_true(plan(plain, "f16", 0, 64).cells < 64 + 4 + LLM_BATCH + 5 * LLM_PAGE_SIZE);
    model_gguf_close(plain);
    model_gguf_close(biased);
}

static void fingerprints_tell_models_apart(void **state)
{
    (void)state;
    static const char *const paths[] = {"tests/golden/llm/llama.f16.gguf",
                                        "tests/golden/llm/llama-rope-linear.f16.gguf",
                                        "tests/golden/llm/qwen2.f16.gguf", "tests/golden/llm/llama-tied.f16.gguf",
                                        "tests/golden/llm/llama-tied.f32.gguf"};
    uint64_t seen[5];
    for (int i = 0; i < 5; i++) {
        struct pr_settings s = settings_for(paths[i]);
        struct pr_model *a, *b;
        check(pr_model_open(&s, NULL, &a));
        check(pr_model_open(&s, NULL, &b));
        seen[i] = engine_fingerprint(a);
        assert_true(seen[i] == engine_fingerprint(b));
        for (int j = 0; j < i; j++)
            assert_true(seen[i] != seen[j]);
        pr_model_close(a);
        pr_model_close(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opens),
        cmocka_unit_test(refuses),
        cmocka_unit_test(too_much_context_is_an_error),
        cmocka_unit_test(tokenizers_open_alone),
        cmocka_unit_test(caches_fit_their_models),
        cmocka_unit_test(fingerprints_tell_models_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
