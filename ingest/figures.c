/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ingest/figures.h"

#include "base/mem.h"
#include "ingest/captions.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const float cell_points = 6; /* of the grid: half a line of text */
static const float min_side = 40;   /* points: smaller clusters are rules, bullets, icons */
static const float min_area = 3600; /* square points */
static const int min_contrast = 48; /* of 255, in any channel */
enum { JOIN = 2 };                  /* cells: clusters that are closer than this are one */

/* The most common colour: the mean of the most common of 4096. */
static void find_background(const uint8_t *rgb, int32_t width, int32_t height, int background[3])
{
    struct {
        uint32_t n, sum[3];
    } *colours = base_alloc_array(4096, sizeof *colours), *best = colours;
    size_t n = (size_t)width * (size_t)height, step = n > 100000 ? 7 : 1;
    for (size_t i = 0; i < n; i += step) {
        const uint8_t *p = rgb + 3 * i;
        size_t at = (size_t)(p[0] >> 4) << 8 | (size_t)(p[1] >> 4) << 4 | p[2] >> 4;
        colours[at].n++;
        for (int c = 0; c < 3; c++)
            colours[at].sum[c] += p[c];
        best = colours[at].n > best->n ? &colours[at] : best;
    }
    for (int c = 0; c < 3; c++)
        background[c] = best->n ? (int)(best->sum[c] / best->n) : 255;
    base_free(colours);
}

static bool is_ink(const uint8_t *p, const int background[3])
{
    bool ink = false;
    for (int c = 0; c < 3; c++)
        ink |= abs(p[c] - background[c]) > min_contrast; /* without a branch: ink is where there is no telling */
    return ink;
}

/* 1 for each pixel of ink, 0 for others. Most pixels are like those beside them: runs of one colour are looked at once. */
static uint8_t *find_ink(const uint8_t *rgb, int32_t width, int32_t height)
{
    enum { RUN = 16 };
    int background[3];
    size_t n = (size_t)width * (size_t)height;
    uint8_t *ink = base_alloc_array((size_t)width, (size_t)height);
    find_background(rgb, width, height, background);
    for (size_t i = 0; i < n; i += RUN) {
        size_t run = n - i < RUN ? n - i : RUN;
        const uint8_t *p = rgb + 3 * i;
        if (memcmp(p, p + 3, 3 * (run - 1)) == 0)
            memset(ink + i, is_ink(p, background), run);
        else
            for (size_t k = 0; k < run; k++)
                ink[i + k] = is_ink(p + 3 * k, background);
    }
    return ink;
}

double ingest_figures_ink(const uint8_t *rgb, int32_t width, int32_t height)
{
    size_t n = (size_t)width * (size_t)height, sum = 0;
    uint8_t *ink = find_ink(rgb, width, height);
    for (size_t i = 0; i < n; i++)
        sum += ink[i];
    base_free(ink);
    return n ? (double)sum / (double)n : 0;
}

/* The grid: 1 where a cell has ink of its own, then the number of its cluster + 1. */
struct grid {
    int32_t *cells;
    int32_t w, h;
};

static void set_rectangle(struct grid *grid, struct pr_box box, float sx, float sy, int32_t value)
{
    int32_t x0 = (int32_t)floorf(box.x0 * sx), x1 = (int32_t)ceilf(box.x1 * sx);
    int32_t y0 = (int32_t)floorf(box.y0 * sy), y1 = (int32_t)ceilf(box.y1 * sy);
    for (int32_t y = y0 < 0 ? 0 : y0; y < y1 && y < grid->h; y++)
        for (int32_t x = x0 < 0 ? 0 : x0; x < x1 && x < grid->w; x++)
            grid->cells[y * grid->w + x] = value;
}

/* Whether a pixel's point lies in a text line is asked for each pixel of ink: lines are drawn into a mask of pixels first. */
static uint8_t *text_mask(int32_t width, int32_t height, float sx, float sy, const struct pr_line *lines, size_t n)
{
    uint8_t *mask = base_alloc_array((size_t)width, (size_t)height);
    for (size_t i = 0; i < n; i++) {
        struct pr_box b = lines[i].box;
        int32_t x0 = (int32_t)floorf((b.x0 - 1) * sx), x1 = (int32_t)ceilf((b.x1 + 1) * sx);
        int32_t y0 = (int32_t)floorf((b.y0 - 1) * sy), y1 = (int32_t)ceilf((b.y1 + 1) * sy);
        x0 = x0 < 0 ? 0 : x0;
        x1 = x1 > width ? width : x1;
        for (int32_t y = y0 < 0 ? 0 : y0; y < y1 && y < height && x1 > x0; y++)
            memset(mask + (size_t)y * (size_t)width + x0, 1, (size_t)(x1 - x0));
    }
    return mask;
}

/* Whether more than `share` (a half at least) of a line of pixels is one run of ink: that goes over its middle. */
static bool is_long(const uint8_t *ink, int32_t length, size_t along, double share)
{
    int32_t middle = length / 2, first = middle, behind = middle;
    while (first > 0 && ink[(size_t)(first - 1) * along])
        first--;
    while (behind < length && ink[(size_t)behind * along])
        behind++;
    return ink[(size_t)middle * along] && behind - first > share * length;
}

/* The rules and frames of a page's layout, thin lines along most of it, would join all that they touch: they count as text. Returns whether
 * there are some. `mask` and `ink` are [height, width]; steps are those between neighbours along a line and across it. */
static bool mask_long_lines(uint8_t *mask, const uint8_t *ink, int32_t n_lines, int32_t length, size_t along,
                            size_t across, double share)
{
    bool any = false;
    for (int32_t k = 0, wide; k < n_lines; k += wide) {
        for (wide = 0; k + wide < n_lines && is_long(ink + (size_t)(k + wide) * across, length, along, share);)
            wide++;
        bool thin = wide > 0 && wide <= 1 + length / 300;
        any |= thin;
        for (int32_t t = k; thin && t < k + wide; t++)
            for (int32_t i = 0; i < length; i++)
                mask[(size_t)t * across + (size_t)i * along] = 1;
        wide = wide > 0 ? wide : 1;
    }
    return any;
}

static void mark_ink(struct grid *grid, const uint8_t *rgb, int32_t width, int32_t height, uint8_t *mask)
{
    uint8_t *ink = find_ink(rgb, width, height);
    if (mask_long_lines(mask, ink, width, height, (size_t)width, 1, 0.6)) /* then the others belong to a frame */
        mask_long_lines(mask, ink, height, width, 1, (size_t)width, 0.6);
    for (int32_t y = 0; y < height; y++) {
        int32_t *cells = grid->cells + (int64_t)y * grid->h / height * grid->w;
        const uint8_t *row = ink + (size_t)y * (size_t)width, *covered = mask + (size_t)y * (size_t)width;
        for (int64_t x = 0; x < width; x++) {
            const uint8_t *found = memchr(row + x, 1, (size_t)(width - x));
            if (!found)
                break;
            x = found - row;
            if (covered[x])
                continue;
            int64_t cell = x * grid->w / width;
            cells[cell] = 1;
            x = ((cell + 1) * width - 1) / grid->w; /* the cell's last pixel */
        }
    }
    base_free(ink);
}

/* Flood fill over cells at most JOIN apart. Returns the bounds in cells. */
static struct pr_box fill_cluster(struct grid *grid, int32_t start, int32_t number, int32_t *stack)
{
    struct pr_box box = {(float)(start % grid->w), (float)(start / grid->w), 0, 0};
    int32_t n = 0;
    stack[n++] = start;
    grid->cells[start] = number;
    while (n > 0) {
        int32_t cell = stack[--n], cx = cell % grid->w, cy = cell / grid->w;
        box.x0 = fminf(box.x0, (float)cx);
        box.x1 = fmaxf(box.x1, (float)(cx + 1));
        box.y0 = fminf(box.y0, (float)cy);
        box.y1 = fmaxf(box.y1, (float)(cy + 1));
        for (int32_t y = cy - JOIN; y <= cy + JOIN; y++)
            for (int32_t x = cx - JOIN; x <= cx + JOIN; x++) {
                if (x < 0 || y < 0 || x >= grid->w || y >= grid->h || grid->cells[y * grid->w + x] != 1)
                    continue;
                grid->cells[y * grid->w + x] = number;
                stack[n++] = y * grid->w + x;
            }
    }
    return box;
}

static float overlap(struct pr_box a, struct pr_box b)
{
    float w = fminf(a.x1, b.x1) - fmaxf(a.x0, b.x0), h = fminf(a.y1, b.y1) - fmaxf(a.y0, b.y0);
    return w > 0 && h > 0 ? w * h : 0;
}

static float area(struct pr_box b)
{
    return (b.x1 - b.x0) * (b.y1 - b.y0);
}

static struct pr_box join(struct pr_box a, struct pr_box b)
{
    return (struct pr_box){fminf(a.x0, b.x0), fminf(a.y0, b.y0), fmaxf(a.x1, b.x1), fmaxf(a.y1, b.y1)};
}

/* Boxes that overlap are one figure. */
static size_t join_overlapping(struct pr_box *boxes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            if (overlap(boxes[i], boxes[j]) > 0) {
                boxes[i] = join(boxes[i], boxes[j]);
                boxes[j] = boxes[--n];
                j = i; /* the larger box may overlap those that were passed */
            }
    return n;
}

/* Labels at the axes and in the legend: short lines that touch the figure. Captions stay outside. */
static void take_labels(struct pr_box *figure, const struct pr_line *lines, size_t n_lines)
{
    struct pr_box grown = {figure->x0 - 8, figure->y0 - 8, figure->x1 + 8, figure->y1 + 8}, all = *figure;
    for (size_t i = 0; i < n_lines; i++) {
        struct pr_box box = lines[i].box;
        if (area(box) > 0 && !ingest_caption_is(lines[i].text) && overlap(box, grown) > 0.5f * area(box))
            all = join(all, box);
    }
    *figure = all;
}

/* Poppler gives wrong boxes for bitmaps that are drawn turned round: no caption stands on a bitmap. */
static bool covers_caption(struct pr_box image, const struct pr_line *lines, size_t n_lines)
{
    for (size_t i = 0; i < n_lines; i++)
        if (ingest_caption_is(lines[i].text) && overlap(image, lines[i].box) > 0.2f * area(lines[i].box))
            return true;
    return false;
}

static int by_place(const void *a, const void *b)
{
    const struct pr_region *x = a, *y = b;
    return (x->box.y0 > y->box.y0) - (x->box.y0 < y->box.y0);
}

size_t ingest_figures_find(const uint8_t *rgb, int32_t width, int32_t height, double page_width, double page_height,
                           const struct pr_line *lines, size_t n_lines, const struct pr_box *images, size_t n_images,
                           struct pr_region *out)
{
    enum { MAX_BOXES = 256, MAX_CELLS = 600 };
    if (width < 16 || height < 16 || page_width < min_side || page_height < min_side)
        return 0;
    /* Huge pages have a coarser grid: it stays bounded. */
    float cell = fmaxf(cell_points, (float)fmax(page_width, page_height) / MAX_CELLS);
    struct grid grid = {.w = (int32_t)(page_width / cell) + 1, .h = (int32_t)(page_height / cell) + 1};
    float sx = (float)grid.w / (float)page_width, sy = (float)grid.h / (float)page_height;
    size_t n_cells = (size_t)grid.w * (size_t)grid.h, n_boxes = 0, n = 0;
    grid.cells = base_alloc_array(n_cells, sizeof *grid.cells);
    int32_t *stack = base_alloc_array(n_cells, sizeof *stack);
    uint8_t *mask =
        text_mask(width, height, (float)(width / page_width), (float)(height / page_height), lines, n_lines);
    struct pr_box boxes[MAX_BOXES];

    mark_ink(&grid, rgb, width, height, mask);
    for (size_t i = 0; i < n_images; i++)
        if (!covers_caption(images[i], lines, n_lines))
            set_rectangle(&grid, images[i], sx, sy, 1);
    for (size_t i = 0; i < n_cells && n_boxes < MAX_BOXES; i++) {
        if (grid.cells[i] != 1)
            continue;
        struct pr_box b = fill_cluster(&grid, (int32_t)i, 2, stack);
        b = (struct pr_box){b.x0 / sx, b.y0 / sy, b.x1 / sx, b.y1 / sy};
        if (b.x1 - b.x0 >= min_side && b.y1 - b.y0 >= min_side && area(b) >= min_area)
            boxes[n_boxes++] = b;
    }
    for (size_t i = 0; i < n_boxes; i++)
        take_labels(&boxes[i], lines, n_lines);
    n_boxes = join_overlapping(boxes, n_boxes);
    for (size_t i = 0; i < n_boxes && n < FIGURES_MAX; i++)
        out[n++] = (struct pr_region){PR_REGION_FIGURE, boxes[i], NULL};
    qsort(out, n, sizeof *out, by_place);
    ingest_captions_find(out, n, lines, n_lines);
    base_free(mask);
    base_free(stack);
    base_free(grid.cells);
    return n;
}
