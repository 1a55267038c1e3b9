/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Plain text as people have it: UTF-8, UTF-16 with its mark, or a code page of Windows.
 */
#pragma once

#include "base/mem.h"

#include <stdbool.h>
#include <stddef.h>

enum plain_encoding { PLAIN_UTF8, PLAIN_UTF16_LITTLE, PLAIN_UTF16_BIG, PLAIN_WINDOWS };

/* What the first bytes of a text are written in; *skip is the length of a mark before it. What is no UTF-8, but for
 * a few bytes, is taken for Windows-1252, the code page that is by far the most common. */
enum plain_encoding ingest_plain_detect(const void *head, size_t len, size_t *skip);
/* Whether the first bytes are text in UTF-16: they have its mark, and no control characters. */
bool ingest_plain_is_utf16(const void *head, size_t len);
/* Appends bytes as UTF-8. Returns how many were used: all at the end of the text, else perhaps up to three less, which belong to a character
 * whose rest is to come. Broken UTF-8 is passed on as it is. */
size_t ingest_plain_append(struct base_buf *out, enum plain_encoding encoding, const void *bytes, size_t len, bool end);
