/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Farthest-point order: rows sorted so that any beginning covers all of them as well as a greedy choice can, and the radius that
 * it leaves uncovered. The first k rows are a 2-approximate k-center (Gonzalez 1985, "Clustering to minimize the maximum
 * intercluster distance"). One stored segment thus serves every budget, and its tail is what says least.
 *
 * Distances are chordal, sqrt(2 - 2 cos) of two rows: 0 for the same direction, 2 for opposite ones. Rows of more than 128 columns
 * are compared by their sketches (sketch.h), so their distances and radii are right within about a tenth. Thread-safe.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { LEAST_KEPT = 8 }; /* tokens of a segment when tails are dropped */

/* Orders at most k of the rows [n, d]. The first `given` entries of order[0..k) are chosen already; with none it begins with
 * the row nearest to the mean. radius[i] is the distance of the farthest row from those before entry i (2 for the first). Ends
 * early when every row is covered within `least`. Returns how many entries there are. O(n k d). */
size_t memory_farthest_order(const float *rows, size_t n, size_t d, size_t k, size_t given, float least,
                             uint32_t *order, float *radius);

/* What is kept of the segments when all together may have `cap` tokens: drops the granule of 16 from the tail that leaves the
 * smallest radius, over and over, but no segment below LEAST_KEPT (or what it has). radius[s] is [n[s]], as above; weight[s] multiplies it
 * (older evidence may count less; NULL: 1). n[s] becomes what remains. Returns the sum, which exceeds `cap` only where so many of each
 * do. O(total / 16 log n_segments). */
size_t memory_drop_tails(const float *const *radius, const float *weight, uint32_t *n, size_t n_segments, size_t cap);
