/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/recall.h"

#include "base/mem.h"

#include <math.h>

enum { FUSE_K = 60, DEEPEST = 5 };

void memory_recall_fuse(const uint32_t *list, size_t n, double weight, double *relevance)
{
    for (size_t i = 0; i < n; i++)
        relevance[list[i]] += weight / (double)(FUSE_K + 1 + i);
}

void memory_recall_level(float *scores, size_t n, size_t window)
{
    float *level = base_alloc_array(n + 1, sizeof *level);
    double sum = 0, squares = 0;
    size_t from = 0, to = 0; /* of the window, half open */
    for (size_t i = 0; i < n; i++) {
        for (; to < n && to <= i + window; to++) {
            sum += scores[to];
            squares += (double)scores[to] * scores[to];
        }
        for (; from + window < i; from++) {
            sum -= scores[from];
            squares -= (double)scores[from] * scores[from];
        }
        double m = (double)(to - from), mean = sum / m, variance = fmax(squares / m - mean * mean, 0);
        level[i] = variance > 1e-12 ? (float)((scores[i] - mean) / sqrt(variance)) : 0;
    }
    for (size_t i = 0; i < n; i++)
        scores[i] = level[i];
    base_free(level);
}

/* ---- the best of many --------------------------------------------------------------------------------------------- */

static bool better(const float *scores, uint32_t a, uint32_t b)
{
    return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
}

/* Moves the first of a heap down to its place: parents are worse than their children. */
static void sink(const float *scores, uint32_t *heap, size_t n)
{
    uint32_t moving = heap[0];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && better(scores, heap[child], heap[child + 1]))
            child++;
        if (better(scores, heap[child], moving))
            break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

static void rise(const float *scores, uint32_t *heap, size_t at)
{
    uint32_t moving = heap[at];
    for (; at > 0 && better(scores, heap[(at - 1) / 2], moving); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = moving;
}

size_t memory_recall_best(const float *scores, size_t n, size_t k, uint32_t *list)
{
    k = k < n ? k : n;
    for (size_t i = 0; i < n && k > 0; i++) {
        if (i < k) {
            list[i] = (uint32_t)i;
            rise(scores, list, i);
        } else if (better(scores, (uint32_t)i, list[0])) {
            list[0] = (uint32_t)i;
            sink(scores, list, k);
        }
    }
    for (size_t left = k; left > 1; left--) { /* the worst goes behind the others */
        uint32_t worst = list[0];
        list[0] = list[left - 1];
        sink(scores, list, left - 1);
        list[left - 1] = worst;
    }
    return k;
}

/* ---- over the timeline -------------------------------------------------------------------------------------------- */

/* best: room for k. */
static size_t spread(const float *scores, size_t first, size_t n, size_t k, double margin, int depth, uint32_t *best,
                     bool *chosen)
{
    if (k == 0 || n == 0)
        return 0;
    double mean = 0, top = 0;
    float least = scores[first];
    k = memory_recall_best(scores + first, n, k, best);
    for (size_t i = 0; i < n; i++) {
        mean += (double)scores[first + i] / (double)n;
        least = fminf(least, scores[first + i]);
    }
    for (size_t i = 0; i < k; i++)
        top += (double)scores[first + best[i]] / (double)k;
    double range = (double)(scores[first + best[0]] - least);
    if (k == 1 || k == n || depth == DEEPEST || top - mean > margin * range) {
        for (size_t i = 0; i < k; i++)
            chosen[first + best[i]] = true;
        return k;
    }
    /* What a half is too short for goes to the other one. */
    size_t half = n / 2, left = (k + 1) / 2 < half ? (k + 1) / 2 : half;
    size_t done = spread(scores, first, half, left, margin, depth + 1, best, chosen);
    return done + spread(scores, first + half, n - half, k - done, margin, depth + 1, best, chosen);
}

size_t memory_recall_spread(const float *scores, size_t n, size_t k, double margin, bool *chosen)
{
    uint32_t *best = base_alloc_array(k + 1, sizeof *best);
    for (size_t i = 0; i < n; i++)
        chosen[i] = false;
    size_t done = spread(scores, 0, n, k, margin, 0, best, chosen);
    base_free(best);
    return done;
}
