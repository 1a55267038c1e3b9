/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/evidence_format.h"

#include "base/mem.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/memory/evidence_sample.h"

static char path[] = "/tmp/pagereel-evidence-XXXXXX";

static int make_path(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    signal(SIGXFSZ, SIG_IGN);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
    (void)state;
    return unlink(path);
}

static struct evidence_writer *open_writer(void)
{
    struct evidence_writer *writer;
    assert_int_equal(memory_evidence_writer_open(path, sample_source, NULL, &writer), PR_OK);
    return writer;
}

static struct evidence *open_log(void)
{
    struct evidence *evidence;
    assert_int_equal(memory_evidence_open(path, sample_source, &evidence), PR_OK);
    return evidence;
}

/* Text segments 0..n_text-1 under one setup, then frames under another; a commit every two segments. */
static void write_sample(uint32_t n_text, uint32_t n_frames)
{
    struct sample s;
    assert_int_equal(truncate(path, 0), 0);
    struct evidence_writer *writer = open_writer();
    assert_int_equal(memory_evidence_put_info(writer, &sample_info), PR_OK);
    assert_int_equal(memory_evidence_put_setup(writer, &sample_text_setup), PR_OK);
    for (uint32_t i = 0; i < n_text + n_frames; i++) {
        if (i == n_text)
            assert_int_equal(memory_evidence_put_setup(writer, &sample_visual_setup), PR_OK);
        (i < n_text ? sample_text : sample_frames)(&s, i);
        assert_int_equal(memory_evidence_put_segment(writer, &s.segment), PR_OK);
        if (i % 2 == 1 || i + 1 == n_text + n_frames)
            assert_int_equal(memory_evidence_commit(writer, &(struct evidence_progress){.units = i + 1}), PR_OK);
    }
    memory_evidence_writer_close(writer);
}

static void expect_segment(const struct evidence_segment *segment, uint32_t i, bool frames)
{
    struct sample s;
    (frames ? sample_frames : sample_text)(&s, i);
    const struct evidence_segment *want = &s.segment;
    assert_int_equal(segment->kind, want->kind);
    assert_true(segment->t0 == want->t0 && segment->t1 == want->t1);
    assert_int_equal(segment->page, want->page);
    assert_true(segment->width == want->width && segment->height == want->height && segment->ax == want->ax);
    assert_string_equal(segment->label, want->label);
    assert_int_equal(segment->n_lines, want->n_lines);
    for (size_t k = 0; k < want->n_lines; k++) {
        assert_string_equal(segment->lines[k].text, want->lines[k].text);
        assert_int_equal(segment->lines[k].len, want->lines[k].len);
        assert_memory_equal(&segment->lines[k].box, &want->lines[k].box, sizeof want->lines[k].box);
    }
    assert_int_equal(segment->n_tokens, want->n_tokens);
    if (frames) {
        assert_memory_equal(segment->rows, s.rows, sizeof s.rows);
        assert_memory_equal(segment->tokens, s.tokens, sizeof s.tokens);
        assert_memory_equal(segment->mean, s.mean, sizeof s.mean);
        assert_true((uintptr_t)segment->rows % EVIDENCE_ALIGN == 0);
    }
}

/* Embeddings in f16, spans and text come back bit by bit. */
static void test_round_trip(void **state)
{
    (void)state;
    write_sample(3, 4);
    struct evidence *evidence = open_log();
    assert_int_equal(memory_evidence_count(evidence), 7);
    assert_int_equal(memory_evidence_damage(evidence), 0);
    assert_int_equal(memory_evidence_progress(evidence).units, 7);
    assert_string_equal(memory_evidence_info(evidence)->path, sample_info.path);
    assert_true(memory_evidence_info(evidence)->duration == sample_info.duration);
    const struct evidence_setup *setup = memory_evidence_setup(evidence, EVIDENCE_VISUAL);
    assert_int_equal(setup->columns, SAMPLE_COLUMNS);
    assert_int_equal(setup->fingerprint[0], 43);
    assert_string_equal(setup->text, "model, 1 fps");
    for (size_t i = 0; i < 7; i++) {
        struct evidence_segment segment;
        assert_int_equal(memory_evidence_read(evidence, i, &segment), PR_OK);
        expect_segment(&segment, (uint32_t)i, i >= 3);
        size_t found;
        assert_true(memory_evidence_find(evidence, segment.number, &found) && found == i);
        assert_int_equal(memory_evidence_setup_of(evidence, i) == setup->number, i >= 3);
        memory_evidence_release(&segment);
    }
    memory_evidence_close(evidence);
}

/* What isn't committed isn't there, neither for a reader nor for the next writer, which goes on with the last setup. */
static void test_commits(void **state)
{
    (void)state;
    struct sample s;
    write_sample(2, 2);
    struct evidence_writer *writer = open_writer();
    sample_frames(&s, 99);
    assert_int_equal(memory_evidence_put_segment(writer, &s.segment), PR_OK);
    assert_true(memory_evidence_pending(writer) > sizeof s.rows);
    struct evidence *before = open_log();
    assert_int_equal(memory_evidence_count(before), 4);
    memory_evidence_writer_close(writer);

    writer = open_writer();
    sample_frames(&s, 4);
    assert_int_equal(memory_evidence_put_segment(writer, &s.segment), PR_OK);
    assert_int_equal(memory_evidence_commit(writer, &(struct evidence_progress){.units = 5, .complete = 1}), PR_OK);
    memory_evidence_writer_close(writer);
    assert_int_equal(memory_evidence_count(before), 4); /* as it was when it was opened */
    memory_evidence_close(before);

    struct evidence *after = open_log();
    struct evidence_segment segment;
    assert_int_equal(memory_evidence_count(after), 5);
    assert_int_equal(memory_evidence_progress(after).complete, 1);
    assert_int_equal(memory_evidence_read(after, 4, &segment), PR_OK);
    expect_segment(&segment, 4, true);
    memory_evidence_release(&segment);
    memory_evidence_close(after);
}

static void test_one_writer(void **state)
{
    (void)state;
    bool busy;
    struct evidence_writer *writer = open_writer(), *second;
    assert_int_equal(memory_evidence_writer_open(path, sample_source, &busy, &second), PR_ERR_IO);
    assert_true(busy);
    assert_non_null(strstr(pr_error_message(), "another process"));
    memory_evidence_writer_close(writer);
    writer = open_writer();
    memory_evidence_writer_close(writer);
}

static void test_refusals(void **state)
{
    (void)state;
    struct evidence *evidence;
    struct evidence_writer *writer;
    struct sample s;
    unsigned char other[BASE_HASH_BYTES] = {9};
    assert_int_equal(memory_evidence_open("/nonexistent/log", NULL, &evidence), PR_ERR_NOT_FOUND);
    write_sample(1, 0);
    assert_int_equal(memory_evidence_open(path, other, &evidence), PR_ERR_FORMAT);
    assert_int_equal(memory_evidence_writer_open(path, other, NULL, &writer), PR_ERR_FORMAT);
    writer = open_writer();
    sample_frames(&s, 1);
    assert_int_equal(memory_evidence_put_segment(writer, &s.segment), PR_ERR_INVALID); /* under a setup of text */
    struct evidence_setup setup = sample_visual_setup;
    setup.row_type = TYPE_Q8_0;
    setup.columns = 33;
    assert_int_equal(memory_evidence_put_setup(writer, &setup), PR_ERR_INVALID);
    memory_evidence_writer_close(writer);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(memory_evidence_open(path, sample_source, &evidence), PR_ERR_NOT_FOUND);
}

/* The disk is full: a clear word, and what was there stays; with room again it goes on. */
static void test_full_disk(void **state)
{
    (void)state;
    struct sample s;
    struct stat st;
    write_sample(2, 0);
    struct evidence_writer *writer = open_writer();
    assert_int_equal(stat(path, &st), 0);
    struct rlimit limit, small;
    getrlimit(RLIMIT_FSIZE, &limit);
    small = limit;
    small.rlim_cur = (rlim_t)st.st_size + 100;
    setrlimit(RLIMIT_FSIZE, &small);
    sample_text(&s, 2);
    assert_int_equal(memory_evidence_put_setup(writer, &sample_visual_setup), PR_OK);
    assert_int_equal(memory_evidence_put_segment(writer, &s.segment), PR_OK);
    int err = memory_evidence_commit(writer, &(struct evidence_progress){.units = 3});
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_int_equal(err, PR_ERR_IO);
    assert_non_null(strstr(pr_error_message(), "what was added before is kept"));
    assert_int_equal(memory_evidence_put_segment(writer, &s.segment), PR_OK);
    assert_int_equal(memory_evidence_commit(writer, &(struct evidence_progress){.units = 3}), PR_OK);
    memory_evidence_writer_close(writer);
    struct evidence *evidence = open_log();
    assert_int_equal(memory_evidence_count(evidence), 3);
    assert_int_equal(memory_evidence_damage(evidence), 0);
    assert_null(memory_evidence_setup(evidence, EVIDENCE_VISUAL));
    memory_evidence_close(evidence);
}

static void read_file(struct base_buf *out)
{
    char block[4096];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;)
        base_buf_append(out, block, n);
    fclose(file);
}

static void write_file(const char *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
}

/* How many segments can be read; all of them are what was written, in order. */
static size_t count_whole(const struct evidence *evidence, uint32_t n_text)
{
    size_t whole = 0;
    for (size_t i = 0; i < memory_evidence_count(evidence); i++) {
        struct evidence_segment segment;
        if (memory_evidence_read(evidence, i, &segment) < 0)
            continue;
        bool frames = segment.kind == EVIDENCE_FRAMES;
        uint32_t k = frames ? (uint32_t)(segment.t0 / 86400000001) : (uint32_t)segment.page;
        assert_true(k >= whole && frames == (k >= n_text));
        expect_segment(&segment, k, frames);
        memory_evidence_release(&segment);
        whole++;
    }
    return whole;
}

/* One changed byte anywhere costs at most a batch (a setup: its segments), never brings a wrong segment, and shows. */
static void test_damage(void **state)
{
    (void)state;
    struct base_buf file = {0};
    write_sample(4, 2);
    read_file(&file);
    for (size_t i = 0; i < file.len; i += 3) {
        file.data[i] ^= 0x55;
        write_file(file.data, file.len);
        struct evidence *evidence;
        assert_int_equal(memory_evidence_open(path, sample_source, &evidence), PR_OK);
        size_t whole = count_whole(evidence, 4), listed = memory_evidence_count(evidence);
        bool shown = memory_evidence_damage(evidence) > 0 || whole < listed;
        bool tail = memory_evidence_progress(evidence).units < 6; /* the last commit is lost: as if it had never come */
        assert_true(whole >= 2);
        assert_true(shown || tail || whole == 6);
        if (i >= 128 && whole == 6) /* what isn't a segment: info, or a commit that a later one covers */
            assert_true(shown);
        memory_evidence_close(evidence);
        file.data[i] ^= 0x55;
    }
    base_buf_finish(&file);
}

/* Cut off anywhere, the beginning remains up to a commit, and writing goes on behind it. */
static void test_truncated(void **state)
{
    (void)state;
    struct base_buf file = {0};
    struct sample s;
    write_sample(4, 2);
    read_file(&file);
    size_t last = 0;
    for (size_t size = sizeof(struct disk_file); size < file.len; size += 187) {
        write_file(file.data, size);
        struct evidence *evidence = open_log();
        size_t n = count_whole(evidence, 4);
        assert_int_equal(memory_evidence_damage(evidence), 0);
        assert_true(n >= last && n == memory_evidence_progress(evidence).units && n == memory_evidence_count(evidence));
        memory_evidence_close(evidence);
        last = n;

        struct evidence_writer *writer = open_writer();
        if (n == 0)
            assert_int_equal(memory_evidence_put_setup(writer, &sample_text_setup), PR_OK);
        sample_text(&s, (uint32_t)n);
        assert_int_equal(memory_evidence_put_segment(writer, &s.segment), PR_OK);
        assert_int_equal(memory_evidence_commit(writer, &(struct evidence_progress){.units = n + 1}), PR_OK);
        memory_evidence_writer_close(writer);
        evidence = open_log();
        assert_int_equal(memory_evidence_count(evidence), n + 1);
        assert_int_equal(memory_evidence_damage(evidence), 0);
        memory_evidence_close(evidence);
    }
    assert_int_equal(last, 4);
    base_buf_finish(&file);
}

/* The header of a record reaches behind the end of the file, past a commit: a write that wasn't finished has nothing committed behind
 * it, and what is added in its place doesn't make it whole. */
static void test_reaches_too_far(void **state)
{
    (void)state;
    struct base_buf file = {0};
    write_sample(4, 0);
    read_file(&file);
    size_t at = sizeof(struct disk_file), segment = 0;
    struct disk_record record;
    for (; at < file.len; at += record.size) {
        memcpy(&record, file.data + at, sizeof record);
        segment = record.kind == EVIDENCE_SEGMENT ? at : segment;
    }
    memcpy(&record, file.data + segment, sizeof record);
    record.size = file.len - segment + EVIDENCE_ALIGN;
    record.checksum = base_hash64(&record, offsetof(struct disk_record, checksum));
    memcpy(file.data + segment, &record, sizeof record);
    write_file(file.data, file.len);
    struct evidence *evidence = open_log();
    size_t n = memory_evidence_count(evidence);
    assert_true(n < 4);
    assert_int_equal(memory_evidence_progress(evidence).units, n);
    memory_evidence_close(evidence);

    struct evidence_writer *writer = open_writer();
    assert_int_equal(memory_evidence_commit(writer, &(struct evidence_progress){.units = 99}), PR_OK);
    memory_evidence_writer_close(writer);
    evidence = open_log();
    assert_int_equal(memory_evidence_progress(evidence).units, 99);
    assert_int_equal(memory_evidence_count(evidence), n);
    memory_evidence_close(evidence);
    base_buf_finish(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_commits),         cmocka_unit_test(test_one_writer),
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_full_disk),       cmocka_unit_test(test_damage),
        cmocka_unit_test(test_truncated),  cmocka_unit_test(test_reaches_too_far),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
