/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The pieces that the graphs of families are put together from.
 *
 * Patches go through an encoder in the order of merging: the merge * merge patches of a visual token follow each other (row by
 * row), so that merging is only another way to read the rows. Attention doesn't mind. With windows, tokens are grouped
 * by window besides, and `back` undoes that at the end. A class token stands before the patches of its crop.
 */
#pragma once

#include "vision/network.h"

/* The inputs of a pass over crops of one size that is being recorded; n = n_crops * per_crop rows: patches and class tokens. */
struct vision_graph {
    struct pass *pass;
    const struct vision_weights *weights;
    int32_t n_crops, rows, cols; /* patches of a crop */
    int32_t per_crop;            /* rows * cols, and one more with a class token */
    struct tensor *frame[2];     /* f32 [n_crops * 3 * rows * patch, cols * patch], planar, normalised; [1]: of pairs */
    struct tensor *order; /* i32 [1, n]: patch row by row of each place in the encoder's order; -1: a class token */
    struct tensor *class_rows;   /* i32 [1, n]: 0 for a class token, -1 for a patch; NULL: no class tokens */
    struct tensor *patches;      /* i32 [1, n_crops * rows * cols]: the places of patches; NULL: no class tokens */
    struct tensor *table_rows;   /* i32 [1, n_positions]: 0, 1, 2, ...; NULL: no table */
    struct tensor *places;       /* i32 [1, n]: its row in the table of positions; NULL: no table */
    struct tensor *positions;    /* i32 [n, 4] = (y, x, 0, 0) for rope; NULL: no rope */
    struct tensor *range;        /* i32 [n, 2]: the ends of the patch's own crop */
    struct tensor *window_range; /* i32 [n, 2]: of its window; NULL: no windows */
    struct tensor *back;         /* i32 [1, n / merge^2]: places of the visual tokens row by row; NULL: they are */
};

/* Patches times the convolution, both frames of a pair, and class tokens, in the encoder's order: [n, d_model]. */
struct tensor *vision_embed_patches(struct vision_graph *g);
/* Layer il: x[n, d_model] -> the same. */
struct tensor *vision_block(struct vision_graph *g, int32_t il, struct tensor *x);
struct tensor *vision_norm(struct vision_graph *g, struct tensor *x, const struct vision_linear *norm);
struct tensor *vision_matmul(struct vision_graph *g, struct tensor *x, const struct vision_linear *l);
/* x[n, d] -> [n / merge^2, merge^2 * d]. */
struct tensor *vision_merge(struct vision_graph *g, struct tensor *x);
/* What the families of Qwen share (family_qwen2vl.c): keys, with the limits of files that don't say; and x[n, d_model] normed with
 * post_norm, merged, and through mm[0], GELU, mm[1]. */
int vision_qwen_read(const struct gguf *gguf, int32_t min_pixels, int32_t max_pixels, struct vision_params *p);
int vision_qwen_load_merger(struct vision_weights *w);
struct tensor *vision_qwen_merger(struct vision_graph *g, struct tensor *x);

/* Visual tokens row by row. */
struct tensor *vision_restore(struct vision_graph *g, struct tensor *x);
