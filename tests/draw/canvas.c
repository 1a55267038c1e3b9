/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "draw/canvas.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cairo.h>
#include <cmocka.h>

static char path[] = "/tmp/pagereel-test-XXXXXX";

static int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

static uint32_t pixel_at(cairo_surface_t *picture, int x, int y)
{
    uint32_t pixel;
    memcpy(&pixel, cairo_image_surface_get_data(picture) + y * cairo_image_surface_get_stride(picture) + 4 * x, 4);
    return pixel & 0xffffff;
}

static void test_what_is_drawn_is_written(void **state)
{
    (void)state;
    static const uint8_t rgb[2 * 2 * 3] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9};
    struct draw_canvas *canvas;
    assert_int_equal(draw_canvas_create(100, 60, 0xffffff, &canvas), PR_OK);
    draw_picture(canvas, rgb, 2, 2, 10, 10, 40, 40);
    draw_rectangle(canvas, 60, 10, 10, 10, 0x123456);
    draw_frame(canvas, 80, 10, 10, 10, 2, 0xff0000);
    draw_text(canvas, 60, 50, 10, 30, 0, "Zürich is a long word here");
    assert_int_equal(draw_write_png(canvas, path), PR_OK);
    draw_canvas_destroy(canvas);

    cairo_surface_t *png = cairo_image_surface_create_from_png(path);
    assert_int_equal(cairo_image_surface_get_width(png), 100);
    assert_int_equal(pixel_at(png, 5, 5), 0xffffff);
    assert_int_equal(pixel_at(png, 14, 14), 0xff0000);
    assert_int_equal(pixel_at(png, 45, 14), 0x00ff00);
    assert_int_equal(pixel_at(png, 14, 45), 0x0000ff);
    assert_int_equal(pixel_at(png, 65, 15), 0x123456);
    int dark = 0;
    for (int x = 60; x < 100; x++)
        for (int y = 40; y < 52; y++) {
            dark += pixel_at(png, x, y) < 0x808080;
            assert_true(x < 93 || pixel_at(png, x, y) == 0xffffff); /* the text was cut off at its width */
        }
    assert_true(dark > 10);
    cairo_surface_destroy(png);
}

/* A part of a picture as it is, and what doesn't pack well. */
static void test_pixels_are_written(void **state)
{
    (void)state;
    enum { WIDTH = 40000, HEIGHT = 3 }; /* wider than a canvas */
    uint8_t *rgb = malloc(3 * WIDTH * HEIGHT);
    uint32_t next = 1;
    assert_non_null(rgb);
    for (int i = 0; i < 3 * WIDTH * HEIGHT; i++)
        rgb[i] = (uint8_t)((next = next * 1664525 + 1013904223) >> 24);
    assert_int_equal(draw_write_rgb(rgb + 3 * (WIDTH + 7), 100, 2, 3 * (size_t)WIDTH, path), PR_OK);
    cairo_surface_t *png = cairo_image_surface_create_from_png(path);
    assert_int_equal(cairo_image_surface_get_width(png), 100);
    assert_int_equal(cairo_image_surface_get_height(png), 2);
    for (int y = 0; y < 2; y++)
        for (int x = 0; x < 100; x++) {
            const uint8_t *pixel = rgb + 3 * ((1 + y) * WIDTH + 7 + x);
            assert_int_equal(pixel_at(png, x, y), pixel[0] << 16 | pixel[1] << 8 | pixel[2]);
        }
    cairo_surface_destroy(png);
    assert_int_equal(draw_write_rgb(rgb, WIDTH, HEIGHT, 3 * (size_t)WIDTH, path), PR_OK);
    assert_int_equal(draw_write_rgb(rgb, 1, 1, 3, "/nonexistent/folder/x.png"), PR_ERR_IO);
    free(rgb);
}

static void test_refusals(void **state)
{
    (void)state;
    struct draw_canvas *canvas;
    assert_int_equal(draw_canvas_create(0, 5, 0, &canvas), PR_ERR_INVALID);
    assert_int_equal(draw_canvas_create(5, 40000, 0, &canvas), PR_ERR_INVALID);
    assert_int_equal(draw_canvas_create(5, 5, 0, &canvas), PR_OK);
    assert_int_equal(draw_write_png(canvas, "/nonexistent/folder/x.png"), PR_ERR_IO);
    assert_non_null(strstr(pr_error_message(), "/nonexistent/folder/x.png"));
    draw_canvas_destroy(canvas);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_drawn_is_written),
        cmocka_unit_test(test_pixels_are_written),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
