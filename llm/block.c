/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "llm/block.h"

#include "compute/op.h"

#include <stdio.h>

/* ---- weights ---------------------------------------------------------------------------------------------------- */

int llm_load_tensor(const struct llm_load *load, const char *name, int64_t rows, int64_t cols, unsigned flags,
                    struct tensor **out)
{
    char full[64];
    snprintf(full, sizeof full, "blk.%d.%s", load->layer, name);
    return model_weight(load->weights, full, rows, cols, flags, out);
}

static int load_rows(const struct llm_load *load, const char *name, int64_t all_rows, int64_t first, int64_t rows,
                     int64_t cols, unsigned flags, struct tensor **out)
{
    char full[64];
    snprintf(full, sizeof full, "blk.%d.%s", load->layer, name);
    return model_weight_rows(load->weights, full, all_rows, first, rows, cols, flags, out);
}

static int load_projections(const struct llm_load *load, struct llm_layer *l)
{
    int err;
    struct tensor *fused;
    const struct hparams *hp = load->hp;
    int64_t d = hp->d_model, q = (int64_t)hp->n_head * hp->d_head, k = (int64_t)hp->n_kv * hp->d_head;
    int64_t v = (int64_t)hp->n_kv * hp->d_value, all = q + k + v;
    TRY(load_rows(load, "attn_qkv.weight", all, 0, q, d, WEIGHT_OPTIONAL, &fused));
    if (fused) {
        l->q = fused;
        TRY(load_rows(load, "attn_qkv.weight", all, q, k, d, 0, &l->k));
        TRY(load_rows(load, "attn_qkv.weight", all, q + k, v, d, 0, &l->v));
        TRY(load_rows(load, "attn_qkv.bias", all, 0, q, 1, WEIGHT_OPTIONAL, &l->q_bias));
        TRY(load_rows(load, "attn_qkv.bias", all, q, k, 1, WEIGHT_OPTIONAL, &l->k_bias));
        TRY(load_rows(load, "attn_qkv.bias", all, q + k, v, 1, WEIGHT_OPTIONAL, &l->v_bias));
    } else {
        TRY(llm_load_tensor(load, "attn_q.weight", q, d, 0, &l->q));
        TRY(llm_load_tensor(load, "attn_k.weight", k, d, 0, &l->k));
        TRY(llm_load_tensor(load, "attn_v.weight", v, d, 0, &l->v));
        TRY(llm_load_tensor(load, "attn_q.bias", 1, q, WEIGHT_OPTIONAL, &l->q_bias));
        TRY(llm_load_tensor(load, "attn_k.bias", 1, k, WEIGHT_OPTIONAL, &l->k_bias));
        TRY(llm_load_tensor(load, "attn_v.bias", 1, v, WEIGHT_OPTIONAL, &l->v_bias));
    }
    return PR_OK;
fail:
    return err;
}

int llm_attention_load(const struct llm_load *load, struct llm_layer *l)
{
    int err;
    const struct hparams *hp = load->hp;
    TRY(llm_load_tensor(load, "attn_norm.weight", 1, hp->d_model, 0, &l->attn_norm));
    TRY(load_projections(load, l));
    TRY(llm_load_tensor(load, "attn_output.weight", hp->d_model, (int64_t)hp->n_head * hp->d_value, 0,
                        &l->attn_output));
    TRY(llm_load_tensor(load, "attn_output.bias", 1, hp->d_model, WEIGHT_OPTIONAL, &l->attn_output_bias));
    return PR_OK;
fail:
    return err;
}

int llm_head_norms_load(const struct llm_load *load, struct llm_layer *l)
{
    int err;
    TRY(llm_load_tensor(load, "attn_q_norm.weight", 1, load->hp->d_head, 0, &l->q_norm));
    TRY(llm_load_tensor(load, "attn_k_norm.weight", 1, load->hp->d_head, 0, &l->k_norm));
    return PR_OK;
fail:
    return err;
}

int llm_swiglu_load(const struct llm_load *load, struct llm_layer *l)
{
    int err;
    const struct hparams *hp = load->hp;
    TRY(llm_load_tensor(load, "ffn_norm.weight", 1, hp->d_model, 0, &l->ffn_norm));
    TRY(llm_load_tensor(load, "ffn_gate.weight", hp->d_ff, hp->d_model, 0, &l->gate));
    TRY(llm_load_tensor(load, "ffn_up.weight", hp->d_ff, hp->d_model, 0, &l->up));
    TRY(llm_load_tensor(load, "ffn_down.weight", hp->d_model, hp->d_ff, 0, &l->down));
    TRY(llm_load_tensor(load, "ffn_gate.bias", 1, hp->d_ff, WEIGHT_OPTIONAL, &l->gate_bias));
    TRY(llm_load_tensor(load, "ffn_up.bias", 1, hp->d_ff, WEIGHT_OPTIONAL, &l->up_bias));
    TRY(llm_load_tensor(load, "ffn_down.bias", 1, hp->d_model, WEIGHT_OPTIONAL, &l->down_bias));
    return PR_OK;
fail:
    return err;
}

int llm_refuse_experts(const struct hparams *hp)
{
    if (hp->n_expert > 0)
        return base_fail(PR_ERR_UNSUPPORTED, "a mixture of %d experts isn't supported yet; use a dense model",
                         hp->n_expert);
    return PR_OK;
}

int llm_check_sections(const struct hparams *hp)
{
    const int32_t *s = hp->rope.sections;
    if (s[0] + s[1] + s[2] + s[3] != hp->rope.n_rot / 2)
        return base_fail(PR_ERR_FORMAT,
                         "rope.dimension_sections is missing or doesn't cover the %d pairs of a head; the file "
                         "was converted wrongly, get it again",
                         hp->rope.n_rot / 2);
    return PR_OK;
}

/* ---- recording -------------------------------------------------------------------------------------------------- */

/* RMS norm over each head of x[n, heads * d_head]. */
static struct tensor *norm_heads(struct llm_graph *g, struct tensor *x, struct tensor *weight)
{
    int64_t rows = x->rows, cols = x->cols;
    x = op_reshape(g->pass, x, rows * (cols / weight->cols), weight->cols);
    x = op_rms_norm(g->pass, x, weight, g->hp->norm_eps);
    return op_reshape(g->pass, x, rows, cols);
}

struct tensor *llm_attention(struct llm_graph *g, const struct llm_layer *l, int32_t il, struct tensor *x)
{
    struct pass *pass = g->pass;
    const struct hparams *hp = g->hp;
    struct tensor *divisors = g->kv->divisors[il];

    struct tensor *h = op_rms_norm(pass, x, l->attn_norm, hp->norm_eps);
    struct tensor *q = op_matmul(pass, l->q, h, l->q_bias);
    struct tensor *k = op_matmul(pass, l->k, h, l->k_bias);
    struct tensor *v = op_matmul(pass, l->v, h, l->v_bias);
    if (l->q_norm)
        q = norm_heads(g, q, l->q_norm);
    if (l->k_norm)
        k = norm_heads(g, k, l->k_norm);
    q = op_rope(pass, q, g->positions, divisors, &hp->rope);
    k = op_rope(pass, k, g->positions, divisors, &hp->rope);
    struct tensor *keys = op_scatter(pass, &g->kv->keys[il], k, g->cells);
    struct tensor *values = op_scatter(pass, &g->kv->values[il], v, g->cells);

    struct attention_params params = {.n_head = hp->n_head,
                                      .n_kv = hp->n_kv,
                                      .d_head = hp->d_head,
                                      .d_value = hp->d_value,
                                      .scale = hp->attention_scale,
                                      .softcap = hp->attention_softcap,
                                      .sinks = g->sinks,
                                      .page_size = g->kv->params.page_size};
    struct tensor *y = op_attention(pass, q, keys, values, g->pages, g->range, &params);
    if (g->keep && il == hp->n_layer - 1) {
        y = op_gather(pass, y, g->keep);
        x = op_gather(pass, x, g->keep);
    }
    y = op_matmul(pass, l->attn_output, y, l->attn_output_bias);
    return op_add(pass, y, x);
}

void llm_shallow_attention(struct llm_graph *g, const struct llm_layer *l, struct tensor *x, struct tensor **keys,
                           struct tensor **queries)
{
    struct tensor *h = op_rms_norm(g->pass, x, l->attn_norm, g->hp->norm_eps);
    struct tensor *q = op_matmul(g->pass, l->q, h, l->q_bias);
    struct tensor *k = op_matmul(g->pass, l->k, h, NULL);
    *queries = l->q_norm ? norm_heads(g, q, l->q_norm) : q;
    *keys = l->k_norm ? norm_heads(g, k, l->k_norm) : k;
}

struct tensor *llm_swiglu(struct llm_graph *g, const struct llm_layer *l, struct tensor *x)
{
    struct pass *pass = g->pass;
    struct tensor *h = op_rms_norm(pass, x, l->ffn_norm, g->hp->norm_eps);
    struct tensor *gate = op_matmul(pass, l->gate, h, l->gate_bias);
    struct tensor *up = op_matmul(pass, l->up, h, l->up_bias);
    struct tensor *y = op_matmul(pass, l->down, op_glu(pass, gate, up, ACT_SILU), l->down_bias);
    return op_add(pass, y, x);
}

struct tensor *llm_deepstack(struct llm_graph *g, int32_t il, struct tensor *x)
{
    if (il >= g->hp->n_deepstack || !g->rows[il + 1])
        return x;
    struct tensor *rows = g->rows[il + 1];
    if (g->keep && il == g->hp->n_layer - 1)
        rows = op_gather(g->pass, rows, g->keep);
    return op_add(g->pass, x, rows);
}
