/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The inside of a library, for library.c and identity.c.
 */
#pragma once

#include "base/mem.h"
#include "memory/library.h"

#include <sqlite3.h>
#include <stdarg.h>

struct library {
    char *folder;
    sqlite3 *db; /* the catalogue */
    struct text_index *text;
};

/* The file of a source in the folder evidence/: its log (suffix "log"), or what is derived from it. */
void memory_library_name(const struct library *library, const unsigned char *hash, const char *suffix,
                         struct base_buf *out);

/* An error of the catalogue's. */
int memory_library_failed(const struct library *library, const char *what);
/* Runs a statement with values: types is 'i' (int64_t), 't' (text) or 'h' (hash) for each. */
int memory_library_run(struct library *library, const char *sql, const char *types, ...);
void memory_library_bind(sqlite3_stmt *statement, const char *types, va_list values);
/* Sources that the condition takes; the caller frees *list with base_free(). */
int memory_library_select(struct library *library, const char *where, struct library_source **list, size_t *n,
                          const char *types, ...);

/* The absolute path of a name, resolved if the file is there; the caller frees it with base_free(). */
char *memory_library_absolute(const char *name);
/* What has become of a file with this size and time: KNOWN, CHANGED or GONE. Size -1: they aren't known. */
enum library_state memory_library_file_state(const char *path, int64_t size, int64_t mtime);
