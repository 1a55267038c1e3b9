/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/merge.h"

#include "base/mem.h"

/* A pair as it was when it was found: `left` and its right neighbour, together `len` bytes. Symbols only grow or vanish, so
 * a pair that is still as long is still the same. */
struct merge_candidate {
    uint32_t key, left, len;
    int32_t id;
};

int model_merge_reserve(struct merge_work *work, size_t n)
{
    if (n <= work->cap)
        return PR_OK;
    size_t cap = n < 64 ? 64 : n;
    if (n < SIZE_MAX / 2 && work->cap > n / 2)
        cap = 2 * n;
    model_merge_finish(work);
    work->symbols = base_try_alloc(cap, sizeof *work->symbols);
    /* n - 1 pairs at first; each merge takes one and finds at most two */
    work->heap = cap < SIZE_MAX / 2 ? base_try_alloc(2 * cap, sizeof *work->heap) : NULL;
    if (!work->symbols || !work->heap || cap >= MERGE_NONE) {
        model_merge_finish(work);
        return base_fail(PR_ERR_NOMEM, "no memory to tokenize a word of %zu characters; cut the text", n);
    }
    work->cap = cap;
    return PR_OK;
}

void model_merge_finish(struct merge_work *work)
{
    base_free(work->symbols);
    base_free(work->heap);
    *work = (struct merge_work){0};
}

static bool before(const struct merge_candidate *a, const struct merge_candidate *b)
{
    return a->key != b->key ? a->key < b->key : a->left < b->left;
}

static void heap_push(struct merge_work *work, struct merge_candidate candidate)
{
    size_t i = work->n_heap++;
    for (size_t parent; i > 0 && before(&candidate, &work->heap[parent = (i - 1) / 2]); i = parent)
        work->heap[i] = work->heap[parent];
    work->heap[i] = candidate;
}

static struct merge_candidate heap_pop(struct merge_work *work)
{
    struct merge_candidate best = work->heap[0], last = work->heap[--work->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < work->n_heap; i = child) {
        if (child + 1 < work->n_heap && before(&work->heap[child + 1], &work->heap[child]))
            child++;
        if (!before(&work->heap[child], &last))
            break;
        work->heap[i] = work->heap[child];
    }
    work->heap[i] = last;
    return best;
}

static void consider(struct merge_work *work, uint32_t left, merge_rule rule, const void *context)
{
    struct merge_candidate candidate = {.left = left};
    if (left == MERGE_NONE || work->symbols[left].next == MERGE_NONE)
        return;
    const struct symbol *a = &work->symbols[left], *b = &work->symbols[a->next];
    if (!rule(context, a, b, &candidate.key, &candidate.id))
        return;
    candidate.len = a->len + b->len;
    heap_push(work, candidate);
}

void model_merge(struct merge_work *work, merge_rule rule, const void *context)
{
    struct symbol *symbols = work->symbols;
    work->n_heap = 0;
    for (uint32_t i = 0; i < work->n; i++) {
        symbols[i].prev = i ? i - 1 : MERGE_NONE;
        symbols[i].next = i + 1 < work->n ? i + 1 : MERGE_NONE;
    }
    for (uint32_t i = 0; i < work->n; i++)
        consider(work, i, rule, context);

    while (work->n_heap) {
        struct merge_candidate best = heap_pop(work);
        struct symbol *left = &symbols[best.left];
        if (!left->len || left->next == MERGE_NONE || left->len + symbols[left->next].len != best.len)
            continue;
        struct symbol *right = &symbols[left->next];
        left->len = best.len;
        left->id = best.id;
        left->next = right->next;
        right->len = 0;
        if (left->next != MERGE_NONE)
            symbols[left->next].prev = best.left;
        consider(work, left->prev, rule, context);
        consider(work, best.left, rule, context);
    }
}
