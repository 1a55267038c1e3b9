/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Looking at files: decoding (the worker of ingest), preparing (here) and encoding (encoding.h) happen at the same time.
 */
#include "engine/encoding.h"

#include "base/mem.h"
#include "engine/film.h"
#include "engine/input.h"
#include "engine/model.h"
#include "engine/range.h"
#include "engine/source.h"
#include "ingest/source.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    IMAGE_PIXELS = 1 << 26, /* larger pictures are scaled down when they are decoded */
    PAGE_PIXELS = 1 << 21,  /* what a page is drawn with, unless more tokens are asked for */
    LOOK_PIXELS = 1 << 10,  /* when only the size of a page matters */
    CHUNK = 16,             /* crops of a picture that are encoded in one go */
};

struct seeing {
    struct engine_vision *vision;
    const char *path;
    struct ingest_options options;
    int32_t max_tokens;         /* of a picture; 0: as the model was made for */
    double box[4];              /* the part that is looked at; box[2] 0: all */
    struct ingest_source *file; /* of a video, opened for what it says of itself; NULL: not yet */
    struct pr_cancel *cancel;
};

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
    for (size_t i = 0; i < m->n_runs; i++)
        engine_run_finish(&m->runs[i]);
    base_free(m->runs);
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

static int make_run(struct engine_run *run, const struct vision_layout *layout, const struct vision_piece *piece,
                    size_t width)
{
    const struct vision_crop *crop = &layout->crops[piece->crop];
    size_t n = (size_t)vision_tokens(layout, piece->crop, piece->n_crops);
    bool grid = layout->params->family->grid_positions;
    *run = (struct engine_run){.n = (int32_t)n,
                               .advance = (int32_t)n,
                               .frames = piece->n_crops,
                               .grid_rows = crop->rows,
                               .grid_cols = crop->cols};
    run->rows = base_try_alloc(n, width * sizeof *run->rows);
    run->positions = grid ? base_try_alloc(n, 4 * sizeof *run->positions) : NULL;
    if (!run->rows || (grid && !run->positions))
        return base_fail(PR_ERR_NOMEM, "no memory for %zu visual tokens", n);
    if (grid)
        vision_positions(layout, piece, run->positions, &run->advance);
    return PR_OK;
}

/* The runs of a layout, whose words are moved. rows_of[crop]: where its tokens go; the caller's. */
static int make_runs(struct engine_medium *m, struct vision_layout *layout, size_t width, float ***rows_of)
{
    int err;
    float **rows = *rows_of = base_alloc_array((size_t)layout->n_crops + 1, sizeof *rows);
    m->runs = base_alloc_array((size_t)layout->n_pieces + 1, sizeof *m->runs);
    m->tile_rows = layout->tile_rows;
    m->tile_cols = layout->tile_cols;
    for (int32_t i = 0; i < layout->n_pieces; i++) {
        struct vision_piece *piece = &layout->pieces[i];
        struct engine_run *run = &m->runs[m->n_runs++];
        if (piece->text) {
            run->text = piece->text;
            piece->text = NULL;
            continue;
        }
        TRY(make_run(run, layout, piece, width));
        for (int32_t c = 0; c < piece->n_crops; c++)
            rows[piece->crop + c] = run->rows + (size_t)vision_tokens(layout, piece->crop, c) * width;
    }
    return PR_OK;
fail:
    return err;
}

/* Moves the tokens of crops first .. first + n - 1 to their runs. */
static void put_rows(const struct vision_layout *layout, int32_t first, int32_t n, const float *rows, size_t width,
                     float *const *rows_of)
{
    for (int32_t i = first; i < first + n; i++) {
        size_t values = (size_t)vision_tokens(layout, i, 1) * width;
        memcpy(rows_of[i], rows, values * sizeof *rows);
        rows += values;
    }
}

/* ---- pictures and pages ----------------------------------------------------------------------------------------- */

static struct vision_image image_of(const struct pr_unit *unit)
{
    return (struct vision_image){.width = unit->picture_width,
                                 .height = unit->picture_height,
                                 .stride = 3 * (size_t)unit->picture_width,
                                 .rgb = unit->rgb,
                                 .span = unit->span};
}

/* The part of a unit's picture that is looked at. */
static int part_of(const struct seeing *s, const struct pr_unit *unit, struct vision_image *out)
{
    *out = image_of(unit);
    if (s->box[2] <= 0)
        return PR_OK;
    double sx = unit->picture_width / unit->width, sy = unit->picture_height / unit->height;
    double x0 = fmax(0, floor(s->box[0] * sx + 1e-6)), x1 = fmin(unit->picture_width, ceil(s->box[2] * sx - 1e-6));
    double y0 = fmax(0, floor(s->box[1] * sy + 1e-6)), y1 = fmin(unit->picture_height, ceil(s->box[3] * sy - 1e-6));
    if (x1 <= x0 || y1 <= y0)
        return base_fail(PR_ERR_INVALID, "the box %g,%g,%g,%g lies outside of the picture (%.0f x %.0f)", s->box[0],
                         s->box[1], s->box[2], s->box[3], unit->width, unit->height);
    *out = vision_image_part(out, (int32_t)x0, (int32_t)y0, (int32_t)(x1 - x0), (int32_t)(y1 - y0));
    return PR_OK;
}

static int see_picture(const struct seeing *s, struct engine_medium *m, const struct pr_unit *unit)
{
    int err;
    struct vision_image image;
    struct vision_layout layout = {0};
    float **rows_of = NULL, *rows = NULL;
    uint8_t *rgb = NULL;
    struct vision_encoder *encoder = s->vision->encoder;
    size_t width = (size_t)vision_encoder_width(encoder);
    TRY(part_of(s, unit, &image));
    struct vision_request request = {.medium = VISION_IMAGE,
                                     .width = image.width,
                                     .height = image.height,
                                     .n_frames = 1,
                                     .max_tokens = s->max_tokens};
    TRY(vision_layout_init(&layout, vision_encoder_params(encoder), &request));
    TRY(make_runs(m, &layout, width, &rows_of));
    m->partial = unit->partial;
    rgb = base_try_alloc(vision_fill_size(&layout, 0, layout.n_crops), 1);
    int32_t chunk = layout.n_crops < CHUNK ? layout.n_crops : CHUNK;
    rows = base_try_alloc((size_t)vision_tokens(&layout, 0, chunk), width * sizeof *rows);
    if (!rgb || !rows)
        TRY(base_fail(PR_ERR_NOMEM, "no memory for a picture of %d x %d", image.width, image.height));
    TRY(vision_fill(&layout, 0, layout.n_crops, &image, rgb));
    for (int32_t first = 0, n; first < layout.n_crops; first += n) {
        n = layout.n_crops - first < chunk ? layout.n_crops - first : chunk;
        TRY(vision_encode(encoder, &layout, first, n, rgb + vision_fill_size(&layout, 0, first), rows,
                          engine_cancel(s->cancel)));
        put_rows(&layout, first, n, rows, width, rows_of);
        s->vision->encoded += n;
    }
fail:
    vision_layout_finish(&layout);
    base_free(rows_of);
    base_free(rows);
    base_free(rgb);
    return err;
}

/* A page is drawn so large that the part of it that is looked at fills the tokens that it may take. */
static int choose_page_pixels(struct seeing *s)
{
    int err;
    struct pr_unit unit;
    struct ingest_source *source = NULL;
    const struct vision_params *p = vision_encoder_params(s->vision->encoder);
    double pixels = fmax(PAGE_PIXELS, (double)s->max_tokens * p->patch * p->merge * p->patch * p->merge);
    struct ingest_options options = s->options;
    options.max_pixels = LOOK_PIXELS;
    if (s->box[2] > 0) {
        TRY(ingest_open(s->path, &options, &source));
        TRY(engine_source_picture(source, &unit));
        if (err == PR_OK) {
            double w = fmin(s->box[2], unit.width) - s->box[0], h = fmin(s->box[3], unit.height) - s->box[1];
            pixels *= w > 0 && h > 0 ? unit.width * unit.height / (w * h) : 1;
        }
    }
    s->options.max_pixels = (int64_t)fmin(pixels, IMAGE_PIXELS);
    err = PR_OK;
fail:
    ingest_close(source);
    return err;
}

/* Every picture of the file, or only its first one. */
static int see_pictures(const struct seeing *s, struct engine_media *list, bool all)
{
    int err;
    struct pr_unit unit;
    struct ingest_source *source = NULL;
    size_t before = list->n;
    TRY(ingest_open(s->path, &s->options, &source));
    while ((err = engine_source_picture(source, &unit)) == PR_OK) {
        TRY(see_picture(s, add_medium(list), &unit));
        if (!all)
            break;
    }
    TRY(err);
    if (list->n == before)
        TRY(engine_source_nothing(s->path, &s->options));
    err = PR_OK;
fail:
    ingest_close(source);
    return err;
}

/* ---- videos ----------------------------------------------------------------------------------------------------- */

/* Opens the file for what it says of itself. */
static int open_file(struct seeing *s)
{
    struct ingest_options options = s->options;
    options.sampling = INGEST_NONE;
    options.max_pixels = 0;
    return s->file ? PR_OK : ingest_open(s->path, &options, &s->file);
}

static void close_file(struct seeing *s)
{
    ingest_close(s->file);
    s->file = NULL;
}

static int choose_frames(struct seeing *s, const struct pr_settings *settings, struct engine_film *out)
{
    int err;
    TRY(open_file(s));
    err = engine_film_choose(out, s->path, &s->options, ingest_info(s->file),
                             vision_encoder_params(s->vision->encoder)->family, settings);
fail:
    close_file(s);
    return err;
}

/* Crops on their way: prepared ones wait in buffer `now` while those of the other one are encoded. */
struct stream {
    struct vision_layout layout;
    float **rows_of;
    size_t width;
    struct engine_encoding *encoding;
    uint8_t *rgb[2];
    float *rows[2];
    int now;
    int32_t batch; /* crops that are encoded together; never by how busy the machine is, which rows could tell */
    int32_t prepared, n_waiting; /* crops that are prepared, and of them those in buffer `now` */
    int32_t n_encoding;          /* crops of the other buffer */
    const uint8_t *last;         /* the frame that was prepared last, in one of the buffers */
    int32_t frame_width, frame_height;
};

static void stream_finish(struct stream *st)
{
    engine_encoding_destroy(st->encoding);
    vision_layout_finish(&st->layout);
    base_free(st->rows_of);
    for (int i = 0; i < 2; i++) {
        base_free(st->rgb[i]);
        base_free(st->rows[i]);
    }
    *st = (struct stream){0};
}

static int stream_begin(const struct seeing *s, struct stream *st, struct engine_medium *m,
                        const struct engine_film *film, const struct pr_unit *unit)
{
    int err;
    struct vision_encoder *encoder = s->vision->encoder;
    struct vision_request request = {.medium = VISION_VIDEO,
                                     .width = unit->picture_width,
                                     .height = unit->picture_height,
                                     .n_frames = film->n,
                                     .times = film->times,
                                     .rate = film->rate,
                                     .duration = film->duration,
                                     .fps = film->fps,
                                     .max_tokens = s->max_tokens};
    st->frame_width = unit->picture_width;
    st->frame_height = unit->picture_height;
    st->width = (size_t)vision_encoder_width(encoder);
    TRY(vision_layout_init(&st->layout, vision_encoder_params(encoder), &request));
    TRY(make_runs(m, &st->layout, st->width, &st->rows_of));
    m->video = true;
    int32_t n = st->batch = engine_encoding_batch(&st->layout);
    bool good = true;
    for (int i = 0; i < 2; i++) {
        st->rgb[i] = base_try_alloc(vision_fill_size(&st->layout, 0, n), 1);
        st->rows[i] = base_try_alloc((size_t)vision_tokens(&st->layout, 0, n), st->width * sizeof *st->rows[i]);
        good &= st->rgb[i] && st->rows[i];
    }
    if (!good)
        TRY(base_fail(PR_ERR_NOMEM, "no memory for frames of %d x %d", st->frame_width, st->frame_height));
    st->encoding = engine_encoding_create(s->vision, engine_cancel(s->cancel));
fail:
    return err;
}

/* Takes the tokens of the batch that was being encoded. */
static void stream_take(struct stream *st)
{
    int32_t first = st->prepared - st->n_waiting - st->n_encoding;
    put_rows(&st->layout, first, st->n_encoding, st->rows[!st->now], st->width, st->rows_of);
    st->n_encoding = 0;
}

/* Gives what waits to the encoder. */
static int stream_encode(struct stream *st)
{
    int err;
    TRY(engine_encoding_wait(st->encoding));
    stream_take(st);
    TRY(engine_encoding_start(st->encoding, &st->layout, st->prepared - st->n_waiting, st->n_waiting, st->rgb[st->now],
                              st->rows[st->now]));
    st->n_encoding = st->n_waiting;
    st->n_waiting = 0;
    st->now = !st->now;
fail:
    return err;
}

static int stream_end(struct stream *st)
{
    int err;
    if (st->n_waiting > 0)
        TRY(stream_encode(st));
    TRY(engine_encoding_wait(st->encoding));
    stream_take(st);
    return PR_OK;
fail:
    return err;
}

/* Prepares frame i of n; unit NULL: the one before is shown still. */
static int stream_add(struct stream *st, int32_t i, int32_t n, const struct pr_unit *unit)
{
    int err = PR_OK;
    int32_t pair = st->layout.params->n_frames; /* 1 or 2 */
    size_t size = vision_frame_size(&st->layout);
    uint8_t *rgb = st->rgb[st->now] + ((size_t)st->n_waiting * (size_t)pair + (size_t)(i % pair)) * size;
    if (unit && (unit->picture_width != st->frame_width || unit->picture_height != st->frame_height))
        TRY(base_fail(PR_ERR_UNSUPPORTED,
                      "the size of the video changes from %d x %d to %d x %d; cut it there with --from and --to",
                      st->frame_width, st->frame_height, unit->picture_width, unit->picture_height));
    if (unit) {
        struct vision_image image = image_of(unit);
        TRY(vision_fill_frame(&st->layout, &image, rgb));
    } else {
        memcpy(rgb, st->last, size);
    }
    st->last = rgb;
    if (i % pair < pair - 1 && i + 1 < n)
        return PR_OK;
    if (i % pair < pair - 1) /* an odd last frame */
        memcpy(rgb + size, rgb, size);
    st->prepared++;
    st->n_waiting++;
    if (st->n_waiting == st->batch)
        TRY(stream_encode(st));
fail:
    return err;
}

/* Whether the video may end at frame i of n: its container's length is rarely that of its pictures to the frame, and what was shown
 * last stays on the screen. */
static bool may_end(int32_t i, int32_t n)
{
    return i > 0 && n - i <= (n + 9) / 10;
}

/* Reads the frames of a film. *n_read: how many there were, if fewer than it says; then nothing was seen. */
static int see_frames(const struct seeing *s, struct engine_medium *m, const struct engine_film *film, int32_t *n_read)
{
    int err = PR_OK;
    struct pr_unit unit = {0};
    struct stream st = {0};
    struct ingest_source *source = NULL;
    bool ended = false;
    *n_read = film->n;
    TRY(ingest_open(s->path, &film->options, &source));
    for (int32_t i = 0; i < film->n; i++) {
        bool same = film->wanted && i > 0 && film->wanted[i] < unit.span.t1;
        if (!same && !ended) {
            TRY(engine_source_picture(source, &unit));
            ended = err == PR_EOF;
            m->partial |= !ended && unit.partial;
        }
        if (ended && !may_end(i, film->n)) {
            *n_read = i;
            break;
        }
        if (i == 0)
            TRY(stream_begin(s, &st, m, film, &unit));
        TRY(stream_add(&st, i, film->n, same || ended ? NULL : &unit));
    }
    if (*n_read == film->n)
        TRY(stream_end(&st));
    err = PR_OK;
fail:
    ingest_close(source);
    stream_finish(&st);
    return err;
}

static int see_video(struct seeing *s, struct engine_media *list, const struct pr_settings *settings)
{
    int err;
    int32_t n;
    struct engine_film film = {0};
    TRY(choose_frames(s, settings, &film));
    struct engine_medium *m = add_medium(list);
    TRY(see_frames(s, m, &film, &n));
    if (n < film.n) { /* damaged, or it says wrongly how long it is: once more, with the frames that there are */
        if (n == 0)
            TRY(base_fail(PR_ERR_NOT_FOUND, "%s: %d of %d frames are in it; it is damaged or cut short", s->path, n,
                          film.n));
        engine_medium_finish(m);
        film.n = n;
        film.duration = film.times[n - 1];
        if (film.wanted)
            film.options.n_times = n;
        TRY(see_frames(s, m, &film, &n));
        if (n < film.n)
            TRY(base_fail(PR_ERR_IO, "the video gave %d frames at first, but %d the second time; try again", film.n,
                          n));
    }
    err = PR_OK;
fail:
    engine_film_finish(&film);
    return err;
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

/* The frame at one time, as a picture. */
static void only_at(struct seeing *s, int64_t *at)
{
    s->options.sampling = INGEST_TIMES;
    s->options.times = at;
    s->options.n_times = 1;
    s->options.from = s->options.to = PR_TIME_NONE;
}

static int find_kind(struct seeing *s, enum pr_item_kind *out)
{
    int err;
    TRY(open_file(s));
    const char *kind = ingest_info(s->file)->kind;
    *out = !strcmp(kind, "video") ? PR_ITEM_VIDEO : !strcmp(kind, "image") ? PR_ITEM_IMAGE : PR_ITEM_PAGES;
    if (*out != PR_ITEM_VIDEO)
        close_file(s);
fail:
    return err;
}

/* *kind is what it really is then; *at the one time of a video that is looked at. */
static int begin(struct seeing *s, enum pr_item_kind *kind, const struct pr_settings *settings, int64_t *at)
{
    int err;
    TRY(engine_input_path(s->path, engine_cancel(s->cancel), &s->path));
    TRY(engine_source_options(settings, s->cancel, &s->options));
    if (*kind == PR_ITEM_FILE)
        TRY(find_kind(s, kind));
    bool film = *kind == PR_ITEM_VIDEO && !settings->at[0];
    if (settings->box[0])
        TRY(engine_parse_box(settings->box, s->box));
    if (settings->box[0] && film)
        TRY(base_fail(PR_ERR_INVALID, "--box is a part of one picture; give --at TIME for a frame of a video"));
    s->options.max_pixels = IMAGE_PIXELS;
    if (*kind == PR_ITEM_PAGES)
        TRY(choose_page_pixels(s));
    if (*kind == PR_ITEM_VIDEO && !film) {
        TRY(pr_time_parse(settings->at, at));
        only_at(s, at);
    }
fail:
    return err;
}

int engine_media_read(struct engine_media *list, struct engine_vision *vision, enum pr_item_kind kind, const char *path,
                      const struct pr_settings *settings, struct pr_cancel *cancel)
{
    int err;
    int64_t at;
    size_t before = list->n;
    struct seeing s = {.vision = vision, .path = path, .max_tokens = settings->image_tokens, .cancel = cancel};
    TRY(begin(&s, &kind, settings, &at));
    if (kind == PR_ITEM_VIDEO && !settings->at[0])
        TRY(see_video(&s, list, settings));
    else
        TRY(see_pictures(&s, list, kind == PR_ITEM_PAGES));
fail:
    close_file(&s);
    if (err < 0)
        engine_media_cut(list, before);
    return engine_input_name(err, path, s.path);
}

/* ---- what it takes ---------------------------------------------------------------------------------------------- */

enum {
    SLOTS = 4,         /* of ingest: pictures that are decoded ahead */
    SLACK = 4 << 20,   /* rows of resizing, words, lists */
    LAYOUT_BYTES = 512 /* of a crop and its run, with their words */
};

/* The first picture that would be seen, and how many pages there are. */
static int first_picture(const struct seeing *s, const struct ingest_options *options, struct pr_unit *out,
                         int32_t *n_pages)
{
    int err;
    struct ingest_source *source = NULL;
    TRY(ingest_open(s->path, options, &source));
    TRY(engine_source_picture(source, out));
    if (err == PR_EOF)
        TRY(engine_source_nothing(s->path, &s->options));
    int32_t all = ingest_info(source)->n_pages, last = options->last_page < 0 ? all - 1 : options->last_page;
    *n_pages = all > 0 ? (last < all ? last : all - 1) - options->first_page + 1 : 1;
    out->rgb = NULL; /* belongs to the source */
fail:
    ingest_close(source);
    return err;
}

static int plan_layout(const struct seeing *s, const struct vision_request *request, bool film,
                       struct pr_visual_plan *out)
{
    int err;
    uint64_t encoding;
    struct vision_layout layout = {0};
    struct vision_encoder *encoder = s->vision->encoder;
    TRY(vision_layout_init(&layout, vision_encoder_params(encoder), request));
    const struct vision_crop *crop = &layout.crops[0];
    int32_t batch = film ? engine_encoding_batch(&layout) : layout.n_crops < CHUNK ? layout.n_crops : CHUNK;
    TRY(vision_encoder_memory(encoder, crop->width, crop->height, layout.n_crops < batch ? layout.n_crops : batch,
                              &encoding));
    if (layout.n_crops % batch) { /* the rest may take batches of other sizes */
        uint64_t rest;
        TRY(vision_encoder_memory(encoder, crop->width, crop->height, layout.n_crops % batch, &rest));
        encoding += rest;
    }
    uint64_t row = (uint64_t)vision_encoder_width(encoder) * sizeof(float);
    uint64_t crop_rows = (uint64_t)vision_tokens(&layout, 0, batch) * row;
    uint64_t filled = vision_fill_size(&layout, 0, film ? batch : layout.n_crops);
    uint64_t resized = 2 * 3 * (uint64_t)layout.resized_width * (uint64_t)layout.resized_height;
    out->crops = layout.n_crops;
    out->tokens = layout.n_tokens;
    out->width = vision_encoder_width(encoder);
    out->memory =
        encoding + SLACK + (film ? 2 : 1) * (crop_rows + filled) + resized + (uint64_t)layout.n_crops * LAYOUT_BYTES;
fail:
    vision_layout_finish(&layout);
    return err;
}

int engine_media_plan(struct engine_vision *vision, enum pr_item_kind kind, const char *path,
                      const struct pr_settings *settings, struct pr_cancel *cancel, struct pr_visual_plan *out)
{
    int err;
    int32_t n_pages;
    int64_t at;
    struct pr_unit unit;
    struct engine_film film = {0};
    struct seeing s = {.vision = vision, .path = path, .max_tokens = settings->image_tokens, .cancel = cancel};
    struct ingest_options one;
    *out = (struct pr_visual_plan){0};
    TRY(begin(&s, &kind, settings, &at));
    bool video = kind == PR_ITEM_VIDEO && !settings->at[0];
    if (video)
        TRY(choose_frames(&s, settings, &film));
    one = video ? film.options : s.options;
    if (video && film.wanted)
        one.n_times = 1;
    TRY(first_picture(&s, &one, &unit, &n_pages));
    struct vision_image image = {.width = unit.picture_width, .height = unit.picture_height};
    struct vision_request request = {.medium = video ? VISION_VIDEO : VISION_IMAGE,
                                     .n_frames = video ? film.n : 1,
                                     .times = film.times,
                                     .rate = film.rate,
                                     .duration = film.duration,
                                     .fps = film.fps,
                                     .max_tokens = s.max_tokens};
    uint64_t pixels = (uint64_t)image.width * (uint64_t)image.height;
    if (kind == PR_ITEM_PAGES && n_pages > 1) { /* pages may differ: a square takes most */
        pixels = (uint64_t)s.options.max_pixels;
        image.width = image.height = (int32_t)ceil(sqrt((double)pixels));
    } else if (!video) {
        TRY(part_of(&s, &unit, &image));
    }
    request.width = image.width;
    request.height = image.height;
    TRY(plan_layout(&s, &request, video, out));
    out->pictures = video ? film.n : kind == PR_ITEM_PAGES ? n_pages : 1;
    if (!video) {
        out->tokens *= out->pictures;
        out->crops *= out->pictures;
    }
    uint64_t decoded = (uint64_t)(out->pictures < SLOTS ? out->pictures : SLOTS) + 1;
    out->memory += decoded * 3 * pixels + (uint64_t)out->tokens * ((uint64_t)out->width * sizeof(float) + 16);
fail:
    close_file(&s);
    engine_film_finish(&film);
    return engine_input_name(err, path, s.path);
}

/* ---- again ------------------------------------------------------------------------------------------------------ */

int engine_look_again(struct engine_vision *vision, const char *path, const struct engine_place *place,
                      int32_t max_tokens, const char *password, struct pr_cancel *cancel, struct engine_medium *out)
{
    int err;
    int64_t at = place->at;
    struct engine_media list = {0};
    struct seeing s = {.vision = vision,
                       .path = path,
                       .options = ingest_options_default(),
                       .max_tokens = max_tokens,
                       .box = {place->box.x0, place->box.y0, place->box.x1, place->box.y1},
                       .cancel = cancel};
    *out = (struct engine_medium){0};
    s.options.password = password && *password ? password : NULL;
    s.options.cancel = engine_cancel(cancel);
    s.options.max_pixels = IMAGE_PIXELS;
    if (place->page != PR_PAGE_NONE) {
        s.options.first_page = s.options.last_page = place->page;
        TRY(choose_page_pixels(&s));
    }
    if (at != PR_TIME_NONE)
        only_at(&s, &at);
    TRY(see_pictures(&s, &list, false));
    *out = list.media[0];
    list.n = 0;
fail:
    engine_media_finish(&list);
    return engine_input_name(err, path, path);
}
