/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Stands in for the Vulkan backend in builds without it: lists no device and says why none can be opened.
 */
#include "compute/backend.h"

static void stub_list(struct device_info *infos, int max, int *n)
{
    (void)infos, (void)max, (void)n;
}

static int stub_open(struct device *device, int index)
{
    (void)device, (void)index;
    return base_fail(PR_ERR_DEVICE, "this pagereel was built without Vulkan; build it with -Dvulkan=enabled");
}

static void stub_close(struct device *device)
{
    (void)device;
}

const struct backend compute_backend_vk = {
    .name = "vulkan",
    .list = stub_list,
    .open = stub_open,
    .close = stub_close,
};
