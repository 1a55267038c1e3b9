/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Each kind is told by its first bytes, and is read by a program that loads no other family's libraries.
 */
#include "ingest/kinds.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct ingest_kind *kind_of(const void *head, size_t len, const char *path)
{
    for (size_t i = 0; i < INGEST_KINDS; i++)
        if (ingest_kinds[i].probe(head, len, path))
            return &ingest_kinds[i];
    fail_msg("%s: of no kind", path);
    return NULL;
}

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        size_t len;
        const char *path, *name, *program;
    } cases[] = {
        {"", 0, "/", "folder of pictures", "pagereel-ingest-media"},
        {"PK\3\4xyz", 7, "a.pdf", "archive of pictures", "pagereel-ingest-media"},
        {"%PDF-1.4\n\1\2", 11, "a.txt", "PDF", "pagereel-ingest-pdf"},
        {"\1junk %PDF-1.4", 14, "a", "PDF", "pagereel-ingest-pdf"},
        {"# words\n", 8, "a.md", "Markdown", "pagereel-ingest-media"},
        {"# words\n", 8, "a.mp4", "text", "pagereel-ingest"},
        {"#EXTM3U\n", 8, "a.m3u8", "text", "pagereel-ingest"},
        {"# words\n\1", 9, "a.md", "video, sound and pictures", "pagereel-ingest-media"},
        {"\x1a\x45\xdf\xa3\1", 5, "a.mkv", "video, sound and pictures", "pagereel-ingest-media"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct ingest_kind *kind = kind_of(cases[i].head, cases[i].len, cases[i].path);
        assert_string_equal(kind->name, cases[i].name);
        assert_string_equal(kind->program, cases[i].program);
    }
}

/* Loading a library that isn't used costs more than the first frame. */
static void test_libraries(void **state)
{
    (void)state;
    static const char *const programs[][4] = {
        {"pagereel-ingest", "libav", "libpoppler", "libglib"},
        {"pagereel-ingest-pdf", "libav", "libarchive", "libwebp"},
        {"pagereel-ingest-media", "libavfilter", "libavdevice", "libpoppler"},
    };
    char folder[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", folder, sizeof folder - 1);
    assert_true(size > 0);
    folder[size] = '\0';
    *strrchr(folder, '/') = '\0';
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        char command[PATH_MAX + 64], libraries[1 << 16];
        snprintf(command, sizeof command, "readelf -d %s/../ingest/%s", folder, programs[i][0]);
        FILE *pipe = popen(command, "r");
        size_t len = fread(libraries, 1, sizeof libraries - 1, pipe);
        assert_int_equal(pclose(pipe), 0);
        libraries[len] = '\0';
        assert_non_null(strstr(libraries, "libc.so"));
        for (int k = 1; k < 4; k++)
            if (strstr(libraries, programs[i][k]))
                fail_msg("%s needs %s", programs[i][0], programs[i][k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_libraries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
