/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Opens a file and gives its units (frames, pages, pieces of exact text) one after the other, each with the span that it came
 * from.
 *
 * Decoders and renderers are not trusted: they run in a process of their own (`pagereel-ingest` and the programs beside it,
 * worker.c) with limits on memory and time, and hand their units over through shared memory (wire.h). What goes wrong in there, a crash or a stall
 * included, is an error here that tells the position reached. Kinds of source are rows of the table in kinds.c.
 */
#pragma once

#include "base/cancel.h"
#include "base/error.h"
#include "pagereel/source.h"

#include <stdbool.h>
#include <stddef.h>

struct ingest_source; /* belongs to one thread at a time */

enum ingest_sampling {
    INGEST_RATE,   /* `rate` frames for each second */
    INGEST_BUDGET, /* at most `budget` frames, spread over the whole */
    INGEST_SCENE,  /* the first frame of each scene */
    INGEST_KEYS,   /* every key frame */
    INGEST_TIMES,  /* what is on the screen at `times` */
    INGEST_NONE    /* no frames: text and sound only */
};

enum { INGEST_MAX_TIMES = 4096 };

/* Zero-initialised (with ingest_options_default) it asks for one frame a second and whole documents. */
struct ingest_options {
    enum ingest_sampling sampling;
    double rate;
    int32_t budget;
    const int64_t
        *times;       /* [n_times] microseconds, ascending; copied. One frame that is shown at several is given once */
    int32_t n_times;  /* at most INGEST_MAX_TIMES */
    int64_t from, to; /* only what is shown in [from, to); PR_TIME_NONE: from the start, to the end */
    int32_t first_page, last_page; /* pages from 0, both included; last_page -1: to the end */
    int32_t stream;                /* number of the video stream; -1: the best one */
    const char *language;          /* of text tracks, ISO 639 ("en"); NULL: all of them */
    const char *password;          /* of an encrypted document; NULL: none */
    bool sound;                    /* blocks of sound, too */
    int64_t max_pixels;            /* pictures are scaled down to at most so many pixels; 0: no pictures, text only */
    int64_t memory_limit;          /* bytes of address space that the worker may take; 0: 2 GiB */
    int32_t stall_seconds;         /* without a sign of progress the worker is ended; 0: 20 */
    const struct base_cancel *cancel;
};
struct ingest_options ingest_options_default(void);

/* On success the caller owns *out. PR_ERR_IO: can't be read; PR_ERR_FORMAT: damaged, or the password is missing;
 * PR_ERR_UNSUPPORTED: no reader knows this kind of file (the message lists the kinds). */
int ingest_open(const char *path, const struct ingest_options *options, struct ingest_source **out);
void ingest_close(struct ingest_source *source); /* takes NULL */

const struct pr_source_info *ingest_info(const struct ingest_source *source);

/* See pr_source_next(). */
int ingest_next(struct ingest_source *source, struct pr_unit *unit);

/* See pr_source_position(). */
int64_t ingest_position(const struct ingest_source *source);
