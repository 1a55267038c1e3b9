/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which visual tokens of an evidence log a model can read. A visual setup's fingerprint has two halves: the encoder that made the rows
 * (its weights, and how pictures are prepared for it), and how much of what was seen is kept (which frames, what share). Rows of the
 * same first half are the same kind of rows; the second half tells whether adding again would give others.
 */
#pragma once

#include "engine/vision.h"
#include "memory/evidence.h"
#include "memory/recall_index.h"

enum { ENGINE_ENCODER_BYTES = BASE_HASH_BYTES / 2 };

/* What the encoder's rows depend on: its keys, a sample of each of its tensors, and the version of preparation. Reads the file's header
 * and a little of each tensor. */
void engine_encoder_identity(const struct engine_vision *vision, unsigned char out[ENGINE_ENCODER_BYTES]);
/* The type of rows that adding writes: settings->row_type, or f16 where rows of d_out numbers don't divide into blocks. */
enum type engine_row_type(const struct pr_settings *settings, int32_t d_out);
/* The setup of what adding writes with these settings; `vision` was peeked at. *out's text is the caller's `text`. */
void engine_visual_setup(const struct engine_vision *vision, const struct pr_settings *settings, char text[256],
                         struct evidence_setup *out);

/* Of a log's setups the one whose rows this encoder makes: a complete one before others, then the latest. NULL: none. Its segments are
 * those with memory_evidence_setup_of() == its number. */
const struct evidence_setup *engine_visual_find(const struct evidence *evidence,
                                                const unsigned char encoder[ENGINE_ENCODER_BYTES]);
/* The same by what recall keeps of the log. */
const struct evidence_setup *engine_visual_recalled(const struct recall_index *index,
                                                    const unsigned char encoder[ENGINE_ENCODER_BYTES]);
/* What was written under exactly this setup's fingerprint, or NULL. */
const struct evidence_setup *engine_visual_exact(const struct evidence *evidence, const struct evidence_setup *wanted);
/* As engine_visual_find(), of whatever model: what `show` tells of. */
const struct evidence_setup *engine_visual_latest(const struct evidence *evidence);
