/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Looking at a source: its frames, pages or pictures become visual tokens, and those become segments of its evidence log.
 *
 * A film is taken in steps: a frame, or a pair of frames for encoders that see pairs. A frame that shows nothing new (the gate of
 * ingest) begins no step but lengthens the last one. Steps are prepared as they come, encoded in batches, and compressed segment by
 * segment (memory/compress.h); a segment ends at a cut, or when it is long. Pages and pictures keep all tokens but those of blank
 * cells; each tile is a segment. A segment is complete when it is written, and the commit behind it says where to go on: what is
 * interrupted costs the segment that is open.
 */
#include "engine/add.h"

#include "base/mem.h"
#include "compute/ref/ref.h"
#include "engine/clock.h"
#include "engine/encoding.h"
#include "engine/source.h"
#include "engine/visual.h"
#include "memory/calibrate.h"
#include "memory/compress.h"
#include "vision/blank.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BATCH = ENGINE_BATCH,     /* steps that are encoded together */
    LEAST_STEPS = 4,          /* of a segment, before a cut ends it */
    MOST_STEPS = 64,          /* of a segment */
    SEGMENT_BYTES = 32 << 20, /* of a segment's tokens before compression: bounds memory and time */
    FRAME_TOKENS = 256,       /* of a frame, or of a page whose text is known */
    PAGE_TOKENS = 1024,       /* of a page or picture that can only be seen */
    FRAME_PIXELS = 1 << 26,   /* larger ones are scaled down when they are decoded */
    PAGE_PIXELS = 1 << 21,
    BLANK = 2, /* of 255: pixels of a blank cell differ by no more */
    COMMIT_BYTES = 8 << 20,
    SEGMENT_HEAD = 1024, /* bytes of a segment besides its tokens and their mean, and of the commit behind it */
};
static const int64_t MOST_TIME = 600000000; /* microseconds of a segment, and of a step that doesn't change */
static const double COMMIT_SECONDS = 1;

struct step {
    int64_t t0, t1;
    bool cut;
};

struct looking {
    struct add_job *job;
    const struct library_source *source;
    struct evidence_writer *writer;
    struct evidence_progress progress; /* of the text, as it was */
    struct evidence_seen seen;
    int64_t token_bytes;     /* on the disk */
    int64_t tokens, waiting; /* visual tokens in the log; in what waits for the commit */
    int64_t other;           /* bytes of the log besides them and what belongs to them */
    double committed;
    bool broken; /* the log takes no more */
    bool all;    /* every frame is looked at, every token kept */

    /* of films */
    struct vision_layout layout; /* of a batch of steps */
    int32_t picture_width, picture_height;
    double width, height; /* of frames, as shown */
    bool waits;           /* the last step is the first frame of a pair */
    struct batch {
        uint8_t *rgb; /* [BATCH] crops, prepared */
        float *rows;  /* [BATCH] crops' tokens */
        struct step steps[BATCH];
        int32_t n;
    } batches[2]; /* one is prepared while the other is encoded */
    int now;      /* the one that is prepared; the other one, unless it is empty, is encoded or waits to be used */
    struct engine_encoding *encoding;
    struct compressor *compressor;
    int64_t segment_t0;
    struct calibration *calibration; /* NULL: this encoder's thresholds are known, or don't matter */
    float *before;                   /* the tokens of the step before, for it */
    bool has_before, thresholds_known, thresholds_new;
    struct thresholds thresholds;
    struct base_buf calibration_path;
};

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static int disk_full(const struct add_job *job)
{
    return base_fail(PR_ERR_NOMEM,
                     "%s: the library holds as much as --disk %lld allows; remove something with pagereel rm",
                     job->path, (long long)job->settings->disk);
}

static int commit(struct looking *l)
{
    struct add_job *job = l->job;
    int64_t bytes = (int64_t)memory_evidence_pending(l->writer);
    if (bytes > job->disk_left)
        return disk_full(job);
    job->disk_left -= bytes;
    memory_evidence_put_seen(l->writer, &l->seen);
    l->committed = engine_now();
    int err = memory_evidence_commit(l->writer, &l->progress);
    l->broken = err < 0; /* what was put since the last commit is lost, so where it ends may not be written any more */
    l->tokens += l->waiting;
    l->waiting = 0;
    return err;
}

/* Counts the visual tokens of the log, whichever models they are of, and the bytes of all else. */
static int count_tokens(struct looking *l)
{
    struct evidence *evidence;
    const struct evidence_setup *setup;
    int err = memory_library_evidence(l->job->library, l->source, &evidence);
    if (err < 0)
        return err;
    l->tokens = 0;
    for (size_t i = 0; (setup = memory_evidence_setup_at(evidence, i)); i++)
        if (setup->made == EVIDENCE_VISUAL)
            l->tokens += memory_evidence_tokens(evidence, setup->number);
    l->other = (int64_t)memory_evidence_bytes(evidence) - memory_evidence_visual_bytes(evidence);
    memory_evidence_close(evidence);
    return PR_OK;
}

/* Thins out what the log holds; it stays as it is where that can't be. */
static int thin(struct looking *l, int64_t tokens, int64_t bytes)
{
    int err;
    TRY(commit(l));
    int64_t before = (int64_t)memory_evidence_size(l->writer);
    if (l->job->settings->disk > 0 && (bytes < 0 || bytes > l->job->disk_left))
        bytes = l->job->disk_left; /* the old one is still there */
    err = memory_evidence_thin(l->writer, tokens > 0 ? tokens : 0, bytes);
    if (err == PR_ERR_NOMEM)
        return PR_OK;
    TRY(err);
    if (l->job->settings->disk > 0)
        l->job->disk_left += before - (int64_t)memory_evidence_size(l->writer);
    TRY(count_tokens(l));
fail:
    return err;
}

/* Makes room for *tokens that come; *tokens becomes how many of them may be put, the first of their order. All of the source may have
 * settings->cap, and its log what --disk leaves it. While a log is thinned out it is on the disk twice, with its text: of what then
 * remains for pictures they get 4/7, and are thinned out to 3/7. */
static int make_room(struct looking *l, int64_t *tokens)
{
    int err = PR_OK;
    struct add_job *job = l->job;
    int64_t cap = job->settings->cap;
    if (cap > 0 && *tokens > cap / 2)
        *tokens = cap / 2;
    if (cap > 0 && l->tokens + l->waiting + *tokens > cap)
        TRY(thin(l, (cap - *tokens) * 7 / 8, -1));
    if (cap > 0 && l->tokens + l->waiting + *tokens > cap)
        return base_fail(PR_ERR_NOMEM, "%s: --cap %lld is too little to keep something of every scene", job->path,
                         (long long)cap);
    if (job->settings->disk == 0)
        return PR_OK;
    int64_t room = (job->disk_left + (int64_t)memory_evidence_size(l->writer) - 2 * l->other) / 7;
    if (room <= 0)
        return disk_full(job);
    if (*tokens > room / l->token_bytes)
        *tokens = room / l->token_bytes;
    int64_t bytes = (*tokens + 2) * l->token_bytes + SEGMENT_HEAD; /* 2: their mean */
    int64_t pictures = (int64_t)(memory_evidence_size(l->writer) + memory_evidence_pending(l->writer)) - l->other;
    if (pictures + bytes > 4 * room)
        TRY(thin(l, INT64_MAX, l->other + (3 * room > bytes ? 3 * room - bytes : 0)));
    pictures = (int64_t)(memory_evidence_size(l->writer) + memory_evidence_pending(l->writer)) - l->other;
    if (pictures + bytes > 4 * room)
        return disk_full(job);
fail:
    return err;
}

static int commit_sometimes(struct looking *l)
{
    bool now = memory_evidence_pending(l->writer) > COMMIT_BYTES || engine_now() - l->committed > COMMIT_SECONDS;
    return now ? commit(l) : PR_OK;
}

/* Adds what is kept of a segment's tokens to the rest of it. */
static int put_segment(struct looking *l, struct evidence_segment *segment, struct compressed *kept)
{
    int64_t columns = vision_encoder_width(l->job->model->vision.encoder);
    enum type type = engine_row_type(l->job->settings, l->job->model->vision.params.d_out);
    size_t row = (size_t)compute_row_bytes(type, columns);
    char *rows = base_alloc_array(kept->n, row);
    for (size_t i = 0; i < (size_t)kept->n * (size_t)columns;
         i++) /* what f16 can't hold becomes its largest, never infinite */
        kept->rows[i] = fminf(fmaxf(kept->rows[i], -65504), 65504);
    for (uint32_t i = 0; i < kept->n; i++)
        ref_quantize(type, kept->rows + (size_t)i * (size_t)columns, rows + i * row, columns);
    segment->stream = -1;
    segment->t0 = kept->t0;
    segment->t1 = kept->t1;
    segment->n_tokens = kept->n;
    segment->n_raw = kept->n_raw;
    segment->n_frames = kept->n_frames;
    segment->rows = rows;
    segment->tokens = kept->tokens;
    segment->mean = kept->mean;
    int err = memory_evidence_put_segment(l->writer, segment);
    l->waiting += kept->n;
    base_free(rows);
    return err;
}

/* ---- films -------------------------------------------------------------------------------------------------------- */

/* Ends the open segment. What follows begins with the frame shown at `next`. */
static int close_segment(struct looking *l, int64_t next)
{
    struct compressed kept;
    if (!l->compressor || memory_compressor_frames(l->compressor) == 0)
        return PR_OK;
    memory_compressor_close(l->compressor, &kept);
    int64_t room = kept.n;
    int err = make_room(l, &room);
    kept.n = (uint32_t)room;
    const struct vision_crop *crop = &l->layout.crops[0];
    struct evidence_segment segment = {.kind = EVIDENCE_FRAMES,
                                       .page = PR_PAGE_NONE,
                                       .label = "",
                                       .width = l->width,
                                       .height = l->height,
                                       .grid_h = (uint16_t)crop->rows,
                                       .grid_w = (uint16_t)crop->cols,
                                       .ax = (float)(l->width / crop->cols),
                                       .ay = (float)(l->height / crop->rows)};
    if (err >= 0)
        err = put_segment(l, &segment, &kept);
    memory_compressed_finish(&kept);
    if (err < 0) {
        l->broken = true;
        return err;
    }
    l->seen.position = next;
    return commit_sometimes(l);
}

static bool ends_before(const struct looking *l, const struct step *step)
{
    uint32_t n = memory_compressor_frames(l->compressor);
    return n > 0 && ((step->cut && n >= LEAST_STEPS) || n >= MOST_STEPS || step->t0 - l->segment_t0 >= MOST_TIME ||
                     (n >= LEAST_STEPS && memory_compressor_bytes(l->compressor) >= SEGMENT_BYTES));
}

static void make_compressor(struct looking *l)
{
    struct compress_options options = memory_compress_default();
    const struct pr_settings *settings = l->job->settings;
    int32_t n_frames = l->job->model->vision.params.n_frames;
    options.keep = settings->keep;
    options.step = settings->frames > 0 ? 0 : (int64_t)(1e6 * n_frames / (double)settings->fps);
    if (l->thresholds_known)
        memory_thresholds_apply(&l->thresholds, &options);
    memory_compressor_destroy(l->compressor);
    l->compressor =
        memory_compressor_create(vision_encoder_width(l->job->model->vision.encoder), (uint16_t)l->layout.crops[0].rows,
                                 (uint16_t)l->layout.crops[0].cols, &options);
}

/* Reads the thresholds of this encoder, or begins to measure them. */
static int begin_calibration(struct looking *l)
{
    int err;
    unsigned char encoder[ENGINE_ENCODER_BYTES];
    engine_encoder_identity(&l->job->model->vision, encoder);
    TRY(memory_library_calibration_path(l->job->library, encoder, &l->calibration_path));
    l->thresholds_known = memory_thresholds_read(l->calibration_path.data, &l->thresholds);
    if (!l->thresholds_known && !l->all)
        l->calibration = base_alloc(sizeof *l->calibration);
fail:
    return err;
}

/* Measures by one more step; when that is enough, the next segment goes by what was found. */
static void calibrate(struct looking *l, const float *rows, size_t step_size)
{
    int32_t columns = vision_encoder_width(l->job->model->vision.encoder);
    if (!l->before)
        l->before = base_alloc_array(step_size, sizeof *l->before);
    memory_calibrate(l->calibration, rows, l->has_before ? l->before : NULL, (int32_t)(step_size / (size_t)columns),
                     columns);
    memcpy(l->before, rows, step_size * sizeof *rows);
    l->has_before = true;
    if (l->calibration->steps < CALIBRATION_STEPS)
        return;
    l->thresholds = memory_calibration_result(l->calibration);
    l->thresholds_known = l->thresholds_new = true;
    memory_thresholds_write(l->calibration_path.data, &l->thresholds);
    base_free(l->calibration);
    l->calibration = NULL;
}

/* Uses the tokens of a batch that was encoded. */
static int use_batch(struct looking *l, struct batch *batch)
{
    int err = PR_OK;
    if (batch->n == 0)
        return PR_OK;
    size_t step_size =
        (size_t)vision_tokens(&l->layout, 0, 1) * (size_t)vision_encoder_width(l->job->model->vision.encoder);
    for (int32_t i = 0; i < batch->n; i++) {
        const struct step *step = &batch->steps[i];
        if (ends_before(l, step))
            TRY(close_segment(l, step->t0));
        if (memory_compressor_frames(l->compressor) == 0)
            l->segment_t0 = step->t0;
        if (l->thresholds_new && memory_compressor_frames(l->compressor) == 0) {
            make_compressor(l);
            l->thresholds_new = false;
        }
        if (l->calibration)
            calibrate(l, batch->rows + (size_t)i * step_size, step_size);
        memory_compressor_frame(l->compressor, batch->rows + (size_t)i * step_size, step->t0, step->t1);
    }
    batch->n = 0;
fail:
    return err;
}

/* Has the steps that wait encoded, each of which is complete and has its time, and uses those before them. */
static int encode_steps(struct looking *l)
{
    int err;
    struct batch *batch = &l->batches[l->now], *before = &l->batches[!l->now];
    TRY(engine_encoding_start(l->encoding, &l->layout, 0, batch->n, batch->rgb, batch->rows));
    l->now = !l->now;
    TRY(use_batch(l, before));
fail:
    return err;
}

/* The first step whose tokens aren't used yet; NULL: there is none. */
static const struct step *first_open_step(const struct looking *l)
{
    const struct batch *batch = &l->batches[l->now], *before = &l->batches[!l->now];
    return before->n > 0 ? &before->steps[0] : batch->n > 0 ? &batch->steps[0] : NULL;
}

/* Where frame f of the last step is prepared. */
static uint8_t *place_of(const struct looking *l, int32_t f)
{
    const struct batch *batch = &l->batches[l->now];
    return batch->rgb + vision_fill_size(&l->layout, 0, batch->n - 1) + (size_t)f * vision_frame_size(&l->layout);
}

/* A pair whose second frame doesn't come, or belongs to another scene, is its first one twice. */
static void fill_lonely(struct looking *l)
{
    if (l->waits)
        memcpy(place_of(l, 1), place_of(l, 0), vision_frame_size(&l->layout));
    l->waits = false;
}

static int finish_film(struct looking *l, int64_t next)
{
    int err;
    fill_lonely(l);
    if (l->batches[l->now].n > 0)
        TRY(encode_steps(l));
    TRY(engine_encoding_wait(l->encoding));
    TRY(use_batch(l, &l->batches[!l->now]));
    TRY(close_segment(l, next));
fail:
    return err;
}

static void forget_size(struct looking *l)
{
    memory_compressor_destroy(l->compressor);
    vision_layout_finish(&l->layout);
    for (int i = 0; i < 2; i++) {
        base_free(l->batches[i].rgb);
        base_free(l->batches[i].rows);
        l->batches[i] = (struct batch){0};
    }
    l->compressor = NULL;
    l->layout = (struct vision_layout){0};
    base_free(l->before);
    l->before = NULL;
    l->has_before = false;
}

/* Gets ready for frames of this size: with the first one, and where the size changes. */
static int begin_size(struct looking *l, const struct pr_unit *unit)
{
    int err;
    int64_t times[2 * BATCH];
    const struct pr_settings *settings = l->job->settings;
    const struct vision_params *params = &l->job->model->vision.params;
    int32_t n = BATCH * params->n_frames;
    for (int32_t i = 0; i < n; i++)
        times[i] = i * (int64_t)1000000;
    struct vision_request request = {.medium = VISION_VIDEO,
                                     .width = unit->picture_width,
                                     .height = unit->picture_height,
                                     .n_frames = n,
                                     .times = times,
                                     .duration = times[n - 1],
                                     .fps = settings->fps,
                                     .max_tokens = settings->image_tokens ? settings->image_tokens : FRAME_TOKENS};
    forget_size(l);
    TRY(vision_layout_init(&l->layout, vision_encoder_params(l->job->model->vision.encoder), &request));
    int32_t width = vision_encoder_width(l->job->model->vision.encoder);
    size_t tokens = (size_t)vision_tokens(&l->layout, 0, BATCH);
    l->picture_width = unit->picture_width;
    l->picture_height = unit->picture_height;
    l->width = unit->width;
    l->height = unit->height;
    bool got = true;
    for (int i = 0; i < 2; i++) {
        l->batches[i].rgb = base_try_alloc(vision_fill_size(&l->layout, 0, BATCH), 1);
        l->batches[i].rows = base_try_alloc(tokens, (size_t)width * sizeof(float));
        got &= l->batches[i].rgb && l->batches[i].rows;
    }
    make_compressor(l);
    if (!got)
        TRY(base_fail(PR_ERR_NOMEM, "no memory for frames of %d x %d", l->picture_width, l->picture_height));
fail:
    return err;
}

/* The step that the last frame began or lengthened; it isn't being encoded. */
static struct step *last_step(struct looking *l)
{
    struct batch *batch = &l->batches[l->now];
    return batch->n > 0 ? &batch->steps[batch->n - 1] : NULL;
}

static int take_frame(struct looking *l, const struct pr_unit *unit)
{
    int err = PR_OK;
    struct vision_image image = {.width = unit->picture_width,
                                 .height = unit->picture_height,
                                 .stride = 3 * (size_t)unit->picture_width,
                                 .rgb = unit->rgb,
                                 .span = unit->span};
    int64_t t0 = unit->span.t0, t1 = unit->span.t1;
    if (!l->compressor || unit->picture_width != l->picture_width || unit->picture_height != l->picture_height) {
        TRY(finish_film(l, t0));
        TRY(begin_size(l, unit));
    }
    struct step *last = last_step(l);
    if (l->waits && (l->all || !unit->cut)) {
        last->t1 = t1;
        l->waits = false;
        return vision_fill_frame(&l->layout, &image, place_of(l, 1));
    }
    fill_lonely(l);
    if (last && !l->all && !unit->passed && t0 - last->t0 < MOST_TIME) {
        last->t1 = t1;
        return PR_OK;
    }
    if (last)
        last->t1 = t0; /* it stays until this one */
    if (l->batches[l->now].n == BATCH)
        TRY(encode_steps(l));
    struct batch *batch = &l->batches[l->now];
    batch->steps[batch->n++] = (struct step){t0, t1, unit->cut};
    TRY(vision_fill_frame(&l->layout, &image, place_of(l, 0)));
    l->waits = l->job->model->vision.params.n_frames == 2;
fail:
    return err;
}

/* ---- pages and pictures ------------------------------------------------------------------------------------------- */

/* Puts a crop of a page or picture, at most `most` tokens of it. */
static int put_crop(struct looking *l, const struct vision_layout *layout, int32_t i, const uint8_t *rgb,
                    const float *rows, const struct pr_unit *unit, int64_t most)
{
    struct compressed kept;
    const struct vision_crop *crop = &layout->crops[i];
    bool tile = crop->tile_row >= 0, *blank = base_alloc_array((size_t)crop->rows * (size_t)crop->cols, sizeof *blank);
    double width = tile ? unit->width / layout->tile_cols : unit->width;
    double height = tile ? unit->height / layout->tile_rows : unit->height;
    vision_find_blank(crop, rgb, blank);
    memory_compress_page(rows, vision_encoder_width(l->job->model->vision.encoder), (uint16_t)crop->rows,
                         (uint16_t)crop->cols, l->all ? NULL : blank, &kept);
    kept.n = kept.n < most ? kept.n : (uint32_t)most;
    struct evidence_segment segment = {.kind = EVIDENCE_PAGE,
                                       .flags = unit->visual_only ? EVIDENCE_VISUAL_ONLY : 0,
                                       .page = unit->span.page == PR_PAGE_NONE ? 0 : unit->span.page,
                                       .label = unit->label ? unit->label : "",
                                       .width = unit->width,
                                       .height = unit->height,
                                       .tile_rows = (uint16_t)layout->tile_rows,
                                       .tile_cols = (uint16_t)layout->tile_cols,
                                       .tile_row = (int16_t)crop->tile_row,
                                       .tile_col = (int16_t)crop->tile_col,
                                       .grid_h = (uint16_t)crop->rows,
                                       .grid_w = (uint16_t)crop->cols,
                                       .ax = (float)(width / crop->cols),
                                       .ay = (float)(height / crop->rows),
                                       .bx = tile ? (float)(width * crop->tile_col) : 0,
                                       .by = tile ? (float)(height * crop->tile_row) : 0};
    int err = kept.n > 0 ? put_segment(l, &segment, &kept) : PR_OK;
    memory_compressed_finish(&kept);
    base_free(blank);
    return err;
}

static int take_picture(struct looking *l, const struct pr_unit *unit)
{
    int err;
    const struct pr_settings *settings = l->job->settings;
    struct engine_vision *vision = &l->job->model->vision;
    uint8_t *rgb = NULL;
    float *rows = NULL;
    struct vision_layout layout = {0};
    bool has_text = unit->n_lines > 0 && !unit->visual_only;
    struct vision_image image = {.width = unit->picture_width,
                                 .height = unit->picture_height,
                                 .stride = 3 * (size_t)unit->picture_width,
                                 .rgb = unit->rgb,
                                 .span = unit->span};
    struct vision_request request = {.medium = VISION_IMAGE,
                                     .width = image.width,
                                     .height = image.height,
                                     .n_frames = 1,
                                     .max_tokens = settings->image_tokens ? settings->image_tokens
                                                   : has_text             ? FRAME_TOKENS
                                                                          : PAGE_TOKENS};
    TRY(vision_layout_init(&layout, vision_encoder_params(vision->encoder), &request));
    size_t width = (size_t)vision_encoder_width(vision->encoder);
    rgb = base_try_alloc(vision_fill_size(&layout, 0, layout.n_crops), 1);
    rows = base_try_alloc((size_t)layout.n_tokens, width * sizeof *rows);
    if (!rgb || !rows)
        TRY(base_fail(PR_ERR_NOMEM, "no memory for a picture of %d x %d", image.width, image.height));
    TRY(vision_fill(&layout, 0, layout.n_crops, &image, rgb));
    TRY(vision_encode(vision->encoder, &layout, 0, layout.n_crops, rgb, rows, l->job->cancel));
    vision->encoded += layout.n_crops;
    int64_t room = layout.n_tokens;
    TRY(make_room(l, &room));
    const uint8_t *pixels = rgb;
    for (int32_t i = 0; i < layout.n_crops; i++) {
        int64_t share = room * vision_tokens(&layout, i, 1) / layout.n_tokens;
        TRY(put_crop(l, &layout, i, pixels, rows + (size_t)vision_tokens(&layout, 0, i) * width, unit, share));
        pixels += vision_fill_size(&layout, i, 1);
    }
fail:
    vision_layout_finish(&layout);
    base_free(rgb);
    base_free(rows);
    return err;
}

/* ---- a whole source ----------------------------------------------------------------------------------------------- */

/* Whether pictures stand in time. */
static bool is_film(const struct pr_source_info *info)
{
    return info->duration != PR_TIME_NONE && info->n_pages == 0;
}

static int look_at_film(struct looking *l, struct ingest_source *file)
{
    int err;
    struct pr_unit unit;
    int64_t total = ingest_info(file)->duration, begin = l->seen.position;
    while ((err = ingest_next(file, &unit)) != PR_EOF) {
        if (base_cancelled(l->job->cancel))
            err = base_fail(PR_ERR_CANCELLED, "interrupted");
        if (err < 0 && !engine_is_final(err))
            return err;
        if (err < 0)
            l->seen.failed++;
        else if (unit.kind == PR_UNIT_FRAME && unit.rgb && unit.span.t0 >= begin)
            TRY(take_frame(l, &unit));
        engine_add_tell(l->job, PR_ADDING_PICTURES, ingest_position(file), total);
    }
    /* What is on the screen last stays there until the end. */
    int64_t start = ingest_info(file)->start, end = total + (start == PR_TIME_NONE ? 0 : start);
    if (last_step(l) && last_step(l)->t1 < end)
        last_step(l)->t1 = end;
    TRY(finish_film(l, end));
fail:
    return err;
}

static int look_at_pages(struct looking *l, struct ingest_source *file, int64_t skip)
{
    int err;
    struct pr_unit unit;
    int64_t total = ingest_info(file)->n_pages;
    while ((err = ingest_next(file, &unit)) != PR_EOF) {
        if (base_cancelled(l->job->cancel))
            err = base_fail(PR_ERR_CANCELLED, "interrupted");
        if (err < 0 && !engine_is_final(err))
            return err;
        if (skip > 0) {
            skip--;
            continue;
        }
        if (err < 0)
            l->seen.failed++;
        else if (unit.rgb)
            TRY(take_picture(l, &unit));
        l->seen.position++;
        engine_add_tell(l->job, PR_ADDING_PICTURES, ingest_position(file), total);
        TRY(commit_sometimes(l));
    }
    return PR_OK;
fail:
    return err;
}

/* The time of the sample that shows the frame at t: the first multiple of the step that isn't before it. */
static int64_t sample_at(int64_t t, double rate)
{
    double k = ceil((double)t * rate / 1e6 - 1e-6);
    return k > 0 ? (int64_t)llround(k * 1e6 / rate) : PR_TIME_NONE;
}

static int open_file(struct looking *l, struct ingest_source **out)
{
    int err;
    const struct add_job *job = l->job;
    struct ingest_options options;
    TRY(engine_source_options(job->settings, NULL, &options));
    options.from = options.to = PR_TIME_NONE;
    options.first_page = 0;
    options.last_page = -1;
    options.rate = job->settings->fps * (float)job->model->vision.params.n_frames;
    options.max_pixels = FRAME_PIXELS;
    options.sound = false;
    options.cancel = job->cancel;
    TRY(ingest_open(job->path, &options, out));
    const struct pr_source_info *info = ingest_info(*out);
    bool again = l->seen.position > 0 || job->to > 0;
    if (is_film(info) && job->to > 0) {
        options.from = job->from;
        options.to = job->to;
    } else if (is_film(info) && again && options.sampling == INGEST_RATE) {
        options.from = sample_at(l->seen.position, options.rate);
    }
    if (!is_film(info) && info->n_pages > 0) {
        options.max_pixels = PAGE_PIXELS;
        options.first_page = (int32_t)(job->to > 0 ? job->from : l->seen.position);
        options.last_page = job->to > 0 ? (int32_t)job->to - 1 : -1;
        again = true;
    }
    if (again) {
        ingest_close(*out);
        *out = NULL;
        TRY(ingest_open(job->path, &options, out));
    }
fail:
    return err;
}

/* A log that was damaged was put aside: the segments of a film that are whole in it, from the beginning up to the first that isn't, needn't
 * be looked at again. */
static int salvage(struct looking *l, const struct evidence_setup *wanted)
{
    int err = PR_OK;
    struct evidence *aside;
    struct evidence_segment segment;
    if (memory_library_aside(l->job->library, l->source, &aside) < 0)
        return PR_OK;
    const struct evidence_setup *setup = engine_visual_exact(aside, wanted);
    for (size_t i = 0; setup && i < memory_evidence_count(aside) && err >= 0; i++) {
        if (memory_evidence_setup_of(aside, i) != setup->number)
            continue;
        if (memory_evidence_read(aside, i, &segment) < 0)
            break;
        int64_t end = segment.t1;
        bool follows = segment.kind == EVIDENCE_FRAMES && (l->seen.position == 0 || segment.t0 == l->seen.position);
        if (follows)
            err = memory_evidence_put_segment(l->writer, &segment);
        l->waiting += follows ? segment.n_tokens : 0;
        memory_evidence_release(&segment);
        if (!follows)
            break;
        l->seen.position = end;
    }
    if (err >= 0 && l->seen.position > 0)
        err = commit(l);
    memory_evidence_close(aside);
    return err;
}

/* Makes the setup current that this look writes under, and says where it goes on. */
static int begin(struct looking *l)
{
    int err;
    char text[256];
    struct evidence *evidence = NULL;
    struct evidence_setup wanted;
    const struct evidence_setup *setup;
    engine_visual_setup(&l->job->model->vision, l->job->settings, text, &wanted);
    l->token_bytes =
        (int64_t)(sizeof(struct evidence_token) + compute_row_bytes((enum type)wanted.row_type, wanted.columns));
    TRY(memory_library_writer(l->job->library, l->source, NULL, &l->writer));
    TRY(count_tokens(l));
    TRY(memory_library_evidence(l->job->library, l->source, &evidence));
    l->progress = memory_evidence_progress(evidence);
    l->seen = (struct evidence_seen){.position = 0};
    setup = engine_visual_exact(evidence, &wanted);
    if (setup) {
        memory_evidence_use_setup(l->writer, setup);
        l->seen = memory_evidence_seen(evidence, setup->number);
    } else {
        TRY(memory_evidence_put_setup(l->writer, &wanted));
        TRY(salvage(l, &wanted));
    }
fail:
    memory_evidence_close(evidence);
    return err;
}

bool engine_is_seen(const struct add_job *job, const struct evidence *evidence)
{
    char text[256];
    struct evidence_setup wanted;
    const struct evidence_setup *setup;
    const char *kind = memory_evidence_info(evidence)->kind;
    if (!strcmp(kind, "text") || !strcmp(kind, "audio"))
        return true;
    engine_visual_setup(&job->model->vision, job->settings, text, &wanted);
    setup = job->any ? engine_visual_find(evidence, wanted.fingerprint) : engine_visual_exact(evidence, &wanted);
    return setup && memory_evidence_seen(evidence, setup->number).complete;
}

int64_t engine_look_memory(int64_t bytes, int64_t steps)
{
    int64_t most = steps > 0 ? bytes / steps * MOST_STEPS : SEGMENT_BYTES;
    most = most < SEGMENT_BYTES ? most : SEGMENT_BYTES;
    return most > bytes ? 3 * (most - bytes) : 0; /* as they come, as tracks, in their order */
}

int engine_look(struct add_job *job, const struct library_source *source)
{
    int err;
    struct ingest_source *file = NULL;
    struct looking l = {.job = job, .source = source, .all = job->settings->keep >= 1};
    if (!job->model->device)
        TRY(engine_open_devices(job->model, job->settings));
    TRY(engine_need_vision(job->model));
    l.encoding = engine_encoding_create(&job->model->vision, job->cancel);
    TRY(begin(&l));
    TRY(begin_calibration(&l));
    TRY(open_file(&l, &file));
    job->started = l.committed = engine_now();
    job->first_position = l.seen.position;
    if (is_film(ingest_info(file)))
        err = look_at_film(&l, file);
    else
        err = look_at_pages(&l, file, ingest_info(file)->n_pages > 0 ? 0 : l.seen.position);
    /* Whatever stopped it: what was encoded until then stays. */
    char reason[1024];
    snprintf(reason, sizeof reason, "%s", pr_error_message());
    l.seen.complete = err >= 0;
    engine_encoding_wait(l.encoding);
    const struct step *open = first_open_step(&l);
    int result = err < 0 && open && !l.broken ? close_segment(&l, open->t0) : PR_OK;
    if (result >= 0 && !l.broken)
        result = commit(&l);
    if (err < 0)
        base_fail(err, "%s", reason);
    else
        err = result;
fail:
    ingest_close(file);
    engine_encoding_destroy(l.encoding);
    forget_size(&l);
    base_free(l.calibration);
    base_buf_finish(&l.calibration_path);
    memory_evidence_writer_close(l.writer);
    return err;
}
