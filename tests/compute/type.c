/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/type.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The value of a half by the definition of IEEE 754: (-1)^s * 2^(e-15) * 1.m, without looking at float bits. */
static double half_value(uint16_t h)
{
    int exponent = h >> 10 & 31, mantissa = h & 0x3ff;
    double magnitude = exponent == 31  ? (mantissa ? NAN : INFINITY)
                       : exponent == 0 ? ldexp(mantissa, -24)
                                       : ldexp(1024 + mantissa, exponent - 25);
    return h & 0x8000 ? -magnitude : magnitude;
}

static void every_half_becomes_its_value(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        double want = half_value((uint16_t)h);
        float got = compute_f16_to_f32((uint16_t)h);
        assert_true(isnan(want) ? isnan(got) : (double)got == want);
        assert_int_equal(signbit(got) != 0, h >> 15);
    }
}

static void every_half_survives_the_way_there_and_back(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        uint16_t back = compute_f32_to_f16(compute_f16_to_f32((uint16_t)h));
        if (isnan(half_value((uint16_t)h)))
            assert_true(isnan(half_value(back)));
        else
            assert_int_equal(back, h);
    }
}

/* Between each two neighbouring halves: the middle goes to the even one, a hair beside it to the nearer one. */
static void rounding_is_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t h = 0; h < 0x7bff; h++) {
        float below = compute_f16_to_f32((uint16_t)h), above = compute_f16_to_f32((uint16_t)(h + 1));
        float middle = (float)(((double)below + above) / 2);
        uint16_t even = (uint16_t)(h % 2 ? h + 1 : h);
        assert_int_equal(compute_f32_to_f16(middle), even);
        assert_int_equal(compute_f32_to_f16(nextafterf(middle, 0)), h);
        assert_int_equal(compute_f32_to_f16(nextafterf(middle, INFINITY)), h + 1);
        assert_int_equal(compute_f32_to_f16(-middle), even | 0x8000);
    }
    assert_int_equal(compute_f32_to_f16(65519.996f), 0x7bff);
    assert_int_equal(compute_f32_to_f16(65520), 0x7c00);
    assert_int_equal(compute_f32_to_f16(3e38f), 0x7c00);
    assert_int_equal(compute_f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(compute_f32_to_f16(1e-45f), 0);
    assert_int_equal(compute_f32_to_f16(-0.0f), 0x8000);
    assert_true(isnan(compute_f16_to_f32(compute_f32_to_f16(NAN))));
}

static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t b = 0; b < 0x7f7f; b++) {
        float below = compute_bf16_to_f32((uint16_t)b), above = compute_bf16_to_f32((uint16_t)(b + 1));
        float middle = (float)(((double)below + above) / 2);
        assert_int_equal(compute_f32_to_bf16(below), b);
        assert_int_equal(compute_f32_to_bf16(middle), b % 2 ? b + 1 : b);
        assert_int_equal(compute_f32_to_bf16(nextafterf(middle, 0)), b);
        assert_int_equal(compute_f32_to_bf16(nextafterf(middle, INFINITY)), b + 1);
    }
    assert_true(isnan(compute_bf16_to_f32(compute_f32_to_bf16(NAN))));
    assert_int_equal(compute_f32_to_bf16(INFINITY), 0x7f80);
    assert_int_equal(compute_f32_to_bf16(3.4e38f), 0x7f80);
}

static void unknown_types_are_refused(void **state)
{
    (void)state;
    assert_null(compute_type(-1));
    assert_null(compute_type(4));
    assert_null(compute_type(9));
    assert_null(compute_type(TYPE_LIMIT));
    assert_null(compute_type(INT32_MAX));
    assert_string_equal(compute_type(TYPE_Q4_K)->name, "Q4_K");
    assert_int_equal(compute_row_bytes(TYPE_Q4_K, 512), 288);
    assert_int_equal(compute_row_bytes(TYPE_F16, 3), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_becomes_its_value), cmocka_unit_test(every_half_survives_the_way_there_and_back),
        cmocka_unit_test(rounding_is_to_nearest_even),  cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(unknown_types_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
