/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A user's sources: a folder with one evidence log a source, a catalogue of which file is which source, and the text index. The
 * logs are the truth; catalogue and index are made again from them when they are missing or damaged.
 *
 *     DIR/evidence/HASH.log     HASH: of the source's bytes
 *     DIR/catalogue.db          files by path, and by device, inode, size and time
 *     DIR/text.db               the text index
 *     DIR/keys/HASH-MODEL.keys  shallow keys of its visual tokens
 *     DIR/calibration/ENCODER   thresholds of compression for a vision encoder
 *
 * A source is its bytes: the same file under another name is the same source, a changed file is another one.
 */
#pragma once

#include "base/cancel.h"
#include "base/mem.h"
#include "memory/evidence.h"
#include "memory/text_index.h"

#include <stdbool.h>
#include <stdint.h>

struct library; /* belongs to one thread at a time; several processes may open the same folder */

/* Opens the library in a folder, made if there is none. PR_ERR_IO. The caller owns *out. */
int memory_library_open(const char *folder, struct library **out);
void memory_library_close(struct library *library); /* takes NULL */

enum library_state {
    LIBRARY_KNOWN,   /* by its name and what stat() says */
    LIBRARY_RENAMED, /* the same bytes were added under another name */
    LIBRARY_CHANGED, /* the name is known, the bytes are new */
    LIBRARY_NEW,
    LIBRARY_GONE /* known, but there is no such file any more */
};
struct library_source {
    int64_t id;
    unsigned char hash[BASE_HASH_BYTES];
    char path[4096]; /* where it was last seen, absolute */
    int64_t added;   /* seconds since 1970 */
    enum library_state state;
};

/* Called while a file is hashed. */
typedef void (*library_hash_fn)(void *user, int64_t done, int64_t total);
/* Which source a file (or folder of files) is: by the catalogue when device, inode, size and time are as they were, by hashing all
 * its bytes otherwise. It is entered into the catalogue. Of a file that isn't there any more, the source that it was. PR_ERR_IO: it
 * can't be read, or changes while it is; PR_ERR_CANCELLED. */
int memory_library_identify(struct library *library, const char *path, library_hash_fn fn, void *user,
                            const struct base_cancel *cancel, struct library_source *out);
/* The source of a name: a path as it was added, or the beginning of a hash, 6 digits or more. Hashes nothing. PR_ERR_NOT_FOUND;
 * PR_ERR_INVALID: several hashes begin so. */
int memory_library_find(struct library *library, const char *name, struct library_source *out);
/* All sources in the order in which they were added; state says KNOWN, CHANGED or GONE of the file. The caller frees *list with
 * base_free(). */
int memory_library_list(struct library *library, struct library_source **list, size_t *n);
/* Forgets a source and deletes its log. PR_ERR_IO: another process is adding it. */
int memory_library_remove(struct library *library, const struct library_source *source);

/* Opens a source's log; see memory_evidence_open(). PR_ERR_NOT_FOUND: nothing of it has been read yet. */
int memory_library_evidence(struct library *library, const struct library_source *source, struct evidence **out);
int memory_library_writer(struct library *library, const struct library_source *source, bool *busy,
                          struct evidence_writer **out);
/* Where the shallow keys of a source are kept for a model (keys.h); their folder is made. */
int memory_library_keys_path(struct library *library, const struct library_source *source, uint64_t model,
                             struct base_buf *out);
/* Opens what memory_library_restart() put aside, to use what is whole in it. PR_ERR_NOT_FOUND: nothing was. */
int memory_library_aside(struct library *library, const struct library_source *source, struct evidence **out);
/* Where what was calibrated for an encoder (its identity, 16 bytes) is kept (calibrate.h); its folder is made. */
int memory_library_calibration_path(struct library *library, const unsigned char encoder[16], struct base_buf *out);
/* Puts a log that is damaged aside, so that the source can be read again. */
int memory_library_restart(struct library *library, const struct library_source *source);

/* Brings the text index up to what the source's log holds. Costs nothing when nothing is new. */
int memory_library_index(struct library *library, const struct library_source *source, const struct evidence *evidence);

/* A passage that was found: which source, which segment's record, and its first line. */
struct library_hit {
    int64_t source; /* id */
    uint64_t segment;
    size_t line;
    double score, coverage; /* as struct text_hit has them */
};
/* Which passages of a source may be found; NULL: all. */
typedef bool (*library_accept_fn)(void *user, const struct library_hit *hit);
/* The at most k best passages of the sources with these ids (ascending; n_ids 0: of all), best first. */
int memory_library_search(struct library *library, const char *question, const int64_t *ids, size_t n_ids,
                          library_accept_fn accept, void *user, size_t k, struct library_hit *hits, size_t *n);
