/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Questions to sources: a conversation is opened over them, each question recalls its own working set and is answered from it. What
 * stays the same at the beginning of prompts (system message, gist) is read once.
 */
#include "engine/ask.h"

#include "base/mem.h"
#include "engine/clock.h"
#include "engine/keys.h"
#include "engine/repeat.h"
#include "engine/visual.h"

#include <stdlib.h>
#include <string.h>

enum { DIALOGUE_SHARE = 4 /* of the context that earlier questions and answers may take: 1/4 */ };

/* ---- conversations ------------------------------------------------------------------------------------------------ */

/* A question that was answered. */
struct turn {
    char *question, *answer;
    size_t tokens; /* of both, about */
};

struct pr_chat {
    struct asking asking;
    struct pr_settings settings;
    bool base; /* the model has no chat format: it goes on behind "Answer:" */
    struct ask_examples examples;
    struct pr_session *session; /* made with the first question that the model is asked */
    struct turn *turns;
    size_t n_turns;
    double seconds_adding, cpu_adding;
    struct ask_given *given; /* for measuring: instead of what recall finds; NULL */
};

void engine_chat_forget(struct pr_chat *chat)
{
    for (size_t i = 0; i < chat->n_turns; i++) {
        base_free(chat->turns[i].question);
        base_free(chat->turns[i].answer);
    }
    base_free(chat->turns);
    chat->turns = NULL;
    chat->n_turns = 0;
}

void pr_chat_close(struct pr_chat *chat)
{
    if (!chat)
        return;
    engine_chat_give(chat, NULL);
    pr_session_destroy(chat->session);
    engine_ask_examples_finish(&chat->examples);
    engine_ask_sources_close(&chat->asking);
    memory_library_close(chat->asking.library);
    engine_chat_forget(chat);
    base_free(chat);
}

void engine_chat_give(struct pr_chat *chat, struct ask_given *given)
{
    engine_ask_given_destroy(chat->given);
    chat->given = given;
}

struct pr_session *engine_chat_session(struct pr_chat *chat)
{
    return chat->session;
}

struct asking *engine_chat_asking(struct pr_chat *chat)
{
    return &chat->asking;
}

/* Finds what this model's encoder made of the sources' pictures, and makes the keys that recall finds them by. */
static int open_pictures(struct asking *asking, pr_progress_fn progress, void *user, struct pr_cancel *cancel)
{
    unsigned char encoder[ENGINE_ENCODER_BYTES];
    if (!asking->vision)
        return PR_OK;
    engine_encoder_identity(&asking->model->vision, encoder);
    for (size_t i = 0; i < asking->n_sources; i++) {
        struct asked *asked = &asking->sources[i];
        asked->seen = engine_visual_recalled(asked->index, encoder);
        if (!asked->seen)
            continue;
        int err = engine_keys_open(asking->model, asking->library, &asked->source, asked->index, asked->seen, progress,
                                   user, engine_cancel(cancel), &asked->keys);
        if (err == PR_ERR_CANCELLED)
            return err;
        if (err < 0)
            engine_ask_note(asking, asked->path, pr_error_message()); /* recall does without */
    }
    return PR_OK;
}

/* Without a vision part nothing is seen; a wrong one is told of. */
static void open_vision(struct asking *asking)
{
    int err = engine_peek_vision(asking->model);
    if (err >= 0)
        asking->vision = &asking->model->vision.params;
    else if (err != PR_ERR_NOT_FOUND || *asking->model->mmproj)
        engine_ask_note(asking, "", pr_error_message());
}

int pr_chat_open(struct pr_model *model, const struct pr_settings *given, const char *const *sources, size_t n_sources,
                 pr_progress_fn progress, void *user, struct pr_cancel *cancel, struct pr_chat **out)
{
    int err;
    struct pr_chat *chat = base_alloc(sizeof *chat);
    struct asking *asking = &chat->asking;
    double start = engine_now(), cpu = engine_cpu();
    asking->model = model;
    asking->settings = &chat->settings;
    TRY(engine_settings(given, &chat->settings));
    if (chat->settings.max_tokens < 0)
        chat->settings.max_tokens = ASK_ANSWER;
    TRY(engine_ask_read_ranges(asking));
    TRY(engine_library_open(&chat->settings, &asking->library));
    open_vision(asking);
    chat->base = engine_ask_is_base(asking, &chat->settings);
    TRY(engine_ask_sources_open(asking, sources, n_sources, progress, user, cancel));
    TRY(open_pictures(asking, progress, user, cancel));
    if (*chat->settings.few_shot)
        TRY(engine_ask_examples_read(asking, chat->settings.few_shot, &chat->examples, cancel));
    chat->seconds_adding = engine_now() - start;
    chat->cpu_adding = engine_cpu() - cpu;
    *out = chat;
    return PR_OK;
fail:
    pr_chat_close(chat);
    return err;
}

/* ---- one question ------------------------------------------------------------------------------------------------- */

/* By what serves a model of this size and by its context. */
int32_t engine_ask_budget(const struct pr_model *model, const struct pr_settings *settings)
{
    const struct hparams *hp = model->hp;
    struct engine_cache cache;
    int32_t context = settings->ctx > 0 ? settings->ctx : pr_model_context(model);
    if (engine_cache_plan(model->gguf, hp, settings, 0, &cache) >= 0 && cache.cells < context)
        context = (int32_t)cache.cells;
    int32_t budget = settings->budget > 0  ? settings->budget
                     : hp->d_model <= 1152 ? 6144
                     : hp->d_model <= 2560 ? 10240
                                           : 12288;
    return budget < context / 4 * 3 ? budget : context / 4 * 3;
}

size_t engine_chat_budget(const struct pr_chat *chat)
{
    return (size_t)engine_ask_budget(chat->asking.model, &chat->settings);
}

static int count_tokens(struct pr_model *model, const char *text, size_t *n)
{
    int32_t *ids = NULL;
    int err = pr_tokenize(model, text, strlen(text), false, &ids, n);
    pr_free(ids);
    return err;
}

/* The first of the earlier turns that is still told: the latest ones that fit a share of the budget. They go all at once when there is no
 * more room for one, down to half of it, so that what stands before a question changes seldom and needn't be read again. */
static size_t first_turn(const struct pr_chat *chat, size_t *tokens)
{
    size_t first = 0, used = 0, room = engine_chat_budget(chat) / DIALOGUE_SHARE;
    for (size_t i = 0; i < chat->n_turns; i++) {
        used += chat->turns[i].tokens;
        for (bool full = used > room; first <= i && full; full = used > room / 2)
            used -= chat->turns[first++].tokens;
    }
    *tokens = used;
    return first;
}

static int add_chat(struct pr_session *session, enum pr_role role, const char *text)
{
    return pr_session_chat(session, role, text, strlen(text));
}

/* A user message of a part of the working set. */
static int add_message(struct pr_chat *chat, const struct ask_set *set, enum ask_part part, const char *question,
                       struct base_buf *shown)
{
    int err;
    struct ask_message message = {0};
    TRY(engine_ask_write(&chat->asking, set, part, question, &message));
    if (shown)
        base_buf_append(shown, message.shown.data, message.shown.len);
    TRY(engine_session_parts(chat->session, PR_ROLE_USER, message.parts, message.n, chat->settings.raw));
fail:
    engine_ask_message_finish(&message);
    return err;
}

/* Everything before the question's own message. The gist stands in the first one, where all questions of a conversation find it in the
 * cache. */
static int add_before(struct pr_chat *chat, const struct ask_set *set, size_t first)
{
    int err;
    TRY(add_chat(chat->session, PR_ROLE_SYSTEM, engine_ask_instructions));
    TRY(engine_ask_examples_add(&chat->asking, &chat->examples, chat->session));
    for (size_t i = first; i < chat->n_turns; i++) {
        static const struct ask_set none;
        TRY(add_message(chat, i == first ? set : &none, ASK_GIST, chat->turns[i].question, NULL));
        TRY(add_chat(chat->session, PR_ROLE_ASSISTANT, chat->turns[i].answer));
    }
    err = PR_OK;
fail:
    return err;
}

struct stream {
    struct pr_answer *answer;
    pr_token_fn fn;
    void *user;
    double first; /* when the first token came; 0: not yet */
    bool loops;   /* the answer began to say the same over and over */
};

static bool on_token(void *user, const struct pr_token *token)
{
    struct stream *stream = user;
    if (stream->first == 0)
        stream->first = engine_now();
    base_buf_append(&stream->answer->text, token->text, token->len);
    if (stream->fn && !stream->fn(stream->user, token))
        return false;
    stream->loops = engine_loops(&stream->answer->text);
    return !stream->loops;
}

static int ask_model(struct pr_chat *chat, const struct ask_set *set, const char *question, struct stream *stream,
                     struct pr_cancel *cancel)
{
    int err;
    struct base_buf request = {0}, shown = {0};
    struct pr_coverage *coverage = &stream->answer->coverage;
    double start = engine_now(), cpu = engine_cpu();
    size_t n, told, first = first_turn(chat, &told);
    bool follows = !chat->settings.raw && first < chat->n_turns;
    base_buf_printf(&request, "%s%s", question, chat->base ? "\nAnswer:" : "");
    if (chat->session)
        engine_session_restart(chat->session);
    else
        TRY(pr_session_create(chat->asking.model, &chat->settings, &chat->session));
    if (!chat->settings.raw)
        TRY(add_before(chat, set, first));
    TRY(add_message(chat, set, follows ? ASK_EXCERPTS : ASK_ALL, request.data, &shown));
    stream->answer->prompt = base_strdup(shown.data);
    coverage->ms.prompt = 1e3 * (engine_now() - start);
    coverage->ms.processor += 1e3 * (engine_cpu() - cpu);
    start = engine_now();
    err = pr_session_generate(chat->session, &chat->settings, on_token, stream, cancel, NULL);
    double end = engine_now();
    coverage->ms.prefill = 1e3 * ((stream->first > 0 ? stream->first : end) - start);
    coverage->ms.decode = stream->first > 0 ? 1e3 * (end - stream->first) : 0;
    pr_session_prompt(chat->session, &n);
    coverage->prompt_tokens = (int32_t)n;
    coverage->prompt_reused = (int32_t)chat->session->n_reused;
    coverage->device_bytes = (int64_t)chat->asking.model->device->peak;
fail:
    base_buf_finish(&request);
    base_buf_finish(&shown);
    return err;
}

/* Says without the model that there is nothing. */
static void say_not_found(struct stream *stream, const char *why)
{
    struct base_buf text = {0};
    base_buf_printf(&text, "Not found: %s.", why);
    on_token(stream, &(struct pr_token){.id = -1, .text = text.data, .len = text.len});
    stream->answer->found = false;
    stream->answer->why = base_strdup(why);
    stream->answer->n_citations = 0; /* the model saw nothing */
    stream->answer->coverage.passages_read = 0;
    base_buf_finish(&text);
}

static void remember(struct pr_chat *chat, const char *question, const struct pr_answer *answer)
{
    size_t a = 0, b = 0;
    if (count_tokens(chat->asking.model, question, &a) < 0 ||
        count_tokens(chat->asking.model, pr_answer_text(answer), &b) < 0)
        return;
    chat->turns = base_realloc(chat->turns, (chat->n_turns + 1) * sizeof *chat->turns);
    chat->turns[chat->n_turns++] =
        (struct turn){base_strdup(question), base_strdup(pr_answer_text(answer)), a + b + 16};
}

/* What recall looks for: a follow-up question alone says little ("and why?"), so the one before it counts, too. */
static char *words_of(const struct pr_chat *chat, const char *question)
{
    struct base_buf words = {0};
    base_buf_puts(&words, question);
    if (chat->n_turns > 0 && engine_ask_content_words(question) < 2)
        base_buf_printf(&words, " %s", chat->turns[chat->n_turns - 1].question);
    return words.data;
}

/* How the pictures of the sources that are shown were looked at, each way once; NULL: none is shown. */
static const char *density(const struct ask_set *set, struct pr_answer *answer)
{
    struct base_buf text = {0};
    for (size_t i = 0; i < set->n; i++) {
        const struct asked *asked = set->entries[i].asked;
        if (set->entries[i].n_pictures == 0 || !asked->seen || !asked->evidence)
            continue;
        const struct evidence_setup *setup = memory_evidence_setup_numbered(asked->evidence, asked->seen->number);
        if (setup && (!text.len || !strstr(text.data, setup->text)))
            base_buf_printf(&text, "%s%s", text.len ? "; " : "", setup->text);
    }
    return text.data ? engine_ask_keep(answer, text.data) : NULL;
}

static void copy_notes(const struct asking *asking, const struct stream *stream, struct pr_answer *answer)
{
    answer->notes = base_alloc_array(asking->n_notes + 1, sizeof *answer->notes);
    for (size_t i = 0; i < asking->n_notes; i++)
        answer->notes[answer->n_notes++] = base_strdup(asking->notes[i]);
    if (stream->loops)
        answer->notes[answer->n_notes++] =
            base_strdup("the model went on to say the same over and over, so its answer was ended");
}

/* What the working set may take of the budget: looks, earlier turns and examples have their share. */
static size_t room_of(const struct pr_chat *chat)
{
    size_t budget = engine_chat_budget(chat), told = 0, taken = chat->settings.look > 0 ? budget / 4 : 0;
    if (!chat->settings.raw) {
        first_turn(chat, &told);
        taken += told + engine_ask_examples_tokens(&chat->examples);
    }
    return taken < budget ? budget - taken : 0;
}

int pr_chat_ask(struct pr_chat *chat, const char *question, pr_token_fn fn, void *user, struct pr_cancel *cancel,
                struct pr_answer **out)
{
    int err;
    struct asking *asking = &chat->asking;
    struct ask_found found = {0};
    struct ask_set set = {0};
    struct pr_answer *answer = base_alloc(sizeof *answer);
    struct pr_coverage *coverage = &answer->coverage;
    struct stream stream = {.answer = answer, .fn = fn, .user = user};
    char *words = words_of(chat, question);
    double start = engine_now(), cpu = engine_cpu(), then;
    bool cut;
    *out = NULL;

    engine_ask_cover(asking, coverage);
    if (!chat->given)
        TRY(engine_ask_recall(asking, words, &found));
    then = engine_now();
    coverage->ms.adding = 1e3 * chat->seconds_adding;
    coverage->ms.recall = 1e3 * (then - start);
    if (chat->given)
        TRY(engine_ask_given_set(chat->given, &set));
    else
        TRY(engine_ask_choose(asking, &found, engine_chat_budget(chat), &set));
    TRY(engine_ask_fit(asking, &set, engine_chat_budget(chat), room_of(chat)));
    coverage->ms.choosing = 1e3 * (engine_now() - then);
    coverage->ms.processor = 1e3 * (chat->cpu_adding + engine_cpu() - cpu);
    then = engine_now();
    TRY(engine_ask_look(asking, &set, chat->settings.look, engine_chat_budget(chat) / 4, cancel));
    coverage->ms.looking = 1e3 * (engine_now() - then);
    engine_ask_cite(&set, answer);
    coverage->sees = asking->vision != NULL;
    coverage->density = density(&set, answer);
    coverage->passages_found = (int64_t)found.n_hits;
    coverage->passages_read = set.passages;
    coverage->segments = (int64_t)found.n_seen;
    coverage->segments_shown = set.visual_segments;
    coverage->visual_tokens = set.visual_tokens;
    coverage->damaged += found.damaged + set.damaged;
    if (set.n == 0)
        say_not_found(&stream, "no passage of the sources shares a word with the question");
    else if (!chat->given && set.visual_tokens == 0 && found.coverage < memory_least_coverage(words))
        say_not_found(&stream, "the sources say nothing of most words of the question");
    else
        err = ask_model(chat, &set, question, &stream, cancel);
    cut = err == PR_ERR_CANCELLED && answer->text.len > 0;
    if (!cut)
        TRY(err);
    then = engine_now();
    cpu = engine_cpu();
    copy_notes(asking, &stream, answer);
    if (!answer->why)
        engine_ask_judge(&set, question, answer);
    TRY(engine_ask_narrow(asking, &set, &found, question, answer));
    coverage->ms.citing = 1e3 * (engine_now() - then);
    coverage->ms.processor += 1e3 * (engine_cpu() - cpu);
    if (!chat->given)
        remember(chat, question, answer);
    chat->seconds_adding = chat->cpu_adding = 0; /* it is told of once */
    *out = answer;
    answer = NULL;
    err = cut ? base_fail(PR_ERR_CANCELLED, "interrupted") : PR_OK;
fail:
    base_free(words);
    engine_ask_set_finish(&set);
    engine_ask_found_finish(&found);
    pr_answer_destroy(answer);
    return err;
}

int pr_ask(struct pr_model *model, const struct pr_settings *settings, const char *const *sources, size_t n_sources,
           const char *question, pr_progress_fn progress, pr_token_fn fn, void *user, struct pr_cancel *cancel,
           struct pr_answer **out)
{
    struct pr_chat *chat;
    *out = NULL;
    int err = pr_chat_open(model, settings, sources, n_sources, progress, user, cancel, &chat);
    if (err < 0)
        return err;
    err = pr_chat_ask(chat, question, fn, user, cancel, out);
    pr_chat_close(chat);
    return err;
}
