/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/passages.h"
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

/* Sixty lines on a page, then a page without text, then one line: every line lands in exactly one passage, in order, with its
 * page and inside its passage's box. */
static void test_cutting(void **state)
{
    (void)state;
    static char texts[60][48];
    struct make_pdf_line lines[62];
    for (int i = 0; i < 60; i++) {
        snprintf(texts[i], sizeof texts[i], "line %02d of a page that is rather long", i);
        lines[i] = (struct make_pdf_line){0, 50, 40 + 13 * i, texts[i]};
    }
    lines[60] = (struct make_pdf_line){1, 0, 0, NULL};
    lines[61] = (struct make_pdf_line){2, 50, 40, "the last"};
    make_pdf(path, lines, 62);

    struct passages passages = {0};
    assert_int_equal(engine_passages_read(&passages, path, 7), PR_OK);
    assert_int_equal(passages.pages, 3);
    assert_int_equal(passages.pages_without_text, 1);
    assert_int_equal(passages.pages_failed, 0);
    assert_true(passages.n > 3 && passages.n < 12);
    int line = 0;
    float bottom = 0;
    for (size_t i = 0; i + 1 < passages.n; i++) {
        const struct passage *passage = &passages.list[i];
        assert_int_equal(passage->span.source, 7);
        assert_int_equal(passage->span.page, 0);
        assert_int_equal(passage->len, strlen(passage->text));
        assert_true(passage->len <= 640);
        assert_true(passage->span.box.y0 >= bottom && passage->span.box.y1 > passage->span.box.y0);
        bottom = passage->span.box.y1 - 4;
        for (const char *text = passage->text; *text; line++) {
            size_t len = strcspn(text, "\n");
            assert_int_equal(len, strlen(texts[line]));
            assert_memory_equal(text, texts[line], len);
            text += len + (text[len] == '\n');
        }
    }
    assert_int_equal(line, 60);
    assert_string_equal(passages.list[passages.n - 1].text, "the last");
    assert_int_equal(passages.list[passages.n - 1].span.page, 2);
    engine_passages_finish(&passages);
}

static void test_missing_file(void **state)
{
    (void)state;
    struct passages passages = {0};
    assert_int_equal(engine_passages_read(&passages, "/nonexistent.pdf", 0), PR_ERR_IO);
    engine_passages_finish(&passages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cutting),
        cmocka_unit_test(test_missing_file),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
