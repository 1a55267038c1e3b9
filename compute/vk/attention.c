/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Attention: how its work is shared out, and what joins it.
 */
#include "compute/vk/vk.h"
#include "shaders/include/push.h"

/* How a view reads rows of heads; constants of attention.comp. */
enum form { FOURS, ONES, BLOCKS, EIGHTS };

/* Of heads that are `width` wide, of which an invocation has `fours` times 4 columns. */
static enum form form_of(const struct tensor *t, int32_t width, int64_t fours)
{
    if (t->type == TYPE_Q8_0)
        return BLOCKS;
    return width % 4 ? ONES : t->type == TYPE_F16 && width % 8 == 0 && fours % 2 == 0 ? EIGHTS : FOURS;
}

static VkFormat format_of(const struct tensor *t, enum form form)
{
    return form == BLOCKS   ? VK_FORMAT_R16_SFLOAT
           : form == EIGHTS ? VK_FORMAT_R32G32B32A32_UINT
                            : vk_float_format(t->type, form == FOURS);
}

/* Elements of a view from one cell to the next. */
static int64_t row_of(const struct tensor *t, enum form form)
{
    return (int64_t)(compute_row_bytes(t->type, t->cols) / vk_format_size(format_of(t, form)));
}

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* How invocations share the work; the constants of attention.comp. */
struct sharing {
    int row_lanes, cell_lanes, dim_lanes, rows;
    int64_t k_fours, v_fours; /* of an invocation */
    int64_t tiles;
    int groups; /* workgroups that share the cells */
    int splits; /* groups * cell_lanes */
};

static struct sharing choose_sharing(const struct vk *vk, const struct op *op)
{
    const struct attention_params *p = &op->attention;
    int widest = p->d_head > p->d_value ? p->d_head : p->d_value;
    int64_t rows = op->dst->rows * (p->n_head / p->n_kv);
    struct sharing s = {.row_lanes = 1, .cell_lanes = 1, .dim_lanes = 1, .rows = rows < 2 ? 1 : 2, .groups = 1};
    /* A row's query and sums stay in registers: as many columns of them as an invocation can keep (see choose_tiling()). */
    int columns = vk->subgroup <= 8 ? 64 : 16;
    while (s.dim_lanes < 8 && widest > columns * s.dim_lanes)
        s.dim_lanes *= 2;
    if (widest > 16 * s.dim_lanes && vk->subgroup > 8)
        s.rows = 1;
    if (vk->subgroup <= 8 && rows <= 4) /* one fetch serves them all */
        s.rows = (int)rows;
    s.k_fours = divide_up(p->d_head, 4 * s.dim_lanes);
    s.v_fours = divide_up(p->d_value, 4 * s.dim_lanes);
    int lanes = vk->subgroup / s.dim_lanes;
    if (rows < lanes)
        s.cell_lanes = lanes;
    else
        s.row_lanes = lanes;
    s.tiles = divide_up(rows, s.row_lanes * s.rows);
    /* Few tiles keep a device busy only if several share the cells. */
    int64_t busy = s.tiles * p->n_kv;
    while (2 * s.groups * busy <= 2 * vk->units && s.groups < 32)
        s.groups *= 2;
    s.splits = s.groups * s.cell_lanes;
    return s;
}

static size_t part_bytes(const struct op *op)
{
    return ((size_t)op->attention.d_value + 2) * 4;
}

size_t vk_attention_scratch(struct vk *vk, const struct op *op)
{
    struct sharing s = choose_sharing(vk, op);
    return s.splits == 1 ? 0 : (size_t)op->dst->rows * (size_t)op->attention.n_head * (size_t)s.splits * part_bytes(op);
}

static bool fits(const struct vk *vk, const struct tensor *t, VkFormat format)
{
    return !t || vk_rows_in_texels(vk, compute_row_bytes(t->type, t->cols), format) >= t->rows;
}

bool vk_attention_supports(struct vk *vk, const struct op *op)
{
    const struct attention_params *p = &op->attention;
    struct sharing s = choose_sharing(vk, op);
    enum form k_form = form_of(op->src[1], p->d_head, s.k_fours), v_form = form_of(op->src[2], p->d_value, s.v_fours);
    size_t scratch = vk_attention_scratch(vk, op);
    return p->d_head <= 512 && p->d_value <= 512 && fits(vk, op->src[1], format_of(op->src[1], k_form)) &&
           fits(vk, op->src[2], format_of(op->src[2], v_form)) && fits(vk, op->src[3], VK_FORMAT_R32G32_SINT) &&
           fits(vk, op->src[4], VK_FORMAT_R32G32_SINT) && fits(vk, op->src[0], VK_FORMAT_R32_SFLOAT) &&
           vk_rows_in_storage(vk, compute_row_bytes(TYPE_F32, op->dst->cols)) >= op->dst->rows &&
           scratch <= vk->storage_range / 2 && scratch <= vk->texel_elements * 2;
}

static void combine(struct vk_recorder *recorder, const struct op *op, const struct buffer *arena, int splits)
{
    enum { LANES = 64 };
    const struct attention_params *p = &op->attention;
    struct push_combine push = {.n = (int)(op->dst->rows * p->n_head), .splits = splits, .d_value = p->d_value};
    struct vk_dispatch d = vk_begin(recorder, SHADER_attention_combine, LANES);
    vk_barrier(recorder);
    push.y_base = vk_bind_rows_out(&d, op->dst, 0, op->dst->rows, 4);
    push.part_base =
        vk_bind_texels(&d, 1, vk_handle(arena), op->scratch_offset, op->scratch_size, VK_FORMAT_R32_SFLOAT);
    vk_end_linear(&d, &push, sizeof push, divide_up((int64_t)push.n * p->d_value, LANES));
}

void vk_record_attention(struct vk_recorder *recorder, const struct op *op, struct buffer *arena)
{
    const struct attention_params *p = &op->attention;
    const struct tensor *q = op->src[0], *k = op->src[1], *v = op->src[2], *pages = op->src[3], *range = op->src[4];
    struct sharing s = choose_sharing(vk_recorder_vk(recorder), op);
    enum form k_form = form_of(k, p->d_head, s.k_fours), v_form = form_of(v, p->d_value, s.v_fours);
    enum form q_form = p->d_head % 4 ? ONES : FOURS;
    struct vk_dispatch d = vk_begin(recorder, SHADER_attention, s.row_lanes * s.cell_lanes * s.dim_lanes);
    vk_spec(&d, k_form);
    vk_spec(&d, v_form);
    vk_spec(&d, s.row_lanes);
    vk_spec(&d, s.cell_lanes);
    vk_spec(&d, s.dim_lanes);
    vk_spec(&d, s.rows);
    vk_spec(&d, (int)s.k_fours);
    vk_spec(&d, (int)s.v_fours);
    vk_spec(&d, s.splits > 1);
    vk_spec(&d, q_form);
    vk_spec(&d, p->d_head == 4 * s.dim_lanes * s.k_fours && p->d_value == 4 * s.dim_lanes * s.v_fours);

    struct push_attention push = {.n = (int)op->dst->rows,
                                  .n_kv = p->n_kv,
                                  .group = p->n_head / p->n_kv,
                                  .d_head = p->d_head,
                                  .d_value = p->d_value,
                                  .k_row = (int)row_of(k, k_form),
                                  .v_row = (int)row_of(v, v_form),
                                  .cells = (int)k->rows,
                                  .paged = pages != NULL,
                                  .page = pages ? p->page_size : 64,
                                  .sinks = p->sinks,
                                  .splits = s.splits,
                                  .scale = p->scale,
                                  .softcap = p->softcap};
    if (s.splits > 1)
        push.y_base = vk_bind_storage(&d, 0, vk_handle(arena), op->scratch_offset, op->scratch_size, 4);
    else
        push.y_base = vk_bind_rows_out(&d, op->dst, 0, op->dst->rows, 4);
    push.q_base = vk_bind_rows(&d, 1, q, 0, q->rows, vk_float_format(TYPE_F32, q_form == FOURS));
    push.k_base = vk_bind_rows(&d, k_form == EIGHTS ? 6 : 2, k, 0, k->rows, format_of(k, k_form));
    push.v_base = vk_bind_rows(&d, v_form == EIGHTS ? 7 : 3, v, 0, v->rows, format_of(v, v_form));
    push.range_base = vk_bind_rows(&d, 4, range, 0, range->rows, VK_FORMAT_R32G32_SINT);
    if (pages)
        push.pages_base = vk_bind_rows(&d, 5, pages, 0, pages->rows, VK_FORMAT_R32G32_SINT);
    if (k_form == BLOCKS)
        vk_bind_rows(&d, 6, k, 0, k->rows, VK_FORMAT_R16_UINT); /* begins where the scales' view does */
    if (v_form == BLOCKS)
        vk_bind_rows(&d, 7, v, 0, v->rows, VK_FORMAT_R16_UINT);
    vk_end(&d, &push, sizeof push, s.tiles, p->n_kv, s.groups);
    if (s.splits > 1)
        combine(recorder, op, arena, s.splits);
}
