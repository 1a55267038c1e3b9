/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A pass is a list of operations that is recorded once for a shape class (so many token rows, so many output rows), planned
 * once, and run as often as needed with new inputs.
 *
 *     struct pass *pass = compute_pass_create(devices, n_devices);
 *     struct tensor *ids = compute_pass_input(pass, TYPE_I32, 1, n, "ids");
 *     struct tensor *x = op_gather(pass, token_embd, ids);
 *     ...
 *     compute_pass_output(pass, logits);
 *     TRY(compute_pass_plan(pass, &cost));
 *     for (;;) {
 *         memcpy(compute_pass_host(pass, ids), ...);
 *         TRY(compute_pass_run(pass, cancel));
 *         use(compute_pass_host(pass, logits));
 *     }
 *
 * Where an operation runs: on the device where its state or weight lies (of matmul, gather and the norms; other weights, such
 * as biases and rope divisors, decide only when they lie in memory that the host can't touch); without one, where its most
 * recent activation source was made; else on devices[0]. Neighbouring operations of one device form a part. Between parts of
 * different devices the planner inserts copies, also of host weights that didn't decide. An operation that a backend doesn't
 * support falls to the last device of the list, which is ref or cpu and supports everything.
 *
 * Thread-safety: a pass belongs to one thread at a time. Passes over the same state must not run at the same time.
 */
#pragma once

#include "compute/device.h"
#include "compute/op.h"

struct pass;

/* What a planned pass takes; known before it first runs. */
struct pass_cost {
    int n_ops, n_parts;     /* after fusion; parts = runs of operations on one device */
    size_t arena;           /* bytes of activations and scratch on all devices: the peak during a run */
    size_t inputs, outputs; /* bytes that the host writes and reads each run */
    double flops;           /* multiplications and additions */
    double weight_bytes;    /* weights that one run reads */
};

/* Up to 4 devices, each stays open while the pass lives; the last one is a host device (ref or cpu). Never NULL. */
struct pass *compute_pass_create(struct device *const *devices, int n_devices);
void compute_pass_destroy(struct pass *pass); /* takes NULL */

/* A tensor that the host fills before each run; zeroed at first, keeps its contents from run to run. */
struct tensor *compute_pass_input(struct pass *pass, enum type type, int64_t rows, int64_t cols, const char *name);
/* Asks that this activation can be read by the host after each run. */
void compute_pass_output(struct pass *pass, struct tensor *tensor);

/* Fuses, assigns devices, orders hazards, lays out the arena, lets each backend record its parts. After it nothing more can
 * be recorded. Returns the first recording error; PR_ERR_NOMEM when a device hasn't the memory. cost may be NULL. */
int compute_pass_plan(struct pass *pass, struct pass_cost *cost);

/* The host's view of an input (to write) or output (to read, after a run) of a planned pass; contiguous rows; valid while
 * the pass lives. */
void *compute_pass_host(struct pass *pass, struct tensor *tensor);

/* Runs the pass and waits for it. PR_ERR_CANCELLED when cancel was requested before or between parts (cpu: between
 * operations); PR_ERR_DEVICE_LOST: the device is gone, the state undefined. */
int compute_pass_run(struct pass *pass, const struct base_cancel *cancel);

/* Writes the plan as text for people: one line an operation with its shapes, device and place in the arena. */
struct base_buf;
void compute_pass_describe(const struct pass *pass, struct base_buf *out);
