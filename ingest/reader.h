/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a reader of one kind of source supplies. A new kind is one file and one row in source.c.
 */
#pragma once

#include "ingest/source.h"

#include <stdbool.h>

struct ingest_reader {
    const char *kind;
    size_t priv_size; /* zeroed memory that each source of this kind gets */
    /* Whether the file's first bytes look like this kind; never by its name. */
    bool (*probe)(const unsigned char *head, size_t len);
    int (*open)(void *priv, const char *path, struct ingest_info *info);
    int (*next)(void *priv, struct ingest_unit *unit);
    void (*close)(void *priv); /* also after a failed open */
};

extern const struct ingest_reader ingest_pdf, ingest_text;

/* Lines of a unit that a reader collects; reset keeps the memory of the array. */
struct ingest_lines {
    struct ingest_line *lines;
    size_t n, cap;
};
void ingest_lines_add(struct ingest_lines *lines, const char *text, size_t len, struct base_box box);
void ingest_lines_reset(struct ingest_lines *lines);
void ingest_lines_finish(struct ingest_lines *lines);
