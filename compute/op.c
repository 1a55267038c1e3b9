/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/op.h"

#include "compute/plan.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *op_name(enum op_kind kind)
{
    static const char *const names[] = {
#define KERNEL(name, sources) [OP_##name] = #name,
#include "compute/kernels.def"
#undef KERNEL
    };
    return names[kind];
}

void op_describe_tensor(const struct tensor *t, char out[160])
{
    const struct type_traits *traits = compute_type((int)t->type);
    snprintf(out, 160, "%s [%lld, %lld] %s", t->name, (long long)t->rows, (long long)t->cols,
             traits ? traits->name : "of an unknown type");
}

/* ---- checks ----------------------------------------------------------------------------------------------------------- */

/* What a call returns after an error: any tensor of the pass; nothing is ever computed with it. */
static struct tensor *dud(struct pass *pass)
{
    static struct tensor none = {.role = TENSOR_ACTIVATION, .type = TYPE_F32, .rows = 1, .cols = 1, .name = "nothing"};
    return pass->n_values ? &pass->values[0]->tensor : &none;
}

static bool ready(struct pass *pass, enum op_kind kind, bool all_there)
{
    if (pass->planned)
        compute_pass_refuse(pass, PR_ERR_INTERNAL, "%s: the pass is planned already", op_name(kind));
    if (!all_there)
        compute_pass_refuse(pass, PR_ERR_INTERNAL, "%s: an argument is missing", op_name(kind));
    return pass->error == PR_OK;
}

static struct tensor *refuse(struct pass *pass, enum op_kind kind, const struct tensor *t, const char *what)
{
    char text[160];
    op_describe_tensor(t, text);
    compute_pass_refuse(pass, PR_ERR_INVALID, "%s: %s: %s", op_name(kind), text, what);
    return dud(pass);
}

static struct tensor *refuse_pair(struct pass *pass, enum op_kind kind, const struct tensor *a, const struct tensor *b,
                                  const char *what)
{
    char text_a[160], text_b[160];
    op_describe_tensor(a, text_a);
    op_describe_tensor(b, text_b);
    compute_pass_refuse(pass, PR_ERR_INVALID, "%s: %s and %s: %s", op_name(kind), text_a, text_b, what);
    return dud(pass);
}

static struct tensor *refuse_params(struct pass *pass, enum op_kind kind, const char *what)
{
    compute_pass_refuse(pass, PR_ERR_INVALID, "%s: %s", op_name(kind), what);
    return dud(pass);
}

static bool is_weight_type(const struct tensor *t)
{
    const struct type_traits *traits = compute_type((int)t->type);
    return traits && traits->weight;
}

static bool is_f32_or_f16(const struct tensor *t)
{
    return t->type == TYPE_F32 || t->type == TYPE_F16;
}

/* NULL, or one row of `cols` f32 or f16 numbers. */
static bool is_optional_row(const struct tensor *t, int64_t cols)
{
    return !t || (is_f32_or_f16(t) && t->rows == 1 && t->cols == cols);
}

/* ---- recording -------------------------------------------------------------------------------------------------------- */

static struct op *add_op(struct pass *pass, enum op_kind kind, struct tensor *dst, int n,
                         struct tensor *const sources[])
{
    struct op *op = compute_pass_add_op(pass, kind, dst);
    for (int i = 0; i < n; i++)
        op->src[i] = sources[i];
    return op;
}

/* Records an operation that makes a new tensor. NULL (and an error in the pass) when that is too large. */
static struct op *make(struct pass *pass, enum op_kind kind, enum type type, int64_t rows, int64_t cols, int n,
                       struct tensor *const sources[])
{
    if (rows > INT32_MAX || cols > INT32_MAX || rows * cols > (int64_t)1 << 40) {
        compute_pass_refuse(pass, PR_ERR_NOMEM, "%s: a result of [%lld, %lld] is too large", op_name(kind),
                            (long long)rows, (long long)cols);
        return NULL;
    }
    struct tensor *dst = compute_pass_add_value(pass, TENSOR_ACTIVATION, type, rows, cols);
    snprintf(dst->name, sizeof dst->name, "%s %d", op_name(kind), dst->index);
    return add_op(pass, kind, dst, n, sources);
}

static struct tensor *make_simple(struct pass *pass, enum op_kind kind, enum type type, int64_t rows, int64_t cols,
                                  int n, struct tensor *const sources[])
{
    struct op *op = make(pass, kind, type, rows, cols, n, sources);
    return op ? op->dst : dud(pass);
}

/* ---- matrix products and rows ------------------------------------------------------------------------------------------- */

struct tensor *op_matmul(struct pass *pass, struct tensor *w, struct tensor *x, struct tensor *bias)
{
    if (!ready(pass, OP_matmul, w && x))
        return dud(pass);
    if (!is_weight_type(w))
        return refuse(pass, OP_matmul, w, "not a type of weights");
    if (x->type != TYPE_F32)
        return refuse(pass, OP_matmul, x, "must be F32");
    if (w->cols != x->cols)
        return refuse_pair(pass, OP_matmul, w, x, "must have equally many columns");
    if (!is_optional_row(bias, w->rows))
        return refuse_pair(pass, OP_matmul, w, bias,
                           "the bias must be one row, F32 or F16, as long as there are weight rows");
    return make_simple(pass, OP_matmul, TYPE_F32, x->rows, w->rows, 3, (struct tensor *[]){w, x, bias});
}

static bool are_ids(const struct tensor *ids, int64_t n)
{
    return ids->type == TYPE_I32 && ids->rows == 1 && (n < 0 || ids->cols == n);
}

struct tensor *op_gather(struct pass *pass, struct tensor *table, struct tensor *ids)
{
    if (!ready(pass, OP_gather, table && ids))
        return dud(pass);
    if (!is_weight_type(table))
        return refuse(pass, OP_gather, table, "not a type of weights");
    if (!are_ids(ids, -1))
        return refuse(pass, OP_gather, ids, "ids must be one row of I32");
    return make_simple(pass, OP_gather, TYPE_F32, ids->cols, table->cols, 2, (struct tensor *[]){table, ids});
}

struct tensor *op_scatter(struct pass *pass, struct tensor *dst, struct tensor *x, struct tensor *ids)
{
    if (!ready(pass, OP_scatter, dst && x && ids))
        return dud(pass);
    if (dst->role != TENSOR_STATE && dst->role != TENSOR_ACTIVATION)
        return refuse(pass, OP_scatter, dst, "must be a state or an activation");
    if (dst->type != TYPE_F32 && (dst->role != TENSOR_STATE || (dst->type != TYPE_F16 && dst->type != TYPE_Q8_0)))
        return refuse(pass, OP_scatter, dst, "must be F32, or a state of F16 or Q8_0");
    if (x->type != TYPE_F32)
        return refuse(pass, OP_scatter, x, "must be F32");
    if (dst->cols != x->cols)
        return refuse_pair(pass, OP_scatter, dst, x, "must have equally many columns");
    if (!are_ids(ids, x->rows))
        return refuse_pair(pass, OP_scatter, x, ids, "ids must be one row of I32, one for each row");
    if (pass_root(x) == pass_root(dst))
        return refuse(pass, OP_scatter, x, "can't be scattered into itself");
    struct tensor *result = compute_pass_add_view(pass, dst, dst->rows, dst->cols);
    return add_op(pass, OP_scatter, result, 3, (struct tensor *[]){dst, x, ids})->dst;
}

struct tensor *op_reshape(struct pass *pass, struct tensor *x, int64_t rows, int64_t cols)
{
    if (pass->error)
        return dud(pass);
    if (!x || pass->planned) {
        compute_pass_refuse(pass, PR_ERR_INTERNAL, "reshape: an argument is missing, or the pass is planned already");
        return dud(pass);
    }
    int64_t cells;
    bool same = rows > 0 && cols > 0 && !__builtin_mul_overflow(rows, cols, &cells) && cells == x->rows * x->cols;
    if (!same || compute_type((int)x->type)->block != 1) {
        char text[160];
        op_describe_tensor(x, text);
        compute_pass_refuse(pass, PR_ERR_INVALID, "reshape: %s can't be read as [%lld, %lld]", text, (long long)rows,
                            (long long)cols);
        return dud(pass);
    }
    return compute_pass_add_view(pass, x, rows, cols);
}

/* ---- elementwise ---------------------------------------------------------------------------------------------------------- */

static struct tensor *elementwise_pair(struct pass *pass, enum op_kind kind, struct tensor *a, struct tensor *b)
{
    if (!ready(pass, kind, a && b))
        return dud(pass);
    if (a->type != TYPE_F32)
        return refuse(pass, kind, a, "must be F32");
    if (!is_f32_or_f16(b))
        return refuse(pass, kind, b, "must be F32 or F16");
    if (a->cols != b->cols || (b->rows != a->rows && b->rows != 1))
        return refuse_pair(pass, kind, a, b, "must have equal shapes, or the second one row");
    return make_simple(pass, kind, TYPE_F32, a->rows, a->cols, 2, (struct tensor *[]){a, b});
}

struct tensor *op_add(struct pass *pass, struct tensor *a, struct tensor *b)
{
    return elementwise_pair(pass, OP_add, a, b);
}

struct tensor *op_mul(struct pass *pass, struct tensor *a, struct tensor *b)
{
    return elementwise_pair(pass, OP_mul, a, b);
}

/* An operation with one f32 source and a result of its shape; NULL and an error in the pass when it isn't f32. */
static struct op *elementwise_one(struct pass *pass, enum op_kind kind, struct tensor *x)
{
    if (!ready(pass, kind, x != NULL))
        return NULL;
    if (x->type != TYPE_F32) {
        refuse(pass, kind, x, "must be F32");
        return NULL;
    }
    return make(pass, kind, TYPE_F32, x->rows, x->cols, 1, (struct tensor *[]){x});
}

struct tensor *op_scale(struct pass *pass, struct tensor *x, float factor)
{
    struct op *op = elementwise_one(pass, OP_scale, x);
    if (!op)
        return dud(pass);
    op->factor = factor;
    return op->dst;
}

struct tensor *op_softcap(struct pass *pass, struct tensor *x, float cap)
{
    if (!(cap > 0))
        return refuse_params(pass, OP_softcap, "the limit must be above 0");
    struct op *op = elementwise_one(pass, OP_softcap, x);
    if (!op)
        return dud(pass);
    op->factor = cap;
    return op->dst;
}

struct tensor *op_activate(struct pass *pass, struct tensor *x, enum activation kind)
{
    struct op *op = elementwise_one(pass, OP_activate, x);
    if (!op)
        return dud(pass);
    op->activation = kind;
    return op->dst;
}

struct tensor *op_glu(struct pass *pass, struct tensor *gate, struct tensor *up, enum activation kind)
{
    if (!ready(pass, OP_glu, gate && up))
        return dud(pass);
    if (gate->type != TYPE_F32 || up->type != TYPE_F32 || gate->rows != up->rows || gate->cols != up->cols)
        return refuse_pair(pass, OP_glu, gate, up, "must be F32 of equal shapes");
    struct op *op = make(pass, OP_glu, TYPE_F32, gate->rows, gate->cols, 2, (struct tensor *[]){gate, up});
    if (!op)
        return dud(pass);
    op->activation = kind;
    return op->dst;
}

/* ---- norms ------------------------------------------------------------------------------------------------------------------ */

static struct tensor *norm(struct pass *pass, enum op_kind kind, struct tensor *x, struct tensor *weight,
                           struct tensor *bias, float eps)
{
    if (!ready(pass, kind, x != NULL))
        return dud(pass);
    if (x->type != TYPE_F32)
        return refuse(pass, kind, x, "must be F32");
    if (!is_optional_row(weight, x->cols))
        return refuse_pair(pass, kind, x, weight, "the weight must be one row, F32 or F16, with equally many columns");
    if (!is_optional_row(bias, x->cols))
        return refuse_pair(pass, kind, x, bias, "the bias must be one row, F32 or F16, with equally many columns");
    if (!(eps >= 0))
        return refuse_params(pass, kind, "eps must not be negative");
    struct op *op = make(pass, kind, TYPE_F32, x->rows, x->cols, 3, (struct tensor *[]){x, weight, bias});
    if (!op)
        return dud(pass);
    op->eps = eps;
    return op->dst;
}

struct tensor *op_rms_norm(struct pass *pass, struct tensor *x, struct tensor *weight, float eps)
{
    return norm(pass, OP_rms_norm, x, weight, NULL, eps);
}

struct tensor *op_layer_norm(struct pass *pass, struct tensor *x, struct tensor *weight, struct tensor *bias, float eps)
{
    return norm(pass, OP_layer_norm, x, weight, bias, eps);
}

/* ---- positions -------------------------------------------------------------------------------------------------------------- */

/* What is wrong with rope parameters, or NULL. */
static const char *rope_fault(const struct rope_params *p)
{
    if (p->d_head < 2 || p->n_rot < 2 || p->n_rot % 2 || p->n_rot > p->d_head)
        return "n_rot must be even, 2 or more, and not above d_head";
    if (p->kind == ROPE_VISION && p->n_rot % 4)
        return "VISION needs n_rot to be a multiple of 4";
    if (!(p->base > 1) || !(p->freq_scale > 0) || !isfinite(p->yarn_attn))
        return "base must be above 1, freq_scale above 0 and yarn_attn finite";
    if (p->yarn_ext != 0 && (p->yarn_original < 1 || !(p->yarn_beta_fast > 0) || !(p->yarn_beta_slow > 0)))
        return "YaRN needs the original context length and both betas";
    if (p->kind == ROPE_MROPE || p->kind == ROPE_IMROPE) {
        int64_t sum = (int64_t)p->sections[0] + p->sections[1] + p->sections[2];
        if (p->sections[0] < 0 || p->sections[1] < 0 || p->sections[2] < 0)
            return "sections must not be negative";
        if (p->kind == ROPE_MROPE && sum != p->n_rot / 2)
            return "sections must add up to n_rot/2";
    }
    return NULL;
}

struct tensor *op_rope(struct pass *pass, struct tensor *x, struct tensor *pos, struct tensor *divisors,
                       const struct rope_params *params)
{
    if (!ready(pass, OP_rope, x && pos && params))
        return dud(pass);
    const char *fault = rope_fault(params);
    if (fault)
        return refuse_params(pass, OP_rope, fault);
    bool in_place = x->role == TENSOR_STATE;
    if (x->type != TYPE_F32 && !(in_place && x->type == TYPE_F16))
        return refuse(pass, OP_rope, x, "must be F32, or a state of F16");
    if (x->cols % params->d_head)
        return refuse(pass, OP_rope, x, "columns must be a multiple of d_head");
    if (pos->type != TYPE_I32 || pos->cols != 4 || pos->rows != x->rows)
        return refuse_pair(pass, OP_rope, x, pos, "positions must be I32 [rows, 4]");
    if (divisors && (divisors->type != TYPE_F32 || divisors->rows != 1 || divisors->cols != params->n_rot / 2))
        return refuse(pass, OP_rope, divisors, "divisors must be F32 [1, n_rot/2]");
    struct tensor *const sources[] = {x, pos, divisors};
    struct op *op = in_place ? add_op(pass, OP_rope, compute_pass_add_view(pass, x, x->rows, x->cols), 3, sources)
                             : make(pass, OP_rope, TYPE_F32, x->rows, x->cols, 3, sources);
    if (!op)
        return dud(pass);
    op->rope = *params;
    return op->dst;
}

/* ---- attention -------------------------------------------------------------------------------------------------------------- */

static bool is_cache_type(const struct tensor *t, int32_t d_head)
{
    return is_f32_or_f16(t) || (t->type == TYPE_Q8_0 && d_head % 32 == 0);
}

static const char *attention_fault(const struct attention_params *p, bool paged)
{
    if (p->n_kv < 1 || p->n_head < p->n_kv || p->n_head % p->n_kv)
        return "n_head must be a multiple of n_kv";
    if (p->d_head < 1 || p->d_value < 1)
        return "d_head and d_value must be positive";
    if (!(p->softcap >= 0) || p->sinks < 0)
        return "softcap and sinks must not be negative";
    if (paged && (p->page_size < 16 || (p->page_size & (p->page_size - 1))))
        return "page_size must be a power of two, 16 or more";
    return NULL;
}

struct tensor *op_attention(struct pass *pass, struct tensor *q, struct tensor *k, struct tensor *v,
                            struct tensor *pages, struct tensor *range, const struct attention_params *params)
{
    if (!ready(pass, OP_attention, q && k && v && range && params))
        return dud(pass);
    const char *fault = attention_fault(params, pages != NULL);
    if (fault)
        return refuse_params(pass, OP_attention, fault);
    if (q->type != TYPE_F32 || q->cols != (int64_t)params->n_head * params->d_head)
        return refuse(pass, OP_attention, q, "queries must be F32 [n, n_head * d_head]");
    if (!is_cache_type(k, params->d_head) || k->cols != (int64_t)params->n_kv * params->d_head)
        return refuse(pass, OP_attention, k,
                      "keys must be [cells, n_kv * d_head], F32, F16 or (d_head a multiple of 32) Q8_0");
    if (!is_cache_type(v, params->d_value) || v->cols != (int64_t)params->n_kv * params->d_value)
        return refuse(pass, OP_attention, v,
                      "values must be [cells, n_kv * d_value], F32, F16 or (d_value a multiple of 32) Q8_0");
    if (k->rows != v->rows)
        return refuse_pair(pass, OP_attention, k, v, "must have equally many cells");
    if (pages && (pages->type != TYPE_I32 || pages->cols != 2 || pages->rows < 2))
        return refuse(pass, OP_attention, pages, "pages must be I32 [1 + max_pages, 2]");
    if (range->type != TYPE_I32 || range->cols != 2 || range->rows != q->rows)
        return refuse_pair(pass, OP_attention, q, range, "ranges must be I32 [n, 2]");
    struct op *op = make(pass, OP_attention, TYPE_F32, q->rows, (int64_t)params->n_head * params->d_value, 5,
                         (struct tensor *[]){q, k, v, pages, range});
    if (!op)
        return dud(pass);
    op->attention = *params;
    return op->dst;
}

/* ---- pictures ----------------------------------------------------------------------------------------------------------------- */

struct tensor *op_patches(struct pass *pass, struct tensor *x, const struct patch_params *p)
{
    if (!ready(pass, OP_patches, x && p))
        return dud(pass);
    if (p->width < 1 || p->height < 1 || p->channels < 1 || p->patch < 1 || p->width % p->patch || p->height % p->patch)
        return refuse_params(pass, OP_patches, "width and height must be multiples of the patch size");
    int64_t picture_rows = (int64_t)p->channels * p->height;
    if (x->type != TYPE_F32 || x->cols != p->width || x->rows % picture_rows)
        return refuse(pass, OP_patches, x, "must be F32 [n * channels * height, width]");
    int64_t n = x->rows / picture_rows;
    int64_t rows = n * (p->height / p->patch) * (p->width / p->patch);
    int64_t cols = (int64_t)p->channels * p->patch * p->patch;
    struct op *op = make(pass, OP_patches, TYPE_F32, rows, cols, 1, (struct tensor *[]){x});
    if (!op)
        return dud(pass);
    op->patches = *p;
    return op->dst;
}

struct tensor *op_resample(struct pass *pass, struct tensor *x, const struct resample_params *p)
{
    if (!ready(pass, OP_resample, x && p))
        return dud(pass);
    if (p->in_w < 1 || p->in_h < 1 || p->out_w < 1 || p->out_h < 1)
        return refuse_params(pass, OP_resample, "sizes must be positive");
    if (x->type != TYPE_F32 || x->rows != (int64_t)p->in_h * p->in_w)
        return refuse(pass, OP_resample, x, "must be F32 [in_h * in_w, d]");
    struct op *op = make(pass, OP_resample, TYPE_F32, (int64_t)p->out_h * p->out_w, x->cols, 1, (struct tensor *[]){x});
    if (!op)
        return dud(pass);
    op->resample = *p;
    return op->dst;
}

/* ---- conversion --------------------------------------------------------------------------------------------------------------- */

static bool is_convertible(enum type type)
{
    return type == TYPE_F32 || type == TYPE_F16 || type == TYPE_BF16 || type == TYPE_Q8_0;
}

struct tensor *op_convert(struct pass *pass, struct tensor *x, enum type type)
{
    if (!ready(pass, OP_convert, x != NULL))
        return dud(pass);
    if (!is_convertible(x->type) || !is_convertible(type) || (x->type != TYPE_F32 && type != TYPE_F32))
        return refuse(pass, OP_convert, x, "converts from or to F32, and between it and F16, BF16 and Q8_0");
    if (x->cols % compute_type((int)type)->block)
        return refuse(pass, OP_convert, x, "columns must be a multiple of the new type's block");
    return make_simple(pass, OP_convert, type, x->rows, x->cols, 1, (struct tensor *[]){x});
}
