/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/utf8.h"

/* What may follow a first byte: its length and the range of the second byte; the others are 0x80..0xbf. */
struct lead {
    uint8_t length, second_min, second_max;
};

static struct lead lead_of(uint8_t byte)
{
    if (byte < 0x80)
        return (struct lead){1, 0, 0};
    if (byte < 0xc2)
        return (struct lead){0, 0, 0};
    if (byte < 0xe0)
        return (struct lead){2, 0x80, 0xbf};
    if (byte < 0xf0)
        return (struct lead){3, byte == 0xe0 ? 0xa0 : 0x80, byte == 0xed ? 0x9f : 0xbf};
    if (byte < 0xf5)
        return (struct lead){4, byte == 0xf0 ? 0x90 : 0x80, byte == 0xf4 ? 0x8f : 0xbf};
    return (struct lead){0, 0, 0};
}

/* How many bytes of text are the beginning of a character (at most its length); *whole: all of it is there. */
static size_t beginning(const char *text, size_t len, bool *whole)
{
    const uint8_t *bytes = (const uint8_t *)text;
    *whole = false;
    if (!len)
        return 0;
    struct lead lead = lead_of(bytes[0]);
    size_t n = lead.length > 0;
    if (n < lead.length && n < len && bytes[1] >= lead.second_min && bytes[1] <= lead.second_max)
        for (n = 2; n < lead.length && n < len && (bytes[n] & 0xc0) == 0x80;)
            n++;
    *whole = n && n == lead.length;
    return n;
}

size_t base_utf8_decode(const char *text, size_t len, uint32_t *c)
{
    bool whole;
    size_t n = beginning(text, len, &whole);
    if (!whole)
        return 0;
    const uint8_t *bytes = (const uint8_t *)text;
    uint32_t value = n == 1 ? bytes[0] : bytes[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++)
        value = value << 6 | (bytes[i] & 0x3f);
    if (c)
        *c = value;
    return n;
}

size_t base_utf8_encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(0xf00 >> n | c);
    return n;
}

size_t base_utf8_valid(const char *text, size_t len)
{
    size_t at = 0;
    while (at < len) {
        bool whole;
        size_t n = beginning(text + at, len - at, &whole);
        if (!whole)
            break;
        at += n;
    }
    return at;
}

void base_utf8_stream_push(struct base_utf8_stream *stream, const char *bytes, size_t len, struct base_buf *out)
{
    for (size_t i = 0; i < len; i++) {
        bool whole;
        stream->pending[stream->n] = bytes[i];
        size_t n = beginning(stream->pending, stream->n + 1u, &whole);
        if (n == stream->n + 1u) {
            stream->n = (uint8_t)n;
        } else { /* the new byte doesn't continue what was pending */
            base_utf8_stream_flush(stream, out);
            stream->pending[0] = bytes[i];
            stream->n = 1;
            if (!beginning(stream->pending, 1, &whole))
                base_utf8_stream_flush(stream, out);
        }
        if (whole) {
            base_buf_append(out, stream->pending, stream->n);
            stream->n = 0;
        }
    }
}

void base_utf8_stream_flush(struct base_utf8_stream *stream, struct base_buf *out)
{
    if (stream->n)
        base_buf_puts(out, "\xef\xbf\xbd");
    stream->n = 0;
}
