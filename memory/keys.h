/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Shallow keys: what the first layers of one language model make of visual tokens, kept beside the evidence log so that a question finds
 * the segments that it is about. They are derived: a file that is missing, damaged or of another model is made again.
 *
 * A file holds keys of the first tokens of each segment (in farthest-point order, so the first ones stand for all of it). A question's
 * tokens give queries of the same layer; a token of a segment scores as the largest product of its keys with them, over all heads.
 */
#pragma once

#include "base/error.h"
#include "base/hash.h"
#include "compute/type.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the keys are of; a file of others is made anew. */
struct keys_params {
    unsigned char setup[BASE_HASH_BYTES]; /* fingerprint of the visual setup */
    uint64_t model;                       /* of the language model, exactly this file's weights */
    int32_t layer, n_kv, d_head;          /* columns of a key: n_kv * d_head */
};

struct memory_keys; /* an open file; belongs to one thread at a time, but any number may score what was found */

/* Opens a file for reading and adding; it is made when there is none or when it is of others, and what stands behind a damaged record is
 * dropped. While another process adds to it, it can be read alone (memory_keys_can_add()). A reader sees what was there when it opened.
 * PR_ERR_IO. The caller owns *out. */
int memory_keys_open(const char *path, const struct keys_params *params, struct memory_keys **out);
bool memory_keys_can_add(const struct memory_keys *keys);
/* Lists what there is at the end of the file, so that it opens without a walk over it, and lets other processes add; reading goes on. */
void memory_keys_done_adding(struct memory_keys *keys);
void memory_keys_close(struct memory_keys *keys); /* takes NULL */

/* Whether there are keys of a segment (number of its record in the log), without reading them. */
bool memory_keys_has(const struct memory_keys *keys, uint64_t segment);
/* Whether there are keys of a segment, and they are whole: *n gets how many, `most` at the most, of its first tokens; these are checked.
 * A segment that has lost tokens since has keys of more than it holds. Damaged ones are dropped; the file is then deleted when it is
 * closed, unless keys are being added to it. */
bool memory_keys_find(struct memory_keys *keys, uint64_t segment, uint32_t most, uint32_t *n);
/* Whether there are keys of a segment of so many raw tokens; those of another number are forgotten: it was merged with its neighbours since. */
bool memory_keys_check(struct memory_keys *keys, uint64_t segment, uint32_t raw);
/* Adds the keys [n, n_kv * d_head] of a segment of `raw` tokens before compression. PR_ERR_IO: the disk is full or can't be written; then it isn't there. */
int memory_keys_add(struct memory_keys *keys, uint64_t segment, uint32_t raw, const float *rows, uint32_t n);

/* scores[i]: max over the queries [n_queries, n_head * d_head] and their heads of query . key of token i < n of a segment that
 * memory_keys_find() found with at least n. n_head is a multiple of n_kv: each group of heads reads one key head. */
void memory_keys_scores(const struct memory_keys *keys, uint64_t segment, const float *queries, size_t n_queries,
                        int32_t n_head, uint32_t n, float *scores);
