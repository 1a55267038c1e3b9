/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pictures, videos and pages on their way into a prompt: the one place that knows both ingest and the vision encoder.
 */
#pragma once

#include "engine/options.h"
#include "model/hparams.h"
#include "model/tokenizer.h"
#include "pagereel/model.h"
#include "pagereel/source.h"
#include "vision/encoder.h"

/* An open mmproj file. Zero-initialised: none. */
struct engine_vision {
    struct gguf *gguf;
    struct vision_params params;
    struct vision_encoder *encoder; /* NULL: the file was only looked at */
    int64_t encoded;                /* crops so far: pictures, tiles, frames, pairs of frames */
};

/* Opens the file `mmproj`, or when that is "" the one beside the file `model` that fits it (of several the one
 * with the likeliest name), and reads what it says of itself. hp: what the
 * visual tokens must fit, tokenizer: which must have the family's marks; NULL: anything for `mmproj`, and what `model` itself
 * says for one beside it. PR_ERR_NOT_FOUND: no mmproj; PR_ERR_INVALID: it belongs to another model. */
int engine_vision_peek(struct engine_vision *out, const char *mmproj, const char *model, const struct hparams *hp,
                       const struct tokenizer *tokenizer);
/* The same, ready to encode; *out may have been peeked at before. */
int engine_vision_open(struct engine_vision *out, const char *mmproj, const char *model, struct device *device,
                       struct device *host, const struct hparams *hp, const struct tokenizer *tokenizer);
void engine_vision_close(struct engine_vision *vision); /* takes a zeroed one */

/* A run of what the model sees of a picture: words, which may hold control tokens, or visual tokens. */
struct engine_run {
    char *text;                           /* NULL: tokens */
    float *rows;                          /* [n, width of the model's rows] */
    int32_t *positions;                   /* [n, 4] from the beginning of the run, or NULL: 0, 1, 2, ... */
    int32_t n, advance;                   /* how far the run moves the position of what follows */
    int32_t frames, grid_rows, grid_cols; /* n = their product; 0: not told */
};
void engine_run_finish(struct engine_run *run);

/* What the model sees of one picture, video or page. Zero-initialised is empty. */
struct engine_medium {
    bool video, partial; /* partial: something of it couldn't be read */
    struct engine_run *runs;
    size_t n_runs;
    int32_t tile_rows, tile_cols; /* of a picture that was cut into tiles; otherwise 0 */
};
void engine_medium_finish(struct engine_medium *medium);

/* A growing list. Zero-initialised is empty. */
struct engine_media {
    struct engine_medium *media;
    size_t n;
};
void engine_media_finish(struct engine_media *list);
void engine_media_cut(struct engine_media *list, size_t n); /* only the first n stay */

/* see.c: reads a file and encodes it; a document gives a medium for each of its pages. Of a video the model sees the frames that its
 * family's own rule takes, unless settings say otherwise; they are decoded, prepared and encoded at the same time, and at most once.
 * With settings->at a video is one picture, with settings->box each picture only that part. On failure the list is as it was. */
int engine_media_read(struct engine_media *list, struct engine_vision *vision, enum pr_item_kind kind, const char *path,
                      const struct pr_settings *settings, struct pr_cancel *cancel);

/* see.c: what that takes, found without encoding. out->memory: until engine_media_read() returns, with the rows that it returns. */
int engine_media_plan(struct engine_vision *vision, enum pr_item_kind kind, const char *path,
                      const struct pr_settings *settings, struct pr_cancel *cancel, struct pr_visual_plan *out);

/* A place to look at again: the frame that is shown at `at`, or a page, or with neither the first picture; of it the box. */
struct engine_place {
    int64_t at;        /* microseconds; PR_TIME_NONE: no time */
    int32_t page;      /* from 0; PR_PAGE_NONE: no page */
    struct pr_box box; /* points of a page, pixels of a frame or picture; all zero: the whole */
};
/* see.c: encodes one place of a file at its full resolution, a page as large as it takes, in at most max_tokens visual tokens (0: as
 * the model was made for). password: of the document, or "". The caller finishes *out. PR_ERR_NOT_FOUND: nothing is shown there;
 * PR_ERR_INVALID: the box lies outside. */
int engine_look_again(struct engine_vision *vision, const char *path, const struct engine_place *place,
                      int32_t max_tokens, const char *password, struct pr_cancel *cancel, struct engine_medium *out);
