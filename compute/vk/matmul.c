/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Matrix products and rows of tables: what reads weights.
 */
#include "compute/vk/vk.h"
#include "shaders/include/push.h"

/* TYPE of weights.glsl for blocks of 34 bytes as they are. */
enum { PLAIN_Q8_0 = 64 };

static bool packing_of(const struct tensor *w, struct vk_packing *out)
{
    const struct vk_packed *packed = w->packed;
    return vk_packing(w->type, w->cols, packed && !packed->in_place, out);
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

/* Binds rows first..first+n-1 to bindings 1 to 3 (weights.glsl). */
static struct push_weight bind_weight(struct vk_dispatch *d, const struct tensor *w, const struct vk_packing *p,
                                      int64_t first, int64_t n)
{
    size_t offset, size = (size_t)n * p->row_bytes;
    VkBuffer buffer = vk_rows_of(w, &offset);
    offset += (size_t)first * p->row_bytes;
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

/* Products of many tokens with quantised weights round the tokens to 8 bits (quantize.comp), where that makes them faster. */
static bool uses_dots(const struct vk *vk, const struct op *op)
{
    return vk->caps.dot_product && op->dst->rows > 8 && compute_type((int)op->src[0]->type)->block > 1;
}

enum { DOT_BLOCK = 48 }; /* bytes of 32 rounded elements */

size_t vk_matmul_scratch(const struct vk *vk, const struct op *op)
{
    const struct tensor *x = op->src[1];
    return uses_dots(vk, op) ? (size_t)x->rows * (size_t)(x->cols / 32) * DOT_BLOCK : 0;
}

/* What a product reads for x: the tensor itself, or its rounded copy. */
struct operand {
    const struct tensor *plain;
    VkBuffer rounded; /* VK_NULL_HANDLE: none */
    size_t offset;
};

static int bind_operand(struct vk_dispatch *d, const struct operand *x, bool scalar, int64_t first, int64_t n)
{
    size_t row = (size_t)(x->plain->cols / 32) * DOT_BLOCK;
    if (!x->rounded)
        return vk_bind_rows(d, 4, x->plain, first, n, vk_float_format(TYPE_F32, !scalar));
    return vk_bind_texels(d, 4, x->rounded, x->offset + (size_t)first * row, (size_t)n * row,
                          VK_FORMAT_R32G32B32A32_UINT);
}

static void round_operand(struct vk_recorder *recorder, const struct op *op, const struct buffer *arena,
                          const struct operand *x)
{
    enum { LANES = 64 };
    size_t row = (size_t)(x->plain->cols / 32) * DOT_BLOCK;
    int64_t batch =
        least(vk_rows_in_storage(vk_recorder_vk(recorder), row),
              vk_rows_in_texels(vk_recorder_vk(recorder), (size_t)x->plain->cols * 4, VK_FORMAT_R32G32B32A32_SFLOAT));
    for (int64_t first = 0; first < x->plain->rows; first += batch) {
        int64_t n = least(batch, x->plain->rows - first);
        struct push_quantize push = {.n = (int)(n * (x->plain->cols / 32))};
        struct vk_dispatch d = vk_begin(recorder, SHADER_quantize, LANES);
        push.y_base =
            vk_bind_storage(&d, vk_handle(arena), op->scratch_offset + (size_t)first * row, (size_t)n * row, 16);
        push.x_base = vk_bind_rows(&d, 1, x->plain, first, n, VK_FORMAT_R32G32B32A32_SFLOAT);
        vk_end_linear(&d, &push, sizeof push, divide_up(push.n, LANES));
    }
    vk_barrier(recorder);
}

/* y rows n0..n0+n-1, columns m0..m0+m-1. */
static void dispatch_matmul(struct vk_recorder *recorder, const struct op *op, const struct operand *x,
                            const struct vk_packing *packing, int64_t m0, int64_t m, int64_t n0, int64_t n)
{
    const struct tensor *w = op->src[0], *bias = op->src[2], *dst = op->dst;
    struct tiling t = choose_tiling(vk_recorder_vk(recorder), w, packing->unit, x->rounded ? n > 8 ? n : 9 : n);
    struct vk_dispatch d =
        vk_begin(recorder, x->rounded ? SHADER_matmul_dot : SHADER_matmul, t.depth_lanes * t.row_lanes * t.token_lanes);
    vk_spec(&d, shader_type(w));
    vk_spec(&d, packing->floats);
    vk_spec(&d, t.depth_lanes);
    vk_spec(&d, t.row_lanes);
    vk_spec(&d, t.token_lanes);
    vk_spec(&d, t.rows);
    vk_spec(&d, t.tokens);
    vk_spec(&d, bias != NULL);
    vk_spec(&d, op->addend != NULL);
    if (!x->rounded)
        vk_spec(&d, t.tokens <= 2); /* BY_UNIT: more sums to keep, fewer products */

    struct matmul_constants c = {.weight = bind_weight(&d, w, packing, m0, m),
                                 .push = {.n = (int)n, .m = (int)m, .y_row = (int)dst->cols}};
    c.push.y_base = vk_bind_rows_out(&d, dst, n0, n, 4) + (int)m0;
    c.push.x_base = bind_operand(&d, x, packing->floats == 1, n0, n);
    if (bias)
        c.push.bias_base = vk_bind_rows(&d, 5, bias, 0, 1, vk_float_format(bias->type, false)) + (int)m0;
    if (op->addend)
        c.push.addend_base = vk_bind_rows(&d, 6, op->addend, n0, n, VK_FORMAT_R32_SFLOAT) + (int)m0;
    vk_end(&d, &c, sizeof c, divide_up(m, t.row_lanes * t.rows), divide_up(n, t.token_lanes * t.tokens), 1);
}

void vk_record_matmul(struct vk_recorder *recorder, const struct op *op, struct buffer *arena)
{
    const struct vk *vk = vk_recorder_vk(recorder);
    const struct tensor *w = op->src[0], *dst = op->dst;
    struct operand x = {.plain = op->src[1]};
    struct vk_packing packing;
    packing_of(w, &packing);
    if (uses_dots(vk, op)) {
        x.rounded = vk_handle(arena);
        x.offset = op->scratch_offset;
        round_operand(recorder, op, arena, &x);
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
