/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Shapes and things of the small world, each as a few polygons and ellipses in a box of 1 x 1. tools/world/picture.py has the same
 * figures: what the embedded model has learnt to name must look the same here.
 */
#include "draw/canvas_impl.h"

#include <math.h>
#include <string.h>

const char *const draw_things[] = {"circle", "square", "triangle", "star",     "heart", "cross", "diamond",
                                   "ring",   "moon",   "arrow",    "house",    "tree",  "car",   "boat",
                                   "fish",   "cup",    "flag",     "umbrella", NULL};

/* The box that is drawn into. */
struct box {
    struct draw_canvas *canvas;
    double x, y, w, h;
};

static void polygon(const struct box *b, uint32_t fill, double (*points)[2], size_t n)
{
    draw_set_colour(b->canvas, fill);
    for (size_t i = 0; i < n; i++)
        cairo_line_to(b->canvas->cr, b->x + b->w * points[i][0], b->y + b->h * points[i][1]);
    cairo_close_path(b->canvas->cr);
    cairo_fill(b->canvas->cr);
}

static void rectangle(const struct box *b, uint32_t fill, double x0, double y0, double x1, double y1)
{
    draw_rectangle(b->canvas, b->x + b->w * x0, b->y + b->h * y0, b->w * (x1 - x0), b->h * (y1 - y0), fill);
}

/* A part of an ellipse in a box, angles in turns clockwise from the right; line 0: filled. */
static void ellipse(const struct box *b, uint32_t colour, double x0, double y0, double x1, double y1, double from,
                    double to, double line)
{
    cairo_t *cr = b->canvas->cr;
    double half = line / 2;
    draw_set_colour(b->canvas, colour);
    cairo_save(cr);
    cairo_translate(cr, b->x + b->w * (x0 + x1) / 2, b->y + b->h * (y0 + y1) / 2);
    cairo_scale(cr, b->w * (x1 - x0) / 2 - half, b->h * (y1 - y0) / 2 - half);
    cairo_arc(cr, 0, 0, 1, 2 * M_PI * from, 2 * M_PI * to);
    cairo_restore(cr);
    if (line > 0) {
        cairo_set_line_width(cr, line);
        cairo_stroke(cr);
    } else {
        cairo_fill(cr);
    }
}

static void line(const struct box *b, uint32_t colour, double x0, double y0, double x1, double y1, double width)
{
    draw_set_colour(b->canvas, colour);
    cairo_set_line_width(b->canvas->cr, width);
    cairo_move_to(b->canvas->cr, b->x + b->w * x0, b->y + b->h * y0);
    cairo_line_to(b->canvas->cr, b->x + b->w * x1, b->y + b->h * y1);
    cairo_stroke(b->canvas->cr);
}

static uint32_t darker(uint32_t c)
{
    return (c >> 16 & 255) * 5 / 9 << 16 | (c >> 8 & 255) * 5 / 9 << 8 | (c & 255) * 5 / 9;
}

static uint32_t lighter_part(uint32_t c)
{
    return c + (255 - c) * 2 / 3;
}

static uint32_t lighter(uint32_t c)
{
    return lighter_part(c >> 16 & 255) << 16 | lighter_part(c >> 8 & 255) << 8 | lighter_part(c & 255);
}

/* ---- figures of one colour ---------------------------------------------------------------------------------------- */

static void star(const struct box *b, uint32_t fill)
{
    double points[10][2];
    for (int k = 0; k < 10; k++) {
        double r = k % 2 ? 0.42 : 1, angle = M_PI * k / 5;
        points[k][0] = 0.5 + 0.5 * r * sin(angle);
        points[k][1] = 0.5 - 0.5 * r * cos(angle);
    }
    polygon(b, fill, points, 10);
}

static void heart(const struct box *b, uint32_t fill)
{
    double points[40][2];
    for (int k = 0; k < 40; k++) {
        double t = 2 * M_PI * k / 40;
        points[k][0] = 0.5 + 0.03 * 16 * pow(sin(t), 3);
        points[k][1] = 0.45 - 0.031 * (13 * cos(t) - 5 * cos(2 * t) - 2 * cos(3 * t) - cos(4 * t));
    }
    polygon(b, fill, points, 40);
}

static void moon(const struct box *b, uint32_t fill)
{
    double points[42][2];
    for (int k = 0; k < 21; k++) {
        double t = M_PI * (0.35 + 1.3 * k / 20), u = M_PI * (1.62 - 1.24 * k / 20);
        points[k][0] = 0.62 + 0.5 * cos(t);
        points[k][1] = 0.5 + 0.5 * sin(t);
        points[21 + k][0] = 0.80 + 0.42 * cos(u);
        points[21 + k][1] = 0.5 + 0.42 * sin(u);
    }
    polygon(b, fill, points, 42);
}

#define POLYGON(box, fill, ...)                                                                                        \
    polygon(box, fill, (double[][2]){__VA_ARGS__}, sizeof((double[][2]){__VA_ARGS__}) / sizeof(double[2]))

static bool draw_shape(const struct box *b, const char *name, uint32_t fill)
{
    if (!strcmp(name, "circle"))
        ellipse(b, fill, 0, 0, 1, 1, 0, 1, 0);
    else if (!strcmp(name, "square"))
        rectangle(b, fill, 0, 0, 1, 1);
    else if (!strcmp(name, "triangle"))
        POLYGON(b, fill, {0.5, 0}, {1, 1}, {0, 1});
    else if (!strcmp(name, "star"))
        star(b, fill);
    else if (!strcmp(name, "heart"))
        heart(b, fill);
    else if (!strcmp(name, "cross"))
        POLYGON(b, fill, {0.34, 0}, {0.66, 0}, {0.66, 0.34}, {1, 0.34}, {1, 0.66}, {0.66, 0.66}, {0.66, 1}, {0.34, 1},
                {0.34, 0.66}, {0, 0.66}, {0, 0.34}, {0.34, 0.34});
    else if (!strcmp(name, "diamond"))
        POLYGON(b, fill, {0.5, 0}, {1, 0.5}, {0.5, 1}, {0, 0.5});
    else if (!strcmp(name, "ring"))
        ellipse(b, fill, 0, 0, 1, 1, 0, 1, 0.2 * (b->w < b->h ? b->w : b->h));
    else if (!strcmp(name, "moon"))
        moon(b, fill);
    else if (!strcmp(name, "arrow"))
        POLYGON(b, fill, {0, 0.34}, {0.55, 0.34}, {0.55, 0.05}, {1, 0.5}, {0.55, 0.95}, {0.55, 0.66}, {0, 0.66});
    else
        return false;
    return true;
}

/* ---- things ------------------------------------------------------------------------------------------------------- */

bool draw_thing(struct draw_canvas *canvas, const char *name, double x, double y, double w, double h, uint32_t fill)
{
    struct box box = {canvas, x, y, w, h}, *b = &box;
    uint32_t dark = darker(fill), light = lighter(fill);
    if (draw_shape(b, name, fill))
        return true;
    if (!strcmp(name, "house")) {
        POLYGON(b, dark, {0, 0.45}, {0.5, 0}, {1, 0.45});
        rectangle(b, fill, 0.12, 0.45, 0.88, 1);
        rectangle(b, dark, 0.42, 0.68, 0.6, 1);
    } else if (!strcmp(name, "tree")) {
        rectangle(b, 0x643c1e, 0.42, 0.6, 0.58, 1);
        ellipse(b, fill, 0.1, 0, 0.9, 0.72, 0, 1, 0);
    } else if (!strcmp(name, "car")) {
        POLYGON(b, light, {0.2, 0.45}, {0.32, 0.15}, {0.7, 0.15}, {0.82, 0.45});
        rectangle(b, fill, 0, 0.42, 1, 0.78);
        ellipse(b, 0x1e1e1e, 0.12, 0.62, 0.36, 1, 0, 1, 0);
        ellipse(b, 0x1e1e1e, 0.64, 0.62, 0.88, 1, 0, 1, 0);
    } else if (!strcmp(name, "boat")) {
        POLYGON(b, fill, {0, 0.68}, {1, 0.68}, {0.8, 1}, {0.2, 1});
        POLYGON(b, light, {0.48, 0}, {0.48, 0.62}, {0.9, 0.62});
        line(b, dark, 0.46, 0, 0.46, 0.68, fmax(1, w * 0.04));
    } else if (!strcmp(name, "fish")) {
        POLYGON(b, dark, {0.25, 0.5}, {0, 0.12}, {0, 0.88});
        ellipse(b, fill, 0.15, 0.15, 1, 0.85, 0, 1, 0);
        ellipse(b, 0x0a0a0a, 0.78, 0.36, 0.86, 0.48, 0, 1, 0);
    } else if (!strcmp(name, "cup")) {
        ellipse(b, fill, 0.55, 0.3, 1, 0.75, 0, 1, fmax(2, w * 0.08));
        POLYGON(b, fill, {0.05, 0.12}, {0.75, 0.12}, {0.66, 1}, {0.14, 1});
        ellipse(b, dark, 0.05, 0.04, 0.75, 0.2, 0, 1, 0);
    } else if (!strcmp(name, "flag")) {
        rectangle(b, 0x5a5a5a, 0.06, 0, 0.14, 1);
        POLYGON(b, fill, {0.14, 0.03}, {1, 0.12}, {0.8, 0.32}, {1, 0.52}, {0.14, 0.58});
    } else if (!strcmp(name, "umbrella")) {
        ellipse(b, fill, 0, 0.02, 1, 1.08, 0.5, 1, 0);
        line(b, 0x464646, 0.5, 0.5, 0.5, 0.95, fmax(2, w * 0.05));
        ellipse(b, 0x464646, 0.5, 0.85, 0.66, 1, 0, 0.5, fmax(2, w * 0.05));
    } else {
        return false;
    }
    return true;
}
