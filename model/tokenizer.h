/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Text to token ids and back, equal to the model's own tokenizer (Hugging Face `tokenizers` is the reference): byte-level BPE
 * ("gpt2" in GGUF) with the pre-tokenizer that the file names, and SentencePiece-style BPE ("llama"). MODEL.md tells how.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gguf;
struct tokenizer; /* immutable once made; may be shared between threads */

/* A growing list of token ids. Zero-initialised is empty. */
struct tokens {
    int32_t *ids;
    size_t n, cap;
};
void model_tokens_append(struct tokens *tokens, const int32_t *ids, size_t n);
void model_tokens_finish(struct tokens *tokens); /* frees; empty again */

/* Reads tokenizer.ggml.*; the gguf may be closed afterwards. PR_ERR_FORMAT: keys missing or inconsistent (a BPE without
 * merges, ids out of range); PR_ERR_UNSUPPORTED: unknown model or pre-tokenizer (named in the message, never guessed). */
int model_tokenizer_create(const struct gguf *gguf, struct tokenizer **out);
void model_tokenizer_destroy(struct tokenizer *tokenizer); /* takes NULL */

enum tokenize_flags {
    TOKENIZE_SPECIAL = 1, /* text of control tokens becomes those tokens: only for text that we wrote (templates) */
    TOKENIZE_BOS = 2,     /* begin with the bos token if the model wants one (add_bos_token) */
    TOKENIZE_FIRST = 4    /* the text begins a sequence: SentencePiece's space prefix applies */
};
/* Appends the tokens of text (any bytes; need not be UTF-8). Long texts are fine: cost is near-linear. Byte-level BPE gives the
 * same bytes back, except that the Qwen families compose to Unicode NFC first and that bytes without a token are left out.
 * A bos is not added to a text that begins with it. PR_ERR_INVALID: 1 GiB or more; PR_ERR_NOMEM. On failure out is as it was. */
int model_tokenize(const struct tokenizer *tokenizer, const char *text, size_t len, unsigned flags, struct tokens *out);

/* A text in parts, tokenized as one: tokens may stretch over borders, as they do when a chat template writes the whole text.
 * Only the text of control tokens is looked for within parts that are `special`, and never across a border. */
struct tokenize_part {
    const char *text;
    size_t len;
    bool special;
};
/* As model_tokenize() of the parts one after another; TOKENIZE_SPECIAL in flags is ignored. */
int model_tokenize_parts(const struct tokenizer *tokenizer, const struct tokenize_part *parts, size_t n, unsigned flags,
                         struct tokens *out);

/* The bytes that a token stands for; may be a part of a UTF-8 character. Special tokens: their text. *len may be 0.
 * An id outside the vocabulary gives len 0. The memory belongs to the tokenizer; it isn't NUL-terminated. */
const char *model_token_bytes(const struct tokenizer *tokenizer, int32_t id, size_t *len);

/* The token that begins a sequence, or -1. */
int32_t model_tokenizer_bos(const struct tokenizer *tokenizer);
int32_t model_tokenizer_n_vocab(const struct tokenizer *tokenizer);
bool model_token_is_special(const struct tokenizer *tokenizer, int32_t id); /* control or unknown */
bool model_token_is_end(const struct tokenizer *tokenizer, int32_t id); /* eos, eot, eom or a known end-of-turn text */
/* The id of the token that stands for this text, or -1; control and user-defined tokens first. */
int32_t model_token_find(const struct tokenizer *tokenizer, const char *text);
