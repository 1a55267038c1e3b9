/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Documents that hide needles: pages of sentences that state facts, each page with a bar chart. A fact stands in the exact text. A chart is
 * a picture: its caption, which is text, names what it is about, and its numbers can only be seen.
 */
#include "engine/haystack_impl.h"

#include "base/mem.h"
#include "pagereel/source.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH = 595, HEIGHT = 842, MARGIN = 54, CHART_W = 440, CHART_H = 190, BARS = 5, SHARP = 2 /* pixels a point */ };

static const struct {
    const char *sentence, *question;
    int low, high;
} facts[] = {{"The %s weighs %d kilos.", "How much does the %s weigh?", 2, 999},
             {"The %s was built in %d.", "When was the %s built?", 1800, 2020},
             {"There are %d people in the %s.", "How many people are in the %s?", 2, 999},
             {"The %s is %d meters long.", "How long is the %s?", 2, 999},
             {"A ticket for the %s costs %d euros.", "What does a ticket for the %s cost?", 2, 999}};
static const char *const fillers[] = {"This was found in several places.", "Nobody expected that.",
                                      "More can be said about it.",        "It has been so for many years.",
                                      "Others came to the same result.",   "We looked at all of them.",
                                      "A part of this is still open."};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
/* A sentence about `word`; *out says how to ask for its number. */
static void write_fact(struct haystack_deck *deck, const char *word, struct base_buf *text, struct haystack_needle *out)
{
    uint32_t i = engine_haystack_random(deck, sizeof facts / sizeof *facts);
    int number = facts[i].low + (int)engine_haystack_random(deck, (uint32_t)(facts[i].high - facts[i].low + 1));
    if (strstr(facts[i].sentence, "%d") < strstr(facts[i].sentence, "%s"))
        base_buf_printf(text, facts[i].sentence, number, word);
    else
        base_buf_printf(text, facts[i].sentence, word, number);
    base_buf_puts(text, " ");
    if (!out)
        return;
    out->kind = "fact";
    snprintf(out->answer, sizeof out->answer, "%d", number);
    snprintf(out->question, sizeof out->question, facts[i].question, word);
}
#pragma GCC diagnostic pop

/* Lines of a paragraph down from *y. */
static void draw_paragraph(struct draw_canvas *pdf, const char *text, double *y)
{
    struct base_buf line = {0};
    while (*text) {
        size_t len = strcspn(text, " "), before = line.len;
        base_buf_printf(&line, "%s%.*s", before ? " " : "", (int)len, text);
        if (before && draw_text_width(pdf, 11, line.data) > WIDTH - 2 * MARGIN) {
            line.data[before] = '\0';
            draw_text(pdf, MARGIN, *y, 11, 0, 0x191919, line.data);
            *y += 15;
            line.len = 0;
            continue;
        }
        text += len;
        while (*text == ' ')
            text++;
    }
    if (line.len)
        draw_text(pdf, MARGIN, *y, 11, 0, 0x191919, line.data);
    *y += 15;
    base_buf_finish(&line);
}

static void draw_middle(struct draw_canvas *canvas, double x, double y, double size, const char *text)
{
    draw_text(canvas, x - draw_text_width(canvas, size, text) / 2, y, size, 0, 0x191919, text);
}

/* A bar chart as pixels. One of its bars is `word`'s; *out asks for it. */
static int draw_chart(struct haystack_deck *deck, struct draw_canvas *pdf, const char *word, double y,
                      struct haystack_needle *out)
{
    struct draw_canvas *chart;
    int err = draw_canvas_create(CHART_W * SHARP, CHART_H * SHARP, 0xffffff, &chart);
    if (err < 0)
        return err;
    double left = 20 * SHARP, right = (CHART_W - 10) * SHARP, top = 24 * SHARP, bottom = (CHART_H - 26) * SHARP;
    double step = (right - left) / BARS;
    uint32_t mine = engine_haystack_random(deck, BARS);
    size_t colour = engine_haystack_random(deck, 8); /* neither black nor white nor gray */
    draw_rectangle(chart, left, top - 10 * SHARP, 1.3 * SHARP, bottom - top + 10 * SHARP, 0x191919);
    for (uint32_t i = 0; i < BARS; i++) {
        int value = 5 + (int)engine_haystack_random(deck, 95);
        double high = (bottom - top) * value / 99, x = left + step * (i + 0.18);
        const char *label = i == mine ? word : engine_haystack_word(deck);
        char number[64];
        double size = 12 * SHARP;
        snprintf(number, sizeof number, "%s %d", label, value); /* as the papers of tools/world have it */
        while (draw_text_width(chart, size, number) > 0.97 * step)
            size *= 0.95;
        draw_rectangle(chart, x, bottom - high, step * 0.64, high, engine_haystack_shade(deck, colour));
        draw_middle(chart, x + step * 0.32, bottom + 16 * SHARP, size, number);
        if (out && i == mine) {
            out->kind = "figure";
            snprintf(out->answer, sizeof out->answer, "%d", value);
            snprintf(out->question, sizeof out->question, "What is the value of %s?", word);
        }
    }
    draw_rectangle(chart, left, bottom, right - left, 1.3 * SHARP, 0x191919);
    draw_canvas_on(pdf, chart, (WIDTH - CHART_W) / 2.0, y, CHART_W, CHART_H);
    draw_canvas_destroy(chart);
    return PR_OK;
}

int engine_haystack_draw_page(struct haystack_deck *deck, struct draw_canvas *pdf, int32_t page, const char *word,
                              bool figure, struct haystack_needle *needle)
{
    struct base_buf text = {0};
    double y = MARGIN + 10;
    uint32_t where = engine_haystack_random(deck, 4);
    int err = PR_OK;
    draw_face(pdf, "sans-serif", true);
    base_buf_printf(&text, "The %s of the %s", engine_haystack_word(deck), engine_haystack_word(deck));
    draw_text(pdf, MARGIN, y, 15, 0, 0x191919, text.data);
    draw_face(pdf, "sans-serif", false);
    y += 30;
    for (uint32_t i = 0; i < 4 && err >= 0; i++) {
        bool here = needle && !figure && i == where;
        text.len = 0;
        write_fact(deck, here ? word : engine_haystack_word(deck), &text, here ? needle : NULL);
        write_fact(deck, engine_haystack_word(deck), &text, NULL);
        base_buf_printf(&text, "%s ", fillers[engine_haystack_random(deck, sizeof fillers / sizeof *fillers)]);
        write_fact(deck, engine_haystack_word(deck), &text, NULL);
        draw_paragraph(pdf, text.data, &y);
        y += 8;
        if (i == 1) {
            const char *about = needle && figure ? word : engine_haystack_word(deck);
            err = draw_chart(deck, pdf, about, y, needle && figure ? needle : NULL);
            text.len = 0;
            base_buf_printf(&text, "Figure %d: the %s and others", page + 1, about);
            draw_text(pdf, MARGIN, y + CHART_H + 14, 10, 0, 0x78787d, text.data);
            y += CHART_H + 40;
        }
    }
    text.len = 0;
    base_buf_printf(&text, "%d", page + 1);
    draw_middle(pdf, WIDTH / 2.0, HEIGHT - 40, 11, text.data);
    draw_pdf_next(pdf);
    base_buf_finish(&text);
    return err;
}

int engine_haystack_pages(const char *path, const struct haystack_order *order, const struct base_cancel *cancel,
                          struct haystack_needle *needles)
{
    int err;
    struct draw_canvas *pdf = NULL;
    struct haystack_deck deck;
    size_t *places = base_alloc_array(order->n + 1, sizeof *places);
    engine_haystack_begin(&deck, order->seed, order->n);
    engine_haystack_places(order->depths, order->n, (size_t)order->pages, places);
    TRY(draw_pdf_create(path, WIDTH, HEIGHT, &pdf));
    for (int32_t page = 0; page < order->pages; page++) {
        size_t k = 0;
        while (k < order->n && places[k] != (size_t)page)
            k++;
        bool has = k < order->n;
        if (base_cancelled(cancel))
            TRY(base_fail(PR_ERR_CANCELLED, "interrupted"));
        if (has)
            needles[k] = (struct haystack_needle){
                .depth = order->depths[k], .t0 = PR_TIME_NONE, .t1 = PR_TIME_NONE, .page = page};
        TRY(engine_haystack_draw_page(&deck, pdf, page, has ? deck.words[k] : "", !order->text && k % 2 == 1,
                                      has ? &needles[k] : NULL));
    }
    err = draw_pdf_finish(pdf);
    pdf = NULL;
fail:
    if (pdf)
        draw_canvas_destroy(pdf);
    engine_haystack_finish(&deck);
    base_free(places);
    return err;
}
