/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reads the bytes as plain text, as a whole and in two parts: the same comes out, and all of it is used.
 */
#include "tests/fuzz/fuzz.h"

#include "ingest/plain.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct base_buf whole = {0}, parts = {0};
    size_t skip, cut = size ? data[size - 1] % size : 0;
    enum plain_encoding encoding = ingest_plain_detect(data, size, &skip);
    if (skip > size || ingest_plain_append(&whole, encoding, data + skip, size - skip, true) != size - skip)
        abort();
    cut = cut < skip ? skip : cut;
    size_t used = ingest_plain_append(&parts, encoding, data + skip, cut - skip, false);
    if (used > cut - skip || used + 3 < cut - skip)
        abort();
    ingest_plain_append(&parts, encoding, data + skip + used, size - skip - used, true);
    if (whole.len != parts.len || (whole.len && memcmp(whole.data, parts.data, whole.len) != 0))
        abort();
    base_buf_finish(&whole);
    base_buf_finish(&parts);
    return 0;
}
