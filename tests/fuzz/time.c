/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Parses the bytes as a time. What is understood comes back from its own text, to the millisecond that the text shows.
 */
#include "tests/fuzz/fuzz.h"

#include "base/error.h"
#include "pagereel/source.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), shown[64];
    int64_t time, again;
    memcpy(text, data, size);
    text[size] = '\0';
    if (pr_time_parse(text, &time) < 0) {
        free(text);
        return 0;
    }
    free(text);
    if (time == PR_TIME_NONE)
        abort();
    pr_time_text(time, shown, sizeof shown);
    bool readable = pr_time_parse(shown, &again) == PR_OK;
    if (!readable && time > -INT64_MAX / 8 && time < INT64_MAX / 8) /* beyond, hours have too many digits */
        abort();
    if (readable && (again - time > 500 || time - again > 500))
        abort();
    return 0;
}
