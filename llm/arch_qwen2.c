/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * qwen2: as llama with NEOX rope and biases on q, k and v. qwen2vl, the text half of Qwen2-VL and Qwen2.5-VL: the same with
 * M-RoPE.
 */
#include "llm/block.h"

static int prepare(struct hparams *hp)
{
    hp->rope.kind = ROPE_NEOX;
    return llm_refuse_experts(hp);
}

static int prepare_vl(struct hparams *hp)
{
    hp->rope.kind = ROPE_MROPE;
    int err = llm_check_sections(hp);
    return err < 0 ? err : llm_refuse_experts(hp);
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

const struct llm_arch llm_arch_qwen2 = {"qwen2", prepare, load, record};
const struct llm_arch llm_arch_qwen2vl = {"qwen2vl", prepare_vl, load, record};
