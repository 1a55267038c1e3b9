/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a tier (an instruction set that kernels are compiled for) offers. rows.c, matmul_*.c and attention.c are
 * compiled once per tier; tier.c in each joins them to one `struct cpu_kernels`. The tier "amx" is
 * that of AVX-512 and matmul_amx.c.
 *
 * Every function here computes a piece of an operation, may run at the same time as others on other pieces, and gives the
 * same values however the whole was cut into pieces.
 */
#pragma once

#include "compute/backend.h"
#include "compute/cpu/pack.h"

/* A rectangle of an operation's result. Operations that look at whole rows get all columns. */
struct cpu_range {
    int64_t row0, row1, col0, col1;
};

/* 32 columns of activations in whole steps of `scale`: x = scale * (256 q + fine), |q|, |fine| <= 127. */
struct cpu_act {
    int8_t q[32], fine[32];
    float scale;
    float sum;     /* of x over the block, which minimums and zeros of weights are multiplied by */
    float half[2]; /* the same over its halves */
};

/* Activations [n, k] that matmul_amx.c reads: tiles of 16 tokens by 32 columns, the high parts and then the low ones of one after
 * the other; all columns of 16 tokens, then of the next 16. Zero past n and k. */
enum { CPU_TILE_TOKENS = 16, CPU_TILE_COLUMNS = 32 };
static inline int64_t cpu_tiles_across(int64_t k)
{
    return (k + CPU_TILE_COLUMNS - 1) / CPU_TILE_COLUMNS;
}

/* A piece of y[n, m] = x[n, k] . w[m, k]^T (+ bias) (+ addend): token rows t0..t1-1, weight rows m0..m1-1. */
struct cpu_product {
    const struct tensor *w;
    const void *packed;        /* w as pack.h describes; NULL: only its plain rows are there */
    const struct tensor *bias; /* NULL: none */
    const float *addend;       /* [n, m] or NULL */
    const float *x;            /* [n, k] */
    const struct cpu_act *act; /* product_quant(): the same */
    const uint16_t *split;     /* product_tiles(): the same, tiles of bf16 */
    float *y;
    int64_t k, m;
    int64_t t0, t1, m0, m1; /* m0: a multiple of 16; t0 too for tiles; at most CPU_PIECE_TOKENS of them */
    void *scratch;          /* of this thread, aligned to 64: cpu_product_scratch() bytes */
};
enum { CPU_PIECE_TOKENS = 512 };
size_t cpu_product_scratch(const struct tensor *w);

/* A packed group of the weight, `bytes` long: where it lies, or packed just now into place 0 or 1 of the scratch. */
static inline const void *cpu_product_group(const struct cpu_product *p, int64_t group, size_t bytes, int place)
{
    if (p->packed)
        return (const char *)p->packed + (size_t)group * bytes;
    void *here = (char *)p->scratch + (size_t)place * bytes;
    cpu_pack_group(p->w, group, here);
    return here;
}

/* One piece of attention: the query heads of kv head `kv`, token rows t0..t1-1, at most CPU_ATTENTION_QUERIES of both
 * multiplied. With n_slices > 1 only the slice-th share of the cells; what is found goes to `partial`, and attention_merge
 * joins the slices of all heads of the token rows.
 * partial: [tokens, n_head, n_slices, 2 + d_value]: largest logit, sum of weights, weighted sum of values. */
struct cpu_attention {
    const struct op *op;
    int32_t kv;
    int64_t t0, t1;
    int32_t slice, n_slices;
    float *partial;
    void *scratch; /* of this thread, aligned to 64: cpu_attention_scratch() bytes */
};
enum { CPU_ATTENTION_QUERIES = 48, CPU_ATTENTION_CELLS = 64 };
size_t cpu_attention_scratch(const struct attention_params *p);

typedef void cpu_rows_kernel(const struct op *op, const struct cpu_range *range);

struct cpu_kernels {
    const char *name;
    cpu_rows_kernel *const (*rows)[OP_COUNT]; /* by kind; NULL: not an operation of this sort */
    /* cos_sin: [rows, n_rot]: the cosines of a row's n_rot / 2 pairs, then their sines */
    void (*rope)(const struct op *op, const struct cpu_range *range, const float *cos_sin);
    /* NULL where product_many() is best for few tokens, too */
    void (*quantize)(const float *x, struct cpu_act *act, int64_t blocks);
    /* Up to CPU_FEW_TOKENS tokens and quantised or float weights; more tokens and any weights. */
    void (*product_quant)(const struct cpu_product *p);
    void (*product_float)(const struct cpu_product *p);
    void (*product_many)(const struct cpu_product *p);
    /* NULL, or: tiles of tokens tile0 .. tile1 - 1 of x, and products of f16, bf16 and quantised weights with them, which are
     * faster from CPU_TILE_TOKENS tokens on */
    void (*split)(const struct tensor *x, uint16_t *out, int64_t tile0, int64_t tile1);
    void (*product_tiles)(const struct cpu_product *p);
    void (*attention)(const struct cpu_attention *a);
    void (*attention_merge)(const struct cpu_attention *a);
    /* For measuring: some arithmetic in registers, which returns how many operations it was (int8: NULL where the best products
     * aren't of that kind), and reading `size` bytes, a multiple of 1024. */
    double (*f32_work)(float *sink);
    double (*int8_work)(float *sink);
    void (*read_work)(const float *from, size_t size, float *sink);
};

enum { CPU_FEW_TOKENS = 8 };  /* of products that are bound by memory */
enum { CPU_MAX_HEAD = 1024 }; /* most columns of a head */

extern const struct cpu_kernels cpu_kernels_generic, cpu_kernels_avx2, cpu_kernels_avxvnni, cpu_kernels_avx512,
    cpu_kernels_amx;
