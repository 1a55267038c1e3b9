/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pieces that architectures are put together from. Each has a half that fetches its weights and a half that records it.
 */
#pragma once

#include "llm/arch.h"

/* The tensor blk.<layer>.<name> as [rows, cols]; flags as in model_weight(). */
int llm_load_tensor(const struct llm_load *load, const char *name, int64_t rows, int64_t cols, unsigned flags,
                    struct tensor **out);

/* x + Wo · attention(q, k, v) with q, k, v of RMSNorm(x), over the cache of layer il. Uses what the layer has: biases, norms of
 * q and k heads before rope. In the last layer only the rows `keep` go on. q, k and v may be one tensor attn_qkv (rows of
 * q, then k, then v). */
int llm_attention_load(const struct llm_load *load, struct llm_layer *layer);
/* The norms of q and k heads that qwen3 and gemma have besides. */
int llm_head_norms_load(const struct llm_load *load, struct llm_layer *layer);
struct tensor *llm_attention(struct llm_graph *g, const struct llm_layer *layer, int32_t il, struct tensor *x);

/* The keys [n, n_kv * d_head] of a layer before rope and without their bias, and its queries [n, n_head * d_head] before rope. */
void llm_shallow_attention(struct llm_graph *g, const struct llm_layer *layer, struct tensor *x, struct tensor **keys,
                           struct tensor **queries);

/* x + Wdown · (silu(Wgate · h) * (Wup · h)) with h = RMSNorm(x). */
int llm_swiglu_load(const struct llm_load *load, struct llm_layer *layer);
struct tensor *llm_swiglu(struct llm_graph *g, const struct llm_layer *layer, struct tensor *x);

/* x + slice il + 1 of the embedding rows, for layers below n_deepstack (Qwen3-VL, arXiv 2511.21631). */
struct tensor *llm_deepstack(struct llm_graph *g, int32_t il, struct tensor *x);

/* For prepare(): PR_ERR_UNSUPPORTED when the file is a mixture of experts. */
int llm_refuse_experts(const struct hparams *hp);
/* For prepare(): PR_ERR_FORMAT unless rope.dimension_sections is there and covers the pairs of a head. */
int llm_check_sections(const struct hparams *hp);
