/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/device.h"
#include "pagereel/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_device_can_be_opened(void **state)
{
    (void)state;
    struct pr_device *devices;
    size_t n, refs = 0;
    assert_int_equal(pr_devices(&devices, &n), PR_OK);
    assert_true(n >= 1);
    for (size_t i = 0; i < n; i++) {
        struct device *device;
        assert_int_equal(compute_device_open(devices[i].id, &(struct device_options){0}, &device), PR_OK);
        assert_string_equal(device->info.id, devices[i].id);
        compute_device_close(device);
        assert_true(*devices[i].name);
        for (size_t f = 0; f < devices[i].n_features; f++)
            assert_true(*devices[i].features[f].name && *devices[i].features[f].why);
        refs += !strcmp(devices[i].id, "ref");
    }
    assert_int_equal(refs, 1);
    assert_string_equal(devices[n - 1].id, "ref"); /* the least wanted */
    pr_free(devices);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_device_can_be_opened)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
