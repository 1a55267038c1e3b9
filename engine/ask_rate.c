/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How much a segment of visual tokens has to do with a question. Three lists are fused by rank: segments that well-found passages lie
 * in; segments whose shallow keys answer the question's queries; and, weakly, segments whose mean is like the question's words as the
 * model embeds them. In a large library the keys are asked only of a short list that the other two make.
 */
#include "engine/ask.h"

#include "base/mem.h"
#include "compute/ref/ref.h"
#include "engine/keys.h"
#include "memory/recall.h"
#include "memory/recall_index.h"

#include <stdlib.h>
#include <string.h>

enum {
    VOTING = 64,       /* passages that speak for the pictures around them */
    SHORT_LIST = 1024, /* segments whose keys are asked */
    FIRST_KEYS = 8,    /* of each of them; they stand in farthest-point order */
    FINALISTS = 64,    /* segments of which more keys are asked, */
    MORE_KEYS = 48,    /* so many */
    WINDOW = 32        /* segments on either side that a score is measured against */
};
static const double FLOOR = 0.1, /* relevance of a segment that no list names */
    MEAN_WEIGHT = 0.25;

/* ---- lists -------------------------------------------------------------------------------------------------------- */

static bool lies_in(const struct ask_passage *passage, const struct ask_seen *seen)
{
    if (seen->t0 != PR_TIME_NONE)
        return passage->passage.t0 != PR_TIME_NONE && passage->passage.t0 < seen->t1 && passage->passage.t1 > seen->t0;
    return passage->passage.t0 == PR_TIME_NONE && passage->passage.page == seen->page;
}

/* Where a source's segments begin: they stand together, in the order of the sources. */
static size_t first_of(const struct ask_found *found, const struct asked *asked)
{
    size_t low = 0, high = found->n_seen;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (found->seen[middle].asked->order < asked->order)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Segments in the order of the best passage that lies in them. */
static size_t vote(struct asking *asking, const struct ask_found *found, uint32_t *list)
{
    size_t n = 0;
    bool *listed = base_alloc_array(found->n_seen + 1, sizeof *listed);
    for (size_t h = 0; h < found->n_hits && h < VOTING; h++) {
        struct ask_passage passage;
        if (engine_ask_read_passage(asking, &found->hits[h], &passage) >= 0) {
            for (size_t i = first_of(found, passage.asked); i < found->n_seen && found->seen[i].asked == passage.asked;
                 i++) {
                if (listed[i] || !lies_in(&passage, &found->seen[i]))
                    continue;
                listed[i] = true;
                list[n++] = (uint32_t)i;
            }
        }
        engine_ask_passage_finish(&passage);
    }
    base_free(listed);
    return n;
}

/* ---- the question in the space of means --------------------------------------------------------------------------- */

/* The sketch of the mean embedding of a question's tokens; false: the model has no table of them. */
bool engine_ask_sketch(const struct asking *asking, const char *question, int8_t sketch[RECALL_MEAN])
{
    const struct gguf_tensor *table = model_gguf_tensor(asking->model->gguf, "token_embd.weight");
    size_t d = (size_t)asking->model->hp->d_model, n = 0;
    int32_t *ids = NULL;
    memset(sketch, 0, RECALL_MEAN * sizeof *sketch);
    if (!table || table->ne[0] != (int64_t)d ||
        pr_tokenize(asking->model, question, strlen(question), false, &ids, &n) < 0)
        return false;
    /* Means of the log have a slice for each DeepStack level; the embedding stands in the first. */
    size_t columns = d * (size_t)(1 + asking->model->hp->n_deepstack);
    float *mean = base_alloc_array(columns, sizeof *mean), *row = base_alloc_array(d, sizeof *row);
    size_t bytes = compute_row_bytes((enum type)table->type, (int64_t)d);
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= table->ne[1])
            continue;
        ref_dequantize((enum type)table->type, (const char *)table->data + (size_t)ids[i] * bytes, row, (int64_t)d);
        for (size_t c = 0; c < d; c++)
            mean[c] += row[c];
    }
    memory_recall_sketch(mean, columns, sketch);
    base_free(mean);
    base_free(row);
    pr_free(ids);
    return n > 0;
}

/* ---- shallow keys ------------------------------------------------------------------------------------------------- */

/* The best score of a segment's first `most` keys: what a question names may fill one token of it. False: it has none. */
static bool key_score(const struct asking *asking, const struct ask_found *found, const struct ask_seen *seen,
                      uint32_t most, float *out)
{
    float scores[MORE_KEYS];
    uint32_t n;
    most = seen->n_tokens < most ? seen->n_tokens : most;
    if (!seen->asked->keys || !memory_keys_find(seen->asked->keys, seen->number, most, &n) || n == 0)
        return false;
    memory_keys_scores(seen->asked->keys, seen->number, found->queries, found->n_queries, asking->model->hp->n_head, n,
                       scores);
    *out = scores[0];
    for (uint32_t i = 1; i < n; i++)
        *out = scores[i] > *out ? scores[i] : *out;
    return true;
}

/* Segments by their keys, best first; of `n_short` on the short list. Returns how many. */
static size_t rank_keys(struct asking *asking, const char *question, struct ask_found *found, const uint32_t *shorts,
                        size_t n_short, uint32_t *list)
{
    size_t n = 0;
    float *scores = base_alloc_array(n_short + 1, sizeof *scores);
    uint32_t *at = base_alloc_array(n_short + 1, sizeof *at), *order = base_alloc_array(n_short + 1, sizeof *order);
    if (engine_keys_queries(asking->model, question, &found->queries, &found->n_queries) >= 0 && found->n_queries > 0) {
        for (size_t i = 0; i < n_short; i++)
            if (key_score(asking, found, &found->seen[shorts[i]], FIRST_KEYS, &scores[n]))
                at[n++] = shorts[i];
        memory_recall_level(scores, n, WINDOW);
        size_t final = memory_recall_best(scores, n, FINALISTS, order);
        for (size_t i = 0; i < final; i++) {
            scores[i] = 0;
            list[i] = at[order[i]];
            key_score(asking, found, &found->seen[list[i]], MORE_KEYS, &scores[i]);
        }
        n = memory_recall_best(scores, final, final, order);
        for (size_t i = 0; i < n; i++)
            at[i] = list[order[i]];
        memcpy(list, at, n * sizeof *list);
    }
    base_free(scores);
    base_free(at);
    base_free(order);
    return n;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void engine_ask_rate(struct asking *asking, const char *question, struct ask_found *found)
{
    size_t n = found->n_seen, n_short = 0;
    if (n == 0)
        return;
    double best = 0, *relevance = base_alloc_array(n, sizeof *relevance);
    float *means = base_alloc_array(n, sizeof *means);
    uint32_t *list = base_alloc_array(n, sizeof *list), *shorts = base_alloc_array(2 * n, sizeof *shorts);
    size_t n_voted = vote(asking, found, list);
    memory_recall_fuse(list, n_voted, 1, relevance);
    memcpy(shorts, list, n_voted * sizeof *list);
    for (size_t i = 0; i < n; i++)
        means[i] = found->seen[i].mean;
    memory_recall_level(means, n, WINDOW);
    size_t n_mean = memory_recall_best(means, n, SHORT_LIST, list);
    memory_recall_fuse(list, n_mean < FINALISTS ? n_mean : FINALISTS, MEAN_WEIGHT, relevance);
    memcpy(shorts + n_voted, list, n_mean * sizeof *list);
    n_short = n_voted + n_mean;
    qsort(shorts, n_short, sizeof *shorts, ascending); /* in the order of time, for levelling */
    size_t kept = 0;
    for (size_t i = 0; i < n_short; i++)
        if (kept == 0 || shorts[i] != shorts[kept - 1])
            shorts[kept++] = shorts[i];
    memory_recall_fuse(list, rank_keys(asking, question, found, shorts, kept, list), 1, relevance);
    for (size_t i = 0; i < n; i++)
        best = relevance[i] > best ? relevance[i] : best;
    for (size_t i = 0; i < n; i++)
        found->seen[i].relevance = best > 0 ? FLOOR + (1 - FLOOR) * relevance[i] / best : FLOOR;
    base_free(shorts);
    base_free(list);
    base_free(means);
    base_free(relevance);
}
