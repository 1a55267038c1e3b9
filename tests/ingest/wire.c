/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ingest/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t picture[2 * 3 * 3] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18};
static const struct pr_line unit_lines[] = {{"first", {1, 2, 3, 4}}, {"", {0}}, {"Zürich", {5, 6, 7, 8}}};
static const struct pr_region unit_regions[] = {{PR_REGION_FIGURE, {0, 0, 9, 9}, "Figure 1"}};
static const struct pr_unit a_unit = {
    .kind = PR_UNIT_PAGE,
    .span = {0, 12, PR_TIME_NONE, PR_TIME_NONE, {1, 2, 3, 4}},
    .label = "xii",
    .stream = -1,
    .width = 595.5,
    .height = 842,
    .rgb = picture,
    .picture_width = 3,
    .picture_height = 2,
    .difference = 0.25f,
    .passed = true,
    .visual_only = true,
    .lines = unit_lines,
    .n_lines = 3,
    .regions = unit_regions,
    .n_regions = 1,
};

static size_t write_unit(char *data, size_t cap)
{
    struct wire_writer writer = {data, cap, 0, false};
    ingest_wire_put_unit(&writer, &a_unit);
    return writer.overflow ? 0 : writer.len;
}

static void test_unit_round_trip(void **state)
{
    (void)state;
    char data[1024];
    size_t size = write_unit(data, sizeof data);
    assert_true(size > 0);
    struct wire_arena arena = {0};
    struct pr_unit unit;
    assert_int_equal(ingest_wire_get_unit(data, size, &arena, &unit), PR_OK);
    assert_int_equal(unit.kind, PR_UNIT_PAGE);
    assert_int_equal(unit.span.page, 12);
    assert_true(unit.span.t0 == PR_TIME_NONE);
    assert_string_equal(unit.label, "xii");
    assert_true(unit.width == 595.5 && unit.difference == 0.25f);
    assert_true(unit.passed && unit.visual_only && !unit.cut && !unit.partial);
    assert_int_equal(unit.picture_width, 3);
    assert_memory_equal(unit.rgb, picture, sizeof picture);
    assert_int_equal(unit.n_lines, 3);
    assert_string_equal(unit.lines[2].text, "Zürich");
    assert_memory_equal(&unit.lines[2].box, &unit_lines[2].box, sizeof unit.lines[2].box);
    assert_int_equal(unit.n_regions, 1);
    assert_string_equal(unit.regions[0].text, "Figure 1");
    ingest_wire_arena_reset(&arena);
}

static void test_info_round_trip(void **state)
{
    (void)state;
    static const struct pr_stream streams[] = {
        {PR_STREAM_VIDEO, "h264", "en", "main", "", 1920, 1080, 90, 29.97, 0, 0, true},
        {PR_STREAM_TEXT, "subrip", "de", "", "film.de.srt", .chosen = true}};
    static const struct pr_mark marks[] = {{{0, PR_PAGE_NONE, 0, 5000000, {0}}, 1, "Chapter"}};
    static const char *const problems[] = {"no index"};
    static const struct pr_source_info in = {"video", "mov", "A film", 0, 0,        60000000,
                                             streams, 2,     marks,    1, problems, 1};
    char data[1024];
    struct wire_writer writer = {data, sizeof data, 0, false};
    ingest_wire_put_info(&writer, &in);
    assert_false(writer.overflow);
    struct wire_arena arena = {0};
    struct pr_source_info info;
    assert_int_equal(ingest_wire_get_info(data, writer.len, &arena, &info), PR_OK);
    assert_string_equal(info.title, "A film");
    assert_int_equal(info.n_streams, 2);
    assert_true(info.streams[0].rate == 29.97);
    assert_string_equal(info.streams[1].file, "film.de.srt");
    assert_true(info.marks[0].span.t1 == 5000000);
    assert_string_equal(info.problems[0], "no index");
    ingest_wire_arena_reset(&arena);
}

static void test_writer_overflow(void **state)
{
    (void)state;
    char data[1024];
    size_t size = write_unit(data, sizeof data);
    for (size_t cap = 0; cap < size; cap++)
        assert_int_equal(write_unit(data, cap), 0);
    assert_int_equal(write_unit(data, size), size);
}

/* Every truncation is refused; every changed byte gives a refusal or a unit whose parts all lie inside (the sanitizers
 * watch that). */
static void test_damaged_units(void **state)
{
    (void)state;
    char data[1024];
    size_t size = write_unit(data, sizeof data);
    struct wire_arena arena = {0};
    struct pr_unit unit;
    for (size_t cut = 0; cut < size; cut++) {
        char *copy = malloc(cut ? cut : 1);
        memcpy(copy, data, cut);
        assert_int_equal(ingest_wire_get_unit(copy, cut, &arena, &unit), PR_ERR_FORMAT);
        free(copy);
    }
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            char *copy = malloc(size);
            memcpy(copy, data, size);
            copy[i] ^= (char)(1 << bit);
            if (ingest_wire_get_unit(copy, size, &arena, &unit) == PR_OK) {
                for (size_t line = 0; line < unit.n_lines; line++)
                    assert_true(strlen(unit.lines[line].text) < size);
                if (unit.rgb) { /* all of it can be read */
                    volatile uint8_t last = unit.rgb[(size_t)unit.picture_width * (size_t)unit.picture_height * 3 - 1];
                    (void)last;
                }
            }
            free(copy);
        }
    ingest_wire_arena_reset(&arena);
}

static void test_options(void **state)
{
    (void)state;
    struct ingest_options in = ingest_options_default(), out;
    in.rate = 0.1;
    in.from = 1234567;
    in.first_page = 7;
    in.max_pixels = 1 << 20;
    struct base_buf text = {0};
    ingest_wire_put_options(&text, &in);
    assert_int_equal(ingest_wire_get_options(text.data, &out), PR_OK);
    assert_true(out.rate == 0.1 && out.from == 1234567 && out.to == PR_TIME_NONE);
    assert_int_equal(out.first_page, 7);
    assert_int_equal(out.max_pixels, 1 << 20);
    assert_int_equal(out.n_times, 0);
    assert_int_equal(ingest_wire_get_options("0 1 2", &out), PR_ERR_INTERNAL);

    const int64_t times[] = {-5, 0, 1000000, 1000000, 7200000000};
    in.sampling = INGEST_TIMES;
    in.times = times;
    in.n_times = 5;
    text.len = 0;
    ingest_wire_put_options(&text, &in);
    assert_int_equal(ingest_wire_get_options(text.data, &out), PR_OK);
    assert_int_equal(out.n_times, 5);
    assert_memory_equal(out.times, times, sizeof times);
    base_free((void *)out.times);
    text.data[text.len - 12] = '\0'; /* the last one is missing */
    assert_int_equal(ingest_wire_get_options(text.data, &out), PR_ERR_INTERNAL);
    assert_null(out.times);
    base_buf_finish(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unit_round_trip), cmocka_unit_test(test_info_round_trip),
        cmocka_unit_test(test_writer_overflow), cmocka_unit_test(test_damaged_units),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
