/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/haystack_impl.h"

#include "base/mem.h"
#include "draw/film.h"
#include "engine/words.h"
#include "pagereel/source.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WIDTH = HAYSTACK_WIDTH,
    HEIGHT = HAYSTACK_HEIGHT,
    MOVE_MS = 2000,
    LEAST_PART = 4 /* of its shots one in so many may be a needle */
};

const char *const engine_haystack_colours[HAYSTACK_COLOURS] = {"red",  "orange", "yellow", "green", "blue", "purple",
                                                               "pink", "brown",  "black",  "white", "gray"};
static const struct {
    int rgb[3], spread;
} centres[HAYSTACK_COLOURS] = {{{205, 25, 30}, 28}, {{250, 135, 15}, 16}, {{245, 220, 40}, 20},  {{40, 150, 50}, 30},
                               {{35, 75, 205}, 32}, {{125, 40, 165}, 24}, {{250, 145, 190}, 18}, {{120, 70, 30}, 16},
                               {{18, 18, 20}, 14},  {{245, 245, 243}, 9}, {{128, 128, 130}, 18}};

/* ---- chance ------------------------------------------------------------------------------------------------------- */

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint32_t engine_haystack_random(struct haystack_deck *deck, uint32_t n)
{
    return (uint32_t)(next_random(&deck->state) >> 32) % n;
}

double engine_haystack_between(struct haystack_deck *deck, double low, double high)
{
    return low + (high - low) * (double)(next_random(&deck->state) >> 11) * 0x1p-53;
}

static void shuffle(struct haystack_deck *deck, char **words, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = engine_haystack_random(deck, (uint32_t)i);
        char *word = words[j];
        words[j] = words[i - 1];
        words[i - 1] = word;
    }
}

void engine_haystack_begin(struct haystack_deck *deck, uint64_t seed, size_t kept)
{
    char *rest;
    *deck = (struct haystack_deck){.state = seed * 0x2545f4914f6cdd1du + 1, .kept = kept};
    deck->text = base_strdup(WORLD_WORDS);
    for (char *word = strtok_r(deck->text, " ", &rest); word && deck->n < HAYSTACK_WORDS;
         word = strtok_r(NULL, " ", &rest))
        deck->words[deck->n++] = word;
    shuffle(deck, deck->words, deck->n);
    deck->next = deck->n;
}

void engine_haystack_finish(struct haystack_deck *deck)
{
    base_free(deck->text);
    deck->text = NULL;
}

const char *engine_haystack_word(struct haystack_deck *deck)
{
    if (deck->next == deck->n) {
        shuffle(deck, deck->words + deck->kept, deck->n - deck->kept);
        deck->next = deck->kept;
    }
    return deck->words[deck->next++];
}

/* ---- colours ------------------------------------------------------------------------------------------------------ */

uint32_t engine_haystack_shade(struct haystack_deck *deck, size_t colour)
{
    int spread = centres[colour].spread;
    double common = engine_haystack_between(deck, -0.6 * spread, 0.6 * spread);
    uint32_t out = 0;
    for (int i = 0; i < 3; i++) {
        double value = centres[colour].rgb[i] + common + engine_haystack_between(deck, -0.4 * spread, 0.4 * spread);
        out = out << 8 | (uint32_t)fmin(255, fmax(0, value));
    }
    return out;
}

static int channel(uint32_t colour, int i)
{
    return (int)(colour >> 8 * (2 - i) & 255);
}

uint32_t engine_haystack_ink(uint32_t paper)
{
    return 0.3 * channel(paper, 0) + 0.59 * channel(paper, 1) + 0.11 * channel(paper, 2) > 127 ? 0x000000 : 0xffffff;
}

bool engine_haystack_far(uint32_t a, uint32_t b)
{
    int sum = 0;
    for (int i = 0; i < 3; i++)
        sum += abs(channel(a, i) - channel(b, i));
    return sum > 120;
}

/* ---- places ------------------------------------------------------------------------------------------------------- */

void engine_haystack_places(const double *depths, size_t n, size_t room, size_t *places)
{
    bool *taken = base_alloc_array(room + 1, sizeof *taken);
    for (size_t i = 0; i < n; i++) {
        size_t wanted = (size_t)lround(depths[i] * (double)(room - 1)), away = 0;
        for (places[i] = wanted; taken[places[i]] && away < room;
             away++) { /* one behind, one before, two behind, ... */
            size_t step = away / 2 + 1;
            if (away % 2 == 0 ? wanted + step < room : step <= wanted)
                places[i] = away % 2 == 0 ? wanted + step : wanted - step;
        }
        taken[places[i]] = true;
    }
    base_free(taken);
}

static size_t count_shots(const struct haystack_order *order)
{
    size_t n = (size_t)(order->seconds / (order->shortest + 5));
    return n > 0 ? n : 1;
}

size_t engine_haystack_room(const struct haystack_order *order)
{
    size_t room = order->seconds > 0 ? count_shots(order) / LEAST_PART : (size_t)order->pages / LEAST_PART;
    room = room < HAYSTACK_MOST ? room : HAYSTACK_MOST;
    return room > 0 ? room : 1;
}

/* ---- films -------------------------------------------------------------------------------------------------------- */

struct sign {
    char text[40];
    double x, y; /* its middle, as a share of the picture */
    double size; /* of its height */
    uint32_t board;
};

struct shot {
    uint32_t ms;
    uint32_t paper, fill;
    size_t paper_colour, colour, kind;
    bool card, floor, moves;
    double x, y, size; /* of the thing */
    struct sign sign;
    const char *face;
    bool bold;
};

static void write_case(struct haystack_deck *deck, const char *word, char out[40])
{
    uint32_t how = engine_haystack_random(deck, 4); /* half of them in capitals */
    snprintf(out, 40, "%s", word);
    for (size_t i = 0; out[i] && how < 3 && (i == 0 || how < 2); i++)
        out[i] = (char)toupper((unsigned char)out[i]);
}

void engine_haystack_things(struct haystack_deck *deck, uint16_t things[HAYSTACK_COLOURS * HAYSTACK_KINDS])
{
    for (uint16_t i = 0; i < HAYSTACK_COLOURS * HAYSTACK_KINDS; i++) {
        size_t j = engine_haystack_random(deck, i + 1u);
        things[i] = things[j];
        things[j] = i;
    }
}

static void make_shot(struct haystack_deck *deck, uint32_t ms, const char *word, size_t thing, bool needle,
                      struct shot *out)
{
    static const double corners[4][2] = {{0.2, 0.22}, {0.8, 0.22}, {0.2, 0.74}, {0.8, 0.74}};
    static const struct {
        const char *face;
        bool bold;
    } faces[] = {{"sans-serif", true}, {"sans-serif", false}, {"serif", true}, {"monospace", true}};
    uint32_t corner = engine_haystack_random(deck, 4), face = engine_haystack_random(deck, 4);
    size_t board = engine_haystack_random(deck, HAYSTACK_COLOURS);
    *out = (struct shot){.ms = ms, .face = faces[face].face, .bold = faces[face].bold};
    out->card = !needle && engine_haystack_random(deck, 8) == 0;
    out->moves = !needle && !out->card && engine_haystack_random(deck, 6) == 0;
    out->floor = engine_haystack_random(deck, 5) < 2;
    out->kind = thing % HAYSTACK_KINDS;
    out->colour = thing / HAYSTACK_KINDS;
    out->fill = engine_haystack_shade(deck, out->colour);
    do {
        out->paper_colour = engine_haystack_random(deck, HAYSTACK_COLOURS);
        out->paper = engine_haystack_shade(deck, out->paper_colour);
    } while (!engine_haystack_far(out->paper, out->fill) || out->paper_colour == out->colour);
    out->size = engine_haystack_between(deck, 0.19, 0.25);
    out->x = corners[corner][0];
    out->y = corners[corner][1];
    write_case(deck, word, out->sign.text);
    out->sign.board = engine_haystack_shade(deck, board);
    out->sign.size = engine_haystack_between(deck, 0.13, 0.19); /* no more: things reach as far */
    out->sign.x = out->moves ? corners[3 - corner][0] : 0.5;
    out->sign.y = out->moves ? 0.22 : 0.48;
    if (out->moves)
        out->y = 0.62;
}

static void draw_sign(struct draw_canvas *canvas, const struct sign *sign)
{
    double size = sign->size * HEIGHT, wide = draw_text_width(canvas, size, sign->text);
    while (wide > WIDTH * 0.8) {
        size *= 0.9;
        wide = draw_text_width(canvas, size, sign->text);
    }
    double x = fmin(fmax(sign->x * WIDTH - wide / 2, WIDTH * 0.04), WIDTH * 0.96 - wide), y = sign->y * HEIGHT;
    double pad = size * 0.35, high = size * 0.73; /* of capitals */
    draw_rectangle(canvas, x - pad, y - high / 2 - pad, wide + 2 * pad, high + 2 * pad, sign->board);
    draw_text(canvas, x, y + high / 2, size, 0, engine_haystack_ink(sign->board), sign->text);
}

static void draw_shot(struct draw_canvas *canvas, const struct shot *shot, double part)
{
    draw_face(canvas, shot->face, shot->bold);
    draw_rectangle(canvas, 0, 0, WIDTH, HEIGHT, shot->paper);
    if (shot->card) {
        double size = 0.2 * HEIGHT, wide = draw_text_width(canvas, size, shot->sign.text);
        draw_text(canvas, (WIDTH - wide) / 2, 0.5 * HEIGHT + 0.36 * size, size, 0, engine_haystack_ink(shot->paper),
                  shot->sign.text);
        return;
    }
    if (shot->floor) {
        uint32_t floor = 0;
        for (int i = 0; i < 3; i++)
            floor = floor << 8 | (uint32_t)(channel(shot->paper, i) > 14 ? channel(shot->paper, i) - 14 : 0);
        draw_rectangle(canvas, 0, 0.8 * HEIGHT, WIDTH, 0.2 * HEIGHT, floor);
    }
    double side = shot->size * HEIGHT, x = shot->moves ? 0.15 + 0.7 * part : shot->x;
    draw_thing(canvas, draw_things[shot->kind], x * WIDTH - side / 2, shot->y * HEIGHT - side / 2, side, side,
               shot->fill);
    draw_sign(canvas, &shot->sign);
}

static int put_shot(struct draw_film *film, struct draw_canvas *canvas, const struct shot *shot)
{
    int err = PR_OK;
    struct base_buf png = {0};
    for (uint32_t at = 0; at < shot->ms && err >= 0;) {
        uint32_t ms = shot->moves && shot->ms - at > 2 * MOVE_MS ? MOVE_MS : shot->ms - at;
        draw_shot(canvas, shot, (at + 0.5 * ms) / shot->ms);
        png.len = 0;
        err = draw_put_png(canvas, &png);
        if (err >= 0)
            err = draw_film_put(film, &png, ms);
        at += ms;
    }
    base_buf_finish(&png);
    return err;
}

static void ask_shot(struct haystack_deck *deck, const struct shot *shot, struct haystack_needle *needle)
{
    static const char *const wordings[] = {"What does the sign say in the picture with the %s %s?",
                                           "What is written near the %s %s?", "Which word stands beside the %s %s?",
                                           "Read the sign next to the %s %s."};
    static const char *const whens[] = {"When is %s shown?", "When does the word %s appear?",
                                        "At what time can %s be read?", "When do we see the sign %s?"};
    const char *colour = engine_haystack_colours[shot->colour], *kind = draw_things[shot->kind];
    needle->kind = "sign";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(needle->question, sizeof needle->question, wordings[engine_haystack_random(deck, 4)], colour, kind);
    snprintf(needle->when, sizeof needle->when, whens[engine_haystack_random(deck, 4)], shot->sign.text);
#pragma GCC diagnostic pop
}

static void tell_needle(struct haystack_deck *deck, const struct shot *shot, double depth, const char *word, int64_t at,
                        struct haystack_needle *out)
{
    *out =
        (struct haystack_needle){.depth = depth, .t0 = at * 1000, .t1 = (at + shot->ms) * 1000, .page = PR_PAGE_NONE};
    snprintf(out->answer, sizeof out->answer, "%.31s", word);
    ask_shot(deck, shot, out);
}

void engine_haystack_draw_needle(struct haystack_deck *deck, struct draw_canvas *canvas, const uint16_t *things,
                                 const struct haystack_order *order, size_t k, int64_t t0, int64_t ms,
                                 struct haystack_needle *needle)
{
    struct shot shot;
    make_shot(deck, (uint32_t)ms, deck->words[k], things[k], true, &shot);
    tell_needle(deck, &shot, order->depths[k], deck->words[k], t0, needle);
    draw_shot(canvas, &shot, 0.5);
}

static int make_film(const char *path, const struct haystack_order *order, const struct base_cancel *cancel,
                     struct haystack_needle *needles)
{
    int err;
    struct draw_film *film = NULL;
    struct draw_canvas *canvas = NULL;
    struct haystack_deck deck;
    uint16_t things[HAYSTACK_COLOURS * HAYSTACK_KINDS];
    size_t n = count_shots(order), *places = base_alloc_array(order->n + 1, sizeof *places);
    double *lengths = base_alloc_array(n, sizeof *lengths), sum = 0;
    int64_t total = llround(order->seconds * 1000), least = llround(order->shortest * 1000), at = 0;
    if ((int64_t)n * least > total)
        least = total / (int64_t)n;
    engine_haystack_begin(&deck, order->seed, order->n);
    engine_haystack_things(&deck, things);
    engine_haystack_places(order->depths, order->n, n, places);
    for (size_t i = 0; i < n; i++)
        sum += lengths[i] = engine_haystack_between(&deck, 0.001, 1);
    TRY(draw_canvas_create(WIDTH, HEIGHT, 0xffffff, &canvas));
    TRY(draw_film_create(path, WIDTH, HEIGHT, &film));
    for (size_t i = 0; i < n; i++) {
        struct shot shot;
        size_t k = 0;
        while (k < order->n && places[k] != i)
            k++;
        bool needle = k < order->n;
        uint32_t others = HAYSTACK_COLOURS * HAYSTACK_KINDS - (uint32_t)order->n;
        int64_t ms = i + 1 < n ? least + llround(lengths[i] / sum * (double)(total - (int64_t)n * least)) : total - at;
        if (base_cancelled(cancel))
            TRY(base_fail(PR_ERR_CANCELLED, "interrupted"));
        make_shot(&deck, (uint32_t)ms, needle ? deck.words[k] : engine_haystack_word(&deck),
                  things[needle ? k : order->n + engine_haystack_random(&deck, others)], needle, &shot);
        if (needle) {
            needles[k] = (struct haystack_needle){
                .depth = order->depths[k], .t0 = at * 1000, .t1 = (at + ms) * 1000, .page = PR_PAGE_NONE};
            snprintf(needles[k].answer, sizeof needles[k].answer, "%.31s", deck.words[k]);
            ask_shot(&deck, &shot, &needles[k]);
        }
        TRY(put_shot(film, canvas, &shot));
        at += ms;
    }
    err = draw_film_finish(film);
    film = NULL;
fail:
    if (film)
        draw_film_finish(film); /* what failed first is told */
    draw_canvas_destroy(canvas);
    engine_haystack_finish(&deck);
    base_free(lengths);
    base_free(places);
    return err;
}

int engine_haystack_make(const char *path, const struct haystack_order *order, const struct base_cancel *cancel,
                         struct haystack_needle *needles)
{
    if (order->file)
        return (order->seconds > 0 ? engine_haystack_over_film : engine_haystack_over_pages)(path, order, cancel,
                                                                                             needles);
    return order->seconds > 0 ? make_film(path, order, cancel, needles)
                              : engine_haystack_pages(path, order, cancel, needles);
}

/* ---- checking ----------------------------------------------------------------------------------------------------- */

/* The words of a text, lower case, a blank before and behind each; tags left out. */
static void flatten(const char *text, struct base_buf *out)
{
    bool blank = true;
    base_buf_puts(out, " ");
    for (const char *c = text; *c; c++) {
        size_t digits = c[0] == '[' && c[1] == 'S' ? strspn(c + 2, "0123456789") : 0;
        if (digits > 0 && c[2 + digits] == ']') {
            c += 2 + digits;
            continue;
        }
        bool word = isalnum((unsigned char)*c) || (unsigned char)*c >= 0x80;
        char lower = (char)tolower((unsigned char)*c);
        if (word)
            base_buf_append(out, &lower, 1);
        else if (!blank)
            base_buf_puts(out, " ");
        blank = !word;
    }
    base_buf_puts(out, blank ? "" : " ");
}

bool engine_haystack_is_right(const char *answer, const char *wanted)
{
    struct base_buf a = {0}, b = {0};
    flatten(answer, &a);
    flatten(wanted, &b);
    bool right = b.len > 1 && strstr(a.data, b.data) != NULL;
    base_buf_finish(&a);
    base_buf_finish(&b);
    return right;
}
