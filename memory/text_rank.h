/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How well a passage fits a question's words: BM25 (k1 1.2, b 0.75) as an FTS5 function, with three additions. A passage counts as
 * having at least an average one's length in words, so that a heading of one word doesn't win by being short; words that stand together in the question
 * and in the passage count again; and what the passage lacks of the question (rare words weigh more) lowers its rank.
 */
#pragma once

struct sqlite3;

/* Registers passage_rank(TABLE), ascending as SQLite's own rank is, and passage_coverage(TABLE), the share of the question's words
 * that the passage has, 0 to 1, rare ones weighing more. Returns an SQLite code. */
int memory_text_rank_register(struct sqlite3 *db);
