/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Thresholds on made-up features of which it is known how like unrelated ones are, and how noisy.
 */
#include "memory/calibrate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 64, D = 256, STEPS = 130 };
static float rows[N][D], before[N][D], things[N][D];
static unsigned seed = 11;

static float noise(void)
{
    float sum = 0;
    for (int i = 0; i < 6; i++) {
        seed = seed * 1103515245 + 12345;
        sum += (float)((seed >> 8) & 0xffff) / 65536 - 0.5f;
    }
    return sum * 1.414f;
}

/* Tokens that share a part of length `common`, and change by `shake` from step to step; a third of them moves. */
static struct compress_options calibrate(float common, float shake)
{
    struct calibration c = {0};
    struct compress_options options = memory_compress_default();
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            things[i][j] = noise() + common;
    for (int s = 0; s < STEPS; s++) {
        memcpy(before, rows, sizeof rows);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < D; j++)
                rows[i][j] = things[i % 3 ? i : (i + s) % N][j] + shake * noise();
        memory_calibrate(&c, rows[0], s ? before[0] : NULL, N, D);
    }
    assert_int_equal(c.steps, STEPS);
    struct thresholds t = memory_calibration_result(&c);
    float expected = common * common / (1 + common * common + shake * shake);
    assert_true(fabsf(t.unrelated - expected) < 0.06f);
    memory_thresholds_apply(&t, &options);
    return options;
}

static void test_unrelated(void **state)
{
    (void)state;
    struct compress_options plain = calibrate(0, 0.05f), narrow = calibrate(1.5f, 0.05f);
    assert_true(fabsf(plain.link - 0.8f) < 0.03f && fabsf(plain.anchor - 0.7f) < 0.03f);
    assert_true(narrow.link > 0.9f && narrow.anchor > 0.85f && narrow.link > narrow.anchor && narrow.link < 1);
}

static void test_noise(void **state)
{
    (void)state;
    struct compress_options quiet = calibrate(0, 0.01f), loud = calibrate(0, 0.15f);
    assert_true(quiet.same < 0.05f && loud.same > 0.15f);
    assert_true(loud.same <= 0.5f * sqrtf(2 - 2 * loud.link) + 1e-6f); /* still less than what is only alike */
}

static void test_nothing(void **state)
{
    (void)state;
    struct compress_options options = memory_compress_default();
    memory_thresholds_apply(&(struct thresholds){NAN, INFINITY}, &options);
    assert_true(isfinite(options.link) && isfinite(options.anchor) && options.same > 0);
}

static void test_file(void **state)
{
    (void)state;
    char path[] = "/tmp/pagereel-calibration-XXXXXX";
    struct thresholds in = {0.25f, 0.125f}, out = {0};
    close(mkstemp(path));
    assert_false(memory_thresholds_read(path, &out)); /* empty */
    assert_true(memory_thresholds_write(path, &in));
    assert_true(memory_thresholds_read(path, &out));
    assert_true(out.unrelated == in.unrelated && out.noise == in.noise);
    FILE *file = fopen(path, "r+b");
    fseek(file, 9, SEEK_SET);
    fputc(1, file);
    fclose(file);
    assert_false(memory_thresholds_read(path, &out)); /* damaged */
    unlink(path);
    assert_false(memory_thresholds_read(path, &out));
    assert_false(memory_thresholds_write("/nowhere/at/all", &in));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_unrelated), cmocka_unit_test(test_noise),
                                       cmocka_unit_test(test_nothing), cmocka_unit_test(test_file)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
