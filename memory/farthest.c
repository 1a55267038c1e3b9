/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/farthest.h"

#include "base/mem.h"
#include "memory/sketch.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { GRANULE = 16 };

static size_t nearest_to_mean(const float *unit, size_t n, size_t d)
{
    float *mean = base_alloc_array(d, sizeof *mean), best = -INFINITY;
    size_t at = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            mean[j] += unit[i * d + j];
    for (size_t i = 0; i < n; i++) {
        float cos = memory_dot(unit + i * d, mean, d);
        if (cos > best) {
            best = cos;
            at = i;
        }
    }
    base_free(mean);
    return at;
}

size_t memory_farthest_order(const float *rows, size_t n, size_t d, size_t k, size_t given, float least,
                             uint32_t *order, float *radius)
{
    if (n == 0 || k == 0)
        return 0;
    k = k < n ? k : n;
    size_t width = memory_sketch_width(d);
    float *unit = base_alloc_array(n * width, sizeof *unit);
    float *gap = base_alloc_array(n, sizeof *gap); /* 2 - 2 cos to the nearest chosen row */
    bool *chosen = base_alloc_array(n, sizeof *chosen);
    memory_sketch(rows, n, d, unit);
    for (size_t i = 0; i < n; i++)
        gap[i] = 4;
    size_t count = 0;
    for (; count < k; count++) {
        size_t next = n;
        float farthest = -1;
        for (size_t i = 0; i < n; i++) {
            if (!chosen[i] && gap[i] > farthest) {
                farthest = gap[i];
                next = i;
            }
        }
        radius[count] = sqrtf(farthest);
        if (count < given)
            next = order[count];
        else if (count == 0)
            next = nearest_to_mean(unit, n, width);
        else if (radius[count] <= least)
            break;
        order[count] = (uint32_t)next;
        chosen[next] = true;
        for (size_t i = 0; i < n; i++) {
            float distance = fmaxf(0, 2 - 2 * memory_dot(unit + i * width, unit + next * width, width));
            gap[i] = fminf(gap[i], distance);
        }
    }
    base_free(unit);
    base_free(gap);
    base_free(chosen);
    return count;
}

/* ---- tails -------------------------------------------------------------------------------------------------------- */

/* How many tokens a segment keeps when it loses its last granule: whole granules behind the first 8. */
static uint32_t shortened(uint32_t n)
{
    return n <= LEAST_KEPT ? n : LEAST_KEPT + (n - LEAST_KEPT - 1) / GRANULE * GRANULE;
}

struct tail {
    float loss; /* the radius that remains without it */
    uint32_t segment;
};

static void sift_down(struct tail *heap, size_t n, size_t i)
{
    for (;;) {
        size_t least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < n; child++)
            if (heap[child].loss < heap[least].loss ||
                (heap[child].loss == heap[least].loss && heap[child].segment < heap[least].segment))
                least = child;
        if (least == i)
            return;
        struct tail swap = heap[i];
        heap[i] = heap[least];
        heap[least] = swap;
        i = least;
    }
}

static float loss_of(const float *const *radius, const float *weight, const uint32_t *n, uint32_t segment)
{
    return radius[segment][shortened(n[segment])] * (weight ? weight[segment] : 1);
}

size_t memory_drop_tails(const float *const *radius, const float *weight, uint32_t *n, size_t n_segments, size_t cap)
{
    struct tail *heap = base_alloc_array(n_segments, sizeof *heap);
    size_t total = 0, size = 0;
    for (size_t s = 0; s < n_segments; s++) {
        total += n[s];
        if (n[s] > LEAST_KEPT)
            heap[size++] = (struct tail){loss_of(radius, weight, n, (uint32_t)s), (uint32_t)s};
    }
    for (size_t i = size / 2; i-- > 0;)
        sift_down(heap, size, i);
    while (total > cap && size > 0) {
        uint32_t segment = heap[0].segment, rest = shortened(n[segment]);
        total -= n[segment] - rest;
        n[segment] = rest;
        if (rest > LEAST_KEPT)
            heap[0].loss = loss_of(radius, weight, n, segment);
        else
            heap[0] = heap[--size];
        sift_down(heap, size, 0);
    }
    base_free(heap);
    return total;
}
