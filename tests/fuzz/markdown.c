/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reads the bytes as lines of Markdown: pictures lie within their line, parts within the picture, and each search goes on.
 */
#include "tests/fuzz/fuzz.h"

#include "ingest/markdown.h"

#include <stdlib.h>
#include <string.h>

static void read_line(const char *line, size_t len)
{
    struct markdown_picture picture;
    int heading = ingest_markdown_heading(line, len);
    if (heading < 0 || heading > 6)
        abort();
    while (ingest_markdown_picture(line, len, &picture)) {
        const char *end = line + len;
        if (picture.begin >= picture.end || picture.end > len || picture.path_len == 0 || picture.alt < line ||
            picture.alt + picture.alt_len > picture.path || picture.path + picture.path_len > end ||
            picture.path + picture.path_len > line + picture.end || picture.alt < line + picture.begin)
            abort();
        line += picture.end;
        len -= picture.end;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data, *end = at + size;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at);
        read_line(at, len);
        at = stop ? stop + 1 : end;
    }
    return 0;
}
