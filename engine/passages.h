/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Exact text of sources, cut into passages that are found, shown to the model and cited as one.
 */
#pragma once

#include "base/error.h"
#include "pagereel/source.h"

#include <stddef.h>

struct passage {
    struct pr_span span; /* page, and the union of its lines' boxes */
    char *label;         /* the page's printed label, or NULL */
    char *text;          /* lines joined by '\n' */
    size_t len;
};

struct passages {
    struct passage *list;
    size_t n, cap;
    int64_t pages, pages_failed, pages_without_text;
};

/* Reads a whole source; its spans get the number `source`. Pages that can't be read are counted and left out. */
int engine_passages_read(struct passages *passages, const char *path, int32_t source);
void engine_passages_finish(struct passages *passages);
