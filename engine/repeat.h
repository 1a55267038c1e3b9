/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Small models may say the same for ever: whoever listens stops them.
 */
#pragma once

#include "base/mem.h"

#include <string.h>

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
