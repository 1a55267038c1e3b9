/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Distances of sketches beside those of the rows, far and near, also where a few columns are much larger than the rest (as in the
 * outputs of projectors).
 */
#include "memory/sketch.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { D = 1536, N = 40 };

static float rows[N][D], sketches[N][SKETCH_WIDTH];
static unsigned seed = 3;

static float noise(void)
{
    float sum = 0;
    for (int i = 0; i < 6; i++) {
        seed = seed * 1103515245 + 12345;
        sum += (float)((seed >> 8) & 0xffff) / 65536 - 0.5f;
    }
    return sum * 1.414f;
}

static double distance(const float *a, const float *b, size_t d)
{
    double ab = memory_dot(a, b, d), aa = memory_dot(a, a, d), bb = memory_dot(b, b, d);
    return sqrt(2 - 2 * ab / sqrt(aa * bb));
}

/* Pairs from nearly alike to unrelated. *worst: the largest relative error; *mean: their mean. */
static void compare(float large, double *worst, double *mean)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++)
            rows[i][j] = i % 2 ? rows[i - 1][j] + 0.05f * (float)i * noise() : noise() * (j % 200 == 7 ? large : 1);
    memory_sketch(rows[0], N, D, sketches[0]);
    *worst = *mean = 0;
    for (int i = 0; i < N; i += 2) {
        double is = distance(sketches[i], sketches[i + 1], SKETCH_WIDTH), should = distance(rows[i], rows[i + 1], D);
        *worst = fmax(*worst, fabs(is / should - 1));
        *mean += fabs(is / should - 1) / (N / 2);
    }
}

static void test_distances(void **state)
{
    (void)state;
    double worst, mean;
    compare(1, &worst, &mean);
    assert_true(worst < 0.25 && mean < 0.1);
    compare(10, &worst, &mean);
    assert_true(worst < 0.5 && mean < 0.15);
}

static void test_short_and_odd(void **state)
{
    (void)state;
    float row[3] = {3, 0, 4}, out[3];
    memory_sketch(row, 1, 3, out);
    assert_true(fabsf(out[0] - 0.6f) < 1e-6f && out[1] == 0 && fabsf(out[2] - 0.8f) < 1e-6f);
    row[1] = INFINITY;
    memory_sketch(row, 1, 3, out);
    assert_true(out[0] == 0 && out[1] == 0 && out[2] == 0);
    for (int j = 0; j < D; j++)
        rows[0][j] = 0;
    memory_sketch(rows[0], 1, D, sketches[0]);
    for (int j = 0; j < SKETCH_WIDTH; j++)
        assert_true(sketches[0][j] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_distances), cmocka_unit_test(test_short_and_odd)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
