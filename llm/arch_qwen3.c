/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * qwen3: no biases, but q and k heads are normalised before NEOX rope. qwen3vl, the text half of Qwen3-VL: interleaved M-RoPE,
 * and DeepStack: the first layers add further slices of the visual rows.
 */
#include "llm/block.h"

static int prepare(struct hparams *hp)
{
    hp->rope.kind = ROPE_NEOX;
    return llm_refuse_experts(hp);
}

static int prepare_vl(struct hparams *hp)
{
    hp->rope.kind = ROPE_IMROPE;
    int err = llm_check_sections(hp);
    return err < 0 ? err : llm_refuse_experts(hp);
}

static int load(const struct llm_load *l, struct llm_layer *layer)
{
    int err;
    TRY(llm_attention_load(l, layer));
    TRY(llm_head_norms_load(l, layer));
    TRY(llm_swiglu_load(l, layer));
    return PR_OK;
fail:
    return err;
}

static struct tensor *record(struct llm_graph *g, const struct llm_layer *layer, int32_t il, struct tensor *x)
{
    x = llm_attention(g, layer, il, x);
    x = llm_swiglu(g, layer, x);
    return llm_deepstack(g, il, x);
}

const struct llm_arch llm_arch_qwen3 = {"qwen3", prepare, load, record};
const struct llm_arch llm_arch_qwen3vl = {"qwen3vl", prepare_vl, load, record};
