/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A logit that is off by d changes every weight of the softmax by a factor of at most e^(2d); the result is an average of values,
 * so its error is at most (e^(2d) - 1 + p) * sum(weight * |v|), p being the relative error of a weight's own arithmetic. What a
 * kernel may do to be fast:
 * - f32 everywhere: d = (d_head + 4) 2^-24 scale sum|q k|, p = (cells + 16) 2^-24;
 * - with f16 caches, round q and weights to f16: 2^-11 of each more, and 2^-24 for what falls below the smallest half;
 * - with q8_0 keys, round q to whole steps of max|q| / 127 in blocks of 32: half a step each more; weights as with f16.
 */
#include "base/mem.h"
#include "tests/kernels/harness.h"

#include <math.h>
#include <string.h>

enum mask { CAUSAL, FULL, WINDOW, BLOCKS, PICTURE, MIXED };
static const char *const masks[] = {"causal", "full", "window", "blocks", "picture", "mixed"};

struct spec {
    enum mask mask;
    int32_t n, cells;
    int32_t n_head, n_kv, d_head, d_value;
    enum type k_type, v_type;
    int32_t page_size; /* 0: no pages */
    int32_t sinks;
    float softcap;
    enum fill q_fill;
    bool bench_only;
};

/* Query i stands at the end of the sequence, as i - n tokens from it. */
static void fill_ranges(const struct spec *s, int32_t *range)
{
    for (int32_t i = 0; i < s->n; i++) {
        int32_t end = s->cells - s->n + i + 1, block = i / 5;
        if (end < 0)
            end = 0;
        int32_t *r = range + 2 * i;
        r[0] = 0;
        r[1] = end;
        if (s->mask == FULL)
            r[1] = s->cells;
        if (s->mask == WINDOW)
            r[0] = end - 11;
        if (s->mask == BLOCKS) {
            r[0] = block * 5 < s->cells ? block * 5 : s->cells;
            r[1] = block * 5 + 5 < s->cells ? block * 5 + 5 : s->cells;
        }
        if (s->mask == PICTURE && i >= 2 && i < 6 && s->cells >= s->n)
            r[1] = s->cells - s->n + (6 < s->n ? 6 : s->n);
        if (s->mask == MIXED && i % 3 == 0) /* sees nothing but perhaps sinks */
            r[0] = r[1];
        if (s->mask == MIXED && i % 3 == 1)
            r[0] = r[1] = 0;
    }
}

/* Where cell c of the sequence lies in the pool, and its sequence index. Pages lie in the pool in another order and the pages
 * behind the first one have slid: their indices begin 1000 later. */
static int32_t pool_row(const struct spec *s, int32_t c)
{
    if (!s->page_size)
        return c;
    int32_t n_pages = (s->cells + s->page_size - 1) / s->page_size, page = c / s->page_size;
    return (n_pages - page) * s->page_size + c % s->page_size; /* page 0 of the pool stays unused */
}

static int32_t sequence_index(const struct spec *s, int32_t c)
{
    return s->page_size && c >= s->page_size ? c + 1000 * (s->mask == WINDOW) : c;
}

static bool is_visible(const struct spec *s, const int32_t *range, int32_t seq)
{
    return (seq >= range[0] && seq < range[1]) || (seq < s->sinks && seq < range[1]);
}

static void fill_pages(const struct spec *s, struct kernel_case *c)
{
    int32_t n_pages = (s->cells + s->page_size - 1) / s->page_size;
    int32_t *pages = kernel_operand(c, 3, TENSOR_INPUT, TYPE_I32, 1 + n_pages + 2, 2); /* two rows are not in use */
    pages[0] = n_pages;
    pages[1] = INT32_MIN;
    for (int32_t j = 0; j < n_pages; j++) {
        pages[2 + 2 * j] = pool_row(s, j * s->page_size);
        pages[3 + 2 * j] = sequence_index(s, j * s->page_size);
    }
    for (int i = 2 + 2 * n_pages; i < 2 * (1 + n_pages + 2); i++)
        pages[i] = INT32_MAX;
}

/* Cells that no query sees become NaN. */
static void spoil_invisible(const struct spec *s, struct kernel_case *c, int64_t pool_rows)
{
    const int32_t *range = c->operands[4].data;
    bool *seen = base_alloc_array((size_t)pool_rows, sizeof *seen);
    for (int32_t cell = 0; cell < s->cells; cell++)
        for (int32_t i = 0; i < s->n; i++)
            seen[pool_row(s, cell)] |= is_visible(s, range + 2 * i, sequence_index(s, cell));
    for (int slot = 1; slot <= 2; slot++) {
        const struct operand *o = &c->operands[slot];
        size_t row = compute_row_bytes(o->type, o->cols);
        for (int64_t r = 0; r < pool_rows; r++)
            if (!seen[r])
                memset((char *)o->data + (size_t)r * row, 0x7f, row); /* f32: 3e38; f16, and q8_0's scale: NaN */
        for (int64_t r = 0; r < pool_rows && o->type == TYPE_F32; r++)
            for (int64_t k = 0; k < o->cols && !seen[r]; k++)
                ((float *)o->data)[r * o->cols + k] = r % 2 ? NAN : INFINITY;
    }
    base_free(seen);
}

static double logit_error(const struct spec *s, const float *q, const float *k, double scale)
{
    double dot = 0, step = 0;
    for (int d = 0; d < s->d_head; d++) {
        double peak = 0;
        for (int j = d / 32 * 32; j < d / 32 * 32 + 32 && j < s->d_head; j++)
            peak = fmax(peak, fabs(q[j]));
        dot += fabs((double)q[d] * k[d]);
        step += s->k_type == TYPE_Q8_0  ? peak / 254 * 1.001 * fabs(k[d])
                : s->k_type == TYPE_F16 ? 0x1p-24 * fabs(k[d])
                                        : 0;
    }
    double relative = (s->d_head + 4) * 0x1p-24 + (s->k_type == TYPE_F32 ? 0 : 0x1p-11);
    return scale * (dot * relative + step) + (s->softcap > 0 ? s->softcap * 8 * 0x1p-24 : 0);
}

/* One query head: softmax over all visible cells in double, for the bound of its d_value elements. */
static void bound_head(const struct spec *s, const int32_t *range, const float *q, const float *k, const float *v,
                       int kv_head, double scale, double *logits, double *out)
{
    double largest = -INFINITY, error = 0, total = 0;
    int32_t n = 0;
    for (int32_t c = 0; c < s->cells; c++) {
        logits[c] = NAN;
        if (!is_visible(s, range, sequence_index(s, c)))
            continue;
        const float *key = k + ((int64_t)pool_row(s, c) * s->n_kv + kv_head) * s->d_head;
        double dot = 0;
        for (int d = 0; d < s->d_head; d++)
            dot += (double)q[d] * key[d];
        logits[c] = scale * dot;
        if (s->softcap > 0)
            logits[c] = s->softcap * tanh(logits[c] / s->softcap);
        error = fmax(error, logit_error(s, q, key, scale));
        largest = fmax(largest, logits[c]);
        n++;
    }
    for (int32_t c = 0; c < s->cells; c++)
        total += isnan(logits[c]) ? 0 : exp(logits[c] - largest);
    bool half = s->k_type != TYPE_F32 || s->v_type != TYPE_F32;
    double of_weight = expm1(2 * error) + (n + 16) * 0x1p-24 + (half ? 0x1p-10 : 0);
    for (int d = 0; d < s->d_value; d++)
        out[d] = 0;
    for (int32_t c = 0; c < s->cells; c++) {
        if (isnan(logits[c]))
            continue;
        const float *value = v + ((int64_t)pool_row(s, c) * s->n_kv + kv_head) * s->d_value;
        for (int d = 0; d < s->d_value; d++)
            out[d] += fabs(value[d]) * (exp(logits[c] - largest) * of_weight + (half ? 0x1p-24 : 0x1p-60)) / total;
    }
}

static void bound(const struct spec *s, struct kernel_case *c)
{
    float *k = kernel_values(c, 1), *v = kernel_values(c, 2);
    const float *q = c->operands[0].data;
    const int32_t *range = c->operands[4].data;
    double *logits = base_alloc_array((size_t)s->cells, sizeof *logits);
    c->magnitude = base_alloc_array((size_t)s->n * (size_t)(s->n_head * s->d_value), sizeof *c->magnitude);
    c->unit = 1;
    c->absolute = 0x1p-126;
    for (int32_t i = 0; i < s->n; i++)
        for (int h = 0; h < s->n_head; h++)
            bound_head(s, range + 2 * i, q + ((int64_t)i * s->n_head + h) * s->d_head, k, v, h / (s->n_head / s->n_kv),
                       (double)c->params.attention.scale, logits,
                       c->magnitude + ((int64_t)i * s->n_head + h) * s->d_value);
    base_free(logits);
    base_free(k);
    base_free(v);
    bool half = s->k_type != TYPE_F32 || s->v_type != TYPE_F32;
    if (s->q_fill == FILL_NORMAL)
        c->nmse = s->k_type == TYPE_Q8_0 ? 1e-4 : half ? 2e-6 : 1e-11;
}

static void check(struct kernels *t, struct spec s)
{
    if (s.bench_only && !t->bench)
        return;
    struct kernel_case c = kernel_case(
        OP_attention, "%s n=%d cells=%d heads=%d/%d d=%d/%d %s/%s pages=%d sinks=%d cap=%g q:%s", masks[s.mask], s.n,
        s.cells, s.n_head, s.n_kv, s.d_head, s.d_value, compute_type((int)s.k_type)->name,
        compute_type((int)s.v_type)->name, s.page_size, s.sinks, (double)s.softcap, kernel_fill_name(s.q_fill));
    int64_t pool_rows = s.page_size ? ((s.cells + s.page_size - 1) / s.page_size + 2) * s.page_size : s.cells;
    kernel_random(&c, 0, TENSOR_INPUT, TYPE_F32, s.n, (int64_t)s.n_head * s.d_head, s.q_fill);
    enum tensor_role role = s.page_size ? TENSOR_STATE : TENSOR_INPUT;
    kernel_random(&c, 1, role, s.k_type, pool_rows, (int64_t)s.n_kv * s.d_head, FILL_NORMAL);
    kernel_random(&c, 2, role, s.v_type, pool_rows, (int64_t)s.n_kv * s.d_value, FILL_NORMAL);
    if (s.page_size)
        fill_pages(&s, &c);
    int32_t *range = kernel_operand(&c, 4, TENSOR_INPUT, TYPE_I32, s.n, 2);
    fill_ranges(&s, range);
    if (s.page_size && s.mask == WINDOW) /* what has slid moved on */
        for (int32_t i = 0; i < 2 * s.n; i++)
            range[i] += 1000;
    spoil_invisible(&s, &c, pool_rows);
    c.params.attention = (struct attention_params){
        s.n_head, s.n_kv, s.d_head, s.d_value, 1 / sqrtf((float)s.d_head), s.softcap, s.sinks, s.page_size};
    c.bench_only = s.bench_only;
    if (!s.bench_only)
        bound(&s, &c);
    double visible = 0;
    for (int32_t i = 0; i < s.n && s.bench_only; i++)
        visible += range[2 * i + 1] - range[2 * i];
    c.flops = 2 * visible * s.n_head * (s.d_head + s.d_value);
    c.bytes = s.n > 1 ? 0
                      : (double)s.cells * (double)(compute_row_bytes(s.k_type, (int64_t)s.n_kv * s.d_head) +
                                                   compute_row_bytes(s.v_type, (int64_t)s.n_kv * s.d_value));
    kernel_check(t, &c);
}

static const struct {
    enum type k, v;
} caches[] = {{TYPE_F32, TYPE_F32}, {TYPE_F16, TYPE_F16}, {TYPE_Q8_0, TYPE_Q8_0}, {TYPE_F16, TYPE_Q8_0}};
enum { N_CACHES = sizeof caches / sizeof caches[0] };

static void check_caches(struct kernels *t, struct spec s)
{
    for (int i = 0; i < N_CACHES; i++) {
        s.k_type = caches[i].k;
        s.v_type = caches[i].v;
        if ((s.k_type == TYPE_Q8_0 && s.d_head % 32) || (s.v_type == TYPE_Q8_0 && s.d_value % 32))
            continue;
        check(t, s);
    }
}

void test_attention(struct kernels *t)
{
    static const struct {
        int n_head, n_kv;
    } groups[] = {{1, 1}, {4, 4}, {4, 2}, {9, 3}, {8, 2}, {14, 2}};
    static const int widths[] = {32, 40, 64, 72, 80, 96, 112, 128, 192, 256};
    struct spec basic = {CAUSAL, 7, 45, 4, 2, 64, 64, TYPE_F32, TYPE_F32, 0, 0, 0, FILL_NORMAL, false};
    struct spec s;
    for (int mask = CAUSAL; mask <= MIXED; mask++) {
        for (int paged = 0; paged < 2; paged++) {
            s = basic;
            s.mask = (enum mask)mask;
            s.page_size = paged ? 16 : 0;
            check_caches(t, s);
            s.sinks = 4;
            check_caches(t, s);
            s.n = 1;
            check_caches(t, s);
            s.n = 33;
            s.cells = 33;
            check_caches(t, s);
        }
    }
    for (size_t g = 0; g < sizeof groups / sizeof groups[0]; g++) {
        for (int n = 1; n <= 6; n += 5) {
            s = basic;
            s.n = n;
            s.n_head = groups[g].n_head;
            s.n_kv = groups[g].n_kv;
            s.page_size = 32;
            s.cells = 70;
            check_caches(t, s);
        }
    }
    for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
        for (int n = 1; n <= 5; n += 4) {
            s = basic;
            s.n = n;
            s.d_head = s.d_value = widths[w];
            check_caches(t, s);
            s.page_size = 16;
            check_caches(t, s);
        }
    }
    s = basic;
    s.d_head = 192;
    s.d_value = 128;
    check_caches(t, s);
    s.n = 1;
    s.page_size = 16;
    s.d_head = 64;
    s.d_value = 96;
    check_caches(t, s);
    static const int lengths[] = {1, 2, 15, 16, 17, 31, 32, 33, 64, 127, 257, 1025};
    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
        for (int paged = 0; paged < 2; paged++) {
            s = basic;
            s.n = 1;
            s.cells = lengths[l];
            s.page_size = paged ? 16 : 0;
            check_caches(t, s);
        }
    }
    for (int paged = 0; paged < 2; paged++) {
        s = basic;
        s.softcap = 2;
        s.page_size = paged ? 32 : 0;
        check_caches(t, s);
        s.n = 1;
        check_caches(t, s);
        s = basic;
        s.page_size = paged ? 32 : 0;
        s.q_fill = FILL_MIXED; /* logits up to thousands: one cell takes all */
        check(t, s);
        s.q_fill = FILL_ZERO; /* the plain mean */
        check_caches(t, s);
        s.q_fill = FILL_TINY;
        check_caches(t, s);
    }
    s = basic;
    s.n = 67; /* more queries than a tile of rows */
    s.cells = 131;
    check_caches(t, s);
    s.page_size = 16;
    s.mask = WINDOW;
    s.sinks = 3;
    check_caches(t, s);

    struct spec bench = {FULL, 1, 4096, 9, 3, 64, 64, TYPE_F32, TYPE_F32, 16, 0, 0, FILL_NORMAL, true};
    check_caches(t, bench);
    bench = (struct spec){CAUSAL, 256, 1024, 9, 3, 64, 64, TYPE_F32, TYPE_F32, 16, 0, 0, FILL_NORMAL, true};
    check_caches(t, bench);
    bench = (struct spec){FULL, 1024, 1024, 12, 12, 64, 64, TYPE_F32, TYPE_F32, 0, 0, 0, FILL_NORMAL, true};
    check(t, bench);
}
