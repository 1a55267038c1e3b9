/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The kinds of sources: how each is told from the others, and which worker program has its reader. Programs are cut by the foreign
 * libraries that they load, because loading is what takes time before the first frame or page.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct ingest_kind {
    const char *name;    /* that of its ingest_reader */
    const char *program; /* beside this one */
    /* Whether the file's first bytes (or path, for a directory, when len is 0) look like this kind; never by its name alone. */
    bool (*probe)(const unsigned char *head, size_t len, const char *path);
};

/* In the order of probing. */
enum { INGEST_KINDS = 6 };
extern const struct ingest_kind ingest_kinds[INGEST_KINDS];
