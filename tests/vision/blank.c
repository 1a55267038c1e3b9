/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Blank cells: only those that are flat among flat ones; anything with ink, and what lies beside it, is kept.
 */
#include "vision/blank.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CELL = 8, ROWS = 5, COLS = 6, W = CELL * COLS, H = CELL * ROWS };

static uint8_t rgb[H][W][3];
static bool blank[ROWS * COLS];
static const struct vision_crop crop = {.width = W, .height = H, .rows = ROWS, .cols = COLS};

static int count_kept(void)
{
    int kept = 0;
    vision_find_blank(&crop, rgb[0][0], blank);
    for (int i = 0; i < ROWS * COLS; i++)
        kept += !blank[i];
    return kept;
}

static void test_blank(void **state)
{
    (void)state;
    memset(rgb, 250, sizeof rgb);
    assert_int_equal(count_kept(), 0);
    rgb[2 * CELL + 3][3 * CELL + 1][1] = 100; /* a dot in cell (2, 3) keeps it and its four neighbours */
    assert_int_equal(count_kept(), 5);
    assert_true(!blank[2 * COLS + 3] && !blank[1 * COLS + 3] && !blank[3 * COLS + 3] && !blank[2 * COLS + 2] &&
                !blank[2 * COLS + 4]);
    rgb[2 * CELL + 3][3 * CELL + 1][1] = 250;
    rgb[0][0][0] = 0; /* a corner has two */
    assert_int_equal(count_kept(), 3);
}

/* Noise of a scan isn't ink; a slope across the page isn't either, as long as it is flat within a cell. */
static void test_pale(void **state)
{
    (void)state;
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++)
            for (int c = 0; c < 3; c++)
                rgb[y][x][c] = (uint8_t)(240 - 10 * (x / CELL) + (x + y) % 3);
    assert_int_equal(count_kept(), 0);
    rgb[H - 1][W - 1][2] = (uint8_t)(rgb[H - 1][W - 1][2] + 4);
    assert_int_equal(count_kept(), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_blank), cmocka_unit_test(test_pale)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
