/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a person would need to see survives when a quarter is kept, through real encoder graphs (of random weights): a needle in a still
 * scene, a flash, small things that follow each other in one place, a camera that pans, a slow fade. Each is looked for where and when
 * it was: among the kept tokens that stand for that place and time one must be nearly what the encoder said of it.
 */
#include "engine/visual.h"

#include "engine/library.h"
#include "memory/sketch.h"
#include "pagereel/pagereel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/folder.h"

struct thing {
    double t;      /* seconds */
    double x, y;   /* pixels of the 160 x 120 frame */
    bool anywhere; /* the whole frame shows the same: one token of any place tells it */
};

struct rows {
    struct evidence_token *tokens;
    float *rows, cell_w, cell_h;
    size_t n, columns;
};

static void read_rows(const struct pr_settings *s, const char *path, struct rows *out)
{
    char text[256];
    struct library *library;
    struct library_source source;
    struct evidence *evidence;
    struct engine_vision vision = {0};
    struct evidence_setup wanted;
    struct pr_settings checked;
    *out = (struct rows){0};
    assert_int_equal(engine_settings(s, &checked), PR_OK);
    assert_int_equal(engine_library_open(&checked, &library), PR_OK);
    assert_int_equal(memory_library_find(library, path, &source), PR_OK);
    assert_int_equal(memory_library_evidence(library, &source, &evidence), PR_OK);
    assert_int_equal(engine_vision_peek(&vision, s->mmproj, "", NULL), PR_OK);
    engine_visual_setup(&vision, &checked, text, &wanted);
    const struct evidence_setup *setup = engine_visual_exact(evidence, &wanted);
    assert_non_null(setup);
    out->columns = (size_t)setup->columns;
    for (size_t i = 0; i < memory_evidence_count(evidence); i++) {
        struct evidence_segment segment;
        if (memory_evidence_setup_of(evidence, i) != setup->number)
            continue;
        assert_int_equal(memory_evidence_read(evidence, i, &segment), PR_OK);
        size_t n = out->n + segment.n_tokens;
        out->tokens = realloc(out->tokens, n * sizeof *out->tokens);
        out->rows = realloc(out->rows, n * out->columns * sizeof *out->rows);
        memcpy(out->tokens + out->n, segment.tokens, segment.n_tokens * sizeof *out->tokens);
        for (size_t k = 0; k < segment.n_tokens * out->columns; k++)
            out->rows[out->n * out->columns + k] = compute_f16_to_f32(((const uint16_t *)segment.rows)[k]);
        out->cell_w = segment.ax;
        out->cell_h = segment.ay;
        out->n = n;
        memory_evidence_release(&segment);
    }
    engine_vision_close(&vision);
    memory_evidence_close(evidence);
    memory_library_close(library);
}

/* Whether a token stands for a place at a time: its box moves evenly while it is shown. */
static bool covers(const struct rows *rows, size_t i, const struct thing *thing, double slack)
{
    const struct evidence_token *token = &rows->tokens[i];
    int64_t t = (int64_t)(thing->t * 1e6);
    if (t < token->t0 || t >= token->t1)
        return false;
    double share = (double)(t - token->t0) / (double)(token->t1 - token->t0);
    double y = thing->y / rows->cell_h - token->dy * share, x = thing->x / rows->cell_w - token->dx * share;
    return y >= token->y0 - slack && y < token->y1 + slack && x >= token->x0 - slack && x < token->x1 + slack;
}

/* The largest cosine of what is kept for a place and time with what the encoder said of it. */
static float survives(const struct rows *all, const struct rows *kept, const struct thing *thing)
{
    size_t d = all->columns, at = all->n;
    float best = -1;
    for (size_t i = 0; i < all->n && at == all->n; i++)
        if (covers(all, i, thing, 0))
            at = i;
    assert_true(at < all->n);
    const float *a = all->rows + at * d;
    for (size_t i = 0; i < kept->n; i++) {
        const float *b = kept->rows + i * d;
        if (covers(kept, i, thing, thing->anywhere ? 100 : 1))
            best = fmaxf(best, memory_dot(a, b, d) / sqrtf(memory_dot(a, a, d) * memory_dot(b, b, d)));
    }
    return best;
}

static void check(const char *family, const char *name, const char *filter, const struct thing *things, size_t n,
                  float least)
{
    char film[128], mmproj[128], library[128], command[1024];
    struct rows all, kept;
    struct pr_entry entry;
    struct pr_settings s = pr_settings_default();
    snprintf(film, sizeof film, "%s/%s.mkv", test_folder, name);
    snprintf(command, sizeof command,
             "test -e %s || ffmpeg -v error -loop 1 -framerate 2 -i %s/scene.png -t 24 -vf \"%s\" -c:v mpeg4 -q:v 2 %s",
             film, test_folder, filter, film);
    assert_int_equal(system(command), 0);
    snprintf(mmproj, sizeof mmproj, "tests/golden/vision/%s.mmproj.f16.gguf", family);
    snprintf(library, sizeof library, "%s/library", test_folder);
    s.mmproj = mmproj;
    s.library = library;
    s.device = "cpu";
    s.image_tokens = 64;
    s.keep = 1;
    assert_int_equal(pr_add(&s, film, NULL, NULL, NULL, &entry), PR_OK);
    read_rows(&s, film, &all);
    s.keep = 0.25f;
    assert_int_equal(pr_add(&s, film, NULL, NULL, NULL, &entry), PR_OK);
    read_rows(&s, film, &kept);
    assert_true(kept.n <= all.n / 4 + 32);
    float worst = 1;
    for (size_t i = 0; i < n; i++)
        worst = fminf(worst, survives(&all, &kept, &things[i]));
    print_message("%s, %s: %zu of %zu tokens, least cosine %.3f\n", family, name, kept.n, all.n, (double)worst);
    assert_true(worst >= least);
    free(all.tokens);
    free(all.rows);
    free(kept.tokens);
    free(kept.rows);
}

static void test_lossless(void **state)
{
    (void)state;
    static const char *const families[] = {"qwen2vl", "qwen3vl"};
    char command[256];
    snprintf(command, sizeof command,
             "ffmpeg -v error -f lavfi -i testsrc2=s=320x120 -frames:v 1 %s/scene.png 2>/dev/null", test_folder);
    if (system(command) != 0) {
        print_message("skipped: no ffmpeg here\n");
        skip();
    }
    for (int f = 0; f < 2; f++) {
        check(families[f], "needle",
              "crop=160:120:0:0,drawbox=x=90:y=60:w=24:h=24:color=white:t=fill:enable='between(t,11.9,13.1)'",
              (struct thing[]){{12.2, 102, 72, false}}, 1, 0.9f);
        check(families[f], "flash",
              "crop=160:120:0:0,drawbox=x=0:y=0:w=iw:h=ih:color=white:t=fill:enable='between(t,6.9,8.1)'",
              (struct thing[]){{7.2, 40, 40, true}, {7.2, 120, 80, true}}, 2, 0.9f);
        check(families[f], "small",
              "crop=160:120:0:0,drawbox=x=60:y=60:w=20:h=20:color=red:t=fill:enable='between(t,2.9,5.1)',"
              "drawbox=x=60:y=60:w=20:h=20:color=white:t=fill:enable='between(t,8.9,11.1)',"
              "drawbox=x=60:y=60:w=20:h=20:color=black:t=fill:enable='between(t,14.9,17.1)'",
              (struct thing[]){{4, 70, 70, false}, {10, 70, 70, false}, {16, 70, 70, false}}, 3, 0.9f);
        check(families[f], "pan", "crop=160:120:x='6*t':y=0",
              (struct thing[]){{2, 80, 60, false}, {12, 40, 60, false}, {12, 120, 60, false}, {22, 80, 60, false}}, 4,
              0.7f);
        check(families[f], "fade", "crop=160:120:0:0,fade=t=out:st=0:d=24",
              (struct thing[]){{1, 80, 60, false}, {12, 80, 60, false}, {20, 80, 60, false}, {23, 40, 40, false}}, 4,
              0.7f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lossless)};
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
