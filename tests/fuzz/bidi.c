/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The bytes are a line of letters, two bytes each, with gaps where they say so. What is read has the same letters, but for brackets that
 * are turned, and is UTF-8.
 */
#include "tests/fuzz/fuzz.h"

#include "base/utf8.h"
#include "ingest/bidi.h"

#include <stdlib.h>

static uint32_t unturned(uint32_t c)
{
    return c == ')' ? '(' : c == ']' ? '[' : c == '}' ? '{' : c == '>' ? '<' : c == 0xbb ? 0xab : c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t n = size / 2;
    struct bidi_glyph *glyphs = base_alloc_array(n + 1, sizeof *glyphs);
    struct base_buf out = {0};
    uint64_t sum = 0;
    float x = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t c = data[2 * i] | (uint32_t)(data[2 * i + 1] & 0x7f) << 8;
        glyphs[i].character = c > ' ' ? c : 'a';
        x += data[2 * i + 1] & 0x80 ? 1 : 0;
        glyphs[i].x0 = x;
        glyphs[i].x1 = ++x;
        sum += (uint64_t)unturned(glyphs[i].character) * 2654435761u;
    }
    ingest_bidi_line(glyphs, n, 0.5f, n % 2 ? BIDI_RIGHT_TO_LEFT : BIDI_LEFT_TO_RIGHT, &out);
    if (base_utf8_valid(out.data, out.len) != out.len)
        abort();
    for (size_t at = 0; at < out.len;) {
        uint32_t c;
        at += base_utf8_decode(out.data + at, out.len - at, &c);
        sum -= c == ' ' ? 0 : (uint64_t)unturned(c) * 2654435761u;
    }
    if (sum != 0)
        abort();
    base_buf_finish(&out);
    base_free(glyphs);
    return 0;
}
