/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "llm/sampler.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A token that may be drawn. */
struct candidate {
    int32_t id;
    float value; /* logit, then probability */
};

struct llm_sampler {
    struct llm_sampler_params params;
    int32_t n_vocab;
    uint64_t state;
    struct candidate *candidates; /* [n_vocab] */
    int32_t *recent;              /* ring of the last repeat_last ids */
    int32_t n_recent, next_recent;
};

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t draw_bits(struct llm_sampler *s)
{
    uint64_t z = s->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* In [0, 1). */
static double draw_uniform(struct llm_sampler *s)
{
    return (double)(draw_bits(s) >> 11) * 0x1p-53;
}

struct llm_sampler *llm_sampler_create(const struct llm_sampler_params *params, int32_t n_vocab)
{
    struct llm_sampler *s = base_alloc(sizeof *s);
    s->params = *params;
    if (s->params.repeat_last < 0 || s->params.repeat_penalty == 1)
        s->params.repeat_last = 0;
    s->n_vocab = n_vocab;
    s->state = params->seed;
    s->candidates = base_alloc_array((size_t)n_vocab, sizeof *s->candidates);
    s->recent = base_alloc_array((size_t)s->params.repeat_last + 1, sizeof *s->recent);
    return s;
}

void llm_sampler_destroy(struct llm_sampler *s)
{
    if (!s)
        return;
    base_free(s->candidates);
    base_free(s->recent);
    base_free(s);
}

void llm_sampler_accept(struct llm_sampler *s, int32_t id)
{
    if (s->params.repeat_last == 0 || id < 0 || id >= s->n_vocab)
        return;
    s->recent[s->next_recent] = id;
    s->next_recent = (s->next_recent + 1) % s->params.repeat_last;
    s->n_recent += s->n_recent < s->params.repeat_last;
}

static float usable(float logit)
{
    return isnan(logit) ? -INFINITY : logit;
}

/* Each recent id once: positive logits are divided by the penalty, negative ones multiplied (CTRL, arXiv 1909.05858). */
static void penalise(const struct llm_sampler *s, const float *logits, struct candidate *c)
{
    for (int32_t i = 0; i < s->n_recent; i++) {
        int32_t id = s->recent[i];
        float logit = usable(logits[id]);
        c[id].value = logit > 0 ? logit / s->params.repeat_penalty : logit * s->params.repeat_penalty;
    }
}

/* Larger value first, then the lower id. */
static int before(const struct candidate *a, const struct candidate *b)
{
    return a->value > b->value || (a->value == b->value && a->id < b->id);
}

static int compare(const void *a, const void *b)
{
    return before(b, a) - before(a, b);
}

/* Brings the best k of n to the front, in order. A short list is kept by insertion, which most of a vocabulary never enters. */
static void select_best(struct candidate *c, int32_t n, int32_t k)
{
    if (k > 256 || k >= n) {
        qsort(c, (size_t)n, sizeof *c, compare);
        return;
    }
    qsort(c, (size_t)k, sizeof *c, compare);
    for (int32_t i = k; i < n; i++) {
        struct candidate new = c[i];
        if (!before(&new, &c[k - 1]))
            continue;
        int32_t at = k - 1;
        for (; at > 0 && before(&new, &c[at - 1]); at--)
            c[at] = c[at - 1];
        c[at] = new;
    }
}

static int32_t best(const struct candidate *c, int32_t n)
{
    int32_t best_at = 0;
    for (int32_t i = 1; i < n; i++)
        if (before(&c[i], &c[best_at]))
            best_at = i;
    return isinf(c[best_at].value) && c[best_at].value < 0 ? -1 : c[best_at].id;
}

/* Probabilities out of logits that are in order; returns how many aren't zero. */
static int32_t softmax_in_order(struct candidate *c, int32_t n, float temperature)
{
    double sum = 0;
    float top = c[0].value;
    int32_t used = 0;
    for (int32_t i = 0; i < n; i++) {
        double p = isinf(top) ? c[i].value == top : exp(((double)c[i].value - top) / temperature);
        c[i].value = (float)p;
        sum += p;
        used += p > 0;
    }
    for (int32_t i = 0; i < n; i++)
        c[i].value = (float)(c[i].value / sum);
    return used;
}

int32_t llm_sample(struct llm_sampler *s, const float *logits)
{
    const struct llm_sampler_params *p = &s->params;
    struct candidate *c = s->candidates;
    int32_t n = s->n_vocab;
    for (int32_t i = 0; i < n; i++)
        c[i] = (struct candidate){i, usable(logits[i])};
    penalise(s, logits, c);
    if (p->temperature <= 0)
        return best(c, n);

    int32_t k = p->top_k > 0 && p->top_k < n ? p->top_k : n;
    select_best(c, n, k);
    if (isinf(c[0].value) && c[0].value < 0)
        return -1;
    n = k;
    n = softmax_in_order(c, n, p->temperature);

    if (p->top_p < 1) { /* the smallest head that reaches top_p */
        double sum = 0;
        int32_t keep = 0;
        while (keep < n && (keep == 0 || sum < p->top_p))
            sum += c[keep++].value;
        n = keep;
    }
    while (p->min_p > 0 && n > 1 && c[n - 1].value < p->min_p * c[0].value)
        n--;

    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += c[i].value;
    double at = draw_uniform(s) * sum;
    for (int32_t i = 0; i < n; i++) {
        at -= c[i].value;
        if (at < 0)
            return c[i].id;
    }
    return c[n - 1].id;
}

/* Puts a candidate into the list of the best k, which is in order. */
static int32_t insert(struct llm_top *out, int32_t n, int32_t k, int32_t id, float logit)
{
    if (n == k && !(logit > out[n - 1].logprob))
        return n; /* equal ones with a higher id lose */
    int32_t at = n < k ? n : k - 1;
    while (at > 0 && logit > out[at - 1].logprob) {
        out[at] = out[at - 1];
        at--;
    }
    out[at] = (struct llm_top){id, logit};
    return n < k ? n + 1 : k;
}

int32_t llm_top_logprobs(const float *logits, int32_t n_vocab, int32_t k, struct llm_top *out)
{
    int32_t n = 0;
    if (k > n_vocab)
        k = n_vocab;
    if (k <= 0)
        return 0;
    for (int32_t i = 0; i < n_vocab; i++)
        n = insert(out, n, k, i, usable(logits[i]));
    double sum = 0, top = out[0].logprob;
    for (int32_t i = 0; i < n_vocab; i++)
        sum += exp(usable(logits[i]) - top);
    float log_sum = (float)(top + log(sum));
    for (int32_t i = 0; i < n; i++)
        out[i].logprob -= log_sum;
    return n;
}
