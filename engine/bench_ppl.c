/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Perplexity of a long text: the whole of it through one sequence, and its last tenth once more in fresh windows.
 */
#include "base/mem.h"
#include "engine/clock.h"
#include "engine/model.h"

#include <math.h>
#include <string.h>

enum {
    LOGIT_BYTES = 64 << 20, /* most that the logits of a batch may take */
    WARM_TOKENS = 10000,    /* memory counts from here on */
    MAX_CHUNKS = 500        /* calls of the caller's function */
};

struct bench {
    struct pr_model *model;
    const struct base_cancel *cancel;
    struct tokens text;
    int32_t step;     /* tokens in a call */
    float *logits;    /* [step, n_vocab] */
    double *surprise; /* [tokens]: -log p of each token behind those before it */
};

/* The perplexity of tokens [from, to). */
static double perplexity(const struct bench *b, size_t from, size_t to)
{
    double sum = 0;
    for (size_t i = from; i < to; i++)
        sum += b->surprise[i];
    return to > from ? exp(sum / (double)(to - from)) : 0;
}

/* -log p of an id. */
static double surprise(const float *logits, int32_t n_vocab, int32_t id)
{
    float top = logits[0];
    double sum = 0;
    for (int32_t i = 1; i < n_vocab; i++)
        top = logits[i] > top ? logits[i] : top;
    for (int32_t i = 0; i < n_vocab; i++)
        sum += (double)expf(logits[i] - top);
    return log(sum) + (double)top - (double)logits[id];
}

/* Reads tokens [from, to), at most `step`, and notes the surprise of those in [first, last) that one of them stands before. */
static int read_and_score(struct bench *b, struct llm_sequence *sequence, size_t from, size_t to, size_t first,
                          size_t last)
{
    int32_t n_vocab = b->model->hp->n_vocab, n = (int32_t)(to - from);
    struct llm_piece piece = {.n = n, .ids = b->text.ids + from};
    int32_t wanted = to >= first ? n : 0; /* no logits before the scored ones */
    int err = llm_decode(b->model->decoder, sequence, &piece, 1, wanted, b->logits, b->cancel);
    for (int32_t i = 0; err == PR_OK && i < wanted; i++) {
        size_t next = from + (size_t)i + 1;
        if (next >= first && next < last)
            b->surprise[next] = surprise(b->logits + (size_t)i * (size_t)n_vocab, n_vocab, b->text.ids[next]);
    }
    return err;
}

/* The first token of the last tenth. */
static size_t tail_of(const struct bench *b)
{
    return b->text.n - b->text.n / 10 + 1;
}

/* ---- the whole text --------------------------------------------------------------------------------------------- */

/* The odd batch comes first: then all plans are made, and memory is settled, before it counts. */
static int stream(struct bench *b, const struct engine_cache *cache, pr_ppl_fn fn, void *user, struct pr_bench_ppl *out)
{
    int err;
    struct llm_kv *kv = NULL;
    struct llm_sequence *sequence = NULL;
    size_t n = b->text.n, step = (size_t)b->step, odd = n % step, reported = 0;
    size_t chunk = n / MAX_CHUNKS > 1000 ? n / MAX_CHUNKS : 1000;
    TRY(engine_cache_create(b->model, cache, &kv));
    TRY(llm_sequence_create(kv, &cache->slide, &sequence));
    double start = engine_now();
    for (size_t at = 0, to = odd ? odd : step; at < n; at = to, to += step) {
        TRY(read_and_score(b, sequence, at, to, 1, n));
        for (size_t scored = to < n ? to : n - 1; (size_t)out->n_scored < scored; out->n_scored++)
            out->logprobs[out->n_scored] = (float)-b->surprise[out->n_scored + 1];
        if (out->resident_start == 0 && (to >= WARM_TOKENS || to == n))
            out->resident_start = engine_resident();
        if (fn && (to - reported >= chunk || to == n)) {
            fn(user, (int64_t)to, (int64_t)n, perplexity(b, reported + 1, to < n ? to + 1 : n), engine_resident());
            reported = to;
        }
    }
    out->tok_s = (double)n / (engine_now() - start);
    out->resident_end = engine_resident();
    out->n_tokens = (int64_t)n;
    out->perplexity = perplexity(b, 1, n);
    out->last_tenth_perplexity = perplexity(b, tail_of(b), n);
    err = PR_OK;
fail:
    llm_sequence_destroy(sequence);
    llm_kv_destroy(kv);
    return err;
}

/* ---- fresh windows ---------------------------------------------------------------------------------------------- */

/* Notes the surprise of tokens [first, last) in a window that begins anew and ends with them. */
static int fresh_window(struct bench *b, struct llm_sequence *sequence, size_t window, bool bos, size_t first,
                        size_t last)
{
    int err;
    size_t end = last - 1, from = end > window ? end - window : 0; /* the last token isn't read */
    TRY(llm_sequence_rollback(sequence, 0));
    if (bos && from > 0) { /* as every text of this model begins */
        struct llm_piece piece = {.n = 1, .ids = b->text.ids};
        TRY(llm_decode(b->model->decoder, sequence, &piece, 1, 0, NULL, b->cancel));
        from++;
    }
    for (size_t at = from; at < end;) {
        size_t to = end - at < (size_t)b->step ? end : at + (size_t)b->step;
        TRY(read_and_score(b, sequence, at, to, first, last));
        at = to;
    }
    return PR_OK;
fail:
    return err;
}

/* The last tenth in windows that begin anew: each token is scored behind three quarters of a window or more. */
static int fresh_windows(struct bench *b, const struct engine_cache *cache, bool bos, struct pr_bench_ppl *out)
{
    int err;
    struct llm_kv *kv = NULL;
    struct llm_sequence *sequence = NULL;
    struct engine_cache fresh = *cache;
    size_t n = b->text.n, window = (size_t)(cache->slide.window + cache->slide.sinks);
    size_t stride = window / 4 ? window / 4 : 1;
    fresh.slide = (struct llm_slide){0};
    fresh.cells = (int64_t)window;
    TRY(engine_cache_create(b->model, &fresh, &kv));
    TRY(llm_sequence_create(kv, NULL, &sequence));
    for (size_t first = tail_of(b); first < n; first += stride)
        TRY(fresh_window(b, sequence, window, bos, first, first + stride < n ? first + stride : n));
    out->fresh_perplexity = perplexity(b, tail_of(b), n);
    err = PR_OK;
fail:
    llm_sequence_destroy(sequence);
    llm_kv_destroy(kv);
    return err;
}

/* ---- the whole -------------------------------------------------------------------------------------------------- */

static int tokenize(struct bench *b, const char *text, size_t len, bool *bos)
{
    int err;
    struct tokens empty = {0};
    TRY(engine_need_tokenizer(b->model));
    TRY(model_tokenize(b->model->tokenizer, "", 0, TOKENIZE_BOS | TOKENIZE_FIRST, &empty));
    *bos = empty.n > 0;
    TRY(model_tokenize(b->model->tokenizer, text, len, TOKENIZE_BOS | TOKENIZE_FIRST, &b->text));
    if (b->text.n < 20)
        TRY(base_fail(PR_ERR_INVALID, "a text of %zu tokens is too short to measure; give a longer one", b->text.n));
    err = PR_OK;
fail:
    model_tokens_finish(&empty);
    return err;
}

int pr_bench_ppl(struct pr_model *model, const struct pr_settings *settings, const char *text, size_t len, pr_ppl_fn fn,
                 void *user, struct pr_cancel *cancel, struct pr_bench_ppl *out)
{
    int err;
    bool bos;
    struct pr_settings s;
    struct engine_cache cache;
    struct bench b = {.model = model, .cancel = engine_cancel(cancel)};
    *out = (struct pr_bench_ppl){0};
    TRY(engine_settings(settings, &s));
    TRY(engine_need_decoder(model));
    TRY(tokenize(&b, text, len, &bos));
    TRY(engine_cache_plan(model->gguf, model->hp, &s, llm_decoder_batch(model->decoder), &cache));
    if (!s.window && (int64_t)b.text.n > cache.cells)
        TRY(base_fail(PR_ERR_INVALID,
                      "the text has %zu tokens, but the context only room for %lld; use --window to slide, or a "
                      "larger --ctx",
                      b.text.n, (long long)cache.cells));
    size_t row = (size_t)model->hp->n_vocab * sizeof *b.logits;
    b.step = LOGIT_BYTES / row < (size_t)llm_decoder_batch(model->decoder) ? (int32_t)(LOGIT_BYTES / row) + 1
                                                                           : llm_decoder_batch(model->decoder);
    b.logits = base_alloc((size_t)b.step * row);
    b.surprise = base_alloc_array(b.text.n, sizeof *b.surprise);
    out->logprobs = base_alloc_array(b.text.n - 1, sizeof *out->logprobs);
    TRY(stream(&b, &cache, fn, user, out));
    if (s.window)
        TRY(fresh_windows(&b, &cache, bos, out));
    err = PR_OK;
fail:
    base_free(b.logits);
    base_free(b.surprise);
    model_tokens_finish(&b.text);
    return err;
}

void pr_bench_ppl_finish(struct pr_bench_ppl *bench)
{
    base_free(bench->logprobs);
    *bench = (struct pr_bench_ppl){0};
}
