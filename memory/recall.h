/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Choosing among candidates on a timeline: ranks of several lists become one relevance, and what is chosen covers the timeline where
 * the best don't stand out. No models and no files here; thread-safe.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reciprocal rank fusion (Cormack, Clarke, Buettcher 2009): adds weight / (60 + rank) to the relevance of what a list ranks, best first;
 * list[i] is an index into relevance. Scores of different lists aren't comparable, ranks are. */
void memory_recall_fuse(const uint32_t *list, size_t n, double weight, double *relevance);

/* Scores drift with time (arXiv 2602.18434), so that a long film's end outranks its beginning: each score less the mean of those around
 * it, over their deviation. In place; `window` neighbours on either side. */
void memory_recall_level(float *scores, size_t n, size_t window);

/* The places of the best k of n scores, best first, the earlier one of equals; returns how many, k or n. */
size_t memory_recall_best(const float *scores, size_t n, size_t k, uint32_t *list);

/* Chooses k of n candidates that stand in the order of the timeline (AKS, arXiv 2502.21271): if the best k stand out by more
 * than `margin` of the range of scores over the mean, these; otherwise each half of the timeline gets half of them, at most 5 halvings
 * deep. chosen[i] is set for the chosen ones; returns their number. */
size_t memory_recall_spread(const float *scores, size_t n, size_t k, double margin, bool *chosen);
