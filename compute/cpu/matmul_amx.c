/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * y = x . w^T for many tokens in AMX tiles. Activations and weights are split into two bf16 each, high + low, which keep 16 bits
 * of a number, and
 *
 *     x w = x_low w_high + x_high w_high + x_high w_low        (x_low w_low is below 2^-17 |x w|)
 *
 * is summed in f32 over all columns, without a look at the blocks of the weight's format: its codes are scaled before. f16
 * weights (11 bits) and bf16 ones (their low part is 0 and left out) lose nothing. Three products of bf16 cost as much as three
 * of bytes, and bytes need as many, or a pass over the sums for every block's scale.
 *
 * Tiles take denormal numbers for zero, so weights are lifted above them by a power of two, and sums lowered again.
 */
#include "compute/cpu/amx.h"

#include "base/mem.h"
#include "compute/cpu/codes.h"
#include "compute/cpu/product.h"
#include "compute/cpu/tier.h"

#include <sys/syscall.h>
#include <unistd.h>

#define LIFT 0x1p24f

enum {
    TOKENS = CPU_TILE_TOKENS,   /* of a tile of activations, [TOKENS, COLUMNS] bf16 */
    COLUMNS = CPU_TILE_COLUMNS, /* of a tile of weights, [COLUMNS / 2, 16 rows, 2] bf16 */
    TILE = TOKENS * COLUMNS,    /* elements */
    CHUNK = 32,                 /* tiles of columns that are prepared at a time and stay in the second-level cache */
    GROUPS = 2,
};

/* Tile registers; the intrinsics want literal numbers. */
#define SUM_00   0 /* token tile 0, group 0 */
#define SUM_01   1
#define SUM_10   2
#define SUM_11   3
#define ACT_0    4
#define ACT_1    5
#define WEIGHT_0 6
#define WEIGHT_1 7

/* Layout of LDTILECFG's operand: Intel Software Developer's Manual, volume 1, 18.2. */
struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

bool cpu_amx_permit(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}

/* What tile instructions read and write is no memory in the compiler's eyes. */
INLINE void settle(const void *memory)
{
    __asm__ volatile("" : : "r"(memory) : "memory");
}

/* All tiles are 16 rows of 64 bytes. */
static void configure(void)
{
    struct tile_config c = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        c.rows[i] = 16;
        c.row_bytes[i] = 64;
    }
    settle(&c);
    _tile_loadconfig(&c);
}

/* ---- activations ---------------------------------------------------------------------------------------------------- */

/* 32 numbers of one token into its row of the high and the low tile. */
INLINE void split_row(vf a, vf b, uint16_t *high, uint16_t *low)
{
    __m512i h = (__m512i)_mm512_cvtne2ps_pbh(b, a);
    vf a_high = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(h)), 16));
    vf b_high = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(h, 1)), 16));
    _mm512_storeu_si512(high, h);
    _mm512_storeu_si512(low, (__m512i)_mm512_cvtne2ps_pbh(b - b_high, a - a_high));
}

static void split(const struct tensor *x, uint16_t *out, int64_t tile0, int64_t tile1)
{
    int64_t k = x->cols, across = cpu_tiles_across(k);
    for (int64_t tile = tile0; tile < tile1; tile++)
        for (int64_t r = 0; r < TOKENS; r++) {
            int64_t t = tile * TOKENS + r;
            const float *in = (const float *)compute_tensor_data(x) + t * k;
            uint16_t *at = out + tile * across * 2 * TILE + r * COLUMNS;
            int64_t left = t < x->rows ? k : 0;
            for (int64_t i = 0; i < across; i++, at += 2 * TILE, left -= COLUMNS) {
                if (left >= COLUMNS)
                    split_row(vf_load(in + i * COLUMNS), vf_load(in + i * COLUMNS + 16), at, at + TILE);
                else {
                    float padded[COLUMNS] = {0};
                    if (left > 0)
                        memcpy(padded, in + i * COLUMNS, (size_t)left * sizeof *padded);
                    split_row(vf_load(padded), vf_load(padded + 16), at, at + TILE);
                }
            }
        }
}

/* ---- weights -------------------------------------------------------------------------------------------------------- */

/* Rounded to bf16 in its upper half; the lower half is left over. */
INLINE __m512i rounded(vf a)
{
    return _mm512_add_epi32(_mm512_castps_si512(a), _mm512_set1_epi32(0x8000));
}

/* Two neighbouring columns of 16 rows into a row of the high and the low tile. */
INLINE void split_pair(bool low_too, vf even, vf odd, uint16_t *high, uint16_t *low)
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000);
    __m512i e = rounded(even), o = rounded(odd);
    _mm512_storeu_si512(high, _mm512_or_si512(_mm512_srli_epi32(e, 16), _mm512_and_si512(o, upper)));
    if (!low_too)
        return;
    e = rounded(even - _mm512_castsi512_ps(_mm512_and_si512(e, upper)));
    o = rounded(odd - _mm512_castsi512_ps(_mm512_and_si512(o, upper)));
    _mm512_storeu_si512(low, _mm512_or_si512(_mm512_srli_epi32(e, 16), _mm512_and_si512(o, upper)));
}

/* Blocks first .. end - 1 of a quantised group; a block is a tile wide. */
INLINE void prepare_codes(struct packing p, const uint8_t *group, int64_t k, int64_t first, int64_t end, uint16_t *out)
{
    const uint8_t *meta = group, *codes = group + cpu_group_codes(p, k) + first * cpu_code_bytes(p);
    const int spans = 32 / p.span;
    vf d = vf_set(0), dmin = vf_set(0);
    for (int64_t b = first; b < end; b++, out += 2 * TILE, codes += cpu_code_bytes(p)) {
        const uint8_t *factors = meta + b / p.super * cpu_meta_bytes(p);
        if (b == first || b % p.super == 0) {
            load_factors(p, factors, 0, &d, &dmin);
            d = d * vf_set(LIFT);
            dmin = dmin * vf_set(LIFT);
        }
        vf scale[2], off[2];
        for (int h = 0; h < spans; h++) {
            load_scale(p, factors, 0, (int)(b % p.super) * spans + h, d, dmin, &scale[h], &off[h]);
            off[h] = vf_set(0) - off[h] - scale[h] * vf_set((float)p.zero);
        }
        vq w[8];
        codes_load(p, codes, 0, w);
        UNROLL
        for (int j = 0; j < 8; j++) {
            const int h = j * 4 / p.span;
            vf c0 = vf_fma(codes_column(p, w[j], 0), scale[h], off[h]);
            vf c1 = vf_fma(codes_column(p, w[j], 1), scale[h], off[h]);
            vf c2 = vf_fma(codes_column(p, w[j], 2), scale[h], off[h]);
            vf c3 = vf_fma(codes_column(p, w[j], 3), scale[h], off[h]);
            split_pair(true, c0, c1, out + 64 * j, out + TILE + 64 * j);
            split_pair(true, c2, c3, out + 64 * j + 32, out + TILE + 64 * j + 32);
        }
    }
}

INLINE vf half_column(enum type type, const uint16_t *group, int64_t column, int64_t k)
{
    if (column >= k)
        return vf_set(0);
    group += column * PACK_ROWS;
    return (type == TYPE_F16 ? vf_load_f16(group) : vf_load_bf16(group)) * vf_set(LIFT);
}

/* The same of an f16 or bf16 group, of tiles first .. end - 1; columns past k are zero. */
INLINE void prepare_halves(enum type type, const uint16_t *group, int64_t k, int64_t first, int64_t end, uint16_t *out)
{
    for (int64_t b = first; b < end; b++, out += 2 * TILE)
        for (int64_t j = 0; j < 16; j++) {
            int64_t column = b * COLUMNS + 2 * j;
            split_pair(type == TYPE_F16, half_column(type, group, column, k), half_column(type, group, column + 1, k),
                       out + COLUMNS * j, out + TILE + COLUMNS * j);
        }
}

/* ---- products ------------------------------------------------------------------------------------------------------- */

/* Adds the product of `n` tiles of columns to the sums of 16 * tokens by 16 * groups elements, which are zero before the first.
 * x: high and low tiles in turn, token tiles `stride` elements apart; w: likewise, the second group CHUNK tiles later. */
INLINE void multiply(int tokens, int groups, bool low_too, const uint16_t *x, int64_t stride, const uint16_t *w, int n,
                     bool fresh, float *sums)
{
    const bool t2 = tokens == 2, g2 = groups == 2;
    const uint16_t *x2 = x + stride, *w2 = w + CHUNK * 2 * TILE;
    if (fresh) {
        _tile_zero(SUM_00);
        _tile_zero(SUM_01);
        _tile_zero(SUM_10);
        _tile_zero(SUM_11);
    } else {
        _tile_loadd(SUM_00, sums, 64);
        if (g2)
            _tile_loadd(SUM_01, sums + 256, 64);
        if (t2)
            _tile_loadd(SUM_10, sums + 512, 64);
        if (t2 && g2)
            _tile_loadd(SUM_11, sums + 768, 64);
    }
    for (int i = 0; i < n; i++) {
        _tile_loadd(WEIGHT_0, w, 64);
        _tile_loadd(ACT_0, x + TILE, 64);
        _tile_dpbf16ps(SUM_00, ACT_0, WEIGHT_0);
        if (g2) {
            _tile_loadd(WEIGHT_1, w2, 64);
            _tile_dpbf16ps(SUM_01, ACT_0, WEIGHT_1);
        }
        if (t2) {
            _tile_loadd(ACT_1, x2 + TILE, 64);
            _tile_dpbf16ps(SUM_10, ACT_1, WEIGHT_0);
            if (g2)
                _tile_dpbf16ps(SUM_11, ACT_1, WEIGHT_1);
        }
        _tile_loadd(ACT_0, x, 64);
        _tile_dpbf16ps(SUM_00, ACT_0, WEIGHT_0);
        if (g2)
            _tile_dpbf16ps(SUM_01, ACT_0, WEIGHT_1);
        if (t2) {
            _tile_loadd(ACT_1, x2, 64);
            _tile_dpbf16ps(SUM_10, ACT_1, WEIGHT_0);
            if (g2)
                _tile_dpbf16ps(SUM_11, ACT_1, WEIGHT_1);
        }
        if (low_too) {
            _tile_loadd(WEIGHT_0, w + TILE, 64);
            _tile_dpbf16ps(SUM_00, ACT_0, WEIGHT_0);
            if (t2)
                _tile_dpbf16ps(SUM_10, ACT_1, WEIGHT_0);
            if (g2) {
                _tile_loadd(WEIGHT_1, w2 + TILE, 64);
                _tile_dpbf16ps(SUM_01, ACT_0, WEIGHT_1);
                if (t2)
                    _tile_dpbf16ps(SUM_11, ACT_1, WEIGHT_1);
            }
        }
        x += 2 * TILE;
        x2 += 2 * TILE;
        w += 2 * TILE;
        w2 += 2 * TILE;
    }
    _tile_stored(SUM_00, sums, 64);
    if (g2)
        _tile_stored(SUM_01, sums + 256, 64);
    if (t2)
        _tile_stored(SUM_10, sums + 512, 64);
    if (t2 && g2)
        _tile_stored(SUM_11, sums + 768, 64);
}

/* Sums of 16 tokens and a group, of the job's rows. */
static void store_sums(const struct cpu_product *job, const float *sums, int64_t t, int64_t row)
{
    for (int64_t i = 0; i < TOKENS && t + i < job->t1; i++)
        product_store(job, t + i, row, vf_load(sums + 16 * i) * vf_set(1 / LIFT));
}

/* `groups` groups from `row` on times all tokens of the job. */
INLINE void multiply_rows(enum type type, const struct cpu_product *job, int64_t row, int groups)
{
    const struct packing p = cpu_packing(type);
    const size_t bytes = cpu_group_bytes(type, job->k);
    const int64_t across = cpu_tiles_across(job->k), stride = across * 2 * TILE;
    char *prepared = (char *)job->scratch + 2 * base_align(bytes, 64);
    uint16_t *w = (uint16_t *)prepared;
    float *sums = (float *)(w + GROUPS * CHUNK * 2 * TILE);
    const void *group[GROUPS];
    for (int g = 0; g < groups; g++)
        group[g] = cpu_product_group(job, row / PACK_ROWS + g, bytes, g);
    for (int64_t first = 0; first < across; first += CHUNK) {
        int64_t end = first + CHUNK < across ? first + CHUNK : across;
        for (int g = 0; g < groups; g++) {
            uint16_t *out = w + g * CHUNK * 2 * TILE;
            if (p.bits)
                prepare_codes(p, group[g], job->k, first, end, out);
            else
                prepare_halves(type, group[g], job->k, first, end, out);
        }
        settle(w);
        for (int64_t t = job->t0; t < job->t1; t += 2 * TOKENS) {
            const uint16_t *x = job->split + (t / TOKENS * across + first) * 2 * TILE;
            float *at = sums + (t - job->t0) * 32;
            if (t + TOKENS < job->t1)
                multiply(2, groups, type != TYPE_BF16, x, stride, w, (int)(end - first), !first, at);
            else
                multiply(1, groups, type != TYPE_BF16, x, stride, w, (int)(end - first), !first, at);
        }
    }
    settle(sums);
    for (int64_t t = job->t0; t < job->t1; t += TOKENS)
        for (int g = 0; g < groups; g++)
            store_sums(job, sums + (t - job->t0) * 32 + 256 * g, t, row + PACK_ROWS * g);
}

INLINE void product(enum type type, const struct cpu_product *job)
{
    configure();
    for (int64_t row = job->m0; row < job->m1; row += GROUPS * PACK_ROWS)
        if (row + PACK_ROWS < job->m1)
            multiply_rows(type, job, row, GROUPS);
        else
            multiply_rows(type, job, row, 1);
    _tile_release();
}

static void product_tiles(const struct cpu_product *job)
{
    switch (job->w->type) {
    case TYPE_F16:
        product(TYPE_F16, job);
        break;
    case TYPE_BF16:
        product(TYPE_BF16, job);
        break;
    case TYPE_Q4_0:
        product(TYPE_Q4_0, job);
        break;
    case TYPE_Q4_1:
        product(TYPE_Q4_1, job);
        break;
    case TYPE_Q5_0:
        product(TYPE_Q5_0, job);
        break;
    case TYPE_Q5_1:
        product(TYPE_Q5_1, job);
        break;
    case TYPE_Q8_0:
        product(TYPE_Q8_0, job);
        break;
    case TYPE_Q2_K:
        product(TYPE_Q2_K, job);
        break;
    case TYPE_Q3_K:
        product(TYPE_Q3_K, job);
        break;
    case TYPE_Q4_K:
        product(TYPE_Q4_K, job);
        break;
    case TYPE_Q5_K:
        product(TYPE_Q5_K, job);
        break;
    case TYPE_Q6_K:
        product(TYPE_Q6_K, job);
        break;
    case TYPE_IQ4_NL:
        product(TYPE_IQ4_NL, job);
        break;
    case TYPE_IQ4_XS:
        product(TYPE_IQ4_XS, job);
        break;
    case TYPE_MXFP4:
        product(TYPE_MXFP4, job);
        break;
    default:
        break;
    }
}

/* Products of tiles; three make one of the matrix product. */
static double tile_work(float *sink)
{
    enum { ROUNDS = 4000 };
    configure();
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(6);
    for (int r = 0; r < ROUNDS; r++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 6);
        _tile_dpbf16ps(2, 4, 6);
        _tile_dpbf16ps(3, 4, 6);
    }
    _tile_release();
    *sink += 1;
    return 4.0 * ROUNDS * 2 * TOKENS * PACK_ROWS * COLUMNS / 3;
}

const struct cpu_kernels cpu_kernels_amx = {
    .name = "amx",
    .rows = &CPU_TIER(rows),
    .rope = CPU_TIER(rope),
    .quantize = CPU_TIER(quantize),
    .product_quant = CPU_TIER(product_quant),
    .product_float = CPU_TIER(product_float),
    .product_many = CPU_TIER(product_many),
    .split = split,
    .product_tiles = product_tiles,
    .attention = CPU_TIER(attention),
    .attention_merge = CPU_TIER(attention_merge),
    .f32_work = tile_work,
    .read_work = CPU_TIER(read_work),
};
