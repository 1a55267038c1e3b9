/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Copies are made by the planner where an operation's weight lies on another device: from ref to the device under test and
 * back. Nothing is computed on the way but products with 1, so values arrive exactly.
 */
#include "base/mem.h"
#include "compute/pass.h"
#include "tests/kernels/harness.h"

#include <stdio.h>
#include <string.h>

struct round_trip {
    struct device *device, *host;
    struct tensor there, here; /* weights of 1, [1, cols], on the device and on the host */
    struct tensor state;       /* [rows, cols] on the device */
    struct pass *pass;
    struct tensor *x, *ids, *y, *stored;
};

static int add_weight(struct tensor *t, struct device *host, struct device *device, const float *ones, int64_t cols)
{
    *t = (struct tensor){.role = TENSOR_WEIGHT, .type = TYPE_F32, .rows = 1, .cols = cols, .name = "ones"};
    int err = compute_buffer_wrap(host, ones, (size_t)cols * sizeof *ones, &t->buffer);
    return err < 0 ? err : compute_tensor_place(device, t);
}

/* x is copied to the device and into a state there; its copy is scaled on the host, on the device and on the host again. */
static int go_round(struct round_trip *r, int64_t rows, int64_t cols, const float *ones)
{
    int err;
    TRY(add_weight(&r->there, r->host, r->device, ones, cols));
    TRY(add_weight(&r->here, r->host, r->host, ones, cols));
    TRY(compute_state_create(r->device, TYPE_F32, rows, cols, "state", &r->state));
    r->pass = compute_pass_create((struct device *[]){r->device, r->host}, 2);
    r->x = compute_pass_input(r->pass, TYPE_F32, rows, cols, "x");
    r->ids = compute_pass_input(r->pass, TYPE_I32, 1, rows, "ids");
    struct tensor *all = op_gather(r->pass, &r->here, r->ids); /* rows of ones, made on the host */
    struct tensor *a = op_mul(r->pass, all, r->x);
    op_scatter(r->pass, &r->state, a, r->ids); /* to the device */
    struct tensor *b = op_gather(r->pass, &r->state, r->ids);
    struct tensor *c = op_mul(r->pass, op_gather(r->pass, &r->here, r->ids), b); /* back to the host */
    r->y = c;
    r->stored = b;
    compute_pass_output(r->pass, r->y);
    compute_pass_output(r->pass, r->stored);
    return compute_pass_plan(r->pass, NULL);
fail:
    return err;
}

static void finish(struct round_trip *r)
{
    compute_pass_destroy(r->pass);
    compute_state_destroy(&r->state);
    struct tensor *weights[] = {&r->there, &r->here};
    for (int i = 0; i < 2; i++) {
        if (!weights[i]->buffer)
            continue;
        compute_tensor_unplace(weights[i]);
        compute_buffer_destroy(weights[i]->buffer);
    }
}

static void check(struct kernels *t, int d, int64_t rows, int64_t cols)
{
    struct device_options options = {0};
    struct round_trip r = {.device = t->devices[d]};
    char label[64], message[400] = "";
    snprintf(label, sizeof label, "[%d, %d]", (int)rows, (int)cols);
    float *x = base_alloc_array((size_t)(rows * cols), sizeof *x), *ones = base_try_alloc((size_t)cols, sizeof *ones);
    uint64_t seed = 1;
    for (int64_t i = 0; i < rows * cols; i++)
        x[i] = (float)kernel_normal(&seed);
    for (int64_t i = 0; i < cols; i++)
        ones[i] = 1;
    int err = compute_device_open("ref", &options, &r.host);
    if (err == PR_OK)
        err = go_round(&r, rows, cols, ones);
    if (err < 0)
        snprintf(message, sizeof message, "%s", pr_error_message());
    size_t bytes = (size_t)(rows * cols) * sizeof *x;
    for (int turn = 0; turn < 2 && err == PR_OK; turn++) { /* inputs can change from run to run */
        memcpy(compute_pass_host(r.pass, r.x), x, bytes);
        int32_t *ids = compute_pass_host(r.pass, r.ids);
        for (int64_t i = 0; i < rows; i++)
            ids[i] = 0;
        for (int64_t i = 0; i < rows && rows > 1; i++)
            ids[i] = (int32_t)i; /* the table has one row: the others become zeros */
        err = compute_pass_run(r.pass, NULL);
        if (err < 0) {
            snprintf(message, sizeof message, "%s", pr_error_message());
            break;
        }
        const float *y = compute_pass_host(r.pass, r.y), *stored = compute_pass_host(r.pass, r.stored);
        for (int64_t i = 0; i < rows * cols && !message[0]; i++) {
            float want = i / cols == 0 ? x[i] : 0;
            if (y[i] != want || stored[i] != want)
                snprintf(message, sizeof message,
                         "element [%d, %d]: expected %.9g, got %.9g on the device and %.9g back", (int)(i / cols),
                         (int)(i % cols), (double)want, (double)stored[i], (double)y[i]);
        }
        for (int64_t i = 0; i < rows * cols; i++)
            x[i] = -2 * x[i];
    }
    finish(&r);
    compute_device_close(r.host);
    base_free(x);
    base_free(ones);
    kernel_report(t, d, label, message[0] ? message : NULL);
}

void test_copy(struct kernels *t)
{
    for (int d = 0; d < t->n_devices && !t->bench; d++) {
        check(t, d, 1, 1);
        check(t, d, 1, 33);
        check(t, d, 5, 67);
        check(t, d, 129, 1031);
    }
}
