/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The KV cache: pages of cells in a pool per layer, shared between sequences by reference count.
 *
 * A cell holds one token's key (rotated to its position) and value in every layer. A sequence is a list of pages with the
 * sequence index of each page's first cell. Positions (what rope sees) and sequence indices (what masks see) are two things:
 * pictures advance positions by their grid, and sliding moves positions.
 *
 * Sliding: the first `sinks` tokens stay for ever, and behind them the last `window` tokens; pages between are given back. Its
 * memory depends on sinks, window and batch only. Positions run on; when the next one would pass `position_limit`, all keys
 * behind the sinks are rotated back once, uniformly (reference: StreamingLLM, arXiv 2309.17453, for sinks; the uniform shift of
 * all axes is an ordinary rotation also under M-RoPE).
 *
 * Thread-safety: a cache and its sequences belong to one thread at a time.
 */
#pragma once

#include "base/error.h"
#include "compute/device.h"

struct llm_kv;       /* the pool */
struct llm_sequence; /* one timeline over it */

struct llm_kv_params {
    int32_t n_layer;
    int32_t d_key, d_value;         /* n_kv * d_head, n_kv * d_value: columns of a cell's key and value */
    struct device *const *devices;  /* [n_layer]: where each layer's pool lies */
    enum type key_type, value_type; /* f32, f16 or q8_0; sliding needs f16 or f32 keys */
    int32_t page_size;              /* 16 or 32 cells */
    int64_t cells;                  /* capacity in cells of the whole pool */
};

/* PR_ERR_NOMEM names the device and the bytes asked for. The caller owns *out. */
int llm_kv_create(const struct llm_kv_params *params, struct llm_kv **out);
void llm_kv_destroy(struct llm_kv *kv); /* after its sequences; takes NULL */
uint64_t llm_kv_bytes(const struct llm_kv_params *params);

struct llm_slide {
    int32_t sinks, window;  /* tokens; window 0: no sliding */
    int32_t position_limit; /* largest position to be used before the shift; 0: 3/4 of the trained context */
};

int llm_sequence_create(struct llm_kv *kv, const struct llm_slide *slide, struct llm_sequence **out);
void llm_sequence_destroy(struct llm_sequence *sequence); /* takes NULL */

/* A second sequence that shares all full pages (copy on write for the last one). */
int llm_sequence_fork(const struct llm_sequence *from, struct llm_sequence **out);
/* Forgets tokens from sequence index `n` on. PR_ERR_INVALID when they have slid out already. */
int llm_sequence_rollback(struct llm_sequence *sequence, int64_t n);

int64_t llm_sequence_length(const struct llm_sequence *sequence);        /* tokens read so far, slid ones included */
int32_t llm_sequence_next_position(const struct llm_sequence *sequence); /* position of the next text token */

/* The kept cells, positions and counters as a file with checksum, and back. The file is bound to `fingerprint` (model file,
 * cache types, position rule); another one is PR_ERR_INVALID. Saving is atomic (temporary file, rename). */
int llm_sequence_save(const struct llm_sequence *sequence, const char *path, uint64_t fingerprint);
int llm_sequence_restore(struct llm_kv *kv, const char *path, uint64_t fingerprint, struct llm_sequence **out);
