/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Parses the bytes as a range of pages and as a box; what is accepted is as the header says.
 */
#include "tests/fuzz/fuzz.h"

#include "base/error.h"
#include "engine/range.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    int32_t first, last;
    double box[4];
    memcpy(text, data, size);
    text[size] = '\0';
    if (engine_parse_pages(text, &first, &last) >= 0 && (first < 0 || last < -1 || (last >= 0 && last < first)))
        abort();
    if (engine_parse_box(text, box) >= 0)
        for (int i = 0; i < 4; i++)
            if (!isfinite(box[i]) || !(box[i % 2] < box[i % 2 + 2]))
                abort();
    free(text);
    return 0;
}
