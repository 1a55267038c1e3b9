/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Needles in a film or document of the user's own: its frames, one each some seconds, or its pages, from the beginning again where it
 * ends, with needles in the place of some. A page is its text, and over it its picture, so that both are as they were.
 */
#include "engine/haystack_impl.h"

#include "base/mem.h"
#include "draw/film.h"
#include "ingest/source.h"

#include <math.h>
#include <string.h>

enum {
    FRAME_PIXELS = HAYSTACK_WIDTH * HAYSTACK_HEIGHT,
    PAGE_PIXELS = 1 << 20,
    MOST_FRAMES = 3600, /* of a film: what is longer shows each of them longer */
    LEAST_MS = 2000
};

/* The file, read from its beginning again and again. */
struct hay {
    const char *path;
    struct ingest_options options;
    struct ingest_source *file;
    bool film, any; /* any: it gave a unit since it was opened */
};

static int next_unit(struct hay *hay, struct pr_unit *unit)
{
    int err;
    for (;;) {
        if (!hay->file) {
            TRY(ingest_open(hay->path, &hay->options, &hay->file));
            hay->any = false;
        }
        err = ingest_next(hay->file, unit);
        if (err == PR_EOF && !hay->any)
            TRY(base_fail(PR_ERR_UNSUPPORTED, "%s: has no %s to hide needles among", hay->path,
                          hay->film ? "frames" : "pages"));
        if (err == PR_EOF) {
            ingest_close(hay->file);
            hay->file = NULL;
            continue;
        }
        TRY(err);
        if (unit->rgb && unit->kind == (hay->film ? PR_UNIT_FRAME : PR_UNIT_PAGE)) {
            hay->any = true;
            return PR_OK;
        }
    }
fail:
    return err;
}

static int put_frame(struct draw_film *film, const struct draw_canvas *canvas, int64_t ms)
{
    struct base_buf png = {0};
    int err = draw_put_png(canvas, &png);
    if (err >= 0)
        err = draw_film_put(film, &png, (uint32_t)ms);
    base_buf_finish(&png);
    return err;
}

int engine_haystack_over_film(const char *path, const struct haystack_order *order, const struct base_cancel *cancel,
                              struct haystack_needle *needles)
{
    int err;
    struct hay hay = {.path = order->file, .options = ingest_options_default(), .film = true};
    struct haystack_deck deck;
    struct draw_film *film = NULL;
    struct draw_canvas *canvas = NULL, *shot = NULL;
    struct pr_unit unit;
    uint16_t things[HAYSTACK_COLOURS * HAYSTACK_KINDS];
    int64_t total = llround(order->seconds * 1000),
            ms = total / MOST_FRAMES > LEAST_MS ? total / MOST_FRAMES : LEAST_MS;
    int64_t slots = total / ms, each = (llround(order->shortest * 1000) + ms - 1) / ms; /* slots of a needle */
    size_t room = (size_t)(slots / each > 1 ? slots / each : 1),
           *places = base_alloc_array(order->n + 1, sizeof *places);
    hay.options.rate = 1000.0 / (double)ms;
    hay.options.max_pixels = FRAME_PIXELS;
    hay.options.cancel = cancel;
    engine_haystack_begin(&deck, order->seed, order->n);
    engine_haystack_things(&deck, things);
    engine_haystack_places(order->depths, order->n, room, places);
    TRY(next_unit(&hay, &unit));
    int32_t width = unit.picture_width, height = unit.picture_height;
    TRY(draw_canvas_create(width, height, 0, &canvas));
    TRY(draw_canvas_create(HAYSTACK_WIDTH, HAYSTACK_HEIGHT, 0, &shot));
    TRY(draw_film_create(path, width, height, &film));
    for (int64_t slot = 0; slot < slots;) {
        size_t k = 0;
        while (k < order->n && (int64_t)places[k] * each + (places[k] + 1 == room ? slots % each : 0) != slot)
            k++; /* the last place ends with the film */
        int64_t n = k < order->n ? each : 1, end = slot + n >= slots ? total : (slot + n) * ms;
        if (base_cancelled(cancel))
            TRY(base_fail(PR_ERR_CANCELLED, "interrupted"));
        if (k < order->n) {
            engine_haystack_draw_needle(&deck, shot, things, order, k, slot * ms, end - slot * ms, &needles[k]);
            draw_canvas_on(canvas, shot, 0, 0, width, height);
        } else {
            TRY(next_unit(&hay, &unit));
            draw_picture(canvas, unit.rgb, unit.picture_width, unit.picture_height, 0, 0, width, height);
        }
        TRY(put_frame(film, canvas, end - slot * ms));
        slot += n;
    }
    err = draw_film_finish(film);
    film = NULL;
fail:
    if (film)
        draw_film_finish(film);
    draw_canvas_destroy(canvas);
    draw_canvas_destroy(shot);
    ingest_close(hay.file);
    engine_haystack_finish(&deck);
    base_free(places);
    return err;
}

static void copy_page(struct draw_canvas *pdf, const struct pr_unit *unit, double width, double height)
{
    double x = width / unit->width, y = height / unit->height;
    for (size_t i = 0; i < unit->n_lines; i++) {
        const struct pr_box *box = &unit->lines[i].box;
        double high = (double)(box->y1 - box->y0) * y;
        draw_text(pdf, (double)box->x0 * x, (double)box->y1 * y - 0.2 * high, fmax(1, 0.8 * high), 0, 0x000000,
                  unit->lines[i].text);
    }
    draw_picture(pdf, unit->rgb, unit->picture_width, unit->picture_height, 0, 0, width, height);
}

int engine_haystack_over_pages(const char *path, const struct haystack_order *order, const struct base_cancel *cancel,
                               struct haystack_needle *needles)
{
    int err;
    struct hay hay = {.path = order->file, .options = ingest_options_default()};
    struct haystack_deck deck;
    struct draw_canvas *pdf = NULL;
    struct pr_unit unit;
    size_t *places = base_alloc_array(order->n + 1, sizeof *places);
    hay.options.max_pixels = PAGE_PIXELS;
    hay.options.cancel = cancel;
    engine_haystack_begin(&deck, order->seed, order->n);
    engine_haystack_places(order->depths, order->n, (size_t)order->pages, places);
    TRY(draw_pdf_create(path, 595, 842, &pdf));
    for (int32_t page = 0; page < order->pages; page++) {
        size_t k = 0;
        while (k < order->n && places[k] != (size_t)page)
            k++;
        if (base_cancelled(cancel))
            TRY(base_fail(PR_ERR_CANCELLED, "interrupted"));
        if (k < order->n) {
            needles[k] = (struct haystack_needle){
                .depth = order->depths[k], .t0 = PR_TIME_NONE, .t1 = PR_TIME_NONE, .page = page};
            TRY(engine_haystack_draw_page(&deck, pdf, page, deck.words[k], !order->text && k % 2 == 1, &needles[k]));
        } else {
            TRY(next_unit(&hay, &unit));
            copy_page(pdf, &unit, 595, 842);
            draw_pdf_next(pdf);
        }
    }
    err = draw_pdf_finish(pdf);
    pdf = NULL;
fail:
    if (pdf)
        draw_canvas_destroy(pdf);
    ingest_close(hay.file);
    engine_haystack_finish(&deck);
    base_free(places);
    return err;
}
