/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Attention in blocks of 64 cells: their keys and values are widened to f32 once for all queries of the piece; logits, the
 * online softmax (arXiv 1805.02867) and the weighted sum then work on whole vectors. With many queries the keys are turned to
 * columns first, so that a vector holds the logits of neighbouring cells; with few that would cost more than it brings.
 * Compiled once per tier.
 */
#include "compute/cpu/simd.h"
#include "compute/cpu/tier.h"

#include <math.h>

enum { CELLS = CPU_ATTENTION_CELLS, QUERIES = CPU_ATTENTION_QUERIES };

/* Sums of QUERY_TILE queries x TILE_VECTORS vectors are kept in registers. */
#if defined(__AVX512F__)
enum { QUERY_TILE = 6, TILE_VECTORS = 4 };
#else
enum { QUERY_TILE = 6, TILE_VECTORS = 2 };
#endif

enum { FEW_QUERIES = 8, FEW_TILE = 3 };

/* One head of the cells of a cache. */
struct head {
    const char *data; /* of the first cell */
    size_t stride;    /* bytes from cell to cell */
    size_t bytes;     /* of the head in a cell */
    enum type type;
};

/* Where the parts of a thread's scratch begin. Rows are padded to a multiple of 16, which is a whole number of vectors. */
struct work {
    int d_head, d_value, head_stride, value_stride;
    struct head k, v;
    float *q;       /* [QUERIES, head_stride], scaled; zeros behind d_head */
    float *keys;    /* many queries: [d_head, CELLS]; few: [CELLS, head_stride] */
    float *values;  /* [CELLS, value_stride] */
    float *weights; /* [QUERIES, CELLS]: logits, then softmax weights */
    float *o;       /* [QUERIES, value_stride] */
    float largest[QUERIES], total[QUERIES];
    int32_t first[QUERIES], end[QUERIES]; /* range of each query */
    int32_t rows[CELLS], seq[CELLS];      /* pool row and sequence index of the block's cells */
};

static struct head head_of(const struct tensor *t, int kv, int width)
{
    return (struct head){.data = (const char *)compute_tensor_data(t) + compute_row_bytes(t->type, (int64_t)kv * width),
                         .stride = compute_row_bytes(t->type, t->cols),
                         .bytes = compute_row_bytes(t->type, width),
                         .type = t->type};
}

static void init_work(struct work *w, const struct cpu_attention *a)
{
    const struct attention_params *p = &a->op->attention;
    w->d_head = p->d_head;
    w->d_value = p->d_value;
    w->head_stride = (p->d_head + 15) & ~15;
    w->value_stride = (p->d_value + 15) & ~15;
    w->k = head_of(a->op->src[1], a->kv, p->d_head);
    w->v = head_of(a->op->src[2], a->kv, p->d_value);
    w->q = (float *)((char *)a->scratch + ((sizeof *w + 63) & ~(size_t)63));
    w->keys = w->q + QUERIES * w->head_stride;
    w->values = w->keys + w->head_stride * CELLS;
    w->weights = w->values + CELLS * w->value_stride;
    w->o = w->weights + QUERIES * CELLS;
}

/* ---- which cells ------------------------------------------------------------------------------------------------- */

/* Sequence indices that some query of the piece may see: [0, sink_end) and [first, end), without overlap. */
struct hull {
    int32_t sink_end, first, end;
};

static struct hull visible_hull(const struct cpu_attention *a)
{
    struct hull h = {.first = INT32_MAX};
    for (int64_t t = a->t0; t < a->t1; t++) {
        const int32_t *range = (const int32_t *)compute_tensor_data(a->op->src[4]) + 2 * t;
        int32_t sink = a->op->attention.sinks < range[1] ? a->op->attention.sinks : range[1];
        h.sink_end = sink > h.sink_end ? sink : h.sink_end;
        if (range[0] < range[1]) {
            h.first = range[0] < h.first ? range[0] : h.first;
            h.end = range[1] > h.end ? range[1] : h.end;
        }
    }
    h.first = h.first < h.sink_end ? h.sink_end : h.first;
    return h;
}

/* Walks the cells of a hull in ascending sequence order, those whose ordinal lies in [skip, stop). */
struct walk {
    const struct op *op;
    struct hull hull;
    int32_t page, cell; /* next one; without pages, page is 0 */
    int64_t ordinal, skip, stop;
};

static int32_t page_count(const struct op *op)
{
    return op->src[3] ? *(const int32_t *)compute_tensor_data(op->src[3]) : 1;
}

/* First row, first sequence index and cells of a page; everything is one page when there is no list. */
static void page_at(const struct op *op, int32_t page, int32_t *row, int32_t *seq, int32_t *cells)
{
    if (!op->src[3]) {
        *row = *seq = 0;
        *cells = (int32_t)op->src[1]->rows;
        return;
    }
    const int32_t *entry = (const int32_t *)compute_tensor_data(op->src[3]) + 2 * (1 + page);
    *row = entry[0];
    *seq = entry[1];
    *cells = op->attention.page_size;
}

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

static int32_t most(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* Cells of the sequence interval [from, to) that are among [seq, seq + cells). */
static int32_t overlap(int32_t from, int32_t to, int32_t seq, int32_t cells)
{
    return most(0, least(to, seq + cells) - most(from, seq));
}

static int64_t count_cells(const struct op *op, struct hull h)
{
    int64_t n = 0;
    for (int32_t j = 0; j < page_count(op); j++) {
        int32_t row, seq, cells;
        page_at(op, j, &row, &seq, &cells);
        n += overlap(0, h.sink_end, seq, cells) + overlap(h.first, h.end, seq, cells);
    }
    return n;
}

/* Fills w->rows and w->seq with up to CELLS cells; 0 at the end. */
static int next_cells(struct walk *k, struct work *w)
{
    int n = 0;
    while (n < CELLS && k->page < page_count(k->op) && k->ordinal < k->stop) {
        int32_t row, seq, cells;
        page_at(k->op, k->page, &row, &seq, &cells);
        if (k->cell == 0) { /* jump over pages that lie wholly outside */
            int32_t inside = overlap(0, k->hull.sink_end, seq, cells) + overlap(k->hull.first, k->hull.end, seq, cells);
            if (!inside || k->ordinal + inside <= k->skip) {
                k->ordinal += inside;
                k->page++;
                continue;
            }
        }
        for (; k->cell < cells && n < CELLS && k->ordinal < k->stop; k->cell++) {
            int32_t s = seq + k->cell;
            if (s >= k->hull.sink_end && (s < k->hull.first || s >= k->hull.end))
                continue;
            if (k->ordinal++ < k->skip)
                continue;
            w->rows[n] = row + k->cell;
            w->seq[n++] = s;
        }
        if (k->cell == cells) {
            k->cell = 0;
            k->page++;
        }
    }
    return n;
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

/* The n columns of a head in one cell as f32; `to` has room for n rounded up to 16, and zeros fill the last vector. */
INLINE void load_cell(const struct head *h, int64_t row, int n, float *to)
{
    const char *data = h->data + (size_t)row * h->stride;
    int c = 0;
    if (h->type == TYPE_F16) {
        const uint16_t *x = (const uint16_t *)data;
        for (; c + VF <= n; c += VF)
            vf_store(to + c, vf_load_f16(x + c));
        if (c < n)
            vf_store(to + c, vf_load_f16_n(x + c, n - c));
    } else if (h->type == TYPE_F32) {
        const float *x = (const float *)data;
        for (; c + VF <= n; c += VF)
            vf_store(to + c, vf_load(x + c));
        if (c < n)
            vf_store(to + c, vf_load_n(x + c, n - c));
    } else { /* TYPE_Q8_0 */
        const uint8_t *block = (const uint8_t *)data;
        for (; c < n; c += 32, block += 34) {
            vf scale = vf_set(half_at(block));
            for (int i = 0; i < 32; i += VF)
                vf_store(to + c + i, scale * vf_load_i8((const int8_t *)block + 2 + i));
        }
    }
}

/* A head's part of a cell is short and the next one far away, which no prefetcher foresees. */
INLINE void prefetch_cell(const struct head *h, int64_t row)
{
    const char *cell = h->data + (size_t)row * h->stride;
    for (size_t i = 0; i < h->bytes; i += 64)
        __builtin_prefetch(cell + i);
}

enum { AHEAD = 12 }; /* cells */

static void load_key_rows(struct work *w, int n)
{
    for (int c = 0; c < n && c < AHEAD; c++)
        prefetch_cell(&w->k, w->rows[c]);
    for (int c = 0; c < n; c++) {
        if (c + AHEAD < n)
            prefetch_cell(&w->k, w->rows[c + AHEAD]);
        prefetch_cell(&w->v, w->rows[c]);
        load_cell(&w->k, w->rows[c], w->d_head, w->keys + c * w->head_stride);
    }
}

static void load_key_columns(struct work *w, int n)
{
    float cells[VF][CPU_MAX_HEAD];
    for (int c = 0; c < n; c += VF) {
        int count = n - c < VF ? n - c : VF;
        for (int i = 0; i < count; i++)
            load_cell(&w->k, w->rows[c + i], w->d_head, cells[i]);
        for (int d = 0; d < w->d_head; d += VF) {
            vf block[VF];
            for (int i = 0; i < VF; i++)
                block[i] = i < count ? vf_load(cells[i] + d) : vf_set(0);
            vf_transpose(block);
            for (int i = 0; i < VF && d + i < w->d_head; i++)
                vf_store(w->keys + (d + i) * CELLS + c, block[i]);
        }
    }
}

static void load_values(struct work *w, int n)
{
    for (int c = 0; c < n; c++)
        load_cell(&w->v, w->rows[c], w->d_value, w->values + c * w->value_stride);
}

/* ---- one block --------------------------------------------------------------------------------------------------- */

/* logits[i][.] = q[i] . keys for `n` queries, with keys in rows. */
INLINE void logits_rows(const struct work *w, int query, int n, int cells)
{
    const float *q = w->q + query * w->head_stride;
    for (int c = 0; c < cells; c += VF) {
        vf part[FEW_TILE][VF];
        for (int i = 0; i < VF; i++) {
            const float *key = w->keys + (c + i < cells ? c + i : c) * w->head_stride; /* past the end: any */
            for (int r = 0; r < n; r++)
                part[r][i] = vf_set(0);
            for (int d = 0; d < w->d_head; d += VF) {
                vf x = vf_load(key + d);
                for (int r = 0; r < n; r++)
                    part[r][i] = vf_fma(x, vf_load(q + r * w->head_stride + d), part[r][i]);
            }
        }
        for (int r = 0; r < n; r++)
            vf_store(w->weights + (query + r) * CELLS + c, vf_sums(part[r]));
    }
}

static void few_logits(const struct work *w, int queries, int cells)
{
    int i = 0;
    for (; i + FEW_TILE <= queries; i += FEW_TILE)
        logits_rows(w, i, FEW_TILE, cells);
    for (; i < queries; i++)
        logits_rows(w, i, 1, cells);
}

/* logits[i][.] = q[i] . keys for `n` queries and the TILE_VECTORS vectors of cells at `column`. */
INLINE void logits_tile(const struct work *w, int query, int n, int column)
{
    vf acc[QUERY_TILE][TILE_VECTORS];
    for (int i = 0; i < n; i++)
        for (int v = 0; v < TILE_VECTORS; v++)
            acc[i][v] = vf_set(0);
    const float *q = w->q + query * w->head_stride;
    for (int d = 0; d < w->d_head; d++) {
        vf key[TILE_VECTORS];
        for (int v = 0; v < TILE_VECTORS; v++)
            key[v] = vf_load(w->keys + d * CELLS + column + v * VF);
        for (int i = 0; i < n; i++) {
            vf x = vf_set(q[i * w->head_stride + d]);
            for (int v = 0; v < TILE_VECTORS; v++)
                acc[i][v] = vf_fma(x, key[v], acc[i][v]);
        }
    }
    for (int i = 0; i < n; i++)
        for (int v = 0; v < TILE_VECTORS; v++)
            vf_store(w->weights + (query + i) * CELLS + column + v * VF, acc[i][v]);
}

/* o[i][column ..] += weights[i] . values for `n` queries and `vectors` vectors of columns. */
INLINE void values_tile(const struct work *w, int query, int n, int cells, int column, int vectors)
{
    vf acc[QUERY_TILE][TILE_VECTORS];
    for (int i = 0; i < n; i++)
        for (int v = 0; v < vectors; v++)
            acc[i][v] = vf_load(w->o + (query + i) * w->value_stride + column + v * VF);
    for (int c = 0; c < cells; c++) {
        vf value[TILE_VECTORS];
        for (int v = 0; v < vectors; v++)
            value[v] = vf_load(w->values + c * w->value_stride + column + v * VF);
        for (int i = 0; i < n; i++) {
            vf x = vf_set(w->weights[(query + i) * CELLS + c]);
            for (int v = 0; v < vectors; v++)
                acc[i][v] = vf_fma(x, value[v], acc[i][v]);
        }
    }
    for (int i = 0; i < n; i++)
        for (int v = 0; v < vectors; v++)
            vf_store(w->o + (query + i) * w->value_stride + column + v * VF, acc[i][v]);
}

static void all_logits(const struct work *w, int queries, int cells)
{
    for (int column = 0; column < cells; column += TILE_VECTORS * VF) {
        int i = 0;
        for (; i + QUERY_TILE <= queries; i += QUERY_TILE)
            logits_tile(w, i, QUERY_TILE, column);
        for (; i + 3 <= queries; i += 3)
            logits_tile(w, i, 3, column);
        for (; i < queries; i++)
            logits_tile(w, i, 1, column);
    }
}

static void all_values(const struct work *w, int queries, int cells)
{
    int column = 0;
    for (; column + TILE_VECTORS * VF <= w->value_stride; column += TILE_VECTORS * VF) {
        int i = 0;
        for (; i + QUERY_TILE <= queries; i += QUERY_TILE)
            values_tile(w, i, QUERY_TILE, cells, column, TILE_VECTORS);
        for (; i + 3 <= queries; i += 3)
            values_tile(w, i, 3, cells, column, TILE_VECTORS);
        for (; i < queries; i++)
            values_tile(w, i, 1, cells, column, TILE_VECTORS);
    }
    for (; column < w->value_stride; column += VF)
        for (int i = 0; i < queries; i++)
            values_tile(w, i, 1, cells, column, 1);
}

static bool sees(const struct work *w, const struct attention_params *p, int query, int32_t seq)
{
    return (w->first[query] <= seq && seq < w->end[query]) || seq < least(p->sinks, w->end[query]);
}

/* Turns a query's logits into weights and rescales what was summed so far. */
static void soften(struct work *w, const struct attention_params *p, int query, int cells)
{
    float *row = w->weights + query * CELLS;
    int padded = (cells + VF - 1) / VF * VF;
    if (p->softcap > 0)
        for (int c = 0; c < padded; c += VF)
            vf_store(row + c, vf_set(p->softcap) * vf_tanh(vf_load(row + c) / vf_set(p->softcap)));
    if (w->first[query] > w->seq[0] || w->end[query] <= w->seq[cells - 1])
        for (int c = 0; c < cells; c++)
            if (!sees(w, p, query, w->seq[c]))
                row[c] = -INFINITY;
    for (int c = cells; c < padded; c++)
        row[c] = -INFINITY;
    vf m = vf_set(-INFINITY);
    for (int c = 0; c < padded; c += VF)
        m = vf_max(vf_load(row + c), m);
    float largest = vf_largest(m);
    if (largest <= w->largest[query])
        largest = w->largest[query];
    if (largest == -INFINITY) { /* nothing visible yet */
        memset(row, 0, (size_t)padded * sizeof *row);
        return;
    }
    vf sum = vf_set(0), top = vf_set(largest);
    for (int c = 0; c < padded; c += VF) {
        vf e = vf_exp(vf_load(row + c) - top);
        sum = sum + e;
        vf_store(row + c, e);
    }
    if (largest > w->largest[query]) {
        float shrink = w->largest[query] == -INFINITY ? 0 : expf(w->largest[query] - largest);
        w->total[query] *= shrink;
        float *o = w->o + query * w->value_stride;
        for (int d = 0; d < w->value_stride; d += VF)
            vf_store(o + d, vf_load(o + d) * vf_set(shrink));
        w->largest[query] = largest;
    }
    w->total[query] += vf_sum(sum);
}

/* ---- a piece ----------------------------------------------------------------------------------------------------- */

/* Query i of a piece is head i % group of token t0 + i / group. */
static int load_queries(struct work *w, const struct cpu_attention *a, int group)
{
    const struct attention_params *p = &a->op->attention;
    const struct tensor *q = a->op->src[0];
    int n = 0;
    for (int64_t t = a->t0; t < a->t1; t++) {
        const int32_t *range = (const int32_t *)compute_tensor_data(a->op->src[4]) + 2 * t;
        for (int g = 0; g < group; g++, n++) {
            const float *from = (const float *)compute_tensor_data(q) + t * q->cols + (a->kv * group + g) * p->d_head;
            float *to = w->q + n * w->head_stride;
            for (int d = 0; d < w->head_stride; d++)
                to[d] = d < p->d_head ? from[d] * p->scale : 0;
            w->first[n] = range[0];
            w->end[n] = range[1];
            w->largest[n] = -INFINITY;
            w->total[n] = 0;
        }
    }
    memset(w->o, 0, (size_t)n * (size_t)w->value_stride * sizeof *w->o);
    return n;
}

static void store_result(const struct work *w, const struct cpu_attention *a, int group, int queries)
{
    const struct attention_params *p = &a->op->attention;
    for (int i = 0; i < queries; i++) {
        int64_t t = a->t0 + i / group, head = a->kv * group + i % group;
        const float *o = w->o + i * w->value_stride;
        if (a->n_slices > 1) {
            float *to = a->partial + ((t * p->n_head + head) * a->n_slices + a->slice) * (2 + p->d_value);
            to[0] = w->largest[i];
            to[1] = w->total[i];
            memcpy(to + 2, o, (size_t)p->d_value * sizeof *o);
            continue;
        }
        float *y = (float *)compute_tensor_data(a->op->dst) + t * a->op->dst->cols + head * p->d_value;
        float inverse = w->total[i] > 0 ? 1 / w->total[i] : 0;
        for (int d = 0; d < p->d_value; d++)
            y[d] = o[d] * inverse;
    }
}

void CPU_TIER(attention)(const struct cpu_attention *a)
{
    const struct attention_params *p = &a->op->attention;
    struct work *w = a->scratch;
    init_work(w, a);
    int group = p->n_head / p->n_kv;
    int queries = load_queries(w, a, group);
    struct walk walk = {.op = a->op, .hull = visible_hull(a), .stop = INT64_MAX};
    if (a->n_slices > 1) {
        int64_t share = (count_cells(a->op, walk.hull) + a->n_slices - 1) / a->n_slices;
        share = (share + 15) / 16 * 16;
        walk.skip = a->slice * share;
        walk.stop = walk.skip + share;
    }
    int cells;
    while ((cells = next_cells(&walk, w))) {
        if (queries <= FEW_QUERIES) {
            load_key_rows(w, cells);
            few_logits(w, queries, cells);
        } else {
            load_key_columns(w, cells);
            all_logits(w, queries, cells);
        }
        for (int i = 0; i < queries; i++)
            soften(w, p, i, cells);
        load_values(w, cells);
        all_values(w, queries, cells);
    }
    store_result(w, a, group, queries);
}

void CPU_TIER(attention_merge)(const struct cpu_attention *a)
{
    const struct attention_params *p = &a->op->attention;
    int width = 2 + p->d_value;
    for (int64_t t = a->t0; t < a->t1; t++)
        for (int head = 0; head < p->n_head; head++) {
            const float *slices = a->partial + (t * p->n_head + head) * a->n_slices * width;
            float *y = (float *)compute_tensor_data(a->op->dst) + t * a->op->dst->cols + head * p->d_value;
            float largest = -INFINITY, total = 0;
            for (int s = 0; s < a->n_slices; s++)
                largest = slices[s * width] > largest ? slices[s * width] : largest;
            memset(y, 0, (size_t)p->d_value * sizeof *y);
            for (int s = 0; s < a->n_slices; s++) {
                const float *part = slices + s * width;
                if (part[1] <= 0)
                    continue;
                float shrink = expf(part[0] - largest);
                total += part[1] * shrink;
                for (int d = 0; d < p->d_value; d++)
                    y[d] += part[2 + d] * shrink;
            }
            for (int d = 0; d < p->d_value; d++)
                y[d] = total > 0 ? y[d] / total : 0;
        }
}
