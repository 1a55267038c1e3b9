/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ingest/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { W = 640, H = 360 };
static uint8_t picture[W * H * 3];

static void fill(int red, int green, int blue)
{
    for (int i = 0; i < W * H; i++) {
        picture[3 * i] = (uint8_t)red;
        picture[3 * i + 1] = (uint8_t)green;
        picture[3 * i + 2] = (uint8_t)blue;
    }
}

/* Strokes like those of a word of about 12 points in a slide of this size. */
static void write_word(int x, int y)
{
    for (int stroke = 0; stroke < 8; stroke++)
        for (int v = 0; v < 12; v++)
            for (int u = 0; u < 2; u++)
                memset(&picture[((y + v) * W + x + 5 * stroke + u) * 3], 0, 3);
}

static void add_noise(void)
{
    for (int i = 0; i < W * H * 3; i++) {
        int value = picture[i] + rand() % 5 - 2;
        picture[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
    }
}

static void test_static_and_changed_word(void **state)
{
    (void)state;
    struct ingest_gate *gate = calloc(1, sizeof *gate);
    fill(240, 240, 240);
    struct ingest_gate_result result = ingest_gate_look(gate, picture, W, H);
    assert_true(result.passed && result.cut);
    for (int i = 0; i < 5; i++) {
        fill(240, 240, 240);
        add_noise();
        result = ingest_gate_look(gate, picture, W, H);
        assert_false(result.passed);
        assert_false(result.cut);
    }
    write_word(300, 200);
    result = ingest_gate_look(gate, picture, W, H);
    assert_true(result.passed);
    assert_false(result.cut);
    free(gate);
}

/* A fade of one step in 255 a frame: each step is invisible, yet the fade passes again and again. */
static void test_slow_change_adds_up(void **state)
{
    (void)state;
    struct ingest_gate *gate = calloc(1, sizeof *gate);
    int passed = 0;
    for (int i = 0; i < 64; i++) {
        fill(100 + i, 100 + i, 100 + i);
        passed += ingest_gate_look(gate, picture, W, H).passed;
    }
    assert_true(passed >= 24 && passed <= 40);
    free(gate);
}

static void test_cut(void **state)
{
    (void)state;
    struct ingest_gate *gate = calloc(1, sizeof *gate);
    for (int i = 0; i < 12; i++) {
        fill(200, 40, 40);
        add_noise();
        struct ingest_gate_result result = ingest_gate_look(gate, picture, W, H);
        assert_int_equal(result.cut, i == 0);
    }
    fill(20, 40, 200);
    assert_true(ingest_gate_look(gate, picture, W, H).cut);
    free(gate);
}

static void test_odd_sizes(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 1}, {1, 360}, {640, 1}, {7, 3}, {321, 200}, {90, 2000}};
    struct ingest_gate *gate = calloc(1, sizeof *gate);
    fill(9, 9, 9);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_true(ingest_gate_look(gate, picture, sizes[i][0], sizes[i][1]).passed);
        assert_false(ingest_gate_look(gate, picture, sizes[i][0], sizes[i][1]).passed);
    }
    free(gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_static_and_changed_word),
        cmocka_unit_test(test_slow_change_adds_up),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_odd_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
