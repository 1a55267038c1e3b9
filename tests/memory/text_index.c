/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/text_index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const passages[] = {
    "The engine is started with the red switch.",
    "Cats and dogs are animals that people keep.",
    "東京は日本の首都です。",
    "서울은 대한민국의 수도이다",
    "Die Straße in Zürich ist lang; CAFÉ geöffnet",
    "switches switches switches",
    "Устройства проверяются при запуске",
    "Part wombat4321 is here",
};

static struct text_index *make_index(void)
{
    struct text_index *index;
    assert_int_equal(memory_text_index_open(NULL, &index), PR_OK);
    for (size_t i = 0; i < sizeof passages / sizeof *passages; i++)
        assert_int_equal(memory_text_index_add(index, (int64_t)i, passages[i], strlen(passages[i])), PR_OK);
    return index;
}

static void expect_best(struct text_index *index, const char *question, int passage)
{
    struct text_hit hits[8];
    size_t n;
    assert_int_equal(memory_text_index_search(index, question, NULL, 8, hits, &n), PR_OK);
    if (passage < 0) {
        assert_int_equal(n, 0);
        return;
    }
    assert_true(n > 0);
    assert_int_equal(hits[0].id, passage);
    for (size_t i = 1; i < n; i++)
        assert_true(hits[i].score <= hits[i - 1].score);
}

static void test_words(void **state)
{
    (void)state;
    struct text_index *index = make_index();
    expect_best(index, "How do I start the ENGINE?", 0);
    expect_best(index, "which animal does one keep", 1);
    expect_best(index, "zurich cafe", 4);
    expect_best(index, "switch", 5);
    expect_best(index, "welche Straßen", 4); /* endings differ, in languages that nobody named, too */
    expect_best(index, "проверка устройством", 6);
    expect_best(index, "wombat432", -1); /* names with digits are meant as they are */
    expect_best(index, "animated", -1);  /* but the beginning is long */
    expect_best(index, "giraffe", -1);
    expect_best(index, "What is the giraffe, and how is it with you?", -1);
    expect_best(index, "Ist das die Giraffe?", -1);
    memory_text_index_close(index);
}

static void test_least_coverage(void **state)
{
    (void)state;
    struct text_index *index;
    struct text_hit hit;
    size_t n;
    assert_int_equal(memory_text_index_open(NULL, &index), PR_OK);
    assert_int_equal(memory_text_index_add(index, 1, "The valve closes at nine bar.", 29), PR_OK);
    assert_int_equal(memory_text_index_search(index, "At which pressure does the valve close?", NULL, 1, &hit, &n),
                     PR_OK);
    assert_true(hit.coverage > 0.4); /* two of three words, however short the text is */
    assert_int_equal(memory_text_index_search(index, "Which giraffes eat the acacia of the valve?", NULL, 1, &hit, &n),
                     PR_OK);
    assert_true(hit.coverage < memory_least_coverage("How?"));
    memory_text_index_close(index);
    assert_true(memory_least_coverage("") > 0);
    assert_true(memory_least_coverage("How?") > memory_least_coverage("首都はどこですか"));
    assert_true(memory_least_coverage("How does the 首都 start?") == memory_least_coverage("How?"));
}

/* A heading of one word doesn't stand before the passage that has all of the question; what is found says how much of the question
 * it has. */
static void test_short_passages(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "author",
        "Author",
        "The author of this guide is Mary Miller of Leeds, who wrote it for new maintainers of packages.",
        "A package is built from its source, and the build is described by a file of rules that every package has.",
        "Guide",
        "The new edition of the handbook was printed in Leeds in the year of the flood.",
    };
    struct text_index *index;
    struct text_hit hits[8];
    size_t n;
    assert_int_equal(memory_text_index_open(NULL, &index), PR_OK);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_int_equal(memory_text_index_add(index, (int64_t)i, texts[i], strlen(texts[i])), PR_OK);
    expect_best(index, "Who is the author of the guide?", 2);
    expect_best(index, "built package", 3);
    assert_int_equal(memory_text_index_search(index, "author guide author", NULL, 8, hits, &n), PR_OK);
    assert_true(n == 4 && hits[0].coverage > 0.999 && hits[1].coverage < 0.7 && hits[1].coverage > 0.3);
    assert_int_equal(memory_text_index_search(index, "author zebra giraffe", NULL, 8, hits, &n), PR_OK);
    assert_true(n == 3 && hits[0].coverage < 0.3);
    memory_text_index_close(index);
}

static void test_unspaced_scripts(void **state)
{
    (void)state;
    struct text_index *index = make_index();
    expect_best(index, "日本の首都は？", 2);
    expect_best(index, "首都", 2);
    expect_best(index, "東", 2);
    expect_best(index, "수도", 3);
    expect_best(index, "北京", -1);
    memory_text_index_close(index);
}

/* A question is words: operators, quotes and broken UTF-8 in it are harmless. */
static void test_hostile_questions(void **state)
{
    (void)state;
    struct text_index *index = make_index();
    static const char *const questions[] = {"",
                                            "?!",
                                            "\"",
                                            "engine\" OR \"",
                                            "text:engine",
                                            "NEAR(engine, 1)",
                                            "a*b^c-",
                                            "\xff\xfe",
                                            "\xe6\x97",
                                            "'; DROP TABLE passages; --",
                                            "AND OR NOT"};
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        struct text_hit hits[4];
        size_t n = 99;
        assert_int_equal(memory_text_index_search(index, questions[i], NULL, 4, hits, &n), PR_OK);
        assert_true(n <= 4);
    }
    expect_best(index, "engine", 0);
    memory_text_index_close(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_short_passages),
        cmocka_unit_test(test_least_coverage),
        cmocka_unit_test(test_unspaced_scripts),
        cmocka_unit_test(test_hostile_questions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
