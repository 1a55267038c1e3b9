/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Brute force over random graphs: no operation writes where something lies that is read later, and no two operations between
 * barriers touch the same bytes unless both read.
 */
#include "base/mem.h"
#include "compute/plan.h"

#include "tests/compute/random_graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { N_GRAPHS = 300 };

struct range {
    const struct buffer *buffer;
    size_t begin, end;
};

static struct range range_of(const struct tensor *t)
{
    return (struct range){t->buffer, t->offset, t->offset + compute_tensor_bytes(t)};
}

static bool overlap(struct range a, struct range b)
{
    return a.buffer == b.buffer && a.begin < b.end && b.begin < a.end;
}

/* The last operation that reads the memory of `t` after operation i, copies and the host included; i if none. */
static int last_reader(const struct pass *pass, const struct tensor *t, int i)
{
    int last = i;
    for (int k = i + 1; k < pass->n_ops; k++)
        for (int s = 0; s < OP_SLOTS; s++)
            if (*op_slot(pass->ops[k], s) && pass_root(*op_slot(pass->ops[k], s)) == t)
                last = k;
    for (int p = 0; p < pass->n_parts; p++)
        for (int m = 0; m < pass->parts[p].n_moves; m++)
            if (pass->parts[p].moves[m].from == t && pass->parts[p].first > last)
                last = pass->parts[p].first;
    return pass_value(pass, t)->output || t->role == TENSOR_INPUT ? pass->n_ops : last;
}

/* Nothing but operations on `t` itself writes to it between i (which makes it) and its last reader. */
static void expect_untouched(const struct pass *pass, const struct tensor *t, int i, int from)
{
    int last = last_reader(pass, t, i);
    for (int k = from; k < pass->n_ops && k <= last; k++) {
        const struct op *op = pass->ops[k];
        if (k == i || op->dst->role != TENSOR_ACTIVATION)
            continue;
        if (pass_root(op->dst) != t && op->device == pass_value(pass, t)->device)
            assert_false(overlap(range_of(op->dst), range_of(t)));
        struct range scratch = {t->buffer, op->scratch_offset, op->scratch_offset + op->scratch_size};
        if (op->scratch_size && op->device == pass_value(pass, t)->device)
            assert_false(overlap(scratch, range_of(t)));
    }
    for (int p = 0; p < pass->n_parts; p++) /* copies write, too */
        for (int m = 0; m < pass->parts[p].n_moves; m++)
            if (pass->parts[p].moves[m].to != t && pass->parts[p].first > i && pass->parts[p].first <= last)
                assert_false(overlap(range_of(pass->parts[p].moves[m].to), range_of(t)));
}

static void check_overwriting(const struct pass *pass)
{
    for (int i = 0; i < pass->n_ops; i++) {
        const struct tensor *dst = pass->ops[i]->dst;
        if (dst->role == TENSOR_ACTIVATION)
            expect_untouched(pass, pass_root(dst), i, i + 1);
        for (int s = 0; s < OP_SLOTS; s++) { /* an operation's result isn't where its sources are */
            const struct tensor *t = *op_slot(pass->ops[i], s);
            if (t && dst->role == TENSOR_ACTIVATION && pass_root(t) != pass_root(dst))
                assert_false(overlap(range_of(dst), range_of(t)));
        }
    }
    for (int p = 0; p < pass->n_parts; p++)
        for (int m = 0; m < pass->parts[p].n_moves; m++)
            expect_untouched(pass, pass->parts[p].moves[m].to, pass->parts[p].first - 1, pass->parts[p].first);
    for (int v = 0; v < pass->n_values; v++) { /* inputs are never written */
        const struct tensor *t = &pass->values[v]->tensor;
        if (t->role == TENSOR_INPUT && !t->base)
            expect_untouched(pass, t, -1, 0);
    }
}

static bool touches(const struct op *op, struct range r, bool writes_only)
{
    if (overlap(range_of(op->dst), r))
        return true;
    struct range scratch = {op->dst->buffer, op->scratch_offset, op->scratch_offset + op->scratch_size};
    if (op->scratch_size && op->dst->role == TENSOR_ACTIVATION && overlap(scratch, r))
        return true;
    for (int s = 0; s < OP_SLOTS && !writes_only; s++) {
        const struct tensor *t = *op_slot((struct op *)op, s);
        if (t && t->role != TENSOR_WEIGHT && overlap(range_of(t), r))
            return true;
    }
    return false;
}

static void check_barriers(const struct pass *pass, int *without)
{
    for (int p = 0; p < pass->n_parts; p++) {
        const struct part *part = &pass->parts[p].part;
        for (int i = 0; i < part->n_ops; i++) {
            for (int k = i - 1; k >= 0 && !part->ops[k + 1]->barrier; k--) {
                ++*without;
                assert_false(touches(part->ops[k], range_of(part->ops[i]->dst), false));
                for (int s = 0; s < OP_SLOTS; s++) {
                    const struct tensor *t = *op_slot(part->ops[i], s);
                    if (t && t->role != TENSOR_WEIGHT)
                        assert_false(touches(part->ops[k], range_of(t), true));
                }
            }
        }
    }
}

static void check_inside(const struct pass *pass)
{
    for (int v = 0; v < pass->n_values; v++) {
        const struct value *value = pass->values[v];
        if (!value->tensor.buffer || value->first > value->last || value->tensor.role == TENSOR_STATE)
            continue;
        assert_true(value->tensor.offset + compute_tensor_bytes(&value->tensor) <= value->tensor.buffer->size);
        assert_int_equal(value->tensor.offset % 64, 0);
    }
}

static void run_graphs(int n_devices, double *reuse, int *without_barrier)
{
    struct device *devices[2];
    double all = 0, arenas = 0;
    struct graph_things things;
    for (int d = 0; d < n_devices; d++)
        assert_int_equal(compute_device_open("ref", NULL, &devices[d]), PR_OK);
    graph_things_init(&things, devices[0], devices, n_devices);
    for (uint64_t seed = 1000; seed < 1000 + N_GRAPHS; seed++) {
        struct graph g;
        struct pass_cost cost;
        graph_record(&g, seed, &things, devices, n_devices, false);
        assert_int_equal(compute_pass_plan(g.pass, &cost), PR_OK);
        check_overwriting(g.pass);
        check_barriers(g.pass, without_barrier);
        check_inside(g.pass);
        arenas += (double)cost.arena;
        for (int i = 0; i < g.pass->n_ops; i++)
            all += (double)compute_tensor_bytes(g.pass->ops[i]->dst) + (double)g.pass->ops[i]->scratch_size;
        compute_pass_destroy(g.pass);
    }
    *reuse = all / arenas;
    graph_things_finish(&things);
    for (int d = 0; d < n_devices; d++)
        compute_device_close(devices[d]);
}

static void live_tensors_never_overlap(void **state)
{
    (void)state;
    for (int n_devices = 1; n_devices <= 2; n_devices++) {
        double reuse = 0;
        int without_barrier = 0;
        run_graphs(n_devices, &reuse, &without_barrier);
        assert_true(reuse > 1.5); /* memory is used again at all */
        assert_true(without_barrier > 100);
    }
}

/* Wherever the heap puts things: what is freed comes back in another order, so the second plan has other addresses. */
static void a_graph_has_one_layout(void **state)
{
    (void)state;
    struct device *device;
    struct graph_things things;
    assert_int_equal(compute_device_open("ref", NULL, &device), PR_OK);
    graph_things_init(&things, device, &device, 1);
    for (uint64_t seed = 1000; seed < 1000 + N_GRAPHS; seed++) {
        struct graph g;
        size_t *offsets = NULL;
        for (int turn = 0; turn < 3; turn++) {
            graph_record(&g, seed, &things, &device, 1, false);
            assert_int_equal(compute_pass_plan(g.pass, NULL), PR_OK);
            if (!offsets)
                offsets = base_alloc_array((size_t)g.pass->n_values, sizeof *offsets);
            for (int v = 0; v < g.pass->n_values; v++) {
                if (turn > 0)
                    assert_int_equal(g.pass->values[v]->tensor.offset, offsets[v]);
                offsets[v] = g.pass->values[v]->tensor.offset;
            }
            compute_pass_destroy(g.pass);
        }
        base_free(offsets);
    }
    graph_things_finish(&things);
    compute_device_close(device);
}

/* A chain needs two tensors at a time, however long it is. */
static void a_chain_takes_two_tensors(void **state)
{
    (void)state;
    struct device *device;
    assert_int_equal(compute_device_open("ref", NULL, &device), PR_OK);
    struct pass *pass = compute_pass_create(&device, 1);
    struct tensor *x = compute_pass_input(pass, TYPE_F32, 16, 64, "x");
    for (int i = 0; i < 50; i++)
        x = op_scale(pass, x, 1.5f);
    compute_pass_output(pass, x);
    struct pass_cost cost;
    assert_int_equal(compute_pass_plan(pass, &cost), PR_OK);
    assert_int_equal(cost.n_ops, 50);
    assert_int_equal(cost.arena, 3 * 16 * 64 * 4); /* the input, and two that take turns */
    compute_pass_destroy(pass);
    compute_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live_tensors_never_overlap),
        cmocka_unit_test(a_graph_has_one_layout),
        cmocka_unit_test(a_chain_takes_two_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
