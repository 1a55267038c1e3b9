/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The vocabulary of a GGUF file as bytes: what each token stands for in text, with the GPT-2 alphabet and SentencePiece's
 * U+2581 already undone, so that nothing behind this file knows of them. Part of the tokenizer.
 */
#pragma once

#include "base/error.h"
#include "model/gguf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum token_type {
    TOKEN_NORMAL = 1,
    TOKEN_UNKNOWN = 2,
    TOKEN_CONTROL = 3,
    TOKEN_USER_DEFINED = 4,
    TOKEN_UNUSED = 5,
    TOKEN_BYTE = 6
};

enum vocab_kind { VOCAB_BYTE_LEVEL, VOCAB_SENTENCEPIECE };

/* Longer added tokens than this are refused: they would make the search for them slow. */
enum { VOCAB_MAX_ADDED = 1024 };

/* Tables in which entries stand further from their place than this, on average over the slots, are refused: chance gives less
 * than 1, and only a file that was made for it gives more. */
enum { VOCAB_CROWDED = 8 };

/* Finds tokens by their bytes (open addressing; free slots are -1). */
struct vocab_index {
    int32_t *slots;
    size_t mask;
    size_t longest; /* bytes of the longest token in it */
    size_t crowded; /* how far tokens stand from where they belong, in all */
};

struct vocab {
    int32_t n;
    char *bytes;              /* of all tokens, back to back */
    size_t *start;            /* [n + 1]: token i is bytes[start[i]] up to start[i + 1] */
    uint8_t *type;            /* [n] enum token_type */
    int32_t byte_id[256];     /* the token of a single byte, -1: none */
    struct vocab_index words; /* normal tokens: what text is merged into */
    struct vocab_index added; /* control, unknown and user-defined tokens: what text is cut at before that */
    uint16_t added_from[256]; /* length of the longest added token with this first byte; 0: none */
};

/* Reads tokenizer.ggml.tokens and token_type (absent: all normal). Well-known control tokens, by their text, count as control
 * tokens whatever their type says. Of tokens with equal bytes the lowest id is found; empty ones are never found.
 * PR_ERR_FORMAT, PR_ERR_NOMEM; then there is nothing to finish. */
int model_vocab_init(struct vocab *vocab, const struct gguf *gguf, enum vocab_kind kind);
void model_vocab_finish(struct vocab *vocab);

static inline const char *model_vocab_bytes(const struct vocab *vocab, int32_t id, size_t *len)
{
    *len = vocab->start[id + 1] - vocab->start[id];
    return vocab->bytes + vocab->start[id];
}

/* The id of the token with these bytes, or -1. */
int32_t model_vocab_word(const struct vocab *vocab, const char *bytes, size_t len);
int32_t model_vocab_added(const struct vocab *vocab, const char *bytes, size_t len);

/* The longest added token that text begins with, or -1; *len is its length. Control and unknown tokens count only if they
 * end within the first `control` bytes. */
int32_t model_vocab_added_at(const struct vocab *vocab, const char *text, size_t size, size_t control, size_t *len);

/* Undoes the GPT-2 alphabet; `out` has room for `size` bytes. False if text has a character outside of that alphabet. */
bool model_vocab_unmap(const char *text, size_t size, char *out, size_t *len);

/* True for texts of control tokens that end a turn, such as <|im_end|>. */
bool model_vocab_is_end_text(const char *text, size_t len);
