/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Qwen3-VL (arXiv 2511.21631): Qwen2-VL's pictures and merger, a table of positions that is stretched to the picture, and DeepStack:
 * what some layers make is merged, too, and goes into the language model's first layers.
 */
#include "vision/block.h"
#include "vision/sample.h"

#include <math.h>
#include <stdio.h>

static int read(const struct gguf *gguf, struct vision_params *p)
{
    int err;
    char name[64];
    TRY(vision_qwen_read(gguf, 65536, 16777216, p));
    const struct gguf_tensor *table = model_gguf_tensor(gguf, "v.position_embd.weight");
    int64_t n = table ? table->ne[1] * table->ne[2] * table->ne[3] : 0;
    p->n_positions = n > 0 && n <= 1 << 20 ? (int32_t)n : 0;
    int32_t side = (int32_t)lround(sqrt((double)p->n_positions));
    if (p->n_positions == 0 || side * side != p->n_positions)
        TRY(base_fail(PR_ERR_FORMAT,
                      "%s: tensor \"v.position_embd.weight\" is missing or no square of positions; the file is damaged "
                      "or was converted wrongly, get it again",
                      model_gguf_path(gguf)));
    for (int32_t i = 0; i < p->n_layer; i++) {
        snprintf(name, sizeof name, "v.deepstack.%d.fc1.weight", i);
        if (!model_gguf_tensor(gguf, name))
            continue;
        if (p->n_deepstack == VISION_MAX_DEEPSTACK)
            TRY(base_fail(PR_ERR_UNSUPPORTED, "%s: more than %d DeepStack layers", model_gguf_path(gguf),
                          VISION_MAX_DEEPSTACK));
        p->deepstack_layer[p->n_deepstack++] = i;
    }
    return PR_OK;
fail:
    return err;
}

static int load(struct vision_weights *w)
{
    int err;
    char name[64];
    const struct vision_params *p = w->params;
    int64_t merged = (int64_t)p->merge * p->merge * p->d_model;
    TRY(vision_qwen_load_merger(w));
    for (int32_t i = 0; i < p->n_deepstack; i++) {
        snprintf(name, sizeof name, "v.deepstack.%d.norm", p->deepstack_layer[i]);
        TRY(vision_fetch_norm(w, name, merged, &w->deepstack[i].norm));
        snprintf(name, sizeof name, "v.deepstack.%d.fc1", p->deepstack_layer[i]);
        TRY(vision_fetch_linear(w, name, merged, merged, 0, &w->deepstack[i].fc[0]));
        snprintf(name, sizeof name, "v.deepstack.%d.fc2", p->deepstack_layer[i]);
        TRY(vision_fetch_linear(w, name, p->d_out, merged, 0, &w->deepstack[i].fc[1]));
    }
    return PR_OK;
fail:
    return err;
}

/* The table, stretched to the patches of a crop with the corners in place. */
static struct tensor *positions(struct vision_graph *g)
{
    const struct vision_weights *w = g->weights;
    int32_t side = (int32_t)lround(sqrt((double)w->params->n_positions));
    struct resample_params params = {
        .in_w = side, .in_h = side, .out_w = g->cols, .out_h = g->rows, .align_corners = true};
    struct tensor *table = op_gather(g->pass, w->positions, g->table_rows);
    return op_gather(g->pass, op_resample(g->pass, table, &params), g->places);
}

/* Merged first, then normed: the other way round than in the merger. */
static struct tensor *deepstack(struct vision_graph *g, int32_t i, struct tensor *x)
{
    const struct vision_weights *w = g->weights;
    x = vision_norm(g, vision_merge(g, x), &w->deepstack[i].norm);
    x = op_activate(g->pass, vision_matmul(g, x, &w->deepstack[i].fc[0]), ACT_GELU_ERF);
    return vision_matmul(g, x, &w->deepstack[i].fc[1]);
}

static void record(struct vision_graph *g, struct tensor **out)
{
    const struct vision_params *p = g->weights->params;
    int32_t taken = 0;
    struct tensor *x = op_add(g->pass, vision_embed_patches(g), positions(g));
    for (int32_t il = 0; il < p->n_layer; il++) {
        x = vision_block(g, il, x);
        if (taken < p->n_deepstack && p->deepstack_layer[taken] == il) {
            out[1 + taken] = deepstack(g, taken, x);
            taken++;
        }
    }
    out[0] = vision_qwen_merger(g, x);
}

const struct vision_family vision_family_qwen3vl = {
    .name = "qwen3vl_merger",
    .title = "Qwen3-VL",
    .patch_bias = true,
    .grid_positions = true,
    .marks = {"<|vision_start|>", "<|vision_end|>"},
    .fps = 2,
    .min_frames = 4,
    .max_frames = 768,
    .sample = vision_qwen3vl_sample,
    .read = read,
    .load = load,
    .record = record,
    .layout = vision_qwen3vl_layout,
    .resize = vision_qwen_resize,
};
