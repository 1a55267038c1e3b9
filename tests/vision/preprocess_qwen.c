/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vision/preprocess_qwen.h"

#include "base/mem.h"
#include "tests/support/golden_json.h"
#include "tests/vision/pictures.h"
#include "tests/vision/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CLIP_MEAN                                                                                                      \
    {                                                                                                                  \
        0.48145466F, 0.4578275F, 0.40821073F                                                                           \
    }
#define CLIP_STD                                                                                                       \
    {                                                                                                                  \
        0.26862954F, 0.26130258F, 0.27577711F                                                                          \
    }
#define HALF                                                                                                           \
    {                                                                                                                  \
        0.5F, 0.5F, 0.5F                                                                                               \
    }

static const struct vision_family families[] = {
    {.name = "qwen3vl", .layout = vision_qwen3vl_layout, .resize = vision_qwen_resize, .grid_positions = true},
    {.name = "qwen2vl", .layout = vision_qwen2vl_layout, .resize = vision_qwen_resize, .grid_positions = true},
    {.name = "qwen2.5vl", .layout = vision_qwen25vl_layout, .resize = vision_qwen_resize, .grid_positions = true},
};

static struct vision_params params(int family)
{
    struct vision_params p = {.family = &families[family],
                              .patch = 14,
                              .merge = 2,
                              .n_frames = 2,
                              .mean = CLIP_MEAN,
                              .std = CLIP_STD,
                              .min_pixels = 3136,
                              .max_pixels = 12845056};
    if (family == 0) {
        struct vision_params q = {.family = &families[family],
                                  .patch = 16,
                                  .merge = 2,
                                  .n_frames = 2,
                                  .mean = HALF,
                                  .std = HALF,
                                  .min_pixels = 8192,
                                  .max_pixels = 1 << 20};
        return q;
    }
    return p;
}

static void set(struct vision_params *p, const cJSON *settings)
{
    p->min_pixels = (int64_t)golden_get(settings, "min_pixels")->valuedouble;
    p->max_pixels = (int64_t)golden_get(settings, "max_pixels")->valuedouble;
}

static void test_pixels(void **state)
{
    (void)state;
    for (int f = 0; f < 2; f++) { /* Qwen2.5-VL takes Qwen2-VL's processor */
        struct vision_params p = params(f);
        rig_pixels(families[f].name, &p, set);
    }
}

static void test_prompts(void **state)
{
    (void)state;
    static const char image[] = "<|vision_start|><|image_pad|><|vision_end|>",
                      video[] = "<|vision_start|><|video_pad|><|vision_end|>";
    for (int f = 0; f < 3; f++) {
        struct vision_params p = params(f);
        rig_prompts(families[f].name, &p,
                    &(struct rig_marks){image, "<|image_pad|>", f == 0 ? "<|video_pad|>" : video, "<|video_pad|>"});
    }
}

/* The sizes of frames of long and short films. */
static void test_video_sizes(void **state)
{
    (void)state;
    for (int f = 0; f < 3; f++) {
        char path[64];
        snprintf(path, sizeof path, "tests/golden/vision/%s.videos.json", families[f].name);
        cJSON *golden = golden_json(path);
        const cJSON *c;
        struct vision_params p = params(f);
        cJSON_ArrayForEach(c, golden_get(golden, "sizes"))
        {
            struct vision_layout l;
            int n = golden_get(c, "n")->valueint;
            int64_t *times = base_alloc_array((size_t)n, sizeof *times);
            struct vision_request r = {.medium = VISION_VIDEO,
                                       .width = golden_get(c, "width")->valueint,
                                       .height = golden_get(c, "height")->valueint,
                                       .n_frames = n,
                                       .times = times};
            assert_int_equal(vision_layout_init(&l, &p, &r), 0);
            const cJSON *size = golden_get(c, "becomes");
            assert_int_equal(l.crops[0].width, cJSON_GetArrayItem(size, 0)->valueint);
            assert_int_equal(l.crops[0].height, cJSON_GetArrayItem(size, 1)->valueint);
            assert_int_equal(l.n_crops, (n + 1) / 2);
            vision_layout_finish(&l);
            base_free(times);
        }
        cJSON_Delete(golden);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct vision_layout l;
    struct vision_params p = params(1);
    struct vision_request wide = {.width = 2010, .height = 10, .n_frames = 1};
    assert_int_equal(vision_layout_init(&l, &p, &wide), PR_ERR_INVALID);
    assert_non_null(strstr(pr_error_message(), "2010 x 10"));
    wide.width = 2000;
    assert_int_equal(vision_layout_init(&l, &p, &wide), 0);
    vision_layout_finish(&l);
    struct vision_request far = {.width = VISION_MAX_SIDE + 1, .height = 9000, .n_frames = 1};
    assert_int_equal(vision_layout_init(&l, &p, &far), PR_ERR_INVALID);
    /* Limits that no picture can have: damaged files. */
    struct vision_params odd = params(1);
    odd.min_pixels = odd.max_pixels = INT64_MAX;
    for (int side = 1; side <= VISION_MAX_SIDE; side *= 32) {
        struct vision_request square = {.width = side, .height = side, .n_frames = 1};
        assert_int_equal(vision_layout_init(&l, &odd, &square), 0);
        assert_in_range(l.crops[0].width, 28, VISION_MAX_SIDE + 28);
        vision_layout_finish(&l);
    }
    /* The same page at given budgets: never more tokens, about the same aspect. */
    for (int tokens = 1; tokens <= 4096; tokens *= 2) {
        struct vision_request page = {.width = 1240, .height = 1754, .n_frames = 1, .max_tokens = tokens};
        assert_int_equal(vision_layout_init(&l, &p, &page), 0);
        assert_in_range(l.n_tokens, tokens / 2 > 0 && tokens < 2048 ? tokens / 2 : 1, tokens);
        vision_layout_finish(&l);
    }
}

/* Never more than what was asked for, of any shape. */
static void test_asked(void **state)
{
    (void)state;
    static const int32_t sides[] = {1, 7, 30, 59, 180, 320, 1080, 1920, 5000},
                         asked[] = {1, 2, 5, 9, 30, 100, 127, 700};
    const int64_t times[3] = {0, 500000, 1000000};
    for (size_t i = 0; i < 3 * 2 * 9 * 9 * 8; i++) {
        struct vision_layout l;
        struct vision_params p = params((int)(i % 3));
        bool film = i / 3 % 2;
        struct vision_request r = {.medium = film ? VISION_VIDEO : VISION_IMAGE,
                                   .width = sides[i / 6 % 9],
                                   .height = sides[i / 54 % 9],
                                   .n_frames = film ? 3 : 1,
                                   .times = film ? times : NULL,
                                   .max_tokens = asked[i / 486]};
        int err = vision_layout_init(&l, &p, &r);
        if (err < 0) { /* too long for any Qwen */
            assert_int_equal(err, PR_ERR_INVALID);
            continue;
        }
        assert_in_range(l.crops[0].rows * l.crops[0].cols, 1, r.max_tokens);
        vision_layout_finish(&l);
    }
}

/* Qwen2-VL counts pairs of frames, Qwen2.5-VL half seconds. */
static void test_time(void **state)
{
    (void)state;
    int64_t times[7];
    for (int i = 0; i < 7; i++)
        times[i] = i * 1500000;
    for (int f = 1; f < 3; f++) {
        static const int32_t want[2][4] = {{0, 1, 2, 3}, {0, 6, 12, 18}};
        struct vision_params p = params(f);
        struct vision_layout l;
        struct vision_request r = {.medium = VISION_VIDEO, .width = 100, .height = 100, .n_frames = 7, .times = times};
        assert_int_equal(vision_layout_init(&l, &p, &r), 0);
        assert_int_equal(l.n_crops, 4);
        assert_int_equal(l.n_pieces, 3);
        for (int i = 0; i < 4; i++)
            assert_int_equal(l.crops[i].t, want[f - 1][i]);
        int32_t advance, *at = base_alloc_array((size_t)l.n_tokens * 4, sizeof *at);
        vision_positions(&l, &l.pieces[1], at, &advance);
        int32_t side = l.crops[0].rows; /* what follows stands behind the largest of all positions */
        assert_int_equal(advance, want[f - 1][3] >= side ? want[f - 1][3] + 1 : side);
        base_free(at);
        vision_layout_finish(&l);
    }
}

/* Frames 35 and 52 of 30 a second: between them is 1.45, and the half of what Python makes of both is a little more. */
static void test_times_of_a_rate(void **state)
{
    (void)state;
    const int64_t times[2] = {1166667, 1733333};
    struct vision_params p = params(0);
    struct vision_layout l;
    struct vision_request r = {.medium = VISION_VIDEO, .width = 64, .height = 64, .n_frames = 2, .times = times};
    for (int known = 0; known < 2; known++) {
        r.rate = known ? 30 : 0;
        assert_int_equal(vision_layout_init(&l, &p, &r), 0);
        assert_string_equal(l.pieces[0].text,
                            known ? "<1.5 seconds><|vision_start|>" : "<1.4 seconds><|vision_start|>");
        vision_layout_finish(&l);
    }
    r.rate = 25; /* not the rate of these frames: their times count */
    assert_true(vision_seconds(&r, 0) == 1166667 / 1e6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pixels),          cmocka_unit_test(test_prompts), cmocka_unit_test(test_video_sizes),
        cmocka_unit_test(test_limits),          cmocka_unit_test(test_asked),   cmocka_unit_test(test_time),
        cmocka_unit_test(test_times_of_a_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
