/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/range.h"

#include "base/error.h"

#include <math.h>
#include <stdio.h>

int engine_parse_pages(const char *text, int32_t *first, int32_t *last)
{
    int a, b, end = 0;
    *first = 0;
    *last = -1;
    if (!*text)
        return PR_OK;
    if (sscanf(text, "%9d-%9d%n", &a, &b, &end) == 2 && a >= 1 && b >= a && !text[end])
        *first = a - 1, *last = b - 1;
    else if (end = 0, sscanf(text, "-%9d%n", &b, &end) == 1 && text[0] == '-' && b >= 1 && end && !text[end])
        *last = b - 1;
    else if (end = 0, sscanf(text, "%9d-%n", &a, &end) == 1 && a >= 1 && end && !text[end])
        *first = a - 1;
    else if (end = 0, sscanf(text, "%9d%n", &a, &end) == 1 && a >= 1 && end && !text[end])
        *first = *last = a - 1;
    else
        return base_fail(PR_ERR_INVALID, "'%.60s' is no range of pages; write it like 7 or 3-10", text);
    return PR_OK;
}

int engine_parse_box(const char *text, double box[4])
{
    int end = 0;
    if (sscanf(text, "%lf,%lf,%lf,%lf%n", &box[0], &box[1], &box[2], &box[3], &end) != 4 || text[end] ||
        !(box[2] > box[0]) || !(box[3] > box[1]) || !isfinite(box[2] - box[0]) || !isfinite(box[3] - box[1]))
        return base_fail(PR_ERR_INVALID, "'%.60s' is no box; write it like 72,100,300,250 (left, top, right, bottom)",
                         text);
    return PR_OK;
}
