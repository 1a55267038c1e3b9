/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Qwen2-VL (arXiv 2409.12191): pictures of any size, rotary positions, 2 x 2 patches merged behind the layers. Qwen2.5-VL
 * (arXiv 2502.13923) is the same with RMS norms, gated feed-forward and layers that look through windows.
 */
#include "vision/block.h"
#include "vision/sample.h"

enum { MAX_PIXELS = 1 << 26, WINDOW = 112 /* pixels a side, of files that don't say */ };

static int wrong(const struct gguf *gguf, const char *what)
{
    return base_fail(PR_ERR_FORMAT, "%s: %s; the file is damaged or was converted wrongly, get it again",
                     model_gguf_path(gguf), what);
}

int vision_qwen_read(const struct gguf *gguf, int32_t min_pixels, int32_t max_pixels, struct vision_params *p)
{
    int err;
    int32_t least, most;
    p->n_frames = 2;
    p->rope = true;
    TRY(vision_key_int(gguf, "clip.vision.spatial_merge_size", 1, 16, 2, &p->merge));
    TRY(vision_key_int(gguf, "clip.vision.image_min_pixels", 1, MAX_PIXELS, min_pixels, &least));
    TRY(vision_key_int(gguf, "clip.vision.image_max_pixels", 1, MAX_PIXELS, max_pixels, &most));
    p->min_pixels = least;
    p->max_pixels = most;
    if (least > most)
        TRY(wrong(gguf, "clip.vision.image_min_pixels is larger than image_max_pixels"));
    if (p->d_model / p->n_head % 4)
        TRY(wrong(gguf,
                  "the width of a head (clip.vision.embedding_length / attention.head_count) isn't a multiple of 4"));
    return PR_OK;
fail:
    return err;
}

static int read(const struct gguf *gguf, struct vision_params *p)
{
    return vision_qwen_read(gguf, 3136, 12845056, p);
}

/* Windows of so many pixels; every n_wa_pattern-th layer sees the whole crop. */
static int read25(const struct gguf *gguf, struct vision_params *p)
{
    int err;
    int32_t pixels;
    TRY(read(gguf, p));
    TRY(vision_key_int(gguf, "clip.vision.window_size", 1, 1 << 16, WINDOW, &pixels));
    TRY(vision_key_int(gguf, "clip.vision.n_wa_pattern", 0, VISION_MAX_LAYERS, -1, &p->window_pattern));
    p->window = pixels / p->patch / p->merge * p->merge;
    if (p->window == 0)
        TRY(wrong(gguf, "clip.vision.window_size is smaller than a visual token"));
    for (int32_t i = 0; i < p->n_layer; i++)
        p->window_layers[i] = p->window_pattern && (i + 1) % p->window_pattern != 0;
    if (p->window_pattern == 0)
        p->window = 0;
    return PR_OK;
fail:
    return err;
}

int vision_qwen_load_merger(struct vision_weights *w)
{
    int err;
    const struct vision_params *p = w->params;
    int64_t merged = (int64_t)p->merge * p->merge * p->d_model;
    TRY(vision_fetch_norm(w, "v.post_ln", p->d_model, &w->post_norm));
    TRY(vision_fetch_linear(w, "mm.0", merged, merged, 0, &w->mm[0]));
    TRY(vision_fetch_linear(w, "mm.2", p->d_out, merged, 0, &w->mm[1]));
    return PR_OK;
fail:
    return err;
}

struct tensor *vision_qwen_merger(struct vision_graph *g, struct tensor *x)
{
    const struct vision_weights *w = g->weights;
    x = vision_merge(g, vision_norm(g, x, &w->post_norm));
    x = op_activate(g->pass, vision_matmul(g, x, &w->mm[0]), ACT_GELU_ERF);
    return vision_matmul(g, x, &w->mm[1]);
}

static void record(struct vision_graph *g, struct tensor **out)
{
    struct tensor *x = vision_embed_patches(g);
    for (int32_t il = 0; il < g->weights->params->n_layer; il++)
        x = vision_block(g, il, x);
    out[0] = vision_restore(g, vision_qwen_merger(g, x));
}

const struct vision_family vision_family_qwen2vl = {
    .name = "qwen2vl_merger",
    .title = "Qwen2-VL",
    .grid_positions = true,
    .marks = {"<|vision_start|>", "<|vision_end|>"},
    .fps = 2,
    .min_frames = 4,
    .max_frames = 768,
    .sample = vision_qwen2vl_sample,
    .read = read,
    .load = vision_qwen_load_merger,
    .record = record,
    .layout = vision_qwen2vl_layout,
    .resize = vision_qwen_resize,
};

const struct vision_family vision_family_qwen25vl = {
    .name = "qwen2.5vl_merger",
    .title = "Qwen2.5-VL",
    .grid_positions = true,
    .marks = {"<|vision_start|>", "<|vision_end|>"},
    .fps = 2,
    .min_frames = 4,
    .max_frames = 768,
    .sample = vision_qwen2vl_sample,
    .read = read25,
    .load = vision_qwen_load_merger,
    .record = record,
    .rms = true,
    .layout = vision_qwen25vl_layout,
    .resize = vision_qwen_resize,
};
