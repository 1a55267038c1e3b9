/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a reader of one kind of source supplies. Readers run in the worker process only. A new kind is one file, a row in kinds.c
 * and its name in the list of a worker program (readers_*.c).
 */
#pragma once

#include "ingest/source.h"

struct ingest_reader {
    const char *kind; /* its name in kinds.c */
    size_t priv_size; /* zeroed memory that each source of this kind gets */
    /* Fills info; its strings and lists live in priv until close. */
    int (*open)(void *priv, const char *path, const struct ingest_options *options, struct pr_source_info *info);
    /* Fills the unit; its memory lives in priv until the next call. PR_EOF at the end. */
    int (*next)(void *priv, struct pr_unit *unit);
    void (*close)(void *priv); /* also after a failed open */
};

/* The readers of this worker program, up to NULL. */
extern const struct ingest_reader *const ingest_readers[];

/* Tells the watchdog that a long step still moves: the position as ingest_position() gives it. Cheap; call it often. */
void ingest_report(int64_t position);

/* Lines of a unit that a reader collects; reset keeps the memory of the array. Text is cleaned on the way in: broken UTF-8
 * and control characters become U+FFFD and blanks. */
struct ingest_lines {
    struct pr_line *lines;
    size_t n, cap;
};
void ingest_lines_add(struct ingest_lines *lines, const char *text, size_t len, struct pr_box box);
void ingest_lines_reset(struct ingest_lines *lines);
void ingest_lines_finish(struct ingest_lines *lines);
