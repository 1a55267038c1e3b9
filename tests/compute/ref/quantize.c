/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/ref/ref.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Quantises a block and gives back what it then stands for. */
static uint16_t round_trip(const float *x, float *y)
{
    uint8_t block[34];
    uint16_t scale;
    ref_quantize(TYPE_Q8_0, x, block, 32);
    ref_dequantize(TYPE_Q8_0, block, y, 32);
    memcpy(&scale, block, sizeof scale);
    return scale;
}

static void elements_are_half_a_step_away_at_most(void **state)
{
    (void)state;
    float x[32], y[32];
    uint32_t seed = 1;
    for (int turn = 0; turn < 10000; turn++) {
        double peak = 0; /* 2^-7 or more: the scale is a normal half */
        for (int i = 0; i < 32; i++) {
            seed = seed * 1664525 + 1013904223;
            x[i] = ldexpf((float)(int32_t)seed, -31 - turn % 6);
            peak = fmax(peak, fabsf(x[i]));
        }
        double scale = compute_f16_to_f32(round_trip(x, y));
        assert_true(fabs(scale * 127 - peak) <= peak * 0x1p-11);
        for (int i = 0; i < 32; i++)
            assert_true(fabs((double)y[i] - x[i]) <= scale * 0.5 + fabsf(x[i]) * 0x1p-10);
    }
}

static void what_was_quantised_stays(void **state)
{
    (void)state;
    float x[32], y[32], z[32];
    uint32_t seed = 5;
    for (int turn = 0; turn < 1000; turn++) {
        for (int i = 0; i < 32; i++) {
            seed = seed * 1664525 + 1013904223;
            x[i] = (float)(int32_t)seed * 0x1p-31f;
        }
        round_trip(x, y);
        round_trip(y, z);
        assert_memory_equal(y, z, sizeof y);
    }
}

static void extremes_give_numbers(void **state)
{
    (void)state;
    float x[32] = {0}, y[32];
    assert_int_equal(round_trip(x, y), 0);
    x[3] = 1e-40f; /* a scale below the smallest half */
    assert_int_equal(round_trip(x, y), 0);
    assert_true(y[3] == 0);
    x[3] = -127;
    x[4] = 0.5f; /* the middle between two steps goes away from zero */
    x[5] = -0.5f;
    x[6] = 0.499f;
    round_trip(x, y);
    assert_true(y[3] == -127 && y[4] == 1 && y[5] == -1 && y[6] == 0);
    x[3] = 3e38f; /* a scale above the largest half */
    x[4] = -3e38f;
    assert_int_equal(round_trip(x, y), 0x7bff);
    assert_true(y[3] == 65504.f * 127 && y[4] == -65504.f * 127);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_are_half_a_step_away_at_most),
        cmocka_unit_test(what_was_quantised_stays),
        cmocka_unit_test(extremes_give_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
