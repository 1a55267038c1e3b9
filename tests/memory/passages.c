/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/passages.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static char texts[60][48];
static struct evidence_line lines[60];

static struct evidence_segment page(void)
{
    for (int i = 0; i < 60; i++) {
        int len = snprintf(texts[i], sizeof texts[i], "line %02d of a page that is rather long", i);
        float y = 40 + 13 * (float)i;
        lines[i] = (struct evidence_line){PR_TIME_NONE, PR_TIME_NONE, {50, y, 300, y + 12}, 7, (uint32_t)len, texts[i]};
    }
    return (struct evidence_segment){.kind = EVIDENCE_PAGE, .page = 7, .lines = lines, .n_lines = 60};
}

/* Every line lands in exactly one passage, in order, inside its passage's box; passages are neither tiny nor huge. */
static void test_page(void **state)
{
    (void)state;
    struct evidence_segment segment = page();
    int n = 0, line = 0;
    for (size_t first = 0, end; first < segment.n_lines; first = end, n++) {
        struct passage passage;
        end = memory_passage_end(&segment, first);
        memory_passage_make(&segment, first, end, &passage);
        assert_int_equal(passage.len, strlen(passage.text));
        assert_true(passage.len <= 640 && (passage.len > 300 || end == 60));
        assert_int_equal(passage.page, 7);
        assert_true(passage.t0 == PR_TIME_NONE);
        assert_true(passage.box.y0 == lines[first].box.y0 && passage.box.y1 == lines[end - 1].box.y1);
        for (const char *text = passage.text; *text; line++) {
            size_t len = strcspn(text, "\n");
            assert_int_equal(len, strlen(texts[line]));
            assert_memory_equal(text, texts[line], len);
            text += len + (text[len] == '\n');
        }
        base_free(passage.text);
    }
    assert_int_equal(line, 60);
    assert_true(n > 3 && n < 12);
}

/* A half full passage ends with its paragraph; the next column begins another. */
static void test_paragraphs(void **state)
{
    (void)state;
    struct evidence_segment segment = page();
    for (int i = 10; i < 60; i++)
        lines[i].box.y0 += 30, lines[i].box.y1 += 30;
    assert_int_equal(memory_passage_end(&segment, 0), 10);
    segment = page();
    lines[12].box.y0 = 10, lines[12].box.y1 = 22;
    assert_int_equal(memory_passage_end(&segment, 0), 12);
}

/* What is said without a pause stays together; its span is that of all its lines. */
static void test_timed(void **state)
{
    (void)state;
    struct evidence_segment segment = page();
    segment.kind = EVIDENCE_TIMED_TEXT;
    for (int i = 0; i < 60; i++) {
        lines[i].t0 = i * 2000000LL + (i >= 11 ? 5000000 : 0);
        lines[i].t1 = lines[i].t0 + 1500000;
        lines[i].box = (struct pr_box){0};
    }
    struct passage passage;
    assert_int_equal(memory_passage_end(&segment, 0), 11);
    memory_passage_make(&segment, 0, 11, &passage);
    assert_true(passage.t0 == 0 && passage.t1 == 21500000);
    base_free(passage.text);
    segment.kind = EVIDENCE_OUTLINE;
    assert_int_equal(memory_passage_end(&segment, 5), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_paragraphs),
        cmocka_unit_test(test_timed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
