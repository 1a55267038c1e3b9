/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What must survive when a quarter is kept, on made-up features in which it is known what is what: each thing in the picture has a
 * direction of its own, and every frame adds noise.
 */
#include "memory/compress.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { H = 8, W = 8, D = 96, FRAMES = 64, CELLS = H * W, THINGS = H * (W + FRAMES) + 16 };
static const int64_t SECOND = 1000000;

static float things[THINGS][D], frames[FRAMES][CELLS][D];
static unsigned seed = 7;

/* Roughly normal. */
static float noise(void)
{
    float sum = 0;
    for (int i = 0; i < 6; i++) {
        seed = seed * 1103515245 + 12345;
        sum += (float)((seed >> 8) & 0xffff) / 65536 - 0.5f;
    }
    return sum * 1.414f;
}

static int make_things(void **state)
{
    (void)state;
    for (int i = 0; i < THINGS; i++)
        for (int j = 0; j < D; j++)
            things[i][j] = noise();
    return 0;
}

static void show(int frame, int cell, const float *thing)
{
    for (int j = 0; j < D; j++)
        frames[frame][cell][j] = thing[j] + 0.1f * noise();
}

/* The same picture in all frames: cell c shows thing c. */
static void make_still(void)
{
    for (int f = 0; f < FRAMES; f++)
        for (int c = 0; c < CELLS; c++)
            show(f, c, things[c]);
}

static float cosine(const float *a, const float *b)
{
    double ab = 0, aa = 0, bb = 0;
    for (int i = 0; i < D; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return (float)(ab / sqrt(aa * bb));
}

static struct compressed compress(void)
{
    struct compressed out;
    struct compress_options options = memory_compress_default();
    options.same = 0.3f; /* the noise: two views of one thing lie about 0.14 apart */
    struct compressor *c = memory_compressor_create(D, H, W, &options);
    for (int f = 0; f < FRAMES; f++)
        memory_compressor_frame(c, frames[f][0], f * SECOND, (f + 1) * SECOND);
    assert_int_equal(memory_compressor_frames(c), FRAMES);
    memory_compressor_close(c, &out);
    assert_int_equal(memory_compressor_frames(c), 0);
    memory_compressor_destroy(c);
    assert_true(out.n > 0 && out.n <= FRAMES * CELLS / 4);
    assert_int_equal(out.n_raw, FRAMES * CELLS);
    assert_true(out.t0 == 0 && out.t1 == FRAMES * SECOND);
    for (uint32_t i = 0; i < out.n; i++) {
        const struct evidence_token *t = &out.tokens[i];
        assert_true(t->y1 == t->y0 + 1 && t->x1 == t->x0 + 1 && t->y1 <= H && t->x1 <= W);
        assert_true(t->t0 >= 0 && t->t0 < t->t1 && t->t1 <= out.t1 && t->n >= 1);
        assert_true(t->t1 - t->t0 <= 32 * SECOND || (t->dy == 0 && t->dx == 0));
        assert_true(t->y0 + t->dy >= 0 && t->y0 + t->dy < H && t->x0 + t->dx >= 0 && t->x0 + t->dx < W);
        if (i > 0)
            assert_true(compute_f16_to_f32(t->radius) <= compute_f16_to_f32(out.tokens[i - 1].radius));
    }
    return out;
}

/* The kept token that is most like a thing, with its cosine. */
static uint32_t most_like(const struct compressed *out, const float *thing, float *cos)
{
    uint32_t best = 0;
    *cos = -1;
    for (uint32_t i = 0; i < out->n; i++) {
        float like = cosine(out->rows + (size_t)i * D, thing);
        if (like > *cos) {
            *cos = like;
            best = i;
        }
    }
    return best;
}

/* A still picture costs about as much as one frame, and nothing of it is lost. */
static void test_still(void **state)
{
    (void)state;
    make_still();
    struct compressed out = compress();
    assert_true(out.n >= CELLS && out.n < 2 * CELLS);
    for (int c = 0; c < CELLS; c++) {
        float cos;
        uint32_t i = most_like(&out, things[c], &cos);
        assert_true(cos > 0.97f);
        assert_true(out.tokens[i].t0 == 0 && out.tokens[i].t1 == FRAMES * SECOND && out.tokens[i].n == FRAMES);
    }
    memory_compressed_finish(&out);
}

/* A needle in a still picture: one cell, in one frame. It is found where and when it was. */
static void test_static_needle(void **state)
{
    (void)state;
    make_still();
    show(37, 29, things[100]);
    struct compressed out = compress();
    float cos;
    uint32_t i = most_like(&out, things[100], &cos);
    assert_true(cos > 0.97f);
    assert_true(out.tokens[i].t0 == 37 * SECOND && out.tokens[i].t1 == 38 * SECOND);
    assert_true(out.tokens[i].y0 == 29 / W && out.tokens[i].x0 == 29 % W);
    memory_compressed_finish(&out);
}

/* Small text: one cell shows five things one after the other, for a second or two each. */
static void test_small_text(void **state)
{
    (void)state;
    make_still();
    for (int word = 0; word < 5; word++)
        for (int f = 0; f <= word % 2; f++)
            show(10 * word + 3 + f, 50, things[110 + word]);
    struct compressed out = compress();
    for (int word = 0; word < 5; word++) {
        float cos;
        uint32_t i = most_like(&out, things[110 + word], &cos);
        assert_true(cos > 0.97f);
        assert_true(out.tokens[i].t0 / SECOND >= 10 * word + 3 &&
                    out.tokens[i].t0 / SECOND <= 10 * word + 3 + word % 2);
    }
    memory_compressed_finish(&out);
}

/* Slow change: from one picture to quite another, 2.5 degrees a frame, less than noise between neighbours. What each moment looked
 * like is still there within the anchor's bound, at a time not far away; comparing with the previous frame would have kept the
 * first picture only. */
static void test_drift(void **state)
{
    (void)state;
    for (int f = 0; f < FRAMES; f++) {
        float angle = 2.5f * 3.14159265f / 180 * (float)f, turned[D];
        for (int c = 0; c < CELLS; c++) {
            for (int j = 0; j < D; j++)
                turned[j] = cosf(angle) * things[c][j] + sinf(angle) * things[CELLS + c][j];
            show(f, c, turned);
        }
    }
    struct compressed out = compress();
    for (int f = 0; f < FRAMES; f++) {
        for (int c = 0; c < CELLS; c++) {
            float cos;
            uint32_t i = most_like(&out, frames[f][c], &cos);
            assert_true(cos > 0.70f);
            assert_true(out.tokens[i].t0 - 20 * SECOND <= f * SECOND && f * SECOND <= out.tokens[i].t1 + 20 * SECOND);
        }
    }
    memory_compressed_finish(&out);
}

/* A camera pans by a cell a frame over a panorama of 8 x 71 things: all are there, and boxes move with them. */
static void test_camera_pan(void **state)
{
    (void)state;
    for (int f = 0; f < FRAMES; f++)
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++)
                show(f, y * W + x, things[y * (W + FRAMES) + f + x]);
    struct compressed out = compress();
    int missing = 0, moved = 0;
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W + FRAMES - 1; x++) {
            float cos;
            uint32_t i = most_like(&out, things[y * (W + FRAMES) + x], &cos);
            missing += cos < 0.95f;
            const struct evidence_token *t = &out.tokens[i];
            assert_true(cos < 0.95f || (t->y0 == y && t->x0 + t->t0 / SECOND == x)); /* where it was */
            if (cos >= 0.95f && t->n > 1) {
                assert_true(t->dy == 0 && t->dx == -(t->t1 - t->t0) / SECOND + 1);
                moved++;
            }
        }
    }
    assert_int_equal(missing, 0);
    assert_true(moved > 50);
    memory_compressed_finish(&out);
}

/* One frame of something else: it leaves its tokens, and the picture around it is not cut in two. */
static void test_flashing_frame(void **state)
{
    (void)state;
    make_still();
    for (int c = 0; c < CELLS; c++)
        show(20, c, things[200 + c]);
    struct compressed out = compress();
    int seen = 0, across = 0;
    for (int c = 0; c < CELLS; c++) {
        float cos;
        uint32_t i = most_like(&out, things[200 + c], &cos);
        seen += cos > 0.97f && out.tokens[i].t0 == 20 * SECOND;
        most_like(&out, things[c], &cos);
        assert_true(cos > 0.97f);
    }
    for (uint32_t i = 0; i < out.n; i++)
        across += out.tokens[i].t0 < 20 * SECOND && out.tokens[i].t1 > 21 * SECOND;
    assert_int_equal(seen, CELLS);
    assert_true(across > CELLS / 2);
    memory_compressed_finish(&out);
}

/* What jumps across the picture isn't followed: boxes stay tight. */
static void test_jump(void **state)
{
    (void)state;
    make_still();
    for (int f = 0; f < 20; f++)
        show(f, f < 10 ? 0 : CELLS - 1, things[100]);
    struct compressed out = compress();
    float cos;
    const struct evidence_token *token = &out.tokens[most_like(&out, things[100], &cos)];
    assert_true(cos > 0.97f && token->dy == 0 && token->dx == 0);
    assert_true(token->t1 <= 10 * SECOND || token->t0 >= 10 * SECOND);
    memory_compressed_finish(&out);
}

/* Merged values are as long as their members are on average, though means of different directions are shorter. */
static void test_lengths(void **state)
{
    (void)state;
    make_still();
    struct compressed out = compress();
    for (uint32_t i = 0; i < out.n; i++) {
        float cos;
        double length = 0, raw = 0;
        most_like(&out, out.rows + (size_t)i * D, &cos);
        int cell = out.tokens[i].y0 * W + out.tokens[i].x0;
        for (int j = 0; j < D; j++) {
            length += (double)out.rows[(size_t)i * D + (size_t)j] * out.rows[(size_t)i * D + (size_t)j];
            raw += (double)frames[0][cell][j] * frames[0][cell][j];
        }
        assert_true(fabs(sqrt(length / raw) - 1) < 0.05);
    }
    for (int j = 0; j < D; j++) { /* the mean is that of all raw tokens */
        double sum = 0;
        for (int f = 0; f < FRAMES; f++)
            for (int c = 0; c < CELLS; c++)
                sum += frames[f][c][j];
        assert_true(fabs(sum / (FRAMES * CELLS) - out.mean[j]) < 1e-5);
    }
    memory_compressed_finish(&out);
}

/* What stays on the screen for hours: the spans are long, nothing else. */
static void test_long(void **state)
{
    (void)state;
    make_still();
    struct compressed out;
    struct compress_options options = memory_compress_default();
    struct compressor *c = memory_compressor_create(D, H, W, &options);
    memory_compressor_close(c, &out);
    assert_int_equal(out.n, 0);
    memory_compressor_frame(c, frames[0][0], 5 * SECOND, 7200 * SECOND + 123);
    memory_compressor_close(c, &out);
    assert_true(out.n >= 16 && out.t0 == 5 * SECOND && out.t1 == 7200 * SECOND + 123);
    for (uint32_t i = 0; i < out.n; i++)
        assert_true(out.tokens[i].t1 == 7200 * SECOND + 123 && out.tokens[i].n == 1);
    memory_compressed_finish(&out);
    memory_compressor_destroy(c);
}

/* A picture that stays pays for all that it shows: a quarter of four seconds is one whole frame. */
static void expect_kept(int64_t step, int64_t seconds, uint32_t expected)
{
    struct compressed out;
    struct compress_options options = memory_compress_default();
    options.step = step;
    options.least = 1;
    struct compressor *c = memory_compressor_create(D, H, W, &options);
    memory_compressor_frame(c, frames[0][0], 0, seconds * SECOND);
    memory_compressor_close(c, &out);
    assert_int_equal(out.n, expected);
    memory_compressed_finish(&out);
    /* The next segment begins at nothing. */
    memory_compressor_frame(c, frames[0][0], seconds * SECOND, (seconds + 1) * SECOND);
    memory_compressor_close(c, &out);
    assert_int_equal(out.n, CELLS / 4);
    memory_compressed_finish(&out);
    memory_compressor_destroy(c);
}

static void test_what_stays(void **state)
{
    (void)state;
    make_still();
    expect_kept(0, 60, CELLS / 4);
    expect_kept(SECOND, 1, CELLS / 4);
    expect_kept(SECOND, 2, CELLS / 2);
    expect_kept(SECOND, 60, CELLS);
    expect_kept(2 * SECOND, 2, CELLS / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_still),      cmocka_unit_test(test_static_needle), cmocka_unit_test(test_small_text),
        cmocka_unit_test(test_drift),      cmocka_unit_test(test_camera_pan),    cmocka_unit_test(test_flashing_frame),
        cmocka_unit_test(test_jump),       cmocka_unit_test(test_lengths),       cmocka_unit_test(test_long),
        cmocka_unit_test(test_what_stays),
    };
    return cmocka_run_group_tests(tests, make_things, NULL);
}
