/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vision/encoder.h"

#include "base/mem.h"
#include "compute/pass.h"
#include "vision/block.h"

#include <math.h>
#include <string.h>

enum { MAX_BATCH = 16, PLANS = 5 /* 1, 2, 4, 8 and 16 crops of one size */ };

/* A planned pass over n crops of one size. */
struct plan {
    int32_t width, height, n;
    struct vision_graph graph;
    struct tensor *out[1 + VISION_MAX_DEEPSTACK];
    struct pass_cost cost;
    uint64_t used; /* when, in uses of plans */
};

struct vision_encoder {
    struct vision_params params;
    struct vision_weights weights;
    const char *path; /* the file's, for messages */
    uint64_t memory;
    struct plan *plans[PLANS];
    uint64_t clock;
};

/* ---- the order of patches --------------------------------------------------------------------------------------- */

/* Visual tokens row by row, as [rows, cols] of one crop, in the encoder's order: grouped by windows of `side` tokens if there
 * are any. at[place] = token; ends[place] = the places at which its window begins and ends. */
static void order_tokens(int32_t rows, int32_t cols, int32_t side, int32_t *at, int32_t (*ends)[2])
{
    int32_t place = 0;
    int32_t high = side ? side : rows, wide = side ? side : cols;
    for (int32_t top = 0; top < rows; top += high)
        for (int32_t left = 0; left < cols; left += wide) {
            int32_t first = place;
            for (int32_t row = top; row < top + high && row < rows; row++)
                for (int32_t col = left; col < left + wide && col < cols; col++)
                    at[place++] = row * cols + col;
            for (int32_t i = first; i < place; i++)
                memcpy(ends[i], (int32_t[2]){first, place}, sizeof ends[i]);
        }
}

/* The class token of a crop, before its patches. */
static void place_class(const struct vision_graph *g, int32_t crop)
{
    int32_t at = crop * g->per_crop;
    int32_t(*range)[2] = compute_pass_host(g->pass, g->range);
    memcpy(range[at], (int32_t[2]){at, at + g->per_crop}, sizeof *range);
    ((int32_t *)compute_pass_host(g->pass, g->order))[at] = -1;
    ((int32_t *)compute_pass_host(g->pass, g->places))[at] = 0;
    ((int32_t *)compute_pass_host(g->pass, g->class_rows))[at] = 0;
}

/* The patches of the visual token that comes `place`-th in its crop. */
static void place_token(const struct vision_graph *g, int32_t crop, int32_t token, const int32_t ends[2], int32_t place)
{
    int32_t s = g->weights->params->merge, cols = g->cols / s, area = g->rows * g->cols;
    int32_t before = crop * g->per_crop, ahead = g->class_rows ? 1 : 0, first = before + ahead + place * s * s;
    int32_t *order = compute_pass_host(g->pass, g->order);
    int32_t *places = g->places ? compute_pass_host(g->pass, g->places) : NULL;
    int32_t(*positions)[4] = g->positions ? compute_pass_host(g->pass, g->positions) : NULL;
    int32_t(*range)[2] = compute_pass_host(g->pass, g->range);
    int32_t(*window)[2] = g->window_range ? compute_pass_host(g->pass, g->window_range) : NULL;
    int32_t *class_rows = g->class_rows ? compute_pass_host(g->pass, g->class_rows) : NULL;
    int32_t *patches = g->patches ? compute_pass_host(g->pass, g->patches) : NULL;
    for (int32_t i = 0; i < s * s; i++) {
        int32_t y = token / cols * s + i / s, x = token % cols * s + i % s, at = first + i;
        order[at] = crop * area + y * g->cols + x;
        if (places)
            places[at] = ahead + y * g->cols + x;
        if (positions)
            memcpy(positions[at], (int32_t[4]){y, x, 0, 0}, sizeof positions[at]);
        range[at][0] = before;
        range[at][1] = before + g->per_crop;
        for (int end = 0; window && end < 2; end++)
            window[at][end] = before + ends[end] * s * s;
        if (class_rows) {
            class_rows[at] = -1;
            patches[crop * area + place * s * s + i] = at;
        }
    }
}

static void fill_constants(const struct vision_graph *g)
{
    const struct vision_params *p = g->weights->params;
    int32_t s = p->merge, rows = g->rows / s, cols = g->cols / s, n = rows * cols;
    int32_t *at = base_alloc_array((size_t)n, sizeof *at);
    int32_t(*ends)[2] = base_alloc_array((size_t)n, sizeof *ends);
    int32_t *back = g->back ? compute_pass_host(g->pass, g->back) : NULL;
    int32_t *table_rows = g->table_rows ? compute_pass_host(g->pass, g->table_rows) : NULL;
    for (int32_t i = 0; table_rows && i < p->n_positions; i++)
        table_rows[i] = i;
    order_tokens(rows, cols, p->window / s, at, ends);
    for (int32_t crop = 0; crop < g->n_crops; crop++) {
        if (g->class_rows)
            place_class(g, crop);
        for (int32_t i = 0; i < n; i++) {
            place_token(g, crop, at[i], ends[i], i);
            if (back)
                back[crop * n + at[i]] = crop * n + i;
        }
    }
    base_free(at);
    base_free(ends);
}

/* ---- plans ------------------------------------------------------------------------------------------------------ */

static void record_inputs(struct vision_graph *g)
{
    const struct vision_params *p = g->weights->params;
    int64_t n = (int64_t)g->n_crops * g->per_crop;
    static const char *const names[] = {"frame", "second frame"};
    for (int i = 0; i < p->n_frames; i++)
        g->frame[i] = compute_pass_input(g->pass, TYPE_F32, (int64_t)g->n_crops * 3 * g->rows * p->patch,
                                         (int64_t)g->cols * p->patch, names[i]);
    g->order = compute_pass_input(g->pass, TYPE_I32, 1, n, "order");
    if (p->n_positions)
        g->table_rows = compute_pass_input(g->pass, TYPE_I32, 1, p->n_positions, "table rows");
    if (p->n_positions)
        g->places = compute_pass_input(g->pass, TYPE_I32, 1, n, "places");
    if (p->rope)
        g->positions = compute_pass_input(g->pass, TYPE_I32, n, 4, "positions");
    g->range = compute_pass_input(g->pass, TYPE_I32, n, 2, "range");
    if (p->class_token) {
        g->class_rows = compute_pass_input(g->pass, TYPE_I32, 1, n, "class tokens");
        g->patches = compute_pass_input(g->pass, TYPE_I32, 1, n - g->n_crops, "patches");
    }
    if (p->window) {
        g->window_range = compute_pass_input(g->pass, TYPE_I32, n, 2, "windows");
        g->back = compute_pass_input(g->pass, TYPE_I32, 1, n / p->merge / p->merge, "back");
    }
}

static void plan_destroy(struct plan *plan)
{
    if (!plan)
        return;
    compute_pass_destroy(plan->graph.pass);
    base_free(plan);
}

static int plan_create(struct vision_encoder *e, int32_t width, int32_t height, int32_t n, struct plan **out)
{
    int err;
    const struct vision_params *p = &e->params;
    struct plan *plan = base_alloc(sizeof *plan);
    struct device *devices[2] = {e->weights.device, e->weights.host};
    bool one = devices[0] == devices[1];
    *plan = (struct plan){.width = width, .height = height, .n = n};
    plan->graph = (struct vision_graph){.pass = compute_pass_create(devices, one ? 1 : 2),
                                        .weights = &e->weights,
                                        .n_crops = n,
                                        .rows = height / p->patch,
                                        .cols = width / p->patch};
    plan->graph.per_crop = plan->graph.rows * plan->graph.cols + (p->class_token ? 1 : 0);
    record_inputs(&plan->graph);
    p->family->record(&plan->graph, plan->out);
    for (int i = 0; i <= p->n_deepstack; i++)
        compute_pass_output(plan->graph.pass, plan->out[i]);
    TRY(compute_pass_plan(plan->graph.pass, &plan->cost));
    fill_constants(&plan->graph);
    *out = plan;
    return PR_OK;
fail:
    plan_destroy(plan);
    return base_fail_prefix(err, "%d pictures of %d x %d pixels", n, width, height);
}

static int check_size(const struct vision_encoder *e, int32_t width, int32_t height, int32_t n)
{
    int32_t rows = height / e->params.patch, cols = width / e->params.patch, s = e->params.merge;
    if (rows < s || cols < s || rows % s || cols % s || n < 1 || (int64_t)rows * cols * n > 1 << 24)
        return base_fail(PR_ERR_INVALID,
                         "%d pictures of %d x %d pixels can't be encoded: %d x %d patches of %d don't merge by %d", n,
                         width, height, rows, cols, e->params.patch, s);
    return PR_OK;
}

static int get_plan(struct vision_encoder *e, int32_t width, int32_t height, int32_t n, struct plan **out)
{
    int oldest = 0;
    int err = check_size(e, width, height, n);
    if (err < 0)
        return err;
    for (int i = 0; i < PLANS; i++) /* those of another size go, so that what is taken is what this size takes */
        if (e->plans[i] && (e->plans[i]->width != width || e->plans[i]->height != height)) {
            plan_destroy(e->plans[i]);
            e->plans[i] = NULL;
        }
    for (int i = 0; i < PLANS; i++) {
        struct plan *p = e->plans[i];
        if (p && p->width == width && p->height == height && p->n == n) {
            p->used = ++e->clock;
            *out = p;
            return PR_OK;
        }
        if (!p || (e->plans[oldest] && p->used < e->plans[oldest]->used))
            oldest = i;
    }
    /* The old one goes first, so that both never take memory at once. */
    plan_destroy(e->plans[oldest]);
    e->plans[oldest] = NULL;
    err = plan_create(e, width, height, n, &e->plans[oldest]);
    if (err < 0)
        return err;
    e->plans[oldest]->used = ++e->clock;
    *out = e->plans[oldest];
    return PR_OK;
}

int vision_encoder_cost(struct vision_encoder *e, int32_t width, int32_t height, int32_t n, struct pass_cost *out)
{
    struct plan *plan;
    int err = get_plan(e, width, height, n, &plan);
    if (err == PR_OK)
        *out = plan->cost;
    return err;
}

int vision_encoder_batch(struct vision_encoder *e, int32_t width, int32_t height, int32_t most)
{
    struct pass_cost cost;
    if (most <= 1)
        return 1;
    int err = vision_encoder_cost(e, width, height, 1, &cost);
    if (err < 0)
        return err;
    uint64_t one = cost.arena + cost.inputs + cost.outputs, n = one ? e->memory / one : 1;
    most = most < MAX_BATCH ? most : MAX_BATCH;
    return n < 1 ? 1 : n < (uint64_t)most ? (int)n : most;
}

/* How many of `left` crops go into the next pass: a power of two, so that few plans serve every number. */
static int32_t next_batch(struct vision_encoder *e, int32_t width, int32_t height, int32_t left)
{
    int32_t batch = vision_encoder_batch(e, width, height, left);
    while (batch > 0 && (batch & (batch - 1)))
        batch &= batch - 1;
    return batch;
}

int vision_encoder_memory(struct vision_encoder *e, int32_t width, int32_t height, int32_t n, uint64_t *bytes)
{
    struct pass_cost cost;
    int err = PR_OK;
    *bytes = 0;
    for (int32_t batch, last = 0; n > 0; n -= batch, last = batch) {
        batch = next_batch(e, width, height, n);
        if (batch < 0)
            return batch;
        if (batch != last)
            err = vision_encoder_cost(e, width, height, batch, &cost);
        if (err < 0)
            return err;
        if (batch != last)
            *bytes += cost.arena + cost.inputs + cost.outputs;
    }
    err = vision_encoder_cost(e, width, height, 1, &cost); /* batches are chosen by it, so it was planned */
    if (err == PR_OK)
        *bytes += cost.arena + cost.inputs + cost.outputs;
    return err;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

int vision_encoder_create(const struct gguf *gguf, const struct vision_encoder_options *options,
                          struct vision_encoder **out)
{
    int err;
    *out = NULL;
    struct vision_encoder *e = base_alloc(sizeof *e);
    e->path = model_gguf_path(gguf);
    e->memory = options->memory ? options->memory : VISION_MEMORY;
    TRY(vision_params_read(gguf, &e->params));
    TRY(vision_weights_init(&e->weights, &e->params, gguf, options));
    *out = e;
    return PR_OK;
fail:
    base_free(e);
    return err;
}

void vision_encoder_destroy(struct vision_encoder *e)
{
    if (!e)
        return;
    for (int i = 0; i < PLANS; i++)
        plan_destroy(e->plans[i]);
    vision_weights_finish(&e->weights);
    base_free(e);
}

const struct vision_params *vision_encoder_params(const struct vision_encoder *e)
{
    return &e->params;
}

int32_t vision_encoder_width(const struct vision_encoder *e)
{
    return e->params.d_out * (1 + e->params.n_deepstack);
}

/* ---- encoding --------------------------------------------------------------------------------------------------- */

/* rgb [height, width, 3] -> planes [3 * rows, cols], the upper left corner of whole patches: (v / 255 - mean) / std. */
static void normalise(const struct vision_params *p, const uint8_t *rgb, int32_t width, int32_t rows, int32_t cols,
                      float *planes)
{
    float value[3][256];
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++)
            value[c][v] = ((float)v / 255 - p->mean[c]) / p->std[c];
    for (int c = 0; c < 3; c++)
        for (int32_t y = 0; y < rows; y++, planes += cols)
            for (int32_t x = 0; x < cols; x++)
                planes[x] = value[c][rgb[3 * ((size_t)y * (size_t)width + (size_t)x) + (size_t)c]];
}

static int take_rows(const struct vision_encoder *e, const struct plan *plan, float *rows)
{
    size_t d = (size_t)e->params.d_out, n = (size_t)plan->out[0]->rows, slices = (size_t)(1 + e->params.n_deepstack);
    for (size_t s = 0; s < slices; s++) {
        const float *from = compute_pass_host(plan->graph.pass, plan->out[s]);
        for (size_t i = 0; i < n * d; i++)
            if (!isfinite(from[i]))
                return base_fail(PR_ERR_FORMAT,
                                 "%s: visual tokens aren't finite; its weights are damaged, get it again", e->path);
        for (size_t i = 0; i < n; i++)
            memcpy(rows + (i * slices + s) * d, from + i * d, d * sizeof *rows);
    }
    return PR_OK;
}

static int encode_batch(struct vision_encoder *e, int32_t width, int32_t height, int32_t n, const uint8_t *rgb,
                        float *rows, const struct base_cancel *cancel)
{
    int err;
    struct plan *plan;
    size_t area = (size_t)width * (size_t)height;
    int32_t rows_seen = height / e->params.patch * e->params.patch,
            cols_seen = width / e->params.patch * e->params.patch;
    TRY(get_plan(e, width, height, n, &plan));
    for (int32_t i = 0; i < n; i++)
        for (int f = 0; f < e->params.n_frames; f++, rgb += 3 * area) {
            float *frame = compute_pass_host(plan->graph.pass, plan->graph.frame[f]);
            normalise(&e->params, rgb, width, rows_seen, cols_seen,
                      frame + (size_t)i * 3 * (size_t)rows_seen * (size_t)cols_seen);
        }
    TRY(compute_pass_run(plan->graph.pass, cancel));
    TRY(take_rows(e, plan, rows));
    return PR_OK;
fail:
    return err;
}

int vision_encode(struct vision_encoder *e, const struct vision_layout *layout, int32_t first, int32_t n,
                  const uint8_t *rgb, float *rows, const struct base_cancel *cancel)
{
    for (int32_t end = first + n, batch; first < end; first += batch) {
        const struct vision_crop *c = &layout->crops[first];
        int32_t same = 1;
        while (first + same < end && c[same].width == c->width && c[same].height == c->height)
            same++;
        batch = next_batch(e, c->width, c->height, same);
        if (batch < 0)
            return batch;
        int err = encode_batch(e, c->width, c->height, batch, rgb, rows, cancel);
        if (err < 0)
            return err;
        rgb += vision_fill_size(layout, first, batch);
        rows += vision_tokens(layout, first, batch) * vision_encoder_width(e);
    }
    return PR_OK;
}
