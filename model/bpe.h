/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Byte-level byte-pair encoding ("gpt2" in GGUF): merges in the order of their ranks. Part of the tokenizer.
 */
#pragma once

#include "model/merge.h"
#include "model/tokenizer.h"
#include "model/vocab.h"

struct bpe;

/* Reads tokenizer.ggml.merges; `vocab` outlives *out. PR_ERR_FORMAT: there are none, or one names a token that isn't in the
 * vocabulary. */
int model_bpe_create(const struct gguf *gguf, const struct vocab *vocab, struct bpe **out);
void model_bpe_destroy(struct bpe *bpe); /* takes NULL */

/* Appends the tokens of one word of a pre-tokenizer. whole_first: a word that is a token is that token, whatever the merges
 * would make of it. Bytes that the vocabulary lacks are left out, as Hugging Face `tokenizers` does. PR_ERR_NOMEM. */
int model_bpe_word(const struct bpe *bpe, const char *word, size_t len, bool whole_first, struct merge_work *work,
                   struct tokens *out);
