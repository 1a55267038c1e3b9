/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/vision.h"

#include "base/mem.h"
#include "engine/model.h"
#include "engine/source.h"
#include "ingest/source.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    IMAGE_PIXELS = 1 << 26, /* larger pictures are scaled down when they are decoded */
    PAGE_PIXELS = 1 << 21,  /* what a page is drawn with */
    LOOK_PIXELS = 1 << 10,  /* when only the times of frames matter */
};

/* ---- finding the file ------------------------------------------------------------------------------------------- */

static bool is_mmproj(const char *name)
{
    size_t len = strlen(name);
    return strstr(name, "mmproj") && len > 5 && !strcmp(name + len - 5, ".gguf");
}

/* How much two names share: the longest run of characters that both have. */
static size_t likeness(const char *a, const char *b)
{
    size_t best = 0;
    for (const char *p = a; *p; p++)
        for (const char *q = b; *q; q++) {
            size_t n = 0;
            while (p[n] && p[n] == q[n])
                n++;
            best = n > best ? n : best;
        }
    return best;
}

/* The mmproj beside the model: of several the one whose name is most like the model's. */
static int find_beside(const char *model, struct base_buf *out)
{
    const char *slash = strrchr(model, '/'), *name = slash ? slash + 1 : model;
    struct base_buf folder = {0};
    char best[256] = "";
    base_buf_printf(&folder, "%.*s", slash ? (int)(slash - model) : 1, slash ? model : ".");
    DIR *dir = opendir(folder.len ? folder.data : "/");
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (!is_mmproj(e->d_name) || strlen(e->d_name) >= sizeof best)
            continue;
        size_t old = likeness(best, name), new = likeness(e->d_name, name);
        if (!*best || new > old || (new == old &&strcmp(e->d_name, best) < 0))
            snprintf(best, sizeof best, "%.250s", e->d_name);
    }
    if (dir)
        closedir(dir);
    if (*best)
        base_buf_printf(out, "%s/%s", folder.data ? folder.data : "", best);
    base_buf_finish(&folder);
    return *best ? PR_OK
                 : base_fail(PR_ERR_NOT_FOUND,
                             "%s: no mmproj file lies beside it, so it can't see pictures; give one with --mmproj FILE",
                             model);
}

static int check_fit(const struct engine_vision *v, const char *path, const struct hparams *hp, const char *model)
{
    const struct vision_params *p = &v->params;
    if (p->d_out != hp->d_model)
        return base_fail(PR_ERR_INVALID,
                         "%s doesn't belong to %s: it makes visual tokens of %d values, the model reads rows of %d",
                         path, model, p->d_out, hp->d_model);
    if (p->n_deepstack != hp->n_deepstack)
        return base_fail(PR_ERR_INVALID, "%s doesn't belong to %s: it makes %d DeepStack slices, the model reads %d",
                         path, model, p->n_deepstack, hp->n_deepstack);
    if (p->family->grid_positions != (hp->rope.kind == ROPE_MROPE || hp->rope.kind == ROPE_IMROPE))
        return base_fail(PR_ERR_INVALID,
                         "%s doesn't belong to %s: the positions of a %s encoder are not those of a %s model", path,
                         model, p->family->title, hp->arch);
    return PR_OK;
}

int engine_vision_peek(struct engine_vision *out, const char *mmproj, const char *model, const struct hparams *hp)
{
    int err;
    struct base_buf found = {0};
    const char *path = mmproj;
    *out = (struct engine_vision){0};
    if (!*path && !*model)
        return base_fail(PR_ERR_INVALID, "no vision part of a model was given; use --mmproj FILE");
    if (!*path) {
        TRY(find_beside(model, &found));
        path = found.data;
    }
    TRY(model_gguf_open(path, &out->gguf));
    TRY(vision_params_read(out->gguf, &out->params));
    if (hp)
        TRY(check_fit(out, path, hp, model));
    base_buf_finish(&found);
    return PR_OK;
fail:
    base_buf_finish(&found);
    engine_vision_close(out);
    return err;
}

int engine_vision_open(struct engine_vision *out, const char *mmproj, const char *model, struct device *device,
                       struct device *host, const struct hparams *hp)
{
    int err;
    struct vision_encoder_options options = {.device = device, .host = host};
    if (!out->gguf)
        TRY(engine_vision_peek(out, mmproj, model, hp));
    TRY(vision_encoder_create(out->gguf, &options, &out->encoder));
    return PR_OK;
fail:
    engine_vision_close(out);
    return err;
}

void engine_vision_close(struct engine_vision *v)
{
    vision_encoder_destroy(v->encoder);
    model_gguf_close(v->gguf);
    *v = (struct engine_vision){0};
}

/* ---- media ------------------------------------------------------------------------------------------------------ */

void engine_run_finish(struct engine_run *run)
{
    base_free(run->text);
    base_free(run->rows);
    base_free(run->positions);
    *run = (struct engine_run){0};
}

void engine_medium_finish(struct engine_medium *m)
{
    vision_layout_finish(&m->layout);
    for (size_t i = 0; i < m->n_runs; i++)
        engine_run_finish(&m->runs[i]);
    base_free(m->runs);
    base_free(m->rows);
    *m = (struct engine_medium){0};
}

void engine_media_cut(struct engine_media *list, size_t n)
{
    while (list->n > n)
        engine_medium_finish(&list->media[--list->n]);
}

void engine_media_finish(struct engine_media *list)
{
    engine_media_cut(list, 0);
    base_free(list->media);
    *list = (struct engine_media){0};
}

static struct engine_medium *add_medium(struct engine_media *list)
{
    list->media = base_realloc(list->media, (list->n + 1) * sizeof *list->media);
    list->media[list->n] = (struct engine_medium){0};
    return &list->media[list->n++];
}

static int start_medium(struct engine_medium *m, struct engine_vision *v, const struct vision_request *request)
{
    m->video = request->medium == VISION_VIDEO;
    int err = vision_layout_init(&m->layout, vision_encoder_params(v->encoder), request);
    if (err < 0)
        return err;
    m->rows = base_try_alloc((size_t)m->layout.n_tokens, (size_t)vision_encoder_width(v->encoder) * sizeof *m->rows);
    return m->rows ? PR_OK : base_fail(PR_ERR_NOMEM, "no memory for %lld visual tokens", (long long)m->layout.n_tokens);
}

/* Crops first .. first + n - 1, which are those of `images`. */
static int encode(struct engine_medium *m, struct engine_vision *v, int32_t first, int32_t n,
                  const struct vision_image *images, struct pr_cancel *cancel)
{
    uint8_t *rgb = base_try_alloc(vision_fill_size(&m->layout, first, n), 1);
    if (!rgb)
        return base_fail(PR_ERR_NOMEM, "no memory for the pixels of a picture");
    float *rows = m->rows + vision_tokens(&m->layout, 0, first) * vision_encoder_width(v->encoder);
    int err = vision_fill(&m->layout, first, n, images, rgb);
    if (err >= 0)
        err = vision_encode(v->encoder, &m->layout, first, n, rgb, rows, engine_cancel(cancel));
    v->encoded += err >= 0 ? n : 0;
    base_free(rgb);
    return err;
}

static struct vision_image image_of(const struct pr_unit *unit)
{
    return (struct vision_image){.width = unit->picture_width,
                                 .height = unit->picture_height,
                                 .stride = 3 * (size_t)unit->picture_width,
                                 .rgb = unit->rgb,
                                 .span = unit->span};
}

static int see_picture(struct engine_media *list, struct engine_vision *v, const struct pr_unit *unit,
                       const struct pr_settings *settings, struct pr_cancel *cancel)
{
    struct vision_image image = image_of(unit);
    struct vision_request request = {.medium = VISION_IMAGE,
                                     .width = image.width,
                                     .height = image.height,
                                     .n_frames = 1,
                                     .max_tokens = settings->image_tokens};
    struct engine_medium *m = add_medium(list);
    int err = start_medium(m, v, &request);
    return err < 0 ? err : encode(m, v, 0, m->layout.n_crops, &image, cancel);
}

/* The next unit that is a picture. */
static int next_picture(struct ingest_source *source, struct pr_unit *unit)
{
    int err;
    do
        err = ingest_next(source, unit);
    while (err == PR_OK && !unit->rgb);
    return err;
}

static int see_pictures(struct engine_media *list, struct engine_vision *v, const char *path, bool all,
                        const struct ingest_options *options, const struct pr_settings *settings,
                        struct pr_cancel *cancel)
{
    int err;
    struct pr_unit unit;
    struct ingest_source *source = NULL;
    size_t before = list->n;
    TRY(ingest_open(path, options, &source));
    while ((err = next_picture(source, &unit)) == PR_OK) {
        TRY(see_picture(list, v, &unit, settings, cancel));
        if (!all)
            break;
    }
    TRY(err);
    if (list->n == before)
        TRY(base_fail(PR_ERR_NOT_FOUND, "%s: there is no picture in it", path));
    err = PR_OK;
fail:
    ingest_close(source);
    return err;
}

/* ---- videos ----------------------------------------------------------------------------------------------------- */

/* The frames that a first reading finds: their times, and the size that all of them have. */
struct frames {
    int64_t *times, duration;
    int32_t n, width, height;
};

static int look(const char *path, const struct ingest_options *given, const struct vision_family *family,
                const struct pr_settings *settings, struct ingest_options *chosen, struct frames *out)
{
    int err;
    struct pr_unit unit;
    struct ingest_source *source = NULL;
    *chosen = *given;
    if (!settings->frames && !settings->scenes && !settings->keys) {
        chosen->sampling = INGEST_RATE;
        chosen->rate = family->fps;
    }
    struct ingest_options options = *chosen;
    options.max_pixels = LOOK_PIXELS;
    TRY(ingest_open(path, &options, &source));
    const struct pr_source_info *info = ingest_info(source);
    out->duration = info->duration == PR_TIME_NONE ? 0 : info->duration;
    if (chosen->sampling == INGEST_RATE && (double)out->duration * 1e-6 * family->fps > family->max_frames) {
        chosen->sampling = options.sampling = INGEST_BUDGET;
        chosen->budget = options.budget = family->max_frames;
        ingest_close(source);
        source = NULL;
        TRY(ingest_open(path, &options, &source));
    }
    int64_t start = info && ingest_info(source)->start != PR_TIME_NONE ? ingest_info(source)->start : 0;
    while ((err = next_picture(source, &unit)) == PR_OK) {
        if (!(out->n & (out->n - 1)))
            out->times = base_realloc(out->times, (out->n ? 2 * (size_t)out->n : 1) * sizeof *out->times);
        out->times[out->n++] = unit.span.t0 == PR_TIME_NONE ? 0 : unit.span.t0 - start;
        out->width = (int32_t)unit.width;
        out->height = (int32_t)unit.height;
    }
    TRY(err);
    if (out->n == 0)
        TRY(base_fail(PR_ERR_NOT_FOUND, "%s: there is no frame in it", path));
    err = PR_OK;
fail:
    ingest_close(source);
    return err;
}

/* Copies a unit's picture, which the next call on its source overwrites. */
static int keep_frame(const struct pr_unit *unit, const struct frames *frames, struct vision_image *out,
                      uint8_t **memory)
{
    if (unit->picture_width != frames->width || unit->picture_height != frames->height)
        return base_fail(PR_ERR_UNSUPPORTED,
                         "the size of the video changes from %d x %d to %d x %d; cut it there with "
                         "--from and --to",
                         frames->width, frames->height, unit->picture_width, unit->picture_height);
    size_t size = 3 * (size_t)unit->picture_width * (size_t)unit->picture_height;
    if (!*memory && !(*memory = base_try_alloc(size, 1)))
        return base_fail(PR_ERR_NOMEM, "no memory for a frame of %d x %d", unit->picture_width, unit->picture_height);
    memcpy(*memory, unit->rgb, size);
    *out = image_of(unit);
    out->rgb = *memory;
    return PR_OK;
}

/* Reads the frames again, one crop's worth after the other; the worker decodes ahead meanwhile. */
static int see_frames(struct engine_medium *m, struct engine_vision *v, struct ingest_source *source,
                      const struct frames *frames, struct pr_cancel *cancel)
{
    int err = PR_OK;
    struct pr_unit unit;
    struct vision_image images[2];
    uint8_t *memory[2] = {NULL, NULL};
    int32_t crop = 0, pair = m->layout.params->n_frames;
    for (int32_t i = 0; i < frames->n; i++) {
        TRY(next_picture(source, &unit));
        if (err == PR_EOF)
            TRY(base_fail(PR_ERR_IO, "the video gave %d frames at first, but %d the second time; try again", frames->n,
                          i));
        TRY(keep_frame(&unit, frames, &images[i % pair], &memory[i % pair]));
        if (i % pair < pair - 1 && i + 1 < frames->n)
            continue;
        int32_t end = crop;
        while (end < m->layout.n_crops && m->layout.crops[end].image <= i)
            end++;
        TRY(encode(m, v, crop, end - crop, images, cancel));
        crop = end;
    }
    err = PR_OK;
fail:
    base_free(memory[0]);
    base_free(memory[1]);
    return err;
}

static int see_video(struct engine_media *list, struct engine_vision *v, const char *path,
                     const struct ingest_options *given, const struct pr_settings *settings, struct pr_cancel *cancel)
{
    int err;
    struct frames frames = {0};
    struct ingest_options options;
    struct ingest_source *source = NULL;
    const struct vision_family *family = vision_encoder_params(v->encoder)->family;
    TRY(look(path, given, family, settings, &options, &frames));
    struct vision_request request = {.medium = VISION_VIDEO,
                                     .width = frames.width,
                                     .height = frames.height,
                                     .n_frames = frames.n,
                                     .times = frames.times,
                                     .duration = frames.duration,
                                     .fps = options.sampling == INGEST_RATE ? options.rate : 0,
                                     .max_tokens = settings->image_tokens};
    struct engine_medium *m = add_medium(list);
    TRY(start_medium(m, v, &request));
    TRY(ingest_open(path, &options, &source));
    TRY(see_frames(m, v, source, &frames, cancel));
fail:
    ingest_close(source);
    base_free(frames.times);
    return err;
}

int engine_media_read(struct engine_media *list, struct engine_vision *vision, enum pr_item_kind kind, const char *path,
                      const struct pr_settings *settings, struct pr_cancel *cancel)
{
    size_t before = list->n;
    struct ingest_options options;
    int err = engine_source_options(settings, cancel, &options);
    if (err < 0)
        return err;
    options.max_pixels = kind == PR_ITEM_PAGES ? PAGE_PIXELS : IMAGE_PIXELS;
    err = kind == PR_ITEM_VIDEO ? see_video(list, vision, path, &options, settings, cancel)
                                : see_pictures(list, vision, path, kind == PR_ITEM_PAGES, &options, settings, cancel);
    if (err < 0) {
        engine_media_cut(list, before);
        return strstr(pr_error_message(), path) ? err : base_fail_prefix(err, "%s", path);
    }
    return err;
}
