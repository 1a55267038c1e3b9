/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * SentencePiece's byte-pair encoding ("llama" in GGUF): neighbours join to the token with the highest score; characters that
 * the vocabulary lacks fall back to tokens of single bytes. Kudo and Richardson, "SentencePiece", arXiv:1808.06226.
 * Part of the tokenizer.
 */
#pragma once

#include "model/merge.h"
#include "model/tokenizer.h"
#include "model/vocab.h"

struct spm;

/* Reads tokenizer.ggml.scores. `unknown`: the token for bytes without a token of their own, -1: none. `vocab` outlives *out.
 * PR_ERR_FORMAT: no scores, one that isn't finite, or neither byte tokens nor an unknown token. */
int model_spm_create(const struct gguf *gguf, const struct vocab *vocab, int32_t unknown, struct spm **out);
void model_spm_destroy(struct spm *spm); /* takes NULL */

/* Appends the tokens of text, which may be any bytes. PR_ERR_NOMEM. */
int model_spm_text(const struct spm *spm, const char *text, size_t len, struct merge_work *work, struct tokens *out);
