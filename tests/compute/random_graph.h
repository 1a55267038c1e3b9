/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Random graphs of operations, for tests of planning. The same seed records the same graph, whatever the devices.
 */
#pragma once

#include "compute/pass.h"

enum { GRAPH_MAX_STEPS = 64, GRAPH_N_WEIGHTS = 6, GRAPH_N_STATES = 2 };

/* Weights and states of a graph. Weight and state i lie on devices[i % n_devices]. */
struct graph_things {
    struct tensor weights[GRAPH_N_WEIGHTS], rows[GRAPH_N_WEIGHTS]; /* matrices, and single rows for norms and biases */
    struct tensor states[GRAPH_N_STATES];
    float *data;
};

/* `host` can touch memory; devices may be ref, cpu or anything else. Aborts when something fails. */
void graph_things_init(struct graph_things *things, struct device *host, struct device *const *devices, int n_devices);
void graph_things_finish(struct graph_things *things);
/* Gives the states the contents that they begin with. */
void graph_things_reset(struct graph_things *things);

struct graph {
    struct pass *pass;
    struct tensor *inputs[4];               /* x [rows, 32], ids [1, rows], positions [rows, 4], ranges [rows, 2] */
    struct tensor *values[GRAPH_MAX_STEPS]; /* the result of each step, f32 */
    bool is_output[GRAPH_MAX_STEPS];
    int n;
};

/* Records the graph of `seed`. all_outputs: every value is one (nothing is fused, left out or overwritten); otherwise some. */
void graph_record(struct graph *graph, uint64_t seed, struct graph_things *things, struct device *const *devices,
                  int n_devices, bool all_outputs);
/* Fills the inputs of a planned graph. */
void graph_fill(struct graph *graph, uint64_t seed);
