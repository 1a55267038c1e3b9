/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vision/network.h"

#include "base/error.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

/* ---- fetching --------------------------------------------------------------------------------------------------- */

static int keep(struct vision_weights *w, int err, struct tensor *t)
{
    if (err < 0 || !t)
        return err;
    if (!(w->n_all & (w->n_all - 1)))
        w->all = base_realloc(w->all, (w->n_all ? 2 * (size_t)w->n_all : 1) * sizeof(struct tensor *));
    w->all[w->n_all++] = t;
    return err;
}

int vision_fetch(struct vision_weights *w, const char *name, int64_t rows, int64_t cols, unsigned flags,
                 struct tensor **out)
{
    int err = model_weight(w->weights, name, rows, cols, flags, out);
    return keep(w, err, *out);
}

int vision_fetch_linear(struct vision_weights *w, const char *name, int64_t rows, int64_t cols, unsigned flags,
                        struct vision_linear *out)
{
    int err;
    char full[64];
    snprintf(full, sizeof full, "%.50s.weight", name);
    TRY(vision_fetch(w, full, rows, cols, 0, &out->weight));
    snprintf(full, sizeof full, "%.50s.bias", name);
    TRY(vision_fetch(w, full, 1, rows, flags, &out->bias));
    return PR_OK;
fail:
    return err;
}

int vision_fetch_norm(struct vision_weights *w, const char *name, int64_t cols, struct vision_linear *out)
{
    int err;
    char full[64];
    snprintf(full, sizeof full, "%.50s.weight", name);
    TRY(vision_fetch(w, full, 1, cols, 0, &out->weight));
    snprintf(full, sizeof full, "%.50s.bias", name);
    if (!w->params->family->rms)
        TRY(vision_fetch(w, full, 1, cols, 0, &out->bias));
    return PR_OK;
fail:
    return err;
}

/* v.blk.<layer>.<name> */
static const char *layer_name(char full[64], int32_t layer, const char *name)
{
    snprintf(full, 64, "v.blk.%d.%s", layer, name);
    return full;
}

static int fetch_part(struct vision_weights *w, const char *name, int part, struct vision_linear *out)
{
    int err;
    char full[64];
    int64_t d = w->params->d_model;
    snprintf(full, sizeof full, "%.50s.weight", name);
    err = model_weight_rows(w->weights, full, 3 * d, part * d, d, d, 0, &out->weight);
    TRY(keep(w, err, out->weight));
    snprintf(full, sizeof full, "%.50s.bias", name);
    err = model_weight_rows(w->weights, full, 3 * d, part * d, d, 1, WEIGHT_OPTIONAL, &out->bias);
    TRY(keep(w, err, out->bias));
    return PR_OK;
fail:
    return err;
}

static int fetch_attention(struct vision_weights *w, int32_t il, struct vision_layer *l)
{
    int err;
    char name[64], fused[72];
    int64_t d = w->params->d_model;
    struct vision_linear *parts[] = {&l->q, &l->k, &l->v};
    static const char *const names[] = {"attn_q", "attn_k", "attn_v"};
    snprintf(fused, sizeof fused, "v.blk.%d.attn_qkv.weight", il);
    bool together = model_gguf_tensor(w->gguf, fused) != NULL;
    for (int i = 0; i < 3; i++)
        if (together)
            TRY(fetch_part(w, layer_name(name, il, "attn_qkv"), i, parts[i]));
        else
            TRY(vision_fetch_linear(w, layer_name(name, il, names[i]), d, d, WEIGHT_OPTIONAL, parts[i]));
    TRY(vision_fetch_linear(w, layer_name(name, il, "attn_out"), d, d, WEIGHT_OPTIONAL, &l->attn_output));
    return PR_OK;
fail:
    return err;
}

/* Converters up to 2025 wrote the two matrices under each other's name for some families (MODEL.md): their shapes tell. */
static bool names_are_swapped(const struct vision_weights *w, int32_t il)
{
    char name[64];
    const struct gguf_tensor *down = model_gguf_tensor(w->gguf, layer_name(name, il, "ffn_down.weight"));
    return down && w->params->d_ff != w->params->d_model && down->ne[0] == w->params->d_model;
}

static int fetch_feed_forward(struct vision_weights *w, int32_t il, struct vision_layer *l)
{
    int err;
    char name[64];
    int64_t d = w->params->d_model, d_ff = w->params->d_ff;
    bool swapped = names_are_swapped(w, il);
    TRY(vision_fetch_linear(w, layer_name(name, il, swapped ? "ffn_down" : "ffn_up"), d_ff, d, WEIGHT_OPTIONAL,
                            &l->up));
    TRY(vision_fetch_linear(w, layer_name(name, il, swapped ? "ffn_up" : "ffn_down"), d, d_ff, WEIGHT_OPTIONAL,
                            &l->down));
    if (model_gguf_tensor(w->gguf, layer_name(name, il, "ffn_gate.weight")))
        TRY(vision_fetch_linear(w, layer_name(name, il, "ffn_gate"), d_ff, d, WEIGHT_OPTIONAL, &l->gate));
    return PR_OK;
fail:
    return err;
}

static int fetch_layer(struct vision_weights *w, int32_t il)
{
    int err;
    char name[64];
    int64_t d = w->params->d_model;
    struct vision_layer *l = &w->layers[il];
    TRY(vision_fetch_norm(w, layer_name(name, il, "ln1"), d, &l->norm1));
    TRY(fetch_attention(w, il, l));
    TRY(vision_fetch_norm(w, layer_name(name, il, "ln2"), d, &l->norm2));
    TRY(fetch_feed_forward(w, il, l));
    TRY(vision_fetch(w, layer_name(name, il, "ls1.weight"), 1, d, WEIGHT_OPTIONAL, &l->scale1));
    TRY(vision_fetch(w, layer_name(name, il, "ls2.weight"), 1, d, WEIGHT_OPTIONAL, &l->scale2));
    return PR_OK;
fail:
    return err;
}

/* What one layer may lack, such as biases, all of them lack. */
static int fetch_layers(struct vision_weights *w)
{
    int32_t each = 0;
    for (int32_t i = 0; i < w->params->n_layer; i++) {
        int32_t before = w->n_all;
        int err = fetch_layer(w, i);
        if (err < 0)
            return err;
        each = i == 0 ? w->n_all - before : each;
        if (w->n_all - before != each)
            return base_fail(PR_ERR_FORMAT,
                             "%s: layer %d has %d tensors, layer 0 has %d; the file is incomplete or was converted "
                             "wrongly, get it again",
                             model_gguf_path(w->gguf), i, w->n_all - before, each);
    }
    return PR_OK;
}

/* A graph that leaves out what layers have gives tokens that look right and aren't. */
static int check_all_read(const struct vision_weights *w)
{
    const struct gguf_tensor *more = model_weights_unread(w->weights, "v.blk.");
    more = more ? more : model_weights_unread(w->weights, "v.deepstack.");
    if (!more)
        return PR_OK;
    return base_fail(PR_ERR_UNSUPPORTED,
                     "%s: tensor \"%s\" is no part of a %s encoder with %d layers; the file is damaged, or of a kind "
                     "of model that isn't supported",
                     model_gguf_path(w->gguf), more->name, w->params->family->title, w->params->n_layer);
}

static int fetch(struct vision_weights *w)
{
    int err;
    const struct vision_params *p = w->params;
    int64_t pixels = 3 * (int64_t)p->patch * p->patch;
    TRY(vision_fetch(w, "v.patch_embd.weight", p->d_model, pixels, 0, &w->patch[0]));
    if (p->n_frames == 2)
        TRY(vision_fetch(w, "v.patch_embd.weight.1", p->d_model, pixels, 0, &w->patch[1]));
    if (p->family->patch_bias)
        TRY(vision_fetch(w, "v.patch_embd.bias", 1, p->d_model, 0, &w->patch_bias));
    if (p->n_positions)
        TRY(vision_fetch(w, "v.position_embd.weight", p->n_positions, p->d_model, 0, &w->positions));
    TRY(fetch_layers(w));
    TRY(p->family->load(w));
    return check_all_read(w);
fail:
    return err;
}

/* ---- placing ---------------------------------------------------------------------------------------------------- */

static int place(struct vision_weights *w)
{
    struct device *device = w->device;
    for (int32_t i = 0; i < w->n_all; i++) {
        int err = compute_tensor_place(device, w->all[i]);
        if (err == PR_ERR_NOMEM && device != w->host) {
            device = w->host;
            err = compute_tensor_place(device, w->all[i]);
        }
        if (err < 0)
            return err;
    }
    return PR_OK;
}

int vision_weights_init(struct vision_weights *out, const struct vision_params *params, const struct gguf *gguf,
                        const struct vision_encoder_options *options)
{
    int err;
    *out = (struct vision_weights){.params = params, .gguf = gguf, .device = options->device, .host = options->host};
    out->layers = base_alloc_array((size_t)params->n_layer, sizeof *out->layers);
    TRY(model_weights_create(gguf, out->host, &out->weights));
    TRY(fetch(out));
    TRY(place(out));
    return PR_OK;
fail:
    vision_weights_finish(out);
    return err;
}

void vision_weights_finish(struct vision_weights *w)
{
    model_weights_destroy(w->weights);
    base_free(w->layers);
    base_free(w->all);
    *w = (struct vision_weights){0};
}
