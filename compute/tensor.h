/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every tensor is a matrix [rows, cols] whose rows lie one after the other without gaps. What other programs keep in more
 * dimensions is a way to read the columns or rows: attention heads are [n, n_head * d_head], a convolution over patches is
 * a matrix product with [d, 3 * p * p], the experts of a layer are [n_expert * d_ff, d].
 */
#pragma once

#include "compute/type.h"

struct device;

/* Memory of one device. Thread-safety: none; the owner sees to it. */
struct buffer {
    struct device *device;
    size_t size;
    void *host;    /* where the host can read and write it; NULL if it can't (device-local memory) */
    void *handle;  /* the backend's own object */
    bool borrowed; /* wraps memory that somebody else owns, such as a mapped file; read-only */
};

enum tensor_role {
    TENSOR_WEIGHT,    /* constant: lies in a mapped model file or in a device's memory */
    TENSOR_STATE,     /* lives longer than a pass and is changed by passes: KV cache pages */
    TENSOR_INPUT,     /* the host writes it before each run of a pass */
    TENSOR_ACTIVATION /* made by an operation of a pass; its place is planned */
};

struct tensor {
    enum tensor_role role;
    enum type type;
    int64_t rows, cols;
    struct buffer *buffer; /* where it lies; NULL: an activation that isn't planned yet */
    size_t offset;         /* bytes from the buffer's start; a multiple of 32 for weights (GGUF), of 64 otherwise */
    void *packed;          /* the backend's own arrangement of a weight, or NULL; made by compute_tensor_place() */
    size_t packed_size;
    struct device *packed_on; /* whose arrangement it is */
    struct buffer *home;      /* of a weight that was moved: where it lay before; otherwise NULL */
    size_t home_offset;
    struct tensor *base; /* of a reshaped view: the tensor whose memory it shares; otherwise NULL */
    int32_t index;       /* of an activation or input: its number in its pass */
    char name[64];       /* for messages; GGUF names fit */
};

/* Bytes of all rows. */
static inline size_t compute_tensor_bytes(const struct tensor *t)
{
    return compute_row_bytes(t->type, t->cols) * (size_t)t->rows;
}

/* The device that computes with it; NULL: an activation that isn't planned yet. */
static inline struct device *compute_tensor_device(const struct tensor *t)
{
    return t->packed ? t->packed_on : t->buffer ? t->buffer->device : NULL;
}
