/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vision/image.h"

#include "base/mem.h"
#include "tests/vision/pictures.h"
#include "vision/preprocess.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_clipping(void **state)
{
    (void)state;
    static const uint8_t rgb[10 * 8 * 3];
    struct vision_image all = {.width = 10, .height = 8, .stride = 30, .rgb = rgb, .span = {.page = 4}};
    static const struct {
        int x, y, w, h, left, top, width, height;
    } cases[] = {{2, 3, 4, 5, 2, 3, 4, 5},
                 {-3, -3, 5, 5, 0, 0, 2, 2},
                 {8, 7, 100, 100, 8, 7, 2, 1},
                 {50, 50, 3, 3, 9, 7, 1, 1},
                 {-9, -9, 2, 2, 0, 0, 1, 1},
                 {1, 1, 0, -4, 1, 1, 1, 1},
                 {0, 0, INT32_MAX, INT32_MAX, 0, 0, 10, 8},
                 {INT32_MAX, INT32_MIN, INT32_MAX, INT32_MAX, 9, 0, 1, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vision_image part = vision_image_part(&all, cases[i].x, cases[i].y, cases[i].w, cases[i].h);
        assert_ptr_equal(part.rgb, rgb + (cases[i].top * 10 + cases[i].left) * 3);
        assert_int_equal(part.width, cases[i].width);
        assert_int_equal(part.height, cases[i].height);
        assert_int_equal(part.stride, 30);
        assert_int_equal(part.span.page, 4);
    }
}

/* A second look at a part sees what a look at a picture of that part alone would see. */
static void test_second_look(void **state)
{
    (void)state;
    static const struct vision_family family = {.layout = vision_qwen2vl_layout, .resize = vision_qwen_resize};
    struct vision_params p = {
        .family = &family, .patch = 14, .merge = 2, .n_frames = 2, .min_pixels = 3136, .max_pixels = 1 << 20};
    uint8_t *rgb = test_picture("text", 400, 300, 1), *alone = base_alloc_array(90 * 50, 3);
    struct vision_image page = {.width = 400, .height = 300, .stride = 1200, .rgb = rgb}, parts[2];
    parts[0] = vision_image_part(&page, 120, 77, 90, 50);
    for (int y = 0; y < 50; y++)
        memcpy(alone + y * 270, rgb + (77 + y) * 1200 + 360, 270);
    parts[1] = (struct vision_image){.width = 90, .height = 50, .stride = 270, .rgb = alone};
    struct vision_request r = {.width = 90, .height = 50, .n_frames = 1};
    struct vision_layout l;
    assert_int_equal(vision_layout_init(&l, &p, &r), 0);
    size_t size = vision_fill_size(&l, 0, 1);
    uint8_t *seen[2] = {base_alloc(size), base_alloc(size)};
    for (int i = 0; i < 2; i++)
        assert_int_equal(vision_fill(&l, 0, 1, &parts[i], seen[i]), 0);
    assert_memory_equal(seen[0], seen[1], size);
    vision_layout_finish(&l);
    base_free(seen[0]);
    base_free(seen[1]);
    base_free(alone);
    base_free(rgb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_clipping), cmocka_unit_test(test_second_look)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
