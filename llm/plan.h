/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Planned passes of a network over a cache, one for each shape class, kept by the cache while they are in use.
 */
#pragma once

#include "compute/pass.h"
#include "llm/network.h"

struct llm_shape {
    int32_t n;        /* tokens */
    int32_t n_logits; /* of the last ones */
    int32_t shallow;  /* only so many layers, and of the last of them its keys and queries; 0: all, and logits */
    int32_t sinks;
    bool rows; /* some of the tokens are embedding rows */
};

struct llm_plan {
    struct llm_network *net;
    struct llm_shape shape;
    struct llm_graph graph;        /* its inputs */
    struct tensor *logits;         /* f32 [n_logits, n_vocab], NULL: none wanted */
    struct tensor *keys, *queries; /* f32 [n, n_kv * d_head], [n, n_head * d_head] of a shallow pass */
    struct pass *pass;
    struct pass_cost cost;
    uint64_t used; /* kv->plan_clock when it was used last */
};

/* The plan for a shape; made, and another one dropped for it, when the cache hasn't got it. It belongs to `kv` and is valid
 * until the next call. A plan for one token is dropped last. */
int llm_plan_get(struct llm_network *net, struct llm_kv *kv, const struct llm_shape *shape, struct llm_plan **out);
void llm_plan_destroy(struct llm_plan *plan); /* takes NULL */
