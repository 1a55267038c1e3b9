/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Planning a pass, in this order: leave out what nobody reads, choose devices, fuse, cut into parts with copies between them,
 * find hazards, find out how long each tensor lives, lay out the arenas, allocate them, let the backends record.
 */
#include "base/mem.h"
#include "compute/plan.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- devices ---------------------------------------------------------------------------------------------------------- */

static struct device *host_device(const struct pass *pass)
{
    return pass->devices[pass->n_devices - 1];
}

/* States, and weights that the host can't touch, are computed with where they lie; so is an activation that is changed in
 * place. Anything else can be copied. */
static struct device *bound_to(const struct pass *pass, const struct tensor *t, bool written)
{
    if (t->role == TENSOR_STATE)
        return compute_tensor_device(t);
    if (t->role == TENSOR_WEIGHT) {
        struct device *device = compute_tensor_device(t);
        return device->backend->host ? NULL : device;
    }
    return written && t->base ? pass_value(pass, t)->device : NULL;
}

/* The weight that an operation is about; NULL: none. */
static const struct tensor *main_weight(const struct op *op)
{
    const struct tensor *t = NULL;
    if (op->kind == OP_matmul || op->kind == OP_gather)
        t = op->src[0];
    if (op->kind == OP_rms_norm || op->kind == OP_layer_norm)
        t = op->src[1];
    return t && t->role == TENSOR_WEIGHT ? t : NULL;
}

static bool is_of_pass(const struct pass *pass, const struct device *device)
{
    for (int d = 0; d < pass->n_devices; d++)
        if (pass->devices[d] == device)
            return true;
    return false;
}

static int bind(const struct pass *pass, const struct op *op, const struct tensor *t, bool written,
                struct device **must)
{
    struct device *device = bound_to(pass, t, written);
    if (!device)
        return PR_OK;
    if (!is_of_pass(pass, device))
        return base_fail(PR_ERR_INTERNAL, "%s: %s lies on %s, which this pass doesn't use", op_name(op->kind), t->name,
                         device->info.id);
    if (*must && *must != device)
        return base_fail(PR_ERR_INTERNAL, "%s: %s lies on %s, another of its tensors on %s; place both on one device",
                         op_name(op->kind), t->name, device->info.id, (*must)->info.id);
    *must = device;
    return PR_OK;
}

/* Where the activation source that was made last was made. */
static struct device *latest_source_device(const struct pass *pass, struct op *op)
{
    struct device *device = NULL;
    int latest = -1;
    for (int s = 0; s < OP_MAX_SOURCES; s++) {
        const struct tensor *t = op->src[s];
        if (!t || t->role != TENSOR_ACTIVATION || pass_value(pass, t)->written <= latest)
            continue;
        latest = pass_value(pass, t)->written;
        device = pass_value(pass, t)->device;
    }
    return device;
}

static int assign(struct pass *pass, struct op *op)
{
    struct device *must = NULL;
    int err;
    for (int s = 0; s < OP_MAX_SOURCES; s++)
        if (op->src[s])
            TRY(bind(pass, op, op->src[s], false, &must));
    TRY(bind(pass, op, op->dst, true, &must));

    const struct tensor *weight = main_weight(op);
    op->device = must;
    if (!op->device && weight && is_of_pass(pass, compute_tensor_device(weight)))
        op->device = compute_tensor_device(weight);
    if (!op->device)
        op->device = latest_source_device(pass, op);
    if (!op->device)
        op->device = pass->devices[0];

    const struct backend *backend = op->device->backend;
    if (backend->supports && !backend->supports(op->device, op)) {
        char text[160];
        op_describe_tensor(op->src[0], text);
        if (must && must != host_device(pass))
            return base_fail(PR_ERR_UNSUPPORTED, "%s can't do %s with %s; use --device cpu", must->info.id,
                             op_name(op->kind), text);
        op->device = host_device(pass);
    }
    return PR_OK;
fail:
    return err;
}

static int assign_devices(struct pass *pass)
{
    for (int i = 0; i < pass->n_ops; i++) {
        struct op *op = pass->ops[i];
        int err = assign(pass, op);
        if (err < 0)
            return err;
        if (op->dst->role == TENSOR_ACTIVATION) {
            struct value *value = pass_value(pass, op->dst);
            value->device = op->device;
            value->written = i;
        }
    }
    return PR_OK;
}

/* ---- parts and copies --------------------------------------------------------------------------------------------------- */

/* A tensor as it was at one moment, copied to another device. */
struct replica {
    const struct tensor *of;
    int version;
    const struct device *device;
    struct tensor *copy;
};

struct cutter {
    struct pass *pass;
    struct replica *replicas;
    int n_replicas, cap_replicas;
};

static struct part_io *add_io(struct part_io **list, int *n, struct tensor *tensor)
{
    *list = base_realloc(*list, (size_t)(*n + 1) * sizeof **list);
    (*list)[*n] = (struct part_io){.tensor = tensor};
    return &(*list)[(*n)++];
}

/* The number of `tensor` among what leaves the part. */
static int leave_part(struct part *part, struct tensor *tensor)
{
    for (int i = 0; i < part->n_out; i++)
        if (part->out[i].tensor == tensor)
            return i;
    add_io(&part->out, &part->n_out, tensor);
    return part->n_out - 1;
}

static struct tensor *add_move(struct cutter *c, struct planned_part *to, struct tensor *from)
{
    struct pass *pass = c->pass;
    struct tensor *copy = compute_pass_add_value(pass, TENSOR_ACTIVATION, from->type, from->rows, from->cols);
    snprintf(copy->name, sizeof copy->name, "%.50s on %.8s", from->name, to->part.device->info.id);
    pass->values[copy->index]->device = to->part.device;
    add_io(&to->part.in, &to->part.n_in, copy);

    struct move move = {.to = copy, .from = from, .from_part = -1, .size = compute_tensor_bytes(copy)};
    if (from->role == TENSOR_ACTIVATION) {
        move.from_part = pass_value(pass, from)->part;
        move.from_out = leave_part(&pass->parts[move.from_part].part, from);
    }
    to->moves = base_realloc(to->moves, (size_t)(to->n_moves + 1) * sizeof to->moves[0]);
    to->moves[to->n_moves++] = move;
    return copy;
}

static struct tensor *replicate(struct cutter *c, struct planned_part *to, struct tensor *from)
{
    int version = pass_is_value(from) ? pass_value(c->pass, from)->version : 0;
    for (int i = 0; i < c->n_replicas; i++) {
        const struct replica *r = &c->replicas[i];
        if (r->of == from && r->version == version && r->device == to->part.device)
            return r->copy;
    }
    if (c->n_replicas == c->cap_replicas) {
        c->cap_replicas = c->cap_replicas ? 2 * c->cap_replicas : 16;
        c->replicas = base_realloc(c->replicas, (size_t)c->cap_replicas * sizeof c->replicas[0]);
    }
    struct tensor *copy = add_move(c, to, from);
    c->replicas[c->n_replicas++] = (struct replica){from, version, to->part.device, copy};
    return copy;
}

/* The tensor that an operation of `part` reads in place of `t`: `t` itself where it can. */
static struct tensor *localize(struct cutter *c, struct planned_part *part, struct tensor *t)
{
    struct device *device = part->part.device;
    struct tensor *root = pass_root(t);
    if (t->role == TENSOR_STATE || (t->role == TENSOR_WEIGHT && compute_tensor_device(t) == device))
        return t;
    if (t->role == TENSOR_INPUT) {
        struct value *value = pass_value(c->pass, t);
        if (!value->device) { /* its first reader gives it a home */
            value->device = device;
            add_io(&part->part.in, &part->part.n_in, root);
        }
    }
    if (pass_is_value(t) && pass_value(c->pass, t)->device == device)
        return t;
    struct tensor *copy = replicate(c, part, root);
    return t == root ? copy : compute_pass_add_view(c->pass, copy, t->rows, t->cols);
}

static struct planned_part *part_for(struct pass *pass, int i)
{
    struct device *device = pass->ops[i]->device;
    if (pass->n_parts > 0 && pass->parts[pass->n_parts - 1].part.device == device)
        return &pass->parts[pass->n_parts - 1];
    pass->parts = base_realloc(pass->parts, (size_t)(pass->n_parts + 1) * sizeof pass->parts[0]);
    struct planned_part *planned = &pass->parts[pass->n_parts++];
    *planned = (struct planned_part){.part = {.device = device, .ops = &pass->ops[i]}, .first = i};
    return planned;
}

static void cut_into_parts(struct pass *pass)
{
    struct cutter c = {.pass = pass};
    for (int i = 0; i < pass->n_ops; i++) {
        struct op *op = pass->ops[i];
        struct planned_part *part = part_for(pass, i);
        part->part.n_ops++;
        for (int s = 0; s < OP_SLOTS; s++)
            if (*op_slot(op, s))
                *op_slot(op, s) = localize(&c, part, *op_slot(op, s));
        if (op->dst->role != TENSOR_ACTIVATION)
            continue;
        struct value *value = pass_value(pass, op->dst);
        value->written = i;
        value->part = pass->n_parts - 1;
        value->version += op_in_place(op);
    }
    base_free(c.replicas);

    for (int i = 0; i < pass->n_values; i++) {
        struct value *value = pass->values[i];
        if (value->tensor.role == TENSOR_INPUT && !value->tensor.base && !value->device)
            value->device = host_device(pass); /* nobody reads it, but the host may fill it */
        if (value->output && value->tensor.role == TENSOR_ACTIVATION && value->written >= 0)
            leave_part(&pass->parts[value->part].part, &value->tensor);
    }
}

/* ---- lifetimes ---------------------------------------------------------------------------------------------------------- */

static void live_in(struct pass *pass, const struct tensor *t, int group)
{
    if (!t || !pass_is_value(t))
        return;
    struct value *value = pass_value(pass, t);
    if (group < value->first)
        value->first = group;
    if (group > value->last)
        value->last = group;
}

/* In groups, not in operations: within a group nothing may take another's place, since its operations have no order. */
static void find_lifetimes(struct pass *pass)
{
    for (int i = 0; i < pass->n_values; i++) {
        pass->values[i]->first = INT_MAX;
        pass->values[i]->last = -1;
    }
    for (int i = 0; i < pass->n_ops; i++) {
        live_in(pass, pass->ops[i]->dst, pass->groups[i]);
        for (int s = 0; s < OP_SLOTS; s++)
            live_in(pass, *op_slot(pass->ops[i], s), pass->groups[i]);
    }
    for (int p = 0; p < pass->n_parts; p++) {
        int group = pass->groups[pass->parts[p].first];
        for (int m = 0; m < pass->parts[p].n_moves; m++) {
            live_in(pass, pass->parts[p].moves[m].to, group);
            live_in(pass, pass->parts[p].moves[m].from, group);
        }
    }
    for (int i = 0; i < pass->n_values; i++) {
        struct value *value = pass->values[i];
        if (value->tensor.role == TENSOR_INPUT) /* keeps its contents from run to run */
            value->first = 0;
        if (value->tensor.role == TENSOR_INPUT || value->output)
            value->last = INT_MAX;
    }
}

/* ---- cost --------------------------------------------------------------------------------------------------------------- */

static double op_flops(const struct op *op)
{
    double cells = (double)op->dst->rows * (double)op->dst->cols;
    if (op->kind == OP_matmul)
        return (op->gate ? 4 : 2) * cells * (double)op->src[0]->cols;
    if (op->kind == OP_attention) { /* at the most: as if every query saw every cell */
        const struct attention_params *p = &op->attention;
        double seen = op->src[3] ? (double)(op->src[3]->rows - 1) * p->page_size : (double)op->src[1]->rows;
        return 2 * (double)op->dst->rows * p->n_head * seen * (p->d_head + p->d_value);
    }
    return cells;
}

static double op_weight_bytes(const struct op *op)
{
    double bytes = 0;
    for (int s = 0; s < OP_SLOTS; s++) {
        const struct tensor *t = *op_slot((struct op *)op, s);
        if (!t || t->role != TENSOR_WEIGHT)
            continue;
        if (op->kind == OP_gather)
            bytes += (double)compute_row_bytes(t->type, t->cols) * (double)op->dst->rows;
        else
            bytes += (double)(t->packed_size ? t->packed_size : compute_tensor_bytes(t)); /* 0: read where it lies */
    }
    return bytes;
}

static void add_up_cost(struct pass *pass)
{
    struct pass_cost *cost = &pass->cost;
    *cost = (struct pass_cost){.n_ops = pass->n_ops, .n_parts = pass->n_parts};
    for (int d = 0; d < pass->n_devices; d++)
        cost->arena += pass->arena_sizes[d];
    for (int i = 0; i < pass->n_values; i++) {
        const struct value *value = pass->values[i];
        if (value->tensor.role == TENSOR_INPUT && !value->tensor.base)
            cost->inputs += compute_tensor_bytes(&value->tensor);
        else if (value->output)
            cost->outputs += compute_tensor_bytes(&value->tensor);
    }
    for (int i = 0; i < pass->n_ops; i++) {
        cost->flops += op_flops(pass->ops[i]);
        cost->weight_bytes += op_weight_bytes(pass->ops[i]);
    }
}

/* ---- memory and backends ------------------------------------------------------------------------------------------------ */

static struct buffer *arena_of(const struct pass *pass, const struct device *device)
{
    for (int d = 0; d < pass->n_devices; d++)
        if (pass->devices[d] == device)
            return pass->arenas[d];
    return NULL;
}

static int allocate(struct pass *pass)
{
    for (int d = 0; d < pass->n_devices; d++) {
        if (pass->arena_sizes[d] == 0)
            continue;
        int err = compute_buffer_create(pass->devices[d], pass->arena_sizes[d], &pass->arenas[d]);
        if (err < 0)
            return base_fail_prefix(err, "activations of %d operations", pass->n_ops);
    }
    for (int i = 0; i < pass->n_values; i++) {
        struct value *value = pass->values[i];
        if (!value->tensor.base && value->device)
            value->tensor.buffer = arena_of(pass, value->device);
    }
    for (int i = 0; i < pass->n_values; i++) {
        struct tensor *t = &pass->values[i]->tensor;
        if (t->base) {
            t->buffer = t->base->buffer;
            t->offset = t->base->offset;
        }
    }
    return PR_OK;
}

static void point_to_host(struct part_io *io)
{
    struct buffer *arena = io->tensor->buffer;
    if (arena->host)
        io->host = (char *)arena->host + io->tensor->offset;
}

static int prepare(struct pass *pass)
{
    for (int p = 0; p < pass->n_parts; p++) {
        struct part *part = &pass->parts[p].part;
        part->arena = arena_of(pass, part->device);
        for (int i = 0; i < part->n_in; i++)
            point_to_host(&part->in[i]);
        for (int i = 0; i < part->n_out; i++)
            point_to_host(&part->out[i]);
    }
    for (int p = 0; p < pass->n_parts; p++) {
        struct part *part = &pass->parts[p].part;
        int err = part->device->backend->prepare ? part->device->backend->prepare(part) : PR_OK;
        if (err < 0)
            return err;
    }
    return PR_OK;
}

/* The host's pointers, once the backends have set theirs. */
static void resolve_host(struct pass *pass)
{
    for (int i = 0; i < pass->n_values; i++) {
        struct value *value = pass->values[i];
        if (value->tensor.buffer && value->tensor.buffer->host && pass_is_value(&value->tensor))
            value->host = (char *)value->tensor.buffer->host + value->tensor.offset;
    }
    for (int p = 0; p < pass->n_parts; p++) {
        const struct part *part = &pass->parts[p].part;
        for (int i = 0; i < part->n_in; i++)
            pass_value(pass, part->in[i].tensor)->host = part->in[i].host;
        for (int i = 0; i < part->n_out; i++) /* the last part that wrote it has the final word */
            pass_value(pass, part->out[i].tensor)->host = part->out[i].host;
    }
    for (int p = 0; p < pass->n_parts; p++) {
        for (int m = 0; m < pass->parts[p].n_moves; m++) {
            struct move *move = &pass->parts[p].moves[m];
            move->to_host = pass_value(pass, move->to)->host;
            if (move->from_part >= 0)
                move->from_host = pass->parts[move->from_part].part.out[move->from_out].host;
            else if (move->from->role == TENSOR_WEIGHT)
                move->from_host = compute_tensor_data(move->from);
            else
                move->from_host = pass_value(pass, move->from)->host;
        }
    }
}

int compute_pass_plan(struct pass *pass, struct pass_cost *cost)
{
    int err;
    if (pass->error)
        return base_fail(pass->error, "%s", pass->message);
    if (pass->planned)
        return base_fail(PR_ERR_INTERNAL, "the pass is planned already");
    compute_pass_remove_dead(pass);
    TRY(assign_devices(pass));
    compute_pass_fuse(pass);
    cut_into_parts(pass);
    compute_pass_order(pass);
    find_lifetimes(pass);
    for (int i = 0; i < pass->n_ops; i++) {
        const struct backend *backend = pass->ops[i]->device->backend;
        pass->ops[i]->scratch_size = backend->scratch ? backend->scratch(pass->ops[i]->device, pass->ops[i]) : 0;
    }
    compute_pass_lay_out(pass);
    add_up_cost(pass);
    if (cost)
        *cost = pass->cost;
    TRY(allocate(pass));
    TRY(prepare(pass));
    resolve_host(pass);
    pass->planned = true;
    return PR_OK;
fail:
    pass->error = err; /* it stays unplanned and can't be planned again */
    snprintf(pass->message, sizeof pass->message, "%s", pr_error_message());
    return err;
}
