/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Unicode normalization form C, as the tokenizers of the Qwen families apply it (Unicode Standard Annex 15).
 */
#pragma once

#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>

/* text must be well-formed UTF-8. True: it is normalized already and `out` is untouched. False: its normal form was
 * appended to `out`. Cost is linear but for sorting runs of combining marks. */
bool model_nfc(const char *text, size_t size, struct base_buf *out);
