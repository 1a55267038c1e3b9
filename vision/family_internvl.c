/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * InternVL 2.5, 3 and 3.5 (arXiv 2504.10479) with InternViT-300M: a class token before the patches, layer scale, pixel shuffle, a norm and
 * two matrices.
 */
#include "vision/block.h"
#include "vision/sample.h"

enum { MAX_TILES = 40 };
static const float PROJECTOR_EPS = 1e-5f; /* nn.LayerNorm's own; files have that of the layers */

static int read(const struct gguf *gguf, struct vision_params *p)
{
    int err;
    int32_t side = p->image_size / p->patch;
    TRY(vision_key_int(gguf, "clip.vision.projector.scale_factor", 1, 16, 2, &p->merge));
    TRY(vision_key_int(gguf, "clip.vision.preproc_min_tiles", 1, MAX_TILES, 1, &p->min_tiles));
    TRY(vision_key_int(gguf, "clip.vision.preproc_max_tiles", p->min_tiles, MAX_TILES, 12, &p->max_tiles));
    if (side % p->merge)
        TRY(base_fail(PR_ERR_FORMAT,
                      "%s: tiles of %d pixels don't divide into %d x %d patches of %d; the file is damaged or was "
                      "converted wrongly, get it again",
                      model_gguf_path(gguf), p->image_size, p->merge, p->merge, p->patch));
    if (model_gguf_tensor(gguf, "v.blk.0.attn_q_norm.weight"))
        TRY(base_fail(PR_ERR_UNSUPPORTED,
                      "%s: InternVL models with InternViT-6B aren't supported, only those with InternViT-300M (1B to "
                      "14B)",
                      model_gguf_path(gguf)));
    p->class_token = true;
    p->n_positions = side * side + 1;
    if (p->activation == ACT_GELU_TANH) /* files tell only that it is a GELU; the models' own code has erf */
        p->activation = ACT_GELU_ERF;
    return PR_OK;
fail:
    return err;
}

static int load(struct vision_weights *w)
{
    int err;
    const struct vision_params *p = w->params;
    int64_t merged = (int64_t)p->merge * p->merge * p->d_model;
    TRY(vision_fetch(w, "v.class_embd", 1, p->d_model, 0, &w->class_token));
    TRY(vision_fetch_norm(w, "mm.model.mlp.0", merged, &w->post_norm));
    TRY(vision_fetch_linear(w, "mm.model.mlp.1", p->d_out, merged, 0, &w->mm[0]));
    TRY(vision_fetch_linear(w, "mm.model.mlp.3", p->d_out, p->d_out, 0, &w->mm[1]));
    return PR_OK;
fail:
    return err;
}

static void record(struct vision_graph *g, struct tensor **out)
{
    const struct vision_weights *w = g->weights;
    struct tensor *x = op_add(g->pass, vision_embed_patches(g), op_gather(g->pass, w->positions, g->places));
    for (int32_t il = 0; il < w->params->n_layer; il++)
        x = vision_block(g, il, x);
    x = vision_merge(g, op_gather(g->pass, x, g->patches));
    x = op_layer_norm(g->pass, x, w->post_norm.weight, w->post_norm.bias, PROJECTOR_EPS);
    x = op_activate(g->pass, vision_matmul(g, x, &w->mm[0]), ACT_GELU_ERF);
    out[0] = vision_matmul(g, x, &w->mm[1]);
}

const struct vision_family vision_family_internvl = {
    .name = "internvl",
    .title = "InternVL",
    .patch_bias = true,
    .marks = {"<img>", "</img>"},
    .fps = 1,
    .min_frames = 8,
    .max_frames = 32,
    .sample = vision_internvl_sample,
    .read = read,
    .load = load,
    .record = record,
    .layout = vision_internvl_layout,
    .resize = vision_internvl_resize,
    .cut = vision_internvl_cut,
};
