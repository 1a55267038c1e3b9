/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a person would need to see survives when a quarter is kept, through real encoder graphs (of random weights): a needle in a still
 * scene, a flash, small things that follow each other in one place, a camera that pans, a slow fade, words. Each is looked for where and
 * when it was: among the kept tokens that stand for that place and time one must be nearly what the encoder said of it.
 *
 * `test_engine_lossless MMPROJ FILM` measures the same with a trained encoder, at 25 % and at 10 %, over scenes from a film, and prints a row
 * for each: how many tokens are kept; the least cosine of a thing with the kept token that stands for it; with what else was seen in its place
 * (two seconds later), which a token that had lost the thing would be like; and the largest chordal distance of a thing from the nearest of
 * all kept tokens, with the radius at which that one's segment ends.
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
    double x, y;   /* shares of the frame's width and height */
    bool anywhere; /* the whole frame shows the same: one token of any place tells it */
};

/* Films of 24 s, two frames a second, made of a picture twice as wide as they are. */
struct scene {
    const char *name, *filter;
    float least; /* cosine; 0: only measured */
    size_t n;
    struct thing things[4];
};
#define STILL "crop=iw/2:ih:0:0,"
#define BOX(colour, from, to)                                                                                          \
    "drawbox=x=iw*0.375:y=ih/2:w=iw/8:h=ih/6:color=" colour ":t=fill:enable='between(t," from "," to ")'"
#define WORD(text, from, to)                                                                                           \
    "drawtext=text=" text ":x=w*0.1:y=h*0.6:fontsize=h/9:fontcolor=black:box=1:boxcolor=white:boxborderw=4:"           \
    "enable='between(t," from "," to ")'"
static const struct scene scenes[] = {
    {"needle",
     STILL "drawbox=x=iw*0.5625:y=ih/2:w=iw*0.15:h=ih/5:color=white:t=fill:enable='between(t,11.9,13.1)'",
     0.9f,
     1,
     {{12.2, 0.6375, 0.6, false}}},
    {"flash",
     STILL "drawbox=x=0:y=0:w=iw:h=ih:color=white:t=fill:enable='between(t,6.9,8.1)'",
     0.9f,
     2,
     {{7.2, 0.25, 0.33, true}, {7.2, 0.75, 0.67, true}}},
    {"small things",
     STILL BOX("red", "2.9", "5.1") "," BOX("white", "8.9", "11.1") "," BOX("black", "14.9", "17.1"),
     0.9f,
     3,
     {{4, 0.4375, 0.58, false}, {10, 0.4375, 0.58, false}, {16, 0.4375, 0.58, false}}},
    {"pan",
     "crop=iw/2:ih:x='iw*t/54':y=0",
     0.7f,
     4,
     {{2, 0.5, 0.5, false}, {12, 0.25, 0.5, false}, {12, 0.75, 0.5, false}, {22, 0.5, 0.5, false}}},
    {"fade",
     STILL "fade=t=out:st=0:d=24",
     0.7f,
     4,
     {{1, 0.5, 0.5, false}, {12, 0.5, 0.5, false}, {20, 0.5, 0.5, false}, {23, 0.25, 0.33, false}}},
    {"a word for two steps",
     STILL WORD("kestrel", "11.9", "12.6"),
     0.85f,
     2,
     {{12.2, 0.16, 0.65, false}, {12.2, 0.3, 0.65, false}}},
    {"words one after the other",
     STILL WORD("lantern", "2.9", "3.6") "," WORD("harbour", "8.9", "9.6") "," WORD("violin", "14.9", "15.6"),
     0.85f,
     3,
     {{3.2, 0.2, 0.65, false}, {9.2, 0.2, 0.65, false}, {15.2, 0.2, 0.65, false}}},
};
enum { N_SCENES = sizeof scenes / sizeof scenes[0] };

struct rows {
    struct evidence_token *tokens;
    float *rows, *reach;   /* reach: the radius that the token's segment leaves */
    double cell_w, cell_h; /* of the frame */
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
    assert_int_equal(engine_vision_peek(&vision, s->mmproj, "", NULL, NULL), PR_OK);
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
        out->reach = realloc(out->reach, n * sizeof *out->reach);
        for (size_t k = out->n; k < n; k++)
            out->reach[k] = compute_f16_to_f32(segment.tokens[segment.n_tokens - 1].radius);
        out->cell_w = (double)segment.ax / segment.width;
        out->cell_h = (double)segment.ay / segment.height;
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

static float cosine(const float *a, const float *b, size_t d)
{
    return memory_dot(a, b, d) / sqrtf(memory_dot(a, a, d) * memory_dot(b, b, d));
}

/* What the encoder said of a place at a time. */
static const float *said(const struct rows *all, const struct thing *thing)
{
    size_t at = 0;
    while (at < all->n && !covers(all, at, thing, 0))
        at++;
    assert_true(at < all->n);
    return all->rows + at * all->columns;
}

/* How one thing is kept. */
struct survival {
    float cosine;   /* with the kept token for its place and time that is most like it */
    float other;    /* with what else was seen in its place, */
    float distance; /* to the nearest kept token of all, */
    float reach;    /* whose segment ends at this radius */
};

static struct survival survives(const struct rows *all, const struct rows *kept, const struct thing *thing)
{
    size_t d = all->columns;
    struct thing later = *thing;
    later.t += 2;
    const float *a = said(all, thing);
    struct survival out = {.cosine = -1, .other = later.t < 24 ? cosine(a, said(all, &later), d) : NAN};
    out.distance = 2;
    for (size_t i = 0; i < kept->n; i++) {
        float like = cosine(a, kept->rows + i * d, d), distance = sqrtf(fmaxf(2 - 2 * like, 0));
        if (covers(kept, i, thing, thing->anywhere ? 100 : 1))
            out.cosine = fmaxf(out.cosine, like);
        if (distance < out.distance) {
            out.distance = distance;
            out.reach = kept->reach[i];
        }
    }
    return out;
}

static void rows_finish(struct rows *rows)
{
    free(rows->tokens);
    free(rows->rows);
    free(rows->reach);
}

/* False: ffmpeg can't make the film. */
static bool make_film(const struct scene *scene, char film[128])
{
    char command[1024];
    snprintf(film, 128, "%s/%.40s.mkv", test_folder, scene->name);
    snprintf(
        command, sizeof command,
        "test -e '%s' || ffmpeg -v error -loop 1 -framerate 2 -i %s/scene.png -t 24 -vf \"%s\" -c:v mpeg4 -q:v 2 '%s'",
        film, test_folder, scene->filter, film);
    return system(command) == 0;
}

static void check(const char *title, const char *mmproj, const struct scene *scene, float keep)
{
    char film[128];
    struct rows all, kept;
    struct pr_entry entry;
    struct pr_settings s = pr_settings_default();
    if (!make_film(scene, film)) {
        print_message("%s, %s: skipped: ffmpeg can't draw it here\n", title, scene->name);
        return;
    }
    s.mmproj = mmproj;
    s.library = test_file("library");
    s.device = "cpu";
    s.image_tokens = 64;
    s.keep = 1;
    assert_int_equal(pr_add(&s, film, NULL, NULL, NULL, &entry), PR_OK);
    read_rows(&s, film, &all);
    s.keep = keep;
    assert_int_equal(pr_add(&s, film, NULL, NULL, NULL, &entry), PR_OK);
    read_rows(&s, film, &kept);
    assert_true((float)kept.n <= (float)all.n * keep + 32);
    struct survival worst = {.cosine = 2, .distance = -1};
    for (size_t i = 0; i < scene->n; i++) {
        struct survival one = survives(&all, &kept, &scene->things[i]);
        if (one.cosine < worst.cosine) {
            worst.cosine = one.cosine;
            worst.other = one.other;
        }
        if (one.distance > worst.distance) {
            worst.distance = one.distance;
            worst.reach = one.reach;
        }
    }
    print_message("| %s, %s | %.0f %% | %zu of %zu | %.3f | %.3f | %.3f of %.3f |\n", title, scene->name,
                  100 * (double)keep, kept.n, all.n, (double)worst.cosine, (double)worst.other, (double)worst.distance,
                  (double)worst.reach);
    assert_true(worst.cosine >= scene->least || keep < 0.25f);
    rows_finish(&all);
    rows_finish(&kept);
}

static const char *trained, *from_film;

/* The library learns what thresholds mean for the encoder, as it does with the first minutes of film. */
static void calibrate(void)
{
    char command[1024];
    struct pr_entry entry;
    struct pr_settings s = pr_settings_default();
    s.mmproj = trained;
    s.library = test_file("library");
    s.device = "cpu";
    s.image_tokens = 64;
    snprintf(command, sizeof command, "ffmpeg -v error -i '%s' -t 600 -map 0:v -c copy %s/minutes.mkv", from_film,
             test_folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(pr_add(&s, test_file("minutes.mkv"), NULL, NULL, NULL, &entry), PR_OK);
    snprintf(command, sizeof command, "test -n \"$(ls %s/library/calibration)\"", test_folder);
    assert_int_equal(system(command), 0);
}

static void test_lossless(void **state)
{
    (void)state;
    static const char *const families[] = {"qwen2vl", "qwen3vl"};
    char command[1024], mmproj[128];
    if (from_film)
        snprintf(command, sizeof command,
                 "ffmpeg -v error -ss 61 -i '%s' -ss 611 -i '%s' -filter_complex hstack -frames:v 1 %s/scene.png",
                 from_film, from_film, test_folder);
    else
        snprintf(command, sizeof command,
                 "ffmpeg -v error -f lavfi -i testsrc2=s=320x120 -frames:v 1 %s/scene.png 2>/dev/null", test_folder);
    if (system(command) != 0) {
        print_message("skipped: no ffmpeg here\n");
        skip();
    }
    if (trained)
        calibrate();
    print_message("| encoder, scene | kept | tokens | cosine | with what else was there | nearest kept, radius |\n");
    for (int k = 0; trained && k < 2 * N_SCENES; k++)
        check("trained", trained, &scenes[k % N_SCENES], k < N_SCENES ? 0.25f : 0.1f);
    for (int f = 0; f < 2 && !trained; f++) {
        snprintf(mmproj, sizeof mmproj, "tests/golden/vision/%s.mmproj.f16.gguf", families[f]);
        for (int i = 0; i < N_SCENES; i++)
            check(families[f], mmproj, &scenes[i], 0.25f);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lossless)};
    trained = argc == 3 ? argv[1] : NULL;
    from_film = argc == 3 ? argv[2] : NULL;
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
