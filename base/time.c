/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Times as people write them.
 */
#include "base/error.h"
#include "pagereel/source.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *pr_time_text(int64_t microseconds, char *out, size_t size)
{
    if (microseconds == PR_TIME_NONE) {
        snprintf(out, size, "-");
        return out;
    }
    /* Rounded to the millisecond that is shown; the sign stands alone. */
    uint64_t us = microseconds < 0 ? 0 - (uint64_t)microseconds : (uint64_t)microseconds;
    uint64_t ms = (us + 500) / 1000;
    snprintf(out, size, "%s%" PRIu64 ":%02d:%02d.%03d", microseconds < 0 && ms ? "-" : "", ms / 3600000,
             (int)(ms / 60000 % 60), (int)(ms / 1000 % 60), (int)(ms % 1000));
    return out;
}

/* Digits, perhaps with a fraction, as microseconds of `unit`; moves *text behind them. False: no digits, or too many. */
static bool parse_number(const char **text, int64_t unit, int64_t *out)
{
    const int64_t limit = INT64_MAX / 4;
    int64_t whole = 0, part = 0, scale = unit;
    const char *c = *text;
    int digits = 0;
    for (; *c >= '0' && *c <= '9'; c++, digits++) {
        if (whole > (limit / unit - (*c - '0')) / 10)
            return false;
        whole = whole * 10 + (*c - '0');
    }
    if (*c == '.' || *c == ',') {
        for (c++; *c >= '0' && *c <= '9'; c++, digits++) {
            scale /= 10; /* beyond microseconds digits count nothing */
            part += (*c - '0') * scale;
        }
    }
    *text = c;
    *out = whole * unit + part;
    return digits > 0;
}

/* "1:02:03.5", "2:03", "83.5": each part but the last is whole. */
static bool parse_clock(const char *text, int64_t *out)
{
    static const int64_t second = 1000000;
    int64_t total = 0, part;
    for (int parts = 1; parts <= 3; parts++) {
        const char *end = strchr(text, ':');
        if (end && (strchr(text, '.') ? strchr(text, '.') < end : false))
            return false;
        if (!parse_number(&text, second, &part) || total > INT64_MAX / 240)
            return false;
        total = total * 60 + part;
        if (*text == '\0') {
            *out = total;
            return true;
        }
        if (*text++ != ':')
            return false;
    }
    return false;
}

/* "1h2m3s", "90s", "500ms", "1.5h": units in falling order. */
static bool parse_units(const char *text, int64_t *out)
{
    static const struct {
        const char *name;
        int64_t microseconds;
    } units[] = {
        /* of names that begin alike the longer one comes first */
        {"hours", 3600000000}, {"hour", 3600000000}, {"hrs", 3600000000},
        {"hr", 3600000000},    {"h", 3600000000},    {"minutes", 60000000},
        {"minute", 60000000},  {"mins", 60000000},   {"min", 60000000},
        {"msec", 1000},        {"ms", 1000},         {"m", 60000000},
        {"seconds", 1000000},  {"second", 1000000},  {"secs", 1000000},
        {"sec", 1000000},      {"s", 1000000},       {"us", 1},
    };
    int64_t total = 0, last = INT64_MAX;
    while (*text) {
        const char *probe = text;
        int64_t value;
        probe += strspn(probe, "0123456789.,");
        size_t blanks = strspn(probe, " ");
        probe += blanks;
        size_t u = 0;
        while (u < sizeof units / sizeof *units && strncmp(probe, units[u].name, strlen(units[u].name)) != 0)
            u++;
        if (u == sizeof units / sizeof *units || units[u].microseconds >= last ||
            !parse_number(&text, units[u].microseconds, &value) || text + blanks != probe ||
            __builtin_add_overflow(total, value, &total))
            return false;
        last = units[u].microseconds;
        text = probe + strlen(units[u].name);
        text += strspn(text, " ");
    }
    *out = total;
    return last != INT64_MAX;
}

int pr_time_parse(const char *text, int64_t *microseconds)
{
    const char *c = text + strspn(text, " ");
    bool negative = *c == '-';
    c += negative;
    int64_t value;
    if (!parse_clock(c, &value) && !parse_units(c, &value))
        return base_fail(PR_ERR_INVALID, "'%.60s' is no time; write it like 0:41:10.5, 41:10, 90s or 1h2m3s", text);
    *microseconds = negative ? -value : value;
    return PR_OK;
}
