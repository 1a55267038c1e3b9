/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Byte-pair merging: of all neighbouring symbols join the best pair, again and again (Sennrich et al., "Neural Machine
 * Translation of Rare Words with Subword Units", arXiv:1508.07909), in n log n for n symbols. What a pair is worth is the
 * caller's: bpe.c asks a table of ranks, spm.c the scores of tokens. Part of the tokenizer.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symbol {
    uint32_t start, len; /* bytes of the text; len 0: it was merged into its left neighbour */
    int32_t id;          /* -1: no token */
    uint32_t prev, next; /* neighbours; MERGE_NONE at the ends */
};
#define MERGE_NONE UINT32_MAX

struct merge_candidate;

/* Working memory, kept from one text to the next. Zero-initialised is empty. */
struct merge_work {
    struct symbol *symbols;
    size_t n, cap;
    struct merge_candidate *heap;
    size_t n_heap;
};

/* Room for n symbols; they are to be filled with symbols[0..n) in text order (prev and next aside). The heap grows along.
 * PR_ERR_NOMEM. */
int model_merge_reserve(struct merge_work *work, size_t n);
void model_merge_finish(struct merge_work *work);

/* If the two can be joined: true, the id of the whole and its key; the lowest key is joined first, of equal ones the
 * leftmost. */
typedef bool (*merge_rule)(const void *context, const struct symbol *left, const struct symbol *right, uint32_t *key,
                           int32_t *id);

/* Merges symbols[0..n) until nothing can be joined. Afterwards follow `next` from symbol 0. */
void model_merge(struct merge_work *work, merge_rule rule, const void *context);
