/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Devices that compute: "ref" (the definition of every operation, plain C), "cpu" (SIMD and threads) and "vulkan:N".
 */
#pragma once

#include "base/cancel.h"
#include "base/error.h"
#include "compute/tensor.h"

struct backend; /* compute/backend.h; only compute/ sees inside */

/* One line of `pagereel devices`: something the hardware or driver may offer. */
struct device_feature {
    const char *name; /* "integer dot product" */
    bool used;
    char why[120]; /* why it is used or not */
};

enum { DEVICE_FEATURES_MAX = 24 };

struct device_info {
    char id[24];    /* what compute_device_open() takes: "cpu", "vulkan:0", "ref" */
    char name[128]; /* "AMD Radeon RX 7800 XT (RADV NAVI32)" */
    char driver[128];
    bool software;   /* a CPU that plays a GPU (llvmpipe); never chosen by "auto" */
    uint64_t memory; /* bytes that models can use; 0: unknown */
    struct device_feature features[DEVICE_FEATURES_MAX];
    int n_features;
};

struct device_options {
    int threads; /* of the cpu backend; 0: one for each physical core */
    uint64_t
        memory_limit; /* bytes that buffers of this device may take in all; 0: what the machine has (ref, cpu), no limit of ours (others) */
    const char *cache_dir; /* where pipelines are kept between runs; NULL: nowhere */
    int64_t lose_after;    /* fault injection for tests: the device is lost at its Nth run of a part; 0: never */
};

struct device {
    const struct backend *backend;
    struct device_info info;
    struct device_options options;
    uint64_t allocated, peak; /* bytes in buffers and packed weights now, and at the most so far */
    int64_t runs;             /* parts that were run so far (see lose_after) */
    void *priv;               /* the backend's own */
};

/* Describes at most `max` devices in order of preference (hardware GPUs, cpu, software GPUs, ref); *n is how many there
 * are. Never fails for lack of a GPU. Not thread-safe. */
int compute_device_list(struct device_info *infos, int max, int *n);

/* Opens a device by id: "auto" (the first hardware GPU, else cpu), "cpu", "vulkan" (the first of them, software included),
 * "vulkan:N", "ref". On success the caller owns *out and closes it after every buffer and pass on it.
 * PR_ERR_NOT_FOUND: no such device (the message lists those that are there); PR_ERR_DEVICE: it can't be opened. */
int compute_device_open(const char *id, const struct device_options *options, struct device **out);
void compute_device_close(struct device *device); /* takes NULL */

/* Memory of a device, zeroed, aligned to 64 bytes at least. The caller owns *out.
 * PR_ERR_NOMEM: the device hasn't got it, or its memory_limit is reached; the message tells how much was asked for. */
int compute_buffer_create(struct device *device, size_t size, struct buffer **out);
void compute_buffer_destroy(struct buffer *buffer); /* takes NULL */

/* Makes a host buffer of `device` (a ref or cpu device) out of memory that stays the caller's, such as a mapped file. */
int compute_buffer_wrap(struct device *device, const void *memory, size_t size, struct buffer **out);

/* Copies between host memory and a buffer; waits until done. The range lies inside the buffer. */
int compute_buffer_write(struct buffer *buffer, size_t offset, const void *from, size_t size);
int compute_buffer_read(struct buffer *buffer, size_t offset, void *to, size_t size);

/* Brings a weight, which lies in host memory, to where `device` computes with it: uploads it (its buffer and offset then
 * point to the device) or repacks it (`packed`) where that pays; a device that can read it in place does nothing.
 * PR_ERR_NOMEM as compute_buffer_create(); the tensor is then unchanged. */
int compute_tensor_place(struct device *device, struct tensor *weight);
/* How many bytes of the device compute_tensor_place() would take. */
size_t compute_tensor_place_size(struct device *device, const struct tensor *weight);
/* Gives back what compute_tensor_place() took. */
void compute_tensor_unplace(struct tensor *weight);

/* Makes a zeroed state tensor [rows, cols] in a buffer of its own. */
int compute_state_create(struct device *device, enum type type, int64_t rows, int64_t cols, const char *name,
                         struct tensor *out);
void compute_state_destroy(struct tensor *state); /* takes a zeroed tensor */

/* What a device can do at the most, as measured on it just now (it takes about half a second). */
struct device_speed {
    double bandwidth_gb_s; /* reading memory, all threads */
    double f32_gflop_s;    /* f32 multiplications and additions, or what products do for them */
    double int8_gop_s;     /* 8-bit integer ones, where its kernels for quantised weights do those; otherwise 0 */
};
/* PR_ERR_UNSUPPORTED: the backend measures nothing (ref); *out is then zero. PR_ERR_NOMEM. */
int compute_device_measure(struct device *device, struct device_speed *out);
