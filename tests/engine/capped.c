/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * --disk holds at every moment: after each write of adding a film to a library under a cap, logs and what is being made of them come to no
 * more than it. And each write may be the one for which there is no room on the disk, or during which the machine ends: what was there before
 * stays, and adding goes on from it to the end. Writes are watched and refused by standing before pwrite() (the linker's --wrap).
 */
#include "engine/library.h"
#include "memory/evidence.h"
#include "pagereel/pagereel.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/folder.h"

static char evidence_folder[128];
static bool has_film;

/* What is watched: the sizes of the folder's files after each write to a log. */
static int64_t most, writes, fail_at;
static bool die;

static int64_t folder_size(void)
{
    int64_t sum = 0;
    struct dirent *entry;
    DIR *dir = opendir(evidence_folder);
    while (dir && (entry = readdir(dir))) {
        struct stat st;
        if (fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 && S_ISREG(st.st_mode))
            sum += st.st_size;
    }
    if (dir)
        closedir(dir);
    return sum;
}

static bool is_log(int fd)
{
    char link[64], name[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, name, sizeof name - 1);
    name[n > 0 ? n : 0] = '\0';
    return strstr(name, "/evidence/") != NULL;
}

/* With 64 bits of offset, which meson asks for, that is what pwrite() is called. */
ssize_t __real_pwrite64(int fd, const void *data, size_t size, int64_t offset);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t size, int64_t offset);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t size, int64_t offset)
{
    if (!is_log(fd))
        return __real_pwrite64(fd, data, size, offset);
    if (++writes == fail_at) {
        if (size > 1 && __real_pwrite64(fd, data, size / 2, offset) < 0)
            return -1;
        if (die)
            _exit(77);
        errno = ENOSPC;
        return -1;
    }
    ssize_t n = __real_pwrite64(fd, data, size, offset);
    int64_t now = folder_size();
    most = now > most ? now : most;
    return n;
}

static int make_film(void **state)
{
    char command[512];
    assert_int_equal(test_folder_make(state), 0);
    snprintf(evidence_folder, sizeof evidence_folder, "%s/library/evidence", test_folder);
    snprintf(command, sizeof command,
             "ffmpeg -v error -f lavfi -i mandelbrot=s=96x72:r=10:end_scale=0.01 -t 40 -c:v mpeg4 -q:v 5 %s/film.mkv "
             "2>/dev/null",
             test_folder);
    has_film = system(command) == 0;
    return 0;
}

static void clear(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s/library", test_folder);
    assert_int_equal(system(command), 0);
    most = writes = fail_at = 0;
}

static int add(int64_t disk, struct pr_entry *entry)
{
    static char library[128], film[128];
    struct pr_settings s = pr_settings_default();
    snprintf(library, sizeof library, "%s/library", test_folder);
    snprintf(film, sizeof film, "%s/film.mkv", test_folder);
    s.mmproj = "tests/golden/vision/idefics3.mmproj.f16.gguf";
    s.library = library;
    s.device = "cpu";
    s.threads = 1;
    s.keep = 1;
    s.fps = 5;
    s.disk = disk;
    return pr_add(&s, film, NULL, NULL, NULL, entry);
}

/* The film is there from end to end, nothing twice. */
static void check_whole(int64_t disk)
{
    struct library *library;
    struct library_source *list;
    struct evidence *evidence;
    size_t n;
    char path[128];
    int64_t at = 0;
    snprintf(path, sizeof path, "%s/library", test_folder);
    assert_true(folder_size() <= disk);
    assert_int_equal(memory_library_open(path, &library), PR_OK);
    assert_int_equal(memory_library_list(library, &list, &n), PR_OK);
    assert_int_equal(n, 1);
    assert_int_equal(memory_library_evidence(library, &list[0], &evidence), PR_OK);
    assert_int_equal(memory_evidence_damage(evidence), 0);
    for (size_t i = 0; i < memory_evidence_count(evidence); i++) {
        struct evidence_segment segment;
        assert_int_equal(memory_evidence_read(evidence, i, &segment), PR_OK);
        if (segment.n_tokens > 0) {
            assert_int_equal(segment.t0, at);
            at = segment.t1;
        }
        memory_evidence_release(&segment);
    }
    assert_in_range(at, 39800000, 40200000);
    memory_evidence_close(evidence);
    base_free(list);
    memory_library_close(library);
}

static int64_t full_size(void)
{
    struct pr_entry entry;
    clear();
    assert_int_equal(add(0, &entry), PR_OK);
    return folder_size();
}

static void test_holds(void **state)
{
    (void)state;
    if (!has_film)
        skip();
    int64_t full = full_size();
    /* The last ones have no room for 8 tokens of each of its segments. */
    for (int64_t disk = full; disk > full / 20; disk = disk * 2 / 3) {
        struct pr_entry entry;
        clear();
        int err = add(disk, &entry);
        if (err < 0)
            print_message("%lld of %lld bytes: %s\n", (long long)disk, (long long)full, pr_error_message());
        assert_int_equal(err, PR_OK);
        assert_true(entry.seen && most > 0 && most <= disk);
        check_whole(disk);
        print_message("%lld of %lld bytes: at most %lld, %lld tokens\n", (long long)disk, (long long)full,
                      (long long)most, (long long)entry.tokens);
    }
    struct pr_entry entry;
    clear();
    assert_int_equal(add(2000, &entry), PR_ERR_NOMEM);
    assert_non_null(strstr(pr_error_message(), "--disk"));
    assert_true(most <= 2000);
}

/* Every write fails once, and every one is the last of a process once. */
static void test_interrupted(void **state)
{
    (void)state;
    if (!has_film)
        skip();
    int64_t disk = full_size() / 6, total, step;
    struct pr_entry entry;
    clear();
    assert_int_equal(add(disk, &entry), PR_OK);
    total = writes;
    step = total / 12 > 1 ? total / 12 : 1;
    for (int64_t at = 1; at <= total; at += step) {
        for (die = false;; die = true) {
            clear();
            int status = 0;
            pid_t child = die ? fork() : 0;
            fail_at = at;
            if (child == 0) {
                int err = add(disk, &entry);
                if (die)
                    _exit(err == PR_OK ? 0 : 1);
                assert_int_equal(err, PR_ERR_IO);
                assert_non_null(strstr(pr_error_message(), "make room"));
            } else {
                waitpid(child, &status, 0);
                assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 77);
            }
            fail_at = most = 0;
            assert_int_equal(add(disk, &entry), PR_OK);
            assert_true(entry.seen && most <= disk);
            check_whole(disk);
            if (die)
                break;
        }
    }
    print_message("%lld writes\n", (long long)total);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_holds), cmocka_unit_test(test_interrupted)};
    return cmocka_run_group_tests(tests, make_film, test_folder_remove);
}
