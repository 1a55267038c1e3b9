/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Asks whether the bytes are a media file that breaks off; whatever they are, nothing beyond them is read.
 */
#include "tests/fuzz/fuzz.h"

#include "ingest/whole.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void *copy = malloc(size); /* of its own size, so that a sanitizer sees its end */
    if (size > 0)
        memcpy(copy, data, size);
    ingest_is_cut(copy, size);
    free(copy);
    return 0;
}
