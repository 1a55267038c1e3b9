/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writes JSON (RFC 8259) values at the end of a buffer. Commas and braces are the caller's.
 */
#pragma once

#include "base/mem.h"

/* A string in quotes. Bytes that aren't UTF-8 become U+FFFD, one for each byte. */
void base_json_text(struct base_buf *out, const char *text, size_t len);
/* The shortest decimal that reads back as the same float or double, in every locale; NaN and infinities become null. */
void base_json_float(struct base_buf *out, float value);
void base_json_double(struct base_buf *out, double value);
