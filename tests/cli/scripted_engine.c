/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An engine without a model, for testing the commands: the prompt says what the model does. The options and the config file are
 * the real ones.
 *
 *     settings         answers with the settings that reached the engine
 *     broken           writes escape sequences, broken UTF-8 and quotes
 *     forever          writes until it is cancelled
 *     fail             fails in mid-answer
 *     anything else    says it again
 */
#include "base/error.h"
#include "base/mem.h"
#include "engine/library.h"
#include "engine/plan.h"
#include "pagereel/pagereel.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct pr_cancel {
    atomic_bool requested;
};
struct pr_model {
    struct pr_settings settings;
};
struct pr_session {
    const struct pr_settings *settings;
    struct base_buf prompt;
    int32_t ids[4096];
};

struct pr_cancel *pr_cancel_create(void)
{
    return base_alloc(sizeof(struct pr_cancel));
}

void pr_cancel_request(struct pr_cancel *cancel)
{
    atomic_store(&cancel->requested, true);
}

int pr_devices(struct pr_device **out, size_t *n)
{
    static const struct pr_feature features[] = {{"fast \"path\"", true, ""},
                                                 {"slow path", false, "there is a fast one"}};
    *out = base_alloc(2 * sizeof **out);
    (*out)[0] = (struct pr_device){"cpu", "Some \033[31mCPU", "", false, 1ull << 32, features, 2};
    (*out)[1] = (struct pr_device){"ref", "definition", "plain C", true, 0, NULL, 0};
    *n = 2;
    return PR_OK;
}

int pr_model_open(const struct pr_settings *settings, struct pr_cancel *cancel, struct pr_model **out)
{
    (void)cancel;
    if (!settings->model[0])
        return base_fail(PR_ERR_INVALID, "no model; give --model FILE, or set PAGEREEL_MODEL");
    if (!strcmp(settings->model, "missing.gguf"))
        return base_fail(PR_ERR_IO, "missing.gguf: can't be opened");
    *out = base_alloc(sizeof **out);
    (*out)->settings = *settings;
    return PR_OK;
}

int pr_tokenizer_open(const char *path, struct pr_model **out)
{
    struct pr_settings settings = pr_settings_default();
    settings.model = path;
    return pr_model_open(&settings, NULL, out);
}

void pr_model_close(struct pr_model *model)
{
    base_free(model);
}

const char *pr_model_placement(const struct pr_model *model)
{
    return model->settings.gpu_memory ? "1 of 2 layers on vulkan:0, the rest on cpu" : "2 of 2 layers on cpu";
}

const char *pr_model_name(const struct pr_model *model)
{
    return model->settings.model;
}

/* A token for each byte. */
int32_t pr_model_context(const struct pr_model *model)
{
    (void)model;
    return 2048;
}

int pr_tokenize(struct pr_model *model, const char *text, size_t len, bool special, int32_t **ids, size_t *n)
{
    (void)model;
    *ids = base_alloc_array(len + 1, sizeof **ids);
    for (size_t i = 0; i < len; i++)
        (*ids)[i] = (unsigned char)text[i] + (special ? 256 : 0);
    *n = len;
    return PR_OK;
}

const char *pr_token_bytes(const struct pr_model *model, int32_t id, size_t *len)
{
    static char byte[1];
    (void)model;
    byte[0] = (char)id;
    *len = 1;
    return byte;
}

int pr_session_create(struct pr_model *model, const struct pr_settings *settings, struct pr_session **out)
{
    (void)model;
    *out = base_alloc(sizeof **out);
    (*out)->settings = settings;
    return PR_OK;
}

void pr_session_destroy(struct pr_session *session)
{
    if (session)
        base_buf_finish(&session->prompt);
    base_free(session);
}

int pr_session_chat(struct pr_session *session, enum pr_role role, const char *text, size_t len)
{
    if (role == PR_ROLE_SYSTEM)
        base_buf_printf(&session->prompt, "(%.*s)", (int)len, text);
    else
        base_buf_append(&session->prompt, text, len);
    return PR_OK;
}

int pr_session_raw(struct pr_session *session, const char *text, size_t len, bool special)
{
    (void)special;
    base_buf_append(&session->prompt, text, len);
    return PR_OK;
}

/* Pictures are written as what they are. */
static void add_items(struct pr_session *session, const struct pr_item *items, size_t n)
{
    static const char *const names[] = {"", "[image ", "[video ", "[pages "};
    for (size_t i = 0; i < n; i++)
        if (items[i].kind == PR_ITEM_TEXT)
            base_buf_append(&session->prompt, items[i].text, items[i].len);
        else
            base_buf_printf(&session->prompt, "%s%s]", names[items[i].kind], items[i].text);
}

int pr_session_chat_items(struct pr_session *session, enum pr_role role, const struct pr_item *items, size_t n,
                          const struct pr_settings *settings, struct pr_cancel *cancel)
{
    (void)role;
    (void)settings;
    (void)cancel;
    add_items(session, items, n);
    return PR_OK;
}

int pr_session_raw_items(struct pr_session *session, const struct pr_item *items, size_t n, bool special,
                         const struct pr_settings *settings, struct pr_cancel *cancel)
{
    (void)special;
    (void)settings;
    (void)cancel;
    add_items(session, items, n);
    return PR_OK;
}

const struct pr_visual_run *pr_session_visual(const struct pr_session *session, size_t *n)
{
    (void)session;
    *n = 0;
    return NULL;
}

const int32_t *pr_session_prompt(const struct pr_session *session, size_t *n)
{
    struct pr_session *s = (struct pr_session *)session;
    *n = s->prompt.len;
    for (size_t i = 0; i < *n && i < 4096; i++)
        s->ids[i] = (unsigned char)s->prompt.data[i];
    return s->ids;
}

static bool say(const struct pr_session *session, pr_token_fn fn, void *user, const char *text, size_t len)
{
    static const struct pr_top top[] = {{7, -0.1f}, {8, -2.3456789f}, {9, -1.0f / 0.0f}};
    size_t n_top = (size_t)session->settings->logprobs;
    return fn(user, &(struct pr_token){(int32_t)len, text, len, top, n_top < 3 ? n_top : 3});
}

static void say_settings(const struct pr_session *session, pr_token_fn fn, void *user)
{
    const struct pr_settings *s = session->settings;
    struct base_buf text = {0};
    base_buf_printf(&text, "model=%s device=%s ctx=%d cache=%s temp=%g n=%d stop=%s", s->model, s->device, (int)s->ctx,
                    s->cache_type, (double)s->temperature, (int)s->max_tokens, s->stop);
    say(session, fn, user, text.data, text.len);
    base_buf_finish(&text);
}

int pr_session_generate(struct pr_session *session, const struct pr_settings *settings, pr_token_fn fn, void *user,
                        struct pr_cancel *cancel, enum pr_stop *why)
{
    static const char broken[] = "a\033[31mred\033]0;title\007b\xff\"\\\xc2\x9b"
                                 "1mc\r\x07";
    const char *prompt = session->prompt.data ? session->prompt.data : "";
    (void)settings;
    *why = PR_STOP_END;
    if (!strcmp(prompt, "settings")) {
        say_settings(session, fn, user);
    } else if (!strcmp(prompt, "broken")) {
        for (size_t i = 0; i < sizeof broken - 1; i++)
            say(session, fn, user, &broken[i], 1);
    } else if (!strcmp(prompt, "unfinished")) {
        say(session, fn, user, "caf", 3);
        fn(user, &(struct pr_token){-1, "\xef\xbf\xbd", 3, NULL, 0});
    } else if (!strcmp(prompt, "forever")) {
        while (!atomic_load(&cancel->requested)) {
            if (!say(session, fn, user, "on and ", 7))
                return PR_OK;
            usleep(1000);
        }
        return base_fail(PR_ERR_CANCELLED, "interrupted");
    } else if (!strcmp(prompt, "fail")) {
        say(session, fn, user, "so far", 6);
        return base_fail(PR_ERR_DEVICE_LOST, "the device is lost; use another --device");
    } else {
        say(session, fn, user, prompt, session->prompt.len);
        say(session, fn, user, "", 0);
        *why = PR_STOP_LENGTH;
    }
    return PR_OK;
}

int pr_session_save(struct pr_session *session, const char *path)
{
    (void)session;
    return base_fail(PR_ERR_IO, "%s: can't be written", path);
}

int pr_session_restore(struct pr_session *session, const char *path)
{
    (void)session;
    return base_fail(PR_ERR_INVALID, "%s: was made with another model", path);
}

int engine_keys_make(const struct pr_settings *settings, struct library *library, const struct library_source *source,
                     pr_progress_fn fn, void *user, struct pr_cancel *cancel)
{
    (void)settings, (void)library, (void)source, (void)fn, (void)user, (void)cancel;
    return PR_OK;
}

int engine_plan_asking(const struct pr_settings *settings, struct library *library, const struct library_source *trials,
                       size_t n, int64_t base, struct pr_plan *out)
{
    (void)settings, (void)library, (void)trials, (void)n, (void)base;
    out->ask_memory = 300 << 20;
    return PR_OK;
}

int pr_bench_llm(struct pr_model *model, const struct pr_settings *settings, struct pr_cancel *cancel,
                 struct pr_bench_llm *out)
{
    (void)model;
    (void)cancel;
    *out = (struct pr_bench_llm){100.5, 10.25, 20, 300, 0.5, 0.25, 1 << 20, 2 << 20, 3 << 20, 6 << 20, settings->runs};
    return PR_OK;
}

int pr_bench_ppl(struct pr_model *model, const struct pr_settings *settings, const char *text, size_t len, pr_ppl_fn fn,
                 void *user, struct pr_cancel *cancel, struct pr_bench_ppl *out)
{
    (void)model;
    (void)settings;
    (void)text;
    (void)cancel;
    fn(user, 1, (int64_t)len, 3.5, 1000);
    fn(user, (int64_t)len, (int64_t)len, 2.5, 2000);
    *out = (struct pr_bench_ppl){(int64_t)len, (int64_t)len - 1, 3.0, 2.5, 0, 1000, 2000, 77.0, NULL};
    return PR_OK;
}

void pr_bench_ppl_finish(struct pr_bench_ppl *bench)
{
    (void)bench;
}

int pr_visual_plan(const char *path, enum pr_item_kind kind, struct pr_model *model, const struct pr_settings *settings,
                   struct pr_cancel *cancel, struct pr_visual_plan *out)
{
    (void)path, (void)kind, (void)model, (void)settings, (void)cancel;
    *out = (struct pr_visual_plan){1, 1, 2, 4, 3 << 20};
    return PR_OK;
}

int pr_bench_vision(const struct pr_settings *settings, struct pr_cancel *cancel, struct pr_bench_vision *out)
{
    (void)cancel;
    *out = (struct pr_bench_vision){1024, 17, settings->runs, 1088, 0.5, 2.0, 10.0, 1 << 20, 2 << 20, "Made up", "cpu"};
    return PR_OK;
}

const char *pr_default_model(void)
{
    const char *path = getenv("SCRIPTED_DEFAULT_MODEL");
    return path ? path : "";
}

int pr_bench_needle(struct pr_model *model, const struct pr_settings *settings, pr_needle_fn fn, void *user,
                    struct pr_cancel *cancel, struct pr_needles **rows, size_t *n)
{
    (void)model, (void)settings, (void)fn, (void)user, (void)cancel;
    *rows = calloc(1, sizeof **rows);
    **rows = (struct pr_needles){.film = true, .length = 60, .keep = 0.25F, .budget = 1000};
    *n = 1;
    return PR_OK;
}

int pr_bench_time(struct pr_model *model, const struct pr_settings *settings, pr_needle_fn fn, void *user,
                  struct pr_cancel *cancel, struct pr_needles **rows, size_t *n)
{
    return pr_bench_needle(model, settings, fn, user, cancel, rows, n);
}

int pr_embed(const char *path, const struct pr_settings *settings, struct pr_cancel *cancel, struct pr_visual *out)
{
    static float rows[6] = {1, 2, 3, 4, 5, 6};
    static struct pr_visual_run run = {0, 2, 1, 1, 2};
    (void)settings;
    (void)cancel;
    if (!strcmp(path, "fail"))
        return base_fail(PR_ERR_IO, "fail: it does");
    *out = (struct pr_visual){.rows = rows, .n = 2, .width = 3, .runs = &run, .n_runs = 1, .family = "Made up"};
    return PR_OK;
}

void pr_visual_finish(struct pr_visual *visual)
{
    (void)visual;
}

/* Questions aren't scripted: that they have functions of their own keeps the real sessions out. */
static int not_scripted(void)
{
    return base_fail(PR_ERR_UNSUPPORTED, "not scripted");
}

int pr_ask(struct pr_model *model, const struct pr_settings *settings, const char *const *sources, size_t n_sources,
           const char *question, pr_progress_fn progress, pr_token_fn fn, void *user, struct pr_cancel *cancel,
           struct pr_answer **out)
{
    (void)model, (void)settings, (void)sources, (void)n_sources, (void)question, (void)progress, (void)fn, (void)user,
        (void)cancel, (void)out;
    return not_scripted();
}

int pr_chat_open(struct pr_model *model, const struct pr_settings *settings, const char *const *sources,
                 size_t n_sources, pr_progress_fn progress, void *user, struct pr_cancel *cancel, struct pr_chat **out)
{
    (void)model, (void)settings, (void)sources, (void)n_sources, (void)progress, (void)user, (void)cancel, (void)out;
    return not_scripted();
}

int pr_chat_ask(struct pr_chat *chat, const char *question, pr_token_fn fn, void *user, struct pr_cancel *cancel,
                struct pr_answer **out)
{
    (void)chat, (void)question, (void)fn, (void)user, (void)cancel, (void)out;
    return not_scripted();
}

void pr_chat_close(struct pr_chat *chat)
{
    (void)chat;
}

int pr_read(struct pr_model *model, const struct pr_settings *settings, const char *source, pr_progress_fn progress,
            pr_note_fn notes, pr_token_fn fn, void *user, struct pr_cancel *cancel, char **summary)
{
    (void)model, (void)settings, (void)source, (void)progress, (void)notes, (void)fn, (void)user, (void)cancel,
        (void)summary;
    return not_scripted();
}
