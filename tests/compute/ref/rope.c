/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The definition of rope against complex numbers: a pair (a, b) is a + bi, and position p turns it by e^(i p f).
 */
#include "compute/ref/ref.h"

#include <complex.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 7, HEADS = 2, WIDTH = 128 };

struct fixture {
    float x[ROWS][HEADS][WIDTH], y[ROWS][HEADS][WIDTH], divisors[WIDTH / 2];
    int32_t pos[ROWS][4];
};

static void fill(struct fixture *f)
{
    uint32_t seed = 9;
    for (int i = 0; i < ROWS * HEADS * WIDTH; i++) {
        seed = seed * 1664525 + 1013904223;
        (&f->x[0][0][0])[i] = (float)(int32_t)seed * 0x1p-31f;
    }
    for (int r = 0; r < ROWS; r++)
        for (int a = 0; a < 4; a++)
            f->pos[r][a] = a == 3 ? 99999 : 37 * r * (a + 1) - 100;
    for (int i = 0; i < WIDTH / 2; i++)
        f->divisors[i] = 1 + (float)i / 8;
}

static void rotate(struct fixture *f, const struct rope_params *params, bool divisors)
{
    struct buffer xb = {.host = f->x}, yb = {.host = f->y}, pb = {.host = f->pos}, db = {.host = f->divisors};
    struct tensor x = {.rows = ROWS, .cols = (int64_t)HEADS * params->d_head, .buffer = &xb}, y = x;
    struct tensor pos = {.type = TYPE_I32, .rows = ROWS, .cols = 4, .buffer = &pb};
    struct tensor d = {.rows = 1, .cols = params->n_rot / 2, .buffer = &db};
    y.buffer = &yb;
    struct op op = {.kind = OP_rope, .dst = &y, .src = {&x, &pos, divisors ? &d : NULL}, .rope = *params};
    ref_rope(&op, NULL);
}

/* Compares with the rotation by angle(row, pair), pairs being neighbours or half of n_rot apart. */
static void expect(struct fixture *f, const struct rope_params *p, double (*angle)(const struct fixture *, int, int))
{
    const float *x = &f->x[0][0][0], *y = &f->y[0][0][0];
    for (int r = 0; r < ROWS; r++) {
        for (int h = 0; h < HEADS; h++) {
            const float *xh = x + (r * HEADS + h) * p->d_head, *yh = y + (r * HEADS + h) * p->d_head;
            for (int i = 0; i < p->n_rot / 2; i++) {
                int a = p->kind == ROPE_NORM ? 2 * i : i, b = p->kind == ROPE_NORM ? 2 * i + 1 : i + p->n_rot / 2;
                double complex z = (xh[a] + xh[b] * I) * cexp(I * angle(f, r, i)) * (double)p->yarn_attn;
                assert_true(fabs(creal(z) - yh[a]) < 1e-6 && fabs(cimag(z) - yh[b]) < 1e-6);
            }
            for (int c = p->n_rot; c < p->d_head; c++)
                assert_true(yh[c] == xh[c]);
        }
    }
}

static double plain_angle(const struct fixture *f, int r, int i)
{
    return f->pos[r][0] / pow(10000, i / 32.0);
}

static double divided_angle(const struct fixture *f, int r, int i)
{
    return f->pos[r][0] / pow(10000, i / 32.0) / f->divisors[i];
}

static double slow_angle(const struct fixture *f, int r, int i)
{
    return f->pos[r][0] * 0.25 / pow(10000, i / 32.0);
}

static void neighbours_and_halves(void **state)
{
    struct fixture *f = *state;
    struct rope_params p = {.d_head = 64, .n_rot = 64, .base = 10000, .freq_scale = 1, .yarn_attn = 1};
    for (int kind = ROPE_NORM; kind <= ROPE_NEOX; kind++) {
        p.kind = (enum rope_kind)kind;
        p.d_head = 64;
        rotate(f, &p, false);
        expect(f, &p, plain_angle);
        rotate(f, &p, true);
        expect(f, &p, divided_angle);
        p.freq_scale = 0.25f;
        rotate(f, &p, false);
        expect(f, &p, slow_angle);
        p.freq_scale = 1;
        p.d_head = 96; /* the last third isn't turned */
        p.yarn_attn = 1.25f;
        rotate(f, &p, false);
        expect(f, &p, plain_angle);
        p.yarn_attn = 1;
    }
}

/* Qwen2-VL: of 64 pairs the first 16 take t, the next 24 h, the last 24 w. */
static double mrope_angle(const struct fixture *f, int r, int i)
{
    return f->pos[r][i < 16 ? 0 : i < 40 ? 1 : 2] / pow(1e6, i / 64.0);
}

/* Qwen3-VL: t h w t h w ..., up to 20 pairs each of h and w; 61 and 62 are left to t. */
static double imrope_angle(const struct fixture *f, int r, int i)
{
    static const int axes[64] = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0,
                                 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1,
                                 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0, 0};
    return f->pos[r][axes[i]] / pow(5e6, i / 64.0);
}

/* The encoders of Qwen: y for the first half of the pairs, x for the second, frequencies begin again. */
static double vision_angle(const struct fixture *f, int r, int i)
{
    return f->pos[r][i < 20 ? 0 : 1] / pow(10000, i % 20 / 20.0);
}

static void positions_of_several_axes(void **state)
{
    struct fixture *f = *state;
    struct rope_params p = {.kind = ROPE_MROPE,
                            .d_head = 128,
                            .n_rot = 128,
                            .base = 1e6f,
                            .freq_scale = 1,
                            .yarn_attn = 1,
                            .sections = {16, 24, 24, 0}};
    rotate(f, &p, false);
    expect(f, &p, mrope_angle);
    p.kind = ROPE_IMROPE;
    p.base = 5e6f;
    memcpy(p.sections, (int32_t[4]){24, 20, 20, 0}, sizeof p.sections);
    rotate(f, &p, false);
    expect(f, &p, imrope_angle);
    p.kind = ROPE_VISION;
    p.base = 10000;
    p.d_head = p.n_rot = 80;
    rotate(f, &p, false);
    expect(f, &p, vision_angle);
}

/* YaRN for a factor of 4 over 4096 positions: by hand, dimension 128, base 10000. The wavelength 4096/32 lies at pair 20.95,
 * 4096/1 at pair 45.03: pairs up to 20 keep their frequency, pairs from 46 on are slowed by 4, those between mix linearly. */
static double yarn_angle(const struct fixture *f, int r, int i)
{
    double freq = pow(10000, -i / 64.0);
    double slowed = i <= 20 ? 0 : i >= 46 ? 1 : (i - 20) / 26.0;
    return f->pos[r][0] * (slowed * freq / 4 + (1 - slowed) * freq);
}

static void yarn_slows_long_waves(void **state)
{
    struct fixture *f = *state;
    struct rope_params p = {.kind = ROPE_NEOX,
                            .d_head = 128,
                            .n_rot = 128,
                            .base = 10000,
                            .freq_scale = 0.25f,
                            .yarn_ext = 1,
                            .yarn_attn = 1.1386294f,
                            .yarn_beta_fast = 32,
                            .yarn_beta_slow = 1,
                            .yarn_original = 4096};
    rotate(f, &p, false);
    expect(f, &p, yarn_angle);
}

/* Moving a key from position a to b is one more turn by b - a. */
static void turns_add_up(void **state)
{
    struct fixture *f = *state;
    struct rope_params p = {
        .kind = ROPE_NEOX, .d_head = 128, .n_rot = 128, .base = 10000, .freq_scale = 1, .yarn_attn = 1};
    static float once[ROWS][HEADS][WIDTH];
    static int32_t pos[ROWS][4];
    memcpy(pos, f->pos, sizeof pos);
    for (int r = 0; r < ROWS; r++)
        f->pos[r][0] = pos[r][0] - 30;
    rotate(f, &p, false);
    memcpy(once, f->y, sizeof once);
    memcpy(f->pos, pos, sizeof pos);
    rotate(f, &p, false);
    memcpy(f->x, f->y, sizeof f->x);
    for (int r = 0; r < ROWS; r++)
        f->pos[r][0] = -30;
    rotate(f, &p, false);
    for (int i = 0; i < ROWS * HEADS * WIDTH; i++)
        assert_true(fabsf((&once[0][0][0])[i] - (&f->y[0][0][0])[i]) < 2e-6f);
}

static int set_up(void **state)
{
    static struct fixture f;
    fill(&f);
    *state = &f;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(neighbours_and_halves, set_up),
        cmocka_unit_test_setup(positions_of_several_axes, set_up),
        cmocka_unit_test_setup(yarn_slows_long_waves, set_up),
        cmocka_unit_test_setup(turns_add_up, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
