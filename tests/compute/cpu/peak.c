/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/cpu/peak.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Numbers that any machine of today lies within. */
static void test_measures(void **state)
{
    (void)state;
    struct device *device;
    struct device_speed speed;
    assert_int_equal(compute_device_open("cpu", NULL, &device), PR_OK);
    assert_int_equal(compute_device_measure(device, &speed), PR_OK);
    assert_true(speed.bandwidth_gb_s > 0.05 && speed.bandwidth_gb_s < 5000);
    assert_true(speed.f32_gflop_s > 0.1 && speed.f32_gflop_s < 1e6);
    assert_true(speed.int8_gop_s == 0 || (speed.int8_gop_s > 0.1 && speed.int8_gop_s < 1e7));
    compute_device_close(device);
}

static void test_ref_measures_nothing(void **state)
{
    (void)state;
    struct device *device;
    struct device_speed speed = {.bandwidth_gb_s = 1};
    assert_int_equal(compute_device_open("ref", NULL, &device), PR_OK);
    assert_int_equal(compute_device_measure(device, &speed), PR_ERR_UNSUPPORTED);
    assert_true(speed.bandwidth_gb_s == 0);
    compute_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measures),
        cmocka_unit_test(test_ref_measures_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
