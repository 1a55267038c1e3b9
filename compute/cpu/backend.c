/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The device "cpu": SIMD kernels chosen by what the processor can do, run by the thread pool.
 */
#include "base/mem.h"
#include "compute/cpu/feature.h"
#include "compute/cpu/huge.h"
#include "compute/cpu/peak.h"
#include "compute/cpu/plan.h"
#include "compute/pool.h"

#include <stdio.h>
#include <unistd.h>

struct cpu_device {
    const struct cpu_kernels *kernels;
    int n_threads;
    struct cpu_huge weights, buffers; /* apart, since weights stay and passes come and go */
};

static void describe(const struct cpu_features *features, const struct cpu_kernels *kernels, struct device_info *info)
{
    *info = (struct device_info){.id = "cpu"};
    snprintf(info->name, sizeof info->name, "%s", features->name);
    snprintf(info->driver, sizeof info->driver, "pagereel, %s kernels", kernels->name);
    info->memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    cpu_describe_features(features, kernels, info);
}

static void cpu_list(struct device_info *infos, int max, int *n)
{
    struct cpu_features features;
    const struct cpu_kernels *kernels;
    cpu_features_read(&features);
    if (cpu_choose_kernels(&features, &kernels) < 0)
        kernels = &cpu_kernels_generic; /* a wrong PAGEREEL_CPU is told when the device is opened */
    if (*n < max)
        describe(&features, kernels, &infos[*n]);
    ++*n;
}

static int cpu_open(struct device *device, int index)
{
    (void)index;
    struct cpu_features features;
    const struct cpu_kernels *kernels;
    cpu_features_read(&features);
    int err = cpu_choose_kernels(&features, &kernels);
    if (err < 0)
        return err;
    struct cpu_device *cpu = base_alloc(sizeof *cpu);
    cpu->kernels = kernels;
    cpu->n_threads = device->options.threads > 0 ? device->options.threads : compute_pool_cores();
    if (cpu->n_threads > POOL_MAX_THREADS)
        cpu->n_threads = POOL_MAX_THREADS;
    describe(&features, kernels, &device->info);
    device->priv = cpu;
    compute_pool_hold();
    return PR_OK;
}

static void cpu_close(struct device *device)
{
    compute_pool_release();
    base_free(device->priv);
}

/* ---- buffers ------------------------------------------------------------------------------------------------------- */

static int cpu_buffer_create(struct device *device, size_t size, struct buffer *buffer)
{
    struct cpu_device *cpu = device->priv;
    buffer->host = cpu_huge_alloc(&cpu->buffers, size);
    if (!buffer->host)
        return base_fail(PR_ERR_NOMEM, "cpu: the system hasn't got %zu bytes of memory; use a smaller context or model",
                         size);
    return PR_OK;
}

static void cpu_buffer_destroy(struct buffer *buffer)
{
    struct cpu_device *cpu = buffer->device->priv;
    cpu_huge_free(&cpu->buffers, buffer->host, buffer->size);
}

/* ---- weights ------------------------------------------------------------------------------------------------------- */

static int64_t group_count(const struct tensor *weight)
{
    return (weight->rows + PACK_ROWS - 1) / PACK_ROWS;
}

static size_t cpu_packed_size(struct device *device, const struct tensor *weight)
{
    (void)device;
    if (weight->rows == 1) /* vectors of norms and biases stay where they are */
        return 0;
    return (size_t)group_count(weight) * cpu_group_bytes(weight->type, weight->cols);
}

struct pack_job {
    const struct tensor *weight;
    char *out;
};

static void pack_share(void *arg, int thread, int n)
{
    const struct pack_job *job = arg;
    int64_t groups = group_count(job->weight);
    size_t bytes = cpu_group_bytes(job->weight->type, job->weight->cols);
    for (int64_t g = groups * thread / n; g < groups * (thread + 1) / n; g++)
        cpu_pack_group(job->weight, g, job->out + (size_t)g * bytes);
}

static int cpu_pack(struct device *device, struct tensor *weight)
{
    struct cpu_device *cpu = device->priv;
    size_t size = cpu_packed_size(device, weight);
    struct pack_job job = {weight, cpu_huge_alloc(&cpu->weights, size)};
    if (!job.out)
        return base_fail(PR_ERR_NOMEM, "the system hasn't got %zu bytes of memory for the repacked weight", size);
    compute_pool_run(cpu->n_threads, pack_share, &job);
    weight->packed = job.out;
    return PR_OK;
}

static void cpu_unpack(struct device *device, struct tensor *weight)
{
    struct cpu_device *cpu = device->priv;
    cpu_huge_free(&cpu->weights, weight->packed, weight->packed_size);
}

/* ---- parts --------------------------------------------------------------------------------------------------------- */

static size_t cpu_scratch(struct device *device, const struct op *op)
{
    (void)device;
    return cpu_plan_scratch(op);
}

static int cpu_prepare(struct part *part)
{
    const struct cpu_device *cpu = part->device->priv;
    struct cpu_plan *plan = NULL;
    int err = cpu_plan_create(part, cpu->kernels, cpu->n_threads, &plan);
    part->priv = plan;
    return err;
}

static int cpu_run(struct part *part, const struct base_cancel *cancel)
{
    return cpu_plan_run(part->priv, cancel);
}

static void cpu_discard(struct part *part)
{
    cpu_plan_destroy(part->priv);
}

static int cpu_measure_device(struct device *device, struct device_speed *out)
{
    const struct cpu_device *cpu = device->priv;
    return cpu_measure(cpu->kernels, cpu->n_threads, out);
}

static bool fuses(struct device *device, const struct op *op)
{
    (void)device;
    return op->addend != NULL;
}

const struct backend compute_backend_cpu = {
    .name = "cpu",
    .host = true,
    .list = cpu_list,
    .open = cpu_open,
    .close = cpu_close,
    .buffer_create = cpu_buffer_create,
    .buffer_destroy = cpu_buffer_destroy,
    .packed_size = cpu_packed_size,
    .pack = cpu_pack,
    .unpack = cpu_unpack,
    .scratch = cpu_scratch,
    .prepare = cpu_prepare,
    .fuses = fuses,
    .run = cpu_run,
    .discard = cpu_discard,
    .measure = cpu_measure_device,
};
