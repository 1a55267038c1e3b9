/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/mem.h"
#include "tests/support/golden_json.h"
#include "tests/vision/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct vision_family family = {
    .name = "internvl", .layout = vision_internvl_layout, .resize = vision_internvl_resize, .cut = vision_internvl_cut};

static struct vision_params params(int tile, int patch, int max_tiles)
{
    return (struct vision_params){.family = &family,
                                  .image_size = tile,
                                  .patch = patch,
                                  .merge = 2,
                                  .min_tiles = 1,
                                  .max_tiles = max_tiles,
                                  .n_frames = 1,
                                  .mean = {0.485F, 0.456F, 0.406F},
                                  .std = {0.229F, 0.224F, 0.225F}};
}

static void set(struct vision_params *p, const cJSON *settings)
{
    *p = params(golden_get(settings, "tile")->valueint, 14, golden_get(settings, "tiles")->valueint);
}

static void test_pixels(void **state)
{
    (void)state;
    struct vision_params p;
    rig_pixels("internvl", &p, set);
}

static void test_prompts(void **state)
{
    (void)state;
    struct vision_params p = params(48, 8, 4);
    rig_prompts("internvl", &p, &(struct rig_marks){"<IMG_CONTEXT>", "<IMG_CONTEXT>", "<video>", "<IMG_CONTEXT>"});
}

/* The grid follows the picture's shape; fewer tokens are fewer tiles, down to the whole picture alone. */
static void test_grids(void **state)
{
    (void)state;
    static const struct {
        int width, height, max_tokens, rows, cols;
    } cases[] = {
        {448, 448, 0, 0, 0},
        {600, 600, 0, 0, 0}, /* four tiles have more than twice its pixels */
        {700, 700, 0, 2, 2},
        {2000, 2000, 0, 3, 3},
        {2000, 2000, 9 * 256, 2, 2},
        {2000, 2000, 5 * 256, 2, 2},
        {2000, 2000, 5 * 256 - 1, 0, 0},
        {2000, 2000, 1, 0, 0},
        {1 << 20, 1, 0, 1, 12},
        {1, 1 << 20, 0, 12, 1},
        {1, 1, 0, 0, 0},
        {1600, 400, 3 * 256, 1, 2},
    };
    struct vision_params p = params(448, 14, 12);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vision_layout l;
        struct vision_request r = {
            .width = cases[i].width, .height = cases[i].height, .n_frames = 1, .max_tokens = cases[i].max_tokens};
        assert_int_equal(vision_layout_init(&l, &p, &r), 0);
        if (l.tile_rows != cases[i].rows || l.tile_cols != cases[i].cols)
            fail_msg("%d x %d: %d x %d tiles", cases[i].width, cases[i].height, l.tile_rows, l.tile_cols);
        assert_int_equal(l.n_tokens, (cases[i].rows * cases[i].cols + 1) * 256);
        vision_layout_finish(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pixels),
        cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_grids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
