/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reads GGUF files, version 2 and 3, single or split (-00001-of-0000N.gguf). The file is memory-mapped and everything in it
 * is checked before it is handed out: after model_gguf_open() every key, string, array and tensor lies inside the file, names
 * are printable ASCII and unique, tensors don't overlap. What the numbers mean is checked by who asks for them. A file that
 * shrinks while it is mapped kills the process (SIGBUS); nothing can be done about that short of copying it.
 */
#pragma once

#include "base/error.h"
#include "compute/type.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gguf; /* immutable once open; may be shared between threads */

/* Text in the file: not NUL-terminated, any bytes. */
struct gguf_string {
    const char *data;
    size_t len;
};

enum gguf_kind {
    GGUF_U8 = 0,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64
};

/* An array of numbers, bools or strings (arrays of arrays are refused at opening). */
struct gguf_array {
    enum gguf_kind kind; /* of the elements */
    size_t n;
    const void *elements;    /* numbers: packed, little-endian, unaligned. Strings: use model_gguf_array_string() */
    const uint64_t *offsets; /* of strings: where each begins, in bytes from `elements` */
};

/* ne[0] is the contiguous dimension, as in the file; unused ones are 1. */
struct gguf_tensor {
    char name[64];
    enum type type;
    int n_dims;
    int64_t ne[4];
    const void *data; /* in the map, aligned to general.alignment */
    size_t size;
    size_t file;  /* index into the files of the set */
    size_t index; /* the i of model_gguf_tensor_at() */
};

/* One file of the set, as mapped. */
struct gguf_file {
    const char *path;
    const void *data;
    size_t size;
};

/* Opens a file, or all files of a split set given its first one. On success the caller owns *out.
 * PR_ERR_IO: can't be opened or mapped. PR_ERR_FORMAT: damaged (the message says where and what to do).
 * PR_ERR_UNSUPPORTED: version or tensor type that pagereel doesn't know. */
int model_gguf_open(const char *path, struct gguf **out);
/* The same from memory (fuzzing, tests), one file only; `data` stays the caller's and outlives *out. `name` stands for the
 * path in messages. */
int model_gguf_open_memory(const void *data, size_t size, const char *name, struct gguf **out);
void model_gguf_close(struct gguf *gguf); /* takes NULL */

const char *model_gguf_path(const struct gguf *gguf);
/* Bytes of tensor data of all files. */
uint64_t model_gguf_tensor_bytes(const struct gguf *gguf);
size_t model_gguf_n_files(const struct gguf *gguf); /* 1 unless split */
const struct gguf_file *model_gguf_file(const struct gguf *gguf, size_t i);

/* Keys. Each returns PR_OK and sets *out, or PR_ERR_NOT_FOUND (no message, *out unchanged) when the key is absent, or
 * PR_ERR_FORMAT when its kind or range doesn't fit. model_gguf_i64 takes every integer kind. */
int model_gguf_i64(const struct gguf *gguf, const char *key, int64_t min, int64_t max, int64_t *out);
int model_gguf_f32(const struct gguf *gguf, const char *key, float *out); /* f32 or f64; finite */
int model_gguf_bool(const struct gguf *gguf, const char *key, bool *out);
int model_gguf_string(const struct gguf *gguf, const char *key, struct gguf_string *out);
int model_gguf_array(const struct gguf *gguf, const char *key, struct gguf_array *out);

/* Element i < array->n. The array's kind must be a number kind (integers also from bool), or string. */
int64_t model_gguf_array_i64(const struct gguf_array *array, size_t i);
float model_gguf_array_f32(const struct gguf_array *array, size_t i);
struct gguf_string model_gguf_array_string(const struct gguf_array *array, size_t i);

/* Keys in file order, for walking over them. i < model_gguf_n_keys(). */
size_t model_gguf_n_keys(const struct gguf *gguf);
struct gguf_string model_gguf_key_at(const struct gguf *gguf, size_t i, enum gguf_kind *kind);

/* Tensors, in file order. NULL when there is none of that name. */
const struct gguf_tensor *model_gguf_tensor(const struct gguf *gguf, const char *name);
size_t model_gguf_n_tensors(const struct gguf *gguf);
const struct gguf_tensor *model_gguf_tensor_at(const struct gguf *gguf, size_t i);

/* The file as key, kind, value lines and tensor lines, for `pagereel inspect MODEL`. */
struct base_buf;
void model_gguf_describe(const struct gguf *gguf, struct base_buf *out);
