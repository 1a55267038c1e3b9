/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/farthest.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 200, D = 24 };
static float rows[N * D];
static unsigned seed;

static float noise(void)
{
    seed = seed * 1103515245 + 12345;
    return (float)((seed >> 8) & 0xffff) / 32768 - 1;
}

static void fill(unsigned with)
{
    seed = with;
    for (int i = 0; i < N * D; i++)
        rows[i] = noise();
}

static double distance(size_t a, size_t b)
{
    double ab = 0, aa = 0, bb = 0;
    for (int i = 0; i < D; i++) {
        ab += (double)rows[a * D + (size_t)i] * rows[b * D + (size_t)i];
        aa += (double)rows[a * D + (size_t)i] * rows[a * D + (size_t)i];
        bb += (double)rows[b * D + (size_t)i] * rows[b * D + (size_t)i];
    }
    return sqrt(fmax(0, 2 - 2 * ab / sqrt(aa * bb)));
}

/* How far the farthest row lies from the first k of an order. */
static double cover(const uint32_t *order, size_t k)
{
    double farthest = 0;
    for (size_t i = 0; i < N; i++) {
        double nearest = 2;
        for (size_t j = 0; j < k; j++)
            nearest = fmin(nearest, distance(i, order[j]));
        farthest = fmax(farthest, nearest);
    }
    return farthest;
}

/* Every beginning is the shorter order; radii say truly what it leaves uncovered, and shrink. */
static void test_prefixes(void **state)
{
    (void)state;
    uint32_t all[N], some[N];
    float radius[N], same[N];
    fill(1);
    assert_int_equal(memory_farthest_order(rows, N, D, N, 0, 0, all, radius), N);
    for (size_t k = 1; k < N; k += 7) {
        assert_int_equal(memory_farthest_order(rows, N, D, k, 0, 0, some, same), k);
        assert_memory_equal(some, all, k * sizeof *some);
        assert_true(fabs(cover(all, k) - radius[k]) < 1e-3);
        assert_true(radius[k] <= radius[k - 1]);
    }
    assert_true(radius[0] == 2);
}

/* Greedy is at most twice the best possible: five tight clusters are met by the first five rows. */
static void test_clusters(void **state)
{
    (void)state;
    uint32_t order[N];
    float radius[N];
    fill(2);
    for (size_t i = 5; i < N; i++)
        for (size_t j = 0; j < D; j++)
            rows[i * D + j] = rows[i % 5 * D + j] * 3 + 0.01f * noise();
    assert_int_equal(memory_farthest_order(rows, N, D, N, 0, 0.1f, order, radius), 5);
    assert_true(cover(order, 5) < 0.1);
}

/* What is chosen already stays, and the rest is chosen around it. */
static void test_given(void **state)
{
    (void)state;
    uint32_t order[10] = {17, 3, 99};
    float radius[10];
    fill(3);
    assert_int_equal(memory_farthest_order(rows, N, D, 10, 3, 0, order, radius), 10);
    assert_true(order[0] == 17 && order[1] == 3 && order[2] == 99);
    for (size_t i = 3; i < 10; i++) {
        assert_true(fabs(cover(order, i) - radius[i]) < 1e-3);
        for (size_t j = 0; j < i; j++)
            assert_true(order[i] != order[j]);
    }
    memset(rows, 0, sizeof rows); /* nothing to tell them apart by, and nothing to divide by */
    assert_int_equal(memory_farthest_order(rows, N, D, 5, 0, 0, order, radius), 5);
    assert_true(isfinite(radius[4]));
    assert_int_equal(memory_farthest_order(rows, 0, D, 5, 0, 0, order, radius), 0);
}

/* Least informative first: a still segment loses its tail before one in which much happens; none goes below 8. */
static void test_tails(void **state)
{
    (void)state;
    float still[200], lively[200], few[5] = {2, 1, 1, 1, 1};
    for (int i = 0; i < 200; i++) {
        still[i] = 0.5f / (float)(i + 1);
        lively[i] = 2.0f / (float)sqrt(i + 1);
    }
    const float *const radius[] = {still, lively, few};
    uint32_t n[] = {200, 200, 5};
    assert_int_equal(memory_drop_tails(radius, NULL, n, 3, 1000), 405);
    assert_int_equal(memory_drop_tails(radius, NULL, n, 3, 230), 229);
    assert_true(n[0] < 40 && n[0] >= 8 && n[1] > 160 && n[2] == 5);
    assert_true(still[n[0] - 16] > 0); /* all that went says less than all that stayed */
    assert_true(lively[n[1] - 16] > still[n[0]]);
    const float old[] = {1, 0.001f, 1};
    n[0] = n[1] = 200;
    memory_drop_tails(radius, old, n, 3, 230);
    assert_true(n[1] < n[0]);
    assert_int_equal(memory_drop_tails(radius, NULL, n, 3, 0), 8 + 8 + 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_clusters),
        cmocka_unit_test(test_given),
        cmocka_unit_test(test_tails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
