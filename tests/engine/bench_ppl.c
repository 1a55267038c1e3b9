/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct pr_model *model;
static struct pr_settings settings;

static int set_up(void **state)
{
    (void)state;
    settings = pr_settings_default();
    settings.model = "tests/golden/llm/llama-tied.f32.gguf";
    settings.device = "ref";
    settings.cache_type = "f32";
    return pr_model_open(&settings, NULL, &model);
}

static int tear_down(void **state)
{
    (void)state;
    pr_model_close(model);
    return 0;
}

static char *make_text(size_t words)
{
    static const char *const some[] = {"hello ", "there ", "is ", "a ", "text, ", "it ", "goes\n", "on. "};
    char *text = calloc(words, 8);
    uint32_t seed = 1;
    for (size_t i = 0; i < words; i++) {
        seed = seed * 1664525u + 1013904223u;
        strcat(text + i, some[seed >> 29]); /* from i on: keeps this linear enough */
    }
    return text;
}

struct picked {
    int32_t id;
    double logprob;
};

static bool pick(void *user, const struct pr_token *token)
{
    struct picked *p = user;
    for (size_t i = 0; i < token->n_top; i++)
        if (token->top[i].id == p->id)
            p->logprob = (double)token->top[i].logprob;
    return true;
}

/* Each token's probability behind all that come before it, one session after another. */
static void perplexity_is_what_it_says(void **state)
{
    (void)state;
    const char *text = "hello there, this is a text, and it goes on a little.";
    int32_t *ids;
    size_t n;
    double sum = 0, tail = 0;
    struct pr_bench_ppl b;
    assert_int_equal(pr_tokenize(model, text, strlen(text), false, &ids, &n), PR_OK);
    struct pr_settings s = settings;
    s.max_tokens = 1;
    s.logprobs = pr_model_n_vocab(model);
    size_t n_tail = 0;
    for (size_t i = 1; i < n; i++) {
        struct pr_session *session;
        struct picked p = {.id = ids[i], .logprob = NAN};
        assert_int_equal(pr_session_create(model, &s, &session), PR_OK);
        assert_int_equal(pr_session_tokens(session, ids, i), PR_OK);
        assert_int_equal(pr_session_generate(session, &s, pick, &p, NULL, NULL), PR_OK);
        pr_session_destroy(session);
        sum -= p.logprob;
        if (i >= n - n / 10 + 1) {
            tail -= p.logprob;
            n_tail++;
        }
    }
    assert_int_equal(pr_bench_ppl(model, &settings, text, strlen(text), NULL, NULL, NULL, &b), PR_OK);
    assert_int_equal(b.n_tokens, n);
    assert_int_equal(b.n_scored, n - 1);
    assert_true(fabs(b.perplexity / exp(sum / (double)(n - 1)) - 1) < 1e-4);
    assert_true(fabs(b.last_tenth_perplexity / exp(tail / (double)n_tail) - 1) < 1e-4);
    assert_true(b.fresh_perplexity == 0 && b.tok_s > 0);
    double all = 0;
    for (int64_t i = 0; i < b.n_scored; i++)
        all -= b.logprobs[i];
    assert_true(fabs(all / sum - 1) < 1e-4);
    pr_bench_ppl_finish(&b);
    pr_free(ids);
}

struct curve {
    int calls;
    int64_t tokens, total;
    double last;
};

static void on_chunk(void *user, int64_t tokens, int64_t total, double perplexity, uint64_t resident)
{
    struct curve *c = user;
    assert_true(tokens > c->tokens && tokens <= total && perplexity > 0 && resident > 0);
    *c = (struct curve){c->calls + 1, tokens, total, perplexity};
}

static void long_texts_slide(void **state)
{
    (void)state;
    struct pr_bench_ppl b, wide;
    struct curve curve = {0};
    struct pr_settings s = settings;
    char *text = make_text(1300);
    assert_int_equal(pr_bench_ppl(model, &s, text, strlen(text), NULL, NULL, NULL, &b), PR_ERR_INVALID);
    assert_non_null(strstr(pr_error_message(), "--window"));
    pr_bench_ppl_finish(&b);
    s.window = 100;
    assert_int_equal(pr_bench_ppl(model, &s, text, strlen(text), on_chunk, &curve, NULL, &b), PR_OK);
    assert_true(curve.calls >= 2 && curve.tokens == b.n_tokens && curve.total == b.n_tokens);
    assert_true(b.n_tokens > 1000 && b.perplexity > 1 && b.resident_end > 0);
    assert_true(b.fresh_perplexity > 1 && b.fresh_perplexity != b.last_tenth_perplexity);
    s.window = 50;
    assert_int_equal(pr_bench_ppl(model, &s, text, strlen(text), NULL, NULL, NULL, &wide), PR_OK);
    assert_true(wide.perplexity != b.perplexity); /* the window matters */
    pr_bench_ppl_finish(&b);
    pr_bench_ppl_finish(&wide);
    free(text);

    text = make_text(60); /* a window that holds everything sees what the stream sees */
    s.window = 300;
    assert_int_equal(pr_bench_ppl(model, &s, text, strlen(text), NULL, NULL, NULL, &b), PR_OK);
    assert_true(b.n_tokens < 300);
    assert_true(fabs(b.fresh_perplexity / b.last_tenth_perplexity - 1) < 1e-5);
    pr_bench_ppl_finish(&b);
    free(text);
}

static void short_texts_are_refused(void **state)
{
    (void)state;
    struct pr_bench_ppl b;
    assert_int_equal(pr_bench_ppl(model, &settings, "hello", 5, NULL, NULL, NULL, &b), PR_ERR_INVALID);
    pr_bench_ppl_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(perplexity_is_what_it_says),
        cmocka_unit_test(long_texts_slide),
        cmocka_unit_test(short_texts_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
