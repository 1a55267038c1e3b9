/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "llm/plan.h"

#include "base/mem.h"
#include "llm/block.h"

#include <stdio.h>
#include <string.h>

static void record_inputs(struct llm_plan *plan)
{
    struct llm_graph *g = &plan->graph;
    int32_t n = plan->shape.n;
    int64_t d = g->hp->d_model;
    g->ids = compute_pass_input(g->pass, TYPE_I32, 1, n, "ids");
    g->positions = compute_pass_input(g->pass, TYPE_I32, n, 4, "positions");
    g->cells = compute_pass_input(g->pass, TYPE_I32, 1, n, "cells");
    g->pages = compute_pass_input(g->pass, TYPE_I32, 1 + g->kv->n_pages, 2, "pages");
    g->range = compute_pass_input(g->pass, TYPE_I32, n, 2, "range");
    for (int i = 0; plan->shape.rows && i <= g->hp->n_deepstack; i++)
        g->rows[i] = compute_pass_input(g->pass, TYPE_F32, n, d, i ? "deepstack" : "rows");
    /* Without logits one row goes on, so that the last layer is written as the others are. */
    int32_t kept = plan->shape.n_logits ? plan->shape.n_logits : 1;
    if (kept < n && !plan->shape.shallow)
        g->keep = compute_pass_input(g->pass, TYPE_I32, 1, kept, "keep");
}

static int record(struct llm_plan *plan)
{
    struct llm_network *net = plan->net;
    struct llm_graph *g = &plan->graph;
    int err;
    record_inputs(plan);

    struct tensor *x = op_gather(g->pass, &net->token_embd, g->ids);
    if (g->rows[0])
        x = op_add(g->pass, x, g->rows[0]);
    int32_t n_layer = plan->shape.shallow ? plan->shape.shallow - 1 : g->hp->n_layer;
    for (int32_t il = 0; il < n_layer; il++)
        x = net->arch->record(g, &net->layers[il], il, x);
    if (plan->shape.shallow) {
        llm_shallow_attention(g, &net->layers[n_layer], x, &plan->keys, &plan->queries);
        compute_pass_output(g->pass, plan->keys);
        compute_pass_output(g->pass, plan->queries);
    }
    if (plan->shape.n_logits) {
        x = op_rms_norm(g->pass, x, net->output_norm, g->hp->norm_eps);
        plan->logits = op_matmul(g->pass, net->output, x, NULL);
        if (g->hp->output_softcap > 0)
            plan->logits = op_softcap(g->pass, plan->logits, g->hp->output_softcap);
        compute_pass_output(g->pass, plan->logits);
    }
    TRY(compute_pass_plan(g->pass, &plan->cost));

    int32_t *keep = g->keep ? compute_pass_host(g->pass, g->keep) : NULL;
    for (int32_t i = 0; keep && i < g->keep->cols; i++)
        keep[i] = plan->shape.n - (int32_t)g->keep->cols + i;
    return PR_OK;
fail:
    return err;
}

static int create(struct llm_network *net, struct llm_kv *kv, const struct llm_shape *shape, struct llm_plan **out)
{
    struct llm_plan *plan = base_alloc(sizeof *plan);
    struct device *devices[2] = {net->device, net->host};
    bool one = net->device == net->host;
    plan->net = net;
    plan->shape = *shape;
    plan->pass = compute_pass_create(one ? devices + 1 : devices, one ? 1 : 2);
    plan->graph = (struct llm_graph){.pass = plan->pass, .hp = &net->hp, .kv = kv, .sinks = shape->sinks};
    int err = record(plan);
    if (err < 0) {
        llm_plan_destroy(plan);
        return base_fail_prefix(err, "a pass of %d tokens", shape->n);
    }
    *out = plan;
    return PR_OK;
}

void llm_plan_destroy(struct llm_plan *plan)
{
    if (!plan)
        return;
    compute_pass_destroy(plan->pass);
    base_free(plan);
}

static bool same(const struct llm_plan *p, const struct llm_network *net, const struct llm_shape *s)
{
    return p && p->net == net && p->shape.n == s->n && p->shape.n_logits == s->n_logits && p->shape.sinks == s->sinks &&
           p->shape.shallow == s->shallow && p->shape.rows == s->rows;
}

int llm_plan_get(struct llm_network *net, struct llm_kv *kv, const struct llm_shape *shape, struct llm_plan **out)
{
    int oldest = 0;
    uint64_t oldest_used = UINT64_MAX;
    for (int i = 0; i < LLM_PLANS; i++) {
        struct llm_plan *p = kv->plans[i];
        if (same(p, net, shape)) {
            p->used = ++kv->plan_clock;
            *out = p;
            return PR_OK;
        }
        uint64_t used = !p ? 0 : p->used + (p->shape.n == 1 ? UINT64_MAX / 2 : 0);
        if (used < oldest_used) {
            oldest_used = used;
            oldest = i;
        }
    }
    /* The old one goes first, so that both never take memory at once. */
    llm_plan_destroy(kv->plans[oldest]);
    kv->plans[oldest] = NULL;
    int err = create(net, kv, shape, &kv->plans[oldest]);
    if (err < 0)
        return err;
    kv->plans[oldest]->used = ++kv->plan_clock;
    *out = kv->plans[oldest];
    return PR_OK;
}
