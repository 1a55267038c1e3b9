/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Chat formats: what a model family writes around messages. A family is one row of the table in chat.c. The template text in
 * a GGUF is not executed; it is only looked at to recognise the family.
 */
#pragma once

#include "base/mem.h"
#include "model/tokenizer.h"

struct chat_format; /* a static row; two conversations may share it */

enum chat_role { CHAT_SYSTEM, CHAT_USER, CHAT_ASSISTANT };

/* One item of a message: text, or a place for media whose words and tokens vision supplies. */
struct chat_item {
    const char *text; /* NULL: media */
    size_t len;
    int media;  /* index into the caller's list of media, when text is NULL */
    bool video; /* the medium is a video, which begins with words of its own */
};
struct chat_message {
    enum chat_role role;
    const struct chat_item *items;
    size_t n_items;
};

/* One piece of the rendered prompt, in order; neighbours are never both ours. Text that pagereel wrote (`ours`) may hold
 * control tokens; text that came from the user or from media may not, so it can't forge a turn. Tokenize the texts between
 * two media together with model_tokenize_parts(), `ours` being `special`: words stretch over the borders of pieces. */
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
bool model_chat_takes_system(const struct chat_format *format); /* false: put it into the first user message */

/* Appends messages[0..n) to `out`, as the family's own template does. first: the conversation begins here (bos text, default
 * system prompt). add_generation: end with the header of the assistant's turn. A system message stands first or nowhere.
 * PR_ERR_INVALID: roles out of the order that the format allows; then `out` is as it was. */
int model_chat_render(const struct chat_format *format, const struct chat_message *messages, size_t n, bool first,
                      bool add_generation, struct chat_pieces *out);
