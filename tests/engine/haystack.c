/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/haystack.h"

#include "base/file.h"
#include "ingest/source.h"
#include "pagereel/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/folder.h"

static char film[64], again[64], pages[64];

static int make_folder(void **state)
{
    if (test_folder_make(state) < 0)
        return -1;
    snprintf(film, sizeof film, "%s/film.mov", test_folder);
    snprintf(again, sizeof again, "%s/again.mov", test_folder);
    snprintf(pages, sizeof pages, "%s/pages.pdf", test_folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(film);
    unlink(again);
    unlink(pages);
    return rmdir(test_folder);
}

static const double depths[] = {0, 0.5, 1};

static void test_a_film_has_its_needles_where_they_are_said_to_be(void **state)
{
    (void)state;
    struct haystack_order order = {.seed = 7, .seconds = 120, .shortest = 4, .depths = depths, .n = 3};
    struct haystack_needle needles[3], same[3];
    struct base_buf a = {0}, b = {0};
    assert_int_equal(engine_haystack_room(&order), 3);
    assert_int_equal(engine_haystack_make(film, &order, NULL, needles), PR_OK);
    assert_int_equal(engine_haystack_make(again, &order, NULL, same), PR_OK);
    assert_int_equal(base_file_read(film, 1 << 26, &a), PR_OK);
    assert_int_equal(base_file_read(again, 1 << 26, &b), PR_OK);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    base_buf_finish(&a);
    base_buf_finish(&b);
    assert_int_equal(needles[0].t0, 0);
    assert_int_equal(needles[2].t1, 120000000);
    assert_true(needles[1].t0 > 30000000 && needles[1].t1 < 90000000);
    for (int i = 0; i < 3; i++) {
        assert_true(needles[i].t1 - needles[i].t0 >= 4000000);
        assert_string_equal(needles[i].kind, "sign");
        assert_string_equal(needles[i].question, same[i].question);
        assert_true(strlen(needles[i].answer) >= 2);
        assert_null(strstr(needles[i].question, needles[i].answer));
        assert_int_not_equal(strcmp(needles[i].answer, needles[(i + 1) % 3].answer), 0);
        assert_int_not_equal(strcmp(needles[i].question, needles[(i + 1) % 3].question), 0);
    }

    /* What ingest reads of it: its length, and a new picture where a needle begins. */
    struct ingest_options options = ingest_options_default();
    struct ingest_source *source;
    struct pr_unit unit;
    int64_t last = 0;
    bool begins = false;
    options.rate = 5;
    options.max_pixels = 1 << 20;
    assert_int_equal(ingest_open(film, &options, &source), PR_OK);
    assert_int_equal(ingest_info(source)->duration, 120000000);
    while (ingest_next(source, &unit) == PR_OK) {
        assert_int_equal(unit.picture_width, 480);
        begins |= unit.span.t0 == needles[1].t0 && unit.passed;
        last = unit.span.t1;
    }
    ingest_close(source);
    assert_true(begins);
    assert_int_equal(last, 120000000);
}

static bool shows(const struct pr_unit *page, const char *word)
{
    for (size_t i = 0; i < page->n_lines; i++)
        if (engine_haystack_is_right(page->lines[i].text, word))
            return true;
    return false;
}

/* The word that a question about a page asks for: the last of the list's words in it. */
static void test_a_document_tells_facts_and_draws_numbers(void **state)
{
    (void)state;
    struct haystack_order order = {.seed = 3, .pages = 12, .depths = depths, .n = 3};
    struct haystack_needle needles[3];
    assert_int_equal(engine_haystack_room(&order), 3);
    assert_int_equal(engine_haystack_make(pages, &order, NULL, needles), PR_OK);
    assert_int_equal(needles[0].page, 0);
    assert_int_equal(needles[2].page, 11);
    assert_string_equal(needles[0].kind, "fact");
    assert_string_equal(needles[1].kind, "figure");
    struct ingest_options options = ingest_options_default();
    struct ingest_source *source;
    struct pr_unit unit;
    int seen = 0;
    options.max_pixels = 0;
    assert_int_equal(ingest_open(pages, &options, &source), PR_OK);
    for (int32_t page = 0; ingest_next(source, &unit) == PR_OK; page++) {
        assert_true(unit.n_lines > 8);
        for (int i = 0; i < 3; i++) {
            char word[64];
            const char *of = strstr(needles[i].question, "of ");
            snprintf(word, sizeof word, "%s", needles[i].kind[1] == 'i' ? of + 3 : needles[i].answer);
            word[strcspn(word, "?")] = '\0';
            if (needles[i].page != page)
                continue;
            assert_true(shows(&unit, word)); /* the fact's number; of a chart what it is about */
            seen++;
        }
    }
    ingest_close(source);
    assert_int_equal(seen, 3);

    order.text = true; /* nothing to be seen */
    assert_int_equal(engine_haystack_make(pages, &order, NULL, needles), PR_OK);
    for (int i = 0; i < 3; i++)
        assert_string_equal(needles[i].kind, "fact");
}

static void test_answers_are_compared_by_words(void **state)
{
    (void)state;
    assert_true(engine_haystack_is_right("tunnel [S3]", "tunnel"));
    assert_true(engine_haystack_is_right("The sign says TUNNEL.", "tunnel"));
    assert_true(engine_haystack_is_right("417 kilos [S12]", "417"));
    assert_true(engine_haystack_is_right("It is \"new york\"!", "New York"));
    assert_false(engine_haystack_is_right("tunnels [S3]", "tunnel"));
    assert_false(engine_haystack_is_right("Not found.", "tunnel"));
    assert_false(engine_haystack_is_right("1417", "417"));
    assert_false(engine_haystack_is_right("lantern [S417]", "417")); /* a tag is no answer */
    assert_false(engine_haystack_is_right("york new", "new york"));
    assert_false(engine_haystack_is_right("", "x"));
}

/* Pictures and pages of a file are the hay, again from its beginning where it ends. */
static void test_a_file_is_the_hay(void **state)
{
    (void)state;
    struct haystack_order order = {.seed = 7, .seconds = 60, .shortest = 4, .depths = depths, .n = 1};
    struct haystack_needle needles[3];
    struct ingest_options options = ingest_options_default();
    struct ingest_source *source;
    struct pr_unit unit;
    int n = 0;
    assert_int_equal(engine_haystack_make(film, &order, NULL, needles), PR_OK);
    order.file = film;
    order.seconds = 150;
    order.n = 3;
    assert_int_equal(engine_haystack_make(again, &order, NULL, needles), PR_OK);
    assert_int_equal(needles[0].t0, 0);
    assert_int_equal(needles[2].t1, 150000000);
    assert_true(needles[1].t0 > 60000000 && needles[1].t1 < 90000000);
    assert_true(needles[1].t1 - needles[1].t0 >= 4000000);
    assert_int_equal(ingest_open(again, &options, &source), PR_OK);
    assert_int_equal(ingest_info(source)->duration, 150000000);
    ingest_close(source);

    order = (struct haystack_order){.seed = 3, .pages = 3, .depths = depths, .n = 1};
    assert_int_equal(engine_haystack_make(pages, &order, NULL, needles), PR_OK);
    char longer[80];
    snprintf(longer, sizeof longer, "%s", film);
    order.file = pages;
    order.pages = 8;
    order.seed = 4;
    order.n = 3;
    assert_int_equal(engine_haystack_make(longer, &order, NULL, needles), PR_OK);
    options.max_pixels = 0;
    assert_int_equal(ingest_open(longer, &options, &source), PR_OK);
    for (; ingest_next(source, &unit) == PR_OK; n++)
        assert_true(unit.n_lines > 8); /* of needles and hay alike */
    ingest_close(source);
    assert_int_equal(n, 8);
    order.file = "/nonexistent.pdf";
    assert_int_equal(engine_haystack_make(longer, &order, NULL, needles), PR_ERR_IO);
}

static void test_refusals(void **state)
{
    (void)state;
    struct haystack_order order = {.seed = 7, .seconds = 60, .shortest = 4, .depths = depths, .n = 1};
    struct haystack_needle needle;
    struct base_cancel cancel = {true};
    assert_int_equal(engine_haystack_make("/nonexistent/x.mov", &order, NULL, &needle), PR_ERR_IO);
    assert_non_null(strstr(pr_error_message(), "/nonexistent/x.mov"));
    assert_int_equal(engine_haystack_make(again, &order, &cancel, &needle), PR_ERR_CANCELLED);
    order.seconds = 0;
    order.pages = 4;
    assert_int_equal(engine_haystack_make("/nonexistent/x.pdf", &order, NULL, &needle), PR_ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_film_has_its_needles_where_they_are_said_to_be),
        cmocka_unit_test(test_a_document_tells_facts_and_draws_numbers),
        cmocka_unit_test(test_answers_are_compared_by_words),
        cmocka_unit_test(test_a_file_is_the_hay),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
