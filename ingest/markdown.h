/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The little of Markdown that decides where pages begin and where pictures stand. All of it works on any bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct markdown_picture {
    const char *alt;
    size_t alt_len;
    const char *path;
    size_t path_len;
    size_t begin, end; /* of the whole ![alt](path) within the line */
};

/* The first picture of a line. False: there is none. */
bool ingest_markdown_picture(const char *line, size_t len, struct markdown_picture *out);

/* 1..6 for a heading, otherwise 0. */
int ingest_markdown_heading(const char *line, size_t len);
