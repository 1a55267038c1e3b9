/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One GGUF file: mapped (gguf_file.c), checked and indexed (gguf_parse.c). Only model/gguf.c includes this; it makes a model
 * of one or more of them.
 */
#pragma once

#include "model/gguf.h"

#include <stdbool.h>

struct gguf_key {
    struct gguf_string name;
    enum gguf_kind kind;
    union {
        const uint8_t *number; /* unaligned; also a bool */
        struct gguf_string string;
        struct gguf_array array;
    };
};

/* What one file holds. */
struct gguf_shard {
    struct gguf_file file;
    bool mapped; /* by model_gguf_file_map(): to be unmapped */
    struct gguf_key *keys;
    size_t n_keys;
    const struct gguf_key **by_name; /* [n_keys], sorted */
    struct gguf_tensor *tensors;     /* `file` and `index` are left 0 */
    size_t n_tensors;
};

/* By enum gguf_kind: the name, and the bytes of one number (0 for strings and arrays). */
extern const char *const model_gguf_kind_names[];
extern const uint8_t model_gguf_kind_sizes[];

/* Checks shard->file and fills the rest, which is zero before. Also after a failure, the caller finishes the shard. */
int model_gguf_parse(struct gguf_shard *shard);
void model_gguf_shard_finish(struct gguf_shard *shard);

const struct gguf_key *model_gguf_find_key(const struct gguf_shard *shard, const char *name); /* NULL: absent */

/* Maps a file for reading; *out owns its copy of the path. PR_ERR_IO: it can't be opened or mapped, or isn't an ordinary file.
 * An empty file isn't mapped: data NULL, size 0. */
int model_gguf_file_map(const char *path, struct gguf_file *out);
/* The same of part `no` (from 0) of a set of `count`, given the path of its first part: NAME-00001-of-00003.gguf.
 * PR_ERR_FORMAT: the first part has another name, so the others can't be found. */
int model_gguf_file_map_part(const char *first, int64_t no, int64_t count, struct gguf_file *out);
void model_gguf_file_unmap(struct gguf_file *file);
