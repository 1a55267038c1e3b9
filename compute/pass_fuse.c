/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the planner leaves out or joins: operations whose results nobody reads; matrix products followed by an addition,
 * two products that a GLU joins, and rope whose result goes into the KV cache.
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

/* ---- joining --------------------------------------------------------------------------------------------------------- */

struct fuser {
    struct pass *pass;
    int *reads;   /* how often each value is read, under whatever view */
    int *made_at; /* number of the operation that made an activation; -1: none, or not as a whole */
};

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

/* The number of the operation of kind `kind` that makes `y`, if nobody but `reader` wants that; -1: there is none. */
static int sole_source(const struct fuser *f, const struct op *reader, const struct tensor *y, enum op_kind kind)
{
    if (y->role != TENSOR_ACTIVATION || y->base || f->reads[y->index] != 1 || f->pass->values[y->index]->output)
        return -1;
    int at = f->made_at[y->index];
    if (at < 0 || !f->pass->ops[at] || f->pass->ops[at]->kind != kind || f->pass->ops[at]->device != reader->device)
        return -1;
    const struct op *op = f->pass->ops[at];
    return op->addend || op->gate || op->cells ? -1 : at;
}

/* Puts `fused` in the place of operation i, to which the one at `at` belongs, if the device takes it: everything is known there
 * that both need. */
static bool replace(struct fuser *f, int at, int i, const struct op *fused)
{
    struct pass *pass = f->pass;
    const struct backend *backend = fused->device->backend;
    if (!backend->fuses || !backend->fuses(fused->device, fused) || overwritten_between(pass, pass->ops[at], at, i))
        return false;
    base_free(pass->ops[i]);
    pass->ops[i] = pass->ops[at];
    pass->ops[at] = NULL;
    *pass->ops[i] = *fused;
    return true;
}

/* y = product + addend, whichever way round. */
static bool fuse_add(struct fuser *f, int i)
{
    const struct op *add = f->pass->ops[i];
    for (int side = 0; side < 2; side++) {
        struct tensor *y = add->src[side], *addend = add->src[1 - side];
        int at = sole_source(f, add, y, OP_matmul);
        if (at < 0 || !pass_is_value(addend) || addend->type != TYPE_F32 || addend->rows != y->rows ||
            addend->cols != y->cols)
            continue;
        struct op fused = *f->pass->ops[at];
        fused.addend = addend;
        fused.dst = add->dst;
        if (replace(f, at, i, &fused))
            return true;
    }
    return false;
}

/* y = activation(product) * product, both of the same x and without biases. */
static bool fuse_glu(struct fuser *f, int i)
{
    const struct op *glu = f->pass->ops[i];
    int gate = sole_source(f, glu, glu->src[0], OP_matmul), up = sole_source(f, glu, glu->src[1], OP_matmul);
    if (gate < 0 || up < 0 || gate == up)
        return false;
    const struct op *g = f->pass->ops[gate], *u = f->pass->ops[up];
    if (g->src[1] != u->src[1] || g->src[2] || u->src[2] || g->src[0]->role != TENSOR_WEIGHT ||
        overwritten_between(f->pass, f->pass->ops[gate], gate, i))
        return false;
    struct op fused = *u;
    fused.gate = g->src[0];
    fused.activation = glu->activation;
    fused.dst = glu->dst;
    if (!replace(f, up, i, &fused))
        return false;
    base_free(f->pass->ops[gate]);
    f->pass->ops[gate] = NULL;
    return true;
}

/* Rows of a cache that were turned just before. */
static bool fuse_scatter(struct fuser *f, int i)
{
    const struct op *scatter = f->pass->ops[i];
    int at = sole_source(f, scatter, scatter->src[1], OP_rope);
    if (at < 0 || scatter->dst->role != TENSOR_STATE)
        return false;
    struct op fused = *f->pass->ops[at];
    fused.cells = scatter->src[2];
    fused.dst = scatter->dst;
    return replace(f, at, i, &fused);
}

void compute_pass_fuse(struct pass *pass)
{
    struct fuser f = {.pass = pass,
                      .reads = count_reads(pass),
                      .made_at = base_alloc_array((size_t)pass->n_values, sizeof *f.made_at)};
    for (int i = 0; i < pass->n_values; i++)
        f.made_at[i] = -1;
    for (int i = 0; i < pass->n_ops; i++) {
        const struct op *op = pass->ops[i];
        if (op->dst->role == TENSOR_ACTIVATION && !op->dst->base)
            f.made_at[op->dst->index] = i;
        if (op->kind == OP_add)
            fuse_add(&f, i);
        else if (op->kind == OP_glu)
            fuse_glu(&f, i);
        else if (op->kind == OP_scatter)
            fuse_scatter(&f, i);
    }
    base_free(f.made_at);
    base_free(f.reads);
    compact(pass);
}
