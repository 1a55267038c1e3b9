/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/pass.h"

#include "base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct device *open_ref(uint64_t memory_limit, int64_t lose_after)
{
    struct device_options options = {.memory_limit = memory_limit, .lose_after = lose_after};
    struct device *device;
    assert_int_equal(compute_device_open("ref", &options, &device), PR_OK);
    return device;
}

/* A weight over memory that the test owns. */
static struct tensor weight_of(struct device *device, const float *data, int64_t rows, int64_t cols, const char *name)
{
    struct tensor t = {.role = TENSOR_WEIGHT, .type = TYPE_F32, .rows = rows, .cols = cols};
    strncpy(t.name, name, sizeof t.name - 1);
    assert_int_equal(compute_buffer_wrap(device, data, (size_t)(rows * cols) * sizeof *data, &t.buffer), PR_OK);
    return t;
}

static const float square[4] = {1, 2, 3, 4};

/* y = x · squareᵀ + x, cap(y) */
struct small {
    struct tensor w;
    struct pass *pass;
    struct tensor *x, *y, *capped;
};

static void record_small(struct small *s, struct device *const *devices, int n_devices, struct device *weight_device)
{
    s->w = weight_of(weight_device, square, 2, 2, "square");
    s->pass = compute_pass_create(devices, n_devices);
    s->x = compute_pass_input(s->pass, TYPE_F32, 1, 2, "x");
    s->y = op_add(s->pass, op_matmul(s->pass, &s->w, s->x, NULL), s->x);
    s->capped = op_softcap(s->pass, s->y, 10);
    compute_pass_output(s->pass, s->y);
    compute_pass_output(s->pass, s->capped);
}

static void finish_small(struct small *s)
{
    compute_pass_destroy(s->pass);
    compute_buffer_destroy(s->w.buffer);
}

static void run_small(struct small *s)
{
    float *x = compute_pass_host(s->pass, s->x);
    const float *y = compute_pass_host(s->pass, s->y), *capped = compute_pass_host(s->pass, s->capped);
    for (int i = 0; i < 3; i++) {
        x[0] = (float)i;
        x[1] = 2;
        assert_int_equal(compute_pass_run(s->pass, NULL), PR_OK);
        assert_float_equal(y[0], i + 4 + i, 1e-6);
        assert_float_equal(y[1], 3 * i + 8 + 2, 1e-6);
        assert_float_equal(capped[1], 10 * tanh((3 * i + 10) / 10.0), 1e-5);
    }
}

static void a_pass_runs_again_with_new_inputs(void **state)
{
    (void)state;
    struct device *device = open_ref(0, 0);
    struct small s;
    struct pass_cost cost;
    record_small(&s, &device, 1, device);
    assert_int_equal(compute_pass_plan(s.pass, &cost), PR_OK);
    assert_int_equal(cost.n_parts, 1);
    assert_int_equal(cost.n_ops, 2); /* the addition went into the product */
    assert_int_equal(cost.inputs, 8);
    assert_int_equal(cost.outputs, 16);
    assert_true(cost.flops == 2 * 2 * 2 + 2);
    assert_true(cost.weight_bytes == 16);
    assert_int_equal(device->allocated, cost.arena);
    run_small(&s);
    finish_small(&s);
    assert_int_equal(device->allocated, 0);
    compute_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pass_runs_again_with_new_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
