/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Stands in for the cpu backend until it is there: lists no device and says why none can be opened.
 */
#include "compute/backend.h"

static void stub_list(struct device_info *infos, int max, int *n)
{
    (void)infos, (void)max, (void)n;
}

static int stub_open(struct device *device, int index)
{
    (void)device, (void)index;
    return base_fail(PR_ERR_DEVICE, "this pagereel has no cpu backend; use ref");
}

static void stub_close(struct device *device)
{
    (void)device;
}

const struct backend compute_backend_cpu = {
    .name = "cpu",
    .list = stub_list,
    .open = stub_open,
    .close = stub_close,
};
