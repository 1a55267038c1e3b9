/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The one writer of PNG. Level 2 behind differences to the left: a fifth of the time that cairo's own writer takes (level 6, every filter tried),
 * for files that are up to a tenth larger. A frame was decoded in less time than it took to pack.
 */
#include "draw/canvas_impl.h"

#include <errno.h>
#include <png.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LEVEL = 2 };

static void append(png_structp png, png_bytep data, size_t n)
{
    base_buf_append(png_get_io_ptr(png), data, n);
}

static void flush_nothing(png_structp png)
{
    (void)png;
}

/* What libpng says about programs; it is for nobody. */
static void ignore(png_structp png, const char *words)
{
    (void)png;
    (void)words;
}

/* What is packed. */
struct pixels {
    const uint8_t *rows;
    int32_t width, height;
    size_t stride;
    bool words; /* cairo's 0x??RRGGBB; otherwise RGB, a byte each */
};

static void write_pixels(png_structp png, png_infop info, const struct pixels *pixels)
{
    png_set_user_limits(png, (png_uint_32)pixels->width, (png_uint_32)pixels->height);
    png_set_IHDR(png, info, (png_uint_32)pixels->width, (png_uint_32)pixels->height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_compression_level(png, LEVEL);
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_SUB);
    png_write_info(png, info);
    const uint16_t order = 1;
    bool little_endian = *(const uint8_t *)&order;
    if (pixels->words && little_endian)
        png_set_bgr(png);
    if (pixels->words)
        png_set_filler(png, 0, little_endian ? PNG_FILLER_AFTER : PNG_FILLER_BEFORE);
    for (int32_t y = 0; y < pixels->height; y++)
        png_write_row(png, pixels->rows + (size_t)y * pixels->stride);
    png_write_end(png, info);
}

static int pack(const struct pixels *pixels, struct base_buf *out)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, ignore);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    size_t before = out->len;
    int err = PR_OK;
    if (!info || setjmp(png_jmpbuf(png))) {
        out->len = before;
        err = base_fail(PR_ERR_NOMEM, "a picture can't be packed: no memory");
    } else {
        png_set_write_fn(png, out, append, flush_nothing);
        write_pixels(png, info, pixels);
    }
    png_destroy_write_struct(&png, &info);
    return err;
}

static int write_file(const struct pixels *pixels, const char *path)
{
    struct base_buf temporary = {0}, data = {0};
    int err = pack(pixels, &data);
    if (err < 0)
        return err;
    base_buf_printf(&temporary, "%s.%ld.part", path, (long)getpid());
    FILE *file = fopen(temporary.data, "wb");
    bool written = file && fwrite(data.data, 1, data.len, file) == data.len;
    if (file && fclose(file) != 0)
        written = false;
    if (!written || rename(temporary.data, path) < 0) {
        err = base_fail(PR_ERR_IO, "%s: can't be written: %s", path, strerror(errno));
        unlink(temporary.data);
    }
    base_buf_finish(&temporary);
    base_buf_finish(&data);
    return err;
}

static struct pixels canvas_pixels(const struct draw_canvas *canvas)
{
    cairo_surface_t *surface = canvas->surface;
    cairo_surface_flush(surface);
    return (struct pixels){cairo_image_surface_get_data(surface), cairo_image_surface_get_width(surface),
                           cairo_image_surface_get_height(surface), (size_t)cairo_image_surface_get_stride(surface),
                           true};
}

int draw_put_png(const struct draw_canvas *canvas, struct base_buf *out)
{
    struct pixels pixels = canvas_pixels(canvas);
    return pack(&pixels, out);
}

int draw_write_png(const struct draw_canvas *canvas, const char *path)
{
    struct pixels pixels = canvas_pixels(canvas);
    return write_file(&pixels, path);
}

int draw_write_rgb(const uint8_t *rgb, int32_t width, int32_t height, size_t stride, const char *path)
{
    return write_file(&(struct pixels){rgb, width, height, stride, false}, path);
}
