/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Logs that become smaller: what is dropped are tails, text and everything else stays to the byte, readers go on, and a log that was cut
 * off or can't be written is as it was.
 */
#include "memory/evidence.h"

#include "base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/folder.h"

enum { COLUMNS = 32, SEGMENTS = 12, TOKENS = 200 };
static const unsigned char source[BASE_HASH_BYTES] = {9, 8, 7};
static char path[64];

static uint16_t row_value(int segment, uint32_t token, int column)
{
    return compute_f32_to_f16((float)(segment * 100) + (float)token + (float)column / 64);
}

/* Segment s says the less the higher s is. */
static float radius(int segment, uint32_t token)
{
    return token == 0 ? 2 : 1.5f / (float)(1 + segment) / (1 + (float)token / 40);
}

static void put_text(struct evidence_writer *writer, int i)
{
    char text[32];
    snprintf(text, sizeof text, "line %d", i);
    struct evidence_line line = {PR_TIME_NONE, PR_TIME_NONE, {0}, i, (uint32_t)strlen(text), text};
    struct evidence_segment segment = {.kind = EVIDENCE_PAGE,
                                       .t0 = PR_TIME_NONE,
                                       .t1 = PR_TIME_NONE,
                                       .page = i,
                                       .stream = -1,
                                       .label = "",
                                       .lines = &line,
                                       .n_lines = 1};
    assert_int_equal(memory_evidence_put_segment(writer, &segment), PR_OK);
}

static void put_frames(struct evidence_writer *writer, int s)
{
    static uint16_t rows[TOKENS * COLUMNS];
    static struct evidence_token tokens[TOKENS];
    float mean[COLUMNS] = {(float)s};
    for (uint32_t k = 0; k < TOKENS; k++) {
        tokens[k] = (struct evidence_token){
            s * 1000, s * 1000 + 999, 0, (uint16_t)k, 1, (uint16_t)(k + 1), 0, 0, 1, compute_f32_to_f16(radius(s, k))};
        for (int c = 0; c < COLUMNS; c++)
            rows[k * COLUMNS + (uint32_t)c] = row_value(s, k, c);
    }
    struct evidence_segment segment = {.kind = EVIDENCE_FRAMES,
                                       .t0 = s * 1000,
                                       .t1 = s * 1000 + 999,
                                       .page = PR_PAGE_NONE,
                                       .stream = -1,
                                       .label = "",
                                       .n_tokens = TOKENS,
                                       .n_raw = 4 * TOKENS,
                                       .n_frames = 4,
                                       .grid_h = 1,
                                       .grid_w = TOKENS,
                                       .rows = rows,
                                       .tokens = tokens,
                                       .mean = mean};
    assert_int_equal(memory_evidence_put_segment(writer, &segment), PR_OK);
}

static struct evidence_writer *make_log(void)
{
    struct evidence_writer *writer;
    unlink(path);
    assert_int_equal(memory_evidence_writer_open(path, source, NULL, &writer), PR_OK);
    memory_evidence_put_info(writer, &(struct evidence_info){"a.mkv", "video", "x", "", 0, 0, 1000});
    memory_evidence_put_setup(writer, &(struct evidence_setup){.made = EVIDENCE_TEXT, .text = "text"});
    for (int i = 0; i < 3; i++)
        put_text(writer, i);
    memory_evidence_commit(writer, &(struct evidence_progress){.units = 3, .complete = 1});
    memory_evidence_put_setup(
        writer,
        &(struct evidence_setup){.made = EVIDENCE_VISUAL, .columns = COLUMNS, .row_type = TYPE_F16, .text = "model"});
    for (int s = 0; s < SEGMENTS; s++) {
        put_frames(writer, s);
        memory_evidence_put_seen(writer, &(struct evidence_seen){.position = s});
        assert_int_equal(memory_evidence_commit(writer, &(struct evidence_progress){.units = 3, .complete = 1}), PR_OK);
    }
    return writer;
}

/* A segment's tokens can be told apart by their values, wherever they stand. */
static void check_merged(const struct evidence_segment *segment)
{
    float before = 3;
    for (uint32_t k = 0; k < segment->n_tokens; k++) {
        int s = (int)(segment->tokens[k].t0 / 1000);
        uint32_t token = segment->tokens[k].x0;
        float radius = compute_f16_to_f32(segment->tokens[k].radius);
        for (int c = 0; c < COLUMNS; c++)
            assert_int_equal(((const uint16_t *)segment->rows)[k * COLUMNS + (uint32_t)c], row_value(s, token, c));
        assert_true(radius <= before && s * 1000 >= segment->t0 && s * 1000 + 999 <= segment->t1);
        before = radius;
    }
}

/* Checks everything but how many tokens there are; gives their sum. */
static int64_t check_log(uint32_t counts[SEGMENTS])
{
    struct evidence *evidence;
    int64_t total = 0;
    assert_int_equal(memory_evidence_open(path, source, &evidence), PR_OK);
    assert_int_equal(memory_evidence_damage(evidence), 0);
    assert_int_equal(memory_evidence_count(evidence), 3 + SEGMENTS);
    assert_int_equal(memory_evidence_progress(evidence).units, 3);
    const struct evidence_setup *setup = memory_evidence_setup(evidence, EVIDENCE_VISUAL);
    assert_int_equal(memory_evidence_seen(evidence, setup->number).position, SEGMENTS - 1);
    assert_string_equal(memory_evidence_info(evidence)->path, "a.mkv");
    for (int i = 0; i < 3 + SEGMENTS; i++) {
        struct evidence_segment segment;
        assert_int_equal(memory_evidence_read(evidence, (size_t)i, &segment), PR_OK);
        if (i < 3) {
            assert_int_equal(segment.lines[0].text[5], '0' + i);
        } else {
            int s = i - 3;
            assert_int_equal(segment.n_raw, 4 * TOKENS);
            assert_true(segment.mean[0] == (float)s && segment.n_tokens >= 8);
            for (uint32_t k = 0; k < segment.n_tokens; k++)
                for (int c = 0; c < COLUMNS; c++)
                    assert_int_equal(((const uint16_t *)segment.rows)[k * COLUMNS + (uint32_t)c], row_value(s, k, c));
            assert_int_equal(memory_evidence_setup_of(evidence, (size_t)i), setup->number);
            counts[s] = segment.n_tokens;
            total += segment.n_tokens;
        }
        memory_evidence_release(&segment);
    }
    memory_evidence_close(evidence);
    return total;
}

static int64_t file_size(void)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

static void test_tokens(void **state)
{
    (void)state;
    uint32_t n[SEGMENTS];
    struct evidence_writer *writer = make_log();
    struct evidence *before;
    assert_int_equal(memory_evidence_open(path, source, &before), PR_OK);
    assert_int_equal(memory_evidence_thin(writer, SEGMENTS * TOKENS, -1), PR_OK); /* nothing to do */
    assert_int_equal(check_log(n), SEGMENTS * TOKENS);
    assert_int_equal(memory_evidence_thin(writer, 1000, -1), PR_OK);
    int64_t total = check_log(n);
    assert_true(total <= 1000 && total > 1000 - 16);
    assert_true(memory_evidence_end(before) == memory_evidence_end_of(writer));
    for (int s = 1; s < SEGMENTS; s++)
        assert_true(n[s] <= n[s - 1]);
    assert_true(n[0] > 4 * n[SEGMENTS - 1]);
    assert_int_equal(memory_evidence_size(writer), file_size());
    /* Who reads the old one goes on. */
    struct evidence_segment segment;
    assert_int_equal(memory_evidence_read(before, 3 + SEGMENTS - 1, &segment), PR_OK);
    assert_int_equal(segment.n_tokens, TOKENS);
    memory_evidence_release(&segment);
    memory_evidence_close(before);
    /* Nobody else may write it, and writing goes on. */
    bool busy;
    struct evidence_writer *second;
    assert_int_equal(memory_evidence_writer_open(path, source, &busy, &second), PR_ERR_IO);
    assert_true(busy);
    put_frames(writer, 0);
    assert_int_equal(memory_evidence_commit(writer, &(struct evidence_progress){.units = 4}), PR_OK);
    memory_evidence_writer_close(writer);
    struct evidence *after;
    assert_int_equal(memory_evidence_open(path, source, &after), PR_OK);
    assert_int_equal(memory_evidence_count(after), 4 + SEGMENTS);
    assert_int_equal(memory_evidence_damage(after), 0);
    memory_evidence_close(after);
}

static void test_bytes(void **state)
{
    (void)state;
    uint32_t n[SEGMENTS];
    struct evidence_writer *writer = make_log();
    int64_t full = file_size();
    for (int64_t bytes = full - 1; bytes > full / 4; bytes -= full / 7) {
        assert_int_equal(memory_evidence_thin(writer, -1, bytes), PR_OK);
        assert_true(file_size() <= bytes && file_size() > bytes - full / 8);
        check_log(n);
    }
    int64_t size = file_size();
    assert_int_equal(memory_evidence_thin(writer, -1, 2000), PR_ERR_NOMEM); /* text and setups alone are more */
    assert_int_equal(memory_evidence_thin(writer, 7, -1), PR_ERR_NOMEM);
    assert_int_equal(file_size(), size);
    check_log(n);
    memory_evidence_writer_close(writer);
}

/* Segments of which no more than the first tokens would fit are merged with their neighbours: the film is still there from end to end, and
 * so is everything else. */
static void test_merged(void **state)
{
    (void)state;
    struct evidence_writer *writer = make_log();
    size_t had = 3 + SEGMENTS;
    for (int64_t tokens = 8 * SEGMENTS; tokens >= 8; tokens /= 2) {
        struct evidence *evidence;
        int64_t total = 0, raw = 0, at = 0;
        uint64_t end = memory_evidence_end_of(writer);
        assert_int_equal(memory_evidence_thin(writer, tokens, -1), PR_OK);
        assert_int_equal(memory_evidence_open(path, source, &evidence), PR_OK);
        assert_int_equal(memory_evidence_damage(evidence), 0);
        assert_int_equal(memory_evidence_end(evidence), memory_evidence_end_of(writer));
        const struct evidence_setup *setup = memory_evidence_setup(evidence, EVIDENCE_VISUAL);
        assert_int_equal(memory_evidence_seen(evidence, setup->number).position, SEGMENTS - 1);
        size_t count = memory_evidence_count(evidence);
        assert_true(count - 3 <= (size_t)(tokens / 8) && count > 3);
        assert_true(count == had ? memory_evidence_end(evidence) == end : memory_evidence_end(evidence) > end);
        had = count;
        for (size_t i = 0; i < count; i++) {
            struct evidence_segment segment;
            assert_int_equal(memory_evidence_read(evidence, i, &segment), PR_OK);
            if (i < 3) {
                assert_int_equal(segment.lines[0].text[5], '0' + (char)i);
            } else {
                assert_int_equal(segment.t0, at);
                at = segment.t1 + 1;
                total += segment.n_tokens;
                raw += segment.n_raw;
                check_merged(&segment);
            }
            memory_evidence_release(&segment);
        }
        assert_int_equal(at, SEGMENTS * 1000);
        assert_int_equal(raw, SEGMENTS * 4 * TOKENS);
        assert_true(total <= tokens && total >= 8);
        memory_evidence_close(evidence);
        struct stat st; /* commits with nothing between them are one */
        assert_int_equal(stat(path, &st), 0);
        assert_true(st.st_size < 4000 + (int64_t)(count - 3) * 1000 + total * (2 * COLUMNS + 32));
    }
    /* Writing goes on. */
    put_frames(writer, SEGMENTS);
    assert_int_equal(memory_evidence_commit(writer, &(struct evidence_progress){.units = 4}), PR_OK);
    memory_evidence_writer_close(writer);
    assert_int_equal(memory_evidence_writer_open(path, source, NULL, &writer), PR_OK);
    struct evidence *evidence;
    assert_int_equal(memory_evidence_open(path, source, &evidence), PR_OK);
    assert_int_equal(memory_evidence_count(evidence), 3 + 1 + 1);
    assert_int_equal(memory_evidence_damage(evidence), 0);
    memory_evidence_close(evidence);
    memory_evidence_writer_close(writer);
}

/* What a killed process left beside the log goes when the log is opened for writing. */
static void test_leftover(void **state)
{
    (void)state;
    char leftover[80];
    memory_evidence_writer_close(make_log());
    snprintf(leftover, sizeof leftover, "%s.new", path);
    fclose(fopen(leftover, "w"));
    struct evidence_writer *writer;
    assert_int_equal(memory_evidence_writer_open(path, source, NULL, &writer), PR_OK);
    assert_int_not_equal(access(leftover, F_OK), 0);
    memory_evidence_writer_close(writer);
}

/* The disk is full: the log is as it was. */
static void test_full(void **state)
{
    (void)state;
    uint32_t n[SEGMENTS];
    struct rlimit old, tight;
    char leftover[80];
    struct evidence_writer *writer = make_log();
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    tight = (struct rlimit){(rlim_t)(file_size() / 3), old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight);
    int err = memory_evidence_thin(writer, SEGMENTS * TOKENS / 2, -1);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(err, PR_ERR_IO);
    assert_int_equal(check_log(n), SEGMENTS * TOKENS);
    snprintf(leftover, sizeof leftover, "%s.new", path);
    assert_int_not_equal(access(leftover, F_OK), 0);
    memory_evidence_writer_close(writer);
}

static int make_folder(void **state)
{
    if (test_folder_make(state) < 0)
        return -1;
    snprintf(path, sizeof path, "%s/log", test_folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tokens), cmocka_unit_test(test_bytes),
                                       cmocka_unit_test(test_full), cmocka_unit_test(test_merged),
                                       cmocka_unit_test(test_leftover)};
    return cmocka_run_group_tests(tests, make_folder, test_folder_remove);
}
