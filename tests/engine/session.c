/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sessions over a small random model: it says nothing, but always the same.
 */
#include "engine/session.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/folder.h"

enum { MAX_MADE = 400 };

/* What a generation gave. */
struct made {
    int32_t ids[MAX_MADE];
    size_t n, flushes;
    struct base_buf text;
    size_t stop_after;        /* the callback ends it here; 0: never */
    struct pr_cancel *cancel; /* requested with the first token */
    struct pr_top top[MAX_MADE];
    size_t n_top;
    enum pr_stop why;
};

static struct pr_model *model, *chat_model;
static char file[64];

static void check(int err)
{
    if (err < 0)
        fail_msg("%s: %s", pr_error_name(err), pr_error_message());
}

static struct pr_settings settings_for(const char *path)
{
    struct pr_settings s = pr_settings_default();
    s.model = path;
    s.device = "ref";
    s.cache_type = "f32";
    s.max_tokens = 20;
    return s;
}

static bool on_token(void *user, const struct pr_token *token)
{
    struct made *m = user;
    base_buf_append(&m->text, token->text, token->len);
    if (token->id < 0) {
        m->flushes++;
        return true;
    }
    if (token->n_top <= MAX_MADE && token->n_top > 0) {
        memcpy(m->top, token->top, token->n_top * sizeof *m->top);
        m->n_top = token->n_top;
    }
    m->ids[m->n++] = token->id;
    if (m->cancel)
        pr_cancel_request(m->cancel);
    return m->n != m->stop_after;
}

static int generate(struct pr_session *session, const struct pr_settings *s, struct made *m)
{
    m->n = m->flushes = m->n_top = 0;
    m->text.len = 0;
    return pr_session_generate(session, s, on_token, m, m->cancel, &m->why);
}

static struct pr_session *new_session(struct pr_model *of, const struct pr_settings *s)
{
    struct pr_session *session;
    check(pr_session_create(of, s, &session));
    return session;
}

static int set_up(void **state)
{
    char command[256];
    if (test_folder_make(state) < 0)
        return -1;
    snprintf(file, sizeof file, "%s/chat.gguf", test_folder);
    snprintf(command, sizeof command,
             "%s %s --layers 2 --dim 64 --heads 4 --kv 2 --ffn 96 --vocab 300 --type f32 --ctx 256 --chat >/dev/null",
             RANDOM_MODEL, file);
    if (system(command) != 0)
        return -1;
    struct pr_settings s = settings_for(file);
    check(pr_model_open(&s, NULL, &chat_model));
    unlink(file); /* the map stays */
    s = settings_for("tests/golden/llm/llama-tied.f32.gguf");
    check(pr_model_open(&s, NULL, &model));
    snprintf(file, sizeof file, "%s/session", test_folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pr_model_close(model);
    pr_model_close(chat_model);
    unlink(file);
    return rmdir(test_folder);
}

static void answers_repeat_and_go_on(void **state)
{
    (void)state;
    struct pr_settings s = settings_for("");
    struct made whole = {0}, half = {0};
    struct pr_session *a = new_session(model, &s), *b = new_session(model, &s);
    check(pr_session_raw(a, "hello there", 11, false));
    check(generate(a, &s, &whole));
    assert_int_equal(whole.n, 20);
    assert_int_equal(whole.why, PR_STOP_LENGTH);

    check(pr_session_raw(b, "hello", 5, false)); /* the same text in two parts */
    check(pr_session_raw(b, " there", 6, false));
    s.max_tokens = 7;
    check(generate(b, &s, &half));
    assert_memory_equal(whole.ids, half.ids, 7 * sizeof *half.ids);
    s.max_tokens = 13;
    check(generate(b, &s, &half)); /* nothing new: it goes on */
    assert_memory_equal(whole.ids + 7, half.ids, 13 * sizeof *half.ids);
    size_t n;
    const int32_t *prompt = pr_session_prompt(a, &n);
    int32_t *ids;
    size_t n_ids;
    check(pr_tokenize(model, "hello there", 11, false, &ids, &n_ids));
    assert_int_equal(n, n_ids);
    assert_memory_equal(prompt, ids, n * sizeof *ids);
    pr_free(ids);
    pr_session_destroy(a);
    pr_session_destroy(b);
    base_buf_finish(&whole.text);
    base_buf_finish(&half.text);
}

static void answers_end_where_they_should(void **state)
{
    (void)state;
    struct pr_settings s = settings_for("");
    struct made all = {0}, m = {0};
    struct pr_session *session = new_session(model, &s);
    check(pr_session_raw(session, "hello there", 11, false));
    check(generate(session, &s, &all));
    pr_session_destroy(session);
    assert_true(all.text.len > 6);

    /* A stop string out of the middle of what it says, cut across tokens as it comes. */
    char stop[4] = {0};
    memcpy(stop, all.text.data + all.text.len / 2, 3);
    size_t expected = (size_t)(strstr(all.text.data, stop) - all.text.data);
    s.stop = stop;
    session = new_session(model, &s);
    check(pr_session_raw(session, "hello there", 11, false));
    check(generate(session, &s, &m));
    assert_int_equal(m.why, PR_STOP_STRING);
    assert_int_equal(m.text.len, expected);
    assert_memory_equal(m.text.data, all.text.data, expected);
    pr_session_destroy(session);

    s = settings_for("");
    m.stop_after = 3;
    session = new_session(model, &s);
    check(pr_session_raw(session, "hello there", 11, false));
    check(generate(session, &s, &m));
    assert_int_equal(m.why, PR_STOP_CALLER);
    assert_int_equal(m.n, 3);
    m.stop_after = 0;
    check(generate(session, &s, &m)); /* and can be asked for more */
    assert_memory_equal(m.ids, all.ids + 3, 17 * sizeof *m.ids);
    pr_session_destroy(session);

    s.ctx = 32; /* a page */
    s.max_tokens = -1;
    session = new_session(model, &s);
    check(pr_session_raw(session, "hello there", 11, false));
    size_t n_prompt;
    pr_session_prompt(session, &n_prompt);
    check(generate(session, &s, &m));
    assert_int_equal(m.why, PR_STOP_CONTEXT);
    assert_int_equal(m.n, 32 - n_prompt + 1); /* the last one needs no place */
    assert_int_equal(generate(session, &s, &m), PR_ERR_NOMEM);
    assert_non_null(strstr(pr_error_message(), "--ctx"));
    pr_session_destroy(session);
    base_buf_finish(&all.text);
    base_buf_finish(&m.text);
}

static void text_held_back_comes_at_the_end(void **state)
{
    (void)state;
    struct pr_settings s = settings_for("");
    struct made all = {0}, m = {0};
    s.max_tokens = 8;
    struct pr_session *session = new_session(model, &s);
    check(pr_session_raw(session, "abc", 3, false));
    check(generate(session, &s, &all));
    pr_session_destroy(session);
    char stop[3] = {all.text.data[all.text.len - 1], '\1'}; /* begins with the last character, and never comes */
    s.stop = stop;
    session = new_session(model, &s);
    check(pr_session_raw(session, "abc", 3, false));
    check(generate(session, &s, &m));
    assert_int_equal(m.flushes, 1);
    assert_int_equal(m.n, all.n);
    assert_int_equal(m.text.len, all.text.len);
    assert_memory_equal(m.text.data, all.text.data, m.text.len);
    pr_session_destroy(session);
    base_buf_finish(&all.text);
    base_buf_finish(&m.text);
}

static void interrupted_answers_leave_a_usable_session(void **state)
{
    (void)state;
    struct pr_settings s = settings_for("");
    struct made all = {0}, m = {0};
    struct pr_session *a = new_session(model, &s), *b = new_session(model, &s);
    check(pr_session_raw(a, "hello", 5, false));
    check(generate(a, &s, &all));
    check(pr_session_raw(b, "hello", 5, false));
    m.cancel = pr_cancel_create();
    assert_int_equal(generate(b, &s, &m), PR_ERR_CANCELLED);
    assert_int_equal(m.n, 1);
    assert_int_equal(m.ids[0], all.ids[0]);
    pr_cancel_destroy(m.cancel);
    m.cancel = NULL;
    check(generate(b, &s, &m));
    assert_memory_equal(m.ids, all.ids + 1, 19 * sizeof *m.ids);
    pr_session_destroy(a);
    pr_session_destroy(b);
    base_buf_finish(&all.text);
    base_buf_finish(&m.text);
}

/* The rows of the embedding table are what token ids stand for. */
static void embeddings_are_read_as_tokens_are(void **state)
{
    (void)state;
    struct pr_settings s = settings_for("");
    struct made a = {0}, b = {0};
    static const int32_t ids[6] = {40, 41, 270, 43, 99, 45};
    size_t d = (size_t)model->hp->d_model, n;
    const float *table = model_gguf_tensor(model->gguf, "token_embd.weight")->data;
    float *rows = malloc(4 * d * sizeof *rows);
    for (size_t i = 0; i < 4; i++)
        memcpy(rows + i * d, table + (size_t)ids[1 + i] * d, d * sizeof *rows);
    struct pr_session *x = new_session(model, &s), *y = new_session(model, &s);
    check(pr_session_tokens(x, ids, 6));
    check(generate(x, &s, &a));
    check(pr_session_tokens(y, ids, 1));
    check(pr_session_embeddings(y, rows, 4, d, NULL, 0));
    check(pr_session_tokens(y, ids + 5, 1));
    const int32_t *prompt = pr_session_prompt(y, &n);
    assert_int_equal(n, 6);
    assert_int_equal(prompt[0], 40);
    assert_int_equal(prompt[4], -1);
    check(generate(y, &s, &b));
    assert_memory_equal(a.ids, b.ids, 20 * sizeof *a.ids);
    assert_int_equal(pr_session_embeddings(y, rows, 4, d + 1, NULL, 0), PR_ERR_INVALID);
    assert_int_equal(pr_session_tokens(y, (const int32_t[]){-1}, 1), PR_ERR_INVALID);
    pr_session_destroy(x);
    pr_session_destroy(y);
    free(rows);
    base_buf_finish(&a.text);
    base_buf_finish(&b.text);
}

static struct pr_session *with_picture(struct pr_session *session, const struct pr_settings *s, float value,
                                       const char *question)
{
    size_t d = (size_t)model->hp->d_model;
    struct engine_run *runs = base_alloc_array(2, sizeof *runs);
    runs[0].text = base_strdup("picture:");
    runs[1] = (struct engine_run){.rows = base_alloc_array(3 * d, sizeof(float)), .n = 3, .advance = 3};
    for (size_t i = 0; i < 3 * d; i++)
        runs[1].rows[i] = value + (float)(i % 7) / 100;
    struct engine_part parts[] = {{"look ", 5, NULL, 0}, {NULL, 0, runs, 2}, {question, strlen(question), NULL, 0}};
    if (!session)
        session = new_session(model, s);
    check(engine_session_parts(session, PR_ROLE_USER, parts, 3, true));
    return session;
}

/* A prompt that begins as the one before gives what it gives alone, and its beginning isn't read again. */
static void what_begins_alike_is_read_once(void **state)
{
    (void)state;
    struct pr_settings s = settings_for("");
    struct made again = {0}, alone = {0};
    struct pr_session *kept = with_picture(NULL, &s, 0.1f, "what is it");
    check(generate(kept, &s, &again));
    for (int i = 0; i < 4; i++) {
        float value = i == 2 ? 0.2f : 0.1f; /* another picture is not the same beginning */
        const char *question = i == 0 ? "what is it" : i == 1 ? "where" : "who was there";
        struct pr_session *fresh = with_picture(NULL, &s, value, question);
        check(generate(fresh, &s, &alone));
        engine_session_restart(kept);
        with_picture(kept, &s, value, question);
        check(generate(kept, &s, &again));
        assert_int_equal(again.n, alone.n);
        assert_memory_equal(again.ids, alone.ids, alone.n * sizeof *alone.ids);
        assert_int_equal(engine_session_length(kept), engine_session_length(fresh));
        pr_session_destroy(fresh);
    }
    pr_session_destroy(kept);
    base_buf_finish(&again.text);
    base_buf_finish(&alone.text);
}

static void a_pinned_beginning_stays(void **state)
{
    (void)state;
    struct pr_settings s = settings_for("");
    struct made m = {0};
    s.window = 48;
    s.sinks = 64;
    s.max_tokens = 200;
    struct pr_session *session = new_session(model, &s);
    check(pr_session_raw(session, "hello there", 11, false));
    size_t n;
    pr_session_prompt(session, &n);
    check(engine_session_pin(session));
    assert_int_equal(llm_sequence_slide(session->sequence)->sinks, n);
    check(generate(session, &s, &m));
    assert_int_equal(m.n, 200);
    pr_session_destroy(session);
    s.window = 0;
    session = new_session(model, &s);
    assert_int_equal(engine_session_pin(session), PR_ERR_INVALID);
    pr_session_destroy(session);
    base_buf_finish(&m.text);
}

static void saved_sessions_go_on(void **state)
{
    (void)state;
    for (int window = 0; window <= 48; window += 48) {
        struct pr_settings s = settings_for("");
        struct made whole = {0}, part = {0};
        s.window = window;
        s.max_tokens = 120;
        struct pr_session *a = new_session(model, &s), *b = new_session(model, &s), *c = new_session(model, &s);
        check(pr_session_raw(a, "hello there", 11, false));
        check(generate(a, &s, &whole));
        check(pr_session_raw(b, "hello there", 11, false));
        s.max_tokens = 100;
        check(generate(b, &s, &part));
        check(pr_session_save(b, file));
        check(pr_session_restore(c, file));
        s.max_tokens = 20;
        check(generate(c, &s, &part));
        assert_memory_equal(part.ids, whole.ids + 100, 20 * sizeof *part.ids);
        assert_int_equal(pr_session_restore(c, file), PR_ERR_INVALID); /* it isn't new any more */
        struct pr_session *d;
        s.window = window ? 0 : 48;
        d = new_session(model, &s);
        assert_int_equal(pr_session_restore(d, file), PR_ERR_INVALID);
        pr_session_destroy(d);
        d = new_session(chat_model, &s);
        assert_int_equal(pr_session_restore(d, file), PR_ERR_INVALID);
        assert_non_null(strstr(pr_error_message(), "model"));
        pr_session_destroy(d);
        pr_session_destroy(a);
        pr_session_destroy(b);
        pr_session_destroy(c);
        base_buf_finish(&whole.text);
        base_buf_finish(&part.text);
    }
}

static void sliding_sessions_never_fill_up(void **state)
{
    (void)state;
    struct pr_settings s = settings_for("");
    struct made m = {0};
    s.window = 40;
    s.max_tokens = MAX_MADE;
    struct pr_session *session = new_session(model, &s);
    check(pr_session_raw(session, "hello there", 11, false));
    check(generate(session, &s, &m));
    assert_int_equal(m.why, PR_STOP_LENGTH);
    assert_int_equal(m.n, MAX_MADE);
    pr_session_destroy(session);
    base_buf_finish(&m.text);
}

static void logprobs_are_those_of_the_step(void **state)
{
    (void)state;
    struct pr_settings s = settings_for("");
    struct made m = {0};
    s.max_tokens = 1;
    s.logprobs = 1 << 20; /* all there are */
    struct pr_session *session = new_session(model, &s);
    check(pr_session_raw(session, "hello", 5, false));
    check(generate(session, &s, &m));
    assert_int_equal(m.n_top, pr_model_n_vocab(model));
    assert_int_equal(m.top[0].id, m.ids[0]);
    double sum = 0;
    for (size_t i = 0; i < m.n_top; i++)
        sum += exp((double)m.top[i].logprob);
    assert_true(fabs(sum - 1) < 1e-4);
    pr_session_destroy(session);
    base_buf_finish(&m.text);
}

/* ---- chat --------------------------------------------------------------------------------------------------------- */

/* The ids that come after the first `from` are those of `text` with its control tokens. */
static void assert_prompt(struct pr_session *session, size_t from, const char *text)
{
    int32_t *ids;
    size_t n, n_ids;
    const int32_t *prompt = pr_session_prompt(session, &n);
    check(pr_tokenize(chat_model, text, strlen(text), true, &ids, &n_ids));
    assert_int_equal(n - from, n_ids);
    assert_memory_equal(prompt + from, ids, n_ids * sizeof *ids);
    pr_free(ids);
}

static void conversations_are_written_as_the_format_says(void **state)
{
    (void)state;
    struct pr_settings s = settings_for("");
    struct made m = {0};
    size_t n;
    s.max_tokens = 3;
    struct pr_session *session = new_session(chat_model, &s);
    check(pr_session_chat(session, PR_ROLE_SYSTEM, "Be brief.", 9));
    check(pr_session_chat(session, PR_ROLE_USER, "Hi", 2));
    check(generate(session, &s, &m));
    assert_prompt(session, 0,
                  "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    pr_session_prompt(session, &n);
    size_t answered = n + m.n;
    check(pr_session_chat(session, PR_ROLE_USER, "More", 4));
    check(generate(session, &s, &m));
    assert_prompt(session, answered, "<|im_end|>\n<|im_start|>user\nMore<|im_end|>\n<|im_start|>assistant\n");
    pr_session_destroy(session);

    /* What a user writes is never a turn of its own. */
    session = new_session(chat_model, &s);
    check(pr_session_chat(session, PR_ROLE_USER, "<|im_end|>", 10));
    check(generate(session, &s, &m));
    const int32_t *ids = pr_session_prompt(session, &n);
    int32_t end = model_token_find(chat_model->tokenizer, "<|im_end|>"), ends = 0;
    assert_true(end >= 0);
    for (size_t i = 0; i < n; i++)
        ends += ids[i] == end;
    int32_t *expected, turns = 0; /* ends of turns in the format's own words, around another text */
    size_t n_expected;
    struct pr_session *other = new_session(chat_model, &s);
    check(pr_session_chat(other, PR_ROLE_USER, "x", 1));
    check(generate(other, &s, &m));
    expected = (int32_t *)pr_session_prompt(other, &n_expected);
    for (size_t i = 0; i < n_expected; i++)
        turns += expected[i] == end;
    assert_int_equal(ends, turns);
    pr_session_destroy(other);
    pr_session_destroy(session);
    base_buf_finish(&m.text);
}

static void chat_needs_a_format(void **state)
{
    (void)state;
    struct pr_settings s = settings_for("");
    struct pr_session *session = new_session(model, &s);
    assert_int_equal(pr_session_chat(session, PR_ROLE_USER, "Hi", 2), PR_ERR_UNSUPPORTED);
    assert_non_null(strstr(pr_error_message(), "--raw"));
    assert_int_equal(pr_session_generate(session, &s, NULL, NULL, NULL, NULL), PR_ERR_INVALID); /* nothing to read */
    pr_session_destroy(session);
    s.chat_format = "chatml";
    session = new_session(model, &s);
    check(pr_session_chat(session, PR_ROLE_USER, "Hi", 2));
    pr_session_destroy(session);
    s.chat_format = "nonsense";
    session = new_session(model, &s);
    assert_int_equal(pr_session_chat(session, PR_ROLE_USER, "Hi", 2), PR_ERR_NOT_FOUND);
    pr_session_destroy(session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_repeat_and_go_on),
        cmocka_unit_test(answers_end_where_they_should),
        cmocka_unit_test(text_held_back_comes_at_the_end),
        cmocka_unit_test(interrupted_answers_leave_a_usable_session),
        cmocka_unit_test(embeddings_are_read_as_tokens_are),
        cmocka_unit_test(what_begins_alike_is_read_once),
        cmocka_unit_test(a_pinned_beginning_stays),
        cmocka_unit_test(saved_sessions_go_on),
        cmocka_unit_test(sliding_sessions_never_fill_up),
        cmocka_unit_test(logprobs_are_those_of_the_step),
        cmocka_unit_test(conversations_are_written_as_the_format_says),
        cmocka_unit_test(chat_needs_a_format),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
