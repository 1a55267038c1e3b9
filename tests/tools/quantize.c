/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tools/quantize.h"

#include "compute/ref/ref.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N = 256 * 16 };

/* The root of the mean squared error, relative to the values' own, on normally distributed values. Each bound is about twice
 * what rounding to that many bits costs. */
static const struct {
    enum type type;
    double bound;
} types[] = {
    {TYPE_F32, 0},     {TYPE_F16, 4e-4},    {TYPE_BF16, 3e-3},   {TYPE_Q8_0, 0.01},
    {TYPE_Q5_0, 0.06}, {TYPE_Q5_1, 0.06},   {TYPE_Q4_0, 0.12},   {TYPE_Q4_1, 0.12},
    {TYPE_Q2_K, 0.4},  {TYPE_Q3_K, 0.25},   {TYPE_Q4_K, 0.12},   {TYPE_Q5_K, 0.06},
    {TYPE_Q6_K, 0.03}, {TYPE_IQ4_NL, 0.12}, {TYPE_IQ4_XS, 0.12}, {TYPE_MXFP4, 0.2},
};

static double normal(void)
{
    double sum = 0;
    for (int i = 0; i < 12; i++)
        sum += rand() / (double)RAND_MAX;
    return sum - 6;
}

static void through(enum type type, const float *in, float *out)
{
    size_t bytes = compute_row_bytes(type, N);
    uint8_t *blocks = malloc(bytes + 16); /* a canary behind them */
    memset(blocks, 0xa5, bytes + 16);
    quantize(type, in, blocks, N);
    for (size_t i = bytes; i < bytes + 16; i++)
        assert_int_equal(blocks[i], 0xa5);
    ref_dequantize(type, blocks, out, N);
    free(blocks);
}

static double error(const float *a, const float *b)
{
    double e = 0, s = 0;
    for (int i = 0; i < N; i++) {
        e += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        s += (double)a[i] * a[i];
    }
    return s > 0 ? sqrt(e / s) : sqrt(e / N);
}

static void normal_values(void **state)
{
    (void)state;
    float in[N], out[N];
    for (int scale = 0; scale < 3; scale++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            srand(7);
            for (int i = 0; i < N; i++)
                in[i] = (float)(normal() * pow(50, -scale));
            through(types[t].type, in, out);
            double e = error(in, out);
            if (!(e <= types[t].bound))
                fail_msg("%s: %g", compute_type(types[t].type)->name, e);
        }
}

/* Values that blocks can hold exactly: all zero, all alike, one alone; none may become NaN or wild. */
static void extremes(void **state)
{
    (void)state;
    float in[N], out[N];
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        memset(in, 0, sizeof in);
        through(types[t].type, in, out);
        assert_true(error(in, out) == 0);
        for (int sign = -1; sign <= 1; sign += 2) {
            for (int i = 0; i < N; i++)
                in[i] = (float)(0.75 * sign);
            through(types[t].type, in, out);
            assert_true(error(in, out) <= (types[t].type == TYPE_MXFP4 ? 0.01 : 0.04));
            for (int i = 0; i < N; i++)
                in[i] = i % 256 == 77 ? (float)(3 * sign) : 0;
            through(types[t].type, in, out);
            assert_true(error(in, out) <= 0.05);
        }
        for (int i = 0; i < N; i++)
            in[i] = (float)(i % 2 ? 1e-30 : -1e-30);
        through(types[t].type, in, out);
        for (int i = 0; i < N; i++)
            assert_true(isfinite(out[i]) && fabsf(out[i]) <= 1e-20f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normal_values),
        cmocka_unit_test(extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
