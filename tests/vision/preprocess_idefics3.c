/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/mem.h"
#include "tests/support/golden_json.h"
#include "tests/vision/pictures.h"
#include "tests/vision/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct vision_family family = {
    .name = "idefics3", .layout = vision_idefics3_layout, .resize = vision_idefics3_resize, .cut = vision_idefics3_cut};

static struct vision_params params(int tile, int patch, int merge, int longest)
{
    return (struct vision_params){.family = &family,
                                  .image_size = tile,
                                  .patch = patch,
                                  .merge = merge,
                                  .longest_edge = longest,
                                  .n_frames = 1,
                                  .mean = {0.5F, 0.5F, 0.5F},
                                  .std = {0.5F, 0.5F, 0.5F}};
}

static void set(struct vision_params *p, const cJSON *settings)
{
    int tile = golden_get(settings, "tile")->valueint;
    *p = params(tile, tile == 384 ? 14 : 16, tile == 384 ? 3 : 4, golden_get(settings, "longest")->valueint);
}

static void test_pixels(void **state)
{
    (void)state;
    struct vision_params p;
    rig_pixels("idefics3", &p, set);
}

static void test_prompts(void **state)
{
    (void)state;
    struct vision_params p = params(48, 8, 2, 192);
    rig_prompts("idefics3", &p, &(struct rig_marks){"<image>", "<image>", "<video>", "<image>"});
}

/* Fewer tokens: whole tiles fewer, down to the whole picture alone. */
static void test_budget(void **state)
{
    (void)state;
    struct vision_params p = params(512, 16, 4, 2048);
    static const struct {
        int max, rows, cols;
    } cases[] = {{0, 4, 4}, {17 * 64, 4, 4}, {17 * 64 - 1, 3, 3}, {5 * 64, 2, 2}, {5 * 64 - 1, 0, 0}, {1, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vision_layout l;
        struct vision_request r = {.width = 1000, .height = 1000, .n_frames = 1, .max_tokens = cases[i].max};
        assert_int_equal(vision_layout_init(&l, &p, &r), 0);
        assert_int_equal(l.tile_rows, cases[i].rows);
        assert_int_equal(l.tile_cols, cases[i].cols);
        assert_int_equal(l.n_tokens, (cases[i].rows * cases[i].cols + 1) * 64);
        vision_layout_finish(&l);
    }
    struct vision_layout l;
    struct vision_request whole = {.width = 1000, .height = 1000, .n_frames = 1, .whole = true};
    assert_int_equal(vision_layout_init(&l, &p, &whole), 0);
    assert_int_equal(l.n_crops, 1);
    assert_string_equal(l.pieces[0].text, "<fake_token_around_image><global-img>");
    vision_layout_finish(&l);
    /* No longest edge in the file: never cut. */
    p.longest_edge = 0;
    whole.whole = false;
    assert_int_equal(vision_layout_init(&l, &p, &whole), 0);
    assert_int_equal(l.n_crops, 1);
    vision_layout_finish(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pixels),
        cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
