/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * With everything kept, a model that reads pictures from the library says what it says of the same pictures given directly, their rows
 * rounded to f16: every log-probability to the bit, on the definition of every operation. The second time nothing is encoded. With rows in q8_0
 * the model's distribution stays within 0.01 nat (mean KL divergence from f16), at half the bytes.
 */
#include "engine/ask.h"

#include "engine/session.h"
#include "engine/visual.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/folder.h"

static const char *const families[] = {"idefics3", "qwen2vl", "qwen2.5vl", "qwen3vl", "internvl"};
enum { N_FAMILIES = sizeof families / sizeof families[0], TOP = 20, STEPS = 6 };

struct said {
    int32_t ids[STEPS * TOP];
    float logprobs[STEPS * TOP];
    size_t n;
};

static bool note(void *user, const struct pr_token *token)
{
    struct said *said = user;
    for (size_t i = 0; i < token->n_top && said->n < STEPS * TOP; i++, said->n++) {
        said->ids[said->n] = token->top[i].id;
        said->logprobs[said->n] = token->top[i].logprob;
    }
    return true;
}

/* What the model says to the runs, which are taken over. */
static void say_to(struct pr_model *model, struct pr_settings *s, struct engine_run *runs, size_t n,
                   const char *question, pr_token_fn fn, void *user)
{
    struct pr_session *session;
    static const char before[] = "Excerpts:\n";
    struct engine_part parts[] = {{.text = before, .len = sizeof before - 1},
                                  {.runs = runs, .n_runs = n},
                                  {.text = question, .len = strlen(question)}};
    assert_int_equal(pr_session_create(model, s, &session), PR_OK);
    assert_int_equal(engine_session_parts(session, PR_ROLE_USER, parts, 3, true), PR_OK);
    assert_int_equal(pr_session_generate(session, s, fn, user, NULL, NULL), PR_OK);
    pr_session_destroy(session);
}

static void say(struct pr_model *model, struct pr_settings *s, struct engine_run *runs, size_t n, struct said *out)
{
    memset(out, 0, sizeof *out);
    say_to(model, s, runs, n, "Question: what is it?", note, out);
}

/* The runs of all that the library holds of a source, as a prompt has them. */
static size_t library_runs(struct pr_model *model, const struct pr_settings *s, const char *path,
                           struct engine_run **runs)
{
    unsigned char identity[ENGINE_ENCODER_BYTES];
    struct asked asked = {0};
    struct asking asking = {.model = model, .settings = s, .vision = &model->vision.params};
    struct ask_entry entry = {.asked = &asked};
    size_t n = 0;
    assert_int_equal(engine_library_open(s, &asking.library), PR_OK);
    assert_int_equal(memory_library_find(asking.library, path, &asked.source), PR_OK);
    assert_int_equal(memory_library_evidence(asking.library, &asked.source, &asked.evidence), PR_OK);
    engine_encoder_identity(&model->vision, identity);
    asked.seen = engine_visual_find(asked.evidence, identity);
    assert_non_null(asked.seen);
    entry.pictures = calloc(memory_evidence_count(asked.evidence), sizeof *entry.pictures);
    for (size_t i = 0; i < memory_evidence_count(asked.evidence); i++) {
        struct ask_picture *picture = &entry.pictures[entry.n_pictures];
        if (memory_evidence_setup_of(asked.evidence, i) != asked.seen->number)
            continue;
        assert_int_equal(memory_evidence_read(asked.evidence, i, &picture->segment), PR_OK);
        picture->n = picture->segment.n_tokens;
        entry.n_pictures++;
    }
    *runs = NULL;
    assert_int_equal(engine_ask_picture_runs(&asking, &entry, runs, &n), PR_OK);
    for (size_t i = 0; i < entry.n_pictures; i++)
        memory_evidence_release(&entry.pictures[i].segment);
    free(entry.pictures);
    memory_evidence_close(asked.evidence);
    memory_library_close(asking.library);
    return n;
}

/* The same words with the rows of the file itself, encoded now. */
static struct engine_run *direct_runs(struct pr_model *model, const struct pr_settings *s, const char *path, bool film,
                                      const struct engine_run *runs, size_t n)
{
    struct engine_media media = {0};
    size_t width = (size_t)model->vision.params.d_out * (size_t)(1 + model->vision.params.n_deepstack), at = 0;
    assert_int_equal(engine_media_read(&media, &model->vision, film ? PR_ITEM_VIDEO : PR_ITEM_IMAGE, path, s, NULL),
                     PR_OK);
    struct engine_run *out = base_alloc_array(n, sizeof *out);
    const struct engine_medium *medium = &media.media[0];
    size_t run = 0; /* of the medium, and the row of it that comes next */
    for (size_t i = 0; i < n; i++) {
        out[i] = runs[i];
        if (runs[i].text) {
            out[i].text = base_strdup(runs[i].text);
            continue;
        }
        size_t rows = (size_t)runs[i].n;
        out[i].rows = base_alloc_array(rows * width, sizeof(float));
        out[i].positions = NULL;
        if (runs[i].positions) {
            out[i].positions = base_alloc_array(rows * 4, sizeof(int32_t));
            memcpy(out[i].positions, runs[i].positions, rows * 4 * sizeof(int32_t));
        }
        for (size_t k = 0; k < rows; k++, at++) {
            while (medium->runs[run].text || at == (size_t)medium->runs[run].n) {
                at = 0;
                assert_true(++run < medium->n_runs);
            }
            for (size_t j = 0; j < width; j++)
                out[i].rows[k * width + j] =
                    compute_f16_to_f32(compute_f32_to_f16(medium->runs[run].rows[at * width + j]));
            if (runs[i].positions && medium->runs[run].n == runs[i].n) {
                assert_memory_equal(runs[i].positions + 4 * k, medium->runs[run].positions + 4 * at,
                                    3 * sizeof(int32_t));
                assert_int_equal(runs[i].advance, medium->runs[run].advance);
            }
        }
    }
    assert_int_equal(at, medium->runs[run].n); /* all of it, */
    while (++run < medium->n_runs)             /* and nothing behind */
        assert_non_null(medium->runs[run].text);
    engine_media_finish(&media);
    return out;
}

static void check(const char *family, const char *path, bool film)
{
    char model_file[128], mmproj[128], library[128];
    struct pr_settings given = pr_settings_default(), s;
    struct pr_model *model;
    struct pr_entry entry;
    struct said from_library, direct;
    struct engine_run *runs, *same;
    snprintf(model_file, sizeof model_file, "tests/golden/vision/%s.f16.gguf", family);
    snprintf(mmproj, sizeof mmproj, "tests/golden/vision/%s.mmproj.f16.gguf", family);
    snprintf(library, sizeof library, "%s/library", test_folder);
    given.model = model_file;
    given.mmproj = mmproj;
    given.library = library;
    given.device = "ref";
    given.image_tokens = 64;
    given.keep = 1;
    given.frames = 6; /* all of them */
    given.max_tokens = STEPS;
    given.logprobs = TOP;
    given.raw = true;
    assert_int_equal(engine_settings(&given, &s), PR_OK);
    assert_int_equal(pr_add(&given, path, NULL, NULL, NULL, &entry), PR_OK);
    assert_true(entry.encoded > 0);
    assert_int_equal(pr_model_open(&given, NULL, &model), PR_OK);
    assert_int_equal(engine_need_vision(model), PR_OK);
    size_t n = library_runs(model, &s, path, &runs);
    assert_int_equal(model->vision.encoded, 0); /* nothing was looked at again */
    same = direct_runs(model, &s, path, film, runs, n);
    for (size_t i = 0; i < n; i++)
        if (!runs[i].text)
            assert_memory_equal(runs[i].rows, same[i].rows,
                                (size_t)runs[i].n * (size_t)model->vision.params.d_out *
                                    (size_t)(1 + model->vision.params.n_deepstack) * sizeof(float));
    say(model, &s, runs, n, &from_library);
    say(model, &s, same, n, &direct);
    assert_int_equal(from_library.n, direct.n);
    assert_true(direct.n >= TOP);
    assert_memory_equal(from_library.ids, direct.ids, sizeof direct.ids);
    assert_memory_equal(from_library.logprobs, direct.logprobs, sizeof direct.logprobs);
    pr_model_close(model);
}

static void test_faithful(void **state)
{
    (void)state;
    char command[512], film[64], picture[64];
    snprintf(film, sizeof film, "%s/film.mkv", test_folder);
    snprintf(picture, sizeof picture, "%s/picture.png", test_folder);
    snprintf(command, sizeof command,
             "ffmpeg -v error -f lavfi -i testsrc2=s=160x120:r=2:d=3 -c:v mpeg4 -q:v 3 %s 2>/dev/null && "
             "ffmpeg -v error -f lavfi -i testsrc=s=100x70 -frames:v 1 %s 2>/dev/null",
             film, picture);
    if (system(command) != 0) {
        print_message("skipped: no ffmpeg here\n");
        skip();
    }
    for (int f = 0; f < N_FAMILIES; f++) {
        check(families[f], film, true);
        check(families[f], picture, false);
    }
}

/* ---- q8_0 --------------------------------------------------------------------------------------------------------- */

enum { VOCABULARY = 1 << 16 };
struct spread {
    size_t n;
    float logprobs[VOCABULARY]; /* by id */
};

static bool note_all(void *user, const struct pr_token *token)
{
    struct spread *spread = user;
    if (token->n_top == 0) /* what was held back of the text */
        return true;
    spread->n = token->n_top;
    for (size_t i = 0; i < token->n_top; i++) {
        assert_in_range(token->top[i].id, 0, VOCABULARY - 1);
        spread->logprobs[token->top[i].id] = token->top[i].logprob;
    }
    return true;
}

/* What a model would say first to each question about all that a library of such rows holds; returns its bytes. */
static int64_t spreads_of(const char *family, const char *path, const char *row_type, const char *const *questions,
                          size_t n, struct spread *out)
{
    char model_file[128], mmproj[128], library[128];
    struct pr_settings given = pr_settings_default(), s;
    struct pr_model *model;
    struct pr_entry entry;
    snprintf(model_file, sizeof model_file, "tests/golden/vision/%s.f16.gguf", family);
    snprintf(mmproj, sizeof mmproj, "tests/golden/vision/%s.mmproj.f16.gguf", family);
    snprintf(library, sizeof library, "%s/%s", test_folder, row_type);
    given.model = model_file;
    given.mmproj = mmproj;
    given.library = library;
    given.device = "cpu";
    given.threads = 1;
    given.image_tokens = 64;
    given.keep = 1;
    given.frames = 6;
    given.row_type = row_type;
    given.max_tokens = 1;
    given.logprobs = VOCABULARY;
    given.raw = true;
    assert_int_equal(engine_settings(&given, &s), PR_OK);
    assert_int_equal(pr_add(&given, path, NULL, NULL, NULL, &entry), PR_OK);
    assert_true(entry.seen && (strstr(entry.model, "q8_0") != NULL) == !strcmp(row_type, "q8_0"));
    assert_int_equal(pr_model_open(&given, NULL, &model), PR_OK);
    assert_int_equal(engine_need_vision(model), PR_OK);
    for (size_t i = 0; i < n; i++) {
        struct engine_run *runs;
        size_t n_runs = library_runs(model, &s, path, &runs);
        say_to(model, &s, runs, n_runs, questions[i], note_all, &out[i]);
    }
    pr_model_close(model);
    return entry.bytes;
}

static void test_q8_0(void **state)
{
    static const char *const questions[] = {"Question: what is it?", "What is red?", "How many circles are there?",
                                            "Is it day or night?", "What is written?"};
    enum { N = sizeof questions / sizeof questions[0] };
    (void)state;
    char film[64], picture[64];
    snprintf(film, sizeof film, "%s/film.mkv", test_folder);
    snprintf(picture, sizeof picture, "%s/picture.png", test_folder);
    if (access(picture, F_OK) < 0)
        skip();
    struct spread *exact = calloc(2 * N, sizeof *exact), *rounded = exact + N;
    double sum = 0, most = 0;
    int n = 0, same_best = 0;
    for (int f = 0; f < N_FAMILIES; f++)
        for (int p = 0; p < 2; p++) {
            const char *path = p ? picture : film;
            int64_t full = spreads_of(families[f], path, "f16", questions, N, exact);
            assert_true(spreads_of(families[f], path, "q8_0", questions, N, rounded) < full);
            for (int q = 0; q < N; q++, n++) {
                double kl = 0;
                size_t best[2] = {0};
                assert_true(exact[q].n > 30 && exact[q].n == rounded[q].n);
                for (size_t id = 0; id < exact[q].n; id++) {
                    kl += exp((double)exact[q].logprobs[id]) *
                          ((double)exact[q].logprobs[id] - (double)rounded[q].logprobs[id]);
                    best[0] = exact[q].logprobs[id] > exact[q].logprobs[best[0]] ? id : best[0];
                    best[1] = rounded[q].logprobs[id] > rounded[q].logprobs[best[1]] ? id : best[1];
                }
                same_best += best[0] == best[1];
                sum += kl;
                most = kl > most ? kl : most;
            }
        }
    print_message(
        "rows in q8_0: KL from f16 %.6f nat on average of %d, %.6f at the most; the same best token %d times\n",
        sum / n, n, most, same_best);
    assert_true(sum / n < 0.01 && same_best == n);
    free(exact);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_faithful), cmocka_unit_test(test_q8_0)};
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
