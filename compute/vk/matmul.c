/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Matrix products and rows of tables: what reads weights.
 */
#include "compute/vk/vk.h"
#include "shaders/include/push.h"

/* TYPE of weights.glsl for blocks of 34 bytes as they are. */
enum { PLAIN_Q8_0 = 64 };

/* Tokens of a product that is bound by reading its weights, at the most. */
enum { MOST_FEW = 8 };

static bool packing_of(const struct tensor *w, struct vk_packing *out)
{
    const struct vk_packed *packed = w->packed;
    return vk_packing(w->type, w->cols, packed && !packed->plain, out);
}

static int shader_type(const struct tensor *w)
{
    return w->type == TYPE_Q8_0 && !w->packed ? PLAIN_Q8_0 : (int)w->type;
}

/* How many rows of a weight all its views reach. */
static int64_t rows_in_views(const struct vk *vk, const struct vk_packing *p)
{
    int64_t rows = INT64_MAX;
    const VkFormat formats[] = {p->words, p->extras, p->halves ? VK_FORMAT_R16_SFLOAT : VK_FORMAT_UNDEFINED};
    for (int i = 0; i < 3; i++) {
        if (formats[i] == VK_FORMAT_UNDEFINED)
            continue;
        int64_t reach = vk_rows_in_texels(vk, p->row_bytes, formats[i]);
        rows = reach < rows ? reach : rows;
    }
    return rows;
}

/* Binds bytes [offset, offset + size) of a buffer, where rows of a weight like `w` begin, to bindings 1 to 3 (weights.glsl). */
static struct push_weight bind_bytes(struct vk_dispatch *d, const struct tensor *w, const struct vk_packing *p,
                                     VkBuffer buffer, size_t offset, size_t size)
{
    struct push_weight push = {.cols = (int)w->cols};
    if (p->words) {
        size_t element = vk_format_size(p->words);
        push.word_base = vk_bind_texels(d, 1, buffer, offset, size, p->words);
        push.word_row = (int)(p->row_bytes / element);
        push.word_plane = (int)(p->plane / element);
    }
    if (p->extras) {
        size_t element = vk_format_size(p->extras);
        push.extra_base = vk_bind_texels(d, 2, buffer, offset, size, p->extras) + (int)(p->extra / element);
        push.extra_row = (int)(p->row_bytes / element);
    }
    if (p->halves) {
        push.half_base = vk_bind_texels(d, 3, buffer, offset, size, VK_FORMAT_R16_SFLOAT) + (int)(p->half / 2);
        push.half_row = (int)(p->row_bytes / 2);
    }
    return push;
}

/* Binds rows first..first+n-1. */
static struct push_weight bind_weight(struct vk_dispatch *d, const struct tensor *w, const struct vk_packing *p,
                                      int64_t first, int64_t n)
{
    size_t offset;
    VkBuffer buffer = vk_rows_of(w, &offset);
    return bind_bytes(d, w, p, buffer, offset + (size_t)first * p->row_bytes, (size_t)n * p->row_bytes);
}

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- matmul -------------------------------------------------------------------------------------------------------------- */

/* How invocations share the work; the constants of matmul.comp. */
struct tiling {
    int depth_lanes, row_lanes, token_lanes, rows, tokens;
};

static struct tiling choose_tiling(const struct vk *vk, const struct tensor *w, int unit, int64_t n)
{
    const int most = 8; /* tokens of an invocation */
    struct tiling t = {.depth_lanes = 1, .row_lanes = vk->subgroup, .token_lanes = 1, .rows = 4, .tokens = 1};
    while (t.tokens < most && t.tokens < n)
        t.tokens *= 2;
    /* Subgroups of 8 are processors, which spill registers into a near cache; wider ones lose occupancy instead. A unit of a
     * format with blocks of 256 takes twice the registers. (Chosen so that nothing in docs/RADV.md spills.) */
    if (vk->subgroup <= 8 && t.tokens <= 2)
        t.rows = 8;
    else if (vk->subgroup > 8 && compute_type((int)w->type)->block == 256)
        t.rows = 2;
    if (n <= most) {
        /* Bound by reading the weight: neighbours read neighbouring words, as long as each has enough of them to make up for
         * the sum at the end. Processors fetch for one invocation at a time, and only want none to be idle. */
        int64_t units = divide_up(w->cols, unit);
        int most_lanes = vk->subgroup <= 8 ? 2 : vk->subgroup;
        while (2 * t.depth_lanes <= most_lanes && 16 * t.depth_lanes <= units)
            t.depth_lanes *= 2;
        t.row_lanes = vk->subgroup / t.depth_lanes;
    } else if (vk->subgroup >= 32) {
        t.token_lanes = 8;
        t.row_lanes = vk->subgroup / 8;
    }
    return t;
}

struct matmul_constants {
    struct push_weight weight;
    struct push_matmul push;
};

/* The constants of a dispatch of several weights. */
enum { MOST_WEIGHTS = 3 };
struct together_constants {
    struct push_weight weight;
    struct push_matmul push;
    struct push_also also[MOST_WEIGHTS - 1];
};

/* Bytes of a buffer that some tensors lie in. */
struct span {
    VkBuffer buffer;
    size_t begin, end;
};

static size_t offset_of(const struct tensor *t)
{
    size_t offset;
    vk_rows_of(t, &offset);
    return offset;
}

static bool find_span(const struct tensor *const *t, int n, struct span *out)
{
    *out = (struct span){.begin = SIZE_MAX};
    for (int i = 0; i < n; i++) {
        size_t offset;
        struct vk_packing p;
        VkBuffer buffer = vk_rows_of(t[i], &offset);
        packing_of(t[i], &p);
        if (!t[i]->packed || (i > 0 && buffer != out->buffer))
            return false;
        out->buffer = buffer;
        if (offset < out->begin)
            out->begin = offset;
        if (offset + (size_t)t[i]->rows * p.row_bytes > out->end)
            out->end = offset + (size_t)t[i]->rows * p.row_bytes;
    }
    return true;
}

/* Whether one set of views can show all of these weights. */
static bool share_views(const struct vk *vk, const struct tensor *const *w, int n, struct span *span)
{
    struct vk_packing p;
    packing_of(w[0], &p);
    for (int i = 1; i < n; i++)
        if (w[i]->role != TENSOR_WEIGHT || w[i]->type != w[0]->type || w[i]->cols != w[0]->cols)
            return false;
    if (w[0]->role != TENSOR_WEIGHT || !find_span(w, n, span))
        return false;
    p.row_bytes = 1;
    return rows_in_views(vk, &p) >= (int64_t)(span->end - span->begin);
}

/* Products of many tokens are made with the best that the device has: by cooperative matrices, or with x rounded by quantize.comp
 * to 8 bits or to f16. Few tokens are bound by reading the weight. */
enum way { PLAIN, HALVES, DOTS, COOPERATIVE };

static enum way choose_way(const struct vk *vk, const struct op *op)
{
    const struct tensor *w = op->src[0];
    bool quantised = compute_type((int)w->type)->block > 1;
    bool as_f16 = (quantised && w->type != TYPE_MXFP4) ||
                  (w->type == TYPE_F16 && w->cols % 8 == 0); /* scales of MXFP4 go further */
    if (op->dst->rows <= MOST_FEW)
        return PLAIN;
    if (vk->caps.cooperative_matrix && as_f16 &&
        4 * vk->subgroup <= (int)vk->caps.properties.limits.maxComputeWorkGroupInvocations)
        return COOPERATIVE;
    return !quantised ? PLAIN : vk->caps.dot_product ? DOTS : vk->caps.float16 ? HALVES : PLAIN;
}

/* Bytes of scratch for a row of x: 32 rounded elements, or a scale. */
static size_t scratch_row(enum way way, int64_t cols)
{
    return way == PLAIN ? 0 : way == COOPERATIVE ? 4 : (size_t)(cols / 32) * (way == DOTS ? 48 : 80);
}

size_t vk_matmul_scratch(const struct vk *vk, const struct op *op)
{
    const struct tensor *x = op->src[1];
    return (size_t)x->rows * scratch_row(choose_way(vk, op), x->cols);
}

/* What a product reads for x: the tensor itself, its rounded copy, or itself and its scales. */
struct operand {
    enum way way;
    const struct tensor *plain;
    VkBuffer scratch;
    size_t offset;
};

static int bind_operand(struct vk_dispatch *d, const struct operand *x, bool scalar, int64_t first, int64_t n)
{
    size_t row = scratch_row(x->way, x->plain->cols);
    if (x->way == PLAIN || x->way == COOPERATIVE)
        return vk_bind_rows(d, 4, x->plain, first, n, vk_float_format(TYPE_F32, !scalar));
    return vk_bind_texels(d, 4, x->scratch, x->offset + (size_t)first * row, (size_t)n * row,
                          VK_FORMAT_R32G32B32A32_UINT);
}

/* Writes x's rounded copy, or its scales, to the scratch memory. */
static void prepare_operand(struct vk_recorder *recorder, const struct operand *x)
{
    enum { LANES = 64 };
    size_t row = scratch_row(x->way, x->plain->cols);
    int64_t batch =
        least(vk_rows_in_storage(vk_recorder_vk(recorder), row),
              vk_rows_in_texels(vk_recorder_vk(recorder), (size_t)x->plain->cols * 4, VK_FORMAT_R32G32B32A32_SFLOAT));
    for (int64_t first = 0; first < x->plain->rows; first += batch) {
        int64_t n = least(batch, x->plain->rows - first);
        size_t offset = x->offset + (size_t)first * row, size = (size_t)n * row;
        if (x->way == COOPERATIVE) {
            struct vk_dispatch d = vk_begin(recorder, SHADER_row_scale, vk_recorder_vk(recorder)->subgroup);
            struct push_row_scale push = {.n = (int)n, .cols = (int)x->plain->cols};
            push.y_base = vk_bind_storage(&d, 0, x->scratch, offset, size, 4);
            push.x_base = vk_bind_rows(&d, 1, x->plain, first, n, VK_FORMAT_R32G32B32A32_SFLOAT);
            vk_end_linear(&d, &push, sizeof push, n);
            continue;
        }
        struct vk_dispatch d = vk_begin(recorder, SHADER_quantize, LANES);
        struct push_quantize push = {.n = (int)(n * (x->plain->cols / 32))};
        vk_spec(&d, x->way == HALVES);
        push.y_base = vk_bind_storage(&d, 0, x->scratch, offset, size, 16);
        push.x_base = vk_bind_rows(&d, 1, x->plain, first, n, VK_FORMAT_R32G32B32A32_SFLOAT);
        vk_end_linear(&d, &push, sizeof push, divide_up(push.n, LANES));
    }
    vk_barrier(recorder);
}

/* Begins the dispatch of a product of n tokens: its shader and constants. *rows and *tokens: what a workgroup makes. */
static struct vk_dispatch begin_product(struct vk_recorder *recorder, const struct op *op, enum way way,
                                        const struct vk_packing *packing, int64_t n, int *rows, int *tokens)
{
    const struct vk *vk = vk_recorder_vk(recorder);
    const struct tensor *w = op->src[0];
    struct vk_dispatch d;
#ifdef PAGEREEL_COOPERATIVE_MATRIX
    if (way == COOPERATIVE) {
        *rows = *tokens = 64;
        d = vk_begin(recorder, SHADER_matmul_coop, 4 * vk->subgroup);
        vk_spec(&d, shader_type(w));
        vk_spec(&d, packing->floats);
        vk_spec(&d, op->src[2] != NULL);
        vk_spec(&d, op->addend != NULL);
        return d;
    }
#endif
    static const enum vk_shader shaders[] = {SHADER_matmul, SHADER_matmul_half, SHADER_matmul_dot};
    struct tiling t = choose_tiling(vk, w, packing->unit, way != PLAIN && n <= MOST_FEW ? MOST_FEW + 1 : n);
    *rows = t.row_lanes * t.rows;
    *tokens = t.token_lanes * t.tokens;
    d = vk_begin(recorder, shaders[way], t.depth_lanes * t.row_lanes * t.token_lanes);
    vk_spec(&d, shader_type(w));
    vk_spec(&d, packing->floats);
    vk_spec(&d, t.depth_lanes);
    vk_spec(&d, t.row_lanes);
    vk_spec(&d, t.token_lanes);
    vk_spec(&d, t.rows);
    vk_spec(&d, t.tokens);
    vk_spec(&d, op->src[2] != NULL);
    vk_spec(&d, op->addend != NULL);
    if (way == PLAIN)
        vk_spec(&d, t.tokens <= 2); /* BY_UNIT: more sums to keep, fewer products */
    return d;
}

/* y rows n0..n0+n-1, columns m0..m0+m-1. */
static void dispatch_matmul(struct vk_recorder *recorder, const struct op *op, const struct operand *x,
                            const struct vk_packing *packing, int64_t m0, int64_t m, int64_t n0, int64_t n)
{
    const struct tensor *w = op->src[0], *bias = op->src[2], *dst = op->dst;
    int rows, tokens;
    struct vk_dispatch d = begin_product(recorder, op, x->way, packing, n, &rows, &tokens);
    struct matmul_constants c = {.weight = bind_weight(&d, w, packing, m0, m),
                                 .push = {.n = (int)n, .m = (int)m, .y_row = (int)dst->cols}};
    c.push.y_base = vk_bind_rows_out(&d, dst, n0, n, 4) + (int)m0;
    c.push.x_base = bind_operand(&d, x, packing->floats == 1, n0, n);
    if (x->way == COOPERATIVE)
        c.push.scale_base =
            vk_bind_texels(&d, 7, x->scratch, x->offset + (size_t)n0 * 4, (size_t)n * 4, VK_FORMAT_R32_SFLOAT);
    if (bias)
        c.push.bias_base = vk_bind_rows(&d, 5, bias, 0, 1, vk_float_format(bias->type, false)) + (int)m0;
    if (op->addend)
        c.push.addend_base = vk_bind_rows(&d, 6, op->addend, n0, n, VK_FORMAT_R32_SFLOAT) + (int)m0;
    vk_end(&d, &c, sizeof c, divide_up(m, rows), divide_up(n, tokens), 1);
}

static void record_product(struct vk_recorder *recorder, const struct op *op, struct buffer *arena)
{
    const struct vk *vk = vk_recorder_vk(recorder);
    const struct tensor *w = op->src[0], *dst = op->dst;
    struct operand x = {.way = choose_way(vk, op), .plain = op->src[1]};
    struct vk_packing packing;
    packing_of(w, &packing);
    if (x.way != PLAIN) {
        x.scratch = vk_handle(arena);
        x.offset = op->scratch_offset;
        prepare_operand(recorder, &x);
    }
    int64_t rows = rows_in_views(vk, &packing);
    int64_t tokens = vk_rows_in_storage(vk, (size_t)dst->cols * 4);
    tokens =
        least(tokens, vk_rows_in_texels(vk, (size_t)x.plain->cols * 4, vk_float_format(TYPE_F32, packing.floats > 1)));
    if (op->addend)
        tokens = least(tokens, vk_rows_in_texels(vk, (size_t)dst->cols * 4, VK_FORMAT_R32_SFLOAT));
    for (int64_t n0 = 0; n0 < dst->rows; n0 += tokens)
        for (int64_t m0 = 0; m0 < w->rows; m0 += rows)
            dispatch_matmul(recorder, op, &x, &packing, m0, least(rows, w->rows - m0), n0,
                            least(tokens, dst->rows - n0));
}

/* Whether a product's x and y need no parts. */
static bool is_small(const struct vk *vk, const struct op *op)
{
    return op->dst->rows <= MOST_FEW && choose_way(vk, op) == PLAIN &&
           vk_rows_in_storage(vk, (size_t)op->dst->cols * 4) >= op->dst->rows &&
           vk_rows_in_texels(vk, (size_t)op->src[1]->cols * 4, VK_FORMAT_R32_SFLOAT) >= op->dst->rows;
}

bool vk_matmul_fuses(const struct vk *vk, const struct op *op)
{
    struct span span;
    return !op->gate ||
           (is_small(vk, op) && share_views(vk, (const struct tensor *[]){op->src[0], op->gate}, 2, &span));
}

/* What a dispatch of several weights reads and writes. */
struct together {
    const struct op *ops[MOST_WEIGHTS]; /* one, if it has a gate */
    int n;                              /* operations */
    struct span weights, biases;
};

/* How many of the n operations, which don't wait for each other, are products of one x that can go together. */
static int find_together(const struct vk *vk, struct op *const *ops, int n, struct together *out)
{
    const struct tensor *w[MOST_WEIGHTS], *biases[MOST_WEIGHTS];
    *out = (struct together){.ops = {ops[0]}, .n = 1};
    if (ops[0]->addend || ops[0]->gate || !is_small(vk, ops[0]))
        return 1;
    w[0] = ops[0]->src[0];
    biases[0] = ops[0]->src[2];
    for (int i = 1; i < n && i < MOST_WEIGHTS; i++) {
        const struct op *op = ops[i];
        struct together more = *out;
        if (op->kind != OP_matmul || op->src[1] != ops[0]->src[1] || op->addend || op->gate || !is_small(vk, op) ||
            !op->src[2] != !biases[0])
            break;
        w[i] = op->src[0];
        biases[i] = op->src[2];
        if (!share_views(vk, w, i + 1, &more.weights) ||
            (biases[0] && (biases[i]->type != biases[0]->type || !find_span(biases, i + 1, &more.biases))))
            break;
        more.ops[more.n++] = op;
        *out = more;
    }
    return out->n;
}

/* Where in the views of a span rows begin that are `bytes` behind its begin. */
static struct push_also bases_at(const struct push_weight *begin, const struct vk_packing *p, size_t bytes)
{
    struct push_also at = {
        .word_base = begin->word_base, .extra_base = begin->extra_base, .half_base = begin->half_base};
    if (p->words)
        at.word_base += (int)(bytes / vk_format_size(p->words));
    if (p->extras)
        at.extra_base += (int)(bytes / vk_format_size(p->extras));
    if (p->halves)
        at.half_base += (int)(bytes / 2);
    return at;
}

/* Products of one x that share views, or a product and its gate. */
static void record_together(struct vk_recorder *recorder, const struct together *t)
{
    static const int outs[MOST_WEIGHTS] = {0, VK_SECOND_OUT, VK_THIRD_OUT};
    const struct op *first = t->ops[0];
    const struct tensor *bias = first->src[2], *x = first->src[1];
    int64_t n = first->dst->rows;
    struct vk_packing p;
    packing_of(first->src[0], &p);
    int rows, tokens, tile = 0, bias_base = 0;
    struct vk_dispatch d = begin_product(recorder, first, PLAIN, &p, n, &rows, &tokens);
    vk_spec(&d, t->n);
    vk_spec(&d, first->gate ? (int)first->activation : -1);
    if (first->gate) /* half of the rows are its */
        rows /= 2;
    const struct push_weight begin =
        bind_bytes(&d, first->src[0], &p, t->weights.buffer, t->weights.begin, t->weights.end - t->weights.begin);
    struct together_constants c = {.weight = begin, .push = {.n = (int)n}};
    c.push.x_base = vk_bind_rows(&d, 4, x, 0, n, vk_float_format(TYPE_F32, p.floats > 1));
    if (bias)
        bias_base = vk_bind_texels(&d, 5, t->biases.buffer, t->biases.begin, t->biases.end - t->biases.begin,
                                   vk_float_format(bias->type, false));
    for (int i = 0; i < t->n; i++) {
        const struct op *op = t->ops[i];
        struct push_also at = bases_at(&begin, &p, offset_of(op->src[0]) - t->weights.begin);
        size_t bytes = compute_tensor_bytes(op->dst);
        at.m = (int)op->dst->cols;
        at.tile = tile;
        at.y_base = vk_bind_storage(&d, outs[i], vk_handle(op->dst->buffer), op->dst->offset, bytes, 4);
        if (bias)
            at.bias_base =
                bias_base + (int)((offset_of(op->src[2]) - t->biases.begin) / compute_row_bytes(bias->type, 1));
        tile += (int)divide_up(at.m, rows);
        if (i > 0) {
            c.also[i - 1] = at;
            continue;
        }
        c.weight.word_base = at.word_base;
        c.weight.extra_base = at.extra_base;
        c.weight.half_base = at.half_base;
        c.push.m = c.push.y_row = at.m;
        c.push.y_base = at.y_base;
        c.push.bias_base = at.bias_base;
    }
    if (first->gate)
        c.also[0] = bases_at(&begin, &p, offset_of(first->gate) - t->weights.begin);
    vk_end(&d, &c, sizeof c, tile, divide_up(n, tokens), 1);
}

int vk_record_matmul(struct vk_recorder *recorder, struct op *const *ops, int n, struct buffer *arena)
{
    const struct vk *vk = vk_recorder_vk(recorder);
    struct together t = {.ops = {ops[0]}, .n = 1};
    if (ops[0]->gate)
        share_views(vk, (const struct tensor *[]){ops[0]->src[0], ops[0]->gate}, 2, &t.weights);
    else if (find_together(vk, ops, n, &t) == 1) {
        record_product(recorder, ops[0], arena);
        return 1;
    }
    record_together(recorder, &t);
    return t.n;
}

/* ---- gather -------------------------------------------------------------------------------------------------------------- */

struct gather_constants {
    struct push_weight weight;
    struct push_gather push;
};

/* y[n, d] from rows of `table`: those that `ids` names, or row i for row i when ids is NULL. */
static void dispatch_gather(struct vk_recorder *recorder, const struct tensor *table, const struct vk_packing *packing,
                            const struct tensor *ids, const struct tensor *dst, int64_t first, int64_t rows)
{
    const struct vk *vk = vk_recorder_vk(recorder);
    int64_t units = divide_up(table->cols, packing->unit);
    int64_t batch = vk_rows_in_storage(vk, (size_t)dst->cols * 4);
    for (int64_t n0 = 0; n0 < dst->rows; n0 += batch) {
        int64_t n = least(batch, dst->rows - n0);
        int lanes = vk->subgroup;
        struct vk_dispatch d = vk_begin(recorder, SHADER_gather, lanes);
        vk_spec(&d, shader_type(table));
        vk_spec(&d, packing->floats);
        vk_spec(&d, ids != NULL);
        struct gather_constants c = {.weight = bind_weight(&d, table, packing, first, rows),
                                     .push = {.n = (int)n,
                                              .first = (int)first,
                                              .end = (int)(first + rows),
                                              .zero = first == 0,
                                              .id0 = (int)n0,
                                              .v = (int)table->rows}};
        c.push.y_base = vk_bind_rows_out(&d, dst, n0, n, 4);
        if (ids)
            c.push.ids_base = vk_bind_rows(&d, 4, ids, 0, 1, VK_FORMAT_R32_SINT);
        vk_end_linear(&d, &c, sizeof c, divide_up(n * units, lanes));
    }
}

static void gather_rows(struct vk_recorder *recorder, const struct tensor *table, const struct tensor *ids,
                        const struct tensor *dst)
{
    struct vk_packing packing;
    packing_of(table, &packing);
    int64_t rows = rows_in_views(vk_recorder_vk(recorder), &packing);
    for (int64_t first = 0; first < table->rows; first += rows)
        dispatch_gather(recorder, table, &packing, ids, dst, first, least(rows, table->rows - first));
}

void vk_record_gather(struct vk_recorder *recorder, const struct op *op)
{
    gather_rows(recorder, op->src[0], op->src[1], op->dst);
}

/* Converting to f32 is gathering all rows in order. */
void vk_record_unpack(struct vk_recorder *recorder, const struct tensor *x, const struct tensor *dst)
{
    gather_rows(recorder, x, NULL, dst);
}

bool vk_reads_rows(struct vk *vk, const struct tensor *w)
{
    struct vk_packing packing;
    return packing_of(w, &packing) && packing.row_bytes < vk->texel_elements;
}
