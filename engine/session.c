/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One timeline over a model: adding, rendering, reading, generating.
 * Long because all of it works on the one list of what was added and not yet read.
 */
#include "engine/session.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "llm/sampler.h"
#include "llm/stop.h"

#include <string.h>
#include <time.h>

/* ---- life ------------------------------------------------------------------------------------------------------- */

int pr_session_create(struct pr_model *model, const struct pr_settings *settings, struct pr_session **out)
{
    int err;
    struct pr_settings s;
    struct engine_cache cache;
    *out = NULL;
    struct pr_session *session = base_alloc(sizeof *session);
    session->model = model;
    TRY(engine_settings(settings, &s));
    TRY(engine_need_decoder(model));
    TRY(engine_cache_plan(model->gguf, model->hp, &s, llm_decoder_batch(model->decoder), &cache));
    TRY(engine_cache_create(model, &cache, &session->kv));
    TRY(llm_sequence_create(session->kv, &cache.slide, &session->sequence));
    session->format_name = base_strdup(s.chat_format);
    session->logits = base_alloc_array((size_t)model->hp->n_vocab, sizeof *session->logits);
    *out = session;
    return PR_OK;
fail:
    pr_session_destroy(session);
    return err;
}

/* Drops the first `n` runs of what is unread. */
static void forget_unread(struct pr_session *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        base_free(s->unread[i].rows);
        base_free(s->unread[i].position);
    }
    if (n < s->n_unread)
        memmove(s->unread, s->unread + n, (s->n_unread - n) * sizeof *s->unread);
    s->n_unread -= n;
}

void pr_session_destroy(struct pr_session *s)
{
    if (!s)
        return;
    engine_session_forget_messages(s);
    forget_unread(s, s->n_unread);
    llm_sequence_destroy(s->sequence);
    llm_kv_destroy(s->kv);
    model_tokens_finish(&s->history);
    base_free(s->messages);
    base_free(s->unread);
    base_free(s->runs);
    base_free(s->logits);
    base_free(s->marks);
    base_free(s->known);
    base_free(s->format_name);
    base_free(s);
}

/* ---- adding ----------------------------------------------------------------------------------------------------- */

static struct unread *add_unread(struct pr_session *s)
{
    if (s->n_unread == s->cap_unread) {
        s->cap_unread = s->cap_unread ? 2 * s->cap_unread : 4;
        s->unread = base_realloc(s->unread, s->cap_unread * sizeof *s->unread);
    }
    s->unread[s->n_unread] = (struct unread){.first = s->history.n};
    return &s->unread[s->n_unread++];
}

/* Notes what the next token of the history is. */
static void add_mark(struct pr_session *s, size_t at, uint64_t mark)
{
    if (at >= s->cap_marks) {
        s->cap_marks = s->cap_marks ? 2 * s->cap_marks : 256;
        s->marks = base_realloc(s->marks, s->cap_marks * sizeof *s->marks);
    }
    s->marks[at] = mark;
}

void engine_session_add_ids(struct pr_session *s, const int32_t *ids, size_t n)
{
    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        add_mark(s, s->history.n + i, (uint64_t)ids[i]);
    struct unread *last = s->n_unread ? &s->unread[s->n_unread - 1] : NULL;
    if (!last || last->rows)
        last = add_unread(s);
    model_tokens_append(&s->history, ids, n);
    last->n += (int32_t)n;
    s->n_prompt = s->history.n;
}

static int add_text(struct pr_session *s, const char *text, size_t len, unsigned flags)
{
    int err;
    struct tokens tokens = {0};
    TRY(engine_need_tokenizer(s->model));
    TRY(model_tokenize(s->model->tokenizer, text, len, flags | (s->history.n == 0 ? TOKENIZE_FIRST : 0), &tokens));
    if (tokens.n > INT32_MAX / 2)
        TRY(base_fail(PR_ERR_NOMEM, "a text of %zu tokens is too long", tokens.n));
    engine_session_add_ids(s, tokens.ids, tokens.n);
    model_tokens_finish(&tokens);
    return PR_OK;
fail:
    model_tokens_finish(&tokens);
    return err;
}

int pr_session_tokens(struct pr_session *s, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= s->model->hp->n_vocab)
            return base_fail(PR_ERR_INVALID, "token id %d is outside the vocabulary of %d", ids[i],
                             s->model->hp->n_vocab);
    if (n > INT32_MAX / 2)
        return base_fail(PR_ERR_NOMEM, "an input of %zu tokens is too long", n);
    engine_session_add_ids(s, ids, n);
    return PR_OK;
}

int pr_session_raw(struct pr_session *s, const char *text, size_t len, bool special)
{
    return add_text(s, text, len, (s->history.n == 0 ? TOKENIZE_BOS : 0) | (special ? TOKENIZE_SPECIAL : 0));
}

static uint64_t mark_row(uint64_t hash, const void *bytes, size_t size)
{
    uint64_t word;
    for (size_t i = 0; i + sizeof word <= size; i += sizeof word) {
        memcpy(&word, (const char *)bytes + i, sizeof word);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 29;
    }
    return hash;
}

void engine_session_add_rows(struct pr_session *s, float *rows, int32_t n, int32_t *positions, int32_t advance)
{
    size_t bytes = (size_t)s->model->hp->d_model * (size_t)(1 + s->model->hp->n_deepstack) * sizeof *rows;
    for (int32_t i = 0; i < n; i++) {
        uint64_t mark =
            mark_row((uint64_t)i << 32 | (uint32_t)advance | 1ull << 63, (char *)rows + (size_t)i * bytes, bytes);
        if (positions)
            mark = mark_row(mark, positions + 4 * (size_t)i, 4 * sizeof *positions);
        add_mark(s, s->history.n + (size_t)i, mark | 1ull << 63);
    }
    struct unread *u = add_unread(s);
    u->n = n;
    u->rows = rows;
    u->position = positions;
    u->advance = advance;
    for (int32_t i = 0; i < n; i++)
        model_tokens_append(&s->history, &(int32_t){-1}, 1);
    s->n_prompt = s->history.n;
}

int pr_session_embeddings(struct pr_session *s, const float *rows, size_t n, size_t width, const int32_t *positions,
                          int32_t advance)
{
    const struct hparams *hp = s->model->hp;
    size_t values;
    if (width != (size_t)hp->d_model * (size_t)(1 + hp->n_deepstack))
        return base_fail(PR_ERR_INVALID, "embedding rows are %zu wide, but the model takes %d times %d", width,
                         1 + hp->n_deepstack, hp->d_model);
    if (n == 0)
        return PR_OK;
    if (n > INT32_MAX / 8 || !base_mul(n, width, &values))
        return base_fail(PR_ERR_NOMEM, "%zu embedding rows are too many", n);
    float *rows_copy = base_try_alloc(values, sizeof *rows_copy);
    int32_t *positions_copy = positions ? base_try_alloc(n, 4 * sizeof *positions_copy) : NULL;
    if (!rows_copy || (positions && !positions_copy)) {
        base_free(rows_copy);
        base_free(positions_copy);
        return base_fail(PR_ERR_NOMEM, "no memory for %zu embedding rows", n);
    }
    memcpy(rows_copy, rows, values * sizeof *rows_copy);
    if (positions)
        memcpy(positions_copy, positions, n * 4 * sizeof *positions_copy);

    engine_session_add_rows(s, rows_copy, (int32_t)n, positions_copy, advance);
    return PR_OK;
}

const int32_t *pr_session_prompt(const struct pr_session *s, size_t *n)
{
    *n = s->n_prompt;
    return s->history.ids;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* Takes n tokens from the front of what is unread. A part of embedding rows never stays behind: a failing call in a sliding
 * session may have read some of them, and the rest is dropped with the picture. */
static void mark_read(struct pr_session *s, int64_t n)
{
    size_t gone = 0;
    while (gone < s->n_unread && n > 0) {
        struct unread *u = &s->unread[gone];
        if (n < u->n && !u->rows) {
            u->first += (size_t)n;
            u->n -= (int32_t)n;
            break;
        }
        n -= u->n;
        gone++;
    }
    forget_unread(s, gone);
}

/* Reads what is unread; n_logits 1: the last token's go to session->logits. */
static int read_unread(struct pr_session *s, int32_t n_logits, const struct base_cancel *cancel)
{
    int64_t before = llm_sequence_length(s->sequence);
    struct llm_piece one, *pieces = s->n_unread == 1 ? &one : base_alloc_array(s->n_unread, sizeof *pieces);
    for (size_t i = 0; i < s->n_unread; i++) {
        const struct unread *u = &s->unread[i];
        pieces[i] = (struct llm_piece){.n = u->n,
                                       .ids = u->rows ? NULL : s->history.ids + u->first,
                                       .rows = u->rows,
                                       .position = u->position,
                                       .advance = u->advance};
    }
    int err = llm_decode(s->model->decoder, s->sequence, pieces, s->n_unread, n_logits, s->logits, cancel);
    if (pieces != &one)
        base_free(pieces);
    mark_read(s, llm_sequence_length(s->sequence) - before);
    return err;
}

void engine_session_restart(struct pr_session *s)
{
    base_free(s->known);
    s->n_known = (size_t)llm_sequence_length(s->sequence);
    s->known = s->marks;
    s->marks = NULL;
    s->cap_marks = s->history.n = s->n_prompt = s->n_runs = 0;
    s->began = s->answer_open = false;
    engine_session_forget_messages(s);
    forget_unread(s, s->n_unread);
}

void engine_session_forget_past(struct pr_session *s, size_t keep)
{
    size_t gone = s->history.n > keep ? s->history.n - keep : 0;
    for (size_t i = 0; i < s->n_unread; i++)
        gone = s->unread[i].first < gone ? s->unread[i].first : gone;
    if (gone == 0)
        return;
    s->history.n -= gone;
    memmove(s->history.ids, s->history.ids + gone, s->history.n * sizeof *s->history.ids);
    memmove(s->marks, s->marks + gone, s->history.n * sizeof *s->marks);
    for (size_t i = 0; i < s->n_unread; i++)
        s->unread[i].first -= gone;
    s->n_prompt = s->history.n;
    s->n_runs = 0;
}

/* Keeps of the cache what the new prompt begins with, in whole pictures; the last token is read in any case. */
static int reuse_known(struct pr_session *s)
{
    int err;
    size_t same = 0;
    s->n_reused = 0;
    if (!s->known)
        return PR_OK;
    while (same < s->n_known && same + 1 < s->history.n && s->known[same] == s->marks[same])
        same++;
    for (size_t i = 0, at = 0; i < s->n_unread && at < same; at += (size_t)s->unread[i++].n)
        if (s->unread[i].rows && at + (size_t)s->unread[i].n > same)
            same = at;
    base_free(s->known);
    s->known = NULL;
    TRY(llm_sequence_rollback(s->sequence, (int64_t)same));
    mark_read(s, (int64_t)same);
    s->n_reused = same;
fail:
    return err;
}

int engine_session_pin(struct pr_session *s)
{
    int err;
    struct llm_slide slide = *llm_sequence_slide(s->sequence);
    struct llm_sequence *pinned;
    TRY(engine_session_render(s, false));
    if (slide.window == 0 || s->history.n > (size_t)slide.sinks)
        return base_fail(PR_ERR_INVALID, "a beginning of %zu tokens doesn't fit the window of the session",
                         s->history.n);
    slide.sinks = (int32_t)s->history.n;
    TRY(llm_sequence_create(s->kv, &slide, &pinned));
    llm_sequence_destroy(s->sequence);
    s->sequence = pinned;
fail:
    return err;
}

int64_t engine_session_length(const struct pr_session *s)
{
    return llm_sequence_length(s->sequence);
}

/* Sees to it that there is something to read, since logits come from the last token: without new input it is read again. */
static int need_input(struct pr_session *s)
{
    int err;
    if (s->n_unread)
        return PR_OK;
    int64_t n = llm_sequence_length(s->sequence);
    if (n == 0 || s->history.n == 0 || s->history.ids[s->history.n - 1] < 0)
        return base_fail(PR_ERR_INVALID, "there is nothing to read; give a prompt");
    TRY(llm_sequence_rollback(s->sequence, n - 1));
    struct unread *u = add_unread(s);
    u->first = s->history.n - 1;
    u->n = 1;
    return PR_OK;
fail:
    return err;
}

static int64_t count_unread(const struct pr_session *s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s->n_unread; i++)
        n += s->unread[i].n;
    return n;
}

/* Whether what is unread can be read; a sliding session always can. */
static bool has_room(const struct pr_session *s)
{
    return llm_sequence_slide(s->sequence)->window > 0 ||
           llm_sequence_length(s->sequence) + count_unread(s) <= llm_kv_cells(s->kv);
}

/* ---- generating ------------------------------------------------------------------------------------------------- */

/* What a call of pr_session_generate() works with. */
struct generation {
    const struct pr_settings *settings;
    struct llm_sampler *sampler;
    struct llm_stop *stop;
    struct base_buf text; /* for the callback */
    int32_t n_top;
    struct llm_top *top;
    struct pr_top *public_top;
    pr_token_fn fn;
    void *user;
};

static void begin(struct pr_session *s, const struct pr_settings *settings, struct generation *g)
{
    uint64_t seed = (uint64_t)settings->seed;
    if (settings->seed < 0) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        seed = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    }
    struct llm_sampler_params params = {.temperature = settings->temperature,
                                        .top_k = settings->top_k,
                                        .top_p = settings->top_p,
                                        .min_p = settings->min_p,
                                        .repeat_penalty = settings->repeat_penalty,
                                        .repeat_last = settings->repeat_last,
                                        .seed = seed};
    g->settings = settings;
    g->n_top = settings->logprobs < s->model->hp->n_vocab ? settings->logprobs : s->model->hp->n_vocab;
    g->sampler = llm_sampler_create(&params, s->model->hp->n_vocab);
    for (size_t i = 0; i < s->history.n; i++)
        llm_sampler_accept(g->sampler, s->history.ids[i]);
    g->stop = llm_stop_create(settings->stop);
    g->top = base_alloc_array((size_t)g->n_top + 1, sizeof *g->top);
    g->public_top = base_alloc_array((size_t)g->n_top + 1, sizeof *g->public_top);
}

static void end(struct generation *g)
{
    llm_sampler_destroy(g->sampler);
    llm_stop_destroy(g->stop);
    base_buf_finish(&g->text);
    base_free(g->top);
    base_free(g->public_top);
}

/* Hands a token to the caller; false: it wants no more. */
static bool deliver(const struct pr_session *s, struct generation *g, int32_t id)
{
    int32_t n_top = id < 0 ? 0 : llm_top_logprobs(s->logits, s->model->hp->n_vocab, g->n_top, g->top);
    for (int32_t i = 0; i < n_top; i++)
        g->public_top[i] = (struct pr_top){g->top[i].id, g->top[i].logprob};
    struct pr_token token = {.id = id,
                             .text = g->text.data ? g->text.data : "",
                             .len = g->text.len,
                             .top = g->public_top,
                             .n_top = (size_t)n_top};
    return !g->fn || g->fn(g->user, &token);
}

/* The text of a token, through the stop strings. Control tokens have none. True: a stop string came. */
static bool add_token_text(const struct pr_session *s, struct generation *g, int32_t id)
{
    const struct tokenizer *tokenizer = s->model->tokenizer;
    size_t len = 0;
    g->text.len = 0;
    if (!tokenizer || model_token_is_special(tokenizer, id))
        return false;
    const char *bytes = model_token_bytes(tokenizer, id, &len);
    return llm_stop_push(g->stop, bytes, len, &g->text);
}

static int generate(struct pr_session *s, struct generation *g, const struct base_cancel *cancel, enum pr_stop *why)
{
    int err;
    const struct pr_settings *settings = g->settings;
    for (int32_t made = 0;; made++) {
        if (settings->max_tokens >= 0 && made >= settings->max_tokens) {
            *why = PR_STOP_LENGTH;
            break;
        }
        if (made > 0 && !has_room(s)) {
            *why = PR_STOP_CONTEXT;
            break;
        }
        TRY(read_unread(s, 1, cancel));
        int32_t id = llm_sample(g->sampler, s->logits);
        if (id < 0)
            TRY(base_fail(PR_ERR_FORMAT,
                          "%s: the model gives no finite probabilities; its weights are damaged, get it again",
                          s->model->path));
        if (s->model->tokenizer && model_token_is_end(s->model->tokenizer, id)) {
            *why = PR_STOP_END;
            break;
        }
        llm_sampler_accept(g->sampler, id);
        size_t n_prompt = s->n_prompt;
        engine_session_add_ids(s, &id, 1);
        s->n_prompt = n_prompt;
        bool stopped = add_token_text(s, g, id), more = deliver(s, g, id);
        if (stopped || !more) {
            *why = stopped ? PR_STOP_STRING : PR_STOP_CALLER;
            return PR_OK;
        }
    }
    g->text.len = 0;
    llm_stop_flush(g->stop, &g->text);
    if (g->text.len)
        deliver(s, g, -1);
    return PR_OK;
fail:
    return err;
}

int pr_session_generate(struct pr_session *s, const struct pr_settings *given, pr_token_fn fn, void *user,
                        struct pr_cancel *cancel, enum pr_stop *why)
{
    int err;
    struct pr_settings settings;
    struct generation g = {.fn = fn, .user = user};
    enum pr_stop stop = PR_STOP_END;
    TRY(engine_settings(given, &settings));
    TRY(engine_session_render(s, true));
    TRY(reuse_known(s));
    TRY(need_input(s));
    if (!has_room(s))
        TRY(base_fail(PR_ERR_NOMEM,
                      "the prompt has %lld tokens, but the context only room for %lld; use a larger --ctx, or "
                      "--window to slide",
                      (long long)(llm_sequence_length(s->sequence) + count_unread(s)), (long long)llm_kv_cells(s->kv)));
    s->n_prompt = s->history.n;
    begin(s, &settings, &g);
    err = generate(s, &g, engine_cancel(cancel), &stop);
    end(&g);
    if (why)
        *why = stop;
fail:
    return err;
}

/* ---- for files of sessions -------------------------------------------------------------------------------------- */

int engine_session_read(struct pr_session *s)
{
    int err;
    TRY(engine_session_render(s, false));
    if (s->n_unread)
        TRY(read_unread(s, 0, NULL));
fail:
    return err;
}

void engine_session_remember(struct pr_session *s, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        add_mark(s, s->history.n + i, (uint64_t)ids[i]);
    if (n)
        model_tokens_append(&s->history, ids, n);
    s->n_prompt = s->history.n;
}
