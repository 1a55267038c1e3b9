/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "draw/heat.h"

#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { CELL_W = 44, CELL_H = 26, LEFT = 84, TOP = 40, BOTTOM = 52, GAP = 28, HEAD = 44 };

static void put_text(struct base_buf *out, double x, double y, const char *anchor, int size, const char *text)
{
    base_buf_printf(out, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"%s\" font-size=\"%d\">", x, y, anchor, size);
    for (; *text; text++) {
        const char *word = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : NULL;
        if (word)
            base_buf_puts(out, word);
        else if ((unsigned char)*text >= 0x20)
            base_buf_append(out, text, 1);
    }
    base_buf_puts(out, "</text>\n");
}

static int mix(int a, int b, double share)
{
    return (int)lround(a + (b - a) * share);
}

/* Red, yellow, green. */
static uint32_t colour_of(double value)
{
    static const int red[3] = {0xe0, 0x5a, 0x47}, yellow[3] = {0xfb, 0xe3, 0x8e}, green[3] = {0x4f, 0xae, 0x68};
    const int *from = value < 0.5 ? red : yellow, *to = value < 0.5 ? yellow : green;
    double share = value < 0.5 ? 2 * value : 2 * value - 1;
    return (uint32_t)mix(from[0], to[0], share) << 16 | (uint32_t)mix(from[1], to[1], share) << 8 |
           (uint32_t)mix(from[2], to[2], share);
}

static double width_of(const struct draw_heat *map)
{
    return LEFT + CELL_W * (double)map->n_x + GAP;
}

static double height_of(const struct draw_heat *map)
{
    return TOP + CELL_H * (double)map->n_y + BOTTOM;
}

static void put_map(struct base_buf *out, const struct draw_heat *map, double left, double top)
{
    double x0 = left + LEFT, y0 = top + TOP, bottom = y0 + CELL_H * (double)map->n_y;
    put_text(out, x0, y0 - 12, "start", 13, map->title);
    put_text(out, left + 8, y0 - 12, "start", 10, map->y_title);
    for (size_t y = 0; y < map->n_y; y++) {
        put_text(out, x0 - 6, y0 + CELL_H * ((double)y + 0.65), "end", 11, map->y[y]);
        for (size_t x = 0; x < map->n_x; x++) {
            double value = map->values[y * map->n_x + x];
            char text[16] = "";
            if (!isnan(value))
                snprintf(text, sizeof text, "%.0f", 100 * value);
            base_buf_printf(out,
                            "<rect x=\"%.0f\" y=\"%.0f\" width=\"%d\" height=\"%d\" fill=\"#%06x\" stroke=\"#fff\"/>\n",
                            x0 + CELL_W * (double)x, y0 + CELL_H * (double)y, (int)CELL_W, (int)CELL_H,
                            isnan(value) ? 0xeeeeee : (unsigned)colour_of(fmin(fmax(value, 0), 1)));
            put_text(out, x0 + CELL_W * ((double)x + 0.5), y0 + CELL_H * ((double)y + 0.65), "middle", 11, text);
        }
    }
    for (size_t x = 0; x < map->n_x; x++)
        put_text(out, x0 + CELL_W * ((double)x + 0.5), bottom + 16, "middle", 11, map->x[x]);
    put_text(out, x0 + CELL_W * (double)map->n_x / 2, bottom + 34, "middle", 10, map->x_title);
}

int draw_heat_svg(const char *path, const char *title, const struct draw_heat *maps, size_t n)
{
    struct base_buf out = {0}, body = {0};
    double width = 0, y = HEAD;
    for (size_t i = 0; i < n; i += 2) {
        const struct draw_heat *right = i + 1 < n ? &maps[i + 1] : NULL;
        double wide = width_of(&maps[i]) + (right ? width_of(right) : 0), high = height_of(&maps[i]);
        put_map(&body, &maps[i], 0, y);
        if (right) {
            put_map(&body, right, width_of(&maps[i]), y);
            high = fmax(high, height_of(right));
        }
        y += high;
        width = fmax(width, wide);
    }
    base_buf_printf(
        &out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
        "font-family=\"sans-serif\" fill=\"#222\">\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
        width, y, width, y);
    put_text(&out, 12, 26, "start", 15, title);
    base_buf_append(&out, body.data ? body.data : "", body.len);
    base_buf_puts(&out, "</svg>\n");
    errno = 0;
    FILE *file = fopen(path, "wb");
    bool good = file && fwrite(out.data, 1, out.len, file) == out.len;
    if (file && fclose(file) != 0)
        good = false;
    base_buf_finish(&body);
    base_buf_finish(&out);
    return good ? PR_OK : base_fail(PR_ERR_IO, "%s: can't be written: %s", path, strerror(errno));
}
