/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Families of vision encoders, and what a file says about its encoder. A family is one row of the table in family.c: a graph
 * (family_NAME.c) and a preprocessing rule with the words around pictures (preprocess_NAME.c).
 */
#pragma once

#include "compute/op.h"
#include "model/gguf.h"
#include "model/weights.h"

enum { VISION_MAX_LAYERS = 512, VISION_MAX_DEEPSTACK = 16 };

struct vision_layout;
struct vision_request;
struct vision_image;

/* The hyper-parameters of an mmproj file, checked before anything is sized by them. */
struct vision_params {
    const struct vision_family *family;
    char name[128]; /* general.name, "" if absent */
    int32_t n_layer, d_model, d_ff, n_head;
    int32_t d_out;      /* width of a visual token: the language model's d_model */
    int32_t image_size; /* of a tile, or what the position table was made for */
    int32_t patch;      /* pixels a side */
    int32_t merge;      /* patches a side that make one visual token */
    int32_t n_frames;   /* frames in one crop: 2 where pairs of frames share tokens */
    float norm_eps, mean[3], std[3];
    enum activation activation;
    int32_t longest_edge; /* idefics3: pictures are scaled to it and cut into tiles of image_size; 0: never cut */
    int32_t min_tiles, max_tiles; /* InternVL: pictures are cut into so many, unless one is nearest to their shape */
    bool class_token; /* a row before the patches of a crop, for the whole of it; dropped behind the layers */
    int64_t min_pixels, max_pixels;        /* dynamic sizes: of a picture after resizing */
    int32_t n_positions;                   /* rows of the position table; 0: none */
    bool rope;                             /* rotary positions (y, x) in the layers */
    int32_t window;                        /* patches a side of an attention window; 0: none */
    int32_t window_pattern;                /* with windows: every so many layers one sees everything; 0: none does */
    bool window_layers[VISION_MAX_LAYERS]; /* layers that look through windows */
    int32_t n_deepstack;                   /* further slices of a visual token; 0 but for DeepStack */
    int32_t deepstack_layer[VISION_MAX_DEEPSTACK]; /* the layer behind which slice i is taken */
};

struct vision_graph;   /* vision/block.h: the pieces that graphs are put together from */
struct vision_weights; /* vision/network.h */

struct vision_family {
    const char *name;     /* clip.projector_type */
    const char *title;    /* for people: "SmolVLM" */
    bool grid_positions;  /* visual tokens have positions (t, row, col); otherwise 0, 1, 2, ... as text */
    const char *marks[3]; /* control tokens that its words need; unused ones NULL */

    /* Which sampling a video's own processor does unless it is told otherwise. */
    double fps;
    int32_t min_frames, max_frames;
    /* Which frames that is, vision/sample.h: ascending indices in frames[max_frames], of `total` at `rate` a second; how many. */
    int32_t (*sample)(const struct vision_family *family, int64_t total, double rate, int64_t *frames);

    /* Completes params with the family's own keys. PR_ERR_FORMAT: missing or out of range. */
    int (*read)(const struct gguf *gguf, struct vision_params *params);
    /* Fetches what the graph needs beside layers, by vision_fetch(). */
    int (*load)(struct vision_weights *weights);
    /* Records the whole encoder: out[0] = visual tokens [tokens of all crops, d_out], out[1 + i] = slice i. Tokens are row by
     * row, crop after crop. */
    void (*record)(struct vision_graph *g, struct tensor **out);
    bool patch_bias; /* v.patch_embd.bias is there */
    bool rms;        /* norms have no mean and no bias */

    /* preprocess_NAME.c; see vision/preprocess.h, whose functions call these. */
    int (*layout)(const struct vision_params *params, const struct vision_request *request, struct vision_layout *out);
    int (*resize)(const struct vision_layout *layout, const struct vision_image *image,
                  uint8_t *rgb); /* to one crop's size */
    int (*cut)(const struct vision_layout *layout, const struct vision_image *image,
               uint8_t *rgb); /* to tiles; NULL: never */
};

/* PR_ERR_UNSUPPORTED: no row of that name; the message lists those that there are. */
int vision_family_find(const char *name, const struct vision_family **out);

/* The families in the order of their table; NULL behind the last one. */
const struct vision_family *vision_family_at(size_t i);

/* Reads an mmproj file's keys. PR_ERR_FORMAT: not an mmproj file (the message says what it is), a key is missing or out of
 * range; PR_ERR_UNSUPPORTED: unknown family. */
int vision_params_read(const struct gguf *gguf, struct vision_params *out);

/* For read(): an integer key of min..max. Absent: `fallback`; -1: it must be there. */
int vision_key_int(const struct gguf *gguf, const char *key, int32_t min, int32_t max, int32_t fallback, int32_t *out);

extern const struct vision_family vision_family_idefics3, vision_family_internvl, vision_family_qwen2vl,
    vision_family_qwen25vl, vision_family_qwen3vl;
