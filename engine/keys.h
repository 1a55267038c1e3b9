/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Shallow keys of a source's visual tokens, made with the first layers of the model: what recall finds pictures by. They are of this
 * model alone and can be deleted at any time (keys/ in the library); what is missing is made when it is needed.
 */
#pragma once

#include "engine/model.h"
#include "memory/keys.h"
#include "memory/library.h"
#include "memory/recall_index.h"
#include "pagereel/pagereel.h"

enum {
    ENGINE_KEYS = 256,      /* tokens of a segment that get keys: the first ones, which stand for the others */
    ENGINE_KEY_QUERIES = 16 /* tokens of a question that ask: the last ones */
};

/* Layers that keys are made with: a seventh of the model's. */
int32_t engine_key_layers(const struct hparams *hp);

/* Opens the keys of the segments that a log holds under a visual setup, made for those that have none yet; only then is the log opened.
 * PR_ERR_CANCELLED: those
 * that were made stay; fn (may be NULL) hears of them. The model must have a decoder. The caller closes *out with memory_keys_close(). */
int engine_keys_open(struct pr_model *model, struct library *library, const struct library_source *source,
                     const struct recall_index *index, const struct evidence_setup *setup, pr_progress_fn fn,
                     void *user, const struct base_cancel *cancel, struct memory_keys **out);

/* Makes the keys of what an open model has seen of a source. Without keys questions work, too: only a cancellation is a failure. */
int engine_keys_of(struct pr_model *model, struct library *library, const struct library_source *source,
                   pr_progress_fn fn, void *user, struct pr_cancel *cancel);

/* What a question asks keys with: queries[*n, n_head * d_head] of its last tokens, at most ENGINE_KEY_QUERIES. The caller frees *queries
 * with base_free(). */
int engine_keys_queries(struct pr_model *model, const char *question, float **queries, size_t *n);
