/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ingest/plain.h"

#include "base/utf8.h"

#include <stdint.h>
#include <string.h>

enum { REPLACEMENT = 0xfffd };

/* Windows-1252 where it isn't Latin-1: 0x80 to 0x9f. */
static const uint16_t windows[32] = {
    0x20ac, 0xfffd, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160,
    0x2039, 0x0152, 0xfffd, 0x017d, 0xfffd, 0xfffd, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
    0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0xfffd, 0x017e, 0x0178,
};

static void put(struct base_buf *out, uint32_t c)
{
    char bytes[4];
    base_buf_append(out, bytes, base_utf8_encode(c, bytes));
}

static uint32_t unit_at(const uint8_t *bytes, bool big)
{
    return big ? (uint32_t)bytes[0] << 8 | bytes[1] : (uint32_t)bytes[1] << 8 | bytes[0];
}

static bool is_high(uint32_t unit)
{
    return unit >= 0xd800 && unit < 0xdc00;
}

static bool is_low(uint32_t unit)
{
    return unit >= 0xdc00 && unit < 0xe000;
}

bool ingest_plain_is_utf16(const void *head, size_t len)
{
    const uint8_t *bytes = head;
    bool big = len >= 2 && bytes[0] == 0xfe && bytes[1] == 0xff;
    if (len < 4 || (!big && (bytes[0] != 0xff || bytes[1] != 0xfe)))
        return false;
    for (size_t i = 2; i + 1 < len; i += 2) {
        uint32_t unit = unit_at(bytes + i, big);
        bool control = unit < 0x20 && !memchr("\t\n\v\f\r\x1b", (int)unit, 6);
        bool follows = is_high(unit_at(bytes + i - 2, big));
        if (control || unit >= 0xfffe || is_low(unit) != follows)
            return false;
    }
    return true;
}

enum plain_encoding ingest_plain_detect(const void *head, size_t len, size_t *skip)
{
    const uint8_t *bytes = head;
    *skip = 0;
    if (ingest_plain_is_utf16(head, len)) {
        *skip = 2;
        return bytes[0] == 0xff ? PLAIN_UTF16_LITTLE : PLAIN_UTF16_BIG;
    }
    if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
        *skip = 3;
    size_t good = 0, bad = 0; /* characters of several bytes; bytes that are part of none */
    for (size_t i = 0; i < len;) {
        size_t n = base_utf8_decode((const char *)bytes + i, len - i, NULL);
        good += n > 1;
        bad += n == 0 && i + 3 < len; /* the last character may go on behind what was looked at */
        i += n ? n : 1;
    }
    return bad > good ? PLAIN_WINDOWS : PLAIN_UTF8;
}

/* Bytes at the end of UTF-8 that begin a character without ending it. */
static size_t pending(const uint8_t *bytes, size_t len)
{
    for (size_t n = 1; n <= 3 && n <= len; n++) {
        uint8_t c = bytes[len - n];
        if ((c & 0xc0) == 0x80)
            continue;
        size_t whole = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
        return whole > n ? n : 0;
    }
    return 0;
}

static size_t append_utf16(struct base_buf *out, bool big, const uint8_t *bytes, size_t len, bool end)
{
    size_t i = 0;
    for (; i + 1 < len; i += 2) {
        uint32_t unit = unit_at(bytes + i, big);
        if (is_high(unit) && i + 3 >= len && !end)
            return i;
        uint32_t next = is_high(unit) && i + 3 < len ? unit_at(bytes + i + 2, big) : 0;
        if (is_low(next)) {
            put(out, 0x10000 + ((unit - 0xd800) << 10) + (next - 0xdc00));
            i += 2;
        } else {
            put(out, is_high(unit) || is_low(unit) ? REPLACEMENT : unit);
        }
    }
    return end ? len : i;
}

size_t ingest_plain_append(struct base_buf *out, enum plain_encoding encoding, const void *data, size_t len, bool end)
{
    const uint8_t *bytes = data;
    if (encoding == PLAIN_UTF8) {
        size_t n = end ? len : len - pending(bytes, len);
        base_buf_append(out, data, n);
        return n;
    }
    if (encoding != PLAIN_WINDOWS)
        return append_utf16(out, encoding == PLAIN_UTF16_BIG, bytes, len, end);
    for (size_t i = 0; i < len; i++)
        put(out, bytes[i] >= 0x80 && bytes[i] < 0xa0 ? windows[bytes[i] - 0x80] : bytes[i]);
    return len;
}
