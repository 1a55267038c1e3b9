/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Visual tokens of the evidence log as the model's family reads them: which of them make one picture, the words and the time
 * around it, and positions as a fresh reading would give them (docs/PROMPTS.md, "Pictures").
 */
#include "engine/ask.h"

#include "base/mem.h"
#include "vision/preprocess.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FEWEST = 10 /* tokens that a picture has before another start time begins the next one */ };
static const int64_t LONGEST_GAP = 8000000; /* microseconds that count between two frames of Qwen2.5-VL */

/* How a family's frames are told apart. */
enum clock { CLOCK_NONE, CLOCK_FRAME_FROM, CLOCK_SECONDS, CLOCK_COUNT, CLOCK_HALF_SECONDS };

static enum clock clock_of(const struct vision_family *family)
{
    static const struct {
        const char *name;
        enum clock clock;
    } clocks[] = {{"idefics3", CLOCK_FRAME_FROM},
                  {"qwen3vl_merger", CLOCK_SECONDS},
                  {"qwen2vl_merger", CLOCK_COUNT},
                  {"qwen2.5vl_merger", CLOCK_HALF_SECONDS}};
    for (size_t i = 0; i < sizeof clocks / sizeof *clocks; i++)
        if (!strcmp(family->name, clocks[i].name))
            return clocks[i].clock;
    return CLOCK_NONE;
}

/* A list of runs that grows. */
struct runs {
    struct engine_run *runs;
    size_t n;
};

static void add_words(struct runs *out, const char *text)
{
    out->runs = base_realloc(out->runs, (out->n + 1) * sizeof *out->runs);
    out->runs[out->n++] = (struct engine_run){.text = base_strdup(text)};
}

/* ---- the words around a picture ----------------------------------------------------------------------------------- */

struct around {
    struct base_buf before, after;
};

static void around_finish(struct around *around)
{
    base_buf_finish(&around->before);
    base_buf_finish(&around->after);
}

/* What the family writes around one picture that isn't cut. */
static int words_around(const struct vision_params *params, const struct evidence_segment *segment, struct around *out)
{
    struct vision_layout layout;
    struct vision_request request = {.medium = VISION_IMAGE,
                                     .width = segment->grid_w ? segment->grid_w * params->patch * params->merge : 1,
                                     .height = segment->grid_h ? segment->grid_h * params->patch * params->merge : 1,
                                     .n_frames = 1,
                                     .whole = true};
    bool behind = false;
    *out = (struct around){0};
    int err = vision_layout_init(&layout, params, &request);
    if (err < 0)
        return err;
    for (int32_t i = 0; i < layout.n_pieces; i++) {
        const char *text = layout.pieces[i].text;
        behind |= !text;
        if (text)
            base_buf_puts(behind ? &out->after : &out->before, text);
    }
    vision_layout_finish(&layout);
    return PR_OK;
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

static void read_row(const void *rows, int32_t type, size_t columns, size_t i, float *out)
{
    if (type == TYPE_F16) {
        const uint16_t *row = (const uint16_t *)rows + i * columns;
        for (size_t c = 0; c < columns; c++)
            out[c] = compute_f16_to_f32(row[c]);
        return;
    }
    const unsigned char *block = (const unsigned char *)rows + i * compute_row_bytes(TYPE_Q8_0, (int64_t)columns);
    for (size_t c = 0; c < columns; c += 32, block += 34) { /* Q8_0: an f16 scale, 32 numbers */
        uint16_t scale;
        memcpy(&scale, block, sizeof scale);
        for (size_t k = 0; k < 32; k++)
            out[c + k] = compute_f16_to_f32(scale) * (float)(int8_t)block[2 + k];
    }
}

/* A token that is shown, and where in the order of rows it lies. */
struct shown {
    const struct evidence_token *token;
    uint32_t row;
};

static int by_place(const void *a, const void *b)
{
    const struct shown *x = a, *y = b;
    if (x->token->t0 != y->token->t0)
        return x->token->t0 < y->token->t0 ? -1 : 1;
    if (x->token->y0 != y->token->y0)
        return x->token->y0 < y->token->y0 ? -1 : 1;
    if (x->token->x0 != y->token->x0)
        return x->token->x0 < y->token->x0 ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The start times of all tokens of a segment, each once. They, not those of the tokens that are shown, say how long it is. */
static int64_t *start_times(const struct evidence_segment *segment, size_t *n)
{
    int64_t *times = base_alloc_array((size_t)segment->n_tokens + 1, sizeof *times);
    for (uint32_t i = 0; i < segment->n_tokens; i++)
        times[i] = segment->tokens[i].t0;
    qsort(times, segment->n_tokens, sizeof *times, ascending);
    *n = 0;
    for (uint32_t i = 0; i < segment->n_tokens; i++)
        if (i == 0 || times[i] != times[*n - 1])
            times[(*n)++] = times[i];
    return times;
}

/* The position in time of the frames that begin at `times`. */
static void time_positions(enum clock clock, const int64_t *times, size_t n, int32_t *out)
{
    int64_t elapsed = 0;
    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            int64_t gap = times[i] - times[i - 1];
            elapsed += gap < LONGEST_GAP ? gap : LONGEST_GAP;
        }
        out[i] = clock == CLOCK_COUNT ? (int32_t)i : clock == CLOCK_HALF_SECONDS ? (int32_t)(elapsed / 500000) : 0;
    }
}

/* ---- pictures ----------------------------------------------------------------------------------------------------- */

struct painting {
    const struct asking *asking;
    const struct evidence_segment *segment;
    enum clock clock;
    const struct evidence_setup *setup;
    int64_t *times; /* [n_times] */
    int32_t *t;     /* their positions */
    size_t n_times;
};

/* Tokens [0, n) of a picture as one run. */
static int add_rows(const struct painting *p, const struct shown *shown, size_t n, struct runs *out)
{
    size_t columns = (size_t)p->setup->columns;
    bool grid = p->asking->vision->family->grid_positions;
    struct engine_run run = {
        .rows = base_try_alloc(n, columns * sizeof(float)), .n = (int32_t)n, .advance = (int32_t)n};
    run.positions = grid ? base_try_alloc(n, 4 * sizeof *run.positions) : NULL;
    if (!run.rows || (grid && !run.positions)) {
        engine_run_finish(&run);
        return base_fail(PR_ERR_NOMEM, "no memory for %zu visual tokens", n);
    }
    for (size_t i = 0; i < n; i++)
        read_row(p->segment->rows, p->setup->row_type, columns, shown[i].row, run.rows + i * columns);
    if (grid) {
        int32_t last = p->clock == CLOCK_SECONDS ? 0 : p->t[p->n_times - 1];
        run.advance = last + 1;
        run.advance = p->segment->grid_h > run.advance ? p->segment->grid_h : run.advance;
        run.advance = p->segment->grid_w > run.advance ? p->segment->grid_w : run.advance;
        for (size_t i = 0, k = 0; i < n; i++) {
            while (k + 1 < p->n_times && p->times[k] < shown[i].token->t0)
                k++;
            int32_t *position = run.positions + 4 * i;
            position[0] = p->clock == CLOCK_SECONDS ? 0 : p->t[k];
            position[1] = shown[i].token->y0;
            position[2] = shown[i].token->x0;
        }
    }
    out->runs = base_realloc(out->runs, (out->n + 1) * sizeof *out->runs);
    out->runs[out->n++] = run;
    return PR_OK;
}

/* What the family writes before a frame. */
static void write_time(const struct painting *p, const struct ask_entry *entry, int64_t t0, struct base_buf *out)
{
    const struct evidence_info *info = memory_evidence_info(entry->asked->evidence);
    int64_t t = t0 - (info->start == PR_TIME_NONE ? 0 : info->start);
    if (t0 == PR_TIME_NONE)
        return;
    if (p->clock == CLOCK_FRAME_FROM)
        base_buf_printf(out, "Frame from %02d:%02d:", (int)(t / 60000000), (int)(t / 1000000 % 60));
    if (p->clock == CLOCK_SECONDS)
        base_buf_printf(out, "<%.1f seconds>", (double)t / 1e6);
}

/* The tokens of a segment as pictures, each between its words. */
static int add_frames(const struct painting *p, const struct ask_entry *entry, const struct shown *shown, size_t n,
                      struct runs *out)
{
    int err;
    struct around around;
    struct base_buf before = {0};
    bool tile = p->segment->tile_row >= 0;
    bool one = p->clock == CLOCK_COUNT || p->clock == CLOCK_HALF_SECONDS || p->clock == CLOCK_NONE;
    TRY(words_around(p->asking->vision, p->segment, &around));
    if (p->segment->tile_row < 0 && p->segment->tile_rows > 0 && p->clock == CLOCK_FRAME_FROM)
        base_buf_puts(&before, "\n"); /* the whole stands apart from its tiles */
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n; to++)
            if (!one && shown[to].token->t0 != shown[to - 1].token->t0 && to - from >= FEWEST)
                break;
        write_time(p, entry, shown[from].token->t0, &before);
        base_buf_puts(&before, around.before.data ? around.before.data : "");
        if (tile &&
            p->clock == CLOCK_FRAME_FROM) { /* idefics3: a tile ends with the mark that the next one begins with */
            before.len = 0;
            around.after.len = 0;
            base_buf_printf(&before, "<fake_token_around_image><row_%d_col_%d>", p->segment->tile_row + 1,
                            p->segment->tile_col + 1);
        }
        if (before.len)
            add_words(out, before.data);
        before.len = 0;
        TRY(add_rows(p, shown + from, to - from, out));
        base_buf_puts(&around.after, "");
        if (around.after.len)
            add_words(out, around.after.data);
        if (tile ? p->segment->tile_col + 1 == p->segment->tile_cols : p->clock != CLOCK_SECONDS || to == n)
            add_words(out, "\n");
    }
    err = PR_OK;
fail:
    base_buf_finish(&before);
    around_finish(&around);
    return err;
}

static int add_picture(const struct asking *asking, const struct ask_entry *entry, const struct ask_picture *picture,
                       struct runs *out)
{
    struct painting p = {asking, &picture->segment, clock_of(asking->vision->family), entry->asked->seen, NULL, NULL,
                         0};
    struct shown *shown = base_alloc_array((size_t)picture->n + 1, sizeof *shown);
    for (uint32_t i = 0; i < picture->n; i++)
        shown[i] = (struct shown){&picture->segment.tokens[i], i};
    qsort(shown, picture->n, sizeof *shown, by_place);
    p.times = start_times(p.segment, &p.n_times);
    p.t = base_alloc_array(p.n_times + 1, sizeof *p.t);
    time_positions(p.clock, p.times, p.n_times, p.t);
    int err = add_frames(&p, entry, shown, picture->n, out);
    base_free(p.times);
    base_free(p.t);
    base_free(shown);
    return err;
}

int engine_ask_picture_runs(const struct asking *asking, const struct ask_entry *entry, struct engine_run **runs,
                            size_t *n)
{
    struct runs out = {*runs, *n};
    int err = PR_OK;
    for (size_t i = 0; i < entry->n_pictures && err >= 0; i++)
        err = add_picture(asking, entry, &entry->pictures[i], &out);
    *runs = out.runs;
    *n = out.n;
    return err;
}
