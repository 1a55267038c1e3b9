/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reads the bytes as an event of a subtitle track: its lines are UTF-8 without control characters, and no longer than it.
 */
#include "tests/fuzz/fuzz.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "ingest/ass.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ingest_lines lines = {0};
    char *event = base_alloc(size + 1);
    size_t sum = 0;
    memcpy(event, data, size);
    ingest_ass_lines(&lines, event);
    for (size_t i = 0; i < lines.n; i++) {
        const char *text = lines.lines[i].text;
        size_t len = strlen(text);
        if (len == 0 || base_utf8_valid(text, len) != len || strpbrk(text, "\n\r\t\x1b"))
            abort();
        sum += len;
    }
    if (sum > 3 * size)
        abort();
    ingest_lines_finish(&lines);
    base_free(event);
    return 0;
}
