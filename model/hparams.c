/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/hparams.h"

#include "base/error.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Ranges that no model of today reaches and that keep every product of two of them inside an int32. */
enum {
    MAX_WIDTH = 1 << 20,
    MAX_HEADS = 1024,
    MAX_HEAD_WIDTH = 2048,
    MAX_VOCAB = 1 << 24,
    MAX_EXPERTS = 512,
    MAX_DEEPSTACK = 16
};

/* Reads keys of one architecture: "block_count" stands for "llama.block_count". */
struct keys {
    const struct gguf *gguf;
    const char *arch;
    char name[128]; /* of the key asked for last */
};

static const char *full_name(struct keys *k, const char *key)
{
    snprintf(k->name, sizeof k->name, "%s.%s", k->arch, key);
    return k->name;
}

static int missing(const struct keys *k)
{
    return base_fail(PR_ERR_FORMAT,
                     "%s: key \"%s\" is missing; the file is damaged or was converted wrongly, get it again",
                     model_gguf_path(k->gguf), k->name);
}

static int wrong(const struct keys *k, const char *what)
{
    return base_fail(PR_ERR_FORMAT, "%s: key \"%s\" %s; the file is damaged or was converted wrongly, get it again",
                     model_gguf_path(k->gguf), k->name, what);
}

/* An integer, or an array that holds the same integer for every layer. `fallback` < min: the key must be there. */
static int read_int(struct keys *k, const char *key, int32_t min, int32_t max, int32_t fallback, int32_t *out)
{
    int64_t value = fallback;
    struct gguf_array array;
    int err = model_gguf_array(k->gguf, full_name(k, key), &array);
    if (err == PR_OK) {
        if (array.n == 0 || array.kind > GGUF_I32)
            return wrong(k, "is not an array of integers");
        value = model_gguf_array_i64(&array, 0);
        for (size_t i = 1; i < array.n; i++)
            if (model_gguf_array_i64(&array, i) != value)
                return base_fail(PR_ERR_UNSUPPORTED,
                                 "%s: key \"%s\" differs from layer to layer, which pagereel doesn't support; use "
                                 "another model",
                                 model_gguf_path(k->gguf), k->name);
        if (value < min || value > max)
            return wrong(k, "is out of range");
    } else {
        err = model_gguf_i64(k->gguf, k->name, min, max, &value);
        if (err == PR_ERR_NOT_FOUND && fallback < min)
            return missing(k);
        if (err < 0 && err != PR_ERR_NOT_FOUND)
            return err;
    }
    *out = (int32_t)value;
    return PR_OK;
}

/* A number of min..max; absent: fallback. */
static int read_float(struct keys *k, const char *key, float min, float max, float fallback, float *out)
{
    float value = fallback;
    int err = model_gguf_f32(k->gguf, full_name(k, key), &value);
    if (err < 0 && err != PR_ERR_NOT_FOUND)
        return err;
    if (err == PR_OK && !(value >= min && value <= max))
        return wrong(k, "is out of range");
    *out = value;
    return PR_OK;
}

static int read_arch(const struct gguf *gguf, struct hparams *h)
{
    struct gguf_string s;
    int err = model_gguf_string(gguf, "general.architecture", &s);
    if (err == PR_ERR_NOT_FOUND)
        return base_fail(PR_ERR_FORMAT,
                         "%s: key \"general.architecture\" is missing; the file is damaged or holds no model, get it "
                         "again",
                         model_gguf_path(gguf));
    if (err < 0)
        return err;
    bool ok = s.len > 0 && s.len < sizeof h->arch;
    for (size_t i = 0; ok && i < s.len; i++)
        ok = (s.data[i] >= 'a' && s.data[i] <= 'z') || (s.data[i] >= '0' && s.data[i] <= '9') || s.data[i] == '-' ||
             s.data[i] == '_';
    if (!ok)
        return base_fail(PR_ERR_FORMAT,
                         "%s: key \"general.architecture\" is not the name of an architecture; the file is damaged, "
                         "get it again",
                         model_gguf_path(gguf));
    memcpy(h->arch, s.data, s.len);
    if (strcmp(h->arch, "clip") == 0)
        return base_fail(PR_ERR_UNSUPPORTED,
                         "%s: is the vision part of a model (mmproj); give the text model that belongs to it",
                         model_gguf_path(gguf));
    if (model_gguf_string(gguf, "general.name", &s) == PR_OK)
        for (size_t i = 0; i < s.len && i < sizeof h->name - 1; i++) /* it will be printed: no control characters */
            h->name[i] = (unsigned char)s.data[i] < 0x20 || s.data[i] == 0x7f ? '?' : s.data[i];
    return PR_OK;
}

/* rope.dimension_sections: how many pairs follow t, h, w. */
static int read_sections(struct keys *k, struct rope_params *rope)
{
    struct gguf_array array;
    int err = model_gguf_array(k->gguf, full_name(k, "rope.dimension_sections"), &array);
    if (err < 0)
        return err == PR_ERR_NOT_FOUND ? PR_OK : err;
    if (array.n < 3 || array.n > 4 || array.kind > GGUF_I32)
        return wrong(k, "is not an array of 3 or 4 integers");
    int64_t sum = 0;
    for (size_t i = 0; i < array.n; i++) {
        int64_t section = model_gguf_array_i64(&array, i);
        if (section < 0 || section > rope->n_rot / 2)
            return wrong(k, "is out of range");
        rope->sections[i] = (int32_t)section;
        sum += section;
    }
    if (sum != 0 && sum != rope->n_rot / 2)
        return wrong(k, "doesn't add up to half of rope.dimension_count");
    return PR_OK;
}

/* Linear: arXiv 2306.15595. YaRN: arXiv 2309.00071; cos and sin are scaled by 0.1 ln(factor) + 1. llama 3's scaling comes as a
 * tensor of divisors instead (rope_freqs.weight), which the architecture loads. */
static int read_scaling(struct keys *k, struct hparams *h)
{
    int err;
    struct rope_params *rope = &h->rope;
    struct gguf_string type = {"none", 4};
    float factor = 1, attention = 1;
    err = model_gguf_string(k->gguf, full_name(k, "rope.scaling.type"), &type);
    bool named = err == PR_OK;
    if (err < 0 && err != PR_ERR_NOT_FOUND)
        return err;
    bool none = type.len == 4 && memcmp(type.data, "none", 4) == 0;
    bool linear = type.len == 6 && memcmp(type.data, "linear", 6) == 0;
    bool yarn = type.len == 4 && memcmp(type.data, "yarn", 4) == 0;
    if (!none && !linear && !yarn)
        return base_fail(PR_ERR_UNSUPPORTED,
                         "%s: key \"%s\" is \"%.*s\", but pagereel knows none, linear and yarn; use another model",
                         model_gguf_path(k->gguf), k->name, (int)(type.len < 40 ? type.len : 40), type.data);

    TRY(read_float(k, "rope.scale_linear", 1e-3f, 1e6f, 1, &factor)); /* the name in old files */
    TRY(read_float(k, "rope.scaling.factor", 1e-3f, 1e6f, factor, &factor));
    if (!named && factor != 1)
        linear = true;
    TRY(read_float(k, "rope.scaling.attn_factor", 1e-3f, 1e3f, 1, &attention));
    TRY(read_int(k, "rope.scaling.original_context_length", 1, INT32_MAX, h->n_ctx_train, &rope->yarn_original));
    TRY(read_float(k, "rope.scaling.yarn_beta_fast", 0, 1e6f, 32, &rope->yarn_beta_fast));
    TRY(read_float(k, "rope.scaling.yarn_beta_slow", 0, 1e6f, 1, &rope->yarn_beta_slow));
    TRY(read_float(k, "rope.scaling.yarn_ext_factor", 0, 1, 1, &rope->yarn_ext));
    rope->freq_scale = linear || yarn ? 1 / factor : 1;
    rope->yarn_attn = attention;
    if (yarn)
        rope->yarn_attn *= factor > 1 ? 1 + 0.1f * logf(factor) : 1;
    else
        rope->yarn_ext = 0;
    return PR_OK;
fail:
    return err;
}

static int read_rope(struct keys *k, struct hparams *h)
{
    int err;
    struct rope_params *rope = &h->rope;
    rope->d_head = h->d_head;
    TRY(read_int(k, "rope.dimension_count", 2, h->d_head, h->d_head, &rope->n_rot));
    if (rope->n_rot % 2 != 0)
        return wrong(k, "is odd");
    TRY(read_float(k, "rope.freq_base", 1, 1e12f, 10000, &rope->base));
    TRY(read_sections(k, rope));
    return read_scaling(k, h);
fail:
    return err;
}

static int read_heads(struct keys *k, struct hparams *h)
{
    int err;
    TRY(read_int(k, "attention.head_count", 1, MAX_HEADS, -1, &h->n_head));
    TRY(read_int(k, "attention.head_count_kv", 1, h->n_head, h->n_head, &h->n_kv));
    if (h->n_head % h->n_kv != 0)
        return wrong(k, "doesn't divide attention.head_count");
    /* Never derived where the file says it: qwen3's heads are wider than d_model / n_head. */
    int32_t width =
        h->d_model % h->n_head == 0 && h->d_model / h->n_head <= MAX_HEAD_WIDTH ? h->d_model / h->n_head : 0;
    TRY(read_int(k, "attention.key_length", 1, MAX_HEAD_WIDTH, width, &h->d_head));
    TRY(read_int(k, "attention.value_length", 1, MAX_HEAD_WIDTH, width, &h->d_value));
    TRY(read_float(k, "attention.scale", 1e-6f, 1e3f, 1 / sqrtf((float)h->d_head), &h->attention_scale));
    TRY(read_float(k, "attn_logit_softcapping", 0, 1e6f, 0, &h->attention_softcap));
    TRY(read_int(k, "attention.sliding_window", 0, INT32_MAX, 0, &h->sliding_window));
    return PR_OK;
fail:
    return err;
}

/* token_embd.weight is the one place that can't lie about the vocabulary: vocab_size is absent or wrong in some files. */
static int read_vocab(const struct gguf *gguf, struct hparams *h)
{
    const struct gguf_tensor *t = model_gguf_tensor(gguf, "token_embd.weight");
    if (!t)
        return base_fail(PR_ERR_FORMAT,
                         "%s: tensor \"token_embd.weight\" is missing; the file is incomplete or holds no text model, "
                         "get it again",
                         model_gguf_path(gguf));
    if (t->n_dims > 2 || t->ne[0] != h->d_model || t->ne[1] > MAX_VOCAB)
        return base_fail(PR_ERR_FORMAT,
                         "%s: tensor \"token_embd.weight\" is [%" PRId64 ", %" PRId64
                         "], but the model is %d wide; the "
                         "file is damaged or was converted wrongly, get it again",
                         model_gguf_path(gguf), t->ne[1], t->ne[0], h->d_model);
    h->n_vocab = (int32_t)t->ne[1];
    return PR_OK;
}

int model_hparams_read(const struct gguf *gguf, struct hparams *out)
{
    int err;
    struct hparams h = {0};
    struct keys k = {.gguf = gguf, .arch = h.arch};
    TRY(read_arch(gguf, &h));
    TRY(read_int(&k, "block_count", 1, MODEL_MAX_LAYERS, -1, &h.n_layer));
    TRY(read_int(&k, "embedding_length", 1, MAX_WIDTH, -1, &h.d_model));
    TRY(read_int(&k, "feed_forward_length", 1, MAX_WIDTH, -1, &h.d_ff));
    TRY(read_int(&k, "context_length", 1, INT32_MAX, -1, &h.n_ctx_train));
    TRY(read_heads(&k, &h));
    TRY(read_float(&k, "attention.layer_norm_rms_epsilon", 1e-12f, 1, -1, &h.norm_eps));
    if (h.norm_eps < 0)
        return missing(&k);
    TRY(read_float(&k, "final_logit_softcapping", 0, 1e6f, 0, &h.output_softcap));
    TRY(read_rope(&k, &h));
    TRY(read_int(&k, "n_deepstack_layers", 0, MAX_DEEPSTACK, 0, &h.n_deepstack));
    if (h.n_deepstack > h.n_layer)
        return wrong(&k, "is more than block_count");
    TRY(read_int(&k, "expert_count", 0, MAX_EXPERTS, 0, &h.n_expert));
    TRY(read_int(&k, "expert_used_count", 0, h.n_expert, 0, &h.n_expert_used));
    TRY(read_vocab(gguf, &h));
    *out = h;
    return PR_OK;
fail:
    return err;
}
