/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Maps GGUF files into memory. Only model/gguf.c includes this.
 */
#pragma once

#include "model/gguf.h"

#include <stdint.h>

/* Maps a file for reading; the caller owns *out and its copy of the path. PR_ERR_IO: it can't be opened or mapped, or isn't an
 * ordinary file. An empty file is not mapped: data NULL, size 0. */
int model_gguf_file_map(const char *path, struct gguf_file *out);

/* The same of part `no` (from 0) of a set of `count`, given the path of its first part: NAME-00001-of-00003.gguf.
 * PR_ERR_FORMAT: the first part has another name, so the others can't be found. */
int model_gguf_file_map_part(const char *first, int64_t no, int64_t count, struct gguf_file *out);

void model_gguf_file_unmap(struct gguf_file *file);
