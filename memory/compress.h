/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From the visual tokens of a segment's frames to the few that are kept of it, without a model and without knowing the question:
 * tokens are followed from frame to frame and merged along their tracks, and those of each frame that differ most from each other are
 * kept before all others, as they are. Three things bound what merging may lose: a token joins a track only while it is like the
 * last one of the track and like its first one (so slow change can't drift away), near where the last one was (so boxes stay
 * tight), and, unless it stands still, for a while.
 *
 * The constants are points of departure: thresholds belong to a feature space and are calibrated per model (calibrate.h).
 */
#pragma once

#include "base/error.h"
#include "memory/evidence.h"

#include <stdbool.h>

struct compress_options {
    float
        keep; /* share of the tokens that a segment keeps at the most: 0.25. 1 keeps them all as they are: nothing is merged */
    float detail;  /* share of those that is picked frame by frame and kept as it is: 0.7 */
    float link;    /* least cosine with the last token of a track: 0.80 */
    float anchor;  /* least cosine with its first one: 0.70 */
    float own;     /* weight of the first one in the merged value, against the mean of all: 0.6 */
    int32_t life;  /* frames that a track of what moves or changes lasts at the most: 32 */
    int32_t move;  /* cells that a token may move from one frame to the next: 2 */
    int32_t least; /* tokens that a segment may keep in any case: 32 */
    float same;    /* tokens nearer than this (chordal) are views of one thing, of which one is enough: 0.05 */
    /* Microseconds from one frame to the next. A frame that stays for longer stands for as many, so that what a still picture shows is
     * paid for by its time. 0: each counts once. */
    int64_t step;
};
struct compress_options memory_compress_default(void);

struct compressor; /* one segment at a time; belongs to one thread at a time */

/* For frames of [grid_h * grid_w, columns] tokens, row by row. The caller owns the result. */
struct compressor *memory_compressor_create(int32_t columns, uint16_t grid_h, uint16_t grid_w,
                                            const struct compress_options *options);
void memory_compressor_destroy(struct compressor *compressor); /* takes NULL */

/* Takes a frame that is shown in [t0, t1), until the gate lets another one through; frames in the order of time. The rows are copied where
 * needed. */
void memory_compressor_frame(struct compressor *compressor, const float *rows, int64_t t0, int64_t t1);
uint32_t memory_compressor_frames(const struct compressor *compressor); /* so far in this segment */

/* What a segment keeps, in farthest-point order. */
struct compressed {
    uint32_t n, n_raw, n_frames;
    int64_t t0, t1;
    float *rows;                   /* [n, columns] */
    struct evidence_token *tokens; /* [n] */
    float *mean;                   /* [columns] of all raw tokens */
};
/* Bytes that the segment's tokens take until it ends. */
size_t memory_compressor_bytes(const struct compressor *compressor);
/* Ends the segment and begins the next one. The caller owns *out: memory_compressed_finish(). Without a frame, n is 0. */
void memory_compressor_close(struct compressor *compressor, struct compressed *out);
void memory_compressed_finish(struct compressed *out);

/* A page or picture: of its tokens [grid_h * grid_w, columns] those for which `drop` is false (NULL: all) are kept as they are, in
 * farthest-point order. Its tokens have no time. The caller owns *out. */
void memory_compress_page(const float *rows, int32_t columns, uint16_t grid_h, uint16_t grid_w, const bool *drop,
                          struct compressed *out);
