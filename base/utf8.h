/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. Everything here is thread-safe.
 */
#pragma once

#include "base/mem.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes of the character that begins at text[0], and the character in *c (may be NULL); 0 when len is 0 or no valid character
 * begins there. */
size_t base_utf8_decode(const char *text, size_t len, uint32_t *c);

/* Writes a character that base_utf8_decode() could have given; returns its length, 1 to 4. */
size_t base_utf8_encode(uint32_t c, char out[4]);

/* The length of the longest beginning of text that is valid. */
size_t base_utf8_valid(const char *text, size_t len);

/* Turns bytes that arrive in any cuts (tokens end inside characters) into whole characters. Bytes that can't become a
 * character come out as U+FFFD, one for each longest beginning of a character (the standard's "maximal subpart").
 * Zero-initialised is ready. */
struct base_utf8_stream {
    char pending[4]; /* the beginning of a character */
    uint8_t n;
};
/* Appends the characters that are whole by now. */
void base_utf8_stream_push(struct base_utf8_stream *stream, const char *bytes, size_t len, struct base_buf *out);
/* The end: what is pending can't be completed any more. The stream is ready for another text. */
void base_utf8_stream_flush(struct base_utf8_stream *stream, struct base_buf *out);
