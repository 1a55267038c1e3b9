/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What tests of the Vulkan backend share: a device, or a reason to skip, and a small product to run on it.
 */
#pragma once

#include "base/mem.h"
#include "compute/pass.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Opens vulkan:0 with `assumed` (PAGEREEL_VK_ASSUME of compute/vk/vk.h, "" for the device as it is); skips the test without
 * a device. */
static inline struct device *open_vulkan(const char *assumed, const struct device_options *options)
{
    struct device *device;
    setenv("PAGEREEL_VK_ASSUME", assumed, 1);
    int err = compute_device_open("vulkan:0", options, &device);
    unsetenv("PAGEREEL_VK_ASSUME");
    if (err == PR_ERR_NOT_FOUND) {
        print_message("skipped: no Vulkan device here\n");
        skip();
    }
    assert_int_equal(err, PR_OK);
    return device;
}

/* Numbers in [-1, 1) that differ from place to place. */
static inline float number(int64_t i)
{
    return (float)((uint32_t)(i * 2654435761u) >> 8) / (float)(1 << 23) - 1;
}

static inline void fill(float *out, int64_t n, int64_t first)
{
    for (int64_t i = 0; i < n; i++)
        out[i] = number(first + i);
}
