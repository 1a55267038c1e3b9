/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/ref/ref.h"

#include <math.h>

/* One query head: the softmax's sum and weighted values, rescaled whenever a larger logit appears (flash attention,
 * arXiv 2205.14135; the online softmax is arXiv 1805.02867). */
struct sums {
    double largest, total;
    double *values; /* [d_value] */
};

static void add_cell(struct sums *sums, double logit, const float *v, int d_value)
{
    if (logit > sums->largest) {
        double shrink = exp(sums->largest - logit); /* 0 at the first cell */
        sums->total *= shrink;
        for (int d = 0; d < d_value; d++)
            sums->values[d] *= shrink;
        sums->largest = logit;
    }
    double weight = exp(logit - sums->largest);
    sums->total += weight;
    for (int d = 0; d < d_value; d++)
        sums->values[d] += weight * v[d];
}

static bool is_visible(int64_t seq, const int32_t range[2], int32_t sinks)
{
    int32_t sink_end = sinks < range[1] ? sinks : range[1];
    return (range[0] <= seq && seq < range[1]) || seq < sink_end;
}

/* Cells first..first+n-1 of k and v, whose sequence indices begin at seq. */
static void add_cells(const struct op *op, int64_t query, int head, int64_t first, int64_t n, int64_t seq, float *key,
                      float *value, struct sums *sums)
{
    const struct attention_params *p = &op->attention;
    const struct tensor *k = op->src[1], *v = op->src[2];
    const float *q = (const float *)ref_row(op->src[0], query) + (int64_t)head * p->d_head;
    const int32_t *range = (const int32_t *)ref_row(op->src[4], query);
    int64_t kv_head = head / (p->n_head / p->n_kv);
    for (int64_t c = 0; c < n; c++) {
        if (!is_visible(seq + c, range, p->sinks))
            continue;
        ref_load(k, first + c, kv_head * p->d_head, p->d_head, key);
        ref_load(v, first + c, kv_head * p->d_value, p->d_value, value);
        double dot = 0;
        for (int d = 0; d < p->d_head; d++)
            dot += (double)q[d] * key[d];
        double logit = p->scale * dot;
        if (p->softcap > 0)
            logit = p->softcap * tanh(logit / p->softcap);
        add_cell(sums, logit, value, p->d_value);
    }
}

void ref_attention(const struct op *op, void *scratch)
{
    const struct attention_params *p = &op->attention;
    const struct tensor *k = op->src[1], *pages = op->src[3];
    double *values = scratch;
    float *key = (float *)(values + p->d_value), *value = key + p->d_head;
    for (int64_t i = 0; i < op->dst->rows; i++) {
        for (int head = 0; head < p->n_head; head++) {
            struct sums sums = {.largest = -INFINITY, .values = values};
            for (int d = 0; d < p->d_value; d++)
                values[d] = 0;
            if (!pages)
                add_cells(op, i, head, 0, k->rows, 0, key, value, &sums);
            int32_t n_pages = pages ? ((const int32_t *)ref_row(pages, 0))[0] : 0;
            for (int32_t j = 0; j < n_pages; j++) {
                const int32_t *page = (const int32_t *)ref_row(pages, 1 + j);
                add_cells(op, i, head, page[0], p->page_size, page[1], key, value, &sums);
            }
            float *out = (float *)ref_row(op->dst, i) + (int64_t)head * p->d_value;
            for (int d = 0; d < p->d_value; d++)
                out[d] = sums.total == 0 ? 0 : (float)(values[d] / sums.total);
        }
    }
}
