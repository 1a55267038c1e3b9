/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/pass.h"

#include "base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

static void a_pass_over_two_devices_copies_between_them(void **state)
{
    (void)state;
    struct device *devices[] = {open_ref(0, 0), open_ref(0, 0)};
    for (int where = 0; where < 2; where++) {
        struct small s;
        struct pass_cost cost;
        record_small(&s, devices, 2, devices[where]);
        assert_int_equal(compute_pass_plan(s.pass, &cost), PR_OK);
        assert_int_equal(cost.n_parts, 1); /* all follows the weight */
        run_small(&s);
        finish_small(&s);
    }
    compute_device_close(devices[0]);
    compute_device_close(devices[1]);
}

/* x -> gather on b -> product on a -> gather of the state on b, and the sum where the latest came from. */
static void operations_run_where_weights_and_states_lie(void **state)
{
    (void)state;
    struct device *a = open_ref(0, 0), *b = open_ref(0, 0);
    struct tensor on_a = weight_of(a, square, 2, 2, "on a"), on_b = weight_of(b, square, 2, 2, "on b"), cache;
    assert_int_equal(compute_state_create(b, TYPE_F32, 4, 2, "cache", &cache), PR_OK);
    struct pass *pass = compute_pass_create((struct device *[]){a, b}, 2);
    struct tensor *ids = compute_pass_input(pass, TYPE_I32, 1, 2, "ids");
    struct tensor *x = op_gather(pass, &on_b, ids);
    struct tensor *y = op_matmul(pass, &on_a, x, NULL);
    struct tensor *z = op_gather(pass, op_scatter(pass, &cache, y, ids), ids);
    struct tensor *sum = op_add(pass, y, z); /* z is the latest: on b */
    compute_pass_output(pass, sum);
    compute_pass_output(pass, x);
    struct pass_cost cost;
    assert_int_equal(compute_pass_plan(pass, &cost), PR_OK);
    assert_int_equal(cost.n_parts, 3);
    ((int32_t *)compute_pass_host(pass, ids))[0] = 1;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(compute_pass_run(pass, NULL), PR_OK);
        const float *got = compute_pass_host(pass, sum), *row = compute_pass_host(pass, x);
        assert_true(row[0] == 3 && row[1] == 4 && row[2] == 1);
        assert_true(got[0] == 2 * (3 + 8) && got[1] == 2 * (9 + 16)); /* square * (3, 4), twice */
    }
    struct base_buf text = {0};
    compute_pass_describe(pass, &text);
    assert_non_null(strstr(text.data, "part 2 on ref"));
    assert_non_null(strstr(text.data, "matmul"));
    assert_non_null(strstr(text.data, "copy"));
    assert_non_null(strstr(text.data, "cache [4, 2] F32"));
    base_buf_finish(&text);
    compute_pass_destroy(pass);
    compute_state_destroy(&cache);
    compute_buffer_destroy(on_a.buffer);
    compute_buffer_destroy(on_b.buffer);
    compute_device_close(a);
    compute_device_close(b);
}

/* A bias lies on the host, its matrix elsewhere: the bias is copied on each run. */
static void small_weights_come_along(void **state)
{
    (void)state;
    struct device *a = open_ref(0, 0), *b = open_ref(0, 0);
    struct tensor w = weight_of(a, square, 2, 2, "w"), bias = weight_of(b, square, 1, 2, "bias");
    struct pass *pass = compute_pass_create((struct device *[]){a, b}, 2);
    struct tensor *x = compute_pass_input(pass, TYPE_F32, 1, 2, "x");
    struct tensor *y = op_matmul(pass, &w, x, &bias);
    compute_pass_output(pass, y);
    struct pass_cost cost;
    assert_int_equal(compute_pass_plan(pass, &cost), PR_OK);
    assert_int_equal(cost.n_parts, 1);
    ((float *)compute_pass_host(pass, x))[0] = 1;
    assert_int_equal(compute_pass_run(pass, NULL), PR_OK);
    assert_true(((float *)compute_pass_host(pass, y))[1] == 3 + 2);
    compute_pass_destroy(pass);
    compute_buffer_destroy(w.buffer);
    compute_buffer_destroy(bias.buffer);
    compute_device_close(a);
    compute_device_close(b);
}

static void a_device_that_no_pass_knows_is_refused(void **state)
{
    (void)state;
    struct device *a = open_ref(0, 0), *b = open_ref(0, 0);
    struct tensor cache;
    assert_int_equal(compute_state_create(b, TYPE_F32, 4, 2, "cache", &cache), PR_OK);
    struct pass *pass = compute_pass_create(&a, 1);
    struct tensor *ids = compute_pass_input(pass, TYPE_I32, 1, 2, "ids");
    compute_pass_output(pass, op_gather(pass, &cache, ids));
    assert_int_equal(compute_pass_plan(pass, NULL), PR_ERR_INTERNAL);
    assert_non_null(strstr(pr_error_message(), "cache"));
    compute_pass_destroy(pass);
    compute_state_destroy(&cache);
    compute_device_close(a);
    compute_device_close(b);
}

static void views_share_memory(void **state)
{
    (void)state;
    struct device *device = open_ref(0, 0);
    struct pass *pass = compute_pass_create(&device, 1);
    struct tensor *x = compute_pass_input(pass, TYPE_F32, 2, 3, "x");
    struct tensor *y = op_scale(pass, op_reshape(pass, x, 3, 2), 2);
    struct tensor *view = op_reshape(pass, op_reshape(pass, y, 6, 1), 1, 6);
    struct tensor *z = op_scale(pass, view, 10);
    compute_pass_output(pass, view);
    compute_pass_output(pass, z);
    assert_int_equal(y->rows, 3);
    assert_int_equal(compute_pass_plan(pass, NULL), PR_OK);
    for (int i = 0; i < 6; i++)
        ((float *)compute_pass_host(pass, x))[i] = (float)i;
    assert_int_equal(compute_pass_run(pass, NULL), PR_OK);
    assert_ptr_equal(compute_pass_host(pass, view), compute_pass_host(pass, y));
    assert_true(((float *)compute_pass_host(pass, view))[5] == 10);
    assert_true(((float *)compute_pass_host(pass, z))[5] == 100);
    compute_pass_destroy(pass);
    compute_device_close(device);
}

static void unused_inputs_can_be_filled(void **state)
{
    (void)state;
    struct device *device = open_ref(0, 0);
    struct pass *pass = compute_pass_create(&device, 1);
    struct tensor *x = compute_pass_input(pass, TYPE_F32, 1000, 3, "x");
    assert_int_equal(compute_pass_plan(pass, NULL), PR_OK);
    memset(compute_pass_host(pass, x), 1, 12000);
    assert_int_equal(compute_pass_run(pass, NULL), PR_OK);
    compute_pass_destroy(pass);
    compute_device_close(device);
}

static void memory_that_is_not_there_is_said_with_sizes(void **state)
{
    (void)state;
    struct device *tight = open_ref(500, 0), *wide = open_ref(0, 0);
    struct small s;
    struct pass_cost cost = {0};
    record_small(&s, (struct device *[]){tight, wide}, 2, tight);
    assert_int_equal(compute_pass_plan(s.pass, &cost), PR_ERR_NOMEM);
    char size[32];
    snprintf(size, sizeof size, "%zu bytes", cost.arena);
    assert_true(cost.arena > 0); /* the cost is known all the same */
    assert_non_null(strstr(pr_error_message(), size));
    assert_non_null(strstr(pr_error_message(), "limit is 500"));
    assert_int_equal(compute_pass_run(s.pass, NULL), PR_ERR_INTERNAL);
    assert_int_equal(compute_pass_plan(s.pass, NULL), PR_ERR_NOMEM); /* still says why */
    finish_small(&s);
    assert_int_equal(tight->allocated, 0);

    record_small(&s, (struct device *[]){tight, wide}, 2, wide); /* the same graph fits the other device */
    assert_int_equal(compute_pass_plan(s.pass, &cost), PR_OK);
    assert_int_equal(tight->allocated, 0);
    run_small(&s);
    finish_small(&s);
    compute_device_close(tight);
    compute_device_close(wide);
}

static void a_device_can_be_lost(void **state)
{
    (void)state;
    struct device *device = open_ref(0, 3);
    struct small s;
    record_small(&s, &device, 1, device);
    assert_int_equal(compute_pass_plan(s.pass, NULL), PR_OK);
    assert_int_equal(compute_pass_run(s.pass, NULL), PR_OK);
    assert_int_equal(compute_pass_run(s.pass, NULL), PR_OK);
    for (int i = 0; i < 3; i++) { /* and stays so */
        assert_int_equal(compute_pass_run(s.pass, NULL), PR_ERR_DEVICE_LOST);
        assert_non_null(strstr(pr_error_message(), "ref was lost"));
    }
    finish_small(&s);
    compute_device_close(device);
}

static void a_run_can_be_cancelled(void **state)
{
    (void)state;
    struct device *device = open_ref(0, 0);
    struct base_cancel cancel = {0};
    struct small s;
    record_small(&s, &device, 1, device);
    assert_int_equal(compute_pass_plan(s.pass, NULL), PR_OK);
    assert_int_equal(compute_pass_run(s.pass, &cancel), PR_OK);
    atomic_store(&cancel.requested, true);
    assert_int_equal(compute_pass_run(s.pass, &cancel), PR_ERR_CANCELLED);
    atomic_store(&cancel.requested, false);
    run_small(&s);
    finish_small(&s);
    compute_device_close(device);
}

static void misuse_is_refused(void **state)
{
    (void)state;
    struct device *device = open_ref(0, 0);
    struct pass *pass = compute_pass_create(&device, 0);
    assert_int_equal(compute_pass_plan(pass, NULL), PR_ERR_INTERNAL);
    compute_pass_destroy(pass);
    compute_pass_destroy(NULL);
    struct small s;
    record_small(&s, &device, 1, device);
    assert_int_equal(compute_pass_run(s.pass, NULL), PR_ERR_INTERNAL); /* not planned */
    assert_int_equal(compute_pass_plan(s.pass, NULL), PR_OK);
    assert_int_equal(compute_pass_plan(s.pass, NULL), PR_ERR_INTERNAL); /* twice */
    assert_non_null(op_scale(s.pass, s.x, 2));                          /* too late, without harm */
    run_small(&s);
    finish_small(&s);
    compute_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pass_runs_again_with_new_inputs),
        cmocka_unit_test(a_pass_over_two_devices_copies_between_them),
        cmocka_unit_test(operations_run_where_weights_and_states_lie),
        cmocka_unit_test(small_weights_come_along),
        cmocka_unit_test(a_device_that_no_pass_knows_is_refused),
        cmocka_unit_test(views_share_memory),
        cmocka_unit_test(unused_inputs_can_be_filled),
        cmocka_unit_test(memory_that_is_not_there_is_said_with_sizes),
        cmocka_unit_test(a_device_can_be_lost),
        cmocka_unit_test(a_run_can_be_cancelled),
        cmocka_unit_test(misuse_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
