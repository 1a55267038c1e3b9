/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where activations and scratch lie in the arena of their device.
 */
#include "base/mem.h"
#include "compute/plan.h"

#include <stdlib.h>

/* At least what tensor.h promises, and the most that Vulkan may demand of the offset of a storage buffer binding. */
enum { ARENA_ALIGN = 256 };

/* Memory that is needed between two groups of operations, both included. */
struct block {
    size_t size, offset;
    size_t *place; /* who wants to know the offset */
    int first, last;
    int number; /* in the order in which they were added */
};

static int larger_first(const void *pa, const void *pb)
{
    const struct block *a = pa, *b = pb;
    if (a->size != b->size)
        return a->size < b->size ? 1 : -1;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return a->number - b->number; /* never by address: a plan is the same in every run */
}

/* The lowest gap between those blocks that are needed at the same time. `placed` is sorted by offset. */
static size_t lowest_gap(struct block *const *placed, int n, const struct block *block)
{
    size_t offset = 0;
    for (int i = 0; i < n; i++) {
        const struct block *other = placed[i];
        if (other->last < block->first || other->first > block->last)
            continue;
        if (other->offset >= offset + block->size)
            break;
        if (other->offset + other->size > offset)
            offset = other->offset + other->size;
    }
    return offset;
}

/* Greedy by size: the large blocks first, each as low as it fits. Returns the size of the arena. */
static size_t place(struct block *blocks, int n)
{
    struct block **placed = base_alloc_array((size_t)n, sizeof(struct block *));
    size_t end = 0;
    qsort(blocks, (size_t)n, sizeof *blocks, larger_first);
    for (int i = 0; i < n; i++) {
        struct block *block = &blocks[i];
        block->offset = lowest_gap(placed, i, block);
        *block->place = block->offset;
        if (block->offset + block->size > end)
            end = block->offset + block->size;
        int at = i;
        for (; at > 0 && placed[at - 1]->offset > block->offset; at--)
            placed[at] = placed[at - 1];
        placed[at] = block;
    }
    base_free(placed);
    return end;
}

void compute_pass_lay_out(struct pass *pass)
{
    struct block *blocks = base_alloc_array((size_t)pass->n_values + (size_t)pass->n_ops, sizeof *blocks);
    for (int d = 0; d < pass->n_devices; d++) {
        int n = 0;
        for (int i = 0; i < pass->n_values; i++) {
            struct value *value = pass->values[i];
            if (value->tensor.base || value->device != pass->devices[d] || value->first > value->last)
                continue;
            blocks[n] = (struct block){.size = base_align(compute_tensor_bytes(&value->tensor), ARENA_ALIGN),
                                       .place = &value->tensor.offset,
                                       .first = value->first,
                                       .last = value->last,
                                       .number = n};
            n++;
        }
        for (int i = 0; i < pass->n_ops; i++) {
            struct op *op = pass->ops[i];
            if (op->device != pass->devices[d] || op->scratch_size == 0)
                continue;
            blocks[n] = (struct block){.size = base_align(op->scratch_size, ARENA_ALIGN),
                                       .place = &op->scratch_offset,
                                       .first = pass->groups[i],
                                       .last = pass->groups[i],
                                       .number = n};
            n++;
        }
        pass->arena_sizes[d] = place(blocks, n);
    }
    base_free(blocks);
}
