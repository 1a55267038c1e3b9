/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/model.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_CONTEXT = 16384 }; /* unless the user asks for more: what a model was trained for may be a million */

/* ---- stopping --------------------------------------------------------------------------------------------------- */

struct pr_cancel *pr_cancel_create(void)
{
    return base_alloc(sizeof(struct pr_cancel));
}

void pr_cancel_destroy(struct pr_cancel *cancel)
{
    base_free(cancel);
}

void pr_cancel_request(struct pr_cancel *cancel)
{
    atomic_store_explicit(&cancel->base.requested, true, memory_order_relaxed);
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static int open_file(struct pr_model *model, const char *path)
{
    int err;
    struct gguf_string name;
    if (!*path)
        return base_fail(PR_ERR_INVALID, "no model was given; use --model FILE, or PAGEREEL_MODEL");
    TRY(model_gguf_open(path, &model->gguf));
    model->path = base_strdup(path);
    if (model_gguf_string(model->gguf, "tokenizer.ggml.model", &name) == PR_OK)
        TRY(model_tokenizer_create(model->gguf, &model->tokenizer));
    const char *file = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    snprintf(model->name, sizeof model->name, "%s", file);
    return PR_OK;
fail:
    return err;
}

static int create_decoder(struct pr_model *model, const struct pr_settings *s)
{
    struct hparams hp;
    struct engine_cache cache;
    struct llm_decoder_options options = {.device = model->device, .host = model->host};
    int err;
    TRY(model_hparams_read(model->gguf, &hp));
    TRY(engine_cache_plan(model->gguf, &hp, s, 0, &cache));
    options.cells = cache.cells;
    options.key_type = cache.key_type;
    options.value_type = cache.value_type;
    err = llm_decoder_create(model->gguf, &options, &model->decoder);
    if (err < 0)
        return strstr(pr_error_message(), model->path) ? err : base_fail_prefix(err, "%s", model->path);
    model->hp = llm_decoder_hparams(model->decoder);
    if (*hp.name)
        snprintf(model->name, sizeof model->name, "%s", hp.name);
    return PR_OK;
fail:
    return err;
}

int pr_model_open(const struct pr_settings *settings, struct pr_cancel *cancel, struct pr_model **out)
{
    int err;
    struct pr_settings s;
    *out = NULL;
    struct pr_model *model = base_alloc(sizeof *model);
    TRY(engine_settings(settings, &s));
    TRY(open_file(model, s.model));
    TRY(engine_open_devices(model, &s));
    if (base_cancelled(engine_cancel(cancel)))
        TRY(base_fail(PR_ERR_CANCELLED, "stopped"));
    TRY(create_decoder(model, &s));
    model->mmproj = base_strdup(s.mmproj);
    if (*s.mmproj)
        TRY(engine_need_vision(model));
    *out = model;
    return PR_OK;
fail:
    pr_model_close(model);
    return err;
}

int pr_tokenizer_open(const char *path, struct pr_model **out)
{
    int err;
    *out = NULL;
    struct pr_model *model = base_alloc(sizeof *model);
    TRY(open_file(model, path));
    TRY(engine_need_tokenizer(model));
    *out = model;
    return PR_OK;
fail:
    pr_model_close(model);
    return err;
}

void pr_model_close(struct pr_model *model)
{
    if (!model)
        return;
    engine_vision_close(&model->vision);
    llm_decoder_destroy(model->decoder);
    if (model->host != model->device)
        compute_device_close(model->host);
    compute_device_close(model->device);
    model_tokenizer_destroy(model->tokenizer);
    model_gguf_close(model->gguf);
    base_free(model->mmproj);
    base_free(model->path);
    base_free(model);
}

int engine_need_tokenizer(const struct pr_model *model)
{
    if (model->tokenizer)
        return PR_OK;
    return base_fail(PR_ERR_UNSUPPORTED,
                     "%s: has no tokenizer, so text can't be read with it; get a complete model file", model->path);
}

int engine_need_decoder(const struct pr_model *model)
{
    return model->decoder ? PR_OK : base_fail(PR_ERR_INVALID, "%s: only its tokenizer was opened", model->path);
}

const char *pr_model_placement(const struct pr_model *model)
{
    return model->decoder ? llm_decoder_placement(model->decoder) : "tokenizer only";
}

const char *pr_model_name(const struct pr_model *model)
{
    return model->name;
}

int32_t pr_model_n_vocab(const struct pr_model *model)
{
    return model->hp ? model->hp->n_vocab : model_tokenizer_n_vocab(model->tokenizer);
}

int32_t pr_model_context(const struct pr_model *model)
{
    return model->hp ? model->hp->n_ctx_train : 0;
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

int pr_tokenize(struct pr_model *model, const char *text, size_t len, bool special, int32_t **ids, size_t *n)
{
    int err;
    struct tokens tokens = {0};
    TRY(engine_need_tokenizer(model));
    TRY(model_tokenize(model->tokenizer, text, len, TOKENIZE_FIRST | (special ? TOKENIZE_SPECIAL : 0), &tokens));
    if (!tokens.ids)
        tokens.ids = base_alloc(sizeof *tokens.ids); /* "nothing" is still a block to free */
    *ids = tokens.ids;
    *n = tokens.n;
    return PR_OK;
fail:
    model_tokens_finish(&tokens);
    return err;
}

const char *pr_token_bytes(const struct pr_model *model, int32_t id, size_t *len)
{
    *len = 0;
    return model->tokenizer ? model_token_bytes(model->tokenizer, id, len) : "";
}

/* ---- caches ----------------------------------------------------------------------------------------------------- */

static enum type cache_type(const char *name)
{
    return !strcmp(name, "f32") ? TYPE_F32 : !strcmp(name, "q8_0") ? TYPE_Q8_0 : TYPE_F16;
}

/* Keys with a bias have a few huge channels that blocks of 8 bits can't hold beside the others (Qwen2: llama.cpp issue 21385). */
static bool keys_have_bias(const struct gguf *gguf)
{
    return model_gguf_tensor(gguf, "blk.0.attn_k.bias") || model_gguf_tensor(gguf, "blk.0.attn_qkv.bias");
}

/* Cells of a cache for which there is room in `memory`. Weights take it twice: the file's pages, and as they were packed for a device. */
static int fit_cells(const struct gguf *gguf, const struct hparams *hp, int64_t memory, struct engine_cache *cache)
{
    enum { BESIDE = 64 << 20, LEAST = 1024 };
    int64_t weights = 0;
    for (size_t i = 0; i < model_gguf_n_tensors(gguf); i++)
        weights += (int64_t)model_gguf_tensor_at(gguf, i)->size;
    int64_t cell = hp->n_layer * (int64_t)(compute_row_bytes(cache->key_type, hp->n_kv * hp->d_head) +
                                           compute_row_bytes(cache->value_type, hp->n_kv * hp->d_value));
    int64_t least = 2 * weights + BESIDE + LEAST * cell, cells = LEAST + (memory - least) / cell;
    if (memory < least)
        return base_fail(PR_ERR_NOMEM, "--memory %lld is too little for this model: %lld is the least",
                         (long long)memory, (long long)least);
    cache->cells = cells < cache->cells ? cells : cache->cells;
    return PR_OK;
}

int engine_cache_plan(const struct gguf *gguf, const struct hparams *hp, const struct pr_settings *s, int32_t batch,
                      struct engine_cache *out)
{
    *out = (struct engine_cache){.key_type = cache_type(s->cache_type), .value_type = cache_type(s->cache_type)};
    if (s->window > 0) {
        out->slide = (struct llm_slide){.sinks = s->sinks, .window = s->window};
        out->cells = llm_kv_slide_cells(&out->slide, batch > 0 ? batch : LLM_BATCH, LLM_PAGE_SIZE);
    } else {
        out->cells = s->ctx > 0 ? s->ctx : hp->n_ctx_train < DEFAULT_CONTEXT ? hp->n_ctx_train : DEFAULT_CONTEXT;
    }
    if (out->key_type == TYPE_Q8_0 && (s->window > 0 || keys_have_bias(gguf)))
        out->key_type = TYPE_F16;
    return s->memory > 0 && s->ctx == 0 && s->window == 0 ? fit_cells(gguf, hp, s->memory, out) : PR_OK;
}

int engine_cache_create(const struct pr_model *model, const struct engine_cache *cache, struct llm_kv **out)
{
    struct llm_kv_params params = {.cells = cache->cells, .key_type = cache->key_type, .value_type = cache->value_type};
    llm_decoder_kv_params(model->decoder, &params);
    return llm_kv_create(&params, out);
}

static uint64_t hash(uint64_t sum, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++) /* FNV-1a */
        sum = (sum ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
    return sum;
}

uint64_t engine_fingerprint(struct pr_model *model)
{
    enum { SAMPLE = 256, POSITION_RULE = 1 };
    if (model->fingerprint) /* a library asks for it with each of its sources */
        return model->fingerprint;
    const struct hparams *hp = model->hp;
    int32_t rule = POSITION_RULE;
    uint64_t sum = hash(0xcbf29ce484222325u, &rule, sizeof rule);
    sum = hash(sum, hp->arch, strlen(hp->arch));
    sum = hash(sum, &hp->rope.base, sizeof hp->rope.base);
    sum = hash(sum, &hp->rope.freq_scale, sizeof hp->rope.freq_scale);
    for (size_t i = 0; i < model_gguf_n_tensors(model->gguf); i++) {
        const struct gguf_tensor *t = model_gguf_tensor_at(model->gguf, i);
        sum = hash(sum, t->name, strlen(t->name));
        sum = hash(sum, t->ne, sizeof t->ne);
        sum = hash(sum, t->data, t->size < SAMPLE ? t->size : SAMPLE);
    }
    return model->fingerprint = sum;
}
