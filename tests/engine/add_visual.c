/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Visual tokens on their way into the library: with everything kept, the log holds the rows that pr_embed() gives, rounded to f16, in
 * every family; nothing is encoded twice; what was interrupted goes on; settings and models are told apart.
 */
#include "engine/visual.h"

#include "engine/library.h"
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

static const char *const families[] = {"idefics3", "qwen2vl", "qwen2.5vl", "qwen3vl"};
enum { N_FAMILIES = sizeof families / sizeof families[0] };

static bool has_film;

/* It changes once a second, so that adding and prompts, which choose their frames by different rules, see the same. */
static int make_film(void **state)
{
    char command[512];
    assert_int_equal(test_folder_make(state), 0);
    snprintf(command, sizeof command,
             "ffmpeg -v error -f lavfi -i testsrc=s=80x60:r=1:d=7,fps=10 -c:v ffv1 %s/film.mkv 2>/dev/null && "
             "ffmpeg -v error -f lavfi -i testsrc=s=100x70 -frames:v 1 %s/picture.png 2>/dev/null",
             test_folder, test_folder);
    has_film = system(command) == 0;
    return 0;
}

static struct pr_settings settings_of(const char *family)
{
    static char mmproj[128], library[128];
    struct pr_settings s = pr_settings_default();
    snprintf(mmproj, sizeof mmproj, "tests/golden/vision/%s.mmproj.f16.gguf", family);
    snprintf(library, sizeof library, "%s/library", test_folder);
    s.mmproj = mmproj;
    s.library = library;
    s.device = "ref";
    s.image_tokens = 64;
    return s;
}

static struct evidence *open_log(const struct pr_settings *s, const char *path)
{
    struct library *library;
    struct library_source source;
    struct evidence *evidence;
    struct pr_settings checked;
    assert_int_equal(engine_settings(s, &checked), PR_OK);
    assert_int_equal(engine_library_open(&checked, &library), PR_OK);
    assert_int_equal(memory_library_find(library, path, &source), PR_OK);
    assert_int_equal(memory_library_evidence(library, &source, &evidence), PR_OK);
    memory_library_close(library);
    return evidence;
}

struct kept {
    struct evidence_token token;
    int tile; /* tiles in order, the whole picture behind them */
    uint16_t *row;
};

static int by_place(const void *a, const void *b)
{
    const struct kept *x = a, *y = b;
    if (x->token.t0 != y->token.t0)
        return x->token.t0 < y->token.t0 ? -1 : 1;
    if (x->tile != y->tile)
        return x->tile < y->tile ? -1 : 1;
    if (x->token.y0 != y->token.y0)
        return x->token.y0 < y->token.y0 ? -1 : 1;
    return x->token.x0 - y->token.x0;
}

/* All visual tokens of a log, in the order in which they were seen. */
static size_t read_rows(const struct evidence *evidence, struct kept **out, int32_t *columns)
{
    size_t n = 0;
    const struct evidence_setup *setup = engine_visual_latest(evidence);
    assert_non_null(setup);
    assert_int_equal(setup->row_type, TYPE_F16);
    *columns = setup->columns;
    *out = NULL;
    for (size_t i = 0; i < memory_evidence_count(evidence); i++) {
        struct evidence_segment segment;
        if (memory_evidence_setup_of(evidence, i) != setup->number)
            continue;
        assert_int_equal(memory_evidence_read(evidence, i, &segment), PR_OK);
        *out = realloc(*out, (n + segment.n_tokens) * sizeof **out);
        for (uint32_t k = 0; k < segment.n_tokens; k++) {
            size_t size = (size_t)setup->columns * sizeof(uint16_t);
            struct kept *kept = &(*out)[n++];
            kept->token = segment.tokens[k];
            kept->tile = segment.tile_row < 0 ? 1000 : segment.tile_row * segment.tile_cols + segment.tile_col;
            kept->row = malloc(size);
            memcpy(kept->row, (const char *)segment.rows + k * size, size);
            assert_true(k == 0 || compute_f16_to_f32(segment.tokens[k].radius) <=
                                      compute_f16_to_f32(segment.tokens[k - 1].radius));
        }
        memory_evidence_release(&segment);
    }
    qsort(*out, n, sizeof **out, by_place);
    return n;
}

static void free_rows(struct kept *kept, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(kept[i].row);
    free(kept);
}

static void compare(const struct pr_settings *s, const char *path)
{
    struct pr_visual visual;
    struct kept *kept;
    int32_t columns;
    struct evidence *evidence = open_log(s, path);
    size_t n = read_rows(evidence, &kept, &columns);
    assert_int_equal(pr_embed(path, s, NULL, &visual), PR_OK);
    assert_int_equal(n, visual.n);
    assert_int_equal(columns, visual.width);
    for (size_t i = 0; i < n; i++)
        for (int32_t j = 0; j < columns; j++)
            assert_int_equal(kept[i].row[j], compute_f32_to_f16(visual.rows[i * (size_t)columns + (size_t)j]));
    pr_visual_finish(&visual);
    free_rows(kept, n);
    memory_evidence_close(evidence);
}

static void test_all_kept(void **state)
{
    (void)state;
    if (!has_film) {
        print_message("skipped: no ffmpeg here\n");
        skip();
    }
    for (int f = 0; f < N_FAMILIES; f++) {
        struct pr_settings s = settings_of(families[f]);
        struct pr_entry entry;
        s.keep = 1;
        const char *const paths[] = {test_file("film.mkv"), test_file("picture.png")};
        for (int i = 0; i < 2; i++) {
            assert_int_equal(pr_add(&s, paths[i], NULL, NULL, NULL, &entry), PR_OK);
            assert_true(entry.fresh && entry.seen && entry.encoded > 0 && entry.tokens > 0);
            compare(&s, paths[i]);
            assert_int_equal(pr_add(&s, paths[i], NULL, NULL, NULL, &entry), PR_OK);
            assert_true(!entry.fresh && entry.seen && entry.encoded == 0);
        }
    }
}

/* What is kept is less, of the whole film, and what other settings and models made stays beside it. */
static void test_quarter(void **state)
{
    (void)state;
    if (!has_film)
        skip();
    for (int f = 0; f < N_FAMILIES; f++) {
        struct pr_settings s = settings_of(families[f]);
        struct pr_entry all, quarter;
        const char *path = test_file("film.mkv");
        s.keep = 1;
        assert_int_equal(pr_add(&s, path, NULL, NULL, NULL, &all), PR_OK);
        s.keep = 0.25f;
        assert_int_equal(pr_add(&s, path, NULL, NULL, NULL, &quarter), PR_OK);
        assert_true(quarter.fresh && quarter.encoded > 0 && quarter.seen);
        assert_true(quarter.tokens > 0 && (quarter.tokens * 4 <= all.tokens + 3 || quarter.tokens <= 32));
        assert_true(quarter.segments > all.segments);
        struct evidence *evidence = open_log(&s, path);
        int64_t seen = 0;
        const struct evidence_setup *setup = engine_visual_latest(evidence);
        for (size_t i = 0; i < memory_evidence_count(evidence); i++) {
            struct evidence_segment segment;
            if (memory_evidence_setup_of(evidence, i) != setup->number)
                continue;
            assert_int_equal(memory_evidence_read(evidence, i, &segment), PR_OK);
            assert_true(segment.t0 == seen && segment.n_raw == segment.n_frames * segment.grid_h * segment.grid_w);
            assert_true(fabsf(segment.ax * (float)segment.grid_w - 80) < 0.01f);
            seen = segment.t1;
            memory_evidence_release(&segment);
        }
        assert_true(seen >= 6900000 && seen <= 7100000);
        memory_evidence_close(evidence);
    }
}

/* The share is that of what is seen where two frames make one step, too: such a step isn't taken for a frame that stays. */
static void test_share(void **state)
{
    static const char *const of_pairs[] = {"qwen2vl", "qwen2.5vl"};
    char command[256];
    (void)state;
    if (!has_film)
        skip();
    snprintf(command, sizeof command, "ffmpeg -v error -f lavfi -i mandelbrot=s=80x60:r=10 -t 6 -c:v ffv1 %s/zoom.mkv",
             test_folder);
    assert_int_equal(system(command), 0);
    for (int f = 0; f < 2; f++) {
        struct pr_settings s = settings_of(of_pairs[f]);
        struct pr_entry all, tenth;
        s.device = "cpu";
        s.fps = 10;
        s.keep = 1;
        assert_int_equal(pr_add(&s, test_file("zoom.mkv"), NULL, NULL, NULL, &all), PR_OK);
        s.keep = 0.1f;
        assert_int_equal(pr_add(&s, test_file("zoom.mkv"), NULL, NULL, NULL, &tenth), PR_OK);
        assert_true(tenth.tokens > 0 && tenth.tokens * 10 <= all.tokens);
    }
}

struct stopper {
    struct pr_cancel *cancel;
    int calls, at;
};

static void stop(void *user, const struct pr_progress *progress)
{
    struct stopper *stopper = user;
    if (progress->what == PR_ADDING_PICTURES && ++stopper->calls == stopper->at)
        pr_cancel_request(stopper->cancel);
}

/* Interrupted at any place, what was finished stays and nothing is there twice. */
static void test_interrupted(void **state)
{
    (void)state;
    if (!has_film)
        skip();
    struct pr_settings s = settings_of("idefics3");
    const char *path = test_file("film.mkv");
    struct pr_entry entry;
    s.keep = 1;
    s.fps = 5;
    for (int at = 1; at < 4; at++) {
        struct stopper stopper = {pr_cancel_create(), 0, at};
        s.fps = 5 - 0.5f * (float)at; /* each time anew */
        int err = pr_add(&s, path, stop, &stopper, stopper.cancel, &entry);
        assert_true(err == PR_ERR_CANCELLED || (err == PR_OK && stopper.calls < at));
        pr_cancel_destroy(stopper.cancel);
        assert_int_equal(pr_add(&s, path, NULL, NULL, NULL, &entry), PR_OK);
        assert_true(entry.seen);
        struct kept *kept;
        int32_t columns;
        struct evidence *evidence = open_log(&s, path);
        size_t n = read_rows(evidence, &kept, &columns), frames = (size_t)ceilf(7 * s.fps);
        assert_true(n == frames * 9 || n == (frames - 1) * 9);
        for (size_t i = 9; i < n; i += 9)
            assert_true(kept[i].token.t0 > kept[i - 1].token.t0);
        free_rows(kept, n);
        memory_evidence_close(evidence);
    }
}

/* White cells of a picture aren't kept, what has ink on it is. */
static void test_blank(void **state)
{
    char command[256];
    (void)state;
    if (!has_film)
        skip();
    snprintf(command, sizeof command,
             "ffmpeg -v error -f lavfi -i color=white:s=240x240 -vf drawbox=x=10:y=10:w=40:h=40:color=black:t=fill "
             "-frames:v 1 %s/page.png",
             test_folder);
    assert_int_equal(system(command), 0);
    struct pr_settings s = settings_of("qwen2vl");
    struct pr_entry entry;
    assert_int_equal(pr_add(&s, test_file("page.png"), NULL, NULL, NULL, &entry), PR_OK);
    struct evidence *evidence = open_log(&s, test_file("page.png"));
    struct kept *kept;
    struct evidence_segment segment;
    int32_t columns;
    size_t n = read_rows(evidence, &kept, &columns);
    assert_int_equal(memory_evidence_read(evidence, memory_evidence_count(evidence) - 1, &segment), PR_OK);
    assert_true(n > 0 && n < segment.n_raw / 2);
    for (size_t i = 0; i < n; i++) /* none is farther from the ink than a cell */
        assert_true((float)kept[i].token.x0 * segment.ax < 50 + segment.ax &&
                    (float)kept[i].token.y0 * segment.ay < 50 + segment.ay);
    memory_evidence_release(&segment);
    free_rows(kept, n);
    memory_evidence_close(evidence);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_kept), cmocka_unit_test(test_quarter),
                                       cmocka_unit_test(test_share), cmocka_unit_test(test_interrupted),
                                       cmocka_unit_test(test_blank)};
    return cmocka_run_group_tests(tests, make_film, test_folder_remove);
}
