/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Decompose fully, put combining marks in canonical order, compose again (The Unicode Standard, 3.11). Hangul syllables
 * follow by arithmetic (3.12), everything else from nfc_table.h.
 */
#include "model/nfc.h"

#include "base/utf8.h"
#include "model/nfc_table.h"

#include <stdlib.h>

enum {
    HANGUL_S = 0xac00,
    HANGUL_L = 0x1100,
    HANGUL_V = 0x1161,
    HANGUL_T = 0x11a7, /* one before the first final consonant: 0 means that there is none */
    HANGUL_L_COUNT = 19,
    HANGUL_V_COUNT = 21,
    HANGUL_T_COUNT = 28,
    HANGUL_S_COUNT = HANGUL_L_COUNT * HANGUL_V_COUNT * HANGUL_T_COUNT
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

struct character {
    uint32_t codepoint, place; /* place: in the decomposed text, which keeps the order of equal classes */
    uint8_t ccc;               /* canonical combining class */
};
struct characters {
    struct character *list;
    size_t n, cap;
};

static bool in_range(uint32_t codepoint, uint32_t first, uint32_t count)
{
    return codepoint >= first && codepoint - first < count;
}

/* The row of nfc_touched that holds the codepoint, or -1. */
static int touched_row(uint32_t codepoint)
{
    size_t low = 0, high = COUNT(nfc_touched);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (nfc_touched[middle].last < codepoint)
            low = middle + 1;
        else
            high = middle;
    }
    return low < COUNT(nfc_touched) && nfc_touched[low].first <= codepoint ? (int)low : -1;
}

static uint8_t class_of(uint32_t codepoint)
{
    int row = touched_row(codepoint);
    return row < 0 ? 0 : nfc_touched[row].ccc;
}

/* The row of nfc_decompositions for the codepoint, or -1. */
static int decomposition_row(uint32_t codepoint)
{
    size_t low = 0, high = COUNT(nfc_decompositions);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (nfc_decompositions[middle].codepoint < codepoint)
            low = middle + 1;
        else
            high = middle;
    }
    return low < COUNT(nfc_decompositions) && nfc_decompositions[low].codepoint == codepoint ? (int)low : -1;
}

/* The character that two make, or 0. */
static uint32_t compose(uint32_t a, uint32_t b)
{
    if (in_range(a, HANGUL_L, HANGUL_L_COUNT) && in_range(b, HANGUL_V, HANGUL_V_COUNT))
        return HANGUL_S + ((a - HANGUL_L) * HANGUL_V_COUNT + (b - HANGUL_V)) * HANGUL_T_COUNT;
    if (in_range(a, HANGUL_S, HANGUL_S_COUNT) && (a - HANGUL_S) % HANGUL_T_COUNT == 0 &&
        in_range(b, HANGUL_T + 1, HANGUL_T_COUNT - 1))
        return a + (b - HANGUL_T);
    size_t low = 0, high = COUNT(nfc_compositions);
    while (low < high) {
        size_t middle = (low + high) / 2;
        size_t row = nfc_compositions[middle];
        if (nfc_decompositions[row].first == a && nfc_decompositions[row].second == b)
            return nfc_decompositions[row].codepoint;
        if (nfc_decompositions[row].first < a ||
            (nfc_decompositions[row].first == a && nfc_decompositions[row].second < b))
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

static void append(struct characters *out, uint32_t codepoint)
{
    if (out->n == out->cap) {
        out->cap = out->cap ? 2 * out->cap : 64;
        out->list = base_realloc(out->list, out->cap * sizeof *out->list);
    }
    out->list[out->n] = (struct character){codepoint, (uint32_t)out->n, class_of(codepoint)};
    out->n++;
}

static void decompose(uint32_t codepoint, struct characters *out)
{
    if (in_range(codepoint, HANGUL_S, HANGUL_S_COUNT)) {
        uint32_t syllable = codepoint - HANGUL_S;
        append(out, HANGUL_L + syllable / (HANGUL_V_COUNT * HANGUL_T_COUNT));
        append(out, HANGUL_V + syllable / HANGUL_T_COUNT % HANGUL_V_COUNT);
        if (syllable % HANGUL_T_COUNT)
            append(out, HANGUL_T + syllable % HANGUL_T_COUNT);
        return;
    }
    int row = decomposition_row(codepoint);
    if (row < 0) {
        append(out, codepoint);
        return;
    }
    decompose(nfc_decompositions[row].first, out); /* at most a few levels deep: the table has no cycles */
    if (nfc_decompositions[row].second)
        append(out, nfc_decompositions[row].second);
}

static int by_class(const void *a, const void *b)
{
    const struct character *x = a, *y = b;
    if (x->ccc != y->ccc)
        return x->ccc < y->ccc ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static void order_marks(struct characters *text)
{
    for (size_t i = 0; i < text->n;) {
        size_t end = i;
        while (end < text->n && text->list[end].ccc)
            end++;
        if (end - i > 1)
            qsort(text->list + i, end - i, sizeof *text->list, by_class);
        i = end + 1;
    }
}

/* Joins each character with the last starter before it unless a character between them blocks it. */
static void compose_all(struct characters *text)
{
    size_t n = 0, starter = SIZE_MAX;
    for (size_t i = 0; i < text->n; i++) {
        struct character c = text->list[i];
        bool blocked = starter == SIZE_MAX || (n > starter + 1 && text->list[n - 1].ccc >= c.ccc);
        uint32_t joined = blocked ? 0 : compose(text->list[starter].codepoint, c.codepoint);
        if (joined) {
            text->list[starter].codepoint = joined;
            continue;
        }
        if (!c.ccc)
            starter = n;
        text->list[n++] = c;
    }
    text->n = n;
}

bool model_nfc(const char *text, size_t size, struct base_buf *out)
{
    bool normalized = true;
    uint32_t codepoint = 0;
    for (size_t at = 0; at < size && normalized;) {
        if ((unsigned char)text[at] < 0x80) {
            at++;
            continue;
        }
        at += base_utf8_decode(text + at, size - at, &codepoint);
        normalized = touched_row(codepoint) < 0;
    }
    if (normalized)
        return true;

    struct characters characters = {0};
    for (size_t at = 0; at < size;) {
        at += base_utf8_decode(text + at, size - at, &codepoint);
        decompose(codepoint, &characters);
    }
    order_marks(&characters);
    compose_all(&characters);
    for (size_t i = 0; i < characters.n; i++) {
        char bytes[4];
        base_buf_append(out, bytes, base_utf8_encode(characters.list[i].codepoint, bytes));
    }
    base_free(characters.list);
    return false;
}
