/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ingest/source.h"
#include "tests/support/folder.h"
#include "tests/support/make_pdf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

static int open_text(const char *what, struct ingest_source **source)
{
    struct ingest_options options = ingest_options_default();
    options.max_pixels = 0;
    return ingest_open(what, &options, source);
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
    assert_int_equal(open_text(path, &source), PR_OK);
    assert_string_equal(ingest_info(source)->kind, "PDF");
    assert_int_equal(ingest_info(source)->n_pages, 3);

    struct pr_unit unit;
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_int_equal(unit.span.page, 0);
    assert_true(unit.span.t0 == PR_TIME_NONE);
    assert_int_equal(unit.n_lines, 2);
    assert_string_equal(unit.lines[0].text, "The capital of France is Paris.");
    assert_string_equal(unit.lines[1].text, "A second line");
    /* Text of 12 points on a baseline at y = 100 lies between about 88 and 103, measured from the top. */
    const struct pr_box *box = &unit.lines[0].box;
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
    static const char text[] = "\u00f6ne\n\n  two \xff\nthree\ffour\n\f\n";
    write_file(text, sizeof text - 1);
    struct ingest_source *source;
    assert_int_equal(open_text(path, &source), PR_OK);
    assert_string_equal(ingest_info(source)->kind, "text");
    struct pr_unit unit;
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_int_equal(unit.n_lines, 3);
    assert_string_equal(unit.lines[0].text, "\u00f6ne");
    assert_string_equal(unit.lines[1].text, "  two \ufffd");
    assert_string_equal(unit.lines[2].text, "three");
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_int_equal(unit.n_lines, 1);
    assert_string_equal(unit.lines[0].text, "four");
    assert_int_equal(unit.span.page, 1);
    assert_int_equal(ingest_next(source, &unit), PR_EOF);
    ingest_close(source);
}

/* The first line of a text of these bytes. */
static void expect_line(const char *bytes, size_t len, const char *line)
{
    struct ingest_source *source;
    struct pr_unit unit;
    write_file(bytes, len);
    assert_int_equal(open_text(path, &source), PR_OK);
    assert_string_equal(ingest_info(source)->kind, "text");
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_string_equal(unit.lines[0].text, line);
    ingest_close(source);
}

static void test_text_encodings(void **state)
{
    (void)state;
    expect_line("\xef\xbb\xbf"
                "a\n",
                5, "a");
    expect_line("Gr\xfc\xdf"
                "e \x93x\x94\n",
                10, "Gr\u00fc\u00dfe \u201cx\u201d");
    expect_line("\xff\xfeG\0\xfc\0\x3d\xd8\x00\xde\n\0", 12, "G\u00fc\U0001f600");
    expect_line("\xfe\xff\0G\0\xfc\xd8\x3d\xde\x00\0\n", 12, "G\u00fc\U0001f600");
}

/* A line longer than the reader takes at once comes in pieces, which end at a blank or, where there is none, at a character. */
static void test_long_lines(void **state)
{
    (void)state;
    enum { PARTS = 3000 };
    static char text[4 * PARTS + 2];
    for (int blanks = 0; blanks < 2; blanks++) {
        size_t len = 0, got = 0;
        for (int i = 0; i < PARTS; i++)
            len += (size_t)sprintf(text + len, "\u4e2d%s", blanks ? " " : "");
        text[len++] = '\n';
        write_file(text, len);
        struct ingest_source *source;
        struct pr_unit unit;
        assert_int_equal(open_text(path, &source), PR_OK);
        assert_int_equal(ingest_next(source, &unit), PR_OK);
        assert_in_range(unit.n_lines, 3, 4);
        for (size_t i = 0; i < unit.n_lines; i++)
            for (const char *c = unit.lines[i].text; *c; c += *c == ' ' ? 1 : 3) {
                assert_true(*c == ' ' || strncmp(c, "\u4e2d", 3) == 0);
                got += *c != ' ';
            }
        assert_int_equal(got, PARTS);
        ingest_close(source);
    }
}

static void expect_refused(const char *what, int error)
{
    struct ingest_source *source = NULL;
    assert_int_equal(open_text(what, &source), error);
    assert_null(source);
    assert_non_null(strstr(pr_error_message(), what));
}

static void test_refusals(void **state)
{
    expect_refused("/nonexistent/file.pdf", PR_ERR_IO);
    assert_int_equal(test_folder_make(state), 0);
    expect_refused(test_folder, PR_ERR_UNSUPPORTED);
    rmdir(test_folder);
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
        if (open_text(path, &source) < 0) {
            assert_non_null(strstr(pr_error_message(), path));
            continue;
        }
        struct pr_unit unit;
        for (int i = 0; i < 8 && ingest_next(source, &unit) != PR_EOF; i++)
            ;
        ingest_close(source);
    }
}

/* Runs a shell script in the worker's place. */
static void with_worker(const char *script, int stall_seconds, int error, const char *words)
{
    char program[] = "/tmp/pagereel-worker-XXXXXX";
    int fd = mkstemp(program);
    assert_true(fd >= 0);
    dprintf(fd, "#!/bin/sh\n%s\n", script);
    fchmod(fd, 0700);
    close(fd);
    setenv("PAGEREEL_INGEST", program, 1);
    struct ingest_options options = ingest_options_default();
    options.stall_seconds = stall_seconds;
    struct ingest_source *source = NULL;
    int err = ingest_open(path, &options, &source);
    unsetenv("PAGEREEL_INGEST");
    unlink(program);
    assert_int_equal(err, error);
    assert_null(source);
    assert_non_null(strstr(pr_error_message(), path));
    assert_non_null(strstr(pr_error_message(), words));
}

static void test_dead_and_stalled_workers(void **state)
{
    (void)state;
    with_worker("kill -SEGV $$", 5, PR_ERR_FORMAT, "crashed");
    with_worker("kill -KILL $$", 5, PR_ERR_FORMAT, "was killed at its beginning; the system may be short of memory");
    with_worker("exit 1", 5, PR_ERR_FORMAT, "gave up");
    with_worker("exec sleep 30", 1, PR_ERR_FORMAT, "no progress for 1 s");
    with_worker("printf garbage >&3; sleep 1", 5, PR_ERR_FORMAT, "");
}

static void test_missing_worker(void **state)
{
    (void)state;
    setenv("PAGEREEL_INGEST", "/nonexistent/pagereel-ingest", 1);
    struct ingest_source *source;
    assert_int_equal(open_text(path, &source), PR_ERR_IO);
    unsetenv("PAGEREEL_INGEST");
}

static void test_cancel(void **state)
{
    (void)state;
    write_file("text", 4);
    struct base_cancel cancel = {true};
    struct ingest_options options = ingest_options_default();
    options.cancel = &cancel;
    struct ingest_source *source;
    assert_int_equal(ingest_open(path, &options, &source), PR_ERR_CANCELLED);
}

/* The pages asked for, and no more. */
static void test_page_range(void **state)
{
    (void)state;
    struct make_pdf_line lines[9];
    char texts[9][24];
    for (int i = 0; i < 9; i++) {
        snprintf(texts[i], sizeof texts[i], "page %d", i);
        lines[i] = (struct make_pdf_line){i, 72, 100, texts[i]};
    }
    make_pdf(path, lines, 9);
    struct ingest_options options = ingest_options_default();
    options.max_pixels = 0;
    options.first_page = 3;
    options.last_page = 5;
    struct ingest_source *source;
    assert_int_equal(ingest_open(path, &options, &source), PR_OK);
    struct pr_unit unit;
    for (int i = 3; i <= 5; i++) {
        assert_int_equal(ingest_next(source, &unit), PR_OK);
        assert_int_equal(unit.span.page, i);
        assert_string_equal(unit.lines[0].text, texts[i]);
        assert_int_equal(ingest_position(source), i);
    }
    assert_int_equal(ingest_next(source, &unit), PR_EOF);
    ingest_close(source);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pdf_lines_and_boxes),
        cmocka_unit_test(test_text_pages),
        cmocka_unit_test(test_text_encodings),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_truncated_pdf),
        cmocka_unit_test(test_page_range),
        cmocka_unit_test(test_dead_and_stalled_workers),
        cmocka_unit_test(test_missing_worker),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
