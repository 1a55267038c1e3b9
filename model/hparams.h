/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The hyper-parameters of a text model, read from its GGUF keys and checked before anything is sized by them.
 */
#pragma once

#include "compute/op.h"
#include "model/gguf.h"

enum { MODEL_MAX_LAYERS = 512 };

struct hparams {
    char arch[32];  /* general.architecture */
    char name[128]; /* general.name, "" if absent */
    int32_t n_layer, d_model, d_ff, n_head, n_kv, d_head, d_value;
    int32_t n_vocab; /* rows of token_embd.weight */
    int32_t n_ctx_train;
    int32_t n_deepstack; /* extra slices of an embedding row (qwen3vl); 0 elsewhere */
    int32_t n_expert, n_expert_used;
    float norm_eps;
    float attention_scale;                   /* 1/sqrt(d_head) unless the file says otherwise */
    float attention_softcap, output_softcap; /* 0: none */
    int32_t sliding_window;                  /* 0: none */
    struct rope_params rope;                 /* scaling (linear, YaRN) resolved; kind as the architecture has it */
};

/* Reads what is common to all architectures; rope.kind is left to the architecture (llm/arch_*.c).
 * PR_ERR_FORMAT: a key is missing or out of range (the message names it). */
int model_hparams_read(const struct gguf *gguf, struct hparams *out);
