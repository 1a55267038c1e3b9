/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a question reads from the library is what the model would read if it were given the same pieces directly: the same tokens, rows
 * and positions, so the same log-probabilities to the bit. The pieces are put together here anew, from the evidence log and
 * docs/PROMPTS.md alone.
 */
#include "engine/ask.h"

#include "engine/visual.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/folder.h"

enum { TOP = 20, STEPS = 4 };

struct heard {
    struct pr_top top[STEPS][TOP];
    int n;
};

static bool on_token(void *user, const struct pr_token *token)
{
    struct heard *heard = user;
    if (token->id >= 0 && heard->n < STEPS && token->n_top == TOP)
        memcpy(heard->top[heard->n++], token->top, sizeof heard->top[0]);
    return true;
}

static void check(int err)
{
    if (err < 0)
        fail_msg("%s: %s", pr_error_name(err), pr_error_message());
}

static int by_place(const void *a, const void *b)
{
    const struct evidence_token *x = *(const struct evidence_token *const *)a,
                                *y = *(const struct evidence_token *const *)b;
    if (x->t0 != y->t0)
        return x->t0 < y->t0 ? -1 : 1;
    return x->y0 != y->y0 ? x->y0 - y->y0 : x->x0 - y->x0;
}

/* Text is tokenized as one up to the next picture. */
static struct base_buf waiting;

static void add_text(const char *text)
{
    base_buf_puts(&waiting, text);
}

static void flush_text(struct pr_session *session)
{
    check(pr_session_raw(session, waiting.data, waiting.len, true));
    base_buf_finish(&waiting);
}

/* Tokens [from, to) of a segment as one run. t: 0, or counted by start times (Qwen2-VL). */
static void add_rows(struct pr_session *session, const struct evidence_segment *s, const struct evidence_token **order,
                     size_t from, size_t to, size_t columns, bool grid, bool counts)
{
    size_t n = to - from;
    float *rows = base_alloc_array(n * columns, sizeof *rows);
    int32_t(*positions)[4] = base_alloc_array(n, sizeof *positions), t = 0, steps = 1;
    for (size_t i = from; i < to; i++) {
        size_t at = (size_t)(order[i] - s->tokens);
        for (size_t c = 0; c < columns; c++)
            rows[(i - from) * columns + c] = compute_f16_to_f32(((const uint16_t *)s->rows)[at * columns + c]);
        t += counts && i > from && order[i]->t0 != order[i - 1]->t0;
        positions[i - from][0] = t;
        positions[i - from][1] = order[i]->y0;
        positions[i - from][2] = order[i]->x0;
    }
    steps += t;
    int32_t advance = s->grid_h > s->grid_w ? s->grid_h : s->grid_w;
    advance = advance > steps ? advance : steps;
    flush_text(session);
    check(pr_session_embeddings(session, rows, n, columns, grid ? positions[0] : NULL, grid ? advance : (int32_t)n));
    base_free(rows);
    base_free(positions);
}

static void write_directly(struct pr_session *session, const char *family, const struct evidence_segment *s,
                           size_t columns)
{
    const struct evidence_token **order = base_alloc_array(s->n_tokens, sizeof *order);
    bool smol = !strcmp(family, "idefics3"), qwen3 = !strcmp(family, "qwen3vl");
    char text[128];
    for (uint32_t i = 0; i < s->n_tokens; i++)
        order[i] = &s->tokens[i];
    qsort(order, s->n_tokens, sizeof *order, by_place);
    for (size_t from = 0, to; from < s->n_tokens; from = to) {
        for (to = from + 1; to < s->n_tokens; to++)
            if ((smol || qwen3) && order[to]->t0 != order[to - 1]->t0 && to - from >= 10)
                break;
        int64_t us = order[from]->t0;
        if (smol)
            snprintf(text, sizeof text, "Frame from %02d:%02d:<fake_token_around_image><global-img>",
                     (int)(us / 60000000), (int)(us / 1000000 % 60));
        else
            snprintf(text, sizeof text, qwen3 ? "<%.1f seconds><|vision_start|>" : "<|vision_start|>",
                     (double)us / 1e6);
        add_text(text);
        add_rows(session, s, order, from, to, columns, !smol, !smol && !qwen3);
        add_text(smol ? "<fake_token_around_image>" : "<|vision_end|>");
        if (!qwen3 || to == s->n_tokens)
            add_text("\n");
    }
    base_free(order);
}

static void the_library_gives_what_is_given_directly(void **state)
{
    (void)state;
    static const char *const families[] = {"idefics3", "qwen2vl", "qwen3vl"};
    char film[128], command[512], library[128], path[128], mmproj[128];
    snprintf(film, sizeof film, "%s/film.mkv", test_folder);
    snprintf(library, sizeof library, "%s/library", test_folder);
    snprintf(command, sizeof command, "ffmpeg -v error -f lavfi -i testsrc=s=80x60:r=2:d=6 %s", film);
    if (system(command) != 0) {
        printf("skipped: no ffmpeg\n");
        skip();
    }
    for (int f = 0; f < 3; f++) {
        struct pr_settings settings = pr_settings_default();
        struct pr_model *model;
        struct pr_chat *chat;
        struct pr_answer *answer;
        struct heard from_library = {0}, direct = {0};
        snprintf(path, sizeof path, "tests/golden/vision/%s.f16.gguf", families[f]);
        snprintf(mmproj, sizeof mmproj, "tests/golden/vision/%s.mmproj.f16.gguf", families[f]);
        settings.model = path;
        settings.mmproj = mmproj;
        settings.library = library;
        settings.device = "ref";
        settings.cache_type = "f32";
        settings.keep = 1;
        settings.raw = true;
        settings.logprobs = TOP;
        settings.max_tokens = STEPS;
        check(pr_model_open(&settings, NULL, &model));
        const char *sources[] = {film};
        check(pr_chat_open(model, &settings, sources, 1, NULL, NULL, NULL, &chat));
        check(pr_chat_ask(chat, "What is it?", on_token, &from_library, NULL, &answer));
        struct pr_coverage coverage = pr_answer_coverage(answer);
        assert_int_equal(coverage.segments, 1);
        assert_int_equal(coverage.segments_shown, 1);
        int64_t encoded = model->vision.encoded;
        assert_true(encoded > 0);

        struct library *opened;
        struct library_source source;
        struct evidence *evidence;
        struct evidence_segment segment;
        unsigned char identity[ENGINE_ENCODER_BYTES];
        pr_chat_close(chat);
        check(engine_library_open(&settings, &opened));
        check(memory_library_find(opened, film, &source));
        check(memory_library_evidence(opened, &source, &evidence));
        engine_encoder_identity(&model->vision, identity);
        const struct evidence_setup *setup = engine_visual_find(evidence, identity);
        size_t i = 0;
        while (memory_evidence_setup_of(evidence, i) != setup->number)
            i++;
        check(memory_evidence_read(evidence, i, &segment));
        assert_int_equal(segment.n_tokens, segment.n_raw); /* nothing was merged or dropped */
        assert_int_equal(coverage.visual_tokens, segment.n_tokens);
        struct pr_session *session;
        char head[128];
        check(pr_session_create(model, &settings, &session));
        snprintf(head, sizeof head, "Excerpts:\n[S1] 00:00:00–00:00:%02d\n", (int)((segment.t1 + 999999) / 1000000));
        add_text(head);
        write_directly(session, families[f], &segment, (size_t)setup->columns);
        add_text("\nQuestion: What is it?");
        flush_text(session);
        check(pr_session_generate(session, &settings, on_token, &direct, NULL, NULL));
        assert_int_equal(from_library.n, STEPS);
        assert_int_equal(direct.n, STEPS);
        assert_memory_equal(from_library.top, direct.top, sizeof direct.top);
        pr_session_destroy(session);
        memory_evidence_release(&segment);

        /* Another process asks again: the same answer, and nothing is encoded. */
        struct heard again = {0};
        pr_model_close(model);
        pr_answer_destroy(answer);
        memory_evidence_close(evidence);
        memory_library_close(opened);
        check(pr_model_open(&settings, NULL, &model));
        check(pr_ask(model, &settings, sources, 1, "What is it?", NULL, on_token, &again, NULL, &answer));
        assert_int_equal(model->vision.encoded, 0);
        assert_memory_equal(from_library.top, again.top, sizeof again.top);
        pr_answer_destroy(answer);
        pr_model_close(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_library_gives_what_is_given_directly)};
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
