/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pictures of sources as PNG files: a single frame or page, and contact sheets.
 */
#include "pagereel/source.h"

#include "base/mem.h"
#include "draw/canvas.h"
#include "engine/clock.h"
#include "engine/model.h"
#include "engine/range.h"
#include "engine/source.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t paper = 0xf4f4f2, ink = 0x202020, pale = 0x707070, line = 0xb0b0b0;

enum {
    MAX_SIDE = 30000, /* of a picture that is written */
    CELL_WIDTH = 240, /* of a contact sheet */
    CELL_PIXELS = CELL_WIDTH * CELL_WIDTH * 2,
    LABEL_HEIGHT = 22,
    MARGIN = 8,
    HEADER = 34,
    DEFAULT_CELLS = 24,
    MAX_CELLS = 1000,
};

/* ---- one frame or page ------------------------------------------------------------------------------------------ */

/* Cuts the box, in the unit's own measure, out of its picture. */
static int write_part(const struct pr_unit *unit, const char *box_text, const char *path)
{
    double box[4] = {0, 0, unit->width, unit->height};
    int err = *box_text ? engine_parse_box(box_text, box) : PR_OK;
    if (err < 0)
        return err;
    double sx = unit->picture_width / unit->width, sy = unit->picture_height / unit->height;
    int32_t x0 = (int32_t)fmax(0, floor(box[0] * sx)), x1 = (int32_t)fmin(unit->picture_width, ceil(box[2] * sx));
    int32_t y0 = (int32_t)fmax(0, floor(box[1] * sy)), y1 = (int32_t)fmin(unit->picture_height, ceil(box[3] * sy));
    if (x1 <= x0 || y1 <= y0)
        return base_fail(PR_ERR_INVALID, "the box %.60s lies outside of the picture (%.0f x %.0f)", box_text,
                         unit->width, unit->height);
    size_t stride = 3 * (size_t)unit->picture_width;
    return draw_write_rgb(unit->rgb + (size_t)y0 * stride + 3 * (size_t)x0, x1 - x0, y1 - y0, stride, path);
}

int pr_frame_write(const char *path, const struct pr_settings *settings, struct pr_cancel *cancel)
{
    int err;
    struct ingest_options options;
    struct ingest_source *source = NULL;
    struct pr_unit unit;
    TRY(engine_source_options(settings, cancel, &options));
    if (!settings->output[0])
        return base_fail(PR_ERR_INVALID, "no file to write; give --output FILE.png");
    int64_t at = 0;
    options.sampling = INGEST_TIMES;
    options.times = &at;
    options.n_times = 1;
    if (settings->at[0])
        TRY(pr_time_parse(settings->at, &at));
    if (at < 0)
        return base_fail(PR_ERR_INVALID, "--at %.60s lies before the start", settings->at);
    if (settings->page[0]) {
        char *end;
        long page = strtol(settings->page, &end, 10);
        if (*end || page < 1 || page > INT32_MAX)
            return base_fail(PR_ERR_INVALID, "'%.60s' is no page; they count from 1", settings->page);
        options.first_page = options.last_page = (int32_t)page - 1;
    }
    TRY(ingest_open(path, &options, &source));
    const struct pr_source_info *info = ingest_info(source);
    if (settings->page[0] && info->n_pages > 0 && options.first_page >= info->n_pages)
        TRY(base_fail(PR_ERR_INVALID, "%s: there is no page %s; it has %d", path, settings->page, info->n_pages));
    err = engine_source_picture(source, &unit);
    if (err == PR_EOF)
        err = base_fail(PR_ERR_NOT_FOUND, "%s: there is no picture at %s", path,
                        settings->at[0]     ? settings->at
                        : settings->page[0] ? settings->page
                                            : "its start");
    TRY(err);
    err = write_part(&unit, settings->box, settings->output);
fail:
    ingest_close(source);
    return err;
}

/* ---- contact sheets --------------------------------------------------------------------------------------------- */

struct cell {
    uint8_t *rgb;
    int32_t width, height;
    char label[64];
};

static void label_of(const struct pr_unit *unit, char *out, size_t size)
{
    char time[32];
    if (unit->kind == PR_UNIT_PAGE && unit->label && *unit->label)
        snprintf(out, size, "%d (%.40s)", unit->span.page + 1, unit->label);
    else if (unit->kind == PR_UNIT_PAGE)
        snprintf(out, size, "%d", unit->span.page + 1);
    else
        snprintf(out, size, "%s", pr_time_text(unit->span.t0, time, sizeof time));
}

/* Who is told how far a sheet is. */
struct telling {
    const char *path;
    pr_progress_fn fn; /* may be NULL */
    void *user;
    double started, told;
};

static void tell(struct telling *t, int64_t done, int64_t total)
{
    if (!t->fn || total <= 0 || engine_now() - t->told < 0.1)
        return;
    t->told = engine_now();
    double left = engine_seconds_left(t->started, (double)done / (double)total);
    t->fn(t->user, &(struct pr_progress){t->path, PR_ADDING_TEXT, done, total, left});
}

/* Sheets of many pages begin a source anew for each of the pages that they show: drawing all those between takes longer. */
enum { DRAWN_FOR_NOTHING = 2 /* pages for each that is shown, at the most */ };

struct cells {
    struct cell *list; /* [max] */
    int32_t n, max;
};

static void add_cell(struct cells *cells, const struct pr_unit *unit)
{
    struct cell *cell = &cells->list[cells->n++];
    size_t bytes = (size_t)unit->picture_width * (size_t)unit->picture_height * 3;
    cell->rgb = base_alloc(bytes);
    memcpy(cell->rgb, unit->rgb, bytes);
    cell->width = unit->picture_width;
    cell->height = unit->picture_height;
    label_of(unit, cell->label, sizeof cell->label);
}

/* The k-th of the pages that are shown of `range` ones. */
static int32_t shown_page(int32_t k, int32_t range, int32_t max)
{
    return range <= max ? k : (int32_t)((int64_t)k * range / max);
}

/* Frames, or the pages that are shown of `range` ones from `first` on (range 0: all that come). */
static int collect_cells(struct ingest_source *source, struct telling *telling, int32_t first, int32_t range,
                         struct cells *cells)
{
    const struct pr_source_info *info = ingest_info(source);
    struct pr_unit unit;
    int err;
    for (int32_t k = 0; cells->n < cells->max && (err = ingest_next(source, &unit)) != PR_EOF;) {
        if (err == PR_ERR_CANCELLED)
            return err;
        tell(telling, ingest_position(source) - first, range > 0 ? range : info->duration);
        bool paged = err == PR_OK && unit.kind == PR_UNIT_PAGE && range > 0;
        while (paged && shown_page(k, range, cells->max) < unit.span.page - first)
            k++;
        if (err == PR_OK && unit.rgb && (!paged || shown_page(k, range, cells->max) == unit.span.page - first))
            add_cell(cells, &unit);
    }
    return PR_OK;
}

static int collect_spread(const char *path, const struct ingest_options *asked, struct telling *telling, int32_t first,
                          int32_t range, struct cells *cells)
{
    struct ingest_options options = *asked;
    for (int32_t k = 0; k < cells->max; k++) {
        struct ingest_source *source;
        struct pr_unit unit;
        options.first_page = options.last_page = first + shown_page(k, range, cells->max);
        int err = ingest_open(path, &options, &source);
        if (err < 0)
            return err;
        err = ingest_next(source, &unit);
        if (err == PR_OK && unit.rgb)
            add_cell(cells, &unit);
        ingest_close(source);
        if (err == PR_ERR_CANCELLED)
            return err;
        tell(telling, k + 1, cells->max);
    }
    return PR_OK;
}

/* As many columns as make the sheet about as wide as high, six at the most. */
static int draw_sheet(const struct cell *cells, int32_t n, const char *title, const char *output)
{
    double aspect = 0;
    for (int32_t i = 0; i < n; i++)
        aspect = fmax(aspect, (double)cells[i].height / cells[i].width);
    int32_t cell_height = (int32_t)ceil(CELL_WIDTH * fmin(fmax(aspect, 0.2), 1.6));
    int32_t columns = n < 6 ? n : 6, rows = (n + columns - 1) / columns;
    int32_t step_x = CELL_WIDTH + MARGIN, step_y = cell_height + LABEL_HEIGHT + MARGIN;
    struct draw_canvas *canvas;
    int err = draw_canvas_create(columns * step_x + MARGIN, rows * step_y + HEADER + MARGIN, paper, &canvas);
    if (err < 0)
        return err;
    draw_text(canvas, MARGIN, HEADER - 11, 16, columns * step_x - MARGIN, ink, title);
    for (int32_t i = 0; i < n; i++) {
        const struct cell *cell = &cells[i];
        double x = MARGIN + i % columns * step_x, y = HEADER + i / columns * step_y;
        double scale = fmin((double)CELL_WIDTH / cell->width, (double)cell_height / cell->height);
        double w = cell->width * scale, h = cell->height * scale, left = x + (CELL_WIDTH - w) / 2,
               top = y + cell_height - h;
        draw_picture(canvas, cell->rgb, cell->width, cell->height, left, top, w, h);
        draw_frame(canvas, left, top, w, h, 1, line);
        draw_text(canvas, left, y + cell_height + LABEL_HEIGHT - 7, 13, CELL_WIDTH, pale, cell->label);
    }
    err = draw_write_png(canvas, output);
    draw_canvas_destroy(canvas);
    return err;
}

int pr_sheet_write(const char *path, const struct pr_settings *settings, pr_progress_fn progress, void *user,
                   struct pr_cancel *cancel)
{
    int err;
    struct telling telling = {path, progress, user, engine_now(), 0};
    struct ingest_options options;
    struct ingest_source *source = NULL;
    struct base_buf title = {0};
    struct cells cells = {.max = settings->frames > 0 ? settings->frames : DEFAULT_CELLS};
    char duration[32];
    cells.max = cells.max < MAX_CELLS ? cells.max : MAX_CELLS;
    cells.list = base_alloc_array((size_t)cells.max, sizeof *cells.list);
    TRY(engine_source_options(settings, cancel, &options));
    if (!settings->output[0])
        TRY(base_fail(PR_ERR_INVALID, "no file to write; give --output FILE.png"));
    if (options.sampling == INGEST_RATE) {
        options.sampling = INGEST_BUDGET;
        options.budget = cells.max;
    }
    options.max_pixels = CELL_PIXELS;
    TRY(ingest_open(path, &options, &source));
    const struct pr_source_info *info = ingest_info(source);
    const char *slash = strrchr(path, '/');
    base_buf_printf(&title, "%s   %s", slash ? slash + 1 : path, info->kind);
    if (info->n_pages > 0)
        base_buf_printf(&title, ", %d pages", info->n_pages);
    if (info->duration != PR_TIME_NONE)
        base_buf_printf(&title, ", %s", pr_time_text(info->duration, duration, sizeof duration));
    bool to_end = options.last_page < 0 || options.last_page >= info->n_pages;
    int32_t range = (to_end ? info->n_pages - 1 : options.last_page) - options.first_page + 1;
    if (info->n_pages > 0 && range > DRAWN_FOR_NOTHING * cells.max)
        TRY(collect_spread(path, &options, &telling, options.first_page, range, &cells));
    else
        TRY(collect_cells(source, &telling, options.first_page, info->n_pages > 0 ? range : 0, &cells));
    if (cells.n == 0)
        TRY(base_fail(PR_ERR_NOT_FOUND, "%s: holds no pictures to show", path));
    err = draw_sheet(cells.list, cells.n, title.data, settings->output);
fail:
    for (int32_t i = 0; i < cells.n; i++)
        base_free(cells.list[i].rgb);
    base_free(cells.list);
    base_buf_finish(&title);
    ingest_close(source);
    return err;
}
