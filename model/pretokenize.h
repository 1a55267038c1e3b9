/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a byte-level tokenizer does to text before merging: normalization, and cutting it into words, across which nothing is
 * merged. A family is one row of the table in pretokenize.c. Part of the tokenizer; the only place that knows PCRE2.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct pretokenizer; /* immutable once made; may be shared between threads */

/* The pre-tokenizer that tokenizer.ggml.pre names. PR_ERR_UNSUPPORTED: none of that name (the message doesn't name the file). */
int model_pretokenizer_create(const char *name, size_t len, struct pretokenizer **out);
void model_pretokenizer_destroy(struct pretokenizer *pretokenizer); /* takes NULL */

bool model_pretokenizer_normalizes(const struct pretokenizer *pretokenizer);  /* text goes through NFC first */
bool model_pretokenizer_whole_words(const struct pretokenizer *pretokenizer); /* a word that is a token isn't merged */
bool model_pretokenizer_begins_bos(const struct pretokenizer *pretokenizer);  /* bos unless the file says otherwise */

/* Where words end, in bytes from the beginning of the text, ascending. Zero-initialised is empty; keep it from one text to
 * the next. */
struct words {
    size_t *ends;
    size_t n, cap;
};
void model_words_finish(struct words *words);

/* Sets *words to the words of text, which must be well-formed UTF-8; they cover all of it. */
int model_pretokenize(const struct pretokenizer *pretokenizer, const char *text, size_t size, struct words *words);
