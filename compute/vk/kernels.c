/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From operations to dispatches: everything but matrix products and attention. Each records as many dispatches as its tensors
 * need parts, which for all but huge ones is one.
 */
#include "base/mem.h"
#include "compute/vk/vk.h"
#include "shaders/include/push.h"

#include <math.h>
#include <string.h>

enum { LANES = 64 }; /* of workgroups that need no cooperation */

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static size_t row_bytes(const struct tensor *t)
{
    return compute_row_bytes(t->type, t->cols);
}

/* How many rows of dst one dispatch can take when it reads rows of `x` alike as `format`. */
static int64_t batch_rows(const struct vk *vk, const struct tensor *dst, const struct tensor *x, VkFormat format)
{
    return least(vk_rows_in_storage(vk, row_bytes(dst)), vk_rows_in_texels(vk, row_bytes(x), format));
}

/* ---- elementwise ------------------------------------------------------------------------------------------------------- */

/* b: NULL where there is none. kind: the constant ACTIVATION, -1: none. */
static void record_elementwise(struct vk_recorder *recorder, enum vk_shader shader, const struct op *op,
                               const struct tensor *b, int kind, float value)
{
    const struct tensor *a = op->src[0], *dst = op->dst;
    bool repeated = b && b->rows == 1 && a->rows > 1;
    bool fours = repeated ? a->cols % 4 == 0 : a->rows * a->cols % 4 == 0;
    int width = fours ? 4 : 1;
    VkFormat format = vk_float_format(TYPE_F32, fours);
    int64_t batch = batch_rows(vk_recorder_vk(recorder), dst, a, format);
    if (batch < a->rows && a->cols % 4) { /* parts of rows that aren't a multiple of 4 */
        fours = false;
        width = 1;
        format = VK_FORMAT_R32_SFLOAT;
        batch = batch_rows(vk_recorder_vk(recorder), dst, a, format);
    }
    for (int64_t first = 0; first < a->rows; first += batch) {
        int64_t rows = least(batch, a->rows - first), n = rows * a->cols / width;
        struct vk_dispatch d = vk_begin(recorder, shader, LANES);
        vk_spec(&d, !fours);
        if (kind >= 0)
            vk_spec(&d, kind);
        struct push_elementwise push = {.n = (int)n, .b_period = (int)n, .value = value};
        push.y_base = vk_bind_rows_out(&d, dst, first, rows, 4 * (size_t)width);
        push.a_base = vk_bind_rows(&d, 1, a, first, rows, format);
        if (b)
            push.b_base =
                vk_bind_rows(&d, 2, b, repeated ? 0 : first, repeated ? 1 : rows, vk_float_format(b->type, fours));
        if (repeated)
            push.b_period = (int)(a->cols / width);
        vk_end_linear(&d, &push, sizeof push, divide_up(n, LANES));
    }
}

/* ---- norms --------------------------------------------------------------------------------------------------------------- */

static void record_norm(struct vk_recorder *recorder, enum vk_shader shader, const struct op *op)
{
    const struct vk *vk = vk_recorder_vk(recorder);
    const struct tensor *x = op->src[0], *weight = op->src[1], *bias = op->src[2], *dst = op->dst;
    bool fours = x->cols % 4 == 0;
    VkFormat format = vk_float_format(TYPE_F32, fours);
    int64_t batch = batch_rows(vk, dst, x, format);
    int lanes = vk->subgroup;
    while (lanes < 256 && 8 * lanes < x->cols && vk->subgroup >= 32)
        lanes *= 2;
    for (int64_t first = 0; first < x->rows; first += batch) {
        int64_t rows = least(batch, x->rows - first);
        struct vk_dispatch d = vk_begin(recorder, shader, lanes);
        vk_spec(&d, !fours);
        vk_spec(&d, weight != NULL);
        vk_spec(&d, bias != NULL);
        struct push_norm push = {.n = (int)rows, .cols = (int)x->cols, .eps = op->eps};
        push.y_base = vk_bind_rows_out(&d, dst, first, rows, fours ? 16 : 4);
        push.x_base = vk_bind_rows(&d, 1, x, first, rows, format);
        if (weight)
            push.weight_base = vk_bind_rows(&d, 2, weight, 0, 1, vk_float_format(weight->type, fours));
        if (bias)
            push.bias_base = vk_bind_rows(&d, 3, bias, 0, 1, vk_float_format(bias->type, fours));
        vk_end_linear(&d, &push, sizeof push, rows);
    }
}

/* ---- caches and conversion ------------------------------------------------------------------------------------------------ */

static size_t element_size(enum type type)
{
    return type == TYPE_F32 ? 4 : 2;
}

static void record_scatter(struct vk_recorder *recorder, const struct op *op)
{
    const struct vk *vk = vk_recorder_vk(recorder);
    const struct tensor *x = op->src[1], *ids = op->src[2], *dst = op->dst;
    bool blocks = dst->type == TYPE_Q8_0;
    VkFormat format = vk_float_format(TYPE_F32, blocks);
    int64_t reach = vk_rows_in_storage(vk, row_bytes(dst)), batch = vk_rows_in_texels(vk, row_bytes(x), format);
    for (int64_t first = 0; first < dst->rows; first += reach) {
        int64_t rows = least(reach, dst->rows - first);
        for (int64_t n0 = 0; n0 < x->rows; n0 += batch) {
            int64_t n = least(batch, x->rows - n0);
            struct vk_dispatch d = vk_begin(recorder, SHADER_scatter, LANES);
            vk_spec(&d, (int)dst->type);
            struct push_scatter push = {
                .n = (int)n, .cols = (int)x->cols, .first = (int)first, .end = (int)(first + rows)};
            push.y_base = vk_bind_rows_out(&d, dst, first, rows, element_size(dst->type));
            push.x_base = vk_bind_rows(&d, 1, x, n0, n, format);
            push.ids_base = vk_bind_rows(&d, 2, ids, 0, 1, VK_FORMAT_R32_SINT) + (int)n0;
            vk_end_linear(&d, &push, sizeof push, divide_up(n * divide_up(x->cols, blocks ? 32 : 4), LANES));
        }
    }
}

static void record_convert(struct vk_recorder *recorder, const struct op *op)
{
    const struct tensor *x = op->src[0], *dst = op->dst;
    if (dst->type == TYPE_F32) {
        vk_record_unpack(recorder, x, dst);
        return;
    }
    bool blocks = dst->type == TYPE_Q8_0;
    VkFormat format = vk_float_format(TYPE_F32, blocks);
    int64_t batch = batch_rows(vk_recorder_vk(recorder), dst, x, format);
    for (int64_t first = 0; first < x->rows; first += batch) {
        int64_t rows = least(batch, x->rows - first);
        struct vk_dispatch d = vk_begin(recorder, SHADER_convert, LANES);
        vk_spec(&d, (int)dst->type);
        struct push_convert push = {.n = (int)(rows * x->cols)};
        push.y_base = vk_bind_rows_out(&d, dst, first, rows, element_size(dst->type));
        push.x_base = vk_bind_rows(&d, 1, x, first, rows, format);
        vk_end_linear(&d, &push, sizeof push, divide_up(push.n, (blocks ? 32 : 4) * LANES));
    }
}

/* ---- rope ------------------------------------------------------------------------------------------------------------------- */

/* The pair index that YaRN's ramp gives to a wavelength of which `beta` fit into the original context. */
static double ramp_at(const struct rope_params *p, double beta)
{
    return p->n_rot * log(p->yarn_original / (beta * 2 * M_PI)) / (2 * log(p->base));
}

/* Radians for each position of pair i, as op.h defines them. */
static double frequency(const struct rope_params *p, const float *divisors, int i)
{
    double exponent = p->kind == ROPE_VISION ? -4.0 * (i % (p->n_rot / 4)) / p->n_rot : -2.0 * i / p->n_rot;
    double freq = pow(p->base, exponent);
    if (divisors)
        freq /= divisors[i];
    if (p->yarn_ext == 0)
        return p->freq_scale * freq;
    double low = fmax(0, floor(ramp_at(p, p->yarn_beta_fast)));
    double high = fmin(p->n_rot - 1, ceil(ramp_at(p, p->yarn_beta_slow)));
    double ramp = (i - low) / fmax(0.001, high - low);
    double mix = p->yarn_ext * (1 - fmin(1, fmax(0, ramp)));
    return (1 - mix) * p->freq_scale * freq + mix * freq;
}

/* Which of a row's positions turns pair i. */
static uint32_t axis(const struct rope_params *p, int i)
{
    switch (p->kind) {
    case ROPE_NORM:
    case ROPE_NEOX:
        return 0;
    case ROPE_MROPE:
        return i < p->sections[0] ? 0 : i < p->sections[0] + p->sections[1] ? 1 : 2;
    case ROPE_IMROPE:
        return i % 3 == 1 && i < 3 * p->sections[1] ? 1 : i % 3 == 2 && i < 3 * p->sections[2] ? 2 : 0;
    case ROPE_VISION:
        return i < p->n_rot / 4 ? 0 : 1;
    }
    return 0;
}

/* What table_view of rope.comp holds for pair i: the fraction of a turn for each position, in 64 bits, and the axis. */
static void fill_pair(const struct rope_params *p, const float *divisors, int i, uint32_t out[4])
{
    double turns = frequency(p, divisors, i) / (2 * M_PI);
    double upper = floor((turns - floor(turns)) * 0x1p32);
    double lower = floor(((turns - floor(turns)) * 0x1p32 - upper) * 0x1p32);
    out[0] = (uint32_t)upper;
    out[1] = (uint32_t)lower;
    out[2] = axis(p, i);
    out[3] = 0;
}

static int make_table(struct vk_recorder *recorder, const struct op *op, VkBuffer *out)
{
    const struct rope_params *p = &op->rope;
    int pairs = p->n_rot / 2, err = PR_OK;
    float *divisors = NULL;
    uint32_t(*table)[4] = base_alloc_array((size_t)pairs, sizeof *table);
    if (op->src[2]) {
        divisors = base_alloc_array((size_t)pairs, sizeof *divisors);
        TRY(compute_buffer_read(op->src[2]->buffer, op->src[2]->offset, divisors, (size_t)pairs * sizeof *divisors));
    }
    for (int i = 0; i < pairs; i++)
        fill_pair(p, divisors, i, table[i]);
    TRY(vk_constants(recorder, table, (size_t)pairs * sizeof *table, out));
fail:
    base_free(divisors);
    base_free(table);
    return err;
}

static int64_t rope_rows(const struct vk *vk, const struct op *op)
{
    return batch_rows(vk, op->dst, op->src[0], vk_float_format(op->src[0]->type, false));
}

/* What one dispatch of rope.comp does: turns queries, turns keys, which may go into a cache, and copies values there. */
struct turn {
    const struct op *first, *second, *third; /* rope, rope, scatter; NULL: none */
};
enum { TURN_FIRST = 1, TURN_SECOND = 2, COPY_THIRD = 4 };

/* Rows first..first+rows-1; all, if there is more than the first operation. */
static void dispatch_rope(struct vk_recorder *recorder, const struct turn *t, VkBuffer table, int64_t first,
                          int64_t rows)
{
    const struct op *second = t->second, *third = t->third, *op = t->first ? t->first : second;
    const struct rope_params *p = &op->rope;
    const struct tensor *x = op->src[0], *ids = second ? second->cells : NULL;
    VkFormat format = vk_float_format(x->type, false);
    struct vk_dispatch d = vk_begin(recorder, SHADER_rope, LANES);
    vk_spec(&d, (int)op->dst->type);
    vk_spec(&d, p->kind == ROPE_NORM);
    vk_spec(&d, (t->first ? TURN_FIRST : 0) | (second ? TURN_SECOND : 0) | (third ? COPY_THIRD : 0));
    vk_spec(&d, second ? (int)second->dst->type : 0);
    vk_spec(&d, ids != NULL);
    struct push_rope push = {
        .n = (int)rows, .cols = (int)x->cols, .d_head = p->d_head, .n_rot = p->n_rot, .attn = p->yarn_attn};
    if (t->first) {
        push.y_base = vk_bind_rows_out(&d, op->dst, first, rows, element_size(op->dst->type));
        push.x_base = vk_bind_rows(&d, 1, x, first, rows, format);
    } else {
        vk_bind_rows_out(&d, op->dst, 0, op->dst->rows, element_size(op->dst->type));
    }
    push.pos_base = vk_bind_rows(&d, 2, op->src[1], first, rows, VK_FORMAT_R32G32B32A32_SINT);
    push.table_base = vk_bind_texels(&d, 3, table, 0, (size_t)p->n_rot / 2 * 16, VK_FORMAT_R32G32B32A32_UINT);
    const struct op *others[] = {second, third};
    int bases[2] = {0}, x_bases[2] = {0};
    for (int i = 0; i < 2 && others[i]; i++) {
        const struct tensor *dst = others[i]->dst, *from = others[i]->src[i]; /* of scatter, src[0] is the cache */
        bases[i] = vk_bind_storage(&d, VK_SECOND_OUT + i, vk_handle(dst->buffer), dst->offset,
                                   compute_tensor_bytes(dst), element_size(dst->type));
        x_bases[i] = vk_bind_rows(&d, 4 + i, from, 0, rows, format);
    }
    push.y2_base = bases[0];
    push.y3_base = bases[1];
    push.x2_base = x_bases[0];
    push.x3_base = x_bases[1];
    push.cols2 = second ? (int)second->dst->cols : 0;
    push.cols3 = third ? (int)third->dst->cols : 0;
    if (ids) {
        push.ids_base = vk_bind_rows(&d, 6, ids, 0, 1, VK_FORMAT_R32_SINT);
        push.cells = (int)second->dst->rows;
    }
    vk_end_linear(&d, &push, sizeof push, divide_up(rows * (p->d_head - p->n_rot / 2), LANES));
}

/* Whether a rope can go second: then it needs no parts. */
static bool is_whole_rope(const struct vk *vk, const struct op *op)
{
    const struct tensor *dst = op->dst, *x = op->src[0];
    return vk_rows_in_storage(vk, row_bytes(dst)) >= dst->rows &&
           vk_rows_in_texels(vk, row_bytes(x), VK_FORMAT_R32_SFLOAT) >= x->rows;
}

static bool can_follow(const struct vk *vk, const struct op *a, const struct op *b)
{
    return b->kind == OP_rope && memcmp(&a->rope, &b->rope, sizeof a->rope) == 0 && a->src[1] == b->src[1] &&
           a->src[2] == b->src[2] && a->src[0]->type == b->src[0]->type && a->src[0]->rows == b->src[0]->rows &&
           (b->cells ? b->dst->type == TYPE_F32 || b->dst->type == TYPE_F16 : a->dst->type == b->dst->type) &&
           is_whole_rope(vk, a) && is_whole_rope(vk, b);
}

static bool can_be_third(const struct vk *vk, const struct op *second, const struct op *scatter)
{
    const struct tensor *x = scatter->src[1];
    return scatter->kind == OP_scatter && second->cells && scatter->src[2] == second->cells &&
           scatter->dst->type == second->dst->type && scatter->dst->rows == second->dst->rows &&
           vk_rows_in_storage(vk, row_bytes(scatter->dst)) >= scatter->dst->rows &&
           vk_rows_in_texels(vk, row_bytes(x), VK_FORMAT_R32_SFLOAT) >= x->rows;
}

static int record_rope(struct vk_recorder *recorder, struct op *const *ops, int n)
{
    const struct vk *vk = vk_recorder_vk(recorder);
    struct turn t = {.first = ops[0]->cells ? NULL : ops[0], .second = ops[0]->cells ? ops[0] : NULL};
    int taken = 1;
    VkBuffer table;
    if (t.first && n > taken && can_follow(vk, ops[0], ops[taken]))
        t.second = ops[taken++];
    if (t.second && n > taken && can_be_third(vk, t.second, ops[taken]))
        t.third = ops[taken++];
    int64_t rows = ops[0]->src[0]->rows, batch = t.second ? rows : rope_rows(vk, ops[0]);
    int err = make_table(recorder, ops[0], &table);
    vk_recorder_fail(recorder, err);
    for (int64_t first = 0; first < rows && err == PR_OK; first += batch)
        dispatch_rope(recorder, &t, table, first, least(batch, rows - first));
    return taken;
}

/* ---- pictures --------------------------------------------------------------------------------------------------------------- */

static void record_patches(struct vk_recorder *recorder, const struct op *op)
{
    const struct patch_params *p = &op->patches;
    const struct tensor *x = op->src[0], *dst = op->dst;
    int64_t in_rows = (int64_t)p->channels * p->height,
            out_rows = (int64_t)(p->height / p->patch) * (p->width / p->patch);
    int64_t batch =
        least(vk_rows_in_storage(vk_recorder_vk(recorder), row_bytes(dst) * (size_t)out_rows),
              vk_rows_in_texels(vk_recorder_vk(recorder), row_bytes(x) * (size_t)in_rows, VK_FORMAT_R32_SFLOAT));
    int64_t pictures = x->rows / in_rows;
    for (int64_t first = 0; first < pictures; first += batch) {
        int64_t n = least(batch, pictures - first);
        struct vk_dispatch d = vk_begin(recorder, SHADER_patches, LANES);
        struct push_patches push = {.width = p->width,
                                    .height = p->height,
                                    .channels = p->channels,
                                    .side = p->patch,
                                    .n = (int)(n * out_rows * dst->cols)};
        push.y_base = vk_bind_rows_out(&d, dst, first * out_rows, n * out_rows, 4);
        push.x_base = vk_bind_rows(&d, 1, x, first * in_rows, n * in_rows, VK_FORMAT_R32_SFLOAT);
        vk_end_linear(&d, &push, sizeof push, divide_up(push.n, LANES));
    }
}

static void record_resample(struct vk_recorder *recorder, const struct op *op)
{
    const struct resample_params *p = &op->resample;
    const struct tensor *x = op->src[0], *dst = op->dst;
    struct vk_dispatch d = vk_begin(recorder, SHADER_resample, LANES);
    struct push_resample push = {.in_w = p->in_w,
                                 .in_h = p->in_h,
                                 .out_w = p->out_w,
                                 .out_h = p->out_h,
                                 .cols = (int)x->cols,
                                 .n = (int)(dst->rows * dst->cols),
                                 .align_corners = p->align_corners};
    push.y_base = vk_bind_rows_out(&d, dst, 0, dst->rows, 4);
    push.x_base = vk_bind_rows(&d, 1, x, 0, x->rows, VK_FORMAT_R32_SFLOAT);
    vk_end_linear(&d, &push, sizeof push, divide_up(push.n, LANES));
}

/* ---- the table ---------------------------------------------------------------------------------------------------------------- */

int vk_record_ops(struct vk_recorder *recorder, struct op *const *ops, int n, struct buffer *arena)
{
    const struct op *op = ops[0];
    switch (op->kind) {
    case OP_matmul:
        return vk_record_matmul(recorder, ops, n, arena);
    case OP_gather:
        vk_record_gather(recorder, op);
        break;
    case OP_scatter:
        record_scatter(recorder, op);
        break;
    case OP_add:
        record_elementwise(recorder, SHADER_add, op, op->src[1], -1, 0);
        break;
    case OP_mul:
        record_elementwise(recorder, SHADER_mul, op, op->src[1], -1, 0);
        break;
    case OP_scale:
        record_elementwise(recorder, SHADER_scale, op, NULL, -1, op->factor);
        break;
    case OP_softcap:
        record_elementwise(recorder, SHADER_softcap, op, NULL, -1, op->factor);
        break;
    case OP_activate:
        record_elementwise(recorder, SHADER_activate, op, NULL, (int)op->activation, 0);
        break;
    case OP_glu:
        record_elementwise(recorder, SHADER_glu, op, op->src[1], (int)op->activation, 0);
        break;
    case OP_rms_norm:
        record_norm(recorder, SHADER_rms_norm, op);
        break;
    case OP_layer_norm:
        record_norm(recorder, SHADER_layer_norm, op);
        break;
    case OP_rope:
        return record_rope(recorder, ops, n);
    case OP_attention:
        vk_record_attention(recorder, op, arena);
        break;
    case OP_patches:
        record_patches(recorder, op);
        break;
    case OP_resample:
        record_resample(recorder, op);
        break;
    case OP_convert:
        record_convert(recorder, op);
        break;
    case OP_copy: /* pass.c's */
    case OP_COUNT:
        break;
    }
    return 1;
}

bool vk_fuses(struct device *device, const struct op *op)
{
    const struct vk *vk = vk_of(device);
    if (op->kind == OP_matmul)
        return vk_matmul_fuses(vk, op);
    return op->kind == OP_rope && (op->dst->type == TYPE_F32 || op->dst->type == TYPE_F16) &&
           op->src[0]->type == TYPE_F32 && is_whole_rope(vk, op);
}

/* A tensor of which every dispatch needs the whole. */
static bool fits(const struct vk *vk, const struct tensor *t, VkFormat format)
{
    return !t || vk_rows_in_texels(vk, row_bytes(t), format) >= t->rows;
}

bool vk_supports(struct device *device, const struct op *op)
{
    struct vk *vk = vk_of(device);
    size_t widest = vk->storage_range < vk->texel_elements * 4 ? vk->storage_range : vk->texel_elements * 4;
    if (row_bytes(op->dst) >= widest / 2)
        return false;
    switch (op->kind) {
    case OP_matmul:
    case OP_gather:
        return vk_reads_rows(vk, op->src[0]) && fits(vk, op->kind == OP_gather ? op->src[1] : NULL, VK_FORMAT_R32_SINT);
    case OP_scatter:
        return fits(vk, op->src[2], VK_FORMAT_R32_SINT);
    case OP_rope: /* divisors go into a table when the part is recorded */
        return !op->src[2] || op->src[2]->role == TENSOR_WEIGHT;
    case OP_attention:
        return vk_attention_supports(vk, op);
    case OP_resample:
        return fits(vk, op->src[0], VK_FORMAT_R32_SFLOAT) &&
               vk_rows_in_storage(vk, row_bytes(op->dst)) >= op->dst->rows;
    default:
        return true;
    }
}

size_t vk_scratch(struct device *device, const struct op *op)
{
    return op->kind == OP_attention ? vk_attention_scratch(vk_of(device), op)
           : op->kind == OP_matmul  ? vk_matmul_scratch(vk_of(device), op)
                                    : 0;
}
