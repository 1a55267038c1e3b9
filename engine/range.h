/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pages and boxes as people write them.
 */
#pragma once

#include <stdint.h>

/* A range of pages: "7", "3-10", "3-", "-10" count from 1, as people do; the results count from 0, *last is -1 for "to the end".
 * "" is all pages. PR_ERR_INVALID. */
int engine_parse_pages(const char *text, int32_t *first, int32_t *last);
/* A box as "left,top,right,bottom": four finite numbers, box[0] < box[2] and box[1] < box[3]. PR_ERR_INVALID. */
int engine_parse_box(const char *text, double box[4]);
