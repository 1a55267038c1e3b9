/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the device can do at the most, measured with the means that kernels have.
 */
#include "compute/vk/vk.h"
#include "shaders/include/push.h"

enum { LANES = 64, FETCHES = 64, TURNS = 4096, SUMS = 16 };
static const size_t READ_BYTES = (size_t)64 << 20;

struct task {
    const struct vk_memory *memory, *result;
    int64_t groups;
};

static void record_read(struct vk_recorder *recorder, const void *arg)
{
    const struct task *task = arg;
    struct push_measure push = {FETCHES};
    struct vk_dispatch d = vk_begin(recorder, SHADER_measure_read, LANES);
    vk_bind_storage(&d, 0, task->result->buffer, 0, 16, 4);
    vk_bind_texels(&d, 1, task->memory->buffer, 0, READ_BYTES, VK_FORMAT_R32G32B32A32_UINT);
    vk_end_linear(&d, &push, sizeof push, task->groups);
}

static void record_fma(struct vk_recorder *recorder, const void *arg)
{
    const struct task *task = arg;
    struct push_measure push = {TURNS};
    struct vk_dispatch d = vk_begin(recorder, SHADER_measure_fma, LANES);
    vk_bind_storage(&d, 0, task->result->buffer, 0, 16, 4);
    vk_end_linear(&d, &push, sizeof push, task->groups);
}

int vk_measure(struct device *device, struct device_speed *out)
{
    struct vk *vk = vk_of(device);
    struct vk_memory memory = {0}, result = {0};
    struct task task = {&memory, &result, 0};
    double seconds = 0;
    int err;
    *out = (struct device_speed){0};
    TRY(vk_memory_create(vk, READ_BYTES, false, &memory));
    TRY(vk_memory_create(vk, 16, false, &result));
    task.groups = (int64_t)(READ_BYTES / (16 * FETCHES * LANES));
    TRY(vk_time(vk, record_read, &task, &seconds));
    out->bandwidth_gb_s = (double)READ_BYTES / seconds * 1e-9;
    task.groups = vk->units * 2;
    TRY(vk_time(vk, record_fma, &task, &seconds));
    out->f32_gflop_s = 2.0 * SUMS * TURNS * LANES * (double)task.groups / seconds * 1e-9;
fail:
    vk_memory_destroy(vk, &memory);
    vk_memory_destroy(vk, &result);
    return err;
}
