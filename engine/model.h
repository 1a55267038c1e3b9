/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The inside of an open model, for the files of engine/.
 */
#pragma once

#include "base/cancel.h"
#include "compute/device.h"
#include "engine/options.h"
#include "engine/vision.h"
#include "llm/decoder.h"
#include "model/chat.h"
#include "model/gguf.h"
#include "model/tokenizer.h"

struct pr_cancel {
    struct base_cancel base;
};

struct pr_model {
    char *path;
    struct gguf *gguf;
    struct tokenizer *tokenizer;  /* NULL: the file has none; then only ids go in and out */
    struct device *device, *host; /* host: device itself, or the CPU beside a GPU */
    struct llm_decoder *decoder;  /* NULL: opened by pr_tokenizer_open() */
    const struct hparams *hp;
    char *mmproj;                /* as the settings had it */
    struct engine_vision vision; /* opened when it is needed first */
    uint64_t fingerprint;        /* what engine_fingerprint() said; 0: it wasn't asked */
    char name[128];
};

static inline const struct base_cancel *engine_cancel(const struct pr_cancel *cancel)
{
    return cancel ? &cancel->base : NULL;
}

/* What a session's cache is to be, by its settings. */
struct engine_cache {
    struct llm_slide slide;
    int64_t cells;
    enum type key_type, value_type;
};
/* PR_ERR_NOMEM: --memory is too little. */
int engine_cache_plan(const struct gguf *gguf, const struct hparams *hp, const struct pr_settings *settings,
                      int32_t batch, struct engine_cache *out);
/* Makes that cache for a model. The caller owns *out. */
int engine_cache_create(const struct pr_model *model, const struct engine_cache *cache, struct llm_kv **out);

/* PR_ERR_UNSUPPORTED unless the model has a tokenizer. */
int engine_need_tokenizer(const struct pr_model *model);
/* Fills model->device and model->host; pr_model_close() closes them. */
int engine_open_devices(struct pr_model *model, const struct pr_settings *settings);
/* Opens the vision part of the model unless it is open. */
int engine_need_vision(struct pr_model *model);
/* Looks whether there is a vision part, without getting it ready. PR_ERR_NOT_FOUND: none. */
int engine_peek_vision(struct pr_model *model);
/* PR_ERR_INVALID unless the model can compute. */
int engine_need_decoder(const struct pr_model *model);

/* What binds saved sessions to a model: a hash of its keys' figures, and of every tensor's name, shape and first bytes. */
uint64_t engine_fingerprint(struct pr_model *model);
