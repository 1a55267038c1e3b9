/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the planner leaves out or joins: operations whose results nobody reads, and matrix products followed by an addition.
 */
#include "base/mem.h"
#include "compute/plan.h"

/* Takes the NULL entries out of pass->ops. */
static void compact(struct pass *pass)
{
    int n = 0;
    for (int i = 0; i < pass->n_ops; i++)
        if (pass->ops[i])
            pass->ops[n++] = pass->ops[i];
    pass->n_ops = n;
}

/* Walks backwards with the set of memories that are read later. Changing a state always counts; changing an activation in
 * place counts when somebody reads that activation later, under whatever view. */
void compute_pass_remove_dead(struct pass *pass)
{
    bool *needed = base_alloc_array((size_t)pass->n_values, sizeof *needed);
    for (int i = 0; i < pass->n_values; i++)
        if (pass->values[i]->output)
            needed[i] = true;
    for (int i = pass->n_ops - 1; i >= 0; i--) {
        struct op *op = pass->ops[i];
        if (op->dst->role != TENSOR_STATE && !needed[pass_root(op->dst)->index]) {
            base_free(op);
            pass->ops[i] = NULL;
            continue;
        }
        for (int s = 0; s < OP_SLOTS; s++) {
            struct tensor *t = *op_slot(op, s);
            if (t && pass_is_value(t))
                needed[pass_root(t)->index] = true;
        }
    }
    base_free(needed);
    compact(pass);
}

/* ---- matmul + add ------------------------------------------------------------------------------------------------- */

/* How often each value is read, under whatever view. */
static int *count_reads(const struct pass *pass)
{
    int *reads = base_alloc_array((size_t)pass->n_values, sizeof *reads);
    for (int i = 0; i < pass->n_ops; i++) {
        for (int s = 0; s < OP_SLOTS; s++) {
            struct tensor *t = *op_slot(pass->ops[i], s);
            if (t && pass_is_value(t))
                reads[pass_root(t)->index]++;
        }
    }
    return reads;
}

/* Whether an operation between `from` and `to` overwrites, in place, something that `op` reads. */
static bool overwritten_between(const struct pass *pass, struct op *op, int from, int to)
{
    for (int i = from + 1; i < to; i++) {
        if (!pass->ops[i] || !op_in_place(pass->ops[i]))
            continue;
        for (int s = 0; s < OP_SLOTS; s++) {
            struct tensor *t = *op_slot(op, s);
            if (t && pass_root(t) == pass_root(pass->ops[i]->dst))
                return true;
        }
    }
    return false;
}

/* The product at `at[tensor index]`, if `y` is one that only this addition reads and that can take `addend` in. */
static int fusable_product(const struct pass *pass, const struct op *add, struct tensor *y, struct tensor *addend,
                           const int *made_at, const int *reads)
{
    if (y->role != TENSOR_ACTIVATION || y->base || reads[y->index] != 1 || pass->values[y->index]->output)
        return -1;
    int at = made_at[y->index];
    if (at < 0 || !pass->ops[at] || pass->ops[at]->kind != OP_matmul)
        return -1;
    struct op *product = pass->ops[at];
    if (product->addend || product->device != add->device || !(add->device->backend->fuses & FUSE_MATMUL_ADD))
        return -1;
    if (!pass_is_value(addend) || addend->type != TYPE_F32 || addend->rows != y->rows || addend->cols != y->cols)
        return -1;
    return at;
}

void compute_pass_fuse(struct pass *pass)
{
    int *reads = count_reads(pass);
    int *made_at = base_alloc_array((size_t)pass->n_values, sizeof *made_at);
    for (int i = 0; i < pass->n_values; i++)
        made_at[i] = -1;
    for (int i = 0; i < pass->n_ops; i++) {
        struct op *op = pass->ops[i];
        if (op->dst->role == TENSOR_ACTIVATION && !op->dst->base)
            made_at[op->dst->index] = i;
        if (op->kind != OP_add)
            continue;
        struct tensor *addend = op->src[1];
        int at = fusable_product(pass, op, op->src[0], addend, made_at, reads);
        if (at < 0) {
            addend = op->src[0];
            at = fusable_product(pass, op, op->src[1], addend, made_at, reads);
        }
        if (at < 0 || overwritten_between(pass, pass->ops[at], at, i))
            continue;
        /* The product moves to where the addition stands: there both operands are known. */
        struct op *product = pass->ops[at];
        product->addend = addend;
        product->dst = op->dst;
        pass->ops[at] = NULL;
        pass->ops[i] = product;
        base_free(op);
    }
    base_free(made_at);
    base_free(reads);
    compact(pass);
}
