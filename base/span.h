/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where something came from. A span is attached at ingest, copied by vision, merged by memory and resolved into a
 * citation by engine.
 */
#pragma once

#include <stdint.h>

#define BASE_TIME_NONE INT64_MIN /* "no time": times are microseconds of presentation time otherwise */
#define BASE_PAGE_NONE (-1)

struct base_box {
    float x0, y0, x1, y1; /* points (1/72 inch) from the upper left corner of the page, x0 <= x1, y0 <= y1 */
};

/* Of a video: page is BASE_PAGE_NONE and [t0, t1) says when. Of a document: page counts from 0, box says where on it
 * (all zero: the whole page), t0 and t1 are BASE_TIME_NONE. */
struct base_span {
    int32_t source; /* index of the source in its library or session */
    int32_t page;
    int64_t t0, t1;
    struct base_box box;
};
