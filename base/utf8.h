/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Bytes of the character that begins at text[0], and the character in *c (may be NULL); 0 when len is 0 or no valid character
 * begins there. Thread-safe. */
size_t base_utf8_decode(const char *text, size_t len, uint32_t *c);
