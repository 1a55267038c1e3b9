/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Lines of pages in columns, in an order in which they aren't read.
 */
#include "ingest/columns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct ingest_lines lines;
static struct column_gap gaps[200];

static void add(float x0, float x1, float y, const char *text)
{
    gaps[lines.n] = (struct column_gap){0};
    ingest_lines_add(&lines, text, strlen(text), (struct pr_box){x0, y, x1, y + 9});
}

/* The text of all lines, with | between them. */
static const char *read_page(bool right_to_left)
{
    static char text[4096];
    text[0] = 0;
    size_t len = 0;
    ingest_columns_sort(&lines, gaps, right_to_left);
    for (size_t i = 0; i < lines.n; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", i ? "|" : "", lines.lines[i].text);
    ingest_lines_reset(&lines);
    return text;
}

/* A title, two columns whose first lines are one for poppler, and a foot. The right column stands in two pieces. */
static void add_paper(void)
{
    char text[32];
    add(150, 450, 40, "Title over both columns");
    for (int i = 3; i < 6; i++) {
        snprintf(text, sizeof text, "R%d", i);
        add(310, 550, 100 + 12 * (float)i, text);
    }
    add(50, 380, 100, "HEAD1 HEAD2");
    gaps[lines.n - 1] = (struct column_gap){5, 110, 310};
    for (int i = 1; i < 6; i++) {
        snprintf(text, sizeof text, "L%d", i);
        add(50, 290, 100 + 12 * (float)i, text);
    }
    for (int i = 1; i < 3; i++) {
        snprintf(text, sizeof text, "R%d", i);
        add(310, 550, 100 + 12 * (float)i, text);
    }
    add(280, 320, 200, "foot");
}

static void test_columns(void **state)
{
    (void)state;
    add_paper();
    assert_string_equal(read_page(false), "Title over both columns|HEAD1|L1|L2|L3|L4|L5|R3|R4|R5|HEAD2|R1|R2|foot");
}

static void test_right_to_left(void **state)
{
    (void)state;
    add_paper();
    assert_string_equal(read_page(true), "Title over both columns|R3|R4|R5|HEAD2|R1|R2|HEAD1|L1|L2|L3|L4|L5|foot");
}

/* Rows of a table that come one after the other, and a page in one column, stay as they are. */
static void test_tables(void **state)
{
    (void)state;
    for (int i = 0; i < 12; i++) {
        add(50, 290, 100 + 12 * (float)i, "a");
        add(310, 550, 100 + 12 * (float)i, "b");
    }
    assert_string_equal(read_page(false), "a|b|a|b|a|b|a|b|a|b|a|b|a|b|a|b|a|b|a|b|a|b|a|b");
    for (int i = 0; i < 12; i++)
        add(50, 550, 300 - 12 * (float)i, i % 2 ? "odd" : "even");
    assert_string_equal(read_page(false), "even|odd|even|odd|even|odd|even|odd|even|odd|even|odd");
    assert_string_equal(read_page(false), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_columns), cmocka_unit_test(test_right_to_left),
                                       cmocka_unit_test(test_tables)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    ingest_lines_finish(&lines);
    return failed;
}
