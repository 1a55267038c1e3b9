/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Films and documents that hide needles at known depths, for pagereel bench. A film is a row of shots with a coloured thing and a sign; a
 * document has pages of sentences and figures. What a needle asks for is shown once: no other shot has its thing in its colour, no other
 * page its word. The same order gives the same file. They are drawn as tools/world draws, so that the embedded model knows what it sees.
 */
#pragma once

#include "base/cancel.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HAYSTACK_MOST = 96 /* needles of one haystack */ };

/* What is to be hidden. */
struct haystack_order {
    uint64_t seed;
    double seconds;       /* of a film; 0: a document */
    int32_t pages;        /* of a document */
    double shortest;      /* seconds of a shot at the least; shots last up to ten more */
    const double *depths; /* [n] of its needles, 0 to 1 */
    size_t n;             /* at most engine_haystack_room() */
    const char *file;     /* a film or document that is the hay, again and again until it is long enough; NULL: drawn */
    bool text;            /* needles of a document are in its exact text alone: for models that don't see */
};

struct haystack_needle {
    double depth;
    int64_t t0, t1;     /* microseconds of its shot; of a document PR_TIME_NONE */
    int32_t page;       /* from 0; of a film PR_PAGE_NONE */
    const char *kind;   /* "sign", "fact" (a sentence), "figure" (a bar, drawn) */
    char answer[32];    /* what a right answer has as whole words */
    char question[160]; /* what is there? */
    char when[160];     /* of a film: when is it shown? */
};

/* How many needles a haystack of this size takes without becoming one of needles. */
size_t engine_haystack_room(const struct haystack_order *order);
/* Writes the film or document to `path` and fills needles [order->n]. PR_ERR_IO, PR_ERR_CANCELLED. */
int engine_haystack_make(const char *path, const struct haystack_order *order, const struct base_cancel *cancel,
                         struct haystack_needle *needles);
/* Whether `answer` has the words of `wanted` as whole words behind each other, whatever their case; tags like [S1] don't count. */
bool engine_haystack_is_right(const char *answer, const char *wanted);
