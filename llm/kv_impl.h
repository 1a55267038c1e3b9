/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The inside of the KV cache, for kv.c, kv_file.c, shift.c and the decoder.
 */
#pragma once

#include "llm/kv.h"

struct llm_plan;

enum {
    LLM_PLANS = 4
}; /* planned passes that a cache keeps: one of one token, one of a whole batch, two of other sizes */

struct llm_kv {
    struct llm_kv_params params;
    struct device **devices;      /* [n_layer], a copy */
    struct tensor **divisors;     /* [n_layer], a copy */
    struct tensor *keys, *values; /* [n_layer] states [n_pages * page_size, d_key or d_value] */
    int32_t n_pages;
    int32_t *references;               /* [n_pages]: sequences that hold the page */
    int32_t *free_pages, n_free;       /* a stack */
    struct llm_plan *plans[LLM_PLANS]; /* passes over these states (plan.c); NULL: none */
    uint64_t plan_clock;
    struct pass *shift;             /* rotates keys (shift.c); made when it is first needed */
    struct tensor *shift_positions; /* its input, i32 [n_pages * page_size, 4] */
};

/* What a sequence knows of a cell. Positions are those of rope, as they are after all shifts. */
struct llm_cell {
    int32_t low;  /* the smallest of t, h, w */
    int32_t next; /* the position that text behind this token begins with */
};

/* Cells are counted by "place": without those that slid out. place < n; sequence index = place, or place + evicted behind
 * the pages that hold the sinks. Masks work on places, so that they stay small however much was read. */
struct llm_sequence {
    struct llm_kv *kv;
    struct llm_slide slide;
    int32_t *pages, n_pages; /* page numbers in order, room for all of the pool */
    struct llm_cell *cells;  /* by place, room for all of the pool */
    int32_t n;               /* tokens that are kept */
    int64_t evicted;         /* tokens that slid out, whole pages */
};

/* Pages that hold the sinks: they are never given back. */
int32_t llm_sequence_sink_pages(const struct llm_sequence *s);

/* Makes room for n more tokens: gives back pages that no later token sees, copies a shared last page, takes new pages.
 * PR_ERR_NOMEM: the pool is full (the kept tokens are unchanged). */
int llm_sequence_reserve(struct llm_sequence *s, int32_t n);
/* The row of the pools that holds a place, which reserve() made room for. */
static inline int32_t llm_sequence_row(const struct llm_sequence *s, int32_t place)
{
    int32_t page_size = s->kv->params.page_size;
    return s->pages[place / page_size] * page_size + place % page_size;
}
/* The reserved places got their tokens: cells [n]. */
void llm_sequence_append(struct llm_sequence *s, const struct llm_cell *cells, int32_t n);
/* Gives back pages behind the last token. */
void llm_sequence_trim(struct llm_sequence *s);
/* Makes page number i of the list this sequence's own. */
int llm_sequence_own_page(struct llm_sequence *s, int32_t i);

/* Rotates the keys behind the sinks to the smallest positions that leave what the next token sees in order. *by is how far
 * positions went back, 0 when there was nothing to gain. */
int llm_sequence_shift(struct llm_sequence *s, int32_t *by);
