/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sources and their units: what a video, a document or a folder is made of, and where each piece of it stands.
 *
 *     struct pr_source *source;
 *     if (pr_source_open("film.mkv", &settings, NULL, &source) < 0)
 *         die(pr_error_message());
 *     struct pr_unit unit;
 *     for (int err; (err = pr_source_next(source, &unit)) != PR_EOF;)
 *         if (err == PR_OK)
 *             use(&unit);
 *     pr_source_close(source);
 */
#ifndef PAGEREEL_SOURCE_H
#define PAGEREEL_SOURCE_H

#include "pagereel/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define PR_TIME_NONE INT64_MIN /* "no time": times are microseconds of presentation time otherwise */
#define PR_PAGE_NONE (-1)

struct pr_box {
    float x0, y0, x1, y1; /* points (1/72 inch) from the upper left corner of the page, x0 <= x1, y0 <= y1 */
};

/* Where something came from. Of a video: page is PR_PAGE_NONE and [t0, t1) says when. Of a document: page counts from 0, box says
 * where on it (all zero: the whole page), t0 and t1 are PR_TIME_NONE. A span is attached at ingest, copied by vision, merged by
 * memory and resolved into a citation by engine. */
struct pr_span {
    int32_t source; /* index of the source in its library or session */
    int32_t page;
    int64_t t0, t1;
    struct pr_box box;
};

enum pr_stream_kind {
    PR_STREAM_VIDEO,
    PR_STREAM_AUDIO,
    PR_STREAM_TEXT,
    PR_STREAM_PICTURE_TEXT, /* subtitles that are pictures: named, not read */
    PR_STREAM_OTHER
};

/* A track of a video, or of what lies beside it. Strings are "" when unknown. */
struct pr_stream {
    enum pr_stream_kind kind;
    const char *codec, *language, *title, *file; /* file: a side file's name, "" for a track inside */
    int32_t width, height, rotation;             /* as shown: rotation (degrees clockwise) is applied by us */
    double rate;                                 /* mean frames a second; 0: unknown */
    int64_t frames;                              /* how many there are; 0: the file doesn't say */
    int32_t sample_rate, channels;
    bool chosen; /* its units are given */
};

/* A chapter, or an entry of a document's outline. */
struct pr_mark {
    struct pr_span span;
    int32_t depth;
    const char *title;
};

struct pr_source_info {
    const char *kind;        /* "video", "audio", "image", "PDF", "text", "folder", ... */
    const char *format;      /* "mov,mp4", "PDF 1.5" */
    const char *title;       /* "" when the source names none */
    int32_t n_pages;         /* 0: not paged, or not known before the end */
    int64_t start, duration; /* microseconds; PR_TIME_NONE: not timed, or unknown */
    const struct pr_stream *streams;
    size_t n_streams;
    const struct pr_mark *marks;
    size_t n_marks;
    const char *const *problems; /* what is wrong with the file, for people */
    size_t n_problems;
    bool partial; /* the file breaks off: what is there is read, and duration is as far as it goes */
};

enum pr_unit_kind { PR_UNIT_FRAME, PR_UNIT_PAGE, PR_UNIT_TEXT, PR_UNIT_SOUND };

/* A line of exact text, in reading order. */
struct pr_line {
    const char *text; /* valid UTF-8, no line break, no control characters */
    struct pr_box box;
};

enum pr_region_kind { PR_REGION_FIGURE, PR_REGION_LINK, PR_REGION_FIELD, PR_REGION_NOTE };
struct pr_region {
    enum pr_region_kind kind;
    struct pr_box box;
    const char *text; /* caption, target, value, or note */
};

/* A frame, a page, a piece of text with its time, a block of sound. Its memory is valid until the next call on the source. */
struct pr_unit {
    enum pr_unit_kind kind;
    struct pr_span span;  /* span.source is 0: the caller numbers its sources */
    const char *label;    /* a page's printed label ("iv"), or "" */
    int32_t stream;       /* the number of the stream that it came from; -1: none */
    double width, height; /* of a page in points, of a frame as shown in pixels */
    const uint8_t *rgb;   /* [picture_height, picture_width, 3], or NULL */
    int32_t picture_width, picture_height;
    float difference; /* of a frame from the last one that was let through, 0..1 (change gate) */
    bool passed;      /* the gate lets it through: it differs enough to be encoded */
    bool cut;         /* a new scene begins with it */
    bool visual_only; /* a page whose text layer is absent or unusable */
    bool partial;     /* a part of it could not be read */
    const struct pr_line *lines;
    size_t n_lines;
    const struct pr_region *regions;
    size_t n_regions;
    const float *samples; /* sound: 16,000 a second, one channel, -1..1 */
    size_t n_samples;
};

struct pr_source; /* belongs to one thread at a time */
struct pr_settings;
struct pr_cancel;

/* Opens a file, a folder, or "-" for standard input, as the settings say (which frames, which pages, what size). On success the
 * caller owns *out. PR_ERR_IO: can't be read; PR_ERR_FORMAT: damaged, or the password is missing; PR_ERR_UNSUPPORTED: no reader
 * knows this kind of file (the message lists the kinds); PR_ERR_INVALID: a time or page range that can't be understood. */
int pr_source_open(const char *path, const struct pr_settings *settings, struct pr_cancel *cancel,
                   struct pr_source **out);
void pr_source_close(struct pr_source *source); /* takes NULL */

/* Valid while the source is open. */
const struct pr_source_info *pr_source_info(const struct pr_source *source);

/* PR_OK with the next unit, PR_EOF at the end. On a failure that concerns one unit of a paged source, the next call goes on
 * behind it; after a failure of the whole, calls answer PR_EOF. */
int pr_source_next(struct pr_source *source, struct pr_unit *unit);

/* The position that was reached: microseconds of a timed source, pages of another. For progress. */
int64_t pr_source_position(const struct pr_source *source);

/* ---- how far something is --------------------------------------------------------------------------------------------- */

enum pr_adding {
    PR_ADDING_HASH, /* its bytes, to know whether it is known */
    PR_ADDING_TEXT,
    PR_ADDING_PICTURES,
    PR_ADDING_KEYS /* of its visual tokens, by the model's first layers; done and total are segments */
};
struct pr_progress {
    const char *source; /* as it was given */
    enum pr_adding what;
    int64_t done, total; /* bytes, pages, or microseconds; total 0: unknown */
    double seconds_left; /* negative: unknown */
};
typedef void (*pr_progress_fn)(void *user, const struct pr_progress *progress);

/* ---- pictures ----------------------------------------------------------------------------------------------------- */

/* Writes one picture of a source to settings->output as PNG: the frame on the screen at settings->at, or settings->page, or the
 * first one; of it settings->box. PR_ERR_NOT_FOUND: there is none at that place. */
int pr_frame_write(const char *path, const struct pr_settings *settings, struct pr_cancel *cancel);
/* Writes a contact sheet to settings->output as PNG: settings->frames (24 if 0) frames with their times, or pages with their
 * numbers and labels. `progress` (may be NULL) is told how far it is, ten times a second at the most. */
int pr_sheet_write(const char *path, const struct pr_settings *settings, pr_progress_fn progress, void *user,
                   struct pr_cancel *cancel);

/* "1:02:03.456" of microseconds, hours always written, into a buffer of 32 bytes or more. Returns `out`. */
const char *pr_time_text(int64_t microseconds, char *out, size_t size);
/* Reads a time in the usual forms: "1:02:03.456", "02:03", "83.5", "90s", "1h2m3s", "1 h 2 min", "500ms". PR_ERR_INVALID names the text. */
int pr_time_parse(const char *text, int64_t *microseconds);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
