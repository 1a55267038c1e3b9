/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Asks whether the bytes are a media file that breaks off, and ends those that can be; whatever they are, nothing beyond them is touched.
 */
#include "tests/fuzz/fuzz.h"

#include "ingest/whole.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = calloc(size + 1, 1),
         *room = calloc(size + INGEST_PNG_END, 1); /* so that a sanitizer sees their ends */
    if (size > 0)
        memcpy(copy, data, size);
    ingest_is_cut(copy, size);
    if (ingest_tiff_pages(copy, size) > size + 1)
        abort();
    memcpy(room, copy, size);
    if (ingest_end_png(room, size) > size + INGEST_PNG_END || ingest_end_webp(copy, size) > size)
        abort();
    free(copy);
    free(room);
    return 0;
}
