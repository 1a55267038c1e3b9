/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/mem.h"
#include "compute/pass.h"
#include "engine/clock.h"
#include "engine/model.h"

#include <stdlib.h>

enum { PREFILL = 256, DECODE = 32 };

struct bench {
    struct pr_model *model;
    struct llm_kv *kv;
    struct llm_sequence *sequence;
    float *logits;
    int32_t ids[PREFILL];
};

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int32_t n)
{
    qsort(values, (size_t)n, sizeof *values, compare);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static int decode(struct bench *b, int32_t n, const int32_t *ids, const struct base_cancel *cancel)
{
    struct llm_piece piece = {.n = n, .ids = ids};
    return llm_decode(b->model->decoder, b->sequence, &piece, 1, 1, b->logits, cancel);
}

/* One measurement: seconds of the prefill and of all decode steps. */
static int measure(struct bench *b, const struct base_cancel *cancel, double *prefill, double *decoding)
{
    int err;
    TRY(llm_sequence_rollback(b->sequence, 0));
    double start = engine_now();
    TRY(decode(b, PREFILL, b->ids, cancel));
    double middle = engine_now();
    for (int i = 0; i < DECODE; i++)
        TRY(decode(b, 1, &b->ids[i], cancel));
    *prefill = middle - start;
    *decoding = engine_now() - middle;
    return PR_OK;
fail:
    return err;
}

static int measure_runs(struct bench *b, int32_t runs, const struct base_cancel *cancel, struct pr_bench_llm *out)
{
    int err;
    double *prefill = base_alloc_array((size_t)runs, sizeof *prefill),
           *decoding = base_alloc_array((size_t)runs, sizeof *decoding);
    TRY(measure(b, cancel, &prefill[0], &decoding[0])); /* warms up: plans, pipelines, pages of the file */
    for (int32_t i = 0; i < runs; i++)
        TRY(measure(b, cancel, &prefill[i], &decoding[i]));
    out->prefill_tok_s = PREFILL / median(prefill, runs);
    out->decode_tok_s = DECODE / median(decoding, runs);
    out->runs = runs;
    err = PR_OK;
fail:
    base_free(prefill);
    base_free(decoding);
    return err;
}

/* Shares of what the device can do: bytes that a decode step must read (weights once, the keys and values behind it) and
 * operations of the prefill. */
static int fill_costs(struct bench *b, struct pr_bench_llm *out)
{
    int err;
    struct pass_cost one, all;
    TRY(llm_decoder_cost(b->model->decoder, b->kv, 1, 1, &one));
    TRY(llm_decoder_cost(b->model->decoder, b->kv, PREFILL, 1, &all));
    out->weight_bytes = model_gguf_tensor_bytes(b->model->gguf);
    out->cache_bytes = llm_kv_cache_bytes(b->kv);
    out->arena_bytes = all.arena + all.inputs + all.outputs;
    out->peak_device_bytes = b->model->device->peak;
    double cache_read = (double)out->cache_bytes / (double)llm_kv_cells(b->kv) * (PREFILL + DECODE / 2.0);
    if (out->bandwidth_gb_s > 0)
        out->decode_bandwidth_share = (one.weight_bytes + cache_read) * out->decode_tok_s / (out->bandwidth_gb_s * 1e9);
    if (out->peak_gflop_s > 0)
        out->prefill_peak_share = all.flops / PREFILL * out->prefill_tok_s / (out->peak_gflop_s * 1e9);
    return PR_OK;
fail:
    return err;
}

/* Whether most of the file is quantised, so that a device that multiplies bytes does so here. */
static bool mostly_quantised(const struct gguf *gguf)
{
    uint64_t quantised = 0;
    for (size_t i = 0; i < model_gguf_n_tensors(gguf); i++) {
        const struct gguf_tensor *t = model_gguf_tensor_at(gguf, i);
        quantised += compute_type((int)t->type)->block > 1 ? t->size : 0;
    }
    return quantised > model_gguf_tensor_bytes(gguf) / 2;
}

/* A device that can't be measured has no shares. */
static int measure_device(struct bench *b, struct pr_bench_llm *out)
{
    struct device_speed speed;
    int err = compute_device_measure(b->model->device, &speed);
    if (err < 0)
        return err == PR_ERR_UNSUPPORTED ? PR_OK : err;
    out->bandwidth_gb_s = speed.bandwidth_gb_s;
    out->peak_gflop_s = speed.f32_gflop_s;
    if (speed.int8_gop_s > 0 && mostly_quantised(b->model->gguf))
        out->peak_gflop_s = speed.int8_gop_s;
    return PR_OK;
}

int pr_bench_llm(struct pr_model *model, const struct pr_settings *settings, struct pr_cancel *cancel,
                 struct pr_bench_llm *out)
{
    int err;
    struct pr_settings s;
    struct engine_cache cache;
    struct bench b = {.model = model};
    *out = (struct pr_bench_llm){0};
    TRY(engine_settings(settings, &s));
    TRY(engine_need_decoder(model));
    s.ctx = PREFILL + DECODE;
    s.window = 0;
    TRY(engine_cache_plan(model->gguf, model->hp, &s, 0, &cache));
    TRY(engine_cache_create(model, &cache, &b.kv));
    TRY(llm_sequence_create(b.kv, NULL, &b.sequence));
    b.logits = base_alloc_array((size_t)model->hp->n_vocab, sizeof *b.logits);
    for (int i = 0; i < PREFILL; i++)
        b.ids[i] = (int32_t)((uint32_t)i * 7919u % (uint32_t)model->hp->n_vocab);
    TRY(measure_runs(&b, s.runs, engine_cancel(cancel), out));
    TRY(measure_device(&b, out));
    TRY(fill_costs(&b, out));
    err = PR_OK;
fail:
    base_free(b.logits);
    llm_sequence_destroy(b.sequence);
    llm_kv_destroy(b.kv);
    return err;
}
