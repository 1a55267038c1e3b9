/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From logits to a token. temperature 0 is greedy and deterministic (ties: the lowest id).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct llm_sampler_params {
    float temperature;    /* 0: greedy */
    int32_t top_k;        /* 0: off */
    float top_p;          /* 1: off */
    float min_p;          /* 0: off */
    float repeat_penalty; /* 1: off; over the last repeat_last tokens */
    int32_t repeat_last;
    uint64_t seed;
};

struct llm_sampler;
struct llm_sampler *llm_sampler_create(const struct llm_sampler_params *params, int32_t n_vocab);
void llm_sampler_destroy(struct llm_sampler *sampler); /* takes NULL */
/* logits [n_vocab], unchanged. Order: penalty, temperature, top-k, top-p, min-p, draw. NaN logits count as -inf; when none
 * is finite, the result is -1. */
int32_t llm_sample(struct llm_sampler *sampler, const float *logits);
void llm_sampler_accept(struct llm_sampler *sampler, int32_t id); /* tells it what was taken (prompt tokens too) */

struct llm_top {
    int32_t id;
    float logprob; /* natural logarithm of the softmax over the whole vocabulary */
};
/* The k most probable tokens, most probable first (ties: lowest id first). Returns how many (<= k, <= n_vocab). */
int32_t llm_top_logprobs(const float *logits, int32_t n_vocab, int32_t k, struct llm_top *out);
