/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What recall needs of a source, in one flat file beside its log, so that a question opens no log but those that it shows something of:
 * what the log says of itself, its setups, and of every segment its span and sizes, with a small stand-in of the mean of its visual
 * tokens. Derived: made from the log when it is missing, damaged, of another version, or when the log's file isn't the one that it was
 * made from (by inode, size and time), and mapped otherwise. Nothing in it is trusted: a segment that is chosen is read from the log, by
 * its number.
 */
#pragma once

#include "memory/library.h"

enum { RECALL_MEAN = 128 };

struct recall_segment { /* 192 bytes, also on the disk */
    uint64_t number, setup;
    int64_t t0, t1; /* microseconds or PR_TIME_NONE */
    int32_t page;   /* or PR_PAGE_NONE */
    uint32_t kind;  /* enum evidence_kind */
    uint32_t n_tokens, n_lines;
    int32_t tile; /* 1: a tile of a page, of which the whole picture is another segment */
    int32_t stream;
    uint32_t n_raw, reserved;
    int8_t mean[RECALL_MEAN]; /* memory/sketch.h of the mean, times 127 */
};
/* The same of another row: the sketch of rows [1, columns], times 127. */
void memory_recall_sketch(const float *row, size_t columns, int8_t out[RECALL_MEAN]);
/* The cosine of a segment's mean and that row, about. */
float memory_recall_like(const struct recall_segment *segment, const int8_t sketch[RECALL_MEAN]);

/* What a log says of itself (evidence.h), as of when the index was made. */
struct recall_summary { /* also on the disk */
    struct evidence_progress progress;
    int64_t start, duration; /* of its source: microseconds or PR_TIME_NONE */
    int64_t n_pages;
    uint64_t damage;  /* places where opening it showed that something was lost */
    uint64_t damaged; /* segments that can't be read, and aren't in the index */
};

struct recall_index;

/* The index of a source's log, brought up to what the log holds. PR_ERR_IO: it can't be written; PR_ERR_NOMEM; or as
 * memory_library_evidence(), when it has to be made. The caller owns *out. */
int memory_recall_open(struct library *library, const struct library_source *source, struct recall_index **out);
void memory_recall_close(struct recall_index *index); /* takes NULL */
const struct recall_summary *memory_recall_summary(const struct recall_index *index);
/* In the order of the log. */
const struct recall_segment *memory_recall_segments(const struct recall_index *index, size_t *n);
/* The log's setups in their order, NULL behind the last one; without their texts. *complete: the source was looked at to its end. */
const struct evidence_setup *memory_recall_setup_at(const struct recall_index *index, size_t i, bool *complete);
