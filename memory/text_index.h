/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Finds passages of exact text by the words of a question: BM25 over an SQLite FTS5 table. The index is derived from the
 * passages and can be thrown away and made again.
 */
#pragma once

#include "base/error.h"
#include "pagereel/source.h"

#include <stddef.h>

struct text_index; /* belongs to one thread at a time */

/* An index in memory. The caller owns *out. */
int memory_text_index_create(struct text_index **out);
void memory_text_index_destroy(struct text_index *index); /* takes NULL */

/* Adds a passage (UTF-8). Passages are numbered from 0 in the order in which they are added. */
int memory_text_index_add(struct text_index *index, const char *text, size_t len);

struct text_hit {
    int64_t passage;
    double score; /* BM25, larger is better */
};
/* The at most k best passages that share a word with the question, best first; *n may be 0, which is no failure. The
 * question is words, never a query language. Chinese, Japanese and Korean are matched by pairs of characters. */
int memory_text_index_search(struct text_index *index, const char *question, size_t k, struct text_hit *hits,
                             size_t *n);
