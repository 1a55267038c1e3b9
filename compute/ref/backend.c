/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The device "ref": runs the definitions, one after the other, in one thread.
 */
#include "compute/ref/ref.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void (*const kernels[OP_COUNT])(const struct op *, void *) = {
#define KERNEL(name, sources) [OP_##name] = ref_##name,
#include "compute/kernels.def"
#undef KERNEL
};

void ref_compute(const struct op *op, void *scratch)
{
    kernels[op->kind](op, scratch);
}

size_t ref_scratch(const struct op *op)
{
    if (op->kind == OP_matmul)
        return (size_t)op->src[0]->cols * sizeof(float); /* a row of weights */
    if (op->kind == OP_attention)                        /* a key, a value, the sums */
        return (size_t)op->attention.d_head * sizeof(float) +
               (size_t)op->attention.d_value * (sizeof(float) + sizeof(double)) + sizeof(double);
    return 0;
}

/* ---- loading and storing rows ------------------------------------------------------------------------------------------- */

void ref_load(const struct tensor *t, int64_t r, int64_t first, int64_t n, float *out)
{
    ref_dequantize(t->type, ref_row(t, r) + compute_row_bytes(t->type, first), out, n);
}

float ref_at(const struct tensor *t, int64_t r, int64_t c)
{
    const char *row = ref_row(t, r);
    return t->type == TYPE_F16 ? compute_f16_to_f32(((const uint16_t *)row)[c]) : ((const float *)row)[c];
}

/* ---- the device --------------------------------------------------------------------------------------------------------- */

static void ref_describe(struct device_info *info)
{
    *info = (struct device_info){.id = "ref", .name = "definitions in plain C, slow", .driver = "pagereel"};
    info->memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void ref_list(struct device_info *infos, int max, int *n)
{
    if (*n < max)
        ref_describe(&infos[*n]);
    ++*n;
}

static int ref_open(struct device *device, int index)
{
    (void)index;
    ref_describe(&device->info);
    return PR_OK;
}

static void ref_close(struct device *device)
{
    (void)device;
}

static size_t ref_scratch_of(struct device *device, const struct op *op)
{
    (void)device;
    return ref_scratch(op);
}

static int ref_run(struct part *part, const struct base_cancel *cancel)
{
    for (int i = 0; i < part->n_ops; i++) {
        const struct op *op = part->ops[i];
        if (base_cancelled(cancel))
            return base_fail(PR_ERR_CANCELLED, "stopped on request");
        ref_compute(op, op->scratch_size ? (char *)part->arena->host + op->scratch_offset : NULL);
    }
    return PR_OK;
}

static bool fuses(struct device *device, const struct op *op)
{
    (void)device;
    return op->addend != NULL;
}

const struct backend compute_backend_ref = {
    .name = "ref",
    .host = true,
    .list = ref_list,
    .open = ref_open,
    .close = ref_close,
    .scratch = ref_scratch_of,
    .fuses = fuses,
    .run = ref_run,
};
