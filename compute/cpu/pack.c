/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From the block formats of GGUF files (their byte layouts: compute/ref/dequant.c) to the arrangement of pack.h.
 */
#include "compute/cpu/pack.h"

#include "compute/backend.h"

#include <string.h>

/* One row of one super-block, in the words of pack.h. */
struct plain {
    uint8_t code[PACK_MAX_CODES];
    uint16_t d, dmin;  /* f16 bits (d: bf16 bits of MXFP4) */
    uint8_t scale[16]; /* s8 or u8, one per span; SCALE_NIBBLES: both in one */
    uint8_t minimum[16];
};

static uint16_t u16_at(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint16_t negated(uint16_t f16)
{
    return f16 ^ 0x8000;
}

/* 16 bytes: low nibbles are codes 0..15, high nibbles 16..31. */
static void nibbles_32(uint8_t *code, const uint8_t *qs)
{
    for (int j = 0; j < 16; j++) {
        code[j] = qs[j] & 15;
        code[j + 16] = qs[j] >> 4;
    }
}

static void fifth_bits_32(uint8_t *code, uint32_t qh)
{
    for (int j = 0; j < 32; j++)
        code[j] |= (uint8_t)((qh >> j & 1) << 4);
}

/* The eight 6-bit scales and minimums of Q4_K and Q5_K in 12 bytes. */
static void scales_k4(struct plain *p, const uint8_t *s)
{
    for (int j = 0; j < 8; j++) {
        p->scale[j] = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        p->minimum[j] = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
    }
}

static void read_q2_k(struct plain *p, const uint8_t *b)
{
    memcpy(p->scale, b, 16);
    for (int e = 0; e < 256; e++)
        p->code[e] = b[16 + e / 128 * 32 + e % 32] >> e % 128 / 32 * 2 & 3;
    p->d = u16_at(b + 80);
    p->dmin = u16_at(b + 82);
}

static void read_q3_k(struct plain *p, const uint8_t *b)
{
    const uint8_t *s = b + 96;
    for (int i = 0; i < 16; i++) {
        int low = i < 8 ? s[i] & 15 : s[i - 8] >> 4;
        p->scale[i] = (uint8_t)((low | (s[8 + i % 4] >> i / 4 * 2 & 3) << 4) - 32);
    }
    for (int e = 0; e < 256; e++)
        p->code[e] =
            (uint8_t)((b[32 + e / 128 * 32 + e % 32] >> e % 128 / 32 * 2 & 3) | (b[e % 32] >> e / 32 & 1) << 2);
    p->d = u16_at(b + 108);
}

static void read_q4_k(struct plain *p, const uint8_t *b)
{
    p->d = u16_at(b);
    p->dmin = u16_at(b + 2);
    scales_k4(p, b + 4);
    for (int e = 0; e < 256; e++)
        p->code[e] = b[16 + e / 64 * 32 + e % 32] >> e / 32 % 2 * 4 & 15;
}

static void read_q5_k(struct plain *p, const uint8_t *b)
{
    p->d = u16_at(b);
    p->dmin = u16_at(b + 2);
    scales_k4(p, b + 4);
    for (int e = 0; e < 256; e++)
        p->code[e] =
            (uint8_t)((b[48 + e / 64 * 32 + e % 32] >> e / 32 % 2 * 4 & 15) | (b[16 + e % 32] >> e / 32 & 1) << 4);
}

static void read_q6_k(struct plain *p, const uint8_t *b)
{
    for (int e = 0; e < 256; e++) {
        int half = e / 128, quarter = e % 128 / 32, l = e % 32;
        int low = b[64 * half + 32 * (quarter & 1) + l] >> (quarter >> 1) * 4 & 15;
        p->code[e] = (uint8_t)(low | (b[128 + 32 * half + l] >> 2 * quarter & 3) << 4);
    }
    memcpy(p->scale, b + 192, 16);
    p->d = u16_at(b + 208);
}

static void read_iq4_xs(struct plain *p, const uint8_t *b)
{
    p->d = u16_at(b);
    for (int i = 0; i < 8; i++) {
        int low = b[4 + i / 2] >> i % 2 * 4 & 15;
        p->scale[i] = (uint8_t)((low | (u16_at(b + 2) >> 2 * i & 3) << 4) - 32);
        nibbles_32(p->code + 32 * i, b + 8 + 16 * i);
    }
}

static void read_block(enum type type, const uint8_t *b, struct plain *p)
{
    switch (type) {
    case TYPE_Q4_1:
        p->dmin = negated(u16_at(b + 2));
        nibbles_32(p->code, b + 4);
        break;
    case TYPE_Q5_0:
        nibbles_32(p->code, b + 6);
        fifth_bits_32(p->code, u32_at(b + 2));
        break;
    case TYPE_Q5_1:
        p->dmin = negated(u16_at(b + 2));
        nibbles_32(p->code, b + 8);
        fifth_bits_32(p->code, u32_at(b + 4));
        break;
    case TYPE_Q8_0:
        for (int j = 0; j < 32; j++)
            p->code[j] = b[2 + j] ^ 0x80;
        break;
    case TYPE_Q4_0:
    case TYPE_IQ4_NL:
        nibbles_32(p->code, b + 2);
        break;
    case TYPE_MXFP4: /* 2^(e - 128) as bf16, subnormal for e < 2 */
        p->d = b[0] < 2 ? (uint16_t)(0x20 << b[0]) : (uint16_t)((b[0] - 1) << 7);
        nibbles_32(p->code, b + 1);
        return;
    case TYPE_Q2_K:
        read_q2_k(p, b);
        return;
    case TYPE_Q3_K:
        read_q3_k(p, b);
        return;
    case TYPE_Q4_K:
        read_q4_k(p, b);
        return;
    case TYPE_Q5_K:
        read_q5_k(p, b);
        return;
    case TYPE_Q6_K:
        read_q6_k(p, b);
        return;
    case TYPE_IQ4_XS:
        read_iq4_xs(p, b);
        return;
    default:
        return;
    }
    p->d = u16_at(b);
}

/* Row r's place in the group: its factors into a super-block's meta. */
static void write_meta(struct packing k, const struct plain *p, int r, uint8_t *meta)
{
    memcpy(meta + 2 * r, &p->d, 2);
    meta += 2 * PACK_ROWS;
    if (k.min) {
        memcpy(meta + 2 * r, &p->dmin, 2);
        meta += 2 * PACK_ROWS;
    }
    if (k.scale == SCALE_PLAIN)
        return;
    for (int i = 0; i < k.super * 32 / k.span; i++) {
        meta[r] = p->scale[i];
        meta += PACK_ROWS;
        if (k.scale == SCALE_BYTE_MIN) {
            meta[r] = p->minimum[i];
            meta += PACK_ROWS;
        }
    }
}

/* The 32 codes of row r's block into the planes, which are zero where nothing was written yet. */
static void write_codes(struct packing k, const uint8_t *code, int r, uint8_t *planes)
{
    if (k.bits == 8) {
        for (int j = 0; j < 8; j++)
            memcpy(planes + 64 * j + 4 * r, code + 4 * j, 4);
        return;
    }
    int above = 0; /* bits that planes so far hold */
    if (k.bits >= 4) {
        for (int c = 0; c < 16; c++)
            planes[64 * (c / 4) + 4 * r + c % 4] = (uint8_t)((code[c] & 15) | code[c + 16] << 4);
        planes += 4 * 64;
        above = 4;
    }
    if (k.bits == 2 || k.bits == 3 || k.bits == 6) {
        for (int c = 0; c < 32; c++)
            planes[64 * (c / 16) + 4 * r + c % 4] |= (uint8_t)((code[c] >> above & 3) << c % 16 / 4 * 2);
        planes += 2 * 64;
        above += 2;
    }
    if (k.bits == 3 || k.bits == 5)
        for (int c = 0; c < 32; c++)
            planes[8 * (c / 4) + r / 2] |= (uint8_t)((code[c] >> above & 1) << (4 * (r % 2) + c % 4));
}

/* `rows` rows of `bytes` bytes an element, from `row_bytes` apart to side by side. */
static void pack_floats(const uint8_t *from, size_t row_bytes, int rows, int64_t k, int bytes, uint8_t *out)
{
    for (int64_t c = 0; c < k; c++)
        for (int r = 0; r < rows; r++)
            memcpy(out + (c * PACK_ROWS + r) * bytes, from + (size_t)r * row_bytes + (size_t)(c * bytes),
                   (size_t)bytes);
}

void cpu_pack_group(const struct tensor *weight, int64_t group, void *out)
{
    struct packing k = cpu_packing(weight->type);
    const struct type_traits *traits = compute_type((int)weight->type);
    int64_t blocks = weight->cols / traits->block;
    size_t row_bytes = compute_row_bytes(weight->type, weight->cols);
    memset(out, 0, cpu_group_bytes(weight->type, weight->cols));
    if (!k.bits) {
        int64_t left = weight->rows - group * PACK_ROWS;
        const uint8_t *from = (const uint8_t *)compute_tensor_data(weight) + (size_t)(group * PACK_ROWS) * row_bytes;
        int rows = left < PACK_ROWS ? (int)left : PACK_ROWS;
        if (weight->type == TYPE_F32) /* the size is constant where it is inlined */
            pack_floats(from, row_bytes, rows, weight->cols, 4, out);
        else
            pack_floats(from, row_bytes, rows, weight->cols, 2, out);
        return;
    }
    uint8_t *meta = out, *codes = meta + cpu_group_codes(k, weight->cols);
    struct plain p = {0};
    for (int r = 0; r < PACK_ROWS && group * PACK_ROWS + r < weight->rows; r++) {
        const uint8_t *row = (const uint8_t *)compute_tensor_data(weight) + (size_t)(group * PACK_ROWS + r) * row_bytes;
        for (int64_t b = 0; b < blocks; b++) {
            read_block(weight->type, row + (size_t)b * (size_t)traits->bytes, &p);
            write_meta(k, &p, r, meta + (size_t)b * (size_t)cpu_meta_bytes(k));
            for (int i = 0; i < k.super; i++)
                write_codes(k, p.code + 32 * i, r, codes + (size_t)(b * k.super + i) * (size_t)cpu_code_bytes(k));
        }
    }
}

static float scale_of(struct packing k, const struct plain *p, int span, float *minimum)
{
    float d = k.bf16 ? compute_bf16_to_f32(p->d) : compute_f16_to_f32(p->d);
    float dmin = k.min ? compute_f16_to_f32(p->dmin) : 0;
    switch (k.scale) {
    case SCALE_PLAIN:
        *minimum = dmin;
        return d;
    case SCALE_BYTE:
        *minimum = 0;
        return d * (float)(int8_t)p->scale[span];
    case SCALE_BYTE_MIN:
        *minimum = dmin * (float)p->minimum[span];
        return d * (float)p->scale[span];
    case SCALE_NIBBLES:
        *minimum = dmin * (float)(p->scale[span] >> 4);
        return d * (float)(p->scale[span] & 15);
    }
    return 0;
}

void cpu_unpack_row(enum type type, const void *row, int64_t k, float *out)
{
    struct packing packing = cpu_packing(type);
    const struct type_traits *traits = compute_type((int)type);
    struct plain p = {0};
    for (int64_t b = 0; b < k / traits->block; b++) {
        read_block(type, (const uint8_t *)row + (size_t)b * (size_t)traits->bytes, &p);
        for (int e = 0; e < traits->block; e++) {
            float minimum, scale = scale_of(packing, &p, e / packing.span, &minimum);
            int value = packing.table ? packing.table[p.code[e]] : p.code[e];
            out[b * traits->block + e] = scale * (float)(value - packing.zero) - minimum;
        }
    }
}
