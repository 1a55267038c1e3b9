/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Evidence that is given instead of recalled, for measuring what recall is worth: the right place, places spread evenly, the last ones.
 * Everything behind it is as in any question: the same words around pictures, the same model, the same judging. Frames are read from
 * the file and keep all of their tokens; pages are what the library has of them.
 */
#include "engine/ask.h"

#include "base/mem.h"
#include "engine/source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    FRAME_TOKENS = 256, /* of a frame at the most, as when it is added */
    FRAME_PIXELS = 1 << 22,
    WORDS = 24,      /* tokens of tag, place and marks of an entry */
    LINE_TOKENS = 14 /* of a line of a page, about */
};

/* A frame with all of its tokens, as a segment that no log has. */
struct frame {
    int64_t t0, t1;
    uint16_t *rows;
    struct evidence_token *tokens;
    struct evidence_segment segment;
};

struct ask_given {
    struct asking *asking;
    struct asked *asked;
    struct frame *frames;
    size_t n_frames;
    int32_t *pages;
    size_t n_pages;
};

void engine_ask_given_destroy(struct ask_given *given)
{
    if (!given)
        return;
    for (size_t i = 0; i < given->n_frames; i++) {
        base_free(given->frames[i].rows);
        base_free(given->frames[i].tokens);
    }
    base_free(given->frames);
    base_free(given->pages);
    base_free(given);
}

/* ---- frames ------------------------------------------------------------------------------------------------------- */

static int open_at(const struct ask_given *given, const int64_t *times, int32_t n, struct pr_cancel *cancel,
                   struct ingest_source **out)
{
    struct ingest_options options = ingest_options_default();
    options.sampling = INGEST_TIMES;
    options.times = times;
    options.n_times = n;
    options.max_pixels = FRAME_PIXELS;
    options.cancel = engine_cancel(cancel);
    return ingest_open(given->asked->source.path, &options, out);
}

static int next_frame(struct ingest_source *file, struct pr_unit *unit)
{
    int err;
    while ((err = ingest_next(file, unit)) == PR_OK)
        if (unit->kind == PR_UNIT_FRAME && unit->rgb)
            return PR_OK;
    return err;
}

/* How the model sees one frame; of a model that sees pairs, the frame twice. */
static int lay_out(const struct ask_given *given, const struct pr_unit *unit, struct vision_layout *out)
{
    const struct vision_params *params = &given->asking->model->vision.params;
    const int64_t times[2] = {0, 1000000};
    struct vision_request request = {
        .medium = VISION_VIDEO,
        .width = unit->picture_width,
        .height = unit->picture_height,
        .n_frames = params->n_frames,
        .times = times,
        .duration = times[params->n_frames - 1],
        .fps = given->asking->settings->fps,
        .max_tokens = given->asking->settings->image_tokens ? given->asking->settings->image_tokens : FRAME_TOKENS};
    return vision_layout_init(out, vision_encoder_params(given->asking->model->vision.encoder), &request);
}

/* Takes the rows of a frame's layout over into *out, in the order of their places. */
static void keep_rows(const struct ask_given *given, const struct pr_unit *unit, const struct vision_layout *layout,
                      const float *rows, struct frame *out)
{
    const struct vision_crop *crop = &layout->crops[0];
    size_t n = (size_t)vision_tokens(layout, 0, 1), columns = (size_t)given->asked->seen->columns;
    out->t0 = unit->span.t0;
    out->t1 = unit->span.t1;
    out->rows = base_alloc_array(n * columns, sizeof *out->rows);
    out->tokens = base_alloc_array(n, sizeof *out->tokens);
    for (size_t i = 0; i < n * columns; i++)
        out->rows[i] = compute_f32_to_f16(fminf(fmaxf(rows[i], -65504), 65504));
    for (size_t i = 0; i < n; i++) {
        uint16_t y = (uint16_t)(i / (size_t)crop->cols), x = (uint16_t)(i % (size_t)crop->cols);
        out->tokens[i] = (struct evidence_token){
            .t0 = out->t0, .t1 = out->t1, .y0 = y, .x0 = x, .y1 = (uint16_t)(y + 1), .x1 = (uint16_t)(x + 1), .n = 1};
    }
    out->segment = (struct evidence_segment){.kind = EVIDENCE_FRAMES,
                                             .setup = given->asked->seen->number,
                                             .t0 = out->t0,
                                             .t1 = out->t1,
                                             .page = PR_PAGE_NONE,
                                             .stream = -1,
                                             .label = "",
                                             .width = unit->width,
                                             .height = unit->height,
                                             .tile_row = -1,
                                             .tile_col = -1,
                                             .n_tokens = (uint32_t)n,
                                             .n_raw = (uint32_t)n,
                                             .n_frames = 1,
                                             .grid_h = (uint16_t)crop->rows,
                                             .grid_w = (uint16_t)crop->cols,
                                             .rows = out->rows,
                                             .tokens = out->tokens};
}

static int encode(struct ask_given *given, const struct pr_unit *unit, struct pr_cancel *cancel)
{
    int err;
    struct vision_layout layout = {0};
    struct vision_encoder *encoder = given->asking->model->vision.encoder;
    uint8_t *rgb = NULL;
    float *rows = NULL;
    const struct vision_image image = {.width = unit->picture_width,
                                       .height = unit->picture_height,
                                       .stride = 3 * (size_t)unit->picture_width,
                                       .rgb = unit->rgb,
                                       .span = unit->span},
                              pair[2] = {image, image};
    TRY(lay_out(given, unit, &layout));
    rgb = base_try_alloc(vision_fill_size(&layout, 0, 1), 1);
    rows = base_try_alloc((size_t)vision_tokens(&layout, 0, 1), (size_t)vision_encoder_width(encoder) * sizeof *rows);
    if (!rgb || !rows)
        TRY(base_fail(PR_ERR_NOMEM, "no memory for a frame of %d x %d", image.width, image.height));
    TRY(vision_fill(&layout, 0, 1, pair, rgb));
    TRY(vision_encode(encoder, &layout, 0, 1, rgb, rows, engine_cancel(cancel)));
    given->frames = base_realloc(given->frames, (given->n_frames + 1) * sizeof *given->frames);
    keep_rows(given, unit, &layout, rows, &given->frames[given->n_frames++]);
fail:
    vision_layout_finish(&layout);
    base_free(rgb);
    base_free(rows);
    return err;
}

static int read_frames(struct ask_given *given, const int64_t *times, int32_t n, struct pr_cancel *cancel)
{
    int err;
    struct pr_unit unit;
    struct ingest_source *file = NULL;
    TRY(open_at(given, times, n, cancel, &file));
    while ((err = next_frame(file, &unit)) == PR_OK)
        TRY(encode(given, &unit, cancel));
    if (err == PR_EOF)
        err =
            given->n_frames > 0 ? PR_OK : base_fail(PR_ERR_NOT_FOUND, "%s: nothing is shown there", given->asked->path);
fail:
    ingest_close(file);
    return err;
}

/* How many frames fill `room` tokens: those of one, with the words around it, are counted. */
static int count_frames(const struct ask_given *given, size_t room, int64_t middle, struct pr_cancel *cancel,
                        int32_t *out)
{
    int err;
    struct pr_unit unit;
    struct vision_layout layout = {0};
    struct ingest_source *file = NULL;
    TRY(open_at(given, &middle, 1, cancel, &file));
    TRY(next_frame(file, &unit));
    if (err == PR_EOF)
        TRY(base_fail(PR_ERR_NOT_FOUND, "%s: nothing is shown in the middle of it", given->asked->path));
    TRY(lay_out(given, &unit, &layout));
    size_t n = room / ((size_t)vision_tokens(&layout, 0, 1) + WORDS);
    *out = n < 1 ? 1 : n < INGEST_MAX_TIMES ? (int32_t)n : INGEST_MAX_TIMES;
fail:
    vision_layout_finish(&layout);
    ingest_close(file);
    return err;
}

static int give_frames(struct ask_given *given, enum ask_way way, size_t room, struct pr_cancel *cancel)
{
    int err;
    int32_t n;
    int64_t *times = NULL;
    const struct recall_summary *summary = memory_recall_summary(given->asked->index);
    int64_t start = summary->start == PR_TIME_NONE ? 0 : summary->start, duration = summary->duration;
    double rate = given->asking->settings->fps;
    if (duration == PR_TIME_NONE || duration <= 0)
        TRY(base_fail(PR_ERR_UNSUPPORTED, "%s: its length is unknown", given->asked->path));
    TRY(count_frames(given, room, start + duration / 2, cancel, &n));
    int32_t samples = (int32_t)fmin(fmax(floor((double)duration * 1e-6 * rate), 1), INGEST_MAX_TIMES);
    n = n < samples ? n : samples;
    times = base_alloc_array((size_t)n, sizeof *times);
    for (int32_t i = 0; i < n; i++)
        times[i] = start + (way == ASK_UNIFORM ? (2 * i + 1) * duration / (2 * n)
                                               : duration - llround((n - i - 0.5) * 1e6 / rate));
    TRY(read_frames(given, times, n, cancel));
fail:
    base_free(times);
    return err;
}

/* ---- pages -------------------------------------------------------------------------------------------------------- */

/* What one page of the document takes, on the average. */
static size_t mean_page(const struct ask_given *given, int32_t n_pages)
{
    size_t n, tokens = 0;
    const struct recall_segment *segments = memory_recall_segments(given->asked->index, &n);
    for (size_t i = 0; i < n; i++)
        if (segments[i].page >= 0 && segments[i].kind == EVIDENCE_PAGE)
            tokens += segments[i].n_tokens == 0 ? (size_t)segments[i].n_lines * LINE_TOKENS
                      : given->asked->seen && segments[i].setup == given->asked->seen->number ? segments[i].n_tokens
                                                                                              : 0;
    return tokens / (size_t)n_pages + WORDS;
}

static void give_pages(struct ask_given *given, enum ask_way way, size_t room)
{
    int32_t n_pages = (int32_t)memory_recall_summary(given->asked->index)->n_pages;
    size_t each = mean_page(given, n_pages);
    int32_t n = room / each < 1 ? 1 : room / each < (size_t)n_pages ? (int32_t)(room / each) : n_pages;
    given->pages = base_alloc_array((size_t)n, sizeof *given->pages);
    for (int32_t i = 0; i < n; i++)
        given->pages[given->n_pages++] =
            way == ASK_UNIFORM ? (int32_t)((2 * (int64_t)i + 1) * n_pages / (2 * n)) : n_pages - n + i;
}

/* ---- a working set ------------------------------------------------------------------------------------------------ */

int engine_ask_given_create(struct asking *asking, enum ask_way way, int64_t at, int32_t page, size_t budget,
                            struct pr_cancel *cancel, struct ask_given **out)
{
    int err;
    struct ask_given *given = base_alloc(sizeof *given);
    struct asked *first = asking->n_sources > 0 ? &asking->sources[0] : NULL;
    size_t room = budget * 2 / 3; /* as pictures and the gist may take */
    for (size_t i = 0; i < asking->n_sources; i++)
        first = asking->sources[i].order == 0 ? &asking->sources[i] : first;
    given->asking = asking;
    given->asked = first;
    if (!first)
        TRY(base_fail(PR_ERR_NOT_FOUND, "there is no source to give evidence of"));
    bool paged = memory_recall_summary(first->index)->n_pages > 0;
    if (!paged && !first->seen)
        TRY(base_fail(PR_ERR_NOT_FOUND, "%s: wasn't looked at", first->path));
    if (!paged)
        TRY(engine_need_vision(asking->model));
    if (way == ASK_PLACE && paged) {
        given->pages = base_alloc(sizeof *given->pages);
        given->pages[given->n_pages++] = page;
    } else if (way == ASK_PLACE) {
        TRY(read_frames(given, &at, 1, cancel));
    } else if (paged) {
        give_pages(given, way, room);
    } else {
        TRY(give_frames(given, way, room, cancel));
    }
    *out = given;
    return PR_OK;
fail:
    engine_ask_given_destroy(given);
    return err;
}

static struct ask_entry *add_entry(struct ask_set *set, const struct ask_given *given)
{
    set->entries = base_realloc(set->entries, (set->n + 1) * sizeof *set->entries);
    struct ask_entry *entry = &set->entries[set->n++];
    *entry = (struct ask_entry){.asked = given->asked,
                                .t0 = PR_TIME_NONE,
                                .t1 = PR_TIME_NONE,
                                .page = PR_PAGE_NONE,
                                .focus = PR_TIME_NONE,
                                .relevance = 1,
                                .tag = (int32_t)set->n};
    set->cap = set->n;
    return entry;
}

static void add_picture(struct ask_entry *entry, const struct evidence_segment *segment)
{
    entry->pictures = base_realloc(entry->pictures, (entry->n_pictures + 1) * sizeof *entry->pictures);
    entry->pictures[entry->n_pictures++] = (struct ask_picture){*segment, segment->n_tokens};
}

/* Everything that the library has of a page. */
static int add_page(const struct ask_given *given, int32_t page, struct ask_set *out)
{
    int err = PR_OK;
    size_t n;
    const struct recall_segment *segments = memory_recall_segments(given->asked->index, &n);
    const struct evidence *evidence = engine_ask_evidence(given->asked);
    struct ask_entry *entry = add_entry(out, given);
    if (!evidence)
        return base_fail(PR_ERR_NOT_FOUND, "%s: what was read of it isn't there any more", given->asked->path);
    entry->page = page;
    for (size_t i = 0; i < n; i++) {
        struct evidence_segment segment;
        size_t at;
        bool seen = given->asked->seen && segments[i].setup == given->asked->seen->number;
        if (segments[i].page != page || segments[i].kind != EVIDENCE_PAGE || (segments[i].n_tokens > 0 && !seen) ||
            !memory_evidence_find(evidence, segments[i].number, &at))
            continue;
        TRY(memory_evidence_read(evidence, at, &segment));
        for (size_t l = 0; l < segment.n_lines; l++) {
            base_buf_puts(&entry->text, entry->text.len ? "\n" : "");
            base_buf_append(&entry->text, segment.lines[l].text, segment.lines[l].len);
        }
        if (segment.n_tokens > 0)
            add_picture(entry, &segment);
        else
            memory_evidence_release(&segment);
    }
fail:
    return err;
}

int engine_ask_given_set(const struct ask_given *given, struct ask_set *out)
{
    int err = PR_OK;
    *out = (struct ask_set){0};
    for (size_t i = 0; i < given->n_frames; i++) {
        struct ask_entry *entry = add_entry(out, given);
        entry->t0 = given->frames[i].t0;
        entry->t1 = given->frames[i].t1;
        add_picture(entry, &given->frames[i].segment);
    }
    for (size_t i = 0; i < given->n_pages; i++)
        TRY(add_page(given, given->pages[i], out));
fail:
    return err;
}
