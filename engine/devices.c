/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/mem.h"
#include "compute/device.h"
#include "pagereel/model.h"

#include <string.h>

enum { MAX_DEVICES = 16 };

/* The list with everything that it points to, as one block. */
struct block {
    struct pr_device devices[MAX_DEVICES];
    struct pr_feature features[MAX_DEVICES][DEVICE_FEATURES_MAX];
    struct device_info infos[MAX_DEVICES];
};

int pr_devices(struct pr_device **out, size_t *n)
{
    int count = 0;
    struct block *b = base_alloc(sizeof *b);
    int err = compute_device_list(b->infos, MAX_DEVICES, &count);
    if (err < 0) {
        base_free(b);
        return err;
    }
    if (count > MAX_DEVICES)
        count = MAX_DEVICES;
    for (int i = 0; i < count; i++) {
        const struct device_info *info = &b->infos[i];
        b->devices[i] = (struct pr_device){.id = info->id,
                                           .name = info->name,
                                           .driver = info->driver,
                                           .software = info->software,
                                           .memory = info->memory,
                                           .features = b->features[i],
                                           .n_features = (size_t)info->n_features};
        for (int f = 0; f < info->n_features; f++)
            b->features[i][f] =
                (struct pr_feature){info->features[f].name, info->features[f].used, info->features[f].why};
    }
    *out = b->devices; /* the block begins with it */
    *n = (size_t)count;
    return PR_OK;
}
