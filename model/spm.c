/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/spm.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <math.h>
#include <string.h>

struct spm {
    const struct vocab *vocab;
    uint32_t *keys; /* [n]: order of the scores, highest first, as numbers that compare */
    int32_t unknown;
};

/* Orders like the negated score: flips the bits of negative floats, sets the sign of others (then inverts all). */
static uint32_t key_of(float score)
{
    uint32_t bits;
    if (score == 0)
        score = 0; /* -0 */
    memcpy(&bits, &score, sizeof bits);
    return ~(bits & 0x80000000u ? ~bits : bits | 0x80000000u);
}

int model_spm_create(const struct gguf *gguf, const struct vocab *vocab, int32_t unknown, struct spm **out)
{
    int err;
    struct gguf_array scores;
    struct spm *spm = base_alloc(sizeof *spm);
    const char *path = model_gguf_path(gguf);
    *spm = (struct spm){.vocab = vocab, .unknown = unknown};

    err = model_gguf_array(gguf, "tokenizer.ggml.scores", &scores);
    if (err == PR_ERR_NOT_FOUND)
        err = base_fail(PR_ERR_FORMAT, "%s: has no tokenizer.ggml.scores; convert the model again with its tokenizer",
                        path);
    TRY(err);
    if ((scores.kind != GGUF_F32 && scores.kind != GGUF_F64) || scores.n != (size_t)vocab->n)
        TRY(base_fail(PR_ERR_FORMAT, "%s: tokenizer.ggml.scores isn't one number for each token; get the file again",
                      path));
    spm->keys = base_try_alloc(scores.n, sizeof *spm->keys);
    if (!spm->keys)
        TRY(base_fail(PR_ERR_NOMEM, "%s: no memory for %zu scores", path, scores.n));
    for (size_t i = 0; i < scores.n; i++) {
        float score = model_gguf_array_f32(&scores, i);
        if (!isfinite(score))
            TRY(base_fail(PR_ERR_FORMAT, "%s: the score of token %zu isn't finite; get the file again", path, i));
        spm->keys[i] = key_of(score);
    }
    for (int byte = 0; byte < 256 && unknown < 0; byte++)
        if (vocab->byte_id[byte] < 0)
            TRY(base_fail(PR_ERR_FORMAT,
                          "%s: has neither a token for byte 0x%02X nor an unknown token; get the file again", path,
                          (unsigned)byte));
    *out = spm;
    return PR_OK;

fail:
    model_spm_destroy(spm);
    return err;
}

void model_spm_destroy(struct spm *spm)
{
    if (!spm)
        return;
    base_free(spm->keys);
    base_free(spm);
}

struct spm_text {
    const struct spm *spm;
    const char *text;
};

static bool by_score(const void *context, const struct symbol *left, const struct symbol *right, uint32_t *key,
                     int32_t *id)
{
    const struct spm_text *in = context;
    *id = model_vocab_word(in->spm->vocab, in->text + left->start, left->len + right->len);
    if (*id < 0)
        return false;
    *key = in->spm->keys[*id];
    return true;
}

/* A character that is no token: its bytes, or the unknown token (one for a run of them). */
static void append_bytes(const struct spm *spm, const char *bytes, size_t len, struct tokens *out)
{
    for (size_t i = 0; i < len; i++) {
        int32_t id = spm->vocab->byte_id[(uint8_t)bytes[i]];
        if (id >= 0)
            model_tokens_append(out, &id, 1);
        else if (!out->n || out->ids[out->n - 1] != spm->unknown)
            model_tokens_append(out, &spm->unknown, 1);
    }
}

int model_spm_text(const struct spm *spm, const char *text, size_t len, struct merge_work *work, struct tokens *out)
{
    int err = model_merge_reserve(work, len);
    if (err < 0 || !len)
        return err;
    work->n = 0;
    for (size_t at = 0; at < len;) {
        uint32_t codepoint;
        size_t step = base_utf8_decode(text + at, len - at, &codepoint);
        if (!step)
            step = 1; /* a stray byte */
        work->symbols[work->n++] = (struct symbol){
            .start = (uint32_t)at, .len = (uint32_t)step, .id = model_vocab_word(spm->vocab, text + at, step)};
        at += step;
    }
    struct spm_text in = {spm, text};
    model_merge(work, by_score, &in);
    for (uint32_t i = 0; i != MERGE_NONE; i = work->symbols[i].next) {
        const struct symbol *symbol = &work->symbols[i];
        if (symbol->id >= 0)
            model_tokens_append(out, &symbol->id, 1);
        else
            append_bytes(spm, text + symbol->start, symbol->len, out);
    }
    return PR_OK;
}
