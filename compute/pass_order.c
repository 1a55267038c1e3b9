/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which operations must wait for earlier ones: a part falls into groups, in which all operations may run at the same time, with
 * a barrier before each group but the first. Only what operations mean counts here. The arena is laid out afterwards and uses no
 * memory twice within a group, so that it adds no hazards of its own.
 */
#include "base/mem.h"
#include "compute/plan.h"

/* Memory that an operation touches: of an activation or input the tensor stands for it, of a state its place in its buffer. */
struct access {
    const void *memory;
    size_t begin, end;
    bool write;
};

struct access_list {
    struct access *items;
    int n, cap;
};

static void add_access(struct access_list *list, const struct tensor *t, bool write)
{
    if (!t || t->role == TENSOR_WEIGHT) /* nothing writes weights */
        return;
    if (list->n == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 32;
        list->items = base_realloc(list->items, (size_t)list->cap * sizeof list->items[0]);
    }
    struct access access = {.memory = t->buffer, .begin = t->offset, .write = write};
    if (t->role != TENSOR_STATE) {
        access.memory = pass_root(t);
        access.begin = 0;
    }
    access.end = access.begin + compute_tensor_bytes(t);
    list->items[list->n++] = access;
}

static void list_accesses(struct op *op, struct access_list *list)
{
    for (int s = 0; s < OP_SLOTS; s++)
        add_access(list, *op_slot(op, s), false);
    add_access(list, op->dst, true);
}

/* Whether what begins at list->items[from] collides with what stands before it. */
static bool collides(const struct access_list *list, int from)
{
    for (int i = from; i < list->n; i++) {
        for (int k = 0; k < from; k++) {
            const struct access *x = &list->items[i], *y = &list->items[k];
            if (x->memory == y->memory && x->begin < y->end && y->begin < x->end && (x->write || y->write))
                return true;
        }
    }
    return false;
}

void compute_pass_order(struct pass *pass)
{
    struct access_list open = {0}; /* of the group so far */
    int group = -1;
    pass->groups = base_alloc_array((size_t)pass->n_ops, sizeof pass->groups[0]);
    for (int p = 0; p < pass->n_parts; p++) {
        const struct planned_part *planned = &pass->parts[p];
        open.n = 0;
        group++;
        for (int i = planned->first; i < planned->first + planned->part.n_ops; i++) {
            struct op *op = pass->ops[i];
            int from = open.n;
            list_accesses(op, &open);
            op->barrier = collides(&open, from);
            if (op->barrier) {
                group++;
                open.n = 0;
                list_accesses(op, &open);
            }
            pass->groups[i] = group;
        }
    }
    base_free(open.items);
}
