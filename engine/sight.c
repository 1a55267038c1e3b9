/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What looking at pictures needs of a model: its devices and its vision part, also where its language model isn't open.
 */
#include "engine/model.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* $XDG_CACHE_HOME/pagereel, ~/.cache/pagereel, or NULL. */
static char *default_cache_dir(void)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    struct base_buf path = {0};
    if (cache && *cache == '/')
        base_buf_printf(&path, "%s/pagereel", cache);
    else if (home && *home == '/')
        base_buf_printf(&path, "%s/.cache/pagereel", home);
    return path.data;
}

static bool is_host(const struct device *device)
{
    return !strcmp(device->info.id, "cpu") || !strcmp(device->info.id, "ref");
}

int engine_open_devices(struct pr_model *model, const struct pr_settings *s)
{
    char *cache_dir = *s->cache_dir ? base_strdup(s->cache_dir) : default_cache_dir();
    struct device_options options = {.threads = s->threads,
                                     .memory_limit = (uint64_t)s->gpu_memory,
                                     .cache_dir = cache_dir,
                                     .lose_after = s->lose_device_after};
    int err = compute_device_open(s->device, &options, &model->device);
    base_free(cache_dir);
    if (err < 0)
        return err;
    model->host = model->device;
    if (is_host(model->device))
        return PR_OK;
    model->host = NULL;
    struct device_options host = {.threads = s->threads};
    err = compute_device_open("cpu", &host, &model->host);
    return err < 0 ? compute_device_open("ref", &host, &model->host) : PR_OK;
}

int engine_need_vision(struct pr_model *model)
{
    if (model->vision.encoder)
        return PR_OK;
    return engine_vision_open(&model->vision, model->mmproj, model->path ? model->path : "", model->device, model->host,
                              model->hp, model->tokenizer);
}

int engine_peek_vision(struct pr_model *model)
{
    if (model->vision.gguf)
        return PR_OK;
    return engine_vision_peek(&model->vision, model->mmproj, model->path ? model->path : "", model->hp,
                              model->tokenizer);
}
