/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Operations that work element by element or row by row. Compiled once per tier.
 */
#include "compute/cpu/simd.h"
#include "compute/cpu/tier.h"

#include <math.h>

static float *floats(const struct tensor *t, int64_t row)
{
    return (float *)compute_tensor_data(t) + row * t->cols;
}

/* n <= VF elements of row 0 of an f32 or f16 vector. */
INLINE vf load_param(const struct tensor *t, int64_t col, int n)
{
    if (t->type == TYPE_F16) {
        const uint16_t *p = (const uint16_t *)compute_tensor_data(t) + col;
        return n == VF ? vf_load_f16(p) : vf_load_f16_n(p, n);
    }
    const float *p = (const float *)compute_tensor_data(t) + col;
    return n == VF ? vf_load(p) : vf_load_n(p, n);
}

INLINE int step(int64_t col, int64_t end)
{
    return end - col < VF ? (int)(end - col) : VF;
}

INLINE vf load(const float *p, int n)
{
    return n == VF ? vf_load(p) : vf_load_n(p, n);
}

INLINE void store(float *p, vf a, int n)
{
    if (n == VF)
        vf_store(p, a);
    else
        vf_store_n(p, a, n);
}

/* ---- elementwise --------------------------------------------------------------------------------------------- */

INLINE void binary(const struct op *op, const struct cpu_range *r, bool product)
{
    const struct tensor *a = op->src[0], *b = op->src[1];
    for (int64_t row = r->row0; row < r->row1; row++) {
        const float *x = floats(a, row);
        float *y = floats(op->dst, row);
        int64_t b_row = b->rows == 1 ? 0 : row * b->cols;
        for (int64_t c = r->col0; c < r->col1; c += VF) {
            int n = step(c, r->col1);
            vf u = load(x + c, n), v = load_param(b, b_row + c, n);
            if (product)
                u *= v;
            else
                u += v;
            store(y + c, u, n);
        }
    }
}

static void rows_add(const struct op *op, const struct cpu_range *r)
{
    binary(op, r, false);
}

static void rows_mul(const struct op *op, const struct cpu_range *r)
{
    binary(op, r, true);
}

static void rows_scale(const struct op *op, const struct cpu_range *r)
{
    vf factor = vf_set(op->factor);
    for (int64_t row = r->row0; row < r->row1; row++)
        for (int64_t c = r->col0; c < r->col1; c += VF) {
            int n = step(c, r->col1);
            store(floats(op->dst, row) + c, load(floats(op->src[0], row) + c, n) * factor, n);
        }
}

static void rows_softcap(const struct op *op, const struct cpu_range *r)
{
    vf cap = vf_set(op->factor);
    for (int64_t row = r->row0; row < r->row1; row++)
        for (int64_t c = r->col0; c < r->col1; c += VF) {
            int n = step(c, r->col1);
            store(floats(op->dst, row) + c, cap * vf_tanh(load(floats(op->src[0], row) + c, n) / cap), n);
        }
}

/* x Phi(x), Phi by formula 7.1.26 of Abramowitz and Stegun, |error of erf| <= 1.5e-7. */
INLINE vf gelu_erf(vf x)
{
    vf z = vf_abs(x) * vf_set(0.70710678118654752f);
    vf t = vf_set(1.0f) / vf_fma(vf_set(0.3275911f), z, vf_set(1.0f));
    vf p = vf_set(1.061405429f);
    p = vf_fma(p, t, vf_set(-1.453152027f));
    p = vf_fma(p, t, vf_set(1.421413741f));
    p = vf_fma(p, t, vf_set(-0.284496736f));
    p = vf_fma(p, t, vf_set(0.254829592f));
    vf half_erfc = vf_set(0.5f) * p * t * vf_exp(vf_set(0) - z * z);
    return x * vf_select_less(x, vf_set(0), half_erfc, vf_set(1.0f) - half_erfc);
}

INLINE vf activation(vf x, enum activation kind)
{
    switch (kind) {
    case ACT_SILU:
        return x / (vf_set(1.0f) + vf_exp(vf_set(0) - x));
    case ACT_GELU_TANH: { /* 0.5 (1 + tanh u) = sigmoid(2u) */
        vf u = vf_set(1.5957691216057308f) * x * vf_fma(vf_set(0.044715f) * x, x, vf_set(1.0f));
        return x * vf_sigmoid(u);
    }
    case ACT_GELU_ERF:
        return gelu_erf(x);
    case ACT_GELU_QUICK:
        return x * vf_sigmoid(vf_set(1.702f) * x);
    case ACT_SIGMOID:
        return vf_sigmoid(x);
    }
    return x;
}

INLINE void activate_rows(const struct op *op, const struct cpu_range *r, enum activation kind, const struct tensor *up)
{
    for (int64_t row = r->row0; row < r->row1; row++)
        for (int64_t c = r->col0; c < r->col1; c += VF) {
            int n = step(c, r->col1);
            vf a = activation(load(floats(op->src[0], row) + c, n), kind);
            if (up)
                a *= load(floats(up, row) + c, n);
            store(floats(op->dst, row) + c, a, n);
        }
}

static void activate_any(const struct op *op, const struct cpu_range *r, const struct tensor *up)
{
    switch (op->activation) {
    case ACT_SILU:
        activate_rows(op, r, ACT_SILU, up);
        break;
    case ACT_GELU_TANH:
        activate_rows(op, r, ACT_GELU_TANH, up);
        break;
    case ACT_GELU_ERF:
        activate_rows(op, r, ACT_GELU_ERF, up);
        break;
    case ACT_GELU_QUICK:
        activate_rows(op, r, ACT_GELU_QUICK, up);
        break;
    case ACT_SIGMOID:
        activate_rows(op, r, ACT_SIGMOID, up);
        break;
    }
}

static void rows_activate(const struct op *op, const struct cpu_range *r)
{
    activate_any(op, r, NULL);
}

static void rows_glu(const struct op *op, const struct cpu_range *r)
{
    activate_any(op, r, op->src[1]);
}

/* ---- norms --------------------------------------------------------------------------------------------------- */

/* sum + v^power, power 1 or 2 */
INLINE vf add_power(vf v, int power, vf sum)
{
    if (power == 2)
        return vf_fma(v, v, sum);
    return sum + v;
}

/* Sum over a row of (x - shift)^power, power 1 or 2. Four chains of additions hide the latency. */
INLINE float row_sum(const float *x, int64_t cols, float shift, int power)
{
    vf s[4] = {vf_set(0), vf_set(0), vf_set(0), vf_set(0)};
    vf away = vf_set(shift);
    int64_t c = 0;
    for (; c + 4 * VF <= cols; c += 4 * VF)
        for (int i = 0; i < 4; i++) {
            vf v = vf_load(x + c + i * VF) - away;
            s[i] = add_power(v, power, s[i]);
        }
    float tail = 0;
    for (; c + VF <= cols; c += VF) {
        vf v = vf_load(x + c) - away;
        s[0] = add_power(v, power, s[0]);
    }
    for (; c < cols; c++) {
        float v = x[c] - shift;
        tail += power == 2 ? v * v : v;
    }
    return vf_sum((s[0] + s[1]) + (s[2] + s[3])) + tail;
}

static void rows_rms_norm(const struct op *op, const struct cpu_range *r)
{
    const struct tensor *weight = op->src[1];
    int64_t cols = op->dst->cols;
    for (int64_t row = r->row0; row < r->row1; row++) {
        const float *x = floats(op->src[0], row);
        float *y = floats(op->dst, row);
        vf inv = vf_set(1.0f / sqrtf(row_sum(x, cols, 0, 2) / (float)cols + op->eps));
        for (int64_t c = 0; c < cols; c += VF) {
            int n = step(c, cols);
            vf v = load(x + c, n) * inv;
            if (weight)
                v *= load_param(weight, c, n);
            store(y + c, v, n);
        }
    }
}

static void rows_layer_norm(const struct op *op, const struct cpu_range *r)
{
    const struct tensor *weight = op->src[1], *bias = op->src[2];
    int64_t cols = op->dst->cols;
    for (int64_t row = r->row0; row < r->row1; row++) {
        const float *x = floats(op->src[0], row);
        float *y = floats(op->dst, row);
        float mean = row_sum(x, cols, 0, 1) / (float)cols;
        vf inv = vf_set(1.0f / sqrtf(row_sum(x, cols, mean, 2) / (float)cols + op->eps));
        vf away = vf_set(mean);
        for (int64_t c = 0; c < cols; c += VF) {
            int n = step(c, cols);
            vf v = (load(x + c, n) - away) * inv;
            if (weight)
                v *= load_param(weight, c, n);
            if (bias)
                v += load_param(bias, c, n);
            store(y + c, v, n);
        }
    }
}

/* ---- conversion ---------------------------------------------------------------------------------------------- */

/* A block of 32 floats as Q8_0, as ref_quantize() does it: f16 scale = max|x| / 127, bytes rounded half away from zero. */
static void store_q8_0(uint8_t *block, const float *x)
{
    vf m = vf_set(0);
    for (int i = 0; i < 32; i += VF)
        m = vf_max(vf_abs(vf_load(x + i)), m);
    float scale = vf_largest(m) / 127;
    scale = scale < 65504 ? scale : 65504;
    uint16_t half = compute_f32_to_f16(scale);
    memcpy(block, &half, sizeof half);
    if (!half) {
        memset(block + 2, 0, 32);
        return;
    }
    for (int i = 0; i < 32; i += VF) {
        vf q = vf_load(x + i) / vf_set(scale);
        vf away = vf_floor(vf_abs(q) + vf_set(0.5f));
        away = vf_min(away, vf_set(127));
        vf_store_i8((int8_t *)block + 2 + i, vf_select_less(q, vf_set(0), vf_set(0) - away, away));
    }
}

static void store_row(void *dst, enum type type, const float *x, int64_t cols)
{
    if (type == TYPE_F32) {
        memmove(dst, x, (size_t)cols * sizeof *x);
    } else if (type == TYPE_F16) {
        uint16_t *y = dst;
        int64_t c = 0;
        for (; c + VF <= cols; c += VF)
            vf_store_f16(y + c, vf_load(x + c));
        if (c < cols)
            vf_store_f16_n(y + c, vf_load_n(x + c, (int)(cols - c)), (int)(cols - c));
    } else if (type == TYPE_BF16) {
        uint16_t *y = dst;
        for (int64_t c = 0; c < cols; c++)
            y[c] = compute_f32_to_bf16(x[c]);
    } else { /* TYPE_Q8_0 */
        for (int64_t b = 0; b < cols / 32; b++)
            store_q8_0((uint8_t *)dst + b * 34, x + b * 32);
    }
}

static void load_row(float *y, const void *src, enum type type, int64_t cols)
{
    if (type == TYPE_F32) {
        memmove(y, src, (size_t)cols * sizeof *y);
        return;
    }
    if (type == TYPE_Q8_0) {
        for (int64_t b = 0; b < cols / 32; b++) {
            const uint8_t *block = (const uint8_t *)src + b * 34;
            uint16_t half;
            memcpy(&half, block, sizeof half);
            vf scale = vf_set(compute_f16_to_f32(half));
            for (int i = 0; i < 32; i += VF)
                vf_store(y + b * 32 + i, scale * vf_load_i8((const int8_t *)block + 2 + i));
        }
        return;
    }
    const uint16_t *x = src;
    for (int64_t c = 0; c < cols; c += VF) {
        int n = step(c, cols);
        vf v;
        if (type == TYPE_F16)
            v = n == VF ? vf_load_f16(x + c) : vf_load_f16_n(x + c, n);
        else
            v = n == VF ? vf_load_bf16(x + c) : vf_load_bf16_n(x + c, n);
        store(y + c, v, n);
    }
}

static void rows_scatter(const struct op *op, const struct cpu_range *r)
{
    struct tensor *dst = op->dst;
    const int32_t *ids = compute_tensor_data(op->src[2]);
    size_t bytes = compute_row_bytes(dst->type, dst->cols);
    for (int64_t row = r->row0; row < r->row1; row++)
        if (ids[row] >= 0 && ids[row] < dst->rows)
            store_row((char *)compute_tensor_data(dst) + (size_t)ids[row] * bytes, dst->type, floats(op->src[1], row),
                      dst->cols);
}

static void rows_convert(const struct op *op, const struct cpu_range *r)
{
    const struct tensor *x = op->src[0];
    struct tensor *y = op->dst;
    size_t from = compute_row_bytes(x->type, x->cols), to = compute_row_bytes(y->type, y->cols);
    for (int64_t row = r->row0; row < r->row1; row++) {
        const void *in = (const char *)compute_tensor_data(x) + (size_t)row * from;
        void *out = (char *)compute_tensor_data(y) + (size_t)row * to;
        if (x->type == TYPE_F32)
            store_row(out, y->type, in, x->cols);
        else
            load_row(out, in, x->type, x->cols);
    }
}

/* ---- rope ---------------------------------------------------------------------------------------------------- */

/* cos_sin: [rows, n_rot]: the cosines of a row's n_rot / 2 pairs, then their sines. */
static void rope_head_neox(float *x, const float *cos, const float *sin, int half)
{
    for (int i = 0; i < half; i += VF) {
        int n = step(i, half);
        vf a = load(x + i, n), b = load(x + half + i, n), c = load(cos + i, n), s = load(sin + i, n);
        store(x + i, vf_fma(a, c, vf_set(0) - b * s), n);
        store(x + half + i, vf_fma(a, s, b * c), n);
    }
}

static void rope_head_norm(float *x, const float *cos, const float *sin, int half)
{
    int i = 0;
    for (; i + VF <= half; i += VF) {
        vf a, b, c = vf_load(cos + i), s = vf_load(sin + i);
        vf_load_pairs(x + 2 * i, &a, &b);
        vf_store_pairs(x + 2 * i, vf_fma(a, c, vf_set(0) - b * s), vf_fma(a, s, b * c));
    }
    for (; i < half; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * cos[i] - b * sin[i];
        x[2 * i + 1] = a * sin[i] + b * cos[i];
    }
}

void CPU_TIER(rope)(const struct op *op, const struct cpu_range *r, const float *cos_sin)
{
    const struct tensor *x = op->src[0];
    const struct rope_params *p = &op->rope;
    int64_t cols = x->cols;
    int half = p->n_rot / 2;
    float head[CPU_MAX_HEAD];
    for (int64_t row = r->row0; row < r->row1; row++) {
        const float *cos = cos_sin + row * p->n_rot, *sin = cos + half;
        for (int64_t h = 0; h < cols; h += p->d_head) {
            float *work = head;
            if (x->type == TYPE_F32) {
                work = floats(op->dst, row) + h;
                memmove(work, floats(x, row) + h, (size_t)p->d_head * sizeof *work); /* of a state: the same place */
            } else {
                load_row(head, (const uint16_t *)compute_tensor_data(x) + row * cols + h, x->type, p->d_head);
            }
            if (p->kind == ROPE_NORM)
                rope_head_norm(work, cos, sin, half);
            else
                rope_head_neox(work, cos, sin, half);
            if (x->type != TYPE_F32)
                store_row((uint16_t *)compute_tensor_data(op->dst) + row * cols + h, x->type, head, p->d_head);
        }
    }
}

/* ---- activations for quantised products ---------------------------------------------------------------------- */

void CPU_TIER(quantize)(const float *x, struct cpu_act *act, int64_t blocks)
{
    for (const struct cpu_act *end = act + blocks; act < end; act++, x += 32) {
        vf m = vf_set(0);
        for (int i = 0; i < 32; i += VF)
            m = vf_max(m, vf_abs(vf_load(x + i)));
        float largest = vf_largest(m);
        float lift = largest < 0x1p-100f ? 0x1p60f : 1; /* keeps 127 / largest finite */
        vf up = vf_set(lift), inverse = vf_set(largest > 0 ? 127 / (largest * lift) : 0);
        act->scale = largest / 127 / 256;
        for (int half = 0; half < 2; half++) {
            vf total = vf_set(0);
            for (int i = 16 * half; i < 16 * half + 16; i += VF) {
                vf steps = vf_load(x + i) * up * inverse, rounded = vf_round(steps);
                vf_store_i8(act->q + i, rounded);
                vf rest = vf_round((steps - rounded) * vf_set(256));
                rest = vf_max(vf_set(-127), vf_min(vf_set(127), rest));
                vf_store_i8(act->fine + i, rest);
                total += vf_fma(rounded, vf_set(256), rest);
            }
            act->half[half] = act->scale * vf_sum(total);
        }
        act->sum = act->half[0] + act->half[1];
    }
}

cpu_rows_kernel *const CPU_TIER(rows)[OP_COUNT] = {
    [OP_add] = rows_add,           [OP_mul] = rows_mul,
    [OP_scale] = rows_scale,       [OP_softcap] = rows_softcap,
    [OP_activate] = rows_activate, [OP_glu] = rows_glu,
    [OP_rms_norm] = rows_rms_norm, [OP_layer_norm] = rows_layer_norm,
    [OP_scatter] = rows_scatter,   [OP_convert] = rows_convert,
};
