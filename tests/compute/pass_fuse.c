/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct device *device;
    struct tensor w;
    struct pass *pass;
    struct tensor *x, *ids;
};

static void begin(struct fixture *f)
{
    static const float identity[4] = {1, 0, 0, 1};
    assert_int_equal(compute_device_open("ref", NULL, &f->device), PR_OK);
    f->w = (struct tensor){.role = TENSOR_WEIGHT, .rows = 2, .cols = 2, .name = "w"};
    assert_int_equal(compute_buffer_wrap(f->device, identity, sizeof identity, &f->w.buffer), PR_OK);
    f->pass = compute_pass_create(&f->device, 1);
    f->x = compute_pass_input(f->pass, TYPE_F32, 3, 2, "x");
    f->ids = compute_pass_input(f->pass, TYPE_I32, 1, 3, "ids");
}

/* Plans with `y` as the output and returns how many operations are left. */
static int plan(struct fixture *f, struct tensor *y)
{
    struct pass_cost cost;
    compute_pass_output(f->pass, y);
    assert_int_equal(compute_pass_plan(f->pass, &cost), PR_OK);
    return cost.n_ops;
}

static void end(struct fixture *f)
{
    compute_pass_destroy(f->pass);
    compute_buffer_destroy(f->w.buffer);
    compute_device_close(f->device);
}

static const float *run(struct fixture *f, struct tensor *y)
{
    float *x = compute_pass_host(f->pass, f->x);
    int32_t *ids = compute_pass_host(f->pass, f->ids);
    for (int i = 0; i < 6; i++)
        x[i] = (float)(i + 1);
    for (int i = 0; i < 3; i++)
        ids[i] = 2 - i;
    assert_int_equal(compute_pass_run(f->pass, NULL), PR_OK);
    return compute_pass_host(f->pass, y);
}

static void an_addition_goes_into_the_product_from_both_sides(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct fixture f;
        begin(&f);
        struct tensor *p = op_matmul(f.pass, &f.w, f.x, NULL);
        struct tensor *y = side ? op_add(f.pass, f.x, p) : op_add(f.pass, p, f.x);
        assert_int_equal(plan(&f, y), 1);
        assert_ptr_equal(f.pass->ops[0]->addend, f.x);
        assert_true(run(&f, y)[3] == 8);
        end(&f);
    }
}

static void the_addend_may_be_made_after_the_product(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    struct tensor *p = op_matmul(f.pass, &f.w, f.x, NULL);
    struct tensor *late = op_scale(f.pass, f.x, 10);
    struct tensor *y = op_add(f.pass, p, late);
    assert_int_equal(plan(&f, y), 2);
    assert_int_equal(f.pass->ops[1]->kind, OP_matmul);
    assert_true(run(&f, y)[3] == 44);
    end(&f);
}

static void a_product_that_is_needed_by_itself_stays(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f); /* read twice */
    struct tensor *p = op_matmul(f.pass, &f.w, f.x, NULL);
    struct tensor *y = op_mul(f.pass, op_add(f.pass, p, f.x), p);
    assert_int_equal(plan(&f, y), 3);
    assert_true(run(&f, y)[3] == 32);
    end(&f);

    begin(&f); /* an output */
    p = op_matmul(f.pass, &f.w, f.x, NULL);
    compute_pass_output(f.pass, p);
    assert_int_equal(plan(&f, op_add(f.pass, p, f.x)), 2);
    end(&f);

    begin(&f); /* twice itself */
    p = op_matmul(f.pass, &f.w, f.x, NULL);
    y = op_add(f.pass, p, p);
    assert_int_equal(plan(&f, y), 2);
    assert_true(run(&f, y)[3] == 8);
    end(&f);

    begin(&f); /* seen through a view */
    p = op_matmul(f.pass, &f.w, f.x, NULL);
    y = op_add(f.pass, op_reshape(f.pass, p, 2, 3), op_reshape(f.pass, f.x, 2, 3));
    assert_int_equal(plan(&f, y), 2);
    end(&f);

    begin(&f); /* a row that is added to every row isn't an addend */
    struct tensor *row = compute_pass_input(f.pass, TYPE_F32, 1, 2, "row");
    y = op_add(f.pass, op_matmul(f.pass, &f.w, f.x, NULL), row);
    assert_int_equal(plan(&f, y), 2);
    end(&f);
}

static void a_product_does_not_move_past_a_change_of_its_source(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    struct tensor *a = op_scale(f.pass, f.x, 1);
    struct tensor *p = op_matmul(f.pass, &f.w, a, NULL);
    op_scatter(f.pass, a, f.x, f.ids); /* reverses the rows of a */
    struct tensor *y = op_add(f.pass, p, a);
    assert_int_equal(plan(&f, y), 4);
    assert_true(run(&f, y)[0] == 1 + 5);
    end(&f);
}

static void two_additions_do_not_both_go_in(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    struct tensor *p = op_matmul(f.pass, &f.w, f.x, NULL);
    struct tensor *y = op_add(f.pass, op_add(f.pass, p, f.x), f.x);
    assert_int_equal(plan(&f, y), 2);
    assert_true(run(&f, y)[3] == 12);
    end(&f);
}

static void what_nobody_reads_is_left_out(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    struct tensor cache;
    assert_int_equal(compute_state_create(f.device, TYPE_F32, 4, 2, "cache", &cache), PR_OK);
    struct tensor *a = op_scale(f.pass, f.x, 2);
    op_scatter(f.pass, a, f.x, f.ids);                           /* a is read by nobody */
    op_softcap(f.pass, op_scale(f.pass, a, 3), 1);               /* but by these, which nobody reads */
    op_scatter(f.pass, &cache, op_scale(f.pass, f.x, 5), f.ids); /* a state keeps it */
    struct tensor *b = op_scale(f.pass, f.x, 7);
    struct tensor *changed = op_scatter(f.pass, b, f.x, f.ids); /* read through the old name */
    (void)changed;
    struct tensor *y = op_scale(f.pass, b, 1);
    assert_int_equal(plan(&f, y), 5);
    assert_true(run(&f, y)[0] == 5);
    float kept;
    assert_int_equal(compute_buffer_read(cache.buffer, 0, &kept, sizeof kept), PR_OK);
    assert_true(kept == 25);
    compute_state_destroy(&cache);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_addition_goes_into_the_product_from_both_sides),
        cmocka_unit_test(the_addend_may_be_made_after_the_product),
        cmocka_unit_test(a_product_that_is_needed_by_itself_stays),
        cmocka_unit_test(a_product_does_not_move_past_a_change_of_its_source),
        cmocka_unit_test(two_additions_do_not_both_go_in),
        cmocka_unit_test(what_nobody_reads_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
