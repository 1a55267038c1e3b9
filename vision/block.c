/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vision/block.h"

#include <math.h>

struct tensor *vision_embed_patches(struct vision_graph *g)
{
    const struct vision_weights *w = g->weights;
    int32_t p = w->params->patch;
    struct patch_params patches = {.width = g->cols * p, .height = g->rows * p, .channels = 3, .patch = p};
    struct tensor *sum = NULL;
    for (int i = 0; i < w->params->n_frames; i++) {
        struct tensor *x = op_gather(g->pass, op_patches(g->pass, g->frame[i], &patches), g->order);
        x = op_matmul(g->pass, w->patch[i], x, i == 0 ? w->patch_bias : NULL);
        sum = sum ? op_add(g->pass, sum, x) : x;
    }
    if (g->class_rows)
        sum = op_add(g->pass, sum, op_gather(g->pass, w->class_token, g->class_rows));
    if (g->class_rows &&
        w->patch_bias) /* a class token has no pixels: it is a row of zeros, and has got the bias alone */
        sum = op_add(g->pass, sum, op_scale(g->pass, op_gather(g->pass, w->patch_bias, g->class_rows), -1));
    return sum;
}

struct tensor *vision_norm(struct vision_graph *g, struct tensor *x, const struct vision_linear *norm)
{
    float eps = g->weights->params->norm_eps;
    return g->weights->params->family->rms ? op_rms_norm(g->pass, x, norm->weight, eps)
                                           : op_layer_norm(g->pass, x, norm->weight, norm->bias, eps);
}

struct tensor *vision_matmul(struct vision_graph *g, struct tensor *x, const struct vision_linear *l)
{
    return op_matmul(g->pass, l->weight, x, l->bias);
}

static struct tensor *attention(struct vision_graph *g, int32_t il, struct tensor *x)
{
    const struct vision_params *p = g->weights->params;
    const struct vision_layer *l = &g->weights->layers[il];
    int32_t d_head = p->d_model / p->n_head;
    struct tensor *q = vision_matmul(g, x, &l->q), *k = vision_matmul(g, x, &l->k), *v = vision_matmul(g, x, &l->v);
    if (g->positions) {
        struct rope_params rope = {
            .kind = ROPE_VISION, .d_head = d_head, .n_rot = d_head, .base = 10000, .freq_scale = 1, .yarn_attn = 1};
        q = op_rope(g->pass, q, g->positions, NULL, &rope);
        k = op_rope(g->pass, k, g->positions, NULL, &rope);
    }
    struct attention_params params = {
        .n_head = p->n_head, .n_kv = p->n_head, .d_head = d_head, .d_value = d_head, .scale = 1 / sqrtf((float)d_head)};
    struct tensor *range = g->window_range && p->window_layers[il] ? g->window_range : g->range;
    return vision_matmul(g, op_attention(g->pass, q, k, v, NULL, range, &params), &l->attn_output);
}

static struct tensor *feed_forward(struct vision_graph *g, int32_t il, struct tensor *x)
{
    enum activation kind = g->weights->params->activation;
    const struct vision_layer *l = &g->weights->layers[il];
    struct tensor *up = vision_matmul(g, x, &l->up);
    struct tensor *h =
        l->gate.weight ? op_glu(g->pass, vision_matmul(g, x, &l->gate), up, kind) : op_activate(g->pass, up, kind);
    return vision_matmul(g, h, &l->down);
}

static struct tensor *scaled(struct vision_graph *g, struct tensor *x, struct tensor *scale)
{
    return scale ? op_mul(g->pass, x, scale) : x;
}

struct tensor *vision_block(struct vision_graph *g, int32_t il, struct tensor *x)
{
    const struct vision_layer *l = &g->weights->layers[il];
    x = op_add(g->pass, scaled(g, attention(g, il, vision_norm(g, x, &l->norm1)), l->scale1), x);
    return op_add(g->pass, scaled(g, feed_forward(g, il, vision_norm(g, x, &l->norm2)), l->scale2), x);
}

struct tensor *vision_merge(struct vision_graph *g, struct tensor *x)
{
    int64_t s = (int64_t)g->weights->params->merge * g->weights->params->merge;
    return op_reshape(g->pass, x, x->rows / s, x->cols * s);
}

struct tensor *vision_restore(struct vision_graph *g, struct tensor *x)
{
    return g->back ? op_gather(g->pass, x, g->back) : x;
}
