/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Architectures of language models. A new one is a file arch_NAME.c with one `struct llm_arch` and its line in arch.c's table;
 * the pieces that they share are in block.h.
 */
#pragma once

#include "llm/kv_impl.h"
#include "model/hparams.h"
#include "model/weights.h"

enum { LLM_MAX_DEEPSTACK = 16 };

/* The weights of a layer, by name or as a list. What the architecture or the file doesn't have is NULL. Shapes [rows, cols]. */
enum { LLM_LAYER_TENSORS = 18 };
struct llm_layer {
    union {
        struct {
            struct tensor *attn_norm;                       /* [1, d_model] */
            struct tensor *q, *k, *v;                       /* [heads * d_head, d_model] */
            struct tensor *q_bias, *k_bias, *v_bias;        /* [1, heads * d_head] */
            struct tensor *q_norm, *k_norm;                 /* [1, d_head] */
            struct tensor *attn_output, *attn_output_bias;  /* [d_model, n_head * d_value], [1, d_model] */
            struct tensor *ffn_norm;                        /* [1, d_model] */
            struct tensor *gate, *up, *down;                /* [d_ff, d_model] twice, [d_model, d_ff] */
            struct tensor *gate_bias, *up_bias, *down_bias; /* [1, d_ff] twice, [1, d_model] */
        };
        struct tensor *tensors[LLM_LAYER_TENSORS];
    };
};

/* What the weights of one layer are fetched with. */
struct llm_load {
    struct weights *weights;
    const struct hparams *hp;
    int32_t layer;
};

/* The inputs of a pass of n tokens that is being recorded. */
struct llm_graph {
    struct pass *pass;
    const struct hparams *hp;
    struct llm_kv *kv;
    int32_t sinks;
    struct tensor *ids; /* i32 [1, n]; -1: an embedding row, which the table answers with zeros */
    struct tensor
        *rows[1 + LLM_MAX_DEEPSTACK]; /* f32 [n, d_model]: slices of the embedding rows, zeros for tokens; NULL: none */
    struct tensor *positions;         /* i32 [n, 4] */
    struct tensor *cells;             /* i32 [1, n]: rows of the pools that the tokens go to */
    struct tensor *pages, *range;     /* op_attention's */
    struct tensor *keep;              /* i32 [1, kept]: the rows whose logits are wanted; NULL: all */
};

struct llm_arch {
    const char *name; /* general.architecture */
    /* Completes the hyper-parameters (rope.kind) and refuses what isn't supported. */
    int (*prepare)(struct hparams *hp);
    int (*load)(const struct llm_load *load, struct llm_layer *layer);
    /* Records layer il: x[n, d_model] -> [n or kept, d_model]. */
    struct tensor *(*record)(struct llm_graph *g, const struct llm_layer *layer, int32_t il, struct tensor *x);
};

/* PR_ERR_UNSUPPORTED: no row of that name; the message lists those that there are. */
int llm_arch_find(const char *name, const struct llm_arch **out);

extern const struct llm_arch llm_arch_llama, llm_arch_qwen2, llm_arch_qwen2vl, llm_arch_qwen3, llm_arch_qwen3vl;
