/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A language model over a KV cache: pieces of input in, logits out. Architectures are rows of the table in arch.c, each with
 * a small file of its own.
 */
#pragma once

#include "base/cancel.h"
#include "llm/kv.h"
#include "model/gguf.h"
#include "model/hparams.h"

struct
    llm_decoder; /* weights and their placement; belongs to one thread at a time. Outlives the caches that it reads into */

enum { LLM_BATCH = 256 }; /* tokens in a pass, unless told otherwise */

struct llm_decoder_options {
    struct device *device; /* where layers go first */
    struct device *host;   /* ref or cpu: takes what doesn't fit; may equal device */
    int32_t batch;         /* most tokens in one pass; 0: LLM_BATCH */
    int64_t cells; /* of the cache that will be used: its layers lie where the model's do, and count with them */
    enum type key_type, value_type; /* of that cache */
};

/* `gguf` outlives the decoder. PR_ERR_UNSUPPORTED: unknown architecture (the message lists the known ones). */
int llm_decoder_create(const struct gguf *gguf, const struct llm_decoder_options *options, struct llm_decoder **out);
void llm_decoder_destroy(struct llm_decoder *decoder); /* takes NULL */

const struct hparams *llm_decoder_hparams(const struct llm_decoder *decoder);
/* "24 of 30 layers on vulkan:0, the rest on cpu (device memory 512 MiB)". Valid while the decoder lives. */
const char *llm_decoder_placement(const struct llm_decoder *decoder);
int32_t llm_decoder_batch(const struct llm_decoder *decoder);
/* Fills what the cache of this model needs, all but cells and types. The lists in it belong to the decoder. */
void llm_decoder_kv_params(const struct llm_decoder *decoder, struct llm_kv_params *params);

/* A run of input: token ids, or embedding rows (visual tokens) with their positions. */
struct llm_piece {
    int32_t n;
    const int32_t *ids;      /* [n], or NULL: embeddings */
    const float *rows;       /* [n, d_model * (1 + n_deepstack)] */
    const int32_t *position; /* [n, 4] relative to the piece's first position (t, h, w, 0), or NULL: 0, 1, 2, ... */
    int32_t advance;         /* how far the piece moves the position of what follows; with position NULL: n */
    bool bidirectional;      /* the piece's tokens see each other (Gemma 3 pictures); it must fit one batch */
};

/* Reads pieces into the sequence and gives the logits of the last `n_logits` tokens: logits[n_logits, n_vocab], f32, owned by
 * the caller; n_logits 0: none. Splits into batches by itself; the result doesn't depend on how, but for rounding. On PR_ERR_CANCELLED and other failures the sequence is rolled
 * back to where it was, except in a sliding sequence, which keeps the batches that were finished. PR_ERR_NOMEM: the cache is
 * full. PR_ERR_INVALID: an id outside the vocabulary, a wrong position. */
int llm_decode(struct llm_decoder *decoder, struct llm_sequence *sequence, const struct llm_piece *pieces,
               size_t n_pieces, int32_t n_logits, float *logits, const struct base_cancel *cancel);

/* Reads pieces through the first `layers` layers (all but the attention and what follows it in the last of them) and gives, for every token,
 * that layer's key before rope and without bias and its query before rope: keys[total, n_kv * d_head], queries[total, n_head *
 * d_head], f32, the caller's; NULL: not wanted. The cache of the sequence holds `layers` layers or more. Errors as llm_decode(). */
int llm_decode_shallow(struct llm_decoder *decoder, struct llm_sequence *sequence, const struct llm_piece *pieces,
                       size_t n_pieces, int32_t layers, float *keys, float *queries, const struct base_cancel *cancel);

/* What a pass of n token ids over this cache takes on all devices; planned but not run. */
struct pass_cost;
int llm_decoder_cost(struct llm_decoder *decoder, struct llm_kv *kv, int32_t n, int32_t n_logits,
                     struct pass_cost *out);
