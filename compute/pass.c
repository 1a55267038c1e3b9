/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Recording and running a pass; pass_plan.c plans it.
 */
#include "compute/pass.h"

#include "base/mem.h"
#include "compute/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- recording ---------------------------------------------------------------------------------------------------------- */

struct pass *compute_pass_create(struct device *const *devices, int n_devices)
{
    struct pass *pass = base_alloc(sizeof *pass);
    if (n_devices < 1 || n_devices > PASS_MAX_DEVICES) {
        compute_pass_refuse(pass, PR_ERR_INTERNAL, "a pass takes 1 to %d devices, not %d", PASS_MAX_DEVICES, n_devices);
        return pass;
    }
    memcpy(pass->devices, devices, (size_t)n_devices * sizeof devices[0]);
    pass->n_devices = n_devices;
    if (!devices[n_devices - 1]->backend->host)
        compute_pass_refuse(pass, PR_ERR_INTERNAL, "the last device of a pass must be ref or cpu, not %s",
                            devices[n_devices - 1]->info.id);
    return pass;
}

void compute_pass_destroy(struct pass *pass)
{
    if (!pass)
        return;
    for (int p = 0; p < pass->n_parts; p++) {
        struct part *part = &pass->parts[p].part;
        if (part->device->backend->discard)
            part->device->backend->discard(part);
        base_free(part->in);
        base_free(part->out);
        base_free(pass->parts[p].moves);
    }
    base_free(pass->parts);
    base_free(pass->groups);
    for (int d = 0; d < pass->n_devices; d++)
        compute_buffer_destroy(pass->arenas[d]);
    for (int i = 0; i < pass->n_ops; i++)
        base_free(pass->ops[i]);
    base_free(pass->ops);
    for (int i = 0; i < pass->n_values; i++)
        base_free(pass->values[i]);
    base_free(pass->values);
    base_free(pass);
}

void compute_pass_refuse(struct pass *pass, int error, const char *format, ...)
{
    if (pass->error)
        return;
    pass->error = error;
    va_list args;
    va_start(args, format);
    vsnprintf(pass->message, sizeof pass->message, format, args);
    va_end(args);
}

struct tensor *compute_pass_add_value(struct pass *pass, enum tensor_role role, enum type type, int64_t rows,
                                      int64_t cols)
{
    if (pass->n_values == pass->cap_values) {
        pass->cap_values = pass->cap_values ? 2 * pass->cap_values : 64;
        pass->values = base_realloc(pass->values, (size_t)pass->cap_values * sizeof pass->values[0]);
    }
    struct value *value = base_alloc(sizeof *value);
    value->tensor = (struct tensor){.role = role, .type = type, .rows = rows, .cols = cols, .index = pass->n_values};
    value->written = -1;
    pass->values[pass->n_values++] = value;
    return &value->tensor;
}

struct tensor *compute_pass_add_view(struct pass *pass, struct tensor *base, int64_t rows, int64_t cols)
{
    base = pass_root(base);
    struct tensor *view = compute_pass_add_value(pass, base->role, base->type, rows, cols);
    view->base = base;
    view->buffer = base->buffer; /* of states and weights; the others get theirs when the pass is planned */
    view->offset = base->offset;
    memcpy(view->name, base->name, sizeof view->name);
    return view;
}

struct op *compute_pass_add_op(struct pass *pass, enum op_kind kind, struct tensor *dst)
{
    if (pass->n_ops == pass->cap_ops) {
        pass->cap_ops = pass->cap_ops ? 2 * pass->cap_ops : 64;
        pass->ops = base_realloc(pass->ops, (size_t)pass->cap_ops * sizeof pass->ops[0]);
    }
    struct op *op = base_alloc(sizeof *op);
    op->kind = kind;
    op->dst = dst;
    pass->ops[pass->n_ops++] = op;
    return op;
}

struct tensor *compute_pass_input(struct pass *pass, enum type type, int64_t rows, int64_t cols, const char *name)
{
    const struct type_traits *traits = compute_type((int)type);
    if (pass->planned)
        compute_pass_refuse(pass, PR_ERR_INTERNAL, "input %s: the pass is planned already", name);
    if (!traits || rows < 1 || cols < 1 || rows > INT32_MAX || cols > INT32_MAX || cols % traits->block) {
        compute_pass_refuse(pass, PR_ERR_INVALID, "input %s: [%lld, %lld] %s can't be made", name, (long long)rows,
                            (long long)cols, traits ? traits->name : "of an unknown type");
        type = TYPE_F32;
        rows = cols = 1;
    }
    struct tensor *input = compute_pass_add_value(pass, TENSOR_INPUT, type, rows, cols);
    snprintf(input->name, sizeof input->name, "%s", name);
    return input;
}

void compute_pass_output(struct pass *pass, struct tensor *tensor)
{
    if (pass->planned)
        compute_pass_refuse(pass, PR_ERR_INTERNAL, "output: the pass is planned already");
    if (pass->error)
        return;
    if (!tensor || !pass_is_value(tensor)) {
        compute_pass_refuse(pass, PR_ERR_INTERNAL, "output: only activations and inputs can be read by the host");
        return;
    }
    pass_value(pass, tensor)->output = true;
}

/* ---- running ------------------------------------------------------------------------------------------------------------ */

void *compute_pass_host(struct pass *pass, struct tensor *tensor)
{
    return pass_value(pass, tensor)->host;
}

/* Fault injection: from its Nth run of a part on, the device is lost. */
static bool is_lost(struct device *device)
{
    device->runs++;
    return device->options.lose_after > 0 && device->runs >= device->options.lose_after;
}

int compute_pass_run(struct pass *pass, const struct base_cancel *cancel)
{
    if (!pass->planned)
        return base_fail(PR_ERR_INTERNAL, "a pass was run before it was planned");
    for (int p = 0; p < pass->n_parts; p++) {
        struct planned_part *planned = &pass->parts[p];
        struct device *device = planned->part.device;
        if (base_cancelled(cancel))
            return base_fail(PR_ERR_CANCELLED, "stopped on request");
        for (int m = 0; m < planned->n_moves; m++)
            memcpy(planned->moves[m].to_host, planned->moves[m].from_host, planned->moves[m].size);
        if (is_lost(device))
            return base_fail(PR_ERR_DEVICE_LOST, "%s was lost while it computed; start again, or use another device",
                             device->info.id);
        int err = device->backend->run(&planned->part, cancel);
        if (err < 0)
            return err;
    }
    return PR_OK;
}

/* ---- describing ----------------------------------------------------------------------------------------------------------- */

static void describe_op(const struct op *op, struct base_buf *out)
{
    static const char *const fused[] = {", added", ", gated by", ", to cells"};
    char text[160];
    op_describe_tensor(op->dst, text);
    base_buf_printf(out, "  %s%-10s -> %s", op->barrier ? "| " : "  ", op_name(op->kind), text);
    if (op->dst->role == TENSOR_ACTIVATION)
        base_buf_printf(out, " @%zu", op->dst->offset);
    for (int s = 0; s < OP_SLOTS; s++) {
        const struct tensor *t = *op_slot((struct op *)op, s);
        if (!t)
            continue;
        op_describe_tensor(t, text);
        base_buf_printf(out, "%s %s", s == 0 ? " <-" : s < OP_MAX_SOURCES ? "," : fused[s - OP_MAX_SOURCES], text);
        if (pass_is_value(t))
            base_buf_printf(out, " @%zu", t->offset);
    }
    if (op->scratch_size)
        base_buf_printf(out, ", scratch %zu @%zu", op->scratch_size, op->scratch_offset);
    base_buf_puts(out, "\n");
}

void compute_pass_describe(const struct pass *pass, struct base_buf *out)
{
    base_buf_printf(out, "%d operations in %d parts, %zu bytes of activations, %.3g MFLOP, %.3g MB of weights\n",
                    pass->cost.n_ops, pass->cost.n_parts, pass->cost.arena, pass->cost.flops * 1e-6,
                    pass->cost.weight_bytes * 1e-6);
    for (int p = 0; p < pass->n_parts; p++) {
        const struct planned_part *planned = &pass->parts[p];
        char text[160];
        base_buf_printf(out, "part %d on %s\n", p, planned->part.device->info.id);
        for (int m = 0; m < planned->n_moves; m++) {
            op_describe_tensor(planned->moves[m].from, text);
            base_buf_printf(out, "    copy       -> %s @%zu\n", text, planned->moves[m].to->offset);
        }
        for (int i = 0; i < planned->part.n_ops; i++)
            describe_op(planned->part.ops[i], out);
    }
}
