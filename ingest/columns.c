/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ingest/columns.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_LINES = 5 /* of a column */, MAX_LINES = 800, MAX_STRIPS = 24, MAX_DEPTH = 4 };
static const float gutter_width = 6, least_width = 90; /* points */
static const float least_height = 0.15f;               /* of the block that it divides */
static const float least_fill = 0.4f;                  /* of a column's width that its rows take: tables have less */
static const float most_switches = 0.2f;               /* from side to side, of all lines: tables have more */

struct item {
    char *text;
    struct pr_box box;
    struct column_gap gap;
};

struct gutter {
    float x, y0, y1; /* the strip ends at x */
    float height;    /* of the lines on both sides */
};

enum side { ABOVE, FIRST, SECOND, BELOW };

static float middle(const struct item *item)
{
    return 0.5f * (item->box.y0 + item->box.y1);
}

/* Whether the line goes over the strip that ends at x. */
static bool crosses(const struct item *item, float x)
{
    bool over = item->box.x0 < x - 2 && item->box.x1 > x - gutter_width;
    bool gap = item->gap.at > 0 && item->gap.x0 <= x - gutter_width && item->gap.x1 >= x - 2;
    return over && !gap;
}

static bool is_divided(const struct item *item, float x)
{
    return item->box.x0 < x - 2 && item->box.x1 > x - gutter_width && !crosses(item, x);
}

/* What one side of a strip has between y0 and y1. */
struct column {
    int n;
    float x0, x1, y0, y1, fill;
};

static bool is_left(const struct item *item, float x)
{
    return item->box.x1 <= x - gutter_width;
}

static struct column look_at_side(const struct item *items, int n, const struct gutter *g, bool left)
{
    struct column c = {.x0 = 1e9f, .y0 = 1e9f, .x1 = -1e9f, .y1 = -1e9f};
    double widths = 0;
    int rows = 0;
    for (int i = 0; i < n; i++) {
        const struct item *a = &items[i];
        bool here = middle(a) > g->y0 && middle(a) < g->y1 && !is_divided(a, g->x) && is_left(a, g->x) == left;
        if (!here)
            continue;
        c.n++;
        c.x0 = fminf(c.x0, a->box.x0);
        c.x1 = fmaxf(c.x1, a->box.x1);
        c.y0 = fminf(c.y0, a->box.y0);
        c.y1 = fmaxf(c.y1, a->box.y1);
        float x0 = a->box.x0, x1 = a->box.x1; /* of its row */
        bool leads = true;
        for (int k = 0; k < n && leads; k++) {
            const struct item *b = &items[k];
            if (k == i || is_divided(b, g->x) || is_left(b, g->x) != left || crosses(b, g->x) ||
                fabsf(middle(a) - middle(b)) > 0.5f * (a->box.y1 - a->box.y0))
                continue;
            leads = k > i;
            x0 = fminf(x0, b->box.x0);
            x1 = fmaxf(x1, b->box.x1);
        }
        rows += leads;
        widths += leads ? (double)(x1 - x0) : 0;
    }
    if (rows > 0 && c.x1 > c.x0)
        c.fill = (float)(widths / rows) / (c.x1 - c.x0);
    return c;
}

static bool reads_row_by_row(const struct item *items, int n, const struct gutter *g)
{
    int switches = 0, lines = 0, last = -1;
    for (int i = 0; i < n; i++) {
        if (middle(&items[i]) < g->y0 || middle(&items[i]) > g->y1 || is_divided(&items[i], g->x))
            continue;
        int side = is_left(&items[i], g->x);
        switches += last >= 0 && side != last;
        last = side;
        lines++;
    }
    return switches > 2 && (float)switches > most_switches * (float)lines;
}

/* Whether an earlier line that crosses the strip ends at the same height: what lies below both is the same. */
static bool is_looked_at(const struct item *items, int from, float x)
{
    for (int i = 0; i < from; i++)
        if (items[i].box.y1 == items[from].box.y1 && crosses(&items[i], x))
            return true;
    return false;
}

/* The strip that ends at x, between two lines that cross it (or the ends of the block): the best of them, or height 0. */
static struct gutter look_at_strip(const struct item *items, int n, float x, float top, float bottom)
{
    struct gutter best = {.x = x};
    for (int from = -1; from < n; from++) {
        if (from >= 0 && (!crosses(&items[from], x) || is_looked_at(items, from, x)))
            continue;
        struct gutter g = {.x = x, .y0 = from >= 0 ? items[from].box.y1 : top - 1, .y1 = bottom + 1};
        for (int i = 0; i < n; i++)
            if (crosses(&items[i], x) && i != from && items[i].box.y1 > g.y0 && items[i].box.y0 < g.y1)
                g.y1 = fmaxf(g.y0, items[i].box.y0);
        if (g.y1 - g.y0 < least_height * (bottom - top) || g.y1 - g.y0 <= best.height)
            continue;
        struct column a = look_at_side(items, n, &g, true), b = look_at_side(items, n, &g, false);
        g.height = fminf(a.y1, b.y1) - fmaxf(a.y0, b.y0);
        bool columns = a.n >= LEAST_LINES && b.n >= LEAST_LINES && a.x1 - a.x0 >= least_width &&
                       b.x1 - b.x0 >= least_width && a.fill >= least_fill && b.fill >= least_fill;
        if (columns && g.height > best.height && g.height >= least_height * (bottom - top) &&
            !reads_row_by_row(items, n, &g))
            best = g;
    }
    return best;
}

/* Columns are aligned on the left: strips end where several lines begin. */
static struct gutter find_gutter(const struct item *items, int n)
{
    struct gutter best = {0};
    float top = 1e9f, bottom = -1e9f;
    for (int i = 0; i < n; i++) {
        top = fminf(top, items[i].box.y0);
        bottom = fmaxf(bottom, items[i].box.y1);
    }
    for (int i = 0, strips = 0; i < n && strips < MAX_STRIPS; i++) {
        float x = items[i].box.x0;
        int begin = 0;
        bool first = true;
        for (int k = 0; k < n; k++) {
            bool near = fabsf(items[k].box.x0 - x) < 1;
            begin += near;
            first &= !near || k >= i; /* each place is looked at once */
        }
        if (begin < LEAST_LINES || !first)
            continue;
        strips++;
        struct gutter g = look_at_strip(items, n, x, top, bottom);
        if (g.height > best.height)
            best = g;
    }
    return best;
}

static enum side side_of(const struct item *item, const struct gutter *g, bool right_to_left)
{
    if (middle(item) <= g->y0)
        return ABOVE;
    if (middle(item) >= g->y1)
        return BELOW;
    return is_left(item, g->x) != right_to_left ? FIRST : SECOND;
}

/* Divides a line in two at its gap; the second part is behind it in the list. */
static void divide(struct item *item, struct item *second)
{
    *second = (struct item){.box = item->box};
    second->box.x0 = item->gap.x1;
    item->box.x1 = item->gap.x0;
    const char *rest = item->text + item->gap.at;
    second->text = base_strdup(rest + strspn(rest, " "));
    item->text[item->gap.at] = '\0';
    item->gap.at = 0;
}

/* Sorts items [n], of which there may be twice as many then (room is there). Returns how many. */
static int sort_block(struct item *items, int n, bool right_to_left, int depth)
{
    struct gutter g = n < 2 * LEAST_LINES || depth == MAX_DEPTH ? (struct gutter){0} : find_gutter(items, n);
    if (g.height <= 0)
        return n;
    struct item *all = base_alloc_array((size_t)n * 2, sizeof *all),
                *part = base_alloc_array((size_t)n * 4, sizeof *part);
    int n_all = 0, out = 0;
    for (int i = 0; i < n; i++) {
        bool divided = is_divided(&items[i], g.x) && middle(&items[i]) > g.y0 && middle(&items[i]) < g.y1;
        all[n_all++] = items[i];
        if (divided) {
            divide(&all[n_all - 1], &all[n_all]);
            n_all++;
        }
    }
    for (enum side side = ABOVE; side <= BELOW; side++) {
        int n_part = 0;
        for (int i = 0; i < n_all; i++)
            if (side_of(&all[i], &g, right_to_left) == side)
                part[n_part++] = all[i];
        n_part = sort_block(part, n_part, right_to_left, depth + 1);
        memcpy(items + out, part, (size_t)n_part * sizeof *part);
        out += n_part;
    }
    base_free(all);
    base_free(part);
    return out;
}

void ingest_columns_sort(struct ingest_lines *lines, const struct column_gap *gaps, bool right_to_left)
{
    int n = (int)lines->n;
    if (lines->n < 2 * LEAST_LINES || lines->n > MAX_LINES)
        return;
    /* Each division takes the only gap of a line: there can't be more than twice as many. */
    struct item *items = base_alloc_array(4 * lines->n, sizeof *items);
    for (int i = 0; i < n; i++)
        items[i] = (struct item){(char *)(uintptr_t)lines->lines[i].text, lines->lines[i].box, gaps[i]};
    n = sort_block(items, n, right_to_left, 0);
    if ((size_t)n > lines->cap) {
        lines->cap = (size_t)n;
        lines->lines = base_realloc(lines->lines, lines->cap * sizeof *lines->lines);
    }
    for (int i = 0; i < n; i++)
        lines->lines[i] = (struct pr_line){items[i].text, items[i].box};
    lines->n = (size_t)n;
    base_free(items);
}
