/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The forms that pictures come in: turned, stretched, interlaced, deep, see-through, moving or still, several at once. Each is
 * made with the ffmpeg program from colours that are known.
 */
#include "ingest/source.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/folder.h"

static char path[64];

/* Runs a shell command in the folder and makes `name`, which it wrote, the current file. */
static void make(const char *name, const char *command)
{
    char full[1024];
    snprintf(full, sizeof full, "cd %s && %s", test_folder, command);
    assert_int_equal(system(full), 0);
    snprintf(path, sizeof path, "%s/%s", test_folder, name);
}

#define FFMPEG "ffmpeg -v error -y "

enum { MAX_SHOTS = 16 };
struct shot {
    double width, height; /* as shown */
    int picture_width, picture_height;
    int64_t t0, t1;
    uint8_t first[3], last[3]; /* near the upper left and the lower right corner */
    int darkest, brightest;    /* of all samples */
};

/* Reads up to MAX_SHOTS pictures of the current file. Returns how many. */
static int take_shots(double rate, int32_t stream, char kind[32], struct shot *shots)
{
    struct ingest_options options = ingest_options_default();
    struct ingest_source *source;
    struct pr_unit unit;
    int n = 0;
    options.rate = rate;
    options.stream = stream;
    assert_int_equal(ingest_open(path, &options, &source), PR_OK);
    snprintf(kind, 32, "%s", ingest_info(source)->kind);
    while (n < MAX_SHOTS && ingest_next(source, &unit) == PR_OK) {
        if (!unit.rgb)
            continue;
        struct shot *shot = &shots[n++];
        int32_t w = unit.picture_width, h = unit.picture_height;
        *shot = (struct shot){unit.width, unit.height, w, h, unit.span.t0, unit.span.t1, .darkest = 255};
        memcpy(shot->first, unit.rgb + 3 * ((h / 8) * w + w / 8), 3);
        memcpy(shot->last, unit.rgb + 3 * ((h - 1 - h / 8) * w + w - 1 - w / 8), 3);
        for (int32_t i = 0; i < 3 * w * h; i++) {
            shot->darkest = unit.rgb[i] < shot->darkest ? unit.rgb[i] : shot->darkest;
            shot->brightest = unit.rgb[i] > shot->brightest ? unit.rgb[i] : shot->brightest;
        }
    }
    ingest_close(source);
    return n;
}

static void expect_colour(const uint8_t *rgb, int r, int g, int b)
{
    if (abs(rgb[0] - r) > 12 || abs(rgb[1] - g) > 12 || abs(rgb[2] - b) > 12)
        fail_msg("%s: colour %d %d %d instead of %d %d %d", path, rgb[0], rgb[1], rgb[2], r, g, b);
}

static char kind[32];
static struct shot shots[MAX_SHOTS];

static void test_stills_and_animations(void **state)
{
    (void)state;
    make("one.gif", FFMPEG "-f lavfi -i color=blue:s=40x30 -frames:v 1 one.gif");
    assert_int_equal(take_shots(1, -1, kind, shots), 1);
    assert_string_equal(kind, "image");
    assert_true(shots[0].t0 == PR_TIME_NONE && shots[0].t1 == PR_TIME_NONE);
    expect_colour(shots[0].first, 0, 0, 255);
    /* A still has no middle of its length: a budget takes it, too. */
    struct ingest_options options = ingest_options_default();
    struct ingest_source *source = NULL;
    struct pr_unit unit;
    options.sampling = INGEST_BUDGET;
    options.budget = 8;
    assert_int_equal(ingest_open(path, &options, &source), PR_OK);
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_non_null(unit.rgb);
    assert_int_equal(ingest_next(source, &unit), PR_EOF);
    ingest_close(source);
    make("moving.gif", FFMPEG "-f lavfi -i testsrc=s=40x30:r=5:d=2 moving.gif");
    assert_int_equal(take_shots(5, -1, kind, shots), 10);
    assert_string_equal(kind, "video");
    assert_true(shots[9].t0 == 1800000);
    make("moving.apng", FFMPEG "-f lavfi -i testsrc=s=40x30:r=5:d=1 moving.apng");
    assert_int_equal(take_shots(5, -1, kind, shots), 5);
    assert_string_equal(kind, "video");
}

static void test_webp(void **state)
{
    (void)state;
    if (system("ffmpeg -v quiet -encoders | grep -q libwebp_anim") != 0)
        skip();
    make("still.webp", FFMPEG "-f lavfi -i color=blue:s=40x30 -frames:v 1 -c:v libwebp still.webp");
    assert_int_equal(take_shots(1, -1, kind, shots), 1);
    assert_string_equal(kind, "image");
    expect_colour(shots[0].first, 0, 0, 255);
    make("moving.webp", FFMPEG "-f lavfi -i testsrc=s=40x30:r=5:d=2 -c:v libwebp_anim moving.webp");
    assert_int_equal(take_shots(5, -1, kind, shots), 10);
    assert_string_equal(kind, "video");
    for (int i = 0; i < 10; i++)
        assert_true(shots[i].t0 == 200000 * i && shots[i].t1 == 200000 * (i + 1));
}

/* An animation is read from standard input as well, and is one page of a folder or an archive. */
static void test_webp_elsewhere(void **state)
{
    (void)state;
    if (system("ffmpeg -v quiet -encoders | grep -q libwebp_anim") != 0)
        skip();
    make("set/moving.webp",
         "mkdir -p set && " FFMPEG "-f lavfi -i testsrc=s=40x30:r=5:d=2 -c:v libwebp_anim set/moving.webp");
    int kept = dup(0), file = open(path, O_RDONLY);
    assert_true(file >= 0);
    dup2(file, 0);
    close(file);
    snprintf(path, sizeof path, "-");
    assert_int_equal(take_shots(5, -1, kind, shots), 10);
    assert_string_equal(kind, "video");
    assert_true(shots[9].t0 == 1800000 && shots[9].t1 == 2000000);
    dup2(kept, 0);
    close(kept);
    snprintf(path, sizeof path, "%s/set", test_folder);
    assert_int_equal(take_shots(1, -1, kind, shots), 1);
    assert_true(shots[0].picture_width == 40);
    make("set.cbz", "python3 -c \"import zipfile; zipfile.ZipFile('set.cbz', 'w').write('set/moving.webp')\"");
    assert_int_equal(take_shots(1, -1, kind, shots), 1);
    assert_true(shots[0].picture_width == 40);
}

/* Little-endian numbers of a WebP's chunks. */
static size_t put(uint8_t *out, size_t at, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        out[at + (size_t)i] = (uint8_t)(value >> (8 * i));
    return at + (size_t)bytes;
}

/* Adds a frame: the lossless picture `name` at (x, y), shown for `duration` ms. flags: 1 clears its rectangle afterwards, 2
 * replaces what is below instead of blending. */
static size_t put_frame(uint8_t *out, size_t at, const char *name, uint32_t x, uint32_t y, uint32_t w, uint32_t h,
                        uint32_t duration, uint8_t flags)
{
    static uint8_t still[4096];
    snprintf(path, sizeof path, "%s/%s", test_folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t len = fread(still, 1, sizeof still, file), begin = 12;
    fclose(file);
    while (begin + 8 < len && memcmp(still + begin, "VP8L", 4) != 0)
        begin += 8 + ((still[begin + 4] | (size_t)still[begin + 5] << 8) + 1) / 2 * 2;
    size_t chunk = 8 + ((still[begin + 4] | (size_t)still[begin + 5] << 8) + 1) / 2 * 2;
    assert_true(begin + chunk <= len);
    memcpy(out + at, "ANMF", 4);
    at = put(out, at + 4, (uint32_t)(16 + chunk), 4);
    at = put(out, at, x / 2, 3);
    at = put(out, at, y / 2, 3);
    at = put(out, at, w - 1, 3);
    at = put(out, at, h - 1, 3);
    at = put(out, at, duration, 3);
    at = put(out, at, flags, 1);
    memcpy(out + at, still + begin, chunk);
    return at + chunk;
}

/* Frames of different length that cover parts of the canvas: one is blended onto the last, one replaces, one is cleared. */
static void test_webp_blending(void **state)
{
    (void)state;
    static uint8_t file[16384];
    if (system("ffmpeg -v quiet -encoders | grep -q libwebp") != 0)
        skip();
    make("blue.webp", FFMPEG "-f lavfi -i color=blue:s=40x40 -frames:v 1 -c:v libwebp -lossless 1 blue.webp");
    make("red.webp",
         FFMPEG "-f lavfi -i color=red@0.5:s=20x20,format=bgra -frames:v 1 -c:v libwebp -lossless 1 red.webp");
    size_t at = 12;
    memcpy(file, "RIFF\0\0\0\0WEBPVP8X", 16);
    at = put(file, 16, 10, 4);
    at = put(file, at, 2 | 16, 4); /* animation, alpha */
    at = put(file, at, 39, 3);
    at = put(file, at, 39, 3);
    memcpy(file + at, "ANIM", 4);
    at = put(file, at + 4, 6, 4);
    at = put(file, at, 0, 4);
    at = put(file, at, 0, 2);
    at = put_frame(file, at, "blue.webp", 0, 0, 40, 40, 100, 0);
    at = put_frame(file, at, "red.webp", 0, 0, 20, 20, 700, 0);  /* blended onto blue */
    at = put_frame(file, at, "red.webp", 20, 20, 20, 20, 50, 3); /* replaces blue; cleared afterwards */
    at = put_frame(file, at, "red.webp", 0, 0, 20, 20, 150, 2);  /* replaces what was blended */
    put(file, 4, (uint32_t)at - 8, 4);
    snprintf(path, sizeof path, "%s/parts.webp", test_folder);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(file, 1, at, out), at);
    fclose(out);

    assert_int_equal(take_shots(100, -1, kind, shots), 4);
    static const int64_t times[] = {0, 100000, 800000, 850000, 1000000};
    for (int i = 0; i < 4; i++)
        assert_true(shots[i].t0 == times[i] && shots[i].t1 == times[i + 1]);
    expect_colour(shots[0].first, 0, 0, 255);
    expect_colour(shots[0].last, 0, 0, 255);
    expect_colour(shots[1].first, 127, 0, 128);
    expect_colour(shots[1].last, 0, 0, 255);
    expect_colour(shots[2].first, 127, 0, 128);
    expect_colour(shots[2].last, 255, 127, 127); /* half red over the white behind everything */
    expect_colour(shots[3].first, 255, 127, 127);
    expect_colour(shots[3].last, 255, 255, 255);
    /* Two samples a second: the frame that is on the screen then. */
    assert_int_equal(take_shots(2, -1, kind, shots), 2);
    assert_true(shots[0].t0 == 0 && shots[1].t0 == 100000);
}

/* A photo that breaks off, whatever its name, is shown as far as it goes and marked. */
static void test_cut_photo(void **state)
{
    (void)state;
    make("cut.jpg", FFMPEG "-f lavfi -i testsrc2=s=320x240 -frames:v 1 whole.jpg && head -c 5000 whole.jpg > cut.jpg");
    for (int round = 0; round < 2; round++) {
        struct ingest_options options = ingest_options_default();
        struct ingest_source *source = NULL;
        struct pr_unit unit;
        assert_int_equal(ingest_open(path, &options, &source), PR_OK);
        assert_int_equal(ingest_next(source, &unit), PR_OK);
        assert_true(unit.partial == (round == 0) && unit.picture_width == 320);
        ingest_close(source);
        snprintf(path, sizeof path, "%s/whole.jpg", test_folder);
    }
}

/* The rows of a PNG that are there are shown; the others are as nothing was drawn. Of an animation the whole frames are. */
static void test_cut_png_and_webp(void **state)
{
    (void)state;
    make("cut.png", FFMPEG "-f lavfi -i testsrc2=s=320x240 -frames:v 1 whole.png && head -c $(($(stat -c %s whole.png) "
                           "* 6 / 10)) whole.png > cut.png");
    struct ingest_options options = ingest_options_default();
    struct ingest_source *source = NULL;
    struct pr_unit unit;
    assert_int_equal(ingest_open(path, &options, &source), PR_OK);
    assert_true(ingest_info(source)->partial);
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_true(unit.partial && unit.picture_width == 320);
    bool drawn = false;
    for (int32_t i = 0; i < 3 * 320 * 10; i++)
        drawn |= unit.rgb[i] > 200;
    assert_true(drawn);
    ingest_close(source);
    if (system("ffmpeg -v quiet -encoders | grep -q libwebp_anim") != 0)
        skip();
    make("cut.webp",
         FFMPEG "-f lavfi -i testsrc=s=40x30:r=5:d=2 -c:v libwebp_anim long.webp && head -c $(($(stat -c %s "
                "long.webp) * 6 / 10)) long.webp > cut.webp");
    int n = take_shots(5, -1, kind, shots);
    assert_string_equal(kind, "video");
    assert_in_range(n, 3, 8);
    for (int i = 0; i < n; i++)
        assert_true(shots[i].t0 == 200000 * i && shots[i].t1 == 200000 * (i + 1));
}

static void test_alpha(void **state)
{
    (void)state;
    make("clear.png", FFMPEG "-f lavfi -i color=red@0.0:s=40x30,format=rgba -frames:v 1 clear.png");
    assert_int_equal(take_shots(1, -1, kind, shots), 1);
    expect_colour(shots[0].first, 255, 255, 255);
    make("half.png", FFMPEG "-f lavfi -i color=red@0.5:s=40x30,format=rgba -frames:v 1 half.png");
    assert_int_equal(take_shots(1, -1, kind, shots), 1);
    expect_colour(shots[0].first, 255, 127, 127);
}

/* Left half red, right half blue. */
static void test_rotation(void **state)
{
    (void)state;
    make("upright.mp4", FFMPEG "-f lavfi -i color=red:s=32x32:r=5:d=1 -f lavfi -i color=blue:s=32x32:r=5:d=1 "
                               "-filter_complex hstack -c:v libx264 -pix_fmt yuv420p upright.mp4");
    assert_int_equal(take_shots(1, -1, kind, shots), 1);
    assert_true(shots[0].width == 64 && shots[0].height == 32);
    expect_colour(shots[0].first, 254, 0, 0);
    expect_colour(shots[0].last, 0, 0, 255);
    /* What ffmpeg 5 writes for rotate=90 is a matrix that turns anticlockwise; it shows blue above, too. */
    make("turned.mp4", FFMPEG "-i upright.mp4 -c copy -metadata:s:v rotate=90 turned.mp4");
    assert_int_equal(take_shots(1, -1, kind, shots), 1);
    assert_true(shots[0].width == 32 && shots[0].height == 64);
    expect_colour(shots[0].first, 0, 0, 255);
    expect_colour(shots[0].last, 254, 0, 0);
    make("over.mp4", FFMPEG "-i upright.mp4 -c copy -metadata:s:v rotate=270 over.mp4");
    assert_int_equal(take_shots(1, -1, kind, shots), 1);
    assert_true(shots[0].width == 32 && shots[0].height == 64);
    expect_colour(shots[0].first, 254, 0, 0);
    make("half.mp4", FFMPEG "-i upright.mp4 -c copy -metadata:s:v rotate=180 half.mp4");
    assert_int_equal(take_shots(1, -1, kind, shots), 1);
    expect_colour(shots[0].first, 0, 0, 255);
}

static void test_sizes(void **state)
{
    (void)state;
    make("wide.mkv", FFMPEG "-f lavfi -i color=red:s=64x48:r=5:d=1,setsar=2/1 -c:v mpeg4 wide.mkv");
    assert_int_equal(take_shots(1, -1, kind, shots), 1);
    assert_true(shots[0].width == 128 && shots[0].height == 48);
    assert_true(shots[0].picture_width == 128 && shots[0].picture_height == 48);
    make("odd.mkv", FFMPEG "-f lavfi -i color=red:s=64x32:r=5:d=1,format=yuv444p,crop=33:17 -c:v ffv1 odd.mkv");
    assert_int_equal(take_shots(1, -1, kind, shots), 1);
    assert_true(shots[0].picture_width == 33 && shots[0].picture_height == 17);
    expect_colour(shots[0].last, 254, 0, 0);
    /* The size changes in mid-stream, and the clock starts again. */
    make("change.ts",
         FFMPEG "-f lavfi -i color=red:s=64x48:r=25:d=2 -c:v mpeg2video a.ts && " FFMPEG
                "-f lavfi -i color=blue:s=128x96:r=25:d=2 -c:v mpeg2video b.ts && cat a.ts b.ts > change.ts");
    int n = take_shots(2, -1, kind, shots);
    assert_true(n >= 7 && n <= 8);
    assert_true(shots[0].width == 64 && shots[n - 1].width == 128 && shots[n - 1].height == 96);
    expect_colour(shots[0].first, 254, 0, 0);
    expect_colour(shots[n - 1].first, 0, 0, 255);
    for (int i = 1; i < n; i++)
        assert_true(shots[i].t0 > shots[i - 1].t0);
}

/* The upper field is black and the lower one white: what is shown at one time is one of them, never both as a comb. */
static void test_interlaced(void **state)
{
    (void)state;
    make("comb.mkv",
         FFMPEG "-f lavfi -i \"color=black:s=64x64:r=25:d=1,format=gray,geq=lum='255*mod(Y,2)',format=yuv420p,"
                "setfield=tff\" -c:v mpeg2video -q:v 1 -flags +ildct+ilme -top 1 comb.mkv");
    assert_int_equal(take_shots(1, -1, kind, shots), 1);
    assert_true(shots[0].brightest - shots[0].darkest < 60);
}

static void test_deep_colours(void **state)
{
    (void)state;
    make("ten.mkv", FFMPEG "-f lavfi -i color=red:s=64x64:r=5:d=1,format=yuv420p10le -c:v ffv1 ten.mkv");
    assert_int_equal(take_shots(1, -1, kind, shots), 1);
    expect_colour(shots[0].first, 254, 0, 0);
    if (system("ffmpeg -v quiet -encoders | grep -q libx265") != 0)
        skip();
    /* White of 75 % of the HLG signal is what stays white of an ordinary picture, near enough; its middle is in the middle. */
    static const struct {
        const char *curve;
        int luma, least, most;
    } whites[] = {
        {"arib-std-b67", 64, 0, 8},      {"arib-std-b67", 396, 60, 150}, {"arib-std-b67", 721, 165, 245},
        {"arib-std-b67", 940, 245, 255}, {"smpte2084", 64, 0, 8},        {"smpte2084", 509, 150, 235}, /* 100 cd/m^2 */
        {"smpte2084", 723, 245, 255},                                                                  /* 1000 */
    };
    for (size_t i = 0; i < sizeof whites / sizeof *whites; i++) {
        char command[768];
        snprintf(command, sizeof command,
                 FFMPEG
                 "-f lavfi -i \"color=black:s=64x64:r=5:d=1,format=yuv420p10le,geq=lum=%d:cb=512:cr=512\" -c:v libx265 "
                 "-preset ultrafast -x265-params log-level=none:colorprim=bt2020:transfer=%s:colormatrix=bt2020nc "
                 "-color_trc %s -color_primaries bt2020 -colorspace bt2020nc white.mkv",
                 whites[i].luma, whites[i].curve, whites[i].curve);
        make("white.mkv", command);
        assert_int_equal(take_shots(1, -1, kind, shots), 1);
        printf("%s %d: %d..%d\n", whites[i].curve, whites[i].luma, shots[0].darkest, shots[0].brightest);
        if (shots[0].darkest < whites[i].least || shots[0].brightest > whites[i].most)
            fail_msg("%s %d: %d..%d", whites[i].curve, whites[i].luma, shots[0].darkest, shots[0].brightest);
    }
    /* A ramp from dark to light, tagged as perceptual quantisation: it stays one, neither black nor washed out. */
    make("hdr.mkv",
         FFMPEG "-f lavfi -i \"color=black:s=64x64:r=5:d=1,format=yuv420p10le,geq=lum='64+X*8':cb=512:cr=512\" "
                "-c:v libx265 -preset ultrafast -x265-params log-level=none:colorprim=bt2020:transfer=smpte2084:"
                "colormatrix=bt2020nc -color_trc smpte2084 -color_primaries bt2020 -colorspace bt2020nc hdr.mkv");
    assert_int_equal(take_shots(1, -1, kind, shots), 1);
    assert_true(shots[0].darkest < 40 && shots[0].brightest > 150);
    assert_true(shots[0].last[0] > shots[0].first[0] + 60);
    assert_true(abs(shots[0].last[0] - shots[0].last[2]) < 20); /* grey stays grey */
}

static void test_streams(void **state)
{
    (void)state;
    make("two.mkv", FFMPEG "-f lavfi -i color=red:s=64x48:r=5:d=1 -f lavfi -i color=blue:s=64x48:r=5:d=1 -map 0 -map 1 "
                           "-c:v mpeg4 two.mkv");
    assert_int_equal(take_shots(1, 0, kind, shots), 1);
    expect_colour(shots[0].first, 254, 0, 0);
    assert_int_equal(take_shots(1, 1, kind, shots), 1);
    expect_colour(shots[0].first, 0, 0, 255);
    struct ingest_options options = ingest_options_default();
    struct ingest_source *source = NULL;
    options.stream = 7;
    assert_int_equal(ingest_open(path, &options, &source), PR_ERR_INVALID);
    assert_null(source);

    make("sound.wav", FFMPEG "-f lavfi -i sine=d=1 sound.wav");
    assert_int_equal(take_shots(1, -1, kind, shots), 0);
    assert_string_equal(kind, "audio");
    make("cover.m4a",
         FFMPEG "-f lavfi -i color=red:s=64x64 -frames:v 1 cover.png && " FFMPEG
                "-f lavfi -i sine=d=1 -i cover.png -map 0 -map 1 -c:v copy -disposition:v attached_pic cover.m4a");
    assert_int_equal(take_shots(1, -1, kind, shots), 0);
    assert_string_equal(kind, "audio");
}

int main(void)
{
    if (system("ffmpeg -version > /dev/null 2>&1") != 0) {
        printf("skipped: the ffmpeg program makes the pictures of this test\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stills_and_animations),
        cmocka_unit_test(test_webp),
        cmocka_unit_test(test_webp_elsewhere),
        cmocka_unit_test(test_webp_blending),
        cmocka_unit_test(test_cut_photo),
        cmocka_unit_test(test_cut_png_and_webp),
        cmocka_unit_test(test_alpha),
        cmocka_unit_test(test_rotation),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_interlaced),
        cmocka_unit_test(test_deep_colours),
        cmocka_unit_test(test_streams),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
