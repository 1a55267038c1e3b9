/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Numbers and times as the prompts of families spell them.
 */
#pragma once

#include "base/mem.h"

#include <stdint.h>

/* Appends an English cardinal: "sixty-four", "one hundred and five", "one thousand, two hundred and one" (num2words).
 * 0 to 999,999,999. */
void vision_words_number(struct base_buf *out, int32_t number);

/* Appends h:mm:ss, with days in front from the second day on: "1 day, 0:00:05" (Python's timedelta). */
void vision_words_duration(struct base_buf *out, int64_t seconds);
