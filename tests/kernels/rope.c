/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An angle is a position times a frequency, both rounded to f32: off by at most 4 * 2^-24 of itself, when frequencies are
 * computed with care (an exp2 or pow of a few units in the last place isn't enough at position 100,000). A cosine turns that into
 * an error of its pair's length; 8 * 2^-24 are for cosine, products and sum.
 */
#include "base/mem.h"
#include "tests/kernels/harness.h"

#include <math.h>

static const char *const kinds[] = {"norm", "neox", "mrope", "imrope", "vision"};

struct shape {
    int64_t n;
    int n_head, d_head, n_rot;
};

static struct rope_params params_of(enum rope_kind kind, struct shape s)
{
    struct rope_params p = {
        .kind = kind, .d_head = s.d_head, .n_rot = s.n_rot, .base = 10000, .freq_scale = 1, .yarn_attn = 1};
    int half = s.n_rot / 2;
    if (kind == ROPE_MROPE) { /* 16, 24, 24 of 64 */
        p.sections[0] = half / 4;
        p.sections[1] = (half - half / 4) / 2;
        p.sections[2] = half - p.sections[0] - p.sections[1];
    }
    if (kind == ROPE_IMROPE) { /* 24, 20, 20 of 64 */
        p.sections[1] = p.sections[2] = half * 5 / 16;
        p.sections[0] = half - 2 * p.sections[1];
    }
    return p;
}

/* The frequency of a pair, at the most: interpolation and mixing lie between the plain one and freq_scale of it. */
static double highest_frequency(const struct rope_params *p, const float *divisors, int i)
{
    double exponent = p->kind == ROPE_VISION ? -4.0 * (i % (p->n_rot / 4)) / p->n_rot : -2.0 * i / p->n_rot;
    return pow(p->base, exponent) * fmax(1, p->freq_scale) / (divisors ? divisors[i] : 1);
}

static void bound(struct kernel_case *c)
{
    const struct rope_params *p = &c->params.rope;
    const struct operand *x = &c->operands[0];
    float *values = kernel_values(c, 0);
    const int32_t *pos = c->operands[1].data;
    const float *divisors = c->operands[2].data;
    c->magnitude = base_alloc_array((size_t)(x->rows * x->cols), sizeof *c->magnitude);
    c->unit = 1;
    c->absolute = 2 * 0x1p-126; /* a device may take denormals for zero */
    for (int64_t r = 0; r < x->rows; r++) {
        double furthest = 0;
        for (int a = 0; a < 3; a++)
            furthest = fmax(furthest, fabs((double)pos[4 * r + a]));
        for (int64_t col = 0; col < x->cols; col++) {
            int i = (int)(col % p->d_head);
            if (i >= p->n_rot)
                continue;
            bool norm = p->kind == ROPE_NORM;
            int pair = norm ? i / 2 : i % (p->n_rot / 2);
            int64_t head = r * x->cols + col - i;
            int64_t a = head + (norm ? 2 * pair : pair), b = norm ? a + 1 : a + p->n_rot / 2;
            double angle = furthest * highest_frequency(p, divisors, pair);
            c->magnitude[r * x->cols + col] =
                (fabs(values[a]) + fabs(values[b])) * (double)p->yarn_attn * (4 * 0x1p-24 * angle + 8 * 0x1p-24);
        }
    }
    base_free(values);
    if (x->type == TYPE_F16) { /* the result is rounded, and may fall to the other side */
        c->relative = 0x1p-10;
        c->absolute = 0x1p-24;
    }
}

struct rest {
    enum tensor_role role;
    enum type type;
    int32_t furthest; /* positions are -furthest..furthest */
    bool divisors, yarn;
    float freq_scale, base;
    enum fill fill;
    bool bench;
};
static const struct rest plain = {TENSOR_INPUT, TYPE_F32, 5000, false, false, 1, 10000, FILL_NORMAL, false};

static void check(struct kernels *t, enum rope_kind kind, struct shape s, struct rest rest)
{
    struct kernel_case c =
        kernel_case(OP_rope, "%s n=%d heads=%d d_head=%d n_rot=%d %s%s pos<=%d%s%s scale %g base %g %s", kinds[kind],
                    (int)s.n, s.n_head, s.d_head, s.n_rot, compute_type((int)rest.type)->name,
                    rest.role == TENSOR_STATE ? " state" : "", rest.furthest, rest.divisors ? " divisors" : "",
                    rest.yarn ? " yarn" : "", (double)rest.freq_scale, (double)rest.base, kernel_fill_name(rest.fill));
    kernel_random(&c, 0, rest.role, rest.type, s.n, (int64_t)s.n_head * s.d_head, rest.fill);
    int32_t *pos = kernel_operand(&c, 1, TENSOR_INPUT, TYPE_I32, s.n, 4);
    uint64_t seed = 3;
    for (int64_t i = 0; i < 4 * s.n; i++)
        pos[i] = i % 4 == 3 ? 1 << 30 : (int32_t)kernel_integer(&seed, 2 * (int64_t)rest.furthest + 1) - rest.furthest;
    if (rest.divisors) {
        float *divisors = kernel_operand(&c, 2, TENSOR_WEIGHT, TYPE_F32, 1, s.n_rot / 2);
        for (int i = 0; i < s.n_rot / 2; i++)
            divisors[i] = i < s.n_rot / 6 ? 1 : i < s.n_rot / 4 ? 2.7f : 8;
    }
    c.params.rope = params_of(kind, s);
    c.params.rope.base = rest.base;
    c.params.rope.freq_scale = rest.freq_scale;
    if (rest.yarn) {
        c.params.rope.yarn_ext = 1;
        c.params.rope.yarn_attn = 1.1386294f;
        c.params.rope.yarn_beta_fast = 32;
        c.params.rope.yarn_beta_slow = 1;
        c.params.rope.yarn_original = 4096;
    }
    bound(&c);
    c.bench = rest.bench;
    c.bytes = 2.0 * (double)compute_row_bytes(rest.type, (int64_t)s.n_head * s.d_head) * (double)s.n;
    kernel_check(t, &c);
}

void test_rope(struct kernels *t)
{
    for (int k = ROPE_NORM; k <= ROPE_VISION; k++) {
        enum rope_kind kind = (enum rope_kind)k;
        struct rest rest = plain;
        for (int fill = 0; fill < FILL_N; fill++) {
            rest.fill = (enum fill)fill;
            check(t, kind, (struct shape){7, 3, 64, 64}, rest);
        }
        check(t, kind, (struct shape){1, 9, 64, 64}, plain);
        check(t, kind, (struct shape){33, 2, 128, 128}, plain);
        check(t, kind, (struct shape){5, 3, 80, 80}, plain);
        check(t, kind, (struct shape){5, 1, 256, 256}, plain);
        check(t, kind, (struct shape){5, 3, 96, 32}, plain); /* the rest of each head is copied */
        check(t, kind, (struct shape){5, 3, 72, 36}, plain);
        check(t, kind, (struct shape){3, 2, 4, 4}, plain);
        check(t, kind, (struct shape){256, 16, 128, 128},
              (struct rest){TENSOR_INPUT, TYPE_F32, 5000, false, false, 1, 10000, FILL_NORMAL, true});

        rest = plain;
        rest.furthest = 200000;
        rest.base = 1e6f;
        check(t, kind, (struct shape){9, 3, 128, 128}, rest);
        rest = plain;
        rest.furthest = 0; /* nothing moves */
        check(t, kind, (struct shape){9, 3, 64, 64}, rest);
        rest = plain;
        rest.freq_scale = 0.25f;
        check(t, kind, (struct shape){9, 3, 64, 64}, rest);
        rest.yarn = true;
        check(t, kind, (struct shape){9, 3, 64, 64}, rest);
        check(t, kind, (struct shape){9, 2, 128, 128}, rest);
        rest.divisors = true;
        check(t, kind, (struct shape){9, 2, 128, 128}, rest);
        rest = plain;
        rest.divisors = true;
        rest.base = 500000;
        check(t, kind, (struct shape){9, 3, 64, 64}, rest);

        rest = plain;
        rest.role = TENSOR_STATE;
        check(t, kind, (struct shape){37, 3, 64, 64}, rest);
        check(t, kind, (struct shape){37, 3, 96, 32}, rest);
        rest.type = TYPE_F16;
        for (int fill = 0; fill < FILL_N; fill++) {
            rest.fill = (enum fill)fill;
            check(t, kind, (struct shape){37, 3, 64, 64}, rest);
        }
        rest.fill = FILL_NORMAL;
        check(t, kind, (struct shape){5, 3, 96, 32}, rest);
        check(t, kind, (struct shape){5, 1, 6, 4}, rest);
        rest.furthest = 0;
        check(t, kind, (struct shape){37, 3, 64, 64}, rest);
    }
}
