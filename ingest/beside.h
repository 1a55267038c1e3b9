/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which files beside a film are its subtitles: NAME.srt, NAME.en.vtt, NAME.de.forced.ass beside NAME.mkv. For the reader, and for who
 * must know whether what it would read is still the same.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

enum { INGEST_MAX_SIDE_FILES = 32, INGEST_MAX_SIDE_BYTES = 64 << 20 };

/* The length of a file name without its ending. */
static inline size_t ingest_stem(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && dot > name ? (size_t)(dot - name) : strlen(name);
}

static inline bool ingest_is_side_file(const char *name, const char *stem, size_t stem_len)
{
    static const char *const endings[] = {".srt", ".vtt", ".ass", ".ssa"};
    size_t len = strlen(name);
    if (len < stem_len + 4 || strncmp(name, stem, stem_len) != 0 || name[stem_len] != '.')
        return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(name + len - 4, endings[i]) == 0)
            return true;
    return false;
}
