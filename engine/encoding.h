/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Encoding on a thread of its own: the caller reads and prepares the next pictures meanwhile, and the worker of ingest decodes those
 * behind them. So a film takes as long as its slowest stage, not as long as all of them together.
 *
 *     for each crop:
 *         prepare it behind the others in buffer[now]
 *         if there are engine_encoding_batch() of them:
 *             TRY(engine_encoding_start(e, &layout, first, n, buffer[now].rgb, buffer[now].rows));
 *             now = !now;
 *             use the rows of the batch before, which is done now
 *     TRY(engine_encoding_wait(e));
 *     use the rows of the last one
 */
#pragma once

#include "engine/vision.h"

struct engine_encoding; /* belongs to one thread */

/* Crops that are encoded together at the most: more would only make the end of a film late. */
enum { ENGINE_BATCH = 4 };

/* How many of the crops of a layout, all of one size, are encoded together: large ones alone. */
int32_t engine_encoding_batch(const struct vision_layout *layout);

/* The vision part is this encoding's alone until it is destroyed. The caller owns what is returned. */
struct engine_encoding *engine_encoding_create(struct engine_vision *vision, const struct base_cancel *cancel);
void engine_encoding_destroy(struct engine_encoding *encoding); /* waits for the batch; takes NULL */

/* Waits for the batch before and returns its failure; else begins with vision_encode() of these crops. Layout, pixels and rows stay as
 * they are until the next call of this or of wait. */
int engine_encoding_start(struct engine_encoding *encoding, const struct vision_layout *layout, int32_t first,
                          int32_t n, const uint8_t *rgb, float *rows);
/* Waits for the batch, if there is one, and returns its result: an error once. */
int engine_encoding_wait(struct engine_encoding *encoding);
