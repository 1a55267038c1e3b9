/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How an evidence log lies on the disk (docs/FORMATS.md): for the reader and the writer of it, and for tests that damage one.
 * Numbers are little-endian, as on every machine that pagereel runs on (base/hash.c refuses others).
 */
#pragma once

#include "base/mem.h"
#include "memory/evidence.h"

enum {
    EVIDENCE_VERSION = 1,
    EVIDENCE_ALIGN = 64,          /* of records and of rows in them */
    EVIDENCE_MAGIC = 0x63655250,  /* "PRec": begins a record */
    EVIDENCE_MAX_SMALL = 1 << 20, /* bytes of an info, setup or commit record */
    EVIDENCE_MAX_RECORD = 1 << 30
};
#define EVIDENCE_FILE_MAGIC "PREVIDNC"

enum evidence_record_kind { EVIDENCE_INFO = 1, EVIDENCE_SETUP, EVIDENCE_SEGMENT, EVIDENCE_COMMIT, EVIDENCE_GONE };

struct disk_file { /* 64 bytes, at the start */
    char magic[8];
    uint32_t version, zero;
    unsigned char source[BASE_HASH_BYTES];
    uint64_t zero2;
    uint64_t checksum; /* of the bytes before it */
};

struct disk_record { /* 64 bytes, before each body */
    uint32_t magic, kind;
    uint64_t size;     /* with this header, a multiple of EVIDENCE_ALIGN */
    uint64_t number;   /* 0, 1, 2, ... */
    uint64_t offset;   /* of this record in its file */
    uint64_t source;   /* the first 8 bytes of the source's hash */
    uint64_t setup;    /* of a segment: the number of its setup's record; of what is gone: the first number */
    uint64_t body;     /* checksum of the body */
    uint64_t checksum; /* of the bytes before it */
};

struct disk_info {
    int64_t start, duration;
    int32_t n_pages;
    uint32_t path, kind, format, title; /* bytes of the strings that follow, in this order, each with its NUL */
    uint32_t zero;
};

struct disk_setup {
    uint32_t made;
    int32_t columns, row_type;
    uint32_t text; /* bytes of the string that follows, with its NUL */
    unsigned char fingerprint[BASE_HASH_BYTES];
};

/* Behind it: rows, padded to EVIDENCE_ALIGN; tokens; with tokens the mean, padded to 8; lines; label; texts. */
struct disk_segment {
    int64_t t0, t1;
    double width, height;
    uint32_t kind, flags;
    int32_t page, stream;
    uint32_t n_tokens, n_raw, n_frames, n_lines;
    uint16_t grid_h, grid_w;
    uint32_t label; /* bytes, with its NUL */
    float ax, bx, ay, by;
    uint64_t row_bytes;
    uint64_t texts; /* bytes of all texts */
    uint16_t tile_rows, tile_cols;
    int16_t tile_row, tile_col; /* counted from 1; 0: not a tile */
    uint64_t zero[2];
};

struct disk_commit {
    struct evidence_progress progress;
    uint64_t seen; /* the number of a visual setup's record + 1, of which the rest tells; 0: of none */
    int64_t position;
    uint32_t complete, failed;
};

struct disk_line {
    int64_t t0, t1;
    float box[4];
    int32_t page;
    uint32_t offset, len; /* in the texts; a NUL follows */
    uint32_t zero;
};

_Static_assert(sizeof(struct disk_file) == 64 && sizeof(struct disk_record) == 64, "as documented");
_Static_assert(sizeof(struct disk_info) == 40 && sizeof(struct disk_setup) == 48, "as documented");
_Static_assert(sizeof(struct disk_segment) == 128 && sizeof(struct disk_line) == 48, "as documented");
_Static_assert(sizeof(struct evidence_token) == 32 && sizeof(struct evidence_progress) == 40, "as documented");
_Static_assert(sizeof(struct disk_commit) == EVIDENCE_ALIGN, "as documented");

/* Where the parts of a segment's body begin. */
struct segment_layout {
    size_t rows, tokens, mean, lines, label, texts, end;
};
/* False: the numbers are outside their limits. */
bool memory_evidence_layout(const struct disk_segment *head, int32_t columns, struct segment_layout *out);

/* What a walk over a log finds; used by the reader, and by the writer for where to go on. */
struct evidence_place {
    uint64_t number, setup, offset, size;
};
struct evidence_walk {
    unsigned char source[BASE_HASH_BYTES];
    struct evidence_place *segments, *setups;
    size_t n_segments, n_setups, cap_segments, cap_setups;
    struct evidence_place info; /* size 0: none */
    struct evidence_progress progress;
    struct evidence_seen *seen; /* the latest of each visual setup */
    size_t n_seen;
    uint64_t end, next_number; /* behind the last commit */
    size_t damage;
};
/* Reads the file's header and all records' headers. `source` may be NULL. PR_ERR_NOT_FOUND: the file is empty. */
int memory_evidence_walk(int fd, const char *path, const unsigned char *source, struct evidence_walk *out);
void memory_evidence_walk_finish(struct evidence_walk *walk);

/* ---- the inside of a writer, for evidence_write.c and evidence_thin.c ----------------------------------------------- */

/* What the next record depends on. */
struct writer_state {
    uint64_t number; /* of the next record */
    uint64_t setup;  /* number of the last setup's record; UINT64_MAX: none */
    uint32_t made;   /* of that setup: */
    int32_t columns, row_type;
};

struct evidence_writer {
    char *path;
    int fd; /* locked */
    unsigned char source[BASE_HASH_BYTES];
    uint64_t end; /* of the file */
    struct writer_state now, committed;
    struct evidence_seen seen; /* for the next commit */
    bool has_seen;
    struct base_buf pending;
};

/* PR_ERR_IO with what errno says, and what to do. */
int memory_evidence_can_not(const struct evidence_writer *writer, const char *what);
/* Has the folder of a file remember its name. */
void memory_evidence_sync_folder(const char *path);
/* Writes and has the disk take it. */
int memory_evidence_write_at(const struct evidence_writer *writer, uint64_t offset, const char *data, size_t size);
/* Writes the head of an empty log. */
int memory_evidence_begin_file(struct evidence_writer *writer);
/* Adds the writer's next record to `out`, which will be written behind what waits. */
void memory_evidence_put_record(struct evidence_writer *writer, struct base_buf *out, uint32_t kind,
                                const struct base_buf *body);
