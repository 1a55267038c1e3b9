/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/compute/random_graph.h"

#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 5, WIDTH = 32, STATE_ROWS = 9, HEADS = 2 };

static uint64_t next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

static int pick(uint64_t *seed, int n)
{
    return (int)(next(seed) % (uint64_t)n);
}

static float number(uint64_t *seed)
{
    return (float)pick(seed, 2001) / 1000 - 1;
}

static void check(int err)
{
    if (err < 0) {
        fprintf(stderr, "%s\n", pr_error_message());
        abort();
    }
}

/* ---- weights and states ------------------------------------------------------------------------------------------------- */

static void add_weight(struct tensor *t, struct device *host, struct device *device, const float *data, int64_t rows)
{
    *t = (struct tensor){.role = TENSOR_WEIGHT, .type = TYPE_F32, .rows = rows, .cols = WIDTH, .name = "weight"};
    check(compute_buffer_wrap(host, data, (size_t)rows * WIDTH * sizeof *data, &t->buffer));
    check(compute_tensor_place(device, t));
}

void graph_things_init(struct graph_things *things, struct device *host, struct device *const *devices, int n_devices)
{
    uint64_t seed = 42;
    size_t n = GRAPH_N_WEIGHTS * (WIDTH + 1) * WIDTH;
    things->data = base_try_alloc(n, sizeof *things->data);
    for (size_t i = 0; i < n; i++)
        things->data[i] = number(&seed);
    const float *at = things->data;
    for (int i = 0; i < GRAPH_N_WEIGHTS; i++) {
        add_weight(&things->weights[i], host, devices[i % n_devices], at, WIDTH);
        at += WIDTH * WIDTH;
        add_weight(&things->rows[i], host, devices[i % n_devices], at, 1);
        at += WIDTH;
    }
    for (int i = 0; i < GRAPH_N_STATES; i++)
        check(compute_state_create(devices[i % n_devices], TYPE_F32, STATE_ROWS, WIDTH, "state", &things->states[i]));
    graph_things_reset(things);
}

void graph_things_finish(struct graph_things *things)
{
    for (int i = 0; i < 2 * GRAPH_N_WEIGHTS; i++) {
        struct tensor *t = i < GRAPH_N_WEIGHTS ? &things->weights[i] : &things->rows[i - GRAPH_N_WEIGHTS];
        compute_tensor_unplace(t);
        compute_buffer_destroy(t->buffer);
    }
    for (int i = 0; i < GRAPH_N_STATES; i++)
        compute_state_destroy(&things->states[i]);
    base_free(things->data);
}

void graph_things_reset(struct graph_things *things)
{
    float rows[STATE_ROWS * WIDTH];
    uint64_t seed = 43;
    for (int i = 0; i < GRAPH_N_STATES; i++) {
        for (int k = 0; k < STATE_ROWS * WIDTH; k++)
            rows[k] = number(&seed);
        check(compute_buffer_write(things->states[i].buffer, 0, rows, sizeof rows));
    }
}

/* ---- steps ---------------------------------------------------------------------------------------------------------------- */

/* Even and odd things may lie on different devices: a bias is taken from where its matrix is. */
static struct tensor *project(struct graph *g, struct graph_things *things, struct tensor *x, uint64_t *seed)
{
    int w = pick(seed, GRAPH_N_WEIGHTS), bias = w % 2 + 2 * pick(seed, GRAPH_N_WEIGHTS / 2);
    bool biased = pick(seed, 2);
    return op_scale(g->pass, op_matmul(g->pass, &things->weights[w], x, biased ? &things->rows[bias] : NULL), 0.2f);
}

/* A product with an addition that can go into it, both ways round. */
static struct tensor *project_and_add(struct graph *g, struct graph_things *things, struct tensor *x, struct tensor *y,
                                      uint64_t *seed)
{
    struct tensor *product = op_matmul(g->pass, &things->weights[pick(seed, GRAPH_N_WEIGHTS)], x, NULL);
    struct tensor *sum = pick(seed, 2) ? op_add(g->pass, product, y) : op_add(g->pass, y, product);
    return op_softcap(g->pass, sum, 3);
}

static struct tensor *normalize_heads(struct graph *g, struct tensor *x)
{
    struct tensor *heads = op_reshape(g->pass, x, ROWS * HEADS, WIDTH / HEADS);
    return op_reshape(g->pass, op_rms_norm(g->pass, heads, NULL, 1e-5f), ROWS, WIDTH);
}

static struct tensor *attend(struct graph *g, struct tensor *q, struct tensor *k, struct tensor *v)
{
    struct attention_params params = {HEADS, HEADS, WIDTH / HEADS, WIDTH / HEADS, 0.25f, 0, 0, 0};
    struct tensor *k16 = op_convert(g->pass, k, TYPE_F16), *v16 = op_convert(g->pass, v, TYPE_F16);
    return op_attention(g->pass, q, k16, v16, NULL, g->inputs[3], &params);
}

static struct tensor *rotate(struct graph *g, struct tensor *x)
{
    struct rope_params params = {
        .kind = ROPE_NEOX, .d_head = 16, .n_rot = 16, .base = 100, .freq_scale = 1, .yarn_attn = 1};
    return op_rope(g->pass, x, g->inputs[2], NULL, &params);
}

static const struct tensor *memory_of(const struct tensor *t)
{
    return t->base ? t->base : t;
}

/* Writes rows of x over rows of y, an activation; inputs can't be written, so those are copied first. */
static struct tensor *overwrite(struct graph *g, struct tensor *x, struct tensor *y)
{
    if (y->role != TENSOR_ACTIVATION || memory_of(y) == memory_of(x))
        y = op_scale(g->pass, y, 0.75f);
    return op_scatter(g->pass, y, x, g->inputs[1]);
}

static struct tensor *step(struct graph *g, struct graph_things *things, uint64_t *seed)
{
    struct tensor *x = g->values[pick(seed, g->n)], *y = g->values[pick(seed, g->n)];
    struct tensor *state = &things->states[pick(seed, GRAPH_N_STATES)];
    switch (pick(seed, 14)) {
    case 0:
    case 1:
        return project(g, things, x, seed);
    case 2:
    case 3:
        return project_and_add(g, things, x, y, seed);
    case 4:
        return op_add(g->pass, x, op_scale(g->pass, y, -0.5f));
    case 5:
        return op_glu(g->pass, x, y, ACT_SILU);
    case 6:
        return op_rms_norm(g->pass, x, &things->rows[pick(seed, GRAPH_N_WEIGHTS)], 1e-5f);
    case 7:
        return normalize_heads(g, x);
    case 8:
        return attend(g, x, y, g->values[pick(seed, g->n)]);
    case 9:
        return rotate(g, x);
    case 10:
        return overwrite(g, x, y);
    case 11:
        return op_gather(g->pass, op_scatter(g->pass, state, x, g->inputs[1]), g->inputs[1]);
    case 12:
        return op_gather(g->pass, state, g->inputs[1]);
    case 13:
        return op_gather(g->pass, op_softcap(g->pass, x, 2), g->inputs[1]);
    }
    return x;
}

void graph_record(struct graph *g, uint64_t seed, struct graph_things *things, struct device *const *devices,
                  int n_devices, bool all_outputs)
{
    *g = (struct graph){.pass = compute_pass_create(devices, n_devices)};
    g->inputs[0] = compute_pass_input(g->pass, TYPE_F32, ROWS, WIDTH, "x");
    g->inputs[1] = compute_pass_input(g->pass, TYPE_I32, 1, ROWS, "ids");
    g->inputs[2] = compute_pass_input(g->pass, TYPE_I32, ROWS, 4, "positions");
    g->inputs[3] = compute_pass_input(g->pass, TYPE_I32, ROWS, 2, "ranges");
    g->values[g->n++] = g->inputs[0];
    int n = 4 + pick(&seed, GRAPH_MAX_STEPS - 4);
    while (g->n < n) {
        struct tensor *value = step(g, things, &seed);
        bool chosen = pick(&seed, 6) == 0 || g->n == n - 1;
        if (chosen || all_outputs) {
            compute_pass_output(g->pass, value);
            g->is_output[g->n] = true;
        }
        g->values[g->n++] = value;
    }
}

void graph_fill(struct graph *g, uint64_t seed)
{
    float *x = compute_pass_host(g->pass, g->inputs[0]);
    int32_t *ids = compute_pass_host(g->pass, g->inputs[1]), *positions = compute_pass_host(g->pass, g->inputs[2]);
    int32_t *ranges = compute_pass_host(g->pass, g->inputs[3]);
    for (int i = 0; i < ROWS * WIDTH; i++)
        x[i] = number(&seed);
    int first = pick(&seed, ROWS);
    for (int i = 0; i < ROWS; i++) {
        ids[i] = (first + 2 * i) % ROWS; /* all different */
        positions[4 * i] = pick(&seed, 50);
        ranges[2 * i] = 0;
        ranges[2 * i + 1] = 1 + pick(&seed, ROWS);
    }
}
