/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/film.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/source.h"

#include <math.h>

enum { LOOK_PIXELS = 1 << 10 }; /* when only the times of frames matter */

void engine_film_finish(struct engine_film *film)
{
    base_free(film->wanted);
    base_free(film->times);
    *film = (struct engine_film){0};
}

/* A first reading for the times of frames, where the file doesn't tell enough to choose them beforehand. */
static int look_for_times(const char *path, const struct ingest_options *asked, const struct vision_family *family,
                          bool chosen, struct engine_film *out)
{
    int err;
    struct pr_unit unit;
    struct ingest_source *source = NULL;
    out->options = *asked;
    if (!chosen) {
        out->options.sampling = INGEST_RATE;
        out->options.rate = out->fps = family->fps;
    }
    for (int pass = 0; pass < 2; pass++) {
        struct ingest_options options = out->options;
        options.max_pixels = LOOK_PIXELS;
        out->n = 0;
        TRY(ingest_open(path, &options, &source));
        while ((err = engine_source_picture(source, &unit)) == PR_OK) {
            if (!(out->n & (out->n - 1)))
                out->times = base_realloc(out->times, (out->n ? 2 * (size_t)out->n : 1) * sizeof *out->times);
            out->times[out->n++] = unit.span.t0 == PR_TIME_NONE ? 0 : unit.span.t0;
            out->duration = unit.span.t1 == PR_TIME_NONE ? 0 : unit.span.t1;
        }
        TRY(err);
        if (chosen || out->n <= family->max_frames)
            break;
        out->options.rate *=
            (double)family->max_frames / (out->n + 1); /* more than it takes: the same, farther apart */
        out->fps = out->options.rate;
        ingest_close(source);
        source = NULL;
    }
    if (out->n == 0)
        TRY(engine_source_nothing(path, asked));
    err = PR_OK;
fail:
    ingest_close(source);
    return err;
}

/* Evenly spread ones, in the middles of equal parts. */
static int32_t spread(int64_t total, int32_t n, int64_t *frames)
{
    n = n < total ? n : (int32_t)total;
    for (int32_t i = 0; i < n; i++)
        frames[i] = (int64_t)((i + 0.5) * (double)total / n);
    return n;
}

/* Which frames of a stream with `total` frames at `rate` a second, the first of them shown at `from`. */
static void take_times(const struct vision_family *family, int32_t asked, int64_t total, double rate, int64_t from,
                       struct engine_film *out)
{
    int32_t most = asked > 0 ? asked : family->max_frames;
    int64_t *frames = base_alloc_array((size_t)most + 1, sizeof *frames);
    out->n = asked > 0 ? spread(total, asked, frames) : family->sample(family, total, rate, frames);
    out->wanted = base_alloc_array((size_t)out->n, sizeof *out->wanted);
    out->times = base_alloc_array((size_t)out->n, sizeof *out->times);
    for (int32_t i = 0; i < out->n; i++) {
        out->times[i] = from + llround((double)frames[i] * 1e6 / rate);
        out->wanted[i] = from + llround(((double)frames[i] + 0.5) * 1e6 / rate); /* in the middle of its time */
    }
    out->rate = rate;
    out->fps = (double)out->n / (double)total * rate;
    out->duration = llround((double)total * 1e6 / rate);
    base_free(frames);
}

/* The video stream that frames come from. NULL: none is told. */
static const struct pr_stream *chosen_stream(const struct pr_source_info *info)
{
    for (size_t i = 0; i < info->n_streams; i++)
        if (info->streams[i].kind == PR_STREAM_VIDEO && info->streams[i].chosen)
            return &info->streams[i];
    return NULL;
}

int engine_film_choose(struct engine_film *out, const char *path, const struct ingest_options *options,
                       const struct pr_source_info *info, const struct vision_family *family,
                       const struct pr_settings *settings)
{
    *out = (struct engine_film){0};
    if (settings->scenes || settings->keys)
        return look_for_times(path, options, family, true, out);
    if (settings->frames > INGEST_MAX_TIMES)
        return base_fail(PR_ERR_INVALID, "--frames %d: at most %d are looked at in one prompt", settings->frames,
                         INGEST_MAX_TIMES);
    const struct pr_stream *stream = chosen_stream(info);
    double rate = stream ? stream->rate : 0;
    int64_t from = options->from == PR_TIME_NONE ? 0 : options->from, total = 0;
    if (info->duration != PR_TIME_NONE && rate > 0) {
        bool part = options->from != PR_TIME_NONE || options->to != PR_TIME_NONE;
        int64_t end = options->to != PR_TIME_NONE && options->to < info->duration ? options->to : info->duration;
        total = !part && stream->frames > 0 ? stream->frames : llround((double)(end - from) * rate * 1e-6);
    }
    if (total < 1)
        return look_for_times(path, options, family, settings->frames > 0, out);
    take_times(family, settings->frames, total, rate, from, out);
    out->options = *options;
    out->options.sampling = INGEST_TIMES;
    out->options.from = out->options.to = PR_TIME_NONE;
    out->options.times = out->wanted;
    out->options.n_times = out->n;
    return PR_OK;
}
