/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Opens a file and gives its units (frames, pages, pieces of exact text) one after the other, each with the span that it came
 * from.
 *
 * Decoders and renderers are not trusted: they run in a process of their own (`pagereel-ingest`, worker.c) with limits on
 * memory and time, and hand their units over through shared memory (wire.h). What goes wrong in there, a crash or a stall
 * included, is an error here that tells the position reached. Kinds of source are rows of the table in worker.c.
 */
#pragma once

#include "base/cancel.h"
#include "base/error.h"
#include "base/span.h"

#include <stdbool.h>
#include <stddef.h>

struct ingest_source; /* belongs to one thread at a time */

enum ingest_sampling {
    INGEST_RATE,   /* `rate` frames for each second */
    INGEST_BUDGET, /* at most `budget` frames, spread over the whole */
    INGEST_SCENE,  /* the first frame of each scene */
    INGEST_KEYS    /* every key frame */
};

/* Zero-initialised (with ingest_options_default) it asks for one frame a second and whole documents. */
struct ingest_options {
    enum ingest_sampling sampling;
    double rate;
    int32_t budget;
    int64_t from, to;              /* only what is shown in [from, to); BASE_TIME_NONE: from the start, to the end */
    int32_t first_page, last_page; /* pages from 0, both included; last_page -1: to the end */
    int32_t stream;                /* number of the video stream; -1: the best one */
    const char *language;          /* of text tracks, ISO 639 ("en"); NULL: all of them */
    const char *password;          /* of an encrypted document; NULL: none */
    int64_t max_pixels;            /* pictures are scaled down to at most so many pixels; 0: no pictures, text only */
    int64_t memory_limit;          /* bytes of address space that the worker may take; 0: 2 GiB */
    int32_t stall_seconds;         /* without a sign of progress the worker is ended; 0: 20 */
    const struct base_cancel *cancel;
};
struct ingest_options ingest_options_default(void);

enum ingest_stream_kind {
    INGEST_STREAM_VIDEO,
    INGEST_STREAM_AUDIO,
    INGEST_STREAM_TEXT,
    INGEST_STREAM_PICTURE_TEXT,
    INGEST_STREAM_OTHER
};

/* A track of a video, or of what lies beside it. Strings are "" when unknown. */
struct ingest_stream {
    enum ingest_stream_kind kind;
    const char *codec, *language, *title, *file; /* file: a side file's name, "" for a track inside */
    int32_t width, height, rotation;             /* as shown: rotation (degrees clockwise) is applied by us */
    double rate;                                 /* mean frames a second; 0: unknown */
    int32_t sample_rate, channels;
    bool chosen; /* its units are given */
};

/* A chapter, or an entry of a document's outline. */
struct ingest_mark {
    struct base_span span;
    int32_t depth;
    const char *title;
};

struct ingest_info {
    const char *kind;        /* "video", "audio", "image", "pdf", "text", "folder", ... */
    const char *format;      /* "mov,mp4", "PDF 1.5" */
    const char *title;       /* "" when the source names none */
    int32_t n_pages;         /* 0: not paged, or not known before the end */
    int64_t start, duration; /* microseconds; BASE_TIME_NONE: not timed, or unknown */
    const struct ingest_stream *streams;
    size_t n_streams;
    const struct ingest_mark *marks;
    size_t n_marks;
    const char *const *problems; /* what is wrong with the file, for people: "no text layer on page 3" */
    size_t n_problems;
};

enum ingest_unit_kind { INGEST_FRAME, INGEST_PAGE, INGEST_TEXT };

/* A line of exact text, in reading order. */
struct ingest_line {
    const char *text; /* valid UTF-8, no line break, no control characters */
    struct base_box box;
};

enum ingest_region_kind { INGEST_FIGURE, INGEST_LINK, INGEST_FIELD, INGEST_ANNOTATION };
struct ingest_region {
    enum ingest_region_kind kind;
    struct base_box box;
    const char *text; /* caption, target, value, or note */
};

/* A frame, a page, or a piece of text with its time. Its memory is valid until the next call on the source. */
struct ingest_unit {
    enum ingest_unit_kind kind;
    struct base_span span; /* span.source is 0: the caller numbers its sources */
    const char *label;     /* a page's printed label ("iv"), or "" */
    int32_t stream;        /* the number of the stream that it came from; -1: none */
    double width, height;  /* of a page in points, of a frame as shown in pixels */
    const uint8_t *rgb;    /* [picture_height, picture_width, 3], or NULL */
    int32_t picture_width, picture_height;
    float difference; /* of a frame from the last one that was let through, 0..1 (change gate) */
    bool passed;      /* the gate lets it through: it differs enough to be encoded */
    bool cut;         /* a new scene begins with it */
    bool visual_only; /* a page whose text layer is absent or unusable */
    bool partial;     /* a part of it could not be read */
    const struct ingest_line *lines;
    size_t n_lines;
    const struct ingest_region *regions;
    size_t n_regions;
};

/* On success the caller owns *out. PR_ERR_IO: can't be read; PR_ERR_FORMAT: damaged, or the password is missing;
 * PR_ERR_UNSUPPORTED: no reader knows this kind of file (the message lists the kinds). */
int ingest_open(const char *path, const struct ingest_options *options, struct ingest_source **out);
void ingest_close(struct ingest_source *source); /* takes NULL */

/* Valid while the source is open. */
const struct ingest_info *ingest_info(const struct ingest_source *source);

/* PR_OK with the next unit, PR_EOF at the end. On a failure that concerns one unit of a paged source, the next call goes on
 * behind it; after a failure of the whole, calls answer PR_EOF. */
int ingest_next(struct ingest_source *source, struct ingest_unit *unit);

/* The position that was reached: microseconds of a timed source, pages of another. For progress. */
int64_t ingest_position(const struct ingest_source *source);
