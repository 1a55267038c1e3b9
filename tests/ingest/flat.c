/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A film of two hours and a document of a thousand pages are read in memory that doesn't grow with their length.
 */
#include "ingest/source.h"
#include "tests/support/folder.h"
#include "tests/support/make_pdf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST_KB = 250 * 1024, GROWTH_KB = 16 * 1024, PAGES = 1000, SECONDS = 7200 };

static char path[64];

static long resident_kb(const char *pid)
{
    char name[64], line[128];
    long kb = 0;
    snprintf(name, sizeof name, "/proc/%s/status", pid);
    FILE *file = fopen(name, "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmRSS: %ld", &kb) == 1)
            break;
    if (file)
        fclose(file);
    return kb;
}

/* Of this program and its only child, the worker. */
static long both_kb(void)
{
    char name[64], child[32] = "";
    snprintf(name, sizeof name, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(name, "r");
    if (!file)
        skip();
    assert_int_equal(fscanf(file, "%31s", child), 1);
    fclose(file);
    return resident_kb("self") + resident_kb(child);
}

/* Reads to the end; after a tenth of the units the memory has its size. */
static void read_flat(int expected)
{
    struct ingest_options options = ingest_options_default();
    options.max_pixels = 256 * 256;
    struct ingest_source *source;
    struct pr_unit unit;
    long early = 0, most = 0;
    int n = 0, err;
    assert_int_equal(ingest_open(path, &options, &source), PR_OK);
    while ((err = ingest_next(source, &unit)) == PR_OK) {
        if (++n % 50 || n == expected)
            continue;
        long kb = both_kb();
        if (n <= expected / 10)
            early = kb > early ? kb : early;
        most = kb > most ? kb : most;
    }
    ingest_close(source);
    printf("%d units, resident: %ld MiB after a tenth, %ld MiB at most\n", n, early >> 10, most >> 10);
    assert_int_equal(err, PR_EOF);
    assert_int_equal(n, expected);
#ifndef PAGEREEL_SANITIZED /* shadow memory and quarantine count, too */
    assert_true(early > 0 && most < MOST_KB);
    assert_true(most - early < GROWTH_KB);
#endif
}

static void test_long_film(void **state)
{
    (void)state;
    char command[512];
    if (system("ffmpeg -version > /dev/null 2>&1") != 0)
        skip();
    snprintf(path, sizeof path, "%s/long.mp4", test_folder);
    snprintf(command, sizeof command,
             "ffmpeg -v error -y -f lavfi -i testsrc=s=160x90:r=1:d=%d -c:v libx264 -preset ultrafast -g 60 %s",
             SECONDS, path);
    assert_int_equal(system(command), 0);
    read_flat(SECONDS);
}

static void test_long_document(void **state)
{
    (void)state;
    static struct make_pdf_line lines[PAGES * 20];
    for (int i = 0; i < PAGES * 20; i++)
        lines[i] = (struct make_pdf_line){i / 20, 72, 100 + i % 20 * 30, "A line of a long document, one of twenty."};
    snprintf(path, sizeof path, "%s/long.pdf", test_folder);
    make_pdf(path, lines, PAGES * 20);
    read_flat(PAGES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_long_film), cmocka_unit_test(test_long_document)};
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
