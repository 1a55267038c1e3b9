/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * SmolVLM and SmolVLM2 (arXiv 2504.05299), Idefics3: SigLIP with a table of positions, pixel shuffle, one matrix.
 */
#include "vision/block.h"
#include "vision/sample.h"

static int read(const struct gguf *gguf, struct vision_params *p)
{
    int err;
    int32_t side = p->image_size / p->patch;
    if (p->norm_eps == 1e-5f) /* the converters' guess where config.json says nothing; the models' own code has 1e-6 */
        p->norm_eps = 1e-6f;
    TRY(vision_key_int(gguf, "clip.vision.projector.scale_factor", 1, 16, -1, &p->merge));
    /* Files from before 2026 don't say how large a picture is before it is cut; the models were made for four tiles a side. */
    TRY(vision_key_int(gguf, "clip.vision.preproc_image_size", p->image_size, 8 * p->image_size, 4 * p->image_size,
                       &p->longest_edge));
    if (side % p->merge) /* what is left of a tile beside whole patches isn't seen: SmolVLM2-2.2B, 384 = 27 * 14 + 6 */
        TRY(base_fail(PR_ERR_FORMAT,
                      "%s: tiles of %d pixels don't divide into %d x %d patches of %d; the file is damaged or was "
                      "converted wrongly, get it again",
                      model_gguf_path(gguf), p->image_size, p->merge, p->merge, p->patch));
    p->n_positions = side * side;
    return PR_OK;
fail:
    return err;
}

static int load(struct vision_weights *w)
{
    int err;
    const struct vision_params *p = w->params;
    TRY(vision_fetch_norm(w, "v.post_ln", p->d_model, &w->post_norm));
    TRY(vision_fetch(w, "mm.model.fc.weight", p->d_out, (int64_t)p->merge * p->merge * p->d_model, 0,
                     &w->mm[0].weight));
    return PR_OK;
fail:
    return err;
}

static void record(struct vision_graph *g, struct tensor **out)
{
    const struct vision_weights *w = g->weights;
    struct tensor *x = vision_embed_patches(g);
    x = op_add(g->pass, x, op_gather(g->pass, w->positions, g->places));
    for (int32_t il = 0; il < w->params->n_layer; il++)
        x = vision_block(g, il, x);
    x = vision_norm(g, x, &w->post_norm);
    out[0] = vision_matmul(g, vision_merge(g, x), &w->mm[0]);
}

const struct vision_family vision_family_idefics3 = {
    .name = "idefics3",
    .title = "SmolVLM, SmolVLM2, Idefics3",
    .patch_bias = true,
    .marks = {"<fake_token_around_image>", "<global-img>"},
    .fps = 1,
    .min_frames = 1,
    .max_frames = 64,
    .sample = vision_idefics3_sample,
    .read = read,
    .load = load,
    .record = record,
    .layout = vision_idefics3_layout,
    .resize = vision_idefics3_resize,
    .cut = vision_idefics3_cut,
};
