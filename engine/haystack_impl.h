/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What films and documents that hide needles share.
 */
#pragma once

#include "draw/canvas.h"
#include "engine/haystack.h"

enum { HAYSTACK_COLOURS = 11, HAYSTACK_KINDS = 18, HAYSTACK_WORDS = 512 };
extern const char *const engine_haystack_colours[HAYSTACK_COLOURS];

/* Random numbers and the words that are dealt out. */
struct haystack_deck {
    uint64_t state;
    char *words[HAYSTACK_WORDS]; /* the first `kept` of them are needles' alone */
    size_t n, kept, next;
    char *text; /* that the words lie in */
};
void engine_haystack_begin(struct haystack_deck *deck, uint64_t seed, size_t kept);
void engine_haystack_finish(struct haystack_deck *deck);
uint32_t engine_haystack_random(struct haystack_deck *deck, uint32_t n); /* 0 to n-1 */
double engine_haystack_between(struct haystack_deck *deck, double low, double high);
const char *engine_haystack_word(struct haystack_deck *deck); /* none of a needle's */

/* A shade of a colour, and black or white, whichever can be read on it. */
uint32_t engine_haystack_shade(struct haystack_deck *deck, size_t colour);
uint32_t engine_haystack_ink(uint32_t paper);
bool engine_haystack_far(uint32_t a, uint32_t b); /* that a person tells them apart at once */

/* The places of n needles among `room`, each the free one nearest to its depth. */
void engine_haystack_places(const double *depths, size_t n, size_t room, size_t *places);

enum { HAYSTACK_WIDTH = 480, HAYSTACK_HEIGHT = 270 }; /* of a drawn frame */
/* Draws the shot of needle k, [t0, t0 + ms) milliseconds, on a canvas of that size, and fills *needle. things: of
 * engine_haystack_things(). */
void engine_haystack_draw_needle(struct haystack_deck *deck, struct draw_canvas *canvas, const uint16_t *things,
                                 const struct haystack_order *order, size_t k, int64_t t0, int64_t ms,
                                 struct haystack_needle *needle);
/* All pairs of a colour and a thing, those of needles first. */
void engine_haystack_things(struct haystack_deck *deck, uint16_t things[HAYSTACK_COLOURS * HAYSTACK_KINDS]);
/* A page of a document, with a needle unless that is NULL: a number in a figure, or in a sentence. */
int engine_haystack_draw_page(struct haystack_deck *deck, struct draw_canvas *pdf, int32_t page, const char *word,
                              bool figure, struct haystack_needle *needle);

/* With the frames or pages of order->file as hay (haystack_file.c). */
int engine_haystack_over_film(const char *path, const struct haystack_order *order, const struct base_cancel *cancel,
                              struct haystack_needle *needles);
int engine_haystack_over_pages(const char *path, const struct haystack_order *order, const struct base_cancel *cancel,
                               struct haystack_needle *needles);
int engine_haystack_pages(const char *path, const struct haystack_order *order, const struct base_cancel *cancel,
                          struct haystack_needle *needles);
