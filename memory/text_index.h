/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Finds passages of exact text by the words of a question: BM25 over an SQLite FTS5 table, in memory or in a file. The index is
 * derived from the evidence logs and can be thrown away and made again. Chinese, Japanese and Korean are cut into pairs of
 * characters, so that a word of two is found, which FTS5's own trigrams can't do.
 */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text_index; /* belongs to one thread at a time; several processes may open the same file */

/* Opens the index in a file, made if there is none, or one in memory (NULL). PR_ERR_FORMAT: the file is damaged; delete it and make
 * it again. The caller owns *out. */
int memory_text_index_open(const char *path, struct text_index **out);
void memory_text_index_close(struct text_index *index); /* takes NULL */

/* Adds a passage (UTF-8) by a number that no other has, or removes one: `text` must be what was added. */
int memory_text_index_add(struct text_index *index, int64_t id, const char *text, size_t len);
int memory_text_index_remove(struct text_index *index, int64_t id, const char *text, size_t len);

/* Changes between the two become visible together (keep), or not at all. */
int memory_text_index_begin(struct text_index *index);
int memory_text_index_end(struct text_index *index, bool keep);
/* Forgets all passages and marks; part of a change that has begun. */
int memory_text_index_clear(struct text_index *index);
/* Two numbers kept with the passages: how far something is indexed. Zeros when never marked. */
int memory_text_index_mark(struct text_index *index, int64_t key, const int64_t value[2]);
int memory_text_index_marked(struct text_index *index, int64_t key, int64_t value[2]);

struct text_hit {
    int64_t id;
    double score;    /* larger is better; memory/text_rank.h */
    double coverage; /* share of the question's words that it has, 0 to 1, rare ones weighing more */
};
/* Which passages may be found. */
struct text_range {
    int64_t first, last;                    /* numbers, both included */
    bool (*accept)(void *user, int64_t id); /* NULL: all of these */
    void *user;
};
/* The at most k best passages in range (NULL: any) that share a word with the question, best first; *n may be 0, which is no
 * failure. The question is words, never a query language. PR_ERR_FORMAT: as above. */
int memory_text_index_search(struct text_index *index, const char *question, const struct text_range *range, size_t k,
                             struct text_hit *hits, size_t *n);

/* The coverage that a passage must have of a question to have anything to do with it: measured by questions of people, answerable ones and
 * others (tools/recall_pages.py). Of questions in unspaced scripts it is lower, as pairs of characters stretch over the borders of words. */
double memory_least_coverage(const char *question);

/* Whether a word says nothing about what is asked for: the commonest function words of English, German, French and Spanish. */
bool memory_is_function_word(const char *word, size_t len);
