/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reads the bytes as a subtitle file beside a film, as the worker does it: libav tells events apart, and what we make of them are pieces of
 * UTF-8 without control characters that end no earlier than they begin.
 */
#include "tests/fuzz/fuzz.h"

#include "base/utf8.h"
#include "ingest/av.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const struct ingest_reader *const ingest_readers[] = {NULL};

void ingest_report(int64_t at)
{
    (void)at;
}

static void check(const struct pr_unit *unit)
{
    if (unit->kind != PR_UNIT_TEXT || unit->span.t0 == PR_TIME_NONE || unit->span.t1 < unit->span.t0 ||
        unit->n_lines == 0)
        abort();
    for (size_t i = 0; i < unit->n_lines; i++) {
        const char *text = unit->lines[i].text;
        size_t len = strlen(text);
        if (len == 0 || base_utf8_valid(text, len) != len || strpbrk(text, "\n\r\t\x1b"))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int file = -1;
    static char path[64];
    if (file < 0) {
        av_log_set_level(AV_LOG_QUIET);
        file = memfd_create("subtitles", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    if (file < 0 || ftruncate(file, 0) < 0 || pwrite(file, data, size, 0) != (ssize_t)size)
        abort();
    struct av_tracks tracks = {.list = base_alloc(sizeof *tracks.list), .n = 1};
    tracks.list[0] = (struct av_track){.path = base_strdup(path), .side = true, .chosen = true};
    struct ingest_options options = {.from = PR_TIME_NONE, .to = PR_TIME_NONE};
    struct pr_unit unit = {0};
    for (int err; (err = av_tracks_next(&tracks, &options, 0, &unit)) != PR_EOF;)
        if (err == PR_OK)
            check(&unit);
    av_tracks_finish(&tracks);
    return 0;
}
