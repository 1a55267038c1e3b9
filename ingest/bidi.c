/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ingest/bidi.h"

#include "base/utf8.h"

#include <string.h>

enum direction { NEUTRAL, LEFT_TO_RIGHT, RIGHT_TO_LEFT, DIGIT };

static bool is_in(uint32_t c, uint32_t first, uint32_t last)
{
    return c >= first && c <= last;
}

static enum direction direction_of(uint32_t c)
{
    if (is_in(c, '0', '9') || is_in(c, 0x660, 0x669) || is_in(c, 0x6f0, 0x6f9))
        return DIGIT;
    if (is_in(c, 0x590, 0x8ff) || is_in(c, 0xfb1d, 0xfdff) || is_in(c, 0xfe70, 0xfefc) || is_in(c, 0x10800, 0x10fff) ||
        is_in(c, 0x1e800, 0x1efff))
        return c == 0x60c || c == 0x66a || c == 0x66b || c == 0x66c ? NEUTRAL : RIGHT_TO_LEFT; /* , % . , of numbers */
    bool sign = c < 0xc0 || c == 0xd7 || c == 0xf7 || is_in(c, 0x2000, 0x2bff) || is_in(c, 0x3000, 0x3020) ||
                is_in(c, 0xe000, 0xf8ff) || c >= 0xfff0;
    bool latin = is_in(c | 0x20, 'a', 'z');
    return sign && !latin ? NEUTRAL : LEFT_TO_RIGHT;
}

bool ingest_bidi_is_right_to_left(uint32_t c)
{
    return direction_of(c) == RIGHT_TO_LEFT;
}

static void reverse(uint32_t *text, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        uint32_t kept = text[i];
        text[i] = text[n - 1 - i];
        text[n - 1 - i] = kept;
    }
}

/* Whether the signs between two items of a foreign run belong to it: they do between words, and in a number ("1.5"), but numbers that are
 * listed follow each other in the direction of the line. */
static bool joins(const uint32_t *text, size_t a, size_t b)
{
    if (direction_of(text[a]) == LEFT_TO_RIGHT || direction_of(text[b]) == LEFT_TO_RIGHT)
        return true;
    return b == a + 1 || (b == a + 2 && text[a + 1] != ' ');
}

/* In a text that was turned round, turns back what runs from left to right. */
static void restore_left_to_right(uint32_t *text, size_t n)
{
    for (size_t begin = 0; begin < n;) {
        enum direction first = direction_of(text[begin]);
        if (first != LEFT_TO_RIGHT && first != DIGIT) {
            begin++;
            continue;
        }
        size_t last = begin;
        for (size_t i = begin + 1; i < n && direction_of(text[i]) != RIGHT_TO_LEFT; i++)
            if (direction_of(text[i]) != NEUTRAL) {
                if (!joins(text, last, i))
                    break;
                last = i;
            }
        reverse(text + begin, last + 1 - begin);
        begin = last + 1;
    }
}

/* In a line from left to right, turns round what runs the other way: from a letter to the last one before the next foreign one. */
static void turn_right_to_left(uint32_t *text, size_t n)
{
    for (size_t begin = 0; begin < n; begin++) {
        if (direction_of(text[begin]) != RIGHT_TO_LEFT)
            continue;
        size_t last = begin;
        for (size_t i = begin + 1; i < n && direction_of(text[i]) != LEFT_TO_RIGHT; i++)
            if (direction_of(text[i]) == RIGHT_TO_LEFT)
                last = i;
        reverse(text + begin, last + 1 - begin);
        restore_left_to_right(text + begin, last + 1 - begin);
        begin = last;
    }
}

static uint32_t mirrored(uint32_t c)
{
    static const uint32_t pairs[][2] = {{'(', ')'}, {'[', ']'}, {'{', '}'}, {'<', '>'}, {0xab, 0xbb}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        for (int k = 0; k < 2; k++)
            if (pairs[i][k] == c)
                return pairs[i][1 - k];
    return c;
}

/* -1: opens, 1: closes, 0: is no bracket. */
static int bracket(uint32_t c)
{
    return c == mirrored(c) ? 0 : c == '(' || c == '[' || c == '{' || c == '<' || c == 0xab ? -1 : 1;
}

/* On the page a bracket that opens a text from right to left looks like one that closes, and files mostly have it as it looks. */
static void restore_brackets(uint32_t *text, size_t n)
{
    size_t first = 0;
    while (first < n && bracket(text[first]) == 0)
        first++;
    if (first == n || bracket(text[first]) < 0)
        return;
    bool opens = false; /* behind the one that closes: else it may close what a line before it opened */
    for (size_t i = first + 1; i < n; i++)
        opens |= text[i] == mirrored(text[first]);
    for (size_t i = first; opens && i < n; i++)
        text[i] = mirrored(text[i]);
}

void ingest_bidi_line(const struct bidi_glyph *glyphs, size_t n, float blank, enum bidi_page page, struct base_buf *out)
{
    int64_t balance = 0;
    size_t len = 0;
    uint32_t *text = base_alloc_array(2 * n + 1, sizeof *text);
    for (size_t i = 0; i < n; i++) {
        enum direction direction = direction_of(glyphs[i].character);
        int64_t weight = page == BIDI_RIGHT_TO_LEFT ? 3 : 1;
        balance += weight * (direction == RIGHT_TO_LEFT) - (direction == LEFT_TO_RIGHT);
        if (i > 0 && glyphs[i].x0 - glyphs[i - 1].x1 > blank)
            text[len++] = ' ';
        text[len++] = glyphs[i].character;
    }
    if (balance > 0) {
        reverse(text, len);
        restore_left_to_right(text, len);
        restore_brackets(text, len);
    } else {
        turn_right_to_left(text, len);
    }
    for (size_t i = 0; i < len; i++) {
        char bytes[4];
        base_buf_append(out, bytes, base_utf8_encode(text[i], bytes));
    }
    base_free(text);
}
