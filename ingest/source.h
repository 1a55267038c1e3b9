/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Opens a file and gives its units, one after the other, each with the span that it came from. Kinds of source are rows of the
 * table in source.c; each has a reader of its own (pdf.c, text.c).
 */
#pragma once

#include "base/error.h"
#include "base/span.h"

#include <stddef.h>

struct ingest_source; /* belongs to one thread at a time */

struct ingest_info {
    const char *kind;  /* "pdf", "text" */
    int32_t n_pages;   /* 0: not known before the end */
    const char *title; /* "" when the source names none */
};

/* A line of exact text, in reading order. */
struct ingest_line {
    char *text; /* valid UTF-8, no line break */
    struct base_box box;
};

/* A page. Its memory belongs to the source and is valid until the next call. */
struct ingest_unit {
    struct base_span span; /* span.source is 0: the caller numbers its sources */
    const char *label;     /* the page's printed label ("iv"), or NULL */
    double width, height;  /* points */
    const struct ingest_line *lines;
    size_t n_lines;
};

/* On success the caller owns *out. PR_ERR_IO: can't be read; PR_ERR_FORMAT: damaged, or encrypted; PR_ERR_UNSUPPORTED: no reader
 * knows this kind of file (the message lists the kinds). */
int ingest_open(const char *path, struct ingest_source **out);
void ingest_close(struct ingest_source *source); /* takes NULL */

const struct ingest_info *ingest_info(const struct ingest_source *source);

/* PR_OK with the next unit, PR_EOF at the end. A page that can't be read is an error; the next call goes on behind it. */
int ingest_next(struct ingest_source *source, struct ingest_unit *unit);
