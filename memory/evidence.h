/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The evidence log: what is kept of one source, in one append-only file (docs/FORMATS.md). It holds segments: exact text line by
 * line with its spans, and visual tokens (embedding rows, in an order of which every beginning is a coarser version) with the
 * place that each one comes from. What tokens or text depend on (model, projector, preprocessing, reader) is a setup; a segment
 * belongs to its setup, so that what two models made stays apart in one file.
 *
 * Writing: records are collected and become visible together, by a commit that follows them to the disk. What isn't committed
 * doesn't exist; the next writer begins behind the last commit. One writer a file, readers at any time: a reader sees what was
 * committed when it opened.
 *
 * Reading: files are hostile. Each record has a checksum of its header, checked on opening, and one of its body, checked when it is
 * first read. Behind damage the search goes on for the next whole record, so that one bad sector costs what lies on it.
 */
#pragma once

#include "base/error.h"
#include "base/hash.h"
#include "compute/type.h"
#include "pagereel/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the file says of its source, so that nothing but the log is needed to show it. Strings are never NULL. */
struct evidence_info {
    const char *path, *kind, *format, *title; /* path: where it was found when it was first added */
    int32_t n_pages;                          /* 0: not paged, or unknown */
    int64_t start, duration;                  /* microseconds or PR_TIME_NONE */
};

enum evidence_made { EVIDENCE_TEXT, EVIDENCE_VISUAL };

struct evidence_setup {
    uint64_t number;                            /* of its record */
    uint32_t made;                              /* enum evidence_made: what its segments hold */
    int32_t columns;                            /* of a row of tokens: width * (1 + deepstack levels); 0 for text */
    int32_t row_type;                           /* TYPE_F16 or TYPE_Q8_0; 0 for text */
    unsigned char fingerprint[BASE_HASH_BYTES]; /* of everything that the content depends on but the source */
    const char *text;                           /* the same for people: "SmolVLM2-500M, 512 px, 1 fps" */
};

/* Where a visual token comes from. Cells count from the upper left corner of its segment's grid. */
struct evidence_token {
    int64_t t0, t1;          /* [t0, t1) microseconds; of a page PR_TIME_NONE */
    uint16_t y0, x0, y1, x1; /* cells at t0, half open */
    int16_t dy, dx;          /* how far the box has moved at t1 */
    uint16_t n;              /* tokens merged in it; 65535: that or more */
    uint16_t radius;         /* f16: how far the segment's tokens lie from the nearest of those before this one */
};

enum evidence_kind {
    EVIDENCE_FRAMES = 1, /* alike frames of a video */
    EVIDENCE_PAGE,
    EVIDENCE_TIMED_TEXT, /* of one text track */
    EVIDENCE_OUTLINE,    /* chapters of a video, outline of a document */
    EVIDENCE_NOTE /* a model's own words on a part of the source, never to be quoted; the label names the model */
};

struct evidence_line {
    int64_t t0, t1; /* microseconds or PR_TIME_NONE */
    struct pr_box box;
    int32_t page;     /* or PR_PAGE_NONE */
    uint32_t len;     /* bytes of text */
    const char *text; /* valid UTF-8, ended by a NUL */
};

enum { EVIDENCE_VISUAL_ONLY = 1, EVIDENCE_PARTIAL = 2 }; /* flags, as struct pr_unit has them */
enum { EVIDENCE_MAX_LINES = 65535, EVIDENCE_MAX_TOKENS = 1 << 20, EVIDENCE_MAX_COLUMNS = 1 << 20 };

/* A segment as it is given to the writer and as readers get it. */
struct evidence_segment {
    uint64_t number, setup; /* of its record and of its setup's; set by the log */
    enum evidence_kind kind;
    uint32_t flags;
    int64_t t0, t1;       /* microseconds or PR_TIME_NONE */
    int32_t page, stream; /* or PR_PAGE_NONE, -1 */
    double width, height; /* of its page in points, of its frames in pixels; 0: it has no picture */
    const char *label;    /* a page's printed label, or "" */

    /* Of a picture that was cut into tiles, each of which is a segment: their grid, and which one this is, from 0. The whole picture,
     * and whatever wasn't cut, has tile_row and tile_col -1. */
    uint16_t tile_rows, tile_cols;
    int16_t tile_row, tile_col;

    uint32_t n_tokens, n_raw, n_frames; /* n_raw: tokens before compression */
    uint16_t grid_h, grid_w;
    float ax, bx, ay, by;                /* cell x lies at ax * x + bx, cell y at ay * y + by, in points or pixels */
    const void *rows;                    /* [n_tokens, columns] of the setup's row type */
    const struct evidence_token *tokens; /* [n_tokens] */
    const float *mean;                   /* [columns] of all raw tokens; NULL without tokens */

    const struct evidence_line *lines;
    size_t n_lines;
};

/* How far a source has been read: what every commit says. */
struct evidence_progress {
    uint64_t units; /* units of the current setup that were taken in or given up: the next one has this number */
    uint64_t pages, failed, without_text; /* of those: pages; that couldn't be read; without a text layer */
    uint32_t complete;                    /* 1: to the end */
    uint32_t reserved;
};

/* How far a source has been looked at under a visual setup. */
struct evidence_seen {
    uint64_t setup;    /* number of its record */
    int64_t position;  /* go on here: microseconds of a film, the number of the next page or picture otherwise */
    uint32_t complete; /* 1: to the end */
    uint32_t failed;   /* pages or pictures that couldn't be looked at */
};

/* ---- reading ------------------------------------------------------------------------------------------------------ */

struct evidence; /* an open log, never changed: any number of threads may read it */

/* Opens a log; `source` (or NULL: any) is the hash that its source must have. PR_ERR_NOT_FOUND: there is no such file.
 * PR_ERR_FORMAT: it isn't an evidence log, is of a newer version, or of another source. Damage isn't a failure, see
 * memory_evidence_damage(). The caller owns *out. */
int memory_evidence_open(const char *path, const unsigned char *source, struct evidence **out);
void memory_evidence_close(struct evidence *evidence); /* takes NULL */

const unsigned char *memory_evidence_source(const struct evidence *evidence); /* its hash */
/* What the last commit says; zero when there was none. Strings are the log's. */
const struct evidence_info *memory_evidence_info(const struct evidence *evidence);
struct evidence_progress memory_evidence_progress(const struct evidence *evidence);
uint64_t memory_evidence_bytes(const struct evidence *evidence); /* of the file, up to the last commit */
/* The number that the next record gets: no record that is committed has it. */
uint64_t memory_evidence_end(const struct evidence *evidence);
/* Places where something was lost, as far as opening shows it: a damaged body shows when it is read. */
size_t memory_evidence_damage(const struct evidence *evidence);

/* The latest setup of a kind, or NULL. */
const struct evidence_setup *memory_evidence_setup(const struct evidence *evidence, enum evidence_made made);
/* All setups, in the order in which they were written; NULL behind the last one. */
const struct evidence_setup *memory_evidence_setup_at(const struct evidence *evidence, size_t i);
/* The setup with a number, or NULL. */
const struct evidence_setup *memory_evidence_setup_numbered(const struct evidence *evidence, uint64_t number);
/* How far a visual setup got; zero when nothing was committed under it. */
struct evidence_seen memory_evidence_seen(const struct evidence *evidence, uint64_t setup);
size_t
memory_evidence_count(const struct evidence *evidence); /* segments of all setups, in the order of their numbers */
/* The number of a segment's record and of its setup's, without reading it. */
uint64_t memory_evidence_number(const struct evidence *evidence, size_t i);
uint64_t memory_evidence_setup_of(const struct evidence *evidence, size_t i);
uint64_t memory_evidence_size_of(const struct evidence *evidence, size_t i); /* bytes of its record */
uint32_t memory_evidence_raw(const struct evidence *evidence, size_t i);     /* its n_raw, without reading it */
/* Bytes of all records with visual tokens, whichever models made them. */
int64_t memory_evidence_visual_bytes(const struct evidence *evidence);
/* How many visual tokens the segments of a setup hold, without reading them. */
int64_t memory_evidence_tokens(const struct evidence *evidence, uint64_t setup);
/* The place of the segment with a number; false: there is none. */
bool memory_evidence_find(const struct evidence *evidence, uint64_t number, size_t *i);
/* Reads everything and drops it: how many segments are damaged behind a header that is whole, those of earlier setups, too. */
size_t memory_evidence_check(const struct evidence *evidence);
/* Reads segment i; *out holds until memory_evidence_release(out). PR_ERR_FORMAT: it is damaged; then there's nothing to release. */
int memory_evidence_read(const struct evidence *evidence, size_t i, struct evidence_segment *out);
void memory_evidence_release(struct evidence_segment *segment);

/* ---- writing ------------------------------------------------------------------------------------------------------ */

struct evidence_writer; /* belongs to one thread at a time */

/* Opens a log for writing, makes it if there is none, and drops what isn't committed. PR_ERR_IO: the system refuses, or another
 * process writes to it (then *busy is true; may be NULL). The caller owns *out. */
int memory_evidence_writer_open(const char *path, const unsigned char source[BASE_HASH_BYTES], bool *busy,
                                struct evidence_writer **out);
/* Drops what isn't committed. Takes NULL. */
void memory_evidence_writer_close(struct evidence_writer *writer);

/* These copy what they get; nothing is visible before the commit. A segment belongs to the last setup, or to the earlier one that
 * was made current again. PR_ERR_INVALID: sizes outside the limits above, or a segment without a setup. */
int memory_evidence_put_info(struct evidence_writer *writer, const struct evidence_info *info);
int memory_evidence_put_setup(struct evidence_writer *writer, const struct evidence_setup *setup);
int memory_evidence_put_segment(struct evidence_writer *writer, const struct evidence_segment *segment);
/* Goes on under a setup that the log has. */
void memory_evidence_use_setup(struct evidence_writer *writer, const struct evidence_setup *setup);
/* What the next commit says of the current visual setup; seen->setup is filled in. */
void memory_evidence_put_seen(struct evidence_writer *writer, const struct evidence_seen *seen);
size_t memory_evidence_pending(const struct evidence_writer *writer); /* bytes that wait for the commit */

/* Makes a log smaller: visual segments lose the tails that say least (farthest.h) until all of them together have `tokens` tokens at the most
 * and the file `bytes` bytes; negative: whatever it has. None goes below 8 tokens; when that isn't enough, neighbours of a film that are
 * alike become one segment, under the number of the later one (evidence_tails.h). Nothing else is touched. The log is written anew beside its
 * place, never with more than `bytes`, and renamed, so for a while both are on the disk, and it is thin or as it was, never in between;
 * who has the old one open goes on reading it. What waits for a commit must be committed first. PR_ERR_NOMEM: it can't become so small
 * (then nothing is changed); PR_ERR_FORMAT: it is damaged; PR_ERR_IO. */
int memory_evidence_thin(struct evidence_writer *writer, int64_t tokens, int64_t bytes);
uint64_t memory_evidence_size(const struct evidence_writer *writer);   /* bytes of the file */
uint64_t memory_evidence_end_of(const struct evidence_writer *writer); /* the number that the next record gets */

/* Writes what was put, to the disk itself, then makes all of it visible. On failure (PR_ERR_IO; the disk is full) what was
 * committed before stays as it was, and what was put is dropped. */
int memory_evidence_commit(struct evidence_writer *writer, const struct evidence_progress *progress);
