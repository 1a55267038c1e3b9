/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Choosing on a timeline, and how long it takes over many hours: `test_memory_recall HOURS` measures as many (the suite: 20).
 */
#include "memory/recall.h"

#include "base/mem.h"
#include "memory/keys.h"
#include "memory/recall_index.h"
#include "memory/text_index.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/folder.h"

static int hours = 20;

/* Processor time: all of it is one thread, and other programs of the machine don't count. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void ranks_are_fused(void **state)
{
    (void)state;
    double relevance[4] = {0};
    memory_recall_fuse((const uint32_t[]){2, 0}, 2, 1, relevance);
    memory_recall_fuse((const uint32_t[]){0, 3}, 2, 1, relevance);
    assert_true(relevance[0] > relevance[2] && relevance[2] > relevance[3] &&
                relevance[1] == 0); /* both lists beat one */
    assert_true(fabs(relevance[0] - (1.0 / 61 + 1.0 / 62)) < 1e-12);
}

/* Scores that drift upwards don't favour the end. */
static void drift_is_levelled(void **state)
{
    (void)state;
    float scores[400];
    size_t best = 0;
    for (size_t i = 0; i < 400; i++)
        scores[i] = (float)i + (float)(i * 7919 % 13);
    scores[50] += 60;
    memory_recall_level(scores, 400, 32);
    for (size_t i = 0; i < 400; i++)
        best = scores[i] > scores[best] ? i : best;
    assert_int_equal(best, 50);
    float same[10] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    memory_recall_level(same, 10, 3);
    for (size_t i = 0; i < 10; i++)
        assert_true(same[i] == 0);
}

static void the_best_of_many(void **state)
{
    (void)state;
    float scores[500];
    uint32_t list[500];
    uint64_t random = 5;
    for (size_t n = 0; n < 500; n = 2 * n + 1)
        for (size_t k = 0; k <= n + 1; k += 1 + n / 7) {
            for (size_t i = 0; i < n; i++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                scores[i] = (float)(random >> 60); /* many are equal */
            }
            size_t found = memory_recall_best(scores, n, k, list);
            assert_int_equal(found, k < n ? k : n);
            for (size_t i = 0; i < found; i++) { /* as many are better as stand before it */
                size_t rank = 0;
                for (size_t j = 0; j < n; j++)
                    rank += scores[j] > scores[list[i]] || (scores[j] == scores[list[i]] && j < list[i]);
                assert_int_equal(rank, i);
            }
        }
}

static void choices_cover_the_timeline(void **state)
{
    (void)state;
    float scores[64] = {0};
    bool chosen[64];
    for (int i = 0; i < 64; i++)
        scores[i] = 0.1f + 0.001f * (float)i; /* nothing stands out: the end is a little better */
    assert_int_equal(memory_recall_spread(scores, 64, 8, 0.8, chosen), 8);
    for (int part = 0; part < 4; part++) {
        int n = 0;
        for (int i = 0; i < 16; i++)
            n += chosen[16 * part + i];
        assert_int_equal(n, 2);
    }
    for (int i = 20; i < 24; i++)
        scores[i] = 9; /* these do */
    assert_int_equal(memory_recall_spread(scores, 64, 4, 0.35, chosen), 4);
    assert_true(chosen[20] && chosen[21] && chosen[22] && chosen[23]);
    assert_int_equal(memory_recall_spread(scores, 3, 8, 0.35, chosen), 3);
    assert_int_equal(memory_recall_spread(scores, 0, 8, 0.35, chosen), 0);
}

/* ---- many hours --------------------------------------------------------------------------------------------------- */

enum {
    PASSAGES = 450,
    SEGMENTS = 450,
    SHORT_LIST = 1024,
    KEYS = 16,
    HEADS = 9,
    KV = 3,
    D = 64,
    QUERIES = 16,
    WORDS = 20000
};

static uint64_t random_state = 1;

static uint32_t draw(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % n;
}

static struct text_index *make_text(const char *path)
{
    struct text_index *index;
    assert_int_equal(memory_text_index_open(path, &index), PR_OK);
    assert_int_equal(memory_text_index_begin(index), PR_OK);
    for (int64_t i = 0; i < (int64_t)hours * PASSAGES; i++) {
        char text[600];
        size_t len = 0;
        for (int w = 0; w < 24; w++) { /* words as common as in language: the n-th 1/n as often as the first */
            uint32_t word = (uint32_t)(exp((double)draw(1 << 20) / (1 << 20) * log(WORDS)));
            len += (size_t)snprintf(text + len, sizeof text - len, "w%u ", word);
        }
        assert_int_equal(memory_text_index_add(index, i, text, len), PR_OK);
    }
    assert_int_equal(memory_text_index_end(index, true), PR_OK);
    return index;
}

static void fill(float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (float)draw(2001) / 1000 - 1;
}

/* What a question does: words, small means of all segments, levelled and ranked, then keys of a short list. */
static void many_hours_take_under_a_second(void **state)
{
    char path[64], keys_path[64];
    assert_int_equal(test_folder_make(state), 0);
    snprintf(path, sizeof path, "%s/text.db", test_folder);
    snprintf(keys_path, sizeof keys_path, "%s/keys", test_folder);
    struct text_index *index = make_text(path);
    size_t n = (size_t)hours * SEGMENTS, found;
    struct recall_segment *segments = base_alloc_array(n, sizeof *segments);
    for (size_t i = 0; i < n; i++)
        for (int c = 0; c < RECALL_MEAN; c++)
            segments[i].mean[c] = (int8_t)((int)draw(61) - 30);
    struct memory_keys *keys;
    struct keys_params params = {.model = 1, .layer = 4, .n_kv = KV, .d_head = D};
    float *rows = base_alloc_array(KEYS * KV * D, sizeof *rows),
          *queries = base_alloc_array(QUERIES * HEADS * D, sizeof *queries);
    assert_true(memory_keys_open(keys_path, &params, &keys) >= 0);
    for (uint64_t i = 0; i < SHORT_LIST; i++) {
        fill(rows, KEYS * KV * D);
        assert_true(memory_keys_add(keys, i, KEYS, rows, KEYS) >= 0);
    }
    fill(queries, QUERIES * HEADS * D);

    float *scores = base_alloc_array(n, sizeof *scores), of_keys[KEYS];
    int8_t sketch[RECALL_MEAN];
    struct text_hit *hits = base_alloc_array(1000, sizeof *hits);
    for (int c = 0; c < RECALL_MEAN; c++)
        sketch[c] = (int8_t)((int)draw(61) - 30);
    double best = 1e9, text = 0, means = 0, last = 0;
    for (int run = 0; run < 3; run++) {
        char question[96];
        snprintf(question, sizeof question, "w%u w%u w%u w%u w3000", 20 + draw(50), 200 + draw(50), 900 + draw(90),
                 2000 + draw(9));
        double t0 = now();
        assert_int_equal(memory_text_index_search(index, question, NULL, 1000, hits, &found), PR_OK);
        assert_true(found > 0);
        double t1 = now();
        for (size_t i = 0; i < n; i++)
            scores[i] = memory_recall_like(&segments[i], sketch);
        memory_recall_level(scores, n, 32);
        double t2 = now();
        float sum = 0;
        for (uint64_t i = 0; i < SHORT_LIST; i++) {
            uint32_t n_keys;
            assert_true(memory_keys_find(keys, i, KEYS, &n_keys));
            memory_keys_scores(keys, i, queries, QUERIES, HEADS, n_keys, of_keys);
            sum += of_keys[0];
        }
        double t3 = now();
        assert_true(isfinite(sum));
        if (t3 - t0 < best) {
            best = t3 - t0;
            text = t1 - t0;
            means = t2 - t1;
            last = t3 - t2;
        }
    }
    printf("%d hours: %.0f ms (words %.0f, means %.0f, keys of %d segments %.0f)\n", hours, 1e3 * best, 1e3 * text,
           1e3 * means, SHORT_LIST, 1e3 * last);
    assert_true(best < 1);
    memory_keys_close(keys);
    memory_text_index_close(index);
    base_free(segments);
    base_free(rows);
    base_free(queries);
    base_free(scores);
    base_free(hits);
    assert_int_equal(test_folder_remove(state), 0);
}

int main(int argc, char **argv)
{
    hours = argc > 1 ? atoi(argv[1]) : hours;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_are_fused),
        cmocka_unit_test(drift_is_levelled),
        cmocka_unit_test(the_best_of_many),
        cmocka_unit_test(choices_cover_the_timeline),
        cmocka_unit_test(many_hours_take_under_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
