/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Lines as they stand on the page, a unit of width for each letter, and the text that is read there.
 */
#include "ingest/bidi.h"

#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* `page` from left to right, "_" for a gap; `text` in the order of reading. */
static void expect_on(enum bidi_page direction, const char *page, const char *text)
{
    struct bidi_glyph glyphs[64];
    struct base_buf out = {0};
    size_t n = 0;
    float x = 0;
    for (size_t at = 0, step; (step = base_utf8_decode(page + at, strlen(page + at), &glyphs[n].character));
         at += step) {
        if (glyphs[n].character == '_') {
            x += 0.5f;
            continue;
        }
        glyphs[n].x0 = x;
        glyphs[n++].x1 = ++x;
    }
    ingest_bidi_line(glyphs, n, 0.2f, direction, &out);
    base_buf_puts(&out, "");
    if (strcmp(out.data, text) != 0)
        fail_msg("\"%s\" is read as \"%s\", not \"%s\"", page, out.data, text);
    base_buf_finish(&out);
}

static void expect(const char *page, const char *text)
{
    expect_on(BIDI_LEFT_TO_RIGHT, page, text);
}

static void test_lines(void **state)
{
    (void)state;
    expect("words_from_left", "words from left");
    expect("", "");
    expect("םולש", "שלום");
    expect("םלוע_םולש", "שלום עולם");
    /* Words and numbers of the other direction keep their order, signs stay where they separate. */
    expect(".םלוע_big_bang_םולש", "שלום big bang עולם.");
    expect("םלוע_1999_םולש", "שלום 1999 עולם");
    expect("1.5_םולש", "שלום 1.5");
    expect("20_,10_םולש", "שלום 10, 20");
    expect("۱۲_باتک", "کتاب ۱۲");
    expect_on(BIDI_RIGHT_TO_LEFT, "version_2.0_םולש", "שלום version 2.0");
    expect_on(BIDI_RIGHT_TO_LEFT, "no_letter_of_it.", "no letter of it.");
    /* Brackets look mirrored. */
    expect("םלוע_(םולש)", "(שלום) עולם");
    expect("(abc)_םולש", "שלום (abc)");
    expect("(םולש", "שלום("); /* alone, it stays as it looks: the other one may stand in another line */
    /* A line of the other direction with a word or two. */
    expect("the_word_םולש_means_peace", "the word שלום means peace");
    expect("the_words_םלוע_םולש_mean_it", "the words שלום עולם mean it");
    expect("the_words_5_םולש_mean_it", "the words 5 שלום mean it");
}

static void test_letters(void **state)
{
    (void)state;
    assert_true(ingest_bidi_is_right_to_left(0x5d0));
    assert_true(ingest_bidi_is_right_to_left(0x6cc));
    assert_true(ingest_bidi_is_right_to_left(0xfed3));
    assert_false(ingest_bidi_is_right_to_left('a'));
    assert_false(ingest_bidi_is_right_to_left('1'));
    assert_false(ingest_bidi_is_right_to_left(0x6f1));
    assert_false(ingest_bidi_is_right_to_left(0x4e00));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_letters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
