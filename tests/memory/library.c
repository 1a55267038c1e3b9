/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/library.h"

#include "base/mem.h"
#include "memory/passages.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/folder.h"

static char library_folder[64];
static struct library *library;
static int hashed; /* bytes that were hashed since it was last looked at */

/* Writes a file that has been there for `age` seconds. */
static void write_file(const char *name, const char *text, int age)
{
    FILE *file = fopen(test_file(name), "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    struct timespec t[2];
    clock_gettime(CLOCK_REALTIME, &t[0]);
    t[0].tv_sec -= age;
    t[1] = t[0];
    assert_int_equal(utimensat(AT_FDCWD, test_file(name), t, 0), 0);
}

static void on_hash(void *user, int64_t done, int64_t total)
{
    (void)user;
    (void)total;
    hashed += done > 0;
}

static struct library_source identify(const char *name, enum library_state state, bool reads)
{
    struct library_source source;
    hashed = 0;
    assert_int_equal(memory_library_identify(library, test_file(name), on_hash, NULL, NULL, &source), PR_OK);
    assert_int_equal(source.state, state);
    assert_int_equal(hashed > 0, reads);
    return source;
}

static void reopen(void)
{
    memory_library_close(library);
    assert_int_equal(memory_library_open(library_folder, &library), PR_OK);
}

static int set_up(void **state)
{
    if (test_folder_make(state) < 0)
        return -1;
    snprintf(library_folder, sizeof library_folder, "%s/library", test_folder);
    return memory_library_open(library_folder, &library);
}

static int tear_down(void **state)
{
    memory_library_close(library);
    return test_folder_remove(state);
}

/* Bytes decide; while device, inode, size and time are as they were, nothing is read. */
static void test_identity(void **state)
{
    (void)state;
    write_file("a", "the first film", 100);
    struct library_source a = identify("a", LIBRARY_NEW, true);
    identify("a", LIBRARY_KNOWN, false);
    reopen();
    identify("a", LIBRARY_KNOWN, false);

    assert_int_equal(rename(test_file("a"), test_file("b")), 0);
    assert_int_equal(identify("b", LIBRARY_RENAMED, false).id, a.id); /* moved */
    identify("b", LIBRARY_KNOWN, false);
    write_file("c", "the first film", 100);
    assert_int_equal(identify("c", LIBRARY_RENAMED, true).id, a.id); /* a copy */
    assert_int_equal(identify("a", LIBRARY_GONE, false).id, a.id);

    write_file("b", "another film!!", 100); /* as long as the first, and as old */
    struct library_source b = identify("b", LIBRARY_CHANGED, true);
    assert_int_not_equal(b.id, a.id);
    unlink(test_file("b"));
    assert_int_equal(identify("b", LIBRARY_GONE, false).id, b.id);

    struct library_source source;
    assert_int_equal(memory_library_identify(library, test_file("none"), NULL, NULL, NULL, &source), PR_ERR_IO);
    assert_int_equal(memory_library_identify(library, "/dev/null", NULL, NULL, NULL, &source), PR_ERR_UNSUPPORTED);
}

/* A file that is as young as its hash, or younger than the clock: its time proves nothing, so its bytes are read again. */
static void test_clock(void **state)
{
    (void)state;
    write_file("young", "written just now", 0);
    identify("young", LIBRARY_NEW, true);
    identify("young", LIBRARY_KNOWN, true);
    write_file("future", "the clock was set back", -86400);
    struct library_source before = identify("future", LIBRARY_NEW, true);
    write_file("future", "the clock was set BACK", -86400);
    assert_int_not_equal(identify("future", LIBRARY_CHANGED, true).id, before.id);
}

static void test_folders(void **state)
{
    (void)state;
    assert_int_equal(mkdir(test_file("scans"), 0700), 0);
    write_file("scans/1.png", "x", 100);
    struct library_source one = identify("scans", LIBRARY_NEW, true);
    assert_int_equal(identify("scans", LIBRARY_KNOWN, true).id, one.id);
    write_file("scans/2.png", "y", 100);
    assert_int_not_equal(identify("scans", LIBRARY_CHANGED, true).id, one.id);
}

/* Adds pages with one line each under a new setup. */
static void add_pages(const struct library_source *source, const char *const *lines, int n)
{
    struct evidence_writer *writer;
    assert_int_equal(memory_library_writer(library, source, NULL, &writer), PR_OK);
    struct evidence_info info = {source->path, "text", "text", "", n, PR_TIME_NONE, PR_TIME_NONE};
    assert_int_equal(memory_evidence_put_info(writer, &info), PR_OK);
    assert_int_equal(memory_evidence_put_setup(writer, &(struct evidence_setup){.made = EVIDENCE_TEXT, .text = ""}),
                     PR_OK);
    for (int i = 0; i < n; i++) {
        struct evidence_line line = {PR_TIME_NONE, PR_TIME_NONE, {0}, i, (uint32_t)strlen(lines[i]), lines[i]};
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
    assert_int_equal(memory_evidence_commit(writer, &(struct evidence_progress){.units = (uint64_t)n, .complete = 1}),
                     PR_OK);
    memory_evidence_writer_close(writer);
    struct evidence *evidence;
    assert_int_equal(memory_library_evidence(library, source, &evidence), PR_OK);
    assert_int_equal(memory_library_index(library, source, evidence), PR_OK);
    memory_evidence_close(evidence);
}

/* The text of the best hit, or "". */
static const char *best(const char *question, const int64_t *ids, size_t n_ids)
{
    static char text[256];
    struct library_hit hits[8];
    size_t n, i;
    text[0] = '\0';
    assert_int_equal(memory_library_search(library, question, ids, n_ids, NULL, NULL, 8, hits, &n), PR_OK);
    if (n == 0)
        return text;
    struct library_source *list;
    size_t n_list;
    assert_int_equal(memory_library_list(library, &list, &n_list), PR_OK);
    for (size_t s = 0; s < n_list; s++) {
        struct evidence *evidence;
        struct evidence_segment segment;
        if (list[s].id != hits[0].source)
            continue;
        assert_int_equal(memory_library_evidence(library, &list[s], &evidence), PR_OK);
        assert_true(memory_evidence_find(evidence, hits[0].segment, &i));
        assert_int_equal(memory_evidence_read(evidence, i, &segment), PR_OK);
        snprintf(text, sizeof text, "%s", segment.lines[hits[0].line].text);
        memory_evidence_release(&segment);
        memory_evidence_close(evidence);
    }
    base_free(list);
    return text;
}

static void test_search(void **state)
{
    (void)state;
    static const char *const pumps[] = {"The pump is started with the red lever.", "Its valve closes at nine bar."},
                             *const cats[] = {"A cat sleeps by the pump.", "東京は日本の首都です。"},
                             *const newer[] = {"The pump is started with the green lever."};
    write_file("pumps", "pumps", 100);
    write_file("cats", "cats", 100);
    struct library_source p = identify("pumps", LIBRARY_NEW, true), c = identify("cats", LIBRARY_NEW, true), found;
    add_pages(&p, pumps, 2);
    add_pages(&c, cats, 2);
    assert_string_equal(best("which lever?", NULL, 0), pumps[0]);
    assert_string_equal(best("pump", &c.id, 1), cats[0]);
    assert_string_equal(best("valve", &c.id, 1), "");
    assert_string_equal(best("首都", NULL, 0), cats[1]);

    /* Index, catalogue, or both are lost or damaged: made again from the logs. */
    static const char *const files[] = {"text.db", "catalogue.db"};
    for (int damage = 0; damage < 6; damage++) {
        memory_library_close(library);
        for (int i = 0; i < 2; i++) {
            char path[128];
            snprintf(path, sizeof path, "%s/%s", library_folder, files[i]);
            if (damage / 2 == i || damage / 2 == 2)
                assert_int_equal(damage % 2 ? truncate(path, 0) | truncate(path, 5000) : unlink(path), 0);
        }
        assert_int_equal(memory_library_open(library_folder, &library), PR_OK);
        assert_string_equal(best("which lever?", NULL, 0), pumps[0]);
        assert_int_equal(memory_library_find(library, test_file("cats"), &found), PR_OK);
        assert_string_equal(best("pump", &found.id, 1), cats[0]);
    }

    /* Read again under another setup: the old passages are gone. */
    assert_int_equal(memory_library_find(library, test_file("pumps"), &p), PR_OK);
    add_pages(&p, newer, 1);
    assert_string_equal(best("lever", NULL, 0), newer[0]);
    assert_string_equal(best("valve", NULL, 0), "");

    char digits[65];
    base_hash_text(c.hash, digits);
    digits[8] = '\0';
    assert_int_equal(memory_library_find(library, digits, &found), PR_OK);
    assert_memory_equal(found.hash, c.hash, sizeof c.hash);
    assert_int_equal(memory_library_find(library, "nothing", &found), PR_ERR_NOT_FOUND);
    assert_int_equal(memory_library_remove(library, &found), PR_OK);
    assert_string_equal(best("cat", NULL, 0), "");
    assert_string_equal(best("lever", NULL, 0), newer[0]);
    assert_int_equal(memory_library_find(library, test_file("cats"), &found), PR_ERR_NOT_FOUND);
}

/* Two on one library: a source that is being added can't be added or removed by another; all else works. */
static void test_two(void **state)
{
    (void)state;
    struct library *other;
    struct evidence_writer *writer, *second;
    bool busy;
    write_file("two", "two", 100);
    struct library_source source = identify("two", LIBRARY_NEW, true), same;
    assert_int_equal(memory_library_open(library_folder, &other), PR_OK);
    assert_int_equal(memory_library_writer(library, &source, NULL, &writer), PR_OK);
    assert_int_equal(memory_library_find(other, test_file("two"), &same), PR_OK);
    assert_int_equal(memory_library_writer(other, &same, &busy, &second), PR_ERR_IO);
    assert_true(busy);
    assert_non_null(strstr(pr_error_message(), "another pagereel is adding it"));
    assert_int_equal(memory_library_remove(other, &same), PR_ERR_IO);
    memory_evidence_writer_close(writer);
    assert_int_equal(memory_library_remove(other, &same), PR_OK);
    memory_library_close(other);
    assert_int_equal(memory_library_find(library, test_file("two"), &same), PR_ERR_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity), cmocka_unit_test(test_clock), cmocka_unit_test(test_folders),
        cmocka_unit_test(test_search),   cmocka_unit_test(test_two),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
