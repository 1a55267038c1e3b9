/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The KV cache: pages of cells in a pool per layer, shared between sequences by reference count.
 *
 * A cell holds one token's key (rotated to its position) and value in every layer. A sequence is a list of pages with the
 * sequence index of each page's first cell. Positions (what rope sees) and sequence indices (what masks see) are two things:
 * pictures advance positions by their grid, and sliding moves positions.
 *
 * Sliding: the first `sinks` tokens stay for ever, and behind them the last `window` tokens; pages between are given back. Its
 * memory depends on sinks, window and batch only. Every token sees exactly the sinks and the last `window` tokens, itself
 * included, however many were read in one batch. Positions run on; when the next one would pass `position_limit`, all keys
 * behind the sinks are rotated back once, uniformly, to where the oldest visible one follows the sinks (StreamingLLM, arXiv
 * 2309.17453, for sinks; the uniform shift of all axes is an ordinary rotation also under M-RoPE). What was computed with the
 * old distance to the sinks stays as it was.
 *
 * Thread-safety: a cache and its sequences belong to one thread at a time.
 */
#pragma once

#include "base/error.h"
#include "compute/op.h"

struct device;

enum { LLM_PAGE_SIZE = 32 }; /* cells in a page, unless there is a reason for another number */

struct llm_kv;       /* the pool */
struct llm_sequence; /* one timeline over it */

struct llm_kv_params {
    int32_t n_layer;
    int32_t d_key, d_value;         /* n_kv * d_head, n_kv * d_value: columns of a cell's key and value */
    struct device *const *devices;  /* [n_layer]: where each layer's pool lies */
    struct device *host;            /* ref or cpu; does of a shift what they can't */
    enum type key_type, value_type; /* f32, f16 or q8_0; sliding needs f16 or f32 keys */
    int32_t page_size;              /* 16 or 32 cells */
    int64_t cells;                  /* capacity in cells of the whole pool */

    /* For the shift of sliding sequences: how keys were rotated. */
    struct rope_params rope;
    struct tensor *const *divisors; /* [n_layer]: op_rope's divisors on the layer's device; NULL, or NULLs: none */
    int32_t n_ctx_train;
};

/* PR_ERR_NOMEM names the device and the bytes asked for. The caller owns *out. */
int llm_kv_create(const struct llm_kv_params *params, struct llm_kv **out);
void llm_kv_destroy(struct llm_kv *kv);                    /* after its sequences; takes NULL */
uint64_t llm_kv_bytes(const struct llm_kv_params *params); /* of all layers; saturates at UINT64_MAX */
uint64_t llm_kv_cache_bytes(const struct llm_kv *kv);      /* that it takes */
int64_t llm_kv_cells(const struct llm_kv *kv);             /* capacity, in whole pages */
int64_t llm_kv_free_cells(const struct llm_kv *kv);        /* in pages that no sequence holds */

struct llm_slide {
    int32_t sinks, window;  /* tokens; window 0: no sliding */
    int32_t position_limit; /* largest position to be used before the shift; 0: 3/4 of the trained context */
};
/* Cells that one sliding sequence needs when it is read in batches of at most `batch` tokens. */
int64_t llm_kv_slide_cells(const struct llm_slide *slide, int32_t batch, int32_t page_size);

/* slide: NULL, or window 0, for a sequence that keeps everything. PR_ERR_INVALID: a window that leaves too little room below
 * the position limit (a key would be rotated more than four times while it is visible, and f16 loses a bit each time), or
 * q8_0 keys, which must not be rotated. The sequence is used before `kv` is destroyed. */
int llm_sequence_create(struct llm_kv *kv, const struct llm_slide *slide, struct llm_sequence **out);
void llm_sequence_destroy(struct llm_sequence *sequence); /* takes NULL */

/* A second sequence with the same tokens. It shares pages until one of the two writes into them (the last one) or shifts. */
int llm_sequence_fork(const struct llm_sequence *from, struct llm_sequence **out);
/* Forgets tokens from sequence index `n` on. PR_ERR_INVALID when there are fewer, or when what token n would see has slid out
 * already. */
int llm_sequence_rollback(struct llm_sequence *sequence, int64_t n);

int64_t llm_sequence_length(const struct llm_sequence *sequence);        /* tokens read so far, slid ones included */
int32_t llm_sequence_next_position(const struct llm_sequence *sequence); /* position of the next text token */

/* As it was created, the position limit filled in; window 0: it doesn't slide. */
const struct llm_slide *llm_sequence_slide(const struct llm_sequence *sequence);

/* The kept cells, positions and counters as a file with checksum, and back, with `extra_size` bytes that belong to the caller
 * (0: none). The file is bound to `fingerprint` (model file, position rule) and to the shape and types of the cache; another
 * one is PR_ERR_INVALID. Saving is atomic (temporary file, rename). Restoring gives *extra as a block for base_free(). A
 * damaged file is PR_ERR_FORMAT; a cache with too little room PR_ERR_NOMEM. docs/FORMATS.md has the layout. */
int llm_sequence_save(const struct llm_sequence *sequence, const char *path, uint64_t fingerprint, const void *extra,
                      size_t extra_size);
int llm_sequence_restore(struct llm_kv *kv, const char *path, uint64_t fingerprint, struct llm_sequence **out,
                         void **extra, size_t *extra_size);
