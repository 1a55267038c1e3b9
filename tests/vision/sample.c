/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vision/sample.h"

#include "base/mem.h"
#include "tests/support/golden_json.h"
#include "tests/vision/pictures.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void check(const char *name, const struct vision_family *family)
{
    char path[64];
    snprintf(path, sizeof path, "tests/golden/vision/%s.videos.json", name);
    cJSON *golden = golden_json(path);
    const cJSON *c;
    int n_cases = 0;
    int64_t *frames = base_alloc_array((size_t)family->max_frames, sizeof *frames);
    int32_t *narrow = base_alloc_array((size_t)family->max_frames, sizeof *narrow);
    cJSON_ArrayForEach(c, golden_get(golden, "sampling"))
    {
        double fps = golden_get(c, "fps")->valuedouble;
        int64_t total = (int64_t)golden_get(c, "total")->valuedouble;
        int32_t n = family->sample(family, total, fps, frames), i = 0;
        if (n != golden_get(c, "n")->valueint)
            fail_msg("%s: %d frames of %d, the processor takes %d", name, (int)n, (int)total,
                     golden_get(c, "n")->valueint);
        const cJSON *want;
        cJSON_ArrayForEach(want, golden_get(c, "frames"))
        {
            if (frames[i] != want->valueint)
                fail_msg("%s: frame %d of %d at %g is %d, not %d", name, (int)i, (int)total, fps, (int)frames[i],
                         want->valueint);
            i++;
        }
        for (i = 0; i < n; i++)
            narrow[i] = (int32_t)frames[i];
        assert_int_equal(test_crc32((const uint8_t *)narrow, (size_t)n * sizeof *narrow),
                         (uint32_t)golden_get(c, "crc32")->valuedouble);
        n_cases++;
    }
    assert_true(n_cases > 5);
    base_free(frames);
    base_free(narrow);
    cJSON_Delete(golden);
}

static void test_processors(void **state)
{
    (void)state;
    check("idefics3", &vision_family_idefics3);
    check("internvl", &vision_family_internvl);
    check("qwen2vl", &vision_family_qwen2vl);
    check("qwen2.5vl", &vision_family_qwen25vl);
    check("qwen3vl", &vision_family_qwen3vl);
}

static void test_one_frame(void **state)
{
    (void)state;
    static const struct vision_family qwen = {.fps = 2, .min_frames = 4, .max_frames = 768};
    int64_t frames[768];
    assert_int_equal(vision_qwen2vl_sample(&qwen, 1, 30, frames), 1);
    assert_int_equal(frames[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_processors), cmocka_unit_test(test_one_frame)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
