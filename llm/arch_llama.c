/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * llama: Llama, SmolLM2, Mistral and their kin. NORM rope, since the converter permuted q and k; usually no biases.
 */
#include "llm/block.h"

static int prepare(struct hparams *hp)
{
    hp->rope.kind = ROPE_NORM;
    return llm_refuse_experts(hp);
}

static int load(const struct llm_load *l, struct llm_layer *layer)
{
    int err = llm_attention_load(l, layer);
    return err < 0 ? err : llm_swiglu_load(l, layer);
}

static struct tensor *record(struct llm_graph *g, const struct llm_layer *layer, int32_t il, struct tensor *x)
{
    x = llm_attention(g, layer, il, x);
    return llm_swiglu(g, layer, x);
}

const struct llm_arch llm_arch_llama = {"llama", prepare, load, record};
