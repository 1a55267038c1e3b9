/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vision/resize.h"

#include "base/mem.h"
#include "tests/support/golden_json.h"
#include "tests/vision/pictures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int of(const cJSON *c, const char *key)
{
    return golden_get(c, key)->valueint;
}

static int filter_of(const char *name)
{
    return !strcmp(name, "bilinear") ? RESIZE_BILINEAR : !strcmp(name, "bicubic") ? RESIZE_BICUBIC : RESIZE_LANCZOS;
}

/* Every byte is Pillow's, and torch's. */
static void compare_all(void)
{
    cJSON *golden = golden_json("tests/golden/vision/resize.json");
    const cJSON *c;
    int n = 0, wrong = 0;
    cJSON_ArrayForEach(c, golden_get(golden, "cases"))
    {
        int w, h, w2 = of(c, "width"), h2 = of(c, "height"), off = 0;
        const char *filter = golden_text(c, "filter"), *by = golden_text(c, "rounding");
        uint8_t *src = test_picture_json(golden_get(c, "picture"), &w, &h);
        uint8_t *dst = base_alloc_array((size_t)w2 * (size_t)h2, 3);
        assert_int_equal(vision_resize(src, 3 * (size_t)w, w, h, dst, w2, h2, filter_of(filter),
                                       !strcmp(by, "torch") ? RESIZE_TORCH : RESIZE_PILLOW),
                         0);
        const cJSON *b;
        cJSON_ArrayForEach(b, golden_get(c, "bytes"))
        {
            int by_bytes = abs(dst[cJSON_GetArrayItem(b, 0)->valueint] - cJSON_GetArrayItem(b, 1)->valueint);
            off = by_bytes > off ? by_bytes : off;
        }
        uint32_t crc = test_crc32(dst, (size_t)w2 * (size_t)h2 * 3);
        if (crc != (uint32_t)golden_get(c, "crc32")->valuedouble) {
            print_error("%s %s %dx%d -> %dx%d: differs from the reference (samples by up to %d)\n", by, filter, w, h,
                        w2, h2, off);
            wrong++;
        }
        base_free(src);
        base_free(dst);
        n++;
    }
    assert_true(n >= 100);
    assert_int_equal(wrong, 0);
    cJSON_Delete(golden);
}

static void test_references(void **state)
{
    (void)state;
    compare_all();
}

/* What runs on other processors. */
static void test_references_narrower(void **state)
{
    (void)state;
    static const char *const tiers[] = {"avx2", "generic"}; /* those that a processor hasn't got fall to the next */
    for (size_t i = 0; i < sizeof tiers / sizeof *tiers; i++) {
        setenv("PAGEREEL_CPU", tiers[i], 1);
        compare_all();
    }
    unsetenv("PAGEREEL_CPU");
}

/* A part of a picture through its stride, and a picture whose sides stay. */
static void test_stride(void **state)
{
    (void)state;
    uint8_t *src = test_picture("photo", 50, 40, 3), part[20 * 10 * 3], packed[20 * 10 * 3], a[9 * 7 * 3], b[9 * 7 * 3];
    for (int y = 0; y < 10; y++)
        memcpy(packed + y * 60, src + ((y + 5) * 50 + 11) * 3, 60);
    const uint8_t *corner = src + (5 * 50 + 11) * 3;
    assert_int_equal(vision_resize(corner, 150, 20, 10, part, 20, 10, RESIZE_LANCZOS, RESIZE_PILLOW), 0);
    assert_memory_equal(part, packed, sizeof part);
    assert_int_equal(vision_resize(corner, 150, 20, 10, a, 9, 7, RESIZE_BICUBIC, RESIZE_TORCH), 0);
    assert_int_equal(vision_resize(packed, 60, 20, 10, b, 9, 7, RESIZE_BICUBIC, RESIZE_TORCH), 0);
    assert_memory_equal(a, b, sizeof a);
    base_free(src);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_references_narrower),
        cmocka_unit_test(test_stride),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
