/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "llm/sampler.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { V = 8, DRAWS = 20000 };

static const struct llm_sampler_params greedy = {.top_p = 1, .repeat_penalty = 1};
static const struct llm_sampler_params plain = {.temperature = 1, .top_p = 1, .repeat_penalty = 1, .seed = 1};

/* Probabilities 0.4, 0.3, 0.2, 0.1 of ids 3, 1, 6, 0; nothing for the rest. */
static void four_logits(float logits[V])
{
    for (int i = 0; i < V; i++)
        logits[i] = -INFINITY;
    logits[3] = logf(0.4f);
    logits[1] = logf(0.3f);
    logits[6] = logf(0.2f);
    logits[0] = logf(0.1f);
}

static int32_t sample_once(const struct llm_sampler_params *params, const float *logits)
{
    struct llm_sampler *s = llm_sampler_create(params, V);
    int32_t id = llm_sample(s, logits);
    llm_sampler_destroy(s);
    return id;
}

static void greedy_takes_the_best(void **state)
{
    (void)state;
    float logits[V] = {1, 5, NAN, 5, -2, 4, 0, INFINITY};
    assert_int_equal(sample_once(&greedy, logits), 7);
    logits[7] = NAN;
    assert_int_equal(sample_once(&greedy, logits), 1); /* ties: the lowest id */
    for (int i = 0; i < V; i++)
        logits[i] = i % 2 ? NAN : -INFINITY;
    assert_int_equal(sample_once(&greedy, logits), -1);
    assert_int_equal(sample_once(&plain, logits), -1);
}

/* How often each id is drawn. */
static void draw(const struct llm_sampler_params *params, const float *logits, double share[V])
{
    struct llm_sampler *s = llm_sampler_create(params, V);
    memset(share, 0, V * sizeof *share);
    for (int i = 0; i < DRAWS; i++)
        share[llm_sample(s, logits)] += 1.0 / DRAWS;
    llm_sampler_destroy(s);
}

/* Five standard deviations of a share. */
static void assert_share(double share, double p)
{
    double sigma = sqrt(p * (1 - p) / DRAWS);
    if (fabs(share - p) > 5 * sigma + 1e-12)
        fail_msg("drawn %f of the time instead of %f", share, p);
}

static void draws_follow_probabilities(void **state)
{
    (void)state;
    float logits[V];
    double share[V];
    four_logits(logits);
    draw(&plain, logits, share);
    assert_share(share[3], 0.4);
    assert_share(share[1], 0.3);
    assert_share(share[6], 0.2);
    assert_share(share[0], 0.1);
    assert_share(share[2], 0);

    struct llm_sampler_params p = plain;
    p.temperature = 0.5f; /* squares: 16, 9, 4, 1 of 30 */
    draw(&p, logits, share);
    assert_share(share[3], 16.0 / 30);
    assert_share(share[0], 1.0 / 30);
}

static void candidates_are_cut(void **state)
{
    (void)state;
    float logits[V];
    double share[V];
    four_logits(logits);
    struct llm_sampler_params p = plain;
    p.top_k = 2;
    draw(&p, logits, share);
    assert_share(share[3], 4.0 / 7);
    assert_share(share[1], 3.0 / 7);
    p = plain;
    p.top_p = 0.6f; /* 0.4 doesn't reach it, 0.4 + 0.3 does */
    draw(&p, logits, share);
    assert_share(share[3], 4.0 / 7);
    assert_share(share[1], 3.0 / 7);
    p.top_p = 0;
    draw(&p, logits, share);
    assert_share(share[3], 1);
    p = plain;
    p.min_p = 0.45f; /* of 0.4: 0.18 */
    draw(&p, logits, share);
    assert_share(share[3], 4.0 / 9);
    assert_share(share[1], 3.0 / 9);
    assert_share(share[6], 2.0 / 9);
    p.top_k = 1 << 20;
    p.min_p = 2;
    draw(&p, logits, share);
    assert_share(share[3], 1);
}

static void seeds_repeat(void **state)
{
    (void)state;
    float logits[V] = {0};
    struct llm_sampler_params p = plain;
    struct llm_sampler *a = llm_sampler_create(&p, V), *b = llm_sampler_create(&p, V);
    p.seed = 2;
    struct llm_sampler *c = llm_sampler_create(&p, V);
    int differ = 0;
    for (int i = 0; i < 100; i++) {
        int32_t id = llm_sample(a, logits);
        assert_int_equal(id, llm_sample(b, logits));
        differ += id != llm_sample(c, logits);
    }
    assert_true(differ > 50);
    llm_sampler_destroy(a);
    llm_sampler_destroy(b);
    llm_sampler_destroy(c);
}

static void repetition_is_penalised(void **state)
{
    (void)state;
    struct llm_sampler_params p = greedy;
    p.repeat_penalty = 2;
    p.repeat_last = 2;
    float logits[V] = {3, 2, 1.2f, -1, -1.5f, -9, -9, -9};
    struct llm_sampler *s = llm_sampler_create(&p, V);
    static const int32_t expected[] = {0, 1, 0, 1}; /* 3 -> 1.5 < 2; then 2 -> 1 too, and 1.5 leads again */
    for (int i = 0; i < 4; i++) {
        int32_t id = llm_sample(s, logits);
        if (i < 2)
            assert_int_equal(id, expected[i]);
        llm_sampler_accept(s, id);
    }
    llm_sampler_destroy(s);

    for (int i = 0; i < V; i++) /* negative logits sink too */
        logits[i] = -1.0f - (float)i;
    s = llm_sampler_create(&p, V);
    llm_sampler_accept(s, 0);
    llm_sampler_accept(s, 0);                   /* counts once */
    assert_int_equal(llm_sample(s, logits), 0); /* -2 ties with id 1: the lower one */
    p.repeat_penalty = 4;
    llm_sampler_destroy(s);
    s = llm_sampler_create(&p, V);
    llm_sampler_accept(s, 0);
    assert_int_equal(llm_sample(s, logits), 1);
    llm_sampler_accept(s, 5);
    llm_sampler_accept(s, 6); /* 0 isn't among the last two any more */
    assert_int_equal(llm_sample(s, logits), 0);
    llm_sampler_destroy(s);
}

static void large_vocabularies_agree_with_sorting(void **state)
{
    (void)state;
    enum { N = 5000 };
    float *logits = malloc(N * sizeof *logits);
    srand(1);
    for (int i = 0; i < N; i++)
        logits[i] = (float)(rand() % 1000) / 100; /* many ties */
    struct llm_top all[300], some[7];
    assert_int_equal(llm_top_logprobs(logits, N, 300, all), 300);
    assert_int_equal(llm_top_logprobs(logits, N, 7, some), 7);
    assert_memory_equal(all, some, sizeof some);
    double sum = 0;
    for (int i = 0; i < N; i++)
        sum += exp((double)logits[i]);
    for (int i = 0; i < 300; i++) {
        assert_true(fabs((double)all[i].logprob - ((double)logits[all[i].id] - log(sum))) < 1e-5);
        if (i > 0)
            assert_true(all[i].logprob < all[i - 1].logprob ||
                        (all[i].logprob == all[i - 1].logprob && all[i].id > all[i - 1].id));
    }
    /* top-k draws from these, by the short list (256) and by sorting (300). */
    for (int32_t k = 256; k <= 300; k += 44) {
        struct llm_sampler_params p = plain;
        p.top_k = k;
        struct llm_sampler *s = llm_sampler_create(&p, N);
        int late = 0;
        for (int i = 0; i < 2000; i++) {
            int32_t id = llm_sample(s, logits), rank = 0;
            while (rank < k && all[rank].id != id)
                rank++;
            assert_true(rank < k);
            late += rank >= k - 44;
        }
        assert_true(late > 100);
        llm_sampler_destroy(s);
    }
    free(logits);
}

static void top_is_bounded(void **state)
{
    (void)state;
    float logits[V];
    struct llm_top top[V + 2];
    four_logits(logits);
    assert_int_equal(llm_top_logprobs(logits, V, 0, top), 0);
    assert_int_equal(llm_top_logprobs(logits, V, V + 2, top), V);
    assert_int_equal(top[0].id, 3);
    assert_true(fabsf(top[0].logprob - logf(0.4f)) < 1e-6f);
    assert_int_equal(top[3].id, 0);
    assert_int_equal(top[4].id, 2); /* impossible ones in order of their ids */
    assert_true(isinf(top[4].logprob));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_takes_the_best),   cmocka_unit_test(draws_follow_probabilities),
        cmocka_unit_test(candidates_are_cut),      cmocka_unit_test(seeds_repeat),
        cmocka_unit_test(repetition_is_penalised), cmocka_unit_test(large_vocabularies_agree_with_sorting),
        cmocka_unit_test(top_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
