/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Films and pictures of every container that ffmpeg writes: whole, they aren't called cut; with their end missing, they are.
 */
#include "ingest/whole.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/folder.h"

static void test_every_container(void **state)
{
    (void)state;
    static const char *const files[][2] = {
        {"faststart.mp4", "-c:v mpeg4 -c:a aac -movflags faststart"},
        {"index_last.mp4", "-c:v mpeg4 -c:a aac"},
        {"fragments.mp4", "-c:v mpeg4 -c:a aac -movflags frag_keyframe+empty_moov"},
        {"film.mov", "-c:v mjpeg -c:a pcm_s16le"},
        {"film.mkv", "-c:v mpeg4 -c:a aac"},
        {"film.webm", "-c:v libvpx -c:a libvorbis"},
        {"film.avi", "-c:v mpeg4 -c:a mp2"},
        {"film.flv", "-c:v flv -c:a aac"},
        {"film.ts", "-c:v mpeg2video -c:a mp2"},
        {"film.m2ts", "-c:v mpeg2video -c:a ac3"},
        {"film.mpg", "-c:v mpeg2video -c:a mp2"},
        {"mpeg1.mpg", "-f mpeg -c:v mpeg1video -c:a mp2"},
        {"film.ogv", "-c:v libtheora -c:a libvorbis"},
        {"film.wmv", "-c:v wmv2 -c:a wmav2"},
        {"film.mxf", "-c:v mpeg2video -c:a pcm_s16le -ar 48000"},
        {"sound.wav", "-vn"},
        {"picture.png", "-an -frames:v 1"},
        {"picture.jpg", "-an -frames:v 1"},
        {"picture.gif", "-an -frames:v 1"},
        {"moving.gif", "-an"},
        {"moving.apng", "-an"},
        {"picture.webp", "-an -frames:v 1 -c:v libwebp"},
        {"moving.webp", "-an -c:v libwebp_anim"},
    };
    static uint8_t data[1 << 21];
    if (system("ffmpeg -version > /dev/null 2>&1") != 0) {
        print_message("skipped: the ffmpeg program makes the films of this test\n");
        skip();
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char command[512], path[64];
        snprintf(path, sizeof path, "%s/%s", test_folder, files[i][0]);
        snprintf(command, sizeof command,
                 "ffmpeg -v error -f lavfi -i testsrc=s=64x48:r=25:d=2 -f lavfi -i sine=d=2 %s %s", files[i][1], path);
        assert_int_equal(system(command), 0);
        assert_false(ingest_is_cut_file(path));
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        assert_true(size < sizeof data);
        assert_false(ingest_is_cut(data, size));
        for (int percent = 30; percent < 100; percent += 3) {
            size_t len = size * (size_t)percent / 100;
            len -= len % 188 == 0 || len % 192 == 0; /* between two packets of a broadcast what is there is whole */
            if (!ingest_is_cut(data, len))
                fail_msg("%s cut behind byte %zu of %zu looks whole", files[i][0], len, size);
        }
    }
}

/* Of what was never finished, or came from a live stream, nothing is known. */
static void test_unknown_ends(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t size;
        bool cut;
    } cases[] = {
        {"", 0, false},
        {"words", 5, false},
        {"RIFF\0\0\0\0AVI LIST", 16, false},   /* a recording that nobody finished */
        {"RIFF\x08\0\0\0AVI LIST", 16, false}, /* as long as it says */
        {"RIFF\x09\0\0\0AVI LIST", 16, true},  /* a byte is missing */
        {"RIFF\xff\xff\xff\xff"
         "AVI LIST",
         16, false},                                                                         /* to a pipe */
        {"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff", 17, false}, /* size unknown */
        {"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x82xx", 12, false},
        {"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x83xx", 12, true},
        {"\0\0\0\x08"
         "free\0\0\0\x00"
         "mdat",
         16, false}, /* up to the end */
        {"\0\0\0\x08"
         "free\0\0\0\x09"
         "mdat",
         16, true},
        {"\0\0\0\x08"
         "free\0\0\0\x01"
         "mdat\0\0\0\0\0\0\0\x10",
         24, false},
        {"\0\0\0\x08"
         "free\0\0\0\x01"
         "mdat\0\0\0\0\0\0\0\x11",
         24, true},
        {"GIF89a\1\0\1\0\0\0\0;", 14, false},
        {"GIF89a\1\0\1\0\0\0\0", 13, true},
        {"GIF89a", 6, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (ingest_is_cut(cases[i].data, cases[i].size) != cases[i].cut)
            fail_msg("case %zu", i);
    assert_false(ingest_is_cut_file("/nonexistent"));
    assert_false(ingest_is_cut_file("/"));
}

/* Two directories of an entry each, in both orders of bytes; the same in a circle, and cut off. */
static void test_tiff_pages(void **state)
{
    (void)state;
    static const uint8_t least[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0, 1, 3, 0, 1, 0, 0, 0, 5, 0, 0, 0,
                                    26,  0,   0,  0, 1, 0, 0, 1, 3, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t most[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0, 0, 3, 0, 0, 0, 1, 0, 5, 0, 0,
                                   0,   0,   0, 26, 0, 1, 1, 0, 0, 3, 0, 0, 0, 1, 0, 5, 0, 0, 0, 0, 0, 0};
    assert_int_equal(ingest_tiff_pages(least, sizeof least), 2);
    assert_int_equal(ingest_tiff_pages(most, sizeof most), 2);
    uint8_t circle[sizeof least];
    memcpy(circle, least, sizeof circle);
    circle[40] = 8;
    assert_int_equal(ingest_tiff_pages(circle, sizeof circle), 1);
    for (size_t size = 0; size < sizeof least; size++)
        assert_int_equal(ingest_tiff_pages(least, size), 1);
    assert_int_equal(ingest_tiff_pages("not a TIFF", 10), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_container), cmocka_unit_test(test_unknown_ends),
                                       cmocka_unit_test(test_tiff_pages)};
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
