/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Messages of a session: their texts and pictures wait until they are rendered together, and become tokens and rows then.
 */
#include "engine/session.h"

#include "base/mem.h"

#include <string.h>

void engine_session_forget_messages(struct pr_session *s)
{
    for (size_t i = 0; i < s->n_messages; i++) {
        for (size_t j = 0; j < s->messages[i].n_items; j++)
            base_free((char *)s->messages[i].items[j].text);
        base_free(s->messages[i].items);
    }
    s->n_messages = 0;
    engine_media_finish(&s->media);
}

static int need_format(struct pr_session *s)
{
    if (s->format)
        return PR_OK;
    if (*s->format_name) {
        s->format = model_chat_by_name(s->format_name);
        return s->format ? PR_OK : base_fail(PR_ERR_NOT_FOUND, "there is no chat format '%.60s'", s->format_name);
    }
    int err = model_chat_detect(s->model->gguf, &s->format);
    if (err < 0)
        return err;
    if (!s->format)
        return base_fail(PR_ERR_UNSUPPORTED, "%s: a base model without chat format; use --raw, or --chat-format NAME",
                         s->model->path);
    return PR_OK;
}

static void forget_items(struct chat_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        base_free((char *)items[i].text);
    base_free(items);
}

static int add_text_item(struct chat_item *out, const struct pr_item *item)
{
    char *copy = base_try_alloc(item->len + 1, 1);
    if (!copy)
        return base_fail(PR_ERR_NOMEM, "no memory for a message of %zu bytes", item->len);
    memcpy(copy, item->text, item->len);
    *out = (struct chat_item){.text = copy, .len = item->len};
    return PR_OK;
}

/* Items as chat formats take them. Media are read; a document becomes a medium for each page. */
static int take_items(struct pr_session *s, const struct pr_item *items, size_t n, const struct pr_settings *given,
                      struct pr_cancel *cancel, struct chat_item **out, size_t *n_out)
{
    int err;
    struct pr_settings settings;
    size_t before = s->media.n, n_taken = 0;
    struct chat_item *taken = base_alloc_array(n + 1, sizeof *taken);
    TRY(engine_settings(given, &settings));
    for (size_t i = 0; i < n; i++) {
        if (items[i].kind == PR_ITEM_TEXT) {
            TRY(add_text_item(&taken[n_taken], &items[i]));
            n_taken++;
            continue;
        }
        size_t first = s->media.n;
        TRY(engine_need_vision(s->model));
        TRY(engine_media_read(&s->media, &s->model->vision, items[i].kind, items[i].text, &settings, cancel));
        taken = base_realloc(taken, (n + 1 + s->media.n - before) * sizeof *taken);
        for (size_t m = first; m < s->media.n; m++)
            taken[n_taken++] = (struct chat_item){.media = (int)m, .video = s->media.media[m].video};
    }
    *out = taken;
    *n_out = n_taken;
    return PR_OK;
fail:
    engine_media_cut(&s->media, before);
    forget_items(taken, n_taken);
    return err;
}

int pr_session_chat_items(struct pr_session *s, enum pr_role role, const struct pr_item *items, size_t n,
                          const struct pr_settings *settings, struct pr_cancel *cancel)
{
    static const enum chat_role roles[] = {CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT};
    struct message message;
    int err;
    TRY(need_format(s));
    if ((unsigned)role > PR_ROLE_ASSISTANT)
        return base_fail(PR_ERR_INVALID, "there is no role number %d", (int)role);
    message.role = roles[role];
    TRY(take_items(s, items, n, settings, cancel, &message.items, &message.n_items));
    s->messages = base_realloc(s->messages, (s->n_messages + 1) * sizeof *s->messages);
    s->messages[s->n_messages++] = message;
    return PR_OK;
fail:
    return err;
}

int pr_session_chat(struct pr_session *s, enum pr_role role, const char *text, size_t len)
{
    struct pr_item item = {.kind = PR_ITEM_TEXT, .text = text, .len = len};
    return pr_session_chat_items(s, role, &item, 1, NULL, NULL);
}

/* Parts of text that wait to be tokenized together. */
struct parts {
    struct tokenize_part *parts;
    size_t n;
};

static void add_part(struct parts *p, const char *text, size_t len, bool special)
{
    if (!(p->n & (p->n - 1)))
        p->parts = base_realloc(p->parts, (p->n ? 2 * p->n : 1) * sizeof *p->parts);
    p->parts[p->n++] = (struct tokenize_part){text, len, special};
}

static int flush_parts(struct pr_session *s, struct parts *p)
{
    int err;
    struct tokens tokens = {0};
    if (p->n == 0)
        return PR_OK;
    TRY(engine_need_tokenizer(s->model));
    TRY(model_tokenize_parts(s->model->tokenizer, p->parts, p->n, s->history.n == 0 ? TOKENIZE_FIRST | TOKENIZE_BOS : 0,
                             &tokens));
    engine_session_add_ids(s, tokens.ids, tokens.n);
    p->n = 0;
    err = PR_OK;
fail:
    model_tokens_finish(&tokens);
    return err;
}

/* The words and the visual tokens of a medium; the session takes the rows over. */
static int add_medium(struct pr_session *s, const struct engine_medium *m, struct parts *parts)
{
    int err = PR_OK;
    for (size_t i = 0; i < m->n_runs; i++) {
        struct engine_run *run = &m->runs[i];
        if (run->text) {
            add_part(parts, run->text, strlen(run->text), true);
            continue;
        }
        TRY(flush_parts(s, parts));
        if (s->n_runs == s->cap_runs) {
            s->cap_runs = s->cap_runs ? 2 * s->cap_runs : 4;
            s->runs = base_realloc(s->runs, s->cap_runs * sizeof *s->runs);
        }
        s->runs[s->n_runs++] = run->frames ? (struct pr_visual_run){s->history.n, (size_t)run->n, run->frames,
                                                                    run->grid_rows, run->grid_cols}
                                           : (struct pr_visual_run){s->history.n, (size_t)run->n, 1, 1, run->n};
        s->runs[s->n_runs - 1].partial = m->partial;
        engine_session_add_rows(s, run->rows, run->n, run->positions, run->advance);
        run->rows = NULL;
        run->positions = NULL;
    }
fail:
    return err;
}

/* Pieces from number `from` on. What stands between two pictures is tokenized as one text. */
static int add_rendered(struct pr_session *s, const struct chat_pieces *pieces, size_t from)
{
    int err;
    struct parts parts = {0};
    for (size_t i = from; i < pieces->n; i++) {
        const struct chat_piece *piece = &pieces->pieces[i];
        if (piece->text)
            add_part(&parts, piece->text, piece->len, piece->ours);
        else
            TRY(add_medium(s, &s->media.media[piece->media], &parts));
    }
    TRY(flush_parts(s, &parts));
fail:
    base_free(parts.parts);
    return err;
}

int pr_session_raw_items(struct pr_session *s, const struct pr_item *items, size_t n, bool special,
                         const struct pr_settings *settings, struct pr_cancel *cancel)
{
    int err;
    struct chat_item *taken = NULL;
    size_t n_taken = 0;
    struct chat_pieces pieces = {0};
    TRY(take_items(s, items, n, settings, cancel, &taken, &n_taken));
    pieces.pieces = base_alloc_array(n_taken + 1, sizeof *pieces.pieces);
    for (size_t i = 0; i < n_taken; i++)
        pieces.pieces[pieces.n++] = (struct chat_piece){special, (char *)taken[i].text, taken[i].len, taken[i].media};
    TRY(add_rendered(s, &pieces, 0));
fail:
    base_free(pieces.pieces);
    forget_items(taken, n_taken);
    if (s->n_messages == 0)
        engine_media_finish(&s->media);
    return err;
}

int engine_session_parts(struct pr_session *s, enum pr_role role, struct engine_part *parts, size_t n, bool raw)
{
    static const enum chat_role roles[] = {CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT};
    int err;
    struct chat_pieces pieces = {0};
    struct chat_item *items = base_alloc_array(n + 1, sizeof *items);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].text) {
            char *copy = base_alloc(parts[i].len + 1);
            memcpy(copy, parts[i].text, parts[i].len);
            items[i] = (struct chat_item){.text = copy, .len = parts[i].len};
            continue;
        }
        s->media.media = base_realloc(s->media.media, (s->media.n + 1) * sizeof *s->media.media);
        s->media.media[s->media.n] = (struct engine_medium){.runs = parts[i].runs, .n_runs = parts[i].n_runs};
        parts[i].runs = NULL;
        items[i] = (struct chat_item){.media = (int)s->media.n++};
    }
    if (!raw) {
        TRY(need_format(s));
        s->messages = base_realloc(s->messages, (s->n_messages + 1) * sizeof *s->messages);
        s->messages[s->n_messages++] = (struct message){roles[role], items, n};
        return PR_OK;
    }
    pieces.pieces = base_alloc_array(n + 1, sizeof *pieces.pieces);
    for (size_t i = 0; i < n; i++)
        pieces.pieces[pieces.n++] = (struct chat_piece){false, (char *)items[i].text, items[i].len, items[i].media};
    TRY(add_rendered(s, &pieces, 0));
fail:
    base_free(pieces.pieces);
    forget_items(items, n);
    if (s->n_messages == 0)
        engine_media_finish(&s->media);
    return err;
}

const struct pr_visual_run *pr_session_visual(const struct pr_session *s, size_t *n)
{
    *n = s->n_runs;
    return s->runs;
}

/* What the format writes behind an answer: the end of a rendered one. */
static int close_answer(struct pr_session *s)
{
    int err;
    struct chat_pieces pieces = {0};
    struct chat_item item = {.text = "x", .len = 1};
    struct chat_message answer = {CHAT_ASSISTANT, &item, 1};
    TRY(model_chat_render(s->format, &answer, 1, false, false, &pieces));
    size_t tail = 0;
    for (size_t i = 0; i < pieces.n; i++)
        if (!pieces.pieces[i].ours)
            tail = i + 1;
    TRY(add_rendered(s, &pieces, tail));
    s->answer_open = false;
    model_chat_pieces_finish(&pieces);
    return PR_OK;
fail:
    model_chat_pieces_finish(&pieces);
    return err;
}

int engine_session_render(struct pr_session *s, bool answer)
{
    int err;
    struct chat_pieces pieces = {0};
    if (s->n_messages == 0)
        return PR_OK;
    struct chat_message *messages = base_alloc_array(s->n_messages, sizeof *messages);
    for (size_t i = 0; i < s->n_messages; i++)
        messages[i] = (struct chat_message){s->messages[i].role, s->messages[i].items, s->messages[i].n_items};
    if (s->answer_open)
        TRY(close_answer(s));
    TRY(model_chat_render(s->format, messages, s->n_messages, !s->began, answer, &pieces));
    TRY(add_rendered(s, &pieces, 0));
    s->began = true;
    s->answer_open = answer;
    engine_session_forget_messages(s);
    err = PR_OK;
fail:
    model_chat_pieces_finish(&pieces);
    base_free(messages);
    return err;
}
