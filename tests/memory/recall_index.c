/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What recall keeps of a log: made when it is missing, brought up when the log has grown, made anew when the log is another file or the
 * index is damaged, and taken as it is otherwise, without a look into the log.
 */
#include "memory/recall_index.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/memory/evidence_sample.h"
#include "tests/support/folder.h"

static struct library *library;
static const struct library_source source = {.id = 1, .hash = {1, 2, 3, 4, 5, 6, 7, 8, 9}};

static int set_up(void **state)
{
    return test_folder_make(state) < 0 ? -1 : memory_library_open(test_file("library"), &library);
}

static int tear_down(void **state)
{
    memory_library_close(library);
    return test_folder_remove(state);
}

static const char *file(const char *suffix)
{
    char digits[2 * BASE_HASH_BYTES + 1], name[128];
    base_hash_text(source.hash, digits);
    snprintf(name, sizeof name, "library/evidence/%s.%s", digits, suffix);
    return test_file(name);
}

/* Appends segments `from` to `to`. */
static void grow(uint32_t from, uint32_t to, bool complete)
{
    struct evidence_writer *writer;
    struct sample s;
    assert_int_equal(memory_library_writer(library, &source, NULL, &writer), PR_OK);
    if (from == 0) {
        assert_int_equal(memory_evidence_put_info(writer, &sample_info), PR_OK);
        assert_int_equal(memory_evidence_put_setup(writer, &sample_text_setup), PR_OK);
        assert_int_equal(memory_evidence_put_setup(writer, &sample_visual_setup), PR_OK);
    }
    for (; from < to; from++) {
        sample_frames(&s, from);
        assert_int_equal(memory_evidence_put_segment(writer, &s.segment), PR_OK);
    }
    memory_evidence_put_seen(writer, &(struct evidence_seen){.complete = complete});
    assert_int_equal(memory_evidence_commit(writer, &(struct evidence_progress){.units = to, .complete = complete}),
                     PR_OK);
    memory_evidence_writer_close(writer);
}

/* The index holds segments 0 to n, and what the log says of itself. */
static void check(uint32_t n, bool complete)
{
    struct recall_index *index;
    size_t found;
    bool seen;
    assert_int_equal(memory_recall_open(library, &source, &index), PR_OK);
    const struct recall_segment *segments = memory_recall_segments(index, &found);
    assert_int_equal(found, n);
    for (uint32_t i = 0; i < n; i++) {
        struct sample s;
        int8_t mean[RECALL_MEAN];
        sample_frames(&s, i);
        memory_recall_sketch(s.mean, SAMPLE_COLUMNS, mean);
        assert_int_equal(segments[i].t0, s.segment.t0);
        assert_int_equal(segments[i].t1, s.segment.t1);
        assert_true(segments[i].n_tokens == SAMPLE_TOKENS && segments[i].n_raw == 100);
        assert_int_equal(segments[i].n_lines, SAMPLE_LINES);
        assert_memory_equal(segments[i].mean, mean, sizeof mean);
    }
    const struct recall_summary *summary = memory_recall_summary(index);
    assert_true(summary->progress.units == n && summary->progress.complete == complete);
    assert_true(summary->start == sample_info.start && summary->duration == sample_info.duration);
    assert_true(summary->damage == 0 && summary->damaged == 0);
    const struct evidence_setup *setup = memory_recall_setup_at(index, 1, &seen);
    assert_true(setup && setup->made == EVIDENCE_VISUAL && setup->columns == SAMPLE_COLUMNS);
    assert_true(setup->row_type == TYPE_F16 && setup->fingerprint[0] == 43 && seen == complete);
    assert_true(n == 0 || segments[0].setup == setup->number);
    assert_null(memory_recall_setup_at(index, 2, &seen));
    memory_recall_close(index);
}

/* Changes a byte of a file; its time and size stay as they were. */
static void damage(const char *path, long at)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    FILE *f = fopen(path, "r+b");
    fseek(f, at < 0 ? (long)st.st_size + at : at, SEEK_SET);
    int c = fgetc(f);
    fseek(f, -1, SEEK_CUR);
    fputc(c ^ 0x55, f);
    fclose(f);
    const struct timespec times[2] = {st.st_atim, st.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void follows_the_log(void **state)
{
    (void)state;
    struct recall_index *index;
    assert_int_equal(memory_recall_open(library, &source, &index), PR_ERR_NOT_FOUND);
    grow(0, 3, false);
    check(3, false);
    check(3, false);
    grow(3, 10, true);
    check(10, true);
    unlink(file("recall"));
    check(10, true);
    for (long at = 0; at < 192 + 2 * 56; at += 5) { /* of the index: made again */
        damage(file("recall"), at);
        check(10, true);
    }
    assert_int_equal(truncate(file("recall"), 500), 0);
    check(10, true);
}

static void leaves_the_log_closed(void **state)
{
    (void)state;
    struct stat st;
    check(10, true);
    assert_int_equal(stat(file("log"), &st), 0);
    for (long at = 0; at < st.st_size; at += 64)
        damage(file("log"), at); /* nothing of it is whole */
    check(10, true);
    const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    assert_int_equal(utimensat(AT_FDCWD, file("log"), now, 0), 0);
    struct recall_index *index;
    size_t n = 1;
    if (memory_recall_open(library, &source, &index) >= 0) { /* now it is looked at */
        memory_recall_segments(index, &n);
        memory_recall_close(index);
        assert_int_equal(n, 0);
    }
    unlink(file("log"));
    assert_int_equal(memory_recall_open(library, &source, &index), PR_ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(follows_the_log), cmocka_unit_test(leaves_the_log_closed)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
