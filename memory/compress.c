/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/compress.h"

#include "base/mem.h"
#include "compute/type.h"
#include "memory/farthest.h"
#include "memory/sketch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Tokens that follow one another. */
struct track {
    bool detail;               /* one of them was picked: it is kept before others, with the value of its first token */
    float *first, *last, *sum; /* [columns] each; sum is NULL while it is one token, last is first then */
    float *sketch;             /* of the last one */
    double lengths;            /* sum of its members' lengths */
    int64_t t0, t1;
    int32_t y, x, last_y, last_x, n;
    uint32_t first_frame, last_frame;
};

struct tracks {
    struct track *list;
    size_t n, cap;
};

enum {
    ORDERED = 1024
}; /* of tokens that are all kept, as many are put in order: it takes time, and beginnings are short */
static const float sketch_error = 0.15f; /* of a cosine, at most */

struct compressor {
    struct compress_options options;
    int32_t columns;
    uint16_t grid_h, grid_w;
    struct tracks open, closed;
    double *mean; /* sum of all rows */
    uint32_t n_frames;
    double n_shown; /* frames, each as often as it was shown */
    int64_t t0, t1;
};

struct compress_options memory_compress_default(void)
{
    return (struct compress_options){0.25f, 0.7f, 0.80f, 0.70f, 0.6f, 32, 2, 32, 0.05f, 0};
}

struct compressor *memory_compressor_create(int32_t columns, uint16_t grid_h, uint16_t grid_w,
                                            const struct compress_options *options)
{
    struct compressor *c = base_alloc(sizeof *c);
    c->options = *options;
    c->columns = columns;
    c->grid_h = grid_h;
    c->grid_w = grid_w;
    c->mean = base_alloc_array((size_t)columns, sizeof *c->mean);
    return c;
}

static void free_tracks(struct tracks *tracks)
{
    for (size_t i = 0; i < tracks->n; i++) {
        struct track *track = &tracks->list[i];
        if (track->last != track->first)
            base_free(track->last);
        base_free(track->first);
        base_free(track->sum);
        base_free(track->sketch);
    }
    base_free(tracks->list);
    *tracks = (struct tracks){0};
}

void memory_compressor_destroy(struct compressor *c)
{
    if (!c)
        return;
    free_tracks(&c->open);
    free_tracks(&c->closed);
    base_free(c->mean);
    base_free(c);
}

uint32_t memory_compressor_frames(const struct compressor *c)
{
    return c->n_frames;
}

/* ---- following ---------------------------------------------------------------------------------------------------- */

static double length_of(const float *row, int32_t d)
{
    double sum = 0;
    for (int32_t i = 0; i < d; i++)
        sum += (double)row[i] * row[i];
    return sqrt(sum);
}

static float cosine(const float *a, const float *b, int32_t d)
{
    size_t n = (size_t)d;
    float ab = memory_dot(a, b, n), aa = memory_dot(a, a, n), bb = memory_dot(b, b, n);
    return aa > 0 && bb > 0 ? ab / sqrtf(aa * bb) : 0;
}

static struct track *add_track(struct tracks *tracks, const struct track *track)
{
    if (tracks->n == tracks->cap) {
        tracks->cap = tracks->cap ? 2 * tracks->cap : 64;
        tracks->list = base_realloc(tracks->list, tracks->cap * sizeof *tracks->list);
    }
    tracks->list[tracks->n] = *track;
    return &tracks->list[tracks->n++];
}

static float *copy_floats(const float *from, size_t n)
{
    float *out = base_alloc_array(n, sizeof *out);
    memcpy(out, from, n * sizeof *out);
    return out;
}

static struct track *begin_track(struct compressor *c, const float *row, const float *sketch, int32_t cell, int64_t t0,
                                 int64_t t1)
{
    float *first = copy_floats(row, (size_t)c->columns);
    int32_t y = cell / c->grid_w, x = cell % c->grid_w;
    struct track track = {.first = first,
                          .last = first,
                          .sketch = sketch ? copy_floats(sketch, memory_sketch_width((size_t)c->columns)) : NULL,
                          .lengths = length_of(row, c->columns),
                          .t0 = t0,
                          .t1 = t1,
                          .y = y,
                          .x = x,
                          .last_y = y,
                          .last_x = x,
                          .n = 1,
                          .first_frame = c->n_frames,
                          .last_frame = c->n_frames};
    return add_track(&c->open, &track);
}

static void join_track(const struct compressor *c, struct track *track, const float *row, const float *sketch,
                       int32_t cell, int64_t t1)
{
    memcpy(track->sketch, sketch, memory_sketch_width((size_t)c->columns) * sizeof *sketch);
    size_t bytes = (size_t)c->columns * sizeof(float);
    if (!track->sum) {
        track->sum = base_alloc(bytes);
        track->last = base_alloc(bytes);
        memcpy(track->sum, track->first, bytes);
    }
    memcpy(track->last, row, bytes);
    for (int32_t i = 0; i < c->columns; i++)
        track->sum[i] += row[i];
    track->lengths += length_of(row, c->columns);
    track->n++;
    track->last_y = cell / c->grid_w;
    track->last_x = cell % c->grid_w;
    track->t1 = t1;
    track->last_frame = c->n_frames;
}

static float distance(float cos)
{
    return sqrtf(fmaxf(0, 2 - 2 * cos));
}

/* The open track that a token continues, or NULL. A track takes one token of a frame; one that was picked continues a track only
 * when it is the same as its first, and only what stands still outlives the life of a track. */
static struct track *find_track(const struct compressor *c, const float *row, const float *sketch, int32_t cell,
                                bool picked)
{
    const struct compress_options *o = &c->options;
    size_t width = memory_sketch_width((size_t)c->columns);
    int32_t y = cell / c->grid_w, x = cell % c->grid_w;
    struct track *best = NULL;
    float best_cosine = o->link;
    for (size_t i = 0; i < c->open.n; i++) {
        struct track *track = &c->open.list[i];
        if (abs(track->last_y - y) > o->move || abs(track->last_x - x) > o->move || track->last_frame == c->n_frames ||
            memory_dot(sketch, track->sketch, width) < best_cosine - sketch_error)
            continue;
        float like = cosine(row, track->last, c->columns);
        if (like < best_cosine)
            continue;
        float first = cosine(row, track->first, c->columns);
        bool same = distance(first) <= o->same;
        bool still = track->y == y && track->x == x && same;
        bool old = c->n_frames - track->first_frame >= (uint32_t)o->life;
        if (first >= o->anchor && (same || !picked) && (still || !old)) {
            best = track;
            best_cosine = like;
        }
    }
    return best;
}

/* Tracks that weren't seen for long take no more. */
static void close_tracks(struct compressor *c, bool all)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->open.n; i++) {
        struct track *track = &c->open.list[i];
        if (all || c->n_frames - track->last_frame > (uint32_t)c->options.life)
            add_track(&c->closed, track);
        else
            c->open.list[kept++] = *track;
    }
    c->open.n = kept;
}

/* ---- a frame ------------------------------------------------------------------------------------------------------ */

/* Picks the tokens of a frame that differ most from each other, those typical of the segment first among equals: farthest-point
 * choice on distance x (1 + relevance), relevance being the cosine with the segment's mean, brought to 0..1. */
static void pick_details(const struct compressor *c, const float *rows, const float *sketches, bool *picked, int32_t k)
{
    int32_t n = c->grid_h * c->grid_w, d = c->columns;
    size_t width = memory_sketch_width((size_t)d);
    float *mean = base_alloc_array((size_t)d, sizeof *mean), *gap = base_alloc_array((size_t)n, sizeof *gap);
    float *relevance = base_alloc_array((size_t)n, sizeof *relevance);
    for (int32_t i = 0; i < d; i++)
        mean[i] = (float)c->mean[i];
    for (int32_t i = 0; i < n; i++) {
        relevance[i] = (1 + cosine(rows + (size_t)i * (size_t)d, mean, d)) / 2;
        gap[i] = 2;
    }
    for (int32_t count = 0; count < k; count++) {
        int32_t next = -1;
        for (int32_t i = 0; i < n; i++)
            if (!picked[i] && (next < 0 || gap[i] * (1 + relevance[i]) > gap[next] * (1 + relevance[next])))
                next = i;
        if (next < 0 || gap[next] <= c->options.same)
            break;
        picked[next] = true;
        for (int32_t i = 0; i < n; i++) {
            float like = memory_dot(sketches + (size_t)i * width, sketches + (size_t)next * width, width);
            gap[i] = fminf(gap[i], distance(like));
        }
    }
    base_free(mean);
    base_free(gap);
    base_free(relevance);
}

/* How many frames one stands for that is shown for so long. */
static double times_shown(const struct compressor *c, int64_t duration)
{
    return c->options.step > 0 && duration > c->options.step ? (double)duration / (double)c->options.step : 1;
}

void memory_compressor_frame(struct compressor *c, const float *rows, int64_t t0, int64_t t1)
{
    int32_t n = c->grid_h * c->grid_w;
    size_t d = (size_t)c->columns, width = memory_sketch_width(d);
    bool *picked = base_alloc_array((size_t)n, sizeof *picked), all = c->options.keep >= 1;
    float *sketches = base_alloc_array((size_t)n * width, sizeof *sketches);
    if (c->n_frames == 0)
        c->t0 = t0;
    c->t1 = t1;
    c->n_shown += times_shown(c, t1 - t0);
    for (int32_t i = 0; i < n; i++)
        for (size_t j = 0; j < d; j++)
            c->mean[j] += rows[(size_t)i * d + j];
    close_tracks(c, false);
    if (!all) {
        memory_sketch(rows, (size_t)n, d, sketches);
        pick_details(c, rows, sketches, picked, (int32_t)lroundf(c->options.detail * c->options.keep * (float)n));
    }
    for (int32_t i = 0; i < n; i++) {
        const float *row = rows + (size_t)i * d, *sketch = all ? NULL : sketches + (size_t)i * width;
        struct track *track = all ? NULL : find_track(c, row, sketch, i, picked[i]);
        if (track)
            join_track(c, track, row, sketch, i, t1);
        else
            track = begin_track(c, row, sketch, i, t0, t1);
        track->detail |= picked[i];
    }
    c->n_frames++;
    base_free(sketches);
    base_free(picked);
}

size_t memory_compressor_bytes(const struct compressor *c)
{
    return (size_t)c->n_frames * c->grid_h * c->grid_w * (size_t)c->columns * sizeof(float);
}

/* ---- a segment ---------------------------------------------------------------------------------------------------- */

/* The value of a track: between its first token and the mean of all, as long as its members are on average, since a mean of
 * different directions is shorter than any of them. */
static void merge(const struct compressor *c, const struct track *track, float *out)
{
    float own = track->sum && !track->detail ? c->options.own : 1;
    for (int32_t i = 0; i < c->columns; i++)
        out[i] = own * track->first[i] + (own < 1 ? (1 - own) * track->sum[i] / (float)track->n : 0);
    double length = length_of(out, c->columns), wanted = track->lengths / track->n;
    if (length > 0 && own < 1)
        for (int32_t i = 0; i < c->columns; i++)
            out[i] = (float)(out[i] * (wanted / length));
}

static struct evidence_token origin(const struct track *track, float radius)
{
    return (struct evidence_token){track->t0,
                                   track->t1,
                                   (uint16_t)track->y,
                                   (uint16_t)track->x,
                                   (uint16_t)(track->y + 1),
                                   (uint16_t)(track->x + 1),
                                   (int16_t)(track->last_y - track->y),
                                   (int16_t)(track->last_x - track->x),
                                   (uint16_t)(track->n < 65535 ? track->n : 65535),
                                   compute_f32_to_f16(radius)};
}

/* All rows in an order whose beginning is in farthest-point order. */
static size_t order_all(const float *rows, size_t n, size_t d, uint32_t *order, float *radius)
{
    size_t done = memory_farthest_order(rows, n, d, n < ORDERED ? n : ORDERED, 0, -1, order, radius);
    bool *taken = base_alloc_array(n, sizeof *taken);
    for (size_t i = 0; i < done; i++)
        taken[order[i]] = true;
    for (size_t i = 0; i < n; i++) {
        if (taken[i])
            continue;
        radius[done] = done ? radius[done - 1] : 2;
        order[done++] = (uint32_t)i;
    }
    base_free(taken);
    return n;
}

void memory_compressor_close(struct compressor *c, struct compressed *out)
{
    size_t d = (size_t)c->columns, raw = (size_t)c->grid_h * c->grid_w * c->n_frames;
    *out = (struct compressed){.n_raw = (uint32_t)raw, .n_frames = c->n_frames, .t0 = c->t0, .t1 = c->t1};
    if (c->n_frames == 0)
        return;
    close_tracks(c, true);
    size_t n = c->closed.n, n_details = 0;
    size_t budget = (size_t)lround((double)c->options.keep * c->n_shown * c->grid_h * c->grid_w);
    budget = budget > (size_t)c->options.least ? budget : (size_t)c->options.least;
    const struct track **tracks = base_alloc_array(n, sizeof *tracks);
    float *rows = base_alloc_array(n * d, sizeof *rows), *radius = base_alloc_array(n, sizeof *radius);
    uint32_t *order = base_alloc_array(n, sizeof *order), *again = base_alloc_array(n, sizeof *again);
    for (size_t i = 0; i < n; i++)
        if (c->closed.list[i].detail)
            tracks[n_details++] = &c->closed.list[i];
    for (size_t i = 0, at = n_details; i < n; i++)
        if (!c->closed.list[i].detail)
            tracks[at++] = &c->closed.list[i];
    for (size_t i = 0; i < n; i++) {
        merge(c, tracks[i], rows + i * d);
        order[i] = (uint32_t)i;
    }
    /* The details, then those tracks that they leave farthest away; then all of them in one order. */
    size_t kept = n;
    if (c->options.keep < 1)
        kept = memory_farthest_order(rows, n, d, budget, n_details, c->options.same, order, radius);
    float *chosen = base_alloc_array(kept * d, sizeof *chosen);
    for (size_t i = 0; i < kept; i++)
        memcpy(chosen + i * d, rows + order[i] * d, d * sizeof *chosen);
    size_t n_out = c->options.keep < 1 ? memory_farthest_order(chosen, kept, d, kept, 0, c->options.same, again, radius)
                                       : order_all(chosen, kept, d, again, radius);

    out->n = (uint32_t)n_out;
    out->rows = base_alloc_array(n_out * d, sizeof *out->rows);
    out->tokens = base_alloc_array(n_out, sizeof *out->tokens);
    out->mean = base_alloc_array(d, sizeof *out->mean);
    for (size_t i = 0; i < n_out; i++) {
        memcpy(out->rows + i * d, chosen + again[i] * d, d * sizeof *out->rows);
        out->tokens[i] = origin(tracks[order[again[i]]], radius[i]);
    }
    for (size_t i = 0; i < d; i++)
        out->mean[i] = (float)(c->mean[i] / (double)raw);
    base_free(tracks);
    base_free(rows);
    base_free(radius);
    base_free(order);
    base_free(again);
    base_free(chosen);
    free_tracks(&c->closed);
    memset(c->mean, 0, d * sizeof *c->mean);
    c->n_frames = 0;
    c->n_shown = 0;
}

void memory_compressed_finish(struct compressed *out)
{
    base_free(out->rows);
    base_free(out->tokens);
    base_free(out->mean);
    *out = (struct compressed){0};
}

void memory_compress_page(const float *rows, int32_t columns, uint16_t grid_h, uint16_t grid_w, const bool *drop,
                          struct compressed *out)
{
    size_t n = (size_t)grid_h * grid_w, d = (size_t)columns, kept = 0;
    *out = (struct compressed){.n_raw = (uint32_t)n, .n_frames = 1, .t0 = PR_TIME_NONE, .t1 = PR_TIME_NONE};
    float *chosen = base_alloc_array(n * d, sizeof *chosen), *radius = base_alloc_array(n, sizeof *radius);
    uint32_t *cell = base_alloc_array(n, sizeof *cell), *order = base_alloc_array(n, sizeof *order);
    out->mean = base_alloc_array(d, sizeof *out->mean);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < d; j++)
            out->mean[j] += rows[i * d + j] / (float)n;
        if (drop && drop[i])
            continue;
        memcpy(chosen + kept * d, rows + i * d, d * sizeof *chosen);
        cell[kept++] = (uint32_t)i;
    }
    out->n = (uint32_t)order_all(chosen, kept, d, order, radius);
    out->rows = base_alloc_array(kept * d, sizeof *out->rows);
    out->tokens = base_alloc_array(kept, sizeof *out->tokens);
    for (size_t i = 0; i < kept; i++) {
        uint16_t y = (uint16_t)(cell[order[i]] / grid_w), x = (uint16_t)(cell[order[i]] % grid_w);
        memcpy(out->rows + i * d, chosen + order[i] * d, d * sizeof *out->rows);
        out->tokens[i] = (struct evidence_token){PR_TIME_NONE,
                                                 PR_TIME_NONE,
                                                 y,
                                                 x,
                                                 (uint16_t)(y + 1),
                                                 (uint16_t)(x + 1),
                                                 0,
                                                 0,
                                                 1,
                                                 compute_f32_to_f16(radius[i])};
    }
    base_free(chosen);
    base_free(radius);
    base_free(cell);
    base_free(order);
}
