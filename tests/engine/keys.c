/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Shallow keys of what a library holds: made once, the same when they are made again, and each as the model's first layers give it.
 */
#include "engine/keys.h"

#include "engine/library.h"
#include "engine/visual.h"
#include "pagereel/pagereel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/folder.h"

static const char *const families[] = {"idefics3", "qwen2vl", "qwen3vl"};
enum { N_FAMILIES = 3 };

/* Scores of all segments for a question, one behind the other. */
static size_t score_all(struct pr_model *model, const struct pr_settings *s, const char *path, float *scores)
{
    struct library *library;
    struct library_source source;
    struct evidence *evidence;
    struct memory_keys *keys;
    unsigned char identity[ENGINE_ENCODER_BYTES];
    float *queries;
    size_t n_queries, n = 0;
    assert_int_equal(engine_library_open(s, &library), PR_OK);
    assert_int_equal(memory_library_find(library, path, &source), PR_OK);
    assert_int_equal(memory_library_evidence(library, &source, &evidence), PR_OK);
    assert_int_equal(engine_peek_vision(model), PR_OK);
    engine_encoder_identity(&model->vision, identity);
    struct recall_index *index;
    assert_int_equal(memory_recall_open(library, &source, &index), PR_OK);
    const struct evidence_setup *setup = engine_visual_recalled(index, identity);
    assert_non_null(setup);
    assert_int_equal(setup->number, engine_visual_find(evidence, identity)->number);
    assert_int_equal(engine_keys_open(model, library, &source, index, setup, NULL, NULL, NULL, &keys), PR_OK);
    assert_int_equal(engine_keys_queries(model, "Where is the red square?", &queries, &n_queries), PR_OK);
    assert_true(n_queries > 0 && n_queries <= ENGINE_KEY_QUERIES);
    for (size_t i = 0; i < memory_evidence_count(evidence); i++) {
        struct evidence_segment segment;
        uint32_t found;
        uint64_t number = memory_evidence_number(evidence, i);
        if (memory_evidence_setup_of(evidence, i) != setup->number)
            continue;
        assert_int_equal(memory_evidence_read(evidence, i, &segment), PR_OK);
        assert_true(memory_keys_find(keys, number, segment.n_tokens, &found));
        assert_int_equal(found, segment.n_tokens < ENGINE_KEYS ? segment.n_tokens : ENGINE_KEYS);
        assert_true(n + found < 4096);
        memory_keys_scores(keys, number, queries, n_queries, model->hp->n_head, found, scores + n);
        for (uint32_t k = 0; k < found; k++)
            assert_true(isfinite(scores[n + k]));
        n += found;
        memory_evidence_release(&segment);
    }
    base_free(queries);
    memory_keys_close(keys);
    memory_recall_close(index);
    memory_evidence_close(evidence);
    memory_library_close(library);
    return n;
}

static void test_keys(void **state)
{
    (void)state;
    char film[128], command[512];
    snprintf(film, sizeof film, "%s/film.mkv", test_folder);
    snprintf(command, sizeof command,
             "ffmpeg -v error -f lavfi -i testsrc=s=80x60:r=10:d=7 -c:v mpeg4 -q:v 3 %s 2>/dev/null", film);
    if (system(command) != 0) {
        print_message("skipped: no ffmpeg here\n");
        skip();
    }
    for (int f = 0; f < N_FAMILIES; f++) {
        static float first[4096], again[4096];
        char file[128], mmproj[128], library[128];
        struct pr_model *model;
        struct pr_settings s = pr_settings_default();
        snprintf(file, sizeof file, "tests/golden/vision/%s.f16.gguf", families[f]);
        snprintf(mmproj, sizeof mmproj, "tests/golden/vision/%s.mmproj.f16.gguf", families[f]);
        snprintf(library, sizeof library, "%s/library", test_folder);
        s.model = file;
        s.mmproj = mmproj;
        s.library = library;
        s.device = "ref";
        assert_int_equal(pr_add(&s, film, NULL, NULL, NULL, NULL), PR_OK);
        assert_int_equal(pr_model_open(&s, NULL, &model), PR_OK);
        struct pr_settings checked;
        assert_int_equal(engine_settings(&s, &checked), PR_OK);
        size_t n = score_all(model, &checked, film, first);
        assert_true(n > 8);
        assert_int_equal(score_all(model, &checked, film, again), n); /* read back */
        assert_memory_equal(first, again, n * sizeof *first);
        snprintf(command, sizeof command, "rm %s/keys/*.keys", library);
        assert_int_equal(system(command), 0);
        assert_int_equal(score_all(model, &checked, film, again), n); /* made again */
        assert_memory_equal(first, again, n * sizeof *first);
        float low = first[0], high = first[0];
        for (size_t i = 0; i < n; i++) {
            low = fminf(low, first[i]);
            high = fmaxf(high, first[i]);
        }
        assert_true(high > low);
        pr_model_close(model);
    }
    snprintf(command, sizeof command, "%s/library", test_folder);
    struct pr_settings s = pr_settings_default();
    s.library = command;
    assert_int_equal(pr_remove(&s, film), PR_OK); /* and the keys with it */
    snprintf(film, sizeof film, "! ls %s/library/keys/* 2>/dev/null", test_folder);
    assert_int_equal(system(film), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys)};
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
