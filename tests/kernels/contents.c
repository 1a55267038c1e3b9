/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the operands of a case hold.
 */
#include "tests/kernels/harness.h"

#include "base/mem.h"
#include "compute/ref/ref.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static uint64_t next(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

double kernel_uniform(uint64_t *seed)
{
    return (double)(next(seed) >> 11) * 0x1p-53;
}

double kernel_normal(uint64_t *seed)
{
    uint64_t bits = next(seed);
    double sum = 0; /* of four uniform numbers, 16 bits each: variance 1/3, within +-2 */
    for (int i = 0; i < 4; i++)
        sum += (double)(bits >> 16 * i & 0xffff) / 65536;
    return (sum - 2) * 1.7320508075688772;
}

int64_t kernel_integer(uint64_t *seed, int64_t n)
{
    return (int64_t)(next(seed) % (uint64_t)n);
}

const char *kernel_fill_name(enum fill fill)
{
    static const char *const names[FILL_N] = {"normal", "large", "tiny", "zero", "mixed", "offset"};
    return names[fill];
}

static float fill_value(enum fill fill, uint64_t *seed)
{
    double x = kernel_normal(seed);
    switch (fill) {
    case FILL_NORMAL:
    case FILL_N:
        break;
    case FILL_LARGE:
        return (float)(x * 1e6);
    case FILL_TINY:
        return (float)(x * 1e-39);
    case FILL_ZERO:
        return x < 0 ? -0.0f : 0.0f;
    case FILL_MIXED:
        return (float)ldexp(x, (int)kernel_integer(seed, 41) - 20);
    case FILL_OFFSET:
        return (float)(x + 1000);
    }
    return (float)x;
}

/* Where the f16 scales of a block lie, and how large they are for weights of about 1. */
static const struct {
    int offsets[2]; /* -1: none */
    double size;
} scales[TYPE_LIMIT] = {
    [TYPE_Q4_0] = {{0, -1}, 0.2},      [TYPE_Q4_1] = {{0, 2}, 0.1},      [TYPE_Q5_0] = {{0, -1}, 0.1},
    [TYPE_Q5_1] = {{0, 2}, 0.05},      [TYPE_Q8_0] = {{0, -1}, 0.02},    [TYPE_Q2_K] = {{80, 82}, 0.05},
    [TYPE_Q3_K] = {{108, -1}, 0.02},   [TYPE_Q4_K] = {{0, 2}, 0.003},    [TYPE_Q5_K] = {{0, 2}, 0.002},
    [TYPE_Q6_K] = {{208, -1}, 0.0007}, [TYPE_IQ4_NL] = {{0, -1}, 0.015}, [TYPE_IQ4_XS] = {{0, -1}, 0.001},
};

static void random_blocks(enum type type, uint8_t *out, size_t size, enum fill fill, uint64_t *seed)
{
    size_t bytes = (size_t)compute_type((int)type)->bytes;
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)next(seed);
    for (size_t at = 0; at < size; at += bytes) {
        if (type == TYPE_MXFP4) {
            out[at] = (uint8_t)(fill == FILL_TINY ? kernel_integer(seed, 3) : 120 + kernel_integer(seed, 9));
            continue;
        }
        for (int s = 0; s < 2 && scales[type].offsets[s] >= 0; s++) {
            double scale = scales[type].size * kernel_normal(seed);
            if (fill == FILL_TINY)
                scale = 6e-8 * (double)kernel_integer(seed, 40); /* denormal halves */
            if (fill == FILL_ZERO)
                scale = 0;
            if (fill == FILL_LARGE)
                scale *= 1000;
            uint16_t half = compute_f32_to_f16((float)scale);
            memcpy(out + at + scales[type].offsets[s], &half, sizeof half);
        }
    }
}

static uint64_t hash(const char *text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return h;
}

struct kernel_case kernel_case(enum op_kind kind, const char *format, ...)
{
    struct kernel_case c = {.kind = kind};
    va_list args;
    va_start(args, format);
    vsnprintf(c.label, sizeof c.label, format, args);
    va_end(args);
    return c;
}

size_t kernel_operand_bytes(const struct operand *o)
{
    return compute_row_bytes(o->type, o->cols) * (size_t)o->rows;
}

void *kernel_operand(struct kernel_case *c, int slot, enum tensor_role role, enum type type, int64_t rows, int64_t cols)
{
    struct operand *o = &c->operands[slot];
    *o = (struct operand){role, type, rows, cols, NULL};
    o->data = base_alloc(kernel_operand_bytes(o));
    return o->data;
}

void kernel_random(struct kernel_case *c, int slot, enum tensor_role role, enum type type, int64_t rows, int64_t cols,
                   enum fill fill)
{
    void *data = kernel_operand(c, slot, role, type, rows, cols);
    size_t size = kernel_operand_bytes(&c->operands[slot]);
    uint64_t seed = hash(c->label) + (uint64_t)slot;
    if (compute_type((int)type)->block > 1) {
        random_blocks(type, data, size, fill, &seed);
        return;
    }
    for (int64_t i = 0; i < rows * cols; i++) {
        float value = fill_value(fill, &seed);
        if (type == TYPE_F16 && fill == FILL_TINY)
            value = (float)(kernel_normal(&seed) * 1e-6); /* denormal halves */
        if (type == TYPE_F16 && fill == FILL_LARGE)
            value *= 0.01f; /* stays below 65504 */
        if (type == TYPE_F16 && fill == FILL_MIXED)
            value = (float)ldexp(kernel_normal(&seed), (int)kernel_integer(&seed, 21) - 10);
        ref_quantize(type, &value, (char *)data + i * compute_type((int)type)->bytes, 1);
    }
}

float *kernel_values(const struct kernel_case *c, int slot)
{
    const struct operand *o = &c->operands[slot];
    int64_t n = o->rows * o->cols;
    float *values = base_alloc_array((size_t)n, sizeof *values);
    ref_dequantize(o->type, o->data, values, n);
    return values;
}

void kernel_finish(struct kernel_case *c)
{
    for (int s = 0; s < OP_SLOTS; s++)
        base_free(c->operands[s].data);
    base_free(c->magnitude);
}
