/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The inside of a session, and what the files of engine/ do with one beyond the public functions: visual tokens that were prepared
 * elsewhere inside of messages, prompts that begin as the last one did, and sinks that are exactly a prompt's beginning.
 */
#pragma once

#include "engine/model.h"

/* A run of input that the model hasn't read yet. */
struct unread {
    size_t first; /* in session->history */
    int32_t n;
    float *rows;       /* NULL: the ids of the history */
    int32_t *position; /* of rows, or NULL */
    int32_t advance;
};

/* A message that waits to be rendered with those around it: formats put system and user messages together. */
struct message {
    enum chat_role role;
    struct chat_item *items; /* texts are the message's own; media count in session->media */
    size_t n_items;
};

struct pr_session {
    struct pr_model *model;
    struct llm_kv *kv;
    struct llm_sequence *sequence;
    const struct chat_format *format; /* NULL until it is needed */
    char *format_name;                /* "": as the model says */
    struct message *messages;
    size_t n_messages;
    bool began;            /* the conversation's beginning was rendered */
    bool answer_open;      /* the assistant's turn has to be closed before the next message */
    struct tokens history; /* everything that was added or generated; -1: an embedding row */
    size_t n_prompt;
    struct engine_media media; /* of messages that wait */
    struct pr_visual_run *runs;
    size_t n_runs, cap_runs;
    struct unread *unread;
    size_t n_unread, cap_unread;
    float *logits;   /* [n_vocab] */
    uint64_t *marks; /* [history.n]: what each token is: its id, or a hash of its embedding row */
    uint64_t *known; /* [n_known]: of an earlier prompt that is still in the cache */
    size_t cap_marks, n_known;
    size_t n_reused; /* tokens of the last prompt that were in the cache already */
};

/* A part of a message: text (without control tokens), or a picture that was prepared elsewhere, whose runs are taken over. */
struct engine_part {
    const char *text; /* NULL: a picture */
    size_t len;
    struct engine_run *runs;
    size_t n_runs;
};
/* As pr_session_chat_items() of such parts; with settings->raw as pr_session_raw_items(). Takes over all runs, on failure, too. */
int engine_session_parts(struct pr_session *session, enum pr_role role, struct engine_part *parts, size_t n, bool raw);

/* Forgets the conversation, but not what the cache holds: as far as the next prompt begins in the same way, it isn't read again. */
void engine_session_restart(struct pr_session *session);

/* Makes what was added so far the sinks of a sliding session, which must not have read anything: the beginning stays for ever, and
 * behind it the window slides. PR_ERR_INVALID: it doesn't slide, or there is more than the sinks that it was made for. */
int engine_session_pin(struct pr_session *session);

/* What session.c and session_chat.c do for each other. Rows and positions are taken over. */
void engine_session_add_ids(struct pr_session *session, const int32_t *ids, size_t n);
void engine_session_add_rows(struct pr_session *session, float *rows, int32_t n, int32_t *positions, int32_t advance);
/* Renders the messages that wait; answer: and the header of the answer. */
int engine_session_render(struct pr_session *session, bool answer);
void engine_session_forget_messages(struct pr_session *session);

/* Renders the messages that wait and reads all that is unread. */
int engine_session_read(struct pr_session *session);
/* Appends to the history what the cache holds already; -1: an embedding row. */
void engine_session_remember(struct pr_session *session, const int32_t *ids, size_t n);

/* Forgets which tokens were read before the last `keep`, of a session that goes on for ever: what the cache holds stays. The session can't be
 * saved or restarted then. */
void engine_session_forget_past(struct pr_session *session, size_t keep);

/* Tokens that the sequence has read so far. */
int64_t engine_session_length(const struct pr_session *session);
