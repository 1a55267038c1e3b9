/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Small films, pictures and archives, cut behind every byte: a message or what could be read, never a crash or a leak. The readers
 * run in this process, because starting a worker for each of thousands of cuts takes minutes.
 */
#include "base/mem.h"
#include "ingest/kinds.h"
#include "ingest/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/folder.h"

enum { MAX_FILE = 1 << 16, MAX_UNITS = 50, MAX_SECONDS = 20 /* for one cut */ };

extern const struct ingest_reader ingest_archive, ingest_video;
const struct ingest_reader *const ingest_readers[] = {&ingest_archive, &ingest_video, NULL};

void ingest_report(int64_t at)
{
    (void)at;
}

/* Reads a source to its end. Returns how many pictures it gave; `failures` counts the messages. */
static int read_all(const char *path, const struct ingest_reader *reader, int *failures)
{
    struct ingest_options options = {.sampling = INGEST_RATE,
                                     .rate = 100,
                                     .from = PR_TIME_NONE,
                                     .to = PR_TIME_NONE,
                                     .last_page = -1,
                                     .stream = -1,
                                     .max_pixels = 64};
    struct pr_source_info info = {.start = PR_TIME_NONE, .duration = PR_TIME_NONE};
    void *priv = base_alloc(reader->priv_size);
    int err = reader->open(priv, path, &options, &info), pictures = 0;
    *failures = err < 0;
    for (int i = 0; err != PR_EOF && i < MAX_UNITS && *failures < 5; i++) {
        struct pr_unit unit = {.stream = -1};
        if (i == 0 && err < 0)
            break;
        err = reader->next(priv, &unit);
        pictures += err == PR_OK && unit.rgb;
        *failures += err < 0;
        if (err < 0 && strlen(pr_error_message()) < 10)
            fail_msg("a bad message: %s", pr_error_message());
    }
    reader->close(priv);
    base_free(priv);
    return pictures;
}

static const struct ingest_reader *find_reader(const unsigned char *head, size_t len, const char *path)
{
    const struct ingest_kind *kind = ingest_kinds;
    while (!kind->probe(head, len, path))
        kind++;
    for (size_t i = 0; ingest_readers[i]; i++)
        if (strcmp(ingest_readers[i]->kind, kind->name) == 0)
            return ingest_readers[i];
    return NULL;
}

/* Of the file that `command` makes. kept: from which share of it on pictures come, in percent. */
static void cut_everywhere(const char *name, const char *command, int kept)
{
    static unsigned char whole[MAX_FILE];
    char text[512], path[64];
    snprintf(text, sizeof text, "cd %s && %s", test_folder, command);
    assert_int_equal(system(text), 0);
    snprintf(text, sizeof text, "%s/%s", test_folder, name);
    FILE *file = fopen(text, "rb");
    assert_non_null(file);
    size_t len = fread(whole, 1, sizeof whole, file);
    fclose(file);
    assert_true(len > 16 && len < sizeof whole);
    int fd = memfd_create("cut", MFD_CLOEXEC), failures;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    assert_int_equal(write(fd, whole, len), len);
    int all = read_all(path, find_reader(whole, len, path), &failures), messages = 0;
    assert_true(all > 0 && failures == 0);
    for (size_t cut = len - 1; cut > 0; cut--) {
        alarm(MAX_SECONDS);
        assert_int_equal(ftruncate(fd, (off_t)cut), 0);
        const struct ingest_reader *reader = find_reader(whole, cut < 4096 ? cut : 4096, path);
        int pictures = reader ? read_all(path, reader, &failures) : 0;
        messages += failures > 0;
        if (pictures > all || (pictures == 0 && reader && failures == 0 && cut * 100 > len * (size_t)kept))
            fail_msg("%s cut behind byte %zu of %zu: %d pictures and no message", name, cut, len, pictures);
        if (cut * 100 > len * (size_t)kept && pictures == 0)
            fail_msg("%s cut behind byte %zu of %zu: nothing is left (%s)", name, cut, len, pr_error_message());
    }
    alarm(0);
    close(fd);
    print_message("%s: %zu cuts, of which %d gave a message\n", name, len - 1, messages);
}

#define FFMPEG "ffmpeg -v error -y -f lavfi -i testsrc=s=16x16:r=10:d=0.3 "

static void test_films(void **state)
{
    (void)state;
    cut_everywhere("cut.mp4", FFMPEG "-c:v libx264 -preset ultrafast -g 1 -pix_fmt yuv420p -movflags faststart cut.mp4",
                   85);
    cut_everywhere("fragments.mp4", FFMPEG "-c:v mpeg4 -g 1 -movflags frag_keyframe+empty_moov fragments.mp4", 70);
    cut_everywhere("cut.mkv", FFMPEG "-c:v mpeg4 -g 1 cut.mkv", 80);
    cut_everywhere("cut.webm", FFMPEG "-c:v libvpx -g 1 cut.webm", 80);
    cut_everywhere("cut.ts", FFMPEG "-c:v mpeg2video -g 1 cut.ts", 80);
}

static void test_pictures(void **state)
{
    (void)state;
    cut_everywhere("cut.jpg", FFMPEG "-frames:v 1 cut.jpg", 98);
    cut_everywhere("cut.gif", FFMPEG "cut.gif", 95);
    cut_everywhere("cut.apng", FFMPEG "cut.apng", 90);
    cut_everywhere("cut.webp", FFMPEG "-c:v libwebp_anim -lossless 1 cut.webp", 100);
    cut_everywhere("cut.cbz", "python3 -c \"import zipfile; zipfile.ZipFile('cut.cbz', 'w').write('cut.jpg')\"", 100);
}

int main(void)
{
    if (system("ffmpeg -version > /dev/null 2>&1") != 0) {
        printf("skipped: the ffmpeg program makes the films of this test\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_films), cmocka_unit_test(test_pictures)};
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
