/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/recall.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

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

struct candidate {
    double score;
    size_t at;
};

/* Best first; among equals the earlier one. */
static int by_score(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->at > y->at) - (x->at < y->at);
}

static size_t spread(const double *scores, size_t first, size_t n, size_t k, double margin, int depth, bool *chosen)
{
    if (k == 0 || n == 0)
        return 0;
    struct candidate *best = base_alloc_array(n, sizeof *best);
    double mean = 0, top = 0;
    for (size_t i = 0; i < n; i++) {
        best[i] = (struct candidate){scores[first + i], first + i};
        mean += scores[first + i] / (double)n;
    }
    qsort(best, n, sizeof *best, by_score);
    k = k < n ? k : n;
    for (size_t i = 0; i < k; i++)
        top += best[i].score / (double)k;
    double range = best[0].score - best[n - 1].score;
    size_t done = 0;
    if (k == 1 || k == n || depth == DEEPEST || top - mean > margin * range) {
        for (; done < k; done++)
            chosen[best[done].at] = true;
        base_free(best);
        return done;
    }
    base_free(best);
    /* What a half is too short for goes to the other one. */
    size_t half = n / 2, left = (k + 1) / 2 < half ? (k + 1) / 2 : half;
    done = spread(scores, first, half, left, margin, depth + 1, chosen);
    return done + spread(scores, first + half, n - half, k - done, margin, depth + 1, chosen);
}

size_t memory_recall_spread(const double *scores, size_t n, size_t k, double margin, bool *chosen)
{
    for (size_t i = 0; i < n; i++)
        chosen[i] = false;
    return spread(scores, 0, n, k, margin, 0, chosen);
}
