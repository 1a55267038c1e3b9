/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The seam between the planner (pass.c) and the backends (ref/, cpu/, vk/). Only compute/ includes this.
 */
#pragma once

#include "compute/device.h"
#include "compute/op.h"

/* One recorded operation. Arguments were checked by op.c; backends trust them. */
struct op {
    enum op_kind kind;
    struct tensor *dst;
    struct tensor *src[OP_MAX_SOURCES]; /* in the order of the op_ call's arguments, NULL where optional and absent */
    union {
        float factor; /* scale, softcap */
        float eps;    /* norms */
        enum activation activation;
        struct rope_params rope;
        struct attention_params attention;
        struct patch_params patches;
        struct resample_params resample;
    };
    /* Set by fusion (pass_fuse.c), one of them, where the backend's fuses() allows it: */
    struct tensor *addend; /* matmul: [n, m], added to the product after the bias; NULL: none */
    struct tensor *gate;   /* matmul: a second weight [m, k]: activation(x . gate^T) * (x . w^T); NULL: none */
    struct tensor
        *cells; /* rope: ids [1, n]: row i goes to row ids[i] of dst, a state, as scatter does it; NULL: none */

    /* Set by the planner: */
    struct device *device;
    size_t scratch_offset, scratch_size; /* in the device's arena; what the backend's scratch() asked for */
    /* Reads or overwrites what an earlier operation of the same part, since the last barrier, wrote or read. */
    bool barrier;
};

/* A tensor that enters or leaves a part through host memory: inputs and outputs of the pass, and what a COPY moves from one
 * device to another. */
struct part_io {
    struct tensor *tensor; /* whole, in the part's arena */
    void *host;            /* where the host writes (in) or reads (out) it */
};

/* A run of operations on one device, with the arena that they share. The arena buffer holds every activation of that
 * device, inputs, outputs and scratch too.
 *
 * Where the arena can be touched by the host (arena->host), every part_io.host already points into it. Elsewhere it is NULL and
 * prepare() sets it to memory of its own, zeroed, which lasts until discard(); run() then brings all of `in` to the arena before
 * the first operation and all of `out` back after the last one. */
struct part {
    struct device *device;
    struct op *const *ops; /* no COPY (pass.c does it, between parts, through part_io.host) */
    int n_ops;
    struct buffer *arena; /* NULL when nothing needs it */
    struct part_io *in, *out;
    int n_in, n_out;
    void *priv; /* what prepare() made */
};

struct backend {
    const char *name; /* "ref", "cpu", "vulkan" */
    bool host;        /* buffers are ordinary host memory: tensors can be touched by pointer */

    /* Appends its devices to infos[*n..max); counts on past max. */
    void (*list)(struct device_info *infos, int max, int *n);
    /* Fills device->info and device->priv. `index` is N of "vulkan:N". */
    int (*open)(struct device *device, int index);
    void (*close)(struct device *device);

    /* NULL: compute/device.c does it with host memory. Sizes and limits are checked and counted by device.c. */
    int (*buffer_create)(struct device *device, size_t size, struct buffer *buffer);
    void (*buffer_destroy)(struct buffer *buffer);
    int (*buffer_write)(struct buffer *buffer, size_t offset, const void *from, size_t size);
    int (*buffer_read)(struct buffer *buffer, size_t offset, void *to, size_t size);

    /* (optional) Whether the device may read this weight where it lies in host memory. pack() then sees to it and sets
     * weight->packed, which takes no bytes of the device; if that fails after all, the weight is uploaded. */
    bool (*reads_in_place)(struct device *device, const struct tensor *weight);
    /* (optional) Another arrangement of a weight. packed_size() returns the bytes that it takes, 0 for none; device.c counts
     * them. pack() reads the weight from host memory (compute_tensor_data) and sets weight->packed. A device that isn't the
     * host then gets no copy of the plain rows. */
    size_t (*packed_size)(struct device *device, const struct tensor *weight);
    int (*pack)(struct device *device, struct tensor *weight);
    void (*unpack)(struct device *device, struct tensor *weight);

    /* (optional, NULL: everything) Whether an operation with these types and shapes can run here. */
    bool (*supports)(struct device *device, const struct op *op);
    /* (optional, NULL: never) Whether this operation, in which fusion has set one of its fields, can run here. */
    bool (*fuses)(struct device *device, const struct op *op);
    /* (optional) Scratch bytes of the arena that an operation needs while it runs. */
    size_t (*scratch)(struct device *device, const struct op *op);
    /* (optional) Records a part; tensors have their places by now. */
    int (*prepare)(struct part *part);
    /* Runs a part and waits. */
    int (*run)(struct part *part, const struct base_cancel *cancel);
    /* (optional) Frees part->priv, which is NULL when prepare() failed or wasn't reached. */
    void (*discard)(struct part *part);
    /* (optional) compute_device_measure() */
    int (*measure)(struct device *device, struct device_speed *out);
};

extern const struct backend compute_backend_ref, compute_backend_cpu, compute_backend_vk;

/* Where a tensor of a host backend lies. */
static inline void *compute_tensor_data(const struct tensor *t)
{
    return (char *)t->buffer->host + t->offset;
}
