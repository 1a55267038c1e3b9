/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Random graphs give the same numbers whether they are planned or computed step by step, on one device or cut in two, on the
 * definitions or on any other device.
 */
#include "compute/plan.h"

#include "tests/compute/random_graph.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N_GRAPHS = 300, N_GRAPHS_ELSEWHERE = 60 };

static struct device *open(const char *id)
{
    struct device *device;
    if (compute_device_open(id, NULL, &device) < 0)
        fail_msg("%s", pr_error_message());
    return device;
}

/* Each output of `planned` equals the same value of `plain`. */
static void compare(const struct graph *planned, const struct graph *plain, uint64_t seed, double tolerance)
{
    for (int i = 0; i < planned->n; i++) {
        if (!planned->is_output[i] || planned->values[i]->role != TENSOR_ACTIVATION)
            continue;
        const float *got = compute_pass_host(planned->pass, planned->values[i]);
        const float *want = compute_pass_host(plain->pass, plain->values[i]);
        for (int64_t k = 0; k < planned->values[i]->rows * planned->values[i]->cols; k++)
            if (!(fabs((double)got[k] - (double)want[k]) <= tolerance * fmax(1, fabs((double)want[k]))))
                fail_msg("graph %d, value %d, element %d: expected %.9g, got %.9g", (int)seed, i, (int)k,
                         (double)want[k], (double)got[k]);
    }
}

static void plan_and_run(struct graph *g, struct graph_things *things)
{
    if (compute_pass_plan(g->pass, NULL) < 0)
        fail_msg("%s", pr_error_message());
    for (int turn = 0; turn < 2; turn++) { /* inputs survive a run */
        graph_things_reset(things);
        if (turn == 0)
            graph_fill(g, 7);
        if (compute_pass_run(g->pass, NULL) < 0)
            fail_msg("%s", pr_error_message());
    }
}

/* `pairs` of devices: the first for weights with even numbers, the second for the others and for the pass as its host. */
static void check_graphs(struct device *const *devices, int n_devices, int n_graphs, double tolerance, bool cut)
{
    struct device *ref = open("ref");
    struct graph_things plain_things, things;
    int most_parts = 0;
    graph_things_init(&plain_things, ref, &ref, 1);
    graph_things_init(&things, devices[n_devices - 1], devices, n_devices);
    for (uint64_t seed = 0; seed < (uint64_t)n_graphs; seed++) {
        struct graph plain, planned;
        graph_record(&plain, seed, &plain_things, &ref, 1, true);
        plan_and_run(&plain, &plain_things);
        graph_record(&planned, seed, &things, devices, n_devices, false);
        plan_and_run(&planned, &things);
        compare(&planned, &plain, seed, tolerance);
        if (planned.pass->n_parts > most_parts)
            most_parts = planned.pass->n_parts;
        compute_pass_destroy(plain.pass);
        compute_pass_destroy(planned.pass);
    }
    assert_true(!cut || most_parts > 5);
    graph_things_finish(&plain_things);
    graph_things_finish(&things);
    compute_device_close(ref);
}

/* Rounded once less where an addition went into a product. */
static const double same = 2e-5;

static void planned_graphs_compute_the_same(void **state)
{
    (void)state;
    struct device *device = open("ref");
    check_graphs(&device, 1, N_GRAPHS, same, false);
    assert_int_equal(device->allocated, 0);
    compute_device_close(device);
}

static void graphs_cut_over_two_devices_compute_the_same(void **state)
{
    (void)state;
    struct device *devices[] = {open("ref"), open("ref")};
    check_graphs(devices, 2, N_GRAPHS, same, true);
    for (int d = 0; d < 2; d++) {
        assert_int_equal(devices[d]->allocated, 0);
        compute_device_close(devices[d]);
    }
}

/* Every device at hand, alone and beside ref. Kernels differ in the last bits; thirty steps may add them up. */
static void graphs_compute_the_same_on_every_device(void **state)
{
    (void)state;
    struct device_info infos[16];
    int n;
    compute_device_list(infos, 16, &n);
    for (int i = 0; i < n && i < 16; i++) {
        if (strcmp(infos[i].id, "ref") == 0)
            continue;
        struct device *devices[] = {open(infos[i].id), open("ref")};
        check_graphs(devices, 2, N_GRAPHS_ELSEWHERE, 2e-3, true);
        if (devices[0]->backend->host)
            check_graphs(devices, 1, N_GRAPHS_ELSEWHERE, 2e-3, false);
        assert_int_equal(devices[0]->allocated, 0);
        compute_device_close(devices[0]);
        compute_device_close(devices[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planned_graphs_compute_the_same),
        cmocka_unit_test(graphs_cut_over_two_devices_compute_the_same),
        cmocka_unit_test(graphs_compute_the_same_on_every_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
