/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whole files and streams.
 */
#pragma once

#include "base/error.h"
#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>

/* Appends all that is left of `stream` to *out. `name` is for messages. PR_ERR_NOMEM: more than `max` bytes; PR_ERR_IO.
 * On failure *out is unchanged. */
int base_file_read_stream(FILE *stream, const char *name, size_t max, struct base_buf *out);
/* The same for a file. PR_ERR_NOT_FOUND: there is none. */
int base_file_read(const char *path, size_t max, struct base_buf *out);

/* An ordinary file in memory, to be read. */
struct base_map {
    const void *data; /* NULL: the file is empty */
    size_t size;
};
/* Maps a file; whoever truncates it meanwhile takes pages away. PR_ERR_NOT_FOUND; PR_ERR_IO: it isn't an ordinary file, or can't be read. The
 * caller unmaps *out. */
int base_file_map(const char *path, struct base_map *out);
void base_file_unmap(struct base_map *map); /* takes what was never mapped, all zeros */
