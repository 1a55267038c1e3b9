/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every value is written in the machine's own order: both ends are the same build on the same machine, and the version in the
 * worker's arguments says so.
 */
#include "ingest/wire.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEXT_BYTES = 8 << 20, /* of a page, with its boxes and regions; more is cut off and marked as partial */
    MAX_ITEMS = 1 << 20,  /* lines, regions, streams, marks: beyond that a message is refused */
};

size_t ingest_wire_slot_size(int64_t max_pixels)
{
    return base_align((size_t)max_pixels * 3 + TEXT_BYTES, 4096);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static void put(struct wire_writer *writer, const void *data, size_t len)
{
    if (writer->overflow || len > writer->cap - writer->len) {
        writer->overflow = true;
        return;
    }
    if (len)
        memcpy(writer->data + writer->len, data, len);
    writer->len += len;
}

static void put_i32(struct wire_writer *writer, int32_t value)
{
    put(writer, &value, sizeof value);
}

static void put_i64(struct wire_writer *writer, int64_t value)
{
    put(writer, &value, sizeof value);
}

static void put_f64(struct wire_writer *writer, double value)
{
    put(writer, &value, sizeof value);
}

/* Length, bytes, and a NUL, so that the reader can point to it. */
static void put_text(struct wire_writer *writer, const char *text)
{
    size_t len = text ? strlen(text) : 0;
    put_i32(writer, (int32_t)len);
    put(writer, text ? text : "", len + 1);
}

static void put_box(struct wire_writer *writer, struct pr_box box)
{
    put(writer, &box, sizeof box);
}

static void put_span(struct wire_writer *writer, const struct pr_span *span)
{
    put_i32(writer, span->page);
    put_i64(writer, span->t0);
    put_i64(writer, span->t1);
    put_box(writer, span->box);
}

void ingest_wire_put_info(struct wire_writer *writer, const struct pr_source_info *info)
{
    put_text(writer, info->kind);
    put_text(writer, info->format);
    put_text(writer, info->title);
    put_i32(writer, info->n_pages);
    put_i64(writer, info->start);
    put_i64(writer, info->duration);
    put_i32(writer, (int32_t)info->n_streams);
    for (size_t i = 0; i < info->n_streams; i++) {
        const struct pr_stream *stream = &info->streams[i];
        put_i32(writer, stream->kind);
        put_text(writer, stream->codec);
        put_text(writer, stream->language);
        put_text(writer, stream->title);
        put_text(writer, stream->file);
        put_i32(writer, stream->width);
        put_i32(writer, stream->height);
        put_i32(writer, stream->rotation);
        put_f64(writer, stream->rate);
        put_i64(writer, stream->frames);
        put_i32(writer, stream->sample_rate);
        put_i32(writer, stream->channels);
        put_i32(writer, stream->chosen);
    }
    put_i32(writer, (int32_t)info->n_marks);
    for (size_t i = 0; i < info->n_marks; i++) {
        put_span(writer, &info->marks[i].span);
        put_i32(writer, info->marks[i].depth);
        put_text(writer, info->marks[i].title);
    }
    put_i32(writer, (int32_t)info->n_problems);
    for (size_t i = 0; i < info->n_problems; i++)
        put_text(writer, info->problems[i]);
    put_i32(writer, info->partial);
}

void ingest_wire_put_unit(struct wire_writer *writer, const struct pr_unit *unit)
{
    put_i32(writer, unit->kind);
    put_span(writer, &unit->span);
    put_text(writer, unit->label);
    put_i32(writer, unit->stream);
    put_f64(writer, unit->width);
    put_f64(writer, unit->height);
    put_f64(writer, unit->difference);
    put_i32(writer, unit->passed | unit->cut << 1 | unit->visual_only << 2 | unit->partial << 3);
    put_i32(writer, unit->rgb ? unit->picture_width : 0);
    put_i32(writer, unit->rgb ? unit->picture_height : 0);
    if (unit->rgb)
        put(writer, unit->rgb, (size_t)unit->picture_width * (size_t)unit->picture_height * 3);
    put_i32(writer, (int32_t)unit->n_lines);
    for (size_t i = 0; i < unit->n_lines; i++) {
        put_box(writer, unit->lines[i].box);
        put_text(writer, unit->lines[i].text);
    }
    put_i32(writer, (int32_t)unit->n_regions);
    for (size_t i = 0; i < unit->n_regions; i++) {
        put_i32(writer, unit->regions[i].kind);
        put_box(writer, unit->regions[i].box);
        put_text(writer, unit->regions[i].text);
    }
    put_i32(writer, (int32_t)unit->n_samples);
    put(writer, unit->samples, unit->n_samples * sizeof *unit->samples);
}

void ingest_wire_put_error(struct wire_writer *writer, int error, const char *text)
{
    put_i32(writer, error);
    put_text(writer, text);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

struct wire_reader {
    const char *data;
    size_t size, at;
    bool bad; /* once true, everything reads as zero */
};

static const void *get(struct wire_reader *reader, size_t len)
{
    if (reader->bad || len > reader->size - reader->at) {
        reader->bad = true;
        return NULL;
    }
    const void *p = reader->data + reader->at;
    reader->at += len;
    return p;
}

static int32_t get_i32(struct wire_reader *reader)
{
    int32_t value = 0;
    const void *p = get(reader, sizeof value);
    if (p)
        memcpy(&value, p, sizeof value);
    return value;
}

static int64_t get_i64(struct wire_reader *reader)
{
    int64_t value = 0;
    const void *p = get(reader, sizeof value);
    if (p)
        memcpy(&value, p, sizeof value);
    return value;
}

static double get_f64(struct wire_reader *reader)
{
    double value = 0;
    const void *p = get(reader, sizeof value);
    if (p)
        memcpy(&value, p, sizeof value);
    if (!isfinite(value)) {
        reader->bad = true;
        return 0;
    }
    return value;
}

static const char *get_text(struct wire_reader *reader)
{
    int32_t len = get_i32(reader);
    const char *text = len >= 0 ? get(reader, (size_t)len + 1) : NULL;
    if (!text || memchr(text, '\0', (size_t)len + 1) != text + len) {
        reader->bad = true;
        return "";
    }
    return text;
}

static struct pr_box get_box(struct wire_reader *reader)
{
    struct pr_box box = {0};
    const void *p = get(reader, sizeof box);
    if (p)
        memcpy(&box, p, sizeof box);
    if (!isfinite(box.x0) || !isfinite(box.y0) || !isfinite(box.x1) || !isfinite(box.y1)) {
        reader->bad = true;
        return (struct pr_box){0};
    }
    return box;
}

static struct pr_span get_span(struct wire_reader *reader)
{
    struct pr_span span = {0};
    span.page = get_i32(reader);
    span.t0 = get_i64(reader);
    span.t1 = get_i64(reader);
    span.box = get_box(reader);
    return span;
}

/* An array of as many elements as the next number says; each takes at least `wire_bytes` of what is left, so a lying count
 * can't make a large allocation. */
static void *get_array(struct wire_reader *reader, struct wire_arena *arena, size_t wire_bytes, size_t size, size_t *n)
{
    int32_t count = get_i32(reader);
    *n = 0;
    if (count < 0 || count > MAX_ITEMS || (size_t)count > (reader->size - reader->at) / wire_bytes ||
        arena->n == sizeof arena->blocks / sizeof *arena->blocks) {
        reader->bad = true;
        return NULL;
    }
    *n = reader->bad ? 0 : (size_t)count;
    return arena->blocks[arena->n++] = base_alloc_array(*n, size);
}

void ingest_wire_arena_reset(struct wire_arena *arena)
{
    for (size_t i = 0; i < arena->n; i++)
        base_free(arena->blocks[i]);
    arena->n = 0;
}

static int finish(const struct wire_reader *reader)
{
    if (reader->bad || reader->at != reader->size)
        return base_fail(PR_ERR_FORMAT, "the ingest worker sent a message that can't be understood");
    return PR_OK;
}

int ingest_wire_get_info(const char *data, size_t size, struct wire_arena *arena, struct pr_source_info *out)
{
    struct wire_reader r = {data, size, 0, false};
    ingest_wire_arena_reset(arena);
    *out = (struct pr_source_info){0};
    out->kind = get_text(&r);
    out->format = get_text(&r);
    out->title = get_text(&r);
    out->n_pages = get_i32(&r);
    out->start = get_i64(&r);
    out->duration = get_i64(&r);
    struct pr_stream *streams = get_array(&r, arena, 60, sizeof *streams, &out->n_streams);
    for (size_t i = 0; i < out->n_streams; i++) {
        struct pr_stream *stream = &streams[i];
        int32_t kind = get_i32(&r);
        r.bad |= kind < 0 || kind > PR_STREAM_OTHER;
        stream->kind = (enum pr_stream_kind)kind;
        stream->codec = get_text(&r);
        stream->language = get_text(&r);
        stream->title = get_text(&r);
        stream->file = get_text(&r);
        stream->width = get_i32(&r);
        stream->height = get_i32(&r);
        stream->rotation = get_i32(&r);
        stream->rate = get_f64(&r);
        stream->frames = get_i64(&r);
        r.bad |= stream->frames < 0;
        stream->sample_rate = get_i32(&r);
        stream->channels = get_i32(&r);
        stream->chosen = get_i32(&r) != 0;
    }
    out->streams = streams;
    struct pr_mark *marks = get_array(&r, arena, 45, sizeof *marks, &out->n_marks);
    for (size_t i = 0; i < out->n_marks; i++) {
        marks[i].span = get_span(&r);
        marks[i].depth = get_i32(&r);
        marks[i].title = get_text(&r);
    }
    out->marks = marks;
    const char **problems = get_array(&r, arena, 5, sizeof *problems, &out->n_problems);
    for (size_t i = 0; i < out->n_problems; i++)
        problems[i] = get_text(&r);
    out->problems = problems;
    out->partial = get_i32(&r) != 0;
    r.bad |= out->n_pages < 0;
    return finish(&r);
}

int ingest_wire_get_unit(const char *data, size_t size, struct wire_arena *arena, struct pr_unit *out)
{
    struct wire_reader r = {data, size, 0, false};
    ingest_wire_arena_reset(arena);
    *out = (struct pr_unit){0};
    int32_t kind = get_i32(&r);
    r.bad |= kind < 0 || kind > PR_UNIT_SOUND;
    out->kind = (enum pr_unit_kind)kind;
    out->span = get_span(&r);
    out->label = get_text(&r);
    out->stream = get_i32(&r);
    out->width = get_f64(&r);
    out->height = get_f64(&r);
    out->difference = (float)get_f64(&r);
    int32_t flags = get_i32(&r);
    out->passed = flags & 1;
    out->cut = flags & 2;
    out->visual_only = flags & 4;
    out->partial = flags & 8;
    out->picture_width = get_i32(&r);
    out->picture_height = get_i32(&r);
    if (out->picture_width < 0 || out->picture_height < 0 || (out->picture_width == 0) != (out->picture_height == 0))
        r.bad = true;
    size_t pixels, bytes;
    if (!r.bad && out->picture_width > 0) {
        if (base_mul((size_t)out->picture_width, (size_t)out->picture_height, &pixels) && base_mul(pixels, 3, &bytes))
            out->rgb = get(&r, bytes);
        else
            r.bad = true;
    }
    struct pr_line *lines = get_array(&r, arena, 21, sizeof *lines, &out->n_lines);
    for (size_t i = 0; i < out->n_lines; i++) {
        lines[i].box = get_box(&r);
        lines[i].text = get_text(&r);
    }
    out->lines = lines;
    struct pr_region *regions = get_array(&r, arena, 25, sizeof *regions, &out->n_regions);
    for (size_t i = 0; i < out->n_regions; i++) {
        int32_t region = get_i32(&r);
        r.bad |= region < 0 || region > PR_REGION_NOTE;
        regions[i].kind = (enum pr_region_kind)region;
        regions[i].box = get_box(&r);
        regions[i].text = get_text(&r);
    }
    out->regions = regions;
    float *samples = get_array(&r, arena, sizeof *samples, sizeof *samples, &out->n_samples);
    const void *from = get(&r, out->n_samples * sizeof *samples); /* may be unaligned */
    if (from && out->n_samples)
        memcpy(samples, from, out->n_samples * sizeof *samples);
    out->samples = samples;
    return finish(&r);
}

int ingest_wire_get_error(const char *data, size_t size, int *error, const char **text)
{
    struct wire_reader r = {data, size, 0, false};
    *error = get_i32(&r);
    *text = get_text(&r);
    r.bad |= *error >= 0;
    return finish(&r);
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

struct ingest_options ingest_options_default(void)
{
    return (struct ingest_options){
        .sampling = INGEST_RATE,
        .rate = 1,
        .budget = 64,
        .from = PR_TIME_NONE,
        .to = PR_TIME_NONE,
        .last_page = -1,
        .stream = -1,
        .max_pixels = 512 * 512,
        .memory_limit = (int64_t)2 << 30,
        .stall_seconds = 20,
    };
}

/* language and password go through the environment of the worker: other users can read arguments. */
void ingest_wire_put_options(struct base_buf *out, const struct ingest_options *o)
{
    base_buf_printf(out, "%d %d %.17g %d %" PRId64 " %" PRId64 " %d %d %d %d %" PRId64 " %" PRId64, WIRE_VERSION,
                    o->sampling, o->rate, o->budget, o->from, o->to, o->first_page, o->last_page, o->stream, o->sound,
                    o->max_pixels, o->memory_limit);
    int32_t n = o->sampling == INGEST_TIMES ? o->n_times : 0;
    base_buf_printf(out, " %d", n);
    for (int32_t i = 0; i < n; i++)
        base_buf_printf(out, " %" PRId64, o->times[i]);
}

/* Ascending times, as many as are said. */
static int get_times(const char *text, struct ingest_options *o)
{
    char *end;
    long n = strtol(text, &end, 10);
    bool good = end != text && n >= 0 && n <= INGEST_MAX_TIMES && (n > 0 || o->sampling != INGEST_TIMES);
    int64_t *times = good && n > 0 ? base_alloc_array((size_t)n, sizeof *times) : NULL;
    for (long i = 0; good && i < n; i++) {
        text = end;
        times[i] = strtoll(text, &end, 10);
        good = end != text && (i == 0 || times[i] >= times[i - 1]);
    }
    o->times = times;
    o->n_times = good ? (int32_t)n : 0;
    if (good)
        return PR_OK;
    o->times = NULL;
    base_free(times);
    return base_fail(PR_ERR_INTERNAL, "the times of the wanted frames can't be read");
}

int ingest_wire_get_options(const char *text, struct ingest_options *o)
{
    int version, sampling, sound, used = 0;
    *o = ingest_options_default();
    int n = sscanf(text, "%d %d %lf %d %" SCNd64 " %" SCNd64 " %d %d %d %d %" SCNd64 " %" SCNd64 "%n", &version,
                   &sampling, &o->rate, &o->budget, &o->from, &o->to, &o->first_page, &o->last_page, &o->stream, &sound,
                   &o->max_pixels, &o->memory_limit, &used);
    if (n != 12 || version != WIRE_VERSION)
        return base_fail(PR_ERR_INTERNAL, "pagereel and pagereel-ingest are of different versions; install both again");
    o->sampling = (enum ingest_sampling)sampling;
    o->sound = sound != 0;
    return get_times(text + used, o);
}
