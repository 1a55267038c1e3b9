/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vision/words.h"

#include <inttypes.h>
#include <stdbool.h>

/* 0 to 999 */
static void below_thousand(struct base_buf *out, int32_t n)
{
    static const char *const small[] = {
        "zero", "one",    "two",    "three",    "four",     "five",    "six",     "seven",     "eight",    "nine",
        "ten",  "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"};
    static const char *const tens[] = {"twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"};
    if (n >= 100) {
        base_buf_printf(out, "%s hundred", small[n / 100]);
        n %= 100;
        if (n == 0)
            return;
        base_buf_puts(out, " and ");
    }
    if (n < 20) {
        base_buf_puts(out, small[n]);
        return;
    }
    base_buf_puts(out, tens[n / 10 - 2]);
    if (n % 10)
        base_buf_printf(out, "-%s", small[n % 10]);
}

void vision_words_number(struct base_buf *out, int32_t number)
{
    static const struct {
        int32_t unit;
        const char *name;
    } groups[] = {{1000000, "million"}, {1000, "thousand"}};
    bool begun = false;
    for (int i = 0; i < 2; i++) {
        if (number < groups[i].unit)
            continue;
        base_buf_puts(out, begun ? ", " : "");
        below_thousand(out, number / groups[i].unit);
        base_buf_printf(out, " %s", groups[i].name);
        number %= groups[i].unit;
        begun = true;
    }
    if (begun && number == 0)
        return;
    if (begun)
        base_buf_puts(out, number < 100 ? " and " : ", ");
    below_thousand(out, number);
}

void vision_words_duration(struct base_buf *out, int64_t seconds)
{
    int64_t days = seconds / 86400, left = seconds % 86400;
    if (days)
        base_buf_printf(out, "%" PRId64 " day%s, ", days, days == 1 ? "" : "s");
    base_buf_printf(out, "%d:%02d:%02d", (int)(left / 3600), (int)(left / 60 % 60), (int)(left % 60));
}
