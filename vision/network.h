/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An encoder's weights: fetched by name, their shapes checked, and brought to their device. What a family or a file doesn't have
 * is NULL. Shapes [rows, cols]; biases [1, rows of their weight].
 */
#pragma once

#include "vision/encoder.h"

/* A matrix or a norm with its bias. */
struct vision_linear {
    struct tensor *weight, *bias;
};

struct vision_layer {
    struct vision_linear norm1, norm2;         /* [1, d_model] */
    struct vision_linear q, k, v, attn_output; /* [d_model, d_model] */
    struct tensor *scale1, *scale2;            /* [1, d_model], of what attention and feed-forward add; NULL: none */
    struct vision_linear gate, up, down; /* [d_ff, d_model] twice, [d_model, d_ff]; gate: gated activations only */
};

struct vision_weights {
    const struct vision_params *params;
    const struct gguf *gguf;
    struct weights *weights;
    struct device *device, *host;
    struct tensor *patch[2], *patch_bias;     /* [d_model, 3 * patch * patch]; patch[1]: of a pair's second frame */
    struct tensor *positions;                 /* [n_positions, d_model] */
    struct tensor *class_token;               /* [1, d_model] */
    struct vision_linear pre_norm, post_norm; /* [1, d_model] */
    struct vision_layer *layers;              /* [n_layer] */
    struct vision_linear mm[2];               /* the projector's matrices in their order */
    struct {
        struct vision_linear norm, fc[2];
    } deepstack[VISION_MAX_DEEPSTACK];
    struct tensor **all; /* [n_all]: what was fetched */
    int32_t n_all;
};

/* Fetches all weights and places them: on the device what it has room for, the rest on the host. On failure *out is finished.
 * PR_ERR_FORMAT: something is missing, of another shape, or in one layer and not in another; PR_ERR_UNSUPPORTED: layers have more
 * than the family's graph reads, and would be seen with other eyes than the model's. */
int vision_weights_init(struct vision_weights *out, const struct vision_params *params, const struct gguf *gguf,
                        const struct vision_encoder_options *options);
void vision_weights_finish(struct vision_weights *w);

/* The tensor `name` as [rows, cols]; flags as in model_weight(). */
int vision_fetch(struct vision_weights *w, const char *name, int64_t rows, int64_t cols, unsigned flags,
                 struct tensor **out);
/* NAME.weight [rows, cols] and NAME.bias [1, rows], for which flags are. */
int vision_fetch_linear(struct vision_weights *w, const char *name, int64_t rows, int64_t cols, unsigned flags,
                        struct vision_linear *out);
/* NAME.weight [1, cols], and its bias [1, cols], which must be there unless the family's norms have none. */
int vision_fetch_norm(struct vision_weights *w, const char *name, int64_t cols, struct vision_linear *out);
