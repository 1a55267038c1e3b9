/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The encoder and connector of an mmproj file: crops in, visual tokens out. It knows nothing of the language model, so it can be
 * opened for ingest and closed before one is loaded.
 */
#pragma once

#include "base/cancel.h"
#include "vision/preprocess.h"

struct pass_cost;
struct vision_encoder; /* weights and their placement, planned passes; belongs to one thread at a time */

struct vision_encoder_options {
    struct device *device; /* computes; the weights lie there, or where they don't fit on the host */
    struct device *host;   /* ref or cpu; may equal device */
    uint64_t memory;       /* bytes that a pass may take: decides how many crops go in one; 0: VISION_MEMORY */
};
#define VISION_MEMORY ((uint64_t)512 << 20)

/* `gguf` outlives the encoder. On success the caller owns *out. Errors of vision_params_read(); PR_ERR_FORMAT, PR_ERR_NOT_FOUND: a
 * tensor has another shape or is missing. */
int vision_encoder_create(const struct gguf *gguf, const struct vision_encoder_options *options,
                          struct vision_encoder **out);
void vision_encoder_destroy(struct vision_encoder *encoder); /* takes NULL */

const struct vision_params *vision_encoder_params(const struct vision_encoder *encoder);
/* Values in a row of output: d_out * (1 + n_deepstack). */
int32_t vision_encoder_width(const struct vision_encoder *encoder);

/* How many of `most` crops of this size go into one pass: as many as fit the memory, 1 at least. Negative: an error. */
int vision_encoder_batch(struct vision_encoder *encoder, int32_t width, int32_t height, int32_t most);
/* What a pass of n crops of this size takes on all devices: planned, not run. */
int vision_encoder_cost(struct vision_encoder *encoder, int32_t width, int32_t height, int32_t n,
                        struct pass_cost *out);

/* Bytes that vision_encode() takes for n crops of this size, on all devices, with the host's side of inputs and outputs: at the most, and
 * known before it runs. */
int vision_encoder_memory(struct vision_encoder *encoder, int32_t width, int32_t height, int32_t n, uint64_t *bytes);

/* Encodes crops first .. first + n - 1 of a layout, whose pixels lie in `rgb` as vision_fill() leaves them: rows[tokens, width], the caller's,
 * in the order of the crops. A row is the visual token, then its DeepStack slices. Neighbours of one size share passes.
 * PR_ERR_FORMAT: the tokens aren't finite (damaged weights); PR_ERR_CANCELLED; PR_ERR_NOMEM; PR_ERR_DEVICE_LOST. */
int vision_encode(struct vision_encoder *encoder, const struct vision_layout *layout, int32_t first, int32_t n,
                  const uint8_t *rgb, float *rows, const struct base_cancel *cancel);
