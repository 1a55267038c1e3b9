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
    struct tensor keys, values;
    struct pass *pass;
    struct tensor *x, *ids;
};

static int set_up(void **state)
{
    static struct fixture f;
    if (compute_device_open("ref", NULL, &f.device) < 0 ||
        compute_state_create(f.device, TYPE_F16, 64, 8, "keys", &f.keys) < 0 ||
        compute_state_create(f.device, TYPE_F16, 64, 8, "values", &f.values) < 0)
        return -1;
    f.pass = compute_pass_create(&f.device, 1);
    f.x = compute_pass_input(f.pass, TYPE_F32, 3, 8, "x");
    f.ids = compute_pass_input(f.pass, TYPE_I32, 1, 3, "ids");
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    compute_pass_destroy(f->pass);
    compute_state_destroy(&f->keys);
    compute_state_destroy(&f->values);
    compute_device_close(f->device);
    return 0;
}

/* Plans, and expects one letter per operation: '|' behind a barrier, '.' without. */
static void expect(struct fixture *f, const char *barriers)
{
    char got[65] = {0};
    assert_int_equal(compute_pass_plan(f->pass, NULL), PR_OK);
    for (int i = 0; i < f->pass->n_ops && i < 64; i++)
        got[i] = f->pass->ops[i]->barrier ? '|' : '.';
    assert_string_equal(got, barriers);
}

/* A layer's attention: q, k and v; rope of q and k; k and v to the cache; attention. Memory of q is free after its rope but is
 * no reason to make k's rope wait. */
static void a_layer_waits_only_for_what_it_needs(void **state)
{
    struct fixture *f = *state;
    const struct rope_params rope = {.d_head = 8, .n_rot = 8, .base = 100, .freq_scale = 1, .yarn_attn = 1};
    const struct attention_params attention = {.n_head = 1, .n_kv = 1, .d_head = 8, .d_value = 8, .scale = 1};
    struct tensor *pos = compute_pass_input(f->pass, TYPE_I32, 3, 4, "pos");
    struct tensor *range = compute_pass_input(f->pass, TYPE_I32, 3, 2, "range");
    struct tensor *norm = op_rms_norm(f->pass, f->x, NULL, 0);
    struct tensor *q = op_scale(f->pass, norm, 1), *k = op_scale(f->pass, norm, 2), *v = op_scale(f->pass, norm, 3);
    q = op_rope(f->pass, q, pos, NULL, &rope);
    k = op_rope(f->pass, k, pos, NULL, &rope);
    struct tensor *keys = op_scatter(f->pass, &f->keys, k, f->ids),
                  *values = op_scatter(f->pass, &f->values, v, f->ids);
    struct tensor *y = op_attention(f->pass, q, keys, values, NULL, range, &attention);
    compute_pass_output(f->pass, y);
    expect(f, ".|..|.|.|");
}

/* The same state under two names: two structs, overlapping rows. */
static void states_are_known_by_their_place(void **state)
{
    struct fixture *f = *state;
    struct tensor again = f->keys, upper = f->keys, lower = f->keys;
    upper.rows = 16;
    upper.offset = 48 * 16;
    lower.rows = 48;
    op_scatter(f->pass, &f->keys, f->x, f->ids);
    compute_pass_output(f->pass, op_gather(f->pass, &again, f->ids));
    op_scatter(f->pass, &upper, f->x, f->ids); /* after the first scatter and the reading */
    op_scatter(f->pass, &lower, f->x, f->ids); /* beside it */
    expect(f, ".||.");
}

static void writing_waits_for_readers(void **state)
{
    struct fixture *f = *state;
    struct tensor *a = op_scale(f->pass, f->x, 2);
    struct tensor *b = op_scale(f->pass, a, 3);
    struct tensor *c = op_scatter(f->pass, a, f->x, f->ids);
    struct tensor *d = op_scale(f->pass, c, 4), *e = op_scale(f->pass, f->x, 5);
    compute_pass_output(f->pass, b);
    compute_pass_output(f->pass, d);
    compute_pass_output(f->pass, e);
    expect(f, ".|||.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_layer_waits_only_for_what_it_needs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(states_are_known_by_their_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writing_waits_for_readers, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
