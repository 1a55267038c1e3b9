/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pictures, videos and pages on their way into a prompt: the one place that knows both ingest and the vision encoder.
 */
#pragma once

#include "engine/options.h"
#include "model/hparams.h"
#include "pagereel/model.h"
#include "vision/encoder.h"

/* An open mmproj file. Zero-initialised: none. */
struct engine_vision {
    struct gguf *gguf;
    struct vision_params params;
    struct vision_encoder *encoder; /* NULL: the file was only looked at */
    int64_t encoded;                /* crops so far: pictures, tiles, frames, pairs of frames */
};

/* Opens the file `mmproj`, or when that is "" the one that lies beside the file `model`, and reads what it says of itself. hp: what the
 * visual tokens must fit; NULL: anything. PR_ERR_NOT_FOUND: no mmproj; PR_ERR_INVALID: it belongs to another model. */
int engine_vision_peek(struct engine_vision *out, const char *mmproj, const char *model, const struct hparams *hp);
/* The same, ready to encode; *out may have been peeked at before. */
int engine_vision_open(struct engine_vision *out, const char *mmproj, const char *model, struct device *device,
                       struct device *host, const struct hparams *hp);
void engine_vision_close(struct engine_vision *vision); /* takes a zeroed one */

/* A run of a picture that was encoded before: words, which may hold control tokens, or visual tokens. */
struct engine_run {
    char *text;         /* NULL: tokens */
    float *rows;        /* [n, width of the model's rows] */
    int32_t *positions; /* [n, 4] from the beginning of the run, or NULL: 0, 1, 2, ... */
    int32_t n, advance; /* how far the run moves the position of what follows */
};
void engine_run_finish(struct engine_run *run);

/* What the model sees of one picture, video or page. */
struct engine_medium {
    struct vision_layout layout;
    bool video;
    float *rows;             /* [layout.n_tokens, vision_encoder_width()] */
    struct engine_run *runs; /* in place of the layout, for a medium that was encoded before */
    size_t n_runs;
};
void engine_medium_finish(struct engine_medium *medium);

/* A growing list. Zero-initialised is empty. */
struct engine_media {
    struct engine_medium *media;
    size_t n;
};
void engine_media_finish(struct engine_media *list);
void engine_media_cut(struct engine_media *list, size_t n); /* only the first n stay */

/* Reads a file and encodes it; a document gives a medium for each of its pages. Frames of a video are decoded, prepared and
 * encoded in turn. On failure the list is as it was. */
int engine_media_read(struct engine_media *list, struct engine_vision *vision, enum pr_item_kind kind, const char *path,
                      const struct pr_settings *settings, struct pr_cancel *cancel);
