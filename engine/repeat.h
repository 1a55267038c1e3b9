/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Small models may say the same for ever: whoever listens stops them.
 */
#pragma once

#include "base/mem.h"

#include <stdbool.h>
#include <string.h>

/* Whether a text ends in the same words over and over: four times or more back to back and 256 bytes in all. Rows of dashes, blanks,
 * punctuation and numbers, which tables and lists may well repeat, don't count. */
static inline bool engine_loops(const struct base_buf *text)
{
    enum { TIMES = 4, LEAST = 256 };
    for (size_t period = 1; TIMES * period <= text->len && LEAST <= text->len; period++) {
        size_t times = (LEAST + period - 1) / period, whole = (times > TIMES ? times : TIMES) * period;
        const char *end = text->data + text->len;
        bool words = false;
        if (whole > text->len || memcmp(end - whole, end - whole + period, whole - period) != 0)
            continue;
        for (const char *c = end - period; c < end && !words; c++)
            words = (unsigned char)*c >= 0x80 || ((*c | 32) >= 'a' && (*c | 32) <= 'z');
        return words;
    }
    return false;
}

/* Where the end of a text begins to say what stands in `said` [len] already (which may be its own beginning), a run of `least` bytes or
 * more; the text's length: nowhere. */
static inline size_t engine_repeats_from(const struct base_buf *text, const char *said, size_t len, size_t least)
{
    if (text->len < least || len < least)
        return text->len;
    size_t at = text->len - least;
    const char *found = memmem(said, len, text->data + at, least);
    while (found && at > 0 && found > said && text->data[at - 1] == found[-1]) {
        at--;
        found--;
    }
    return found ? at : text->len;
}
