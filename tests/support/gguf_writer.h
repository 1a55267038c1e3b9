/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writes GGUF files, right ones and (for tests) wrong ones: nothing is checked, every field may be set to what it shouldn't be.
 *
 *     struct gguf_writer w = GGUF_WRITER_INIT;
 *     gguf_writer_string(&w, "general.architecture", "llama");
 *     gguf_writer_tensor(&w, "token_embd.weight", TYPE_F32, 2, (int64_t[]){64, 288});
 *     gguf_writer_header(&w, &bytes);            // then the data of each tensor, in order
 *     gguf_writer_data(&w, 0, data, &bytes);
 *     gguf_writer_finish(&w);
 */
#pragma once

#include "base/mem.h"
#include "compute/type.h"
#include "model/gguf.h"

struct gguf_writer {
    uint32_t version;
    size_t alignment;              /* of tensor data; written as a key by gguf_writer_alignment() only */
    uint64_t n_keys, n_tensors;    /* what the header claims */
    struct base_buf keys, tensors; /* encoded */
    uint64_t *sizes;               /* of the tensors' data */
    size_t n_sizes;
    uint64_t offset; /* of the next tensor's data */
};
#define GGUF_WRITER_INIT                                                                                               \
    {                                                                                                                  \
        .version = 3, .alignment = 32                                                                                  \
    }

void gguf_writer_finish(struct gguf_writer *w); /* frees */

/* A key of any kind with its value as bytes; for arrays gguf_writer_array(). */
void gguf_writer_key(struct gguf_writer *w, const char *key, enum gguf_kind kind, const void *value, size_t size);
void gguf_writer_u32(struct gguf_writer *w, const char *key, uint32_t value);
void gguf_writer_f32(struct gguf_writer *w, const char *key, float value);
void gguf_writer_bool(struct gguf_writer *w, const char *key, bool value);
void gguf_writer_string(struct gguf_writer *w, const char *key, const char *value);
/* `elements` as they lie in the file, `size` bytes of them. */
void gguf_writer_array(struct gguf_writer *w, const char *key, enum gguf_kind kind, uint64_t n, const void *elements,
                       size_t size);
void gguf_writer_i32s(struct gguf_writer *w, const char *key, const int32_t *values, size_t n);
void gguf_writer_strings(struct gguf_writer *w, const char *key, const char *const *values, size_t n);
/* Sets the alignment, and the key that tells of it. */
void gguf_writer_alignment(struct gguf_writer *w, uint32_t alignment);
/* The keys of file `no` (from 0) of a set of `count`, which holds n_tensors in all. */
void gguf_writer_split(struct gguf_writer *w, uint16_t no, uint16_t count, int32_t n_tensors);

/* A tensor that follows the last one. ne[0] is the contiguous dimension. */
void gguf_writer_tensor(struct gguf_writer *w, const char *name, enum type type, int n_dims, const int64_t *ne);
/* Just an info, with any numbers in it; it has no data. */
void gguf_writer_tensor_info(struct gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims,
                             const uint64_t *ne, uint64_t offset);

/* Appends a string as GGUF writes it: length and bytes. */
void gguf_writer_text(struct base_buf *out, const char *text, size_t len);
/* Appends everything before the tensor data, padded. */
void gguf_writer_header(const struct gguf_writer *w, struct base_buf *out);
/* Appends the data of tensor i, padded; NULL: zeros. */
void gguf_writer_data(const struct gguf_writer *w, size_t i, const void *data, struct base_buf *out);
/* The zero bytes that follow `size` bytes of data. */
size_t gguf_writer_padding(const struct gguf_writer *w, uint64_t size);
