/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Recorded parts: replayed over a cache that grows, on memory that the host can't touch, and when the device is lost.
 */
#include "tests/compute/vk/fixture.h"

enum { HEADS = 4, KV_HEADS = 2, D = 32, CELLS = 64, STEPS = 50 };

/* A step of decoding: writes a cell into the cache and attends to all cells so far. */
struct step {
    struct pass *pass;
    struct tensor k, v, *kv, *q, *ids, *pages, *range, *out;
};

static void record_step(struct step *s, struct device *device, struct device *ref)
{
    struct attention_params params = {
        .n_head = HEADS, .n_kv = KV_HEADS, .d_head = D, .d_value = D, .scale = 0.2f, .page_size = 16};
    assert_int_equal(compute_state_create(device, TYPE_F16, CELLS, KV_HEADS * D, "k", &s->k), PR_OK);
    assert_int_equal(compute_state_create(device, TYPE_F16, CELLS, KV_HEADS * D, "v", &s->v), PR_OK);
    s->pass = compute_pass_create((struct device *[]){device, ref}, 2);
    s->q = compute_pass_input(s->pass, TYPE_F32, 1, HEADS * D, "q");
    s->kv = compute_pass_input(s->pass, TYPE_F32, 1, KV_HEADS * D, "kv");
    s->ids = compute_pass_input(s->pass, TYPE_I32, 1, 1, "ids");
    s->pages = compute_pass_input(s->pass, TYPE_I32, 1 + CELLS / 16, 2, "pages");
    s->range = compute_pass_input(s->pass, TYPE_I32, 1, 2, "range");
    struct tensor *k = op_scatter(s->pass, &s->k, s->kv, s->ids), *v = op_scatter(s->pass, &s->v, s->kv, s->ids);
    s->out = op_attention(s->pass, s->q, k, v, s->pages, s->range, &params);
    compute_pass_output(s->pass, s->out);
    assert_int_equal(compute_pass_plan(s->pass, NULL), PR_OK);
}

/* Pages lie in the pool in turned order. */
static void run_step(struct step *s, int i)
{
    int32_t *pages = compute_pass_host(s->pass, s->pages), *range = compute_pass_host(s->pass, s->range);
    pages[0] = i / 16 + 1;
    for (int j = 0; j <= i / 16; j++) {
        pages[2 + 2 * j] = CELLS - 16 * (j + 1);
        pages[3 + 2 * j] = 16 * j;
    }
    range[0] = 0;
    range[1] = i + 1;
    *(int32_t *)compute_pass_host(s->pass, s->ids) = CELLS - 16 * (i / 16 + 1) + i % 16;
    fill(compute_pass_host(s->pass, s->q), HEADS * D, 1000 * i);
    fill(compute_pass_host(s->pass, s->kv), KV_HEADS * D, 5000 + 1000 * i);
    assert_int_equal(compute_pass_run(s->pass, NULL), PR_OK);
}

static void finish_step(struct step *s)
{
    compute_pass_destroy(s->pass);
    compute_state_destroy(&s->k);
    compute_state_destroy(&s->v);
}

static void check_growing_cache(const char *assumed)
{
    struct device *ref, *device = open_vulkan(assumed, NULL);
    assert_int_equal(compute_device_open("ref", NULL, &ref), PR_OK);
    struct step expected = {0}, got = {0};
    record_step(&expected, ref, ref);
    record_step(&got, device, ref);
    for (int i = 0; i < STEPS; i++) {
        run_step(&expected, i);
        run_step(&got, i);
        const float *e = compute_pass_host(expected.pass, expected.out), *g = compute_pass_host(got.pass, got.out);
        for (int j = 0; j < HEADS * D; j++)
            assert_true(fabsf(e[j] - g[j]) < 1e-5f);
    }
    finish_step(&expected);
    finish_step(&got);
    compute_device_close(device);
    compute_device_close(ref);
}

static void one_recording_serves_a_growing_cache(void **state)
{
    (void)state;
    check_growing_cache("");
}

static void also_through_staging(void **state)
{
    (void)state;
    check_growing_cache("staging");
}

static void a_lost_device_says_so(void **state)
{
    (void)state;
    struct device_options options = {.lose_after = 3};
    struct device *ref, *device = open_vulkan("", &options);
    assert_int_equal(compute_device_open("ref", NULL, &ref), PR_OK);
    struct step step = {0};
    record_step(&step, device, ref);
    run_step(&step, 0);
    run_step(&step, 1);
    for (int i = 0; i < 2; i++) { /* it doesn't come back */
        assert_int_equal(compute_pass_run(step.pass, NULL), PR_ERR_DEVICE_LOST);
        assert_non_null(strstr(pr_error_message(), "vulkan:0"));
    }
    finish_step(&step);
    compute_device_close(device);
    compute_device_close(ref);
}

static void a_cancelled_run_stops(void **state)
{
    (void)state;
    struct device *ref, *device = open_vulkan("", NULL);
    assert_int_equal(compute_device_open("ref", NULL, &ref), PR_OK);
    struct step step = {0};
    struct base_cancel cancel = {0};
    record_step(&step, device, ref);
    run_step(&step, 0);
    atomic_store(&cancel.requested, true);
    assert_int_equal(compute_pass_run(step.pass, &cancel), PR_ERR_CANCELLED);
    run_step(&step, 1);
    finish_step(&step);
    compute_device_close(device);
    compute_device_close(ref);
}

static void speed_is_measured(void **state)
{
    (void)state;
    struct device *device = open_vulkan("", NULL);
    struct device_speed speed;
    assert_int_equal(compute_device_measure(device, &speed), PR_OK);
    assert_true(speed.bandwidth_gb_s > 0.01 && speed.bandwidth_gb_s < 1e5);
    assert_true(speed.f32_gflop_s > 0.01 && speed.f32_gflop_s < 1e6);
    assert_int_equal(device->allocated, 0);
    compute_device_close(device);
}

/* Queries and keys are turned by one dispatch, also where they differ in width. What lies between the two results is no matter of
 * that dispatch, so another operation may read it at the same time: the validation layer would see a hazard. */
static void two_ropes_are_one_dispatch(void **state)
{
    (void)state;
    enum { ROWS = 5, WIDE = 3 * D, BETWEEN = 2 * D, NARROW = D };
    struct rope_params params = {
        .kind = ROPE_NEOX, .d_head = D, .n_rot = D - 8, .base = 10000, .freq_scale = 1, .yarn_attn = 1};
    struct device *ref, *device = open_vulkan("", NULL);
    float results[2][ROWS * (WIDE + NARROW)];
    assert_int_equal(compute_device_open("ref", NULL, &ref), PR_OK);
    for (int d = 0; d < 2; d++) {
        struct pass *pass = compute_pass_create((struct device *[]){d ? device : ref, ref}, 2);
        struct tensor *q = compute_pass_input(pass, TYPE_F32, ROWS, WIDE, "q");
        struct tensor *k = compute_pass_input(pass, TYPE_F32, ROWS, NARROW, "k");
        struct tensor *pos = compute_pass_input(pass, TYPE_I32, ROWS, 4, "pos");
        struct tensor *between = compute_pass_input(pass, TYPE_F32, ROWS, BETWEEN, "between");
        struct tensor *turned_q = op_rope(pass, q, pos, NULL, &params),
                      *turned_k = op_rope(pass, k, pos, NULL, &params);
        compute_pass_output(pass, turned_q);
        compute_pass_output(pass, turned_k);
        compute_pass_output(pass, op_scale(pass, between, 2));
        assert_int_equal(compute_pass_plan(pass, NULL), PR_OK);
        assert_true(turned_q->offset < between->offset &&
                    between->offset < turned_k->offset); /* the larger ones first */
        fill(compute_pass_host(pass, q), ROWS * WIDE, 0);
        fill(compute_pass_host(pass, k), ROWS * NARROW, 1000);
        for (int i = 0; i < 4 * ROWS; i++)
            ((int32_t *)compute_pass_host(pass, pos))[i] = 7 * i + 1;
        assert_int_equal(compute_pass_run(pass, NULL), PR_OK);
        memcpy(results[d], compute_pass_host(pass, turned_q), ROWS * WIDE * sizeof(float));
        memcpy(results[d] + ROWS * WIDE, compute_pass_host(pass, turned_k), ROWS * NARROW * sizeof(float));
        compute_pass_destroy(pass);
    }
    for (int i = 0; i < ROWS * (WIDE + NARROW); i++)
        assert_true(fabsf(results[0][i] - results[1][i]) < 1e-5f);
    compute_device_close(device);
    compute_device_close(ref);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_recording_serves_a_growing_cache),
        cmocka_unit_test(also_through_staging),
        cmocka_unit_test(a_lost_device_says_so),
        cmocka_unit_test(a_cancelled_run_stops),
        cmocka_unit_test(speed_is_measured),
        cmocka_unit_test(two_ropes_are_one_dispatch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
