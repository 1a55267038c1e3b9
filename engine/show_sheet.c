/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the library holds of a source, drawn: a film's timeline with a lane for its pictures (the darker, the more tokens a second), one for
 * its text and one for its chapters; a document as a field of its pages.
 */
#include "pagereel/pagereel.h"

#include "base/mem.h"
#include "draw/canvas.h"
#include "engine/options.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    WIDTH = 1200,
    MARGIN = 24,
    HEADER = 64,
    LANE = 54,
    LANE_GAP = 26,
    AXIS = 40,
    TICKS = 8,
    PAGE_W = 46,
    PAGE_H = 60,
    MAX_ROWS = 300
};
static const uint32_t white = 0xffffff, ink = 0x202020, pale = 0x707070, rule = 0xd0d0d0, empty = 0xf2f2f0;
static const uint32_t text_colour = 0xc2803c, chapter_colour = 0x5a8f5a, broken = 0xd03030;

struct list {
    struct pr_segment *segments;
    size_t n, cap;
};

static bool keep(void *user, const struct pr_segment *segment)
{
    struct list *list = user;
    if (list->n == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 64;
        list->segments = base_realloc(list->segments, list->cap * sizeof *list->segments);
    }
    list->segments[list->n] = *segment;
    list->segments[list->n].text = list->segments[list->n].label = ""; /* gone after this call */
    list->n++;
    return true;
}

/* From pale to dark blue, for 0..1. */
static uint32_t shade(double share)
{
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    uint32_t r = (uint32_t)(200 - 170 * share), g = (uint32_t)(220 - 150 * share), b = (uint32_t)(245 - 105 * share);
    return r << 16 | g << 8 | b;
}

static void draw_header(struct draw_canvas *canvas, const struct pr_entry *entry)
{
    struct base_buf line = {0};
    const char *slash = strrchr(entry->path, '/');
    draw_text(canvas, MARGIN, 28, 18, WIDTH - 2 * MARGIN, ink, slash && slash[1] ? slash + 1 : entry->path);
    base_buf_printf(&line, "%s, %lld segments, %lld lines of text, %lld visual tokens, %.1f MiB", entry->kind,
                    (long long)entry->segments, (long long)entry->lines, (long long)entry->tokens,
                    (double)entry->bytes / 1048576);
    if (*entry->model)
        base_buf_printf(&line, "; %s%s", entry->model, entry->seen ? "" : ", not to the end yet");
    draw_text(canvas, MARGIN, 52, 13, WIDTH - 2 * MARGIN, pale, line.data);
    base_buf_finish(&line);
}

/* ---- films -------------------------------------------------------------------------------------------------------- */

struct scale {
    int64_t start;
    double pixels; /* a microsecond */
};

static double at(const struct scale *scale, int64_t time)
{
    double x = MARGIN + (double)(time - scale->start) * scale->pixels;
    return fmin(fmax(x, MARGIN), WIDTH - MARGIN);
}

static double density(const struct pr_segment *segment)
{
    double seconds = (double)(segment->span.t1 - segment->span.t0) / 1e6;
    return seconds > 0 ? (double)segment->tokens / seconds : 0;
}

static void draw_lane(struct draw_canvas *canvas, const char *name, double y)
{
    draw_text(canvas, MARGIN, y - 6, 12, 0, pale, name);
    draw_rectangle(canvas, MARGIN, y, WIDTH - 2 * MARGIN, LANE, empty);
}

static void draw_axis(struct draw_canvas *canvas, const struct scale *scale, int64_t duration, double y)
{
    for (int i = 0; i <= TICKS; i++) {
        char text[32];
        int64_t time = scale->start + duration / TICKS * i;
        double x = at(scale, time);
        pr_time_text(time, text, sizeof text);
        if (strlen(text) > 4)
            text[strlen(text) - 4] = '\0'; /* without milliseconds */
        draw_rectangle(canvas, x, HEADER, 1, y - HEADER, rule);
        draw_text(canvas, i == TICKS ? x - 50 : x + 3, y + 16, 12, 0, pale, text);
    }
}

static int draw_film(const struct list *list, const struct pr_entry *entry, struct draw_canvas **out)
{
    double most = 0, lanes[3];
    int64_t start = INT64_MAX, end = INT64_MIN;
    for (size_t i = 0; i < list->n; i++) {
        const struct pr_segment *s = &list->segments[i];
        if (s->damaged || s->span.t0 == PR_TIME_NONE)
            continue;
        start = s->span.t0 < start ? s->span.t0 : start;
        end = s->span.t1 > end ? s->span.t1 : end;
        most = s->kind == PR_SEGMENT_FRAMES ? fmax(most, density(s)) : most;
    }
    start = start == INT64_MAX || start > 0 ? 0 : start;
    int64_t duration = entry->duration > end - start ? entry->duration : end - start;
    duration = duration > 0 ? duration : 1;
    struct scale scale = {start, (WIDTH - 2.0 * MARGIN) / (double)duration};
    int err = draw_canvas_create(WIDTH, HEADER + 3 * (LANE + LANE_GAP) + AXIS, white, out);
    if (err < 0)
        return err;
    static const char *const names[] = {"pictures: visual tokens a second", "text", "chapters"};
    for (int i = 0; i < 3; i++) {
        lanes[i] = HEADER + LANE_GAP + i * (LANE + LANE_GAP);
        draw_lane(*out, names[i], lanes[i]);
    }
    draw_axis(*out, &scale, duration, lanes[2] + LANE);
    for (size_t i = 0; i < list->n; i++) {
        const struct pr_segment *s = &list->segments[i];
        if (s->damaged || s->span.t0 == PR_TIME_NONE)
            continue;
        int lane = s->kind == PR_SEGMENT_FRAMES ? 0 : s->kind == PR_SEGMENT_OUTLINE ? 2 : 1;
        double x = at(&scale, s->span.t0), w = fmax(at(&scale, s->span.t1) - x, 1);
        double share = most > 0 ? density(s) / most : 0, height = lane ? LANE : fmax(4, LANE * sqrt(share));
        draw_rectangle(*out, x, lanes[lane] + LANE - height, w > 3 ? w - 1 : w, height,
                       lane == 0   ? shade(share)
                       : lane == 1 ? text_colour
                                   : chapter_colour);
    }
    return PR_OK;
}

/* ---- documents ---------------------------------------------------------------------------------------------------- */

struct page {
    int64_t lines, tokens;
    bool visual_only;
};

static int draw_pages(const struct list *list, struct draw_canvas **out)
{
    int32_t n = 0, columns = (WIDTH - 2 * MARGIN) / PAGE_W;
    int64_t most = 1;
    for (size_t i = 0; i < list->n; i++)
        n = list->segments[i].span.page >= n && !list->segments[i].damaged ? list->segments[i].span.page + 1 : n;
    n = n < columns * MAX_ROWS ? n : columns * MAX_ROWS;
    struct page *pages = base_alloc_array((size_t)n, sizeof *pages);
    for (size_t i = 0; i < list->n; i++) {
        const struct pr_segment *s = &list->segments[i];
        if (s->damaged || s->span.page < 0 || s->span.page >= n)
            continue;
        struct page *page = &pages[s->span.page];
        page->lines += s->lines;
        page->tokens += s->tokens;
        page->visual_only |= s->visual_only;
        most = page->tokens > most ? page->tokens : most;
    }
    int32_t rows = n > 0 ? (n + columns - 1) / columns : 1;
    int err = draw_canvas_create(WIDTH, HEADER + rows * PAGE_H + AXIS, white, out);
    for (int32_t i = 0; i < n && err >= 0; i++) {
        char number[16];
        double x = MARGIN + i % columns * PAGE_W, y = HEADER + i / columns * PAGE_H, w = PAGE_W - 8, h = PAGE_H - 18;
        double share = (double)pages[i].tokens / (double)most;
        draw_rectangle(*out, x, y, w, h, pages[i].tokens ? shade(share) : empty);
        if (pages[i].lines > 0)
            draw_rectangle(*out, x + 4, y + h - 8, (w - 8) * fmin(1, (double)pages[i].lines / 50), 4, text_colour);
        draw_frame(*out, x, y, w, h, 1, pages[i].lines || pages[i].tokens ? rule : broken);
        snprintf(number, sizeof number, "%d", i + 1);
        draw_text(*out, x, y + h + 12, 10, PAGE_W, pale, number);
    }
    if (err >= 0)
        draw_text(*out, MARGIN, HEADER + rows * PAGE_H + 20, 12, 0, pale,
                  "blue: visual tokens; orange: lines of text; red frame: nothing is kept of the page");
    base_free(pages);
    return err;
}

int pr_show_sheet(const struct pr_settings *given, const char *name)
{
    int err;
    struct pr_settings settings;
    struct pr_entry entry;
    struct list list = {0};
    struct draw_canvas *canvas = NULL;
    TRY(engine_settings(given, &settings));
    if (!settings.sheet[0])
        return base_fail(PR_ERR_INVALID, "no file to write; give --sheet FILE.png");
    TRY(pr_show(given, name, keep, &list, &entry));
    TRY(entry.duration != PR_TIME_NONE ? draw_film(&list, &entry, &canvas) : draw_pages(&list, &canvas));
    draw_header(canvas, &entry);
    TRY(draw_write_png(canvas, settings.sheet));
fail:
    draw_canvas_destroy(canvas);
    base_free(list.segments);
    return err;
}
