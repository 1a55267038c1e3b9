/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The numeric vocabulary of pagereel: every operation that a model's graph is written in, with its shapes [rows, cols].
 * A call records the operation into a pass (compute/pass.h) and returns the tensor that it will make; nothing is computed
 * until the pass is planned and run. Tensors are f32 unless a line says otherwise.
 *
 * Arguments are checked here once. A wrong one is kept in the pass (compute_pass_plan() returns it), and the call returns a
 * harmless tensor, so that graphs are written without a check on each line.
 *
 * compute/ref/NAME.c is the definition of op_NAME.
 */
#pragma once

#include "compute/tensor.h"

struct pass;

enum op_kind {
#define KERNEL(name, sources) OP_##name,
#include "compute/kernels.def"
#undef KERNEL
    OP_COUNT
};
enum { OP_MAX_SOURCES = 6 };

/* ---- matrix products and rows --------------------------------------------------------------------------------- */

/* y[n, m] = x[n, k] · w[m, k]ᵀ (+ bias[1, m]). w: any weight type. bias: f32 or f16, may be NULL. */
struct tensor *op_matmul(struct pass *pass, struct tensor *w, struct tensor *x, struct tensor *bias);

/* y[n, d] = rows ids[i] of table[v, d], converted to f32. table: any weight type, of any role; ids: i32 [1, n].
 * An id outside 0..v-1 gives a row of zeros. */
struct tensor *op_gather(struct pass *pass, struct tensor *table, struct tensor *ids);

/* Writes the rows of x[n, d] into dst[v, d] at ids[i] (i32 [1, n]), converting to dst's type (f32, f16, q8_0). A negative
 * id writes nothing; two equal ids are the caller's error. dst: a state or an f32 activation. Returns dst as it is afterwards
 * (the same memory). */
struct tensor *op_scatter(struct pass *pass, struct tensor *dst, struct tensor *x, struct tensor *ids);

/* The same memory read as [rows, cols]; rows * cols stays. Not for quantised tensors. */
struct tensor *op_reshape(struct pass *pass, struct tensor *x, int64_t rows, int64_t cols);

/* ---- elementwise ------------------------------------------------------------------------------------------------ */

/* a[n, d] + b[n, d], or b[1, d] added to every row. mul the same with a product. b: f32 or f16. */
struct tensor *op_add(struct pass *pass, struct tensor *a, struct tensor *b);
struct tensor *op_mul(struct pass *pass, struct tensor *a, struct tensor *b);
struct tensor *op_scale(struct pass *pass, struct tensor *x, float factor);
/* cap * tanh(x / cap), as Gemma's attention and output logits are limited; cap > 0. */
struct tensor *op_softcap(struct pass *pass, struct tensor *x, float cap);

enum activation {
    ACT_SILU,       /* x * sigmoid(x) */
    ACT_GELU_TANH,  /* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
    ACT_GELU_ERF,   /* 0.5 x (1 + erf(x / sqrt(2))) */
    ACT_GELU_QUICK, /* x * sigmoid(1.702 x) */
    ACT_SIGMOID
};
struct tensor *op_activate(struct pass *pass, struct tensor *x, enum activation kind);
/* act(gate) * up: SwiGLU with ACT_SILU, GeGLU with ACT_GELU_TANH. gate, up: [n, d]. */
struct tensor *op_glu(struct pass *pass, struct tensor *gate, struct tensor *up, enum activation kind);

/* ---- norms, each over the columns of a row ---------------------------------------------------------------------- */

/* x / sqrt(mean(x^2) + eps) * weight[1, d]; weight may be NULL (all ones), f32 or f16. */
struct tensor *op_rms_norm(struct pass *pass, struct tensor *x, struct tensor *weight, float eps);
/* (x - mean) / sqrt(var + eps) * weight[1, d] + bias[1, d]; weight and bias may be NULL. */
struct tensor *op_layer_norm(struct pass *pass, struct tensor *x, struct tensor *weight, struct tensor *bias,
                             float eps);

/* ---- positions -------------------------------------------------------------------------------------------------- */

enum rope_kind {
    ROPE_NORM,   /* pairs (2i, 2i+1): llama */
    ROPE_NEOX,   /* pairs (i, i + n_rot/2): qwen, gemma */
    ROPE_MROPE,  /* NEOX pairs, sections of pairs take position t, then h, then w: qwen2vl */
    ROPE_IMROPE, /* NEOX pairs, t h w interleaved: qwen3vl */
    ROPE_VISION  /* pairs (i, i + n_rot/2); first half of the pairs takes y, second half x, frequencies restart */
};

/* Rotates the first n_rot columns of every head. The angle of pair i is pos * freq_i, where
 *     freq_i = base^(-2i/n_rot) / divisor_i        (VISION: base^(-4j/n_rot), j = i mod n_rot/4)
 * which scaling changes: the interpolated frequency is freq_scale * freq_i, and YaRN (arXiv 2309.00071) mixes it with the
 * plain one,
 *     (1 - mix_i) * freq_scale * freq_i + mix_i * freq_i,   mix_i = yarn_ext * (1 - clamp((i - low) / (high - low), 0, 1))
 *     low = max(0, floor(at(yarn_beta_fast))), high = min(n_rot - 1, ceil(at(yarn_beta_slow))), at least low + 0.001
 *     at(beta) = n_rot * ln(yarn_original / (2 pi beta)) / (2 ln base)
 * cos and sin are multiplied by yarn_attn. */
struct rope_params {
    enum rope_kind kind;
    int32_t d_head, n_rot; /* n_rot even, <= d_head */
    float base;            /* rope.freq_base */
    int32_t sections[4];   /* pairs for t, h, w, (unused); M-RoPE kinds only */
    float freq_scale;      /* linear scaling: 1 / factor; 1: none */
    float yarn_ext;        /* YaRN extrapolation mix: 0 = none, 1 = full */
    float yarn_attn;       /* factor on cos and sin (YaRN's mscale); 1: none */
    float yarn_beta_fast, yarn_beta_slow;
    int32_t yarn_original; /* original context length */
};
/* x[n, n_head * d_head]: an f32 activation, or a state (f32 or f16) that is rotated in place, for moving cached keys.
 * pos: i32 [n, 4] = (t, h, w, unused) of each row (VISION: (y, x, -, -)); kinds with one position read t.
 * divisors: f32 [1, n_rot/2] (llama 3's rope_freqs) or NULL. Negative positions are allowed. */
struct tensor *op_rope(struct pass *pass, struct tensor *x, struct tensor *pos, struct tensor *divisors,
                       const struct rope_params *params);

/* ---- attention -------------------------------------------------------------------------------------------------- */

struct attention_params {
    int32_t n_head, n_kv, d_head; /* n_head a multiple of n_kv: query head h reads kv head h / (n_head/n_kv) */
    int32_t d_value;              /* width of a value head; usually d_head */
    float scale;                  /* usually 1/sqrt(d_head) */
    float softcap;                /* logits are limited to it; 0: no limit */
    int32_t sinks;                /* cells with sequence index < sinks are visible to every query */
    int32_t page_size;            /* cells in a page when `pages` is given: a power of two, 16 or more */
};
/* y[n, n_head * d_value] = softmax over the visible cells of (scale * q·k) times v, computed in one sweep (flash form, no
 * [n, cells] matrix).
 *
 * Which cells a query sees is one rule for every mask: cell c is visible to query i iff
 *     range[i][0] <= seq(c) < range[i][1]   or   seq(c) < min(sinks, range[i][1])
 * with range: i32 [n, 2]. Causal: (0, i+1). Full: (0, cells). Sliding window: (i+1-window, i+1). Block-diagonal: the block's
 * ends. A picture whose tokens see each other: its end as range[i][1]. A query that sees no cell gets zeros.
 *
 * k: [cells, n_kv * d_head], v: [cells, n_kv * d_value]; f32, f16 or q8_0 (then d_head and d_value are multiples of 32).
 * pages NULL: seq(c) = c. Otherwise k and v are pools of pages and pages is i32 [1 + max_pages, 2]: row 0 = (number of
 * pages in use, unused), row 1+j = (first pool row of the j-th page, sequence index of its first cell); sequence indices
 * ascend from page to page, cells of a page follow each other. Cells past the last visible index may hold garbage (also
 * NaN) and never count. */
struct tensor *op_attention(struct pass *pass, struct tensor *q, struct tensor *k, struct tensor *v,
                            struct tensor *pages, struct tensor *range, const struct attention_params *params);

/* ---- pictures --------------------------------------------------------------------------------------------------- */

/* Patches of n pictures as rows for a matrix product: x[n * channels * height, width] (planar, channel after channel,
 * picture after picture) -> [n * (height/patch) * (width/patch), channels * patch * patch], each row ordered (channel, y, x)
 * as the convolution weight is; patches row by row. */
struct patch_params {
    int32_t width, height, channels, patch;
};
struct tensor *op_patches(struct pass *pass, struct tensor *x, const struct patch_params *params);

/* A position table x[in_h * in_w, d] resized to [out_h * out_w, d]. Bilinear with corners aligned (Qwen3-VL: source
 * coordinate = i * (in-1)/(out-1)), or with half-pixel centres (torch's interpolate, align_corners=False, no antialias). */
struct resample_params {
    int32_t in_w, in_h, out_w, out_h;
    bool align_corners;
};
struct tensor *op_resample(struct pass *pass, struct tensor *x, const struct resample_params *params);

/* ---- conversion ------------------------------------------------------------------------------------------------- */

/* x converted to another type: f32 <-> f16, bf16, q8_0 (rounded to nearest; q8_0 scale = max|x| / 127 as f16). */
struct tensor *op_convert(struct pass *pass, struct tensor *x, enum type type);
