/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Chat formats: what a model family writes around messages. A family is one row of the table in chat.c. The template text in
 * a GGUF is not executed; it is only looked at to recognise the family.
 */
#pragma once

#include "base/mem.h"
#include "model/tokenizer.h"

struct chat_format; /* a static row */

enum chat_role { CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT };

/* One item of a message: text, or a place for media whose words and tokens vision supplies. */
struct chat_item {
    const char *text; /* NULL: media */
    size_t len;
    int media; /* index into the caller's list of media, when text is NULL */
};
struct chat_message {
    enum chat_role role;
    const struct chat_item *items;
    size_t n_items;
};

/* One piece of the rendered prompt, in order. Text that pagereel wrote (`ours`) is tokenized with TOKENIZE_SPECIAL; text
 * that came from the user or from media is not, so it can't forge a turn. */
struct chat_piece {
    bool ours;
    char *text; /* owned by the list; NULL: media */
    size_t len;
    int media;
};
struct chat_pieces {
    struct chat_piece *pieces;
    size_t n, cap;
};
void model_chat_pieces_finish(struct chat_pieces *pieces);

/* The format of a model: by its chat template, architecture and name. Without a template: NULL (a base model; the caller
 * prompts it raw and says so). PR_ERR_UNSUPPORTED: a template that no row recognises; the message says to use --raw or
 * --chat-format NAME. */
int model_chat_detect(const struct gguf *gguf, const struct chat_format **out);
const struct chat_format *model_chat_by_name(const char *name); /* NULL if unknown */
const char *model_chat_name(const struct chat_format *format);

/* Appends messages[0..n) to `out`. first: the conversation begins here (bos text, default system prompt). add_generation:
 * end with the header of the assistant's turn. PR_ERR_INVALID: roles out of the order that the format allows. */
int model_chat_render(const struct chat_format *format, const struct chat_message *messages, size_t n, bool first,
                      bool add_generation, struct chat_pieces *out);
