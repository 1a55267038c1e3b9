/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ingest/source.h"
#include "tests/support/make_pdf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[] = "/tmp/pagereel-test-XXXXXX";

static int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

static void write_file(const char *data, size_t len)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    fclose(file);
}

static void test_pdf_lines_and_boxes(void **state)
{
    (void)state;
    static const struct make_pdf_line lines[] = {
        {0, 72, 100, "The capital of France is Paris."},
        {0, 72, 130, "A second line"},
        {1, 0, 0, NULL},
        {2, 200, 700, "Zürich – naïve"},
    };
    make_pdf(path, lines, 4);
    struct ingest_source *source;
    assert_int_equal(ingest_open(path, &source), PR_OK);
    assert_string_equal(ingest_info(source)->kind, "pdf");
    assert_int_equal(ingest_info(source)->n_pages, 3);

    struct ingest_unit unit;
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_int_equal(unit.span.page, 0);
    assert_true(unit.span.t0 == BASE_TIME_NONE);
    assert_int_equal(unit.n_lines, 2);
    assert_string_equal(unit.lines[0].text, "The capital of France is Paris.");
    assert_string_equal(unit.lines[1].text, "A second line");
    /* Text of 12 points on a baseline at y = 100 lies between about 88 and 103, measured from the top. */
    const struct base_box *box = &unit.lines[0].box;
    assert_true(box->x0 > 70 && box->x0 < 74);
    assert_true(box->y0 > 85 && box->y0 < 94);
    assert_true(box->y1 > 99 && box->y1 < 106);
    assert_true(box->x1 > 200 && box->x1 < 320);
    assert_true(unit.lines[1].box.y0 > box->y1);

    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_int_equal(unit.span.page, 1);
    assert_int_equal(unit.n_lines, 0);
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_string_equal(unit.lines[0].text, "Zürich – naïve");
    assert_int_equal(ingest_next(source, &unit), PR_EOF);
    assert_int_equal(ingest_next(source, &unit), PR_EOF);
    ingest_close(source);
}

static void test_text_pages(void **state)
{
    (void)state;
    static const char text[] = "one\n\n  two \xff\nthree";
    write_file(text, sizeof text - 1);
    struct ingest_source *source;
    assert_int_equal(ingest_open(path, &source), PR_OK);
    assert_string_equal(ingest_info(source)->kind, "text");
    struct ingest_unit unit;
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_int_equal(unit.n_lines, 3);
    assert_string_equal(unit.lines[0].text, "one");
    assert_string_equal(unit.lines[1].text, "  two ?");
    assert_string_equal(unit.lines[2].text, "three");
    assert_int_equal(ingest_next(source, &unit), PR_EOF);
    ingest_close(source);
}

static void expect_refused(const char *what, int error)
{
    struct ingest_source *source = NULL;
    assert_int_equal(ingest_open(what, &source), error);
    assert_null(source);
    assert_non_null(strstr(pr_error_message(), what));
}

static void test_refusals(void **state)
{
    (void)state;
    expect_refused("/nonexistent/file.pdf", PR_ERR_IO);
    expect_refused("/tmp", PR_ERR_UNSUPPORTED);
    write_file("", 0);
    expect_refused(path, PR_ERR_FORMAT);
    write_file("\x7f"
               "ELF\0\0\0",
               7);
    expect_refused(path, PR_ERR_UNSUPPORTED);
    write_file("%PDF-1.7 and then nothing of the kind", 37);
    expect_refused(path, PR_ERR_FORMAT);
}

/* A PDF that is cut anywhere either opens (poppler mends what it can) or is refused with a message; it never crashes. */
static void test_truncated_pdf(void **state)
{
    (void)state;
    static const struct make_pdf_line lines[] = {{0, 72, 100, "short"}};
    static char whole[1 << 16];
    make_pdf(path, lines, 1);
    FILE *file = fopen(path, "rb");
    size_t len = fread(whole, 1, sizeof whole, file);
    fclose(file);
    assert_true(len > 100 && len < sizeof whole);
    for (size_t cut = 1; cut < len; cut += 97) {
        write_file(whole, cut);
        struct ingest_source *source;
        if (ingest_open(path, &source) < 0) {
            assert_non_null(strstr(pr_error_message(), path));
            continue;
        }
        struct ingest_unit unit;
        for (int i = 0; i < 8 && ingest_next(source, &unit) != PR_EOF; i++)
            ;
        ingest_close(source);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pdf_lines_and_boxes),
        cmocka_unit_test(test_text_pages),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_truncated_pdf),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
