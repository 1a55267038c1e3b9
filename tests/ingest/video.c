/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Films are made with the ffmpeg program. Their pictures carry the time at which they are shown as a row of 16 black and white
 * blocks (milliseconds in binary), so what a frame says is compared with its span.
 */
#include "ingest/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/folder.h"

static char path[64];

/* A film of 256 x 32 pixels whose 16 columns of 16 pixels show bit 15..0 of its time in milliseconds. */
static void make_film(const char *name, const char *rate, int seconds, const char *filter, const char *encoder)
{
    char command[1024];
    snprintf(path, sizeof path, "%s/%s", test_folder, name);
    snprintf(command, sizeof command,
             "ffmpeg -v error -y -f lavfi -i \"color=black:s=256x32:r=%s:d=%d,format=gray,"
             "geq=lum='255*mod(floor(round(T*1000)/pow(2,15-floor(X/16))),2)'%s,format=yuv420p\" %s %s",
             rate, seconds, filter, encoder, path);
    assert_int_equal(system(command), 0);
}

static void run_in_folder(const char *what)
{
    char command[512];
    snprintf(command, sizeof command, "cd %s && %s", test_folder, what);
    assert_int_equal(system(command), 0);
}

static int painted_ms(const struct pr_unit *unit)
{
    int ms = 0;
    for (int bit = 0; bit < 16; bit++) {
        int x = (2 * bit + 1) * unit->picture_width / 32, y = unit->picture_height / 2;
        ms = ms << 1 | (unit->rgb[(y * unit->picture_width + x) * 3] > 127);
    }
    return ms;
}

/* Every sampled frame's span contains the time that is painted in it, less `offset`. Returns how many frames there were. */
static int check_times_from(const struct ingest_options *options, int64_t offset)
{
    struct ingest_source *source;
    struct pr_unit unit;
    int n = 0, err;
    int64_t last = -1;
    assert_int_equal(ingest_open(path, options, &source), PR_OK);
    while ((err = ingest_next(source, &unit)) != PR_EOF) {
        assert_int_equal(err, PR_OK);
        assert_int_equal(unit.kind, PR_UNIT_FRAME);
        int64_t painted = (int64_t)painted_ms(&unit) * 1000 - offset;
        /* The painted time is rounded to a millisecond, times of some containers as well. */
        assert_true(unit.span.t0 <= painted + 1000 && painted < unit.span.t1 + 1000);
        assert_true(unit.span.t0 > last && unit.span.t1 > unit.span.t0);
        last = unit.span.t0;
        n++;
    }
    ingest_close(source);
    return n;
}

static int check_times(const struct ingest_options *options)
{
    return check_times_from(options, 0);
}

static struct ingest_options by_rate(double rate)
{
    struct ingest_options options = ingest_options_default();
    options.rate = rate;
    return options;
}

static struct ingest_options by_budget(int32_t budget)
{
    struct ingest_options options = ingest_options_default();
    options.sampling = INGEST_BUDGET;
    options.budget = budget;
    return options;
}

static void test_rates_and_containers(void **state)
{
    (void)state;
    /* 360 frames of 1001/30000 s last 12.012 s: there is a frame at 12 s, too. */
    static const char *const films[][3] = {
        {"film.mp4", "25", "-c:v libx264 -bf 3 -g 100 -preset veryfast"},
        {"film.mkv", "30000/1001", "-c:v libx264 -bf 2 -g 30 -preset veryfast"},
        {"film.avi", "24", "-c:v mpeg4 -q:v 2"},
        {"film.ts", "50", "-c:v mpeg2video -q:v 2 -bf 2"},
        {"film.mov", "10", "-c:v mjpeg -q:v 2"},
        {"slow.mp4", "1", "-c:v libx264 -preset veryfast"},
        {"fast.mp4", "120", "-c:v libx264 -preset veryfast"},
    };
    for (size_t i = 0; i < sizeof films / sizeof *films; i++) {
        make_film(films[i][0], films[i][1], 12, "", films[i][2]);
        struct ingest_options options = by_rate(1);
        bool ntsc = strchr(films[i][1], '/') != NULL;
        assert_int_equal(check_times(&options), ntsc ? 13 : 12);
        options = by_rate(0.25);
        assert_int_equal(check_times(&options), ntsc ? 4 : 3);
        options = by_budget(5);
        assert_int_equal(check_times(&options), 5);
        options.sampling = INGEST_KEYS;
        assert_true(check_times(&options) >= 1);
        const int64_t times[] = {0, 0, 2500000, 2500000, 9000000, 11900000, 99000000};
        options.sampling = INGEST_TIMES;
        options.times = times;
        options.n_times = 7;
        assert_int_equal(check_times(&options), 4); /* the same frame isn't given twice, and nothing is shown at 99 s */
    }
}

/* Two of three frames of the first half are dropped, and the film begins at 5 s on its container's clock. */
static void test_variable_rate_and_offset(void **state)
{
    (void)state;
    make_film("vfr.mkv", "30", 12, ",select='gte(t,6)+not(mod(n,3))'", "-fps_mode vfr -c:v libx264 -preset veryfast");
    struct ingest_options options = by_rate(4);
    assert_int_equal(check_times(&options), 48);
    make_film("offset.ts", "25", 12, "", "-c:v libx264 -preset veryfast -output_ts_offset 5");
    options = by_rate(1);
    assert_int_equal(check_times(&options), 12);
}

static void test_range(void **state)
{
    (void)state;
    make_film("range.mp4", "25", 12, "", "-c:v libx264 -g 50 -preset veryfast");
    struct ingest_options options = by_rate(1);
    options.from = 4500000;
    options.to = 8500000;
    assert_int_equal(check_times(&options), 4);
}

/* The frame on the screen at a time, wherever the reader has to begin for it. */
static void check_frame_at(int64_t at, int64_t painted)
{
    struct ingest_options options = by_rate(1);
    struct ingest_source *source;
    struct pr_unit unit;
    options.from = at;
    assert_int_equal(ingest_open(path, &options, &source), PR_OK);
    if (ingest_next(source, &unit) != PR_OK)
        fail_msg("%s: at %lld us there is nothing", path, (long long)at);
    if (unit.span.t0 > at + 1000 || unit.span.t1 < at || llabs(painted_ms(&unit) * 1000 - painted) > 1000)
        fail_msg("%s: at %lld us: span %lld-%lld, painted %d ms", path, (long long)at, (long long)unit.span.t0,
                 (long long)unit.span.t1, painted_ms(&unit));
    ingest_close(source);
}

/* Seeks land between key frames, or on frames without a time: the frame that was asked for comes all the same. */
static void test_frames_at(void **state)
{
    (void)state;
    static const char *const films[][3] = {
        {"at.mp4", "10", "-c:v libx264 -bf 3 -g 90 -preset veryfast"},
        {"at.ts", "10", "-c:v libx264 -bf 3 -g 200 -preset veryfast"},
        {"at.mpg", "25", "-c:v mpeg2video -bf 2 -g 15 -q:v 2"},
        {"at.avi", "10", "-c:v mpeg4 -bf 2 -q:v 2"},
        {"at264.avi", "10", "-c:v libx264 -bf 3 -preset veryfast"},
        {"at.h264", "25", "-c:v libx264 -bf 3 -preset veryfast"},
        {"at.mkv", "10", "-c:v mjpeg -q:v 2"},
        {"at.ogv", "10", "-c:v libtheora -q:v 9 -g 100"},
    };
    static const int at[] = {0, 50, 2450, 8010, 29930, 39950};
    for (size_t i = 0; i < sizeof films / sizeof *films; i++) {
        int length = 1000 / atoi(films[i][1]); /* of a frame, in ms */
        make_film(films[i][0], films[i][1], 40, "", films[i][2]);
        for (size_t k = 0; k < sizeof at / sizeof *at; k++)
            check_frame_at(at[k] * (int64_t)1000, at[k] / length * length * (int64_t)1000);
        struct ingest_options options = by_rate(0.05);
        assert_int_equal(check_times(&options), 2);
    }
    /* One frame a second and one every minute: which one is on the screen isn't told by how long frames usually stay. */
    make_film("slow.mp4", "1", 12, "", "-c:v libx264 -preset veryfast");
    check_frame_at(2500000, 2000000);
}

/* A frame that is asked for alone is the one that a sweep over the film gives, though nothing behind it is decoded. */
static void check_single_frames(void)
{
    struct ingest_options options = by_rate(0);
    struct ingest_source *source;
    struct pr_unit unit;
    struct pr_span spans[256];
    int painted[256], n = 0;
    assert_int_equal(ingest_open(path, &options, &source), PR_OK);
    for (; ingest_next(source, &unit) == PR_OK; n++) {
        assert_in_range(n, 0, 255);
        spans[n] = unit.span;
        painted[n] = painted_ms(&unit);
    }
    ingest_close(source);
    assert_true(n > 10);
    for (int i = n - 1; i >= 0; i -= 3) {
        int64_t at = (spans[i].t0 + spans[i].t1) / 2;
        options.sampling = INGEST_TIMES;
        options.times = &at;
        options.n_times = 1;
        assert_int_equal(ingest_open(path, &options, &source), PR_OK);
        if (ingest_next(source, &unit) != PR_OK)
            fail_msg("%s: frame %d alone: %s", path, i, pr_error_message());
        assert_false(unit.partial);
        if (unit.span.t0 != spans[i].t0 || unit.span.t1 != spans[i].t1 || painted_ms(&unit) != painted[i])
            fail_msg("%s: frame %d alone: %lld-%lld, not %lld-%lld; painted %d ms, not %d ms", path, i,
                     (long long)unit.span.t0, (long long)unit.span.t1, (long long)spans[i].t0, (long long)spans[i].t1,
                     painted_ms(&unit), painted[i]);
        ingest_close(source);
    }
}

static void test_single_frames(void **state)
{
    (void)state;
    static const char *const films[][2] = {
        {"alone.mp4", "-c:v libx264 -bf 3 -g 20 -preset veryfast"},
        {"fragments.mp4", "-c:v libx264 -bf 3 -g 20 -preset veryfast -movflags frag_keyframe+empty_moov"},
        {"open.mkv", "-c:v libx264 -bf 16 -b_strategy 0 -g 20 -preset veryfast -x264opts open-gop=1"},
        {"alone265.mp4", "-c:v libx265 -g 20 -preset veryfast -x265-params log-level=none"},
        {"hidden.webm", "-c:v libvpx-vp9 -cpu-used 8 -deadline good -auto-alt-ref 1 -lag-in-frames 12"},
        {"alone.avi", "-c:v mpeg4 -bf 2 -q:v 2"},
        {"alone.mov", "-c:v mjpeg -q:v 2"},
    };
    for (size_t i = 0; i < sizeof films / sizeof *films; i++) {
        make_film(films[i][0], "25", 3, "", films[i][1]);
        check_single_frames();
    }
    make_film("whole.mp4", "25", 4, "", "-c:v libx264 -bf 2 -g 50 -preset veryfast");
    run_in_folder("ffmpeg -v error -y -ss 1.32 -i whole.mp4 -c copy -t 2 part.mp4"); /* an edit list at both ends */
    snprintf(path, sizeof path, "%s/part.mp4", test_folder);
    check_single_frames();
}

/* Three frames, then none for 1.9 s: the last of them stays, and it is one that no other refers to. */
static void test_gaps(void **state)
{
    (void)state;
    static const char *const films[][2] = {
        {"gaps.mkv", "-c:v mjpeg -q:v 2"},
        {"gaps.mp4", "-c:v libx264 -bf 3 -preset veryfast"},
        {"gaps.ts", "-c:v libx264 -bf 3 -preset veryfast"},
        {"gaps.webm", "-c:v libvpx-vp9 -cpu-used 8 -deadline realtime"},
    };
    for (size_t i = 0; i < sizeof films / sizeof *films; i++) {
        char encoder[128];
        snprintf(encoder, sizeof encoder, "-fps_mode vfr %s", films[i][1]);
        make_film(films[i][0], "25", 40, ",select='lt(mod(n,50),5)'", encoder);
        struct ingest_options options = by_rate(1);
        assert_int_equal(check_times(&options), 39); /* the last one at 38.16 s */
        check_frame_at(1500000, 160000);
        check_frame_at(31500000, 30160000);
    }
}

/* A budget is spread over the whole film, whatever its container says of its length. */
static void test_lengths(void **state)
{
    (void)state;
    static const char *const made[][2] = {
        {"late.mkv", "-output_ts_offset 3600"},
        {"live.mkv", "-live 1 -f matroska"},
        {"raw.h264", ""},
        {"fragments.mp4", "-movflags frag_keyframe+empty_moov"},
        {"wrap.ts", "-output_ts_offset 95440"}, /* the clock of 33 bits begins anew after 3.7 s */
    };
    make_film("length.mkv", "25", 12, "", "-c:v libx264 -bf 2 -preset veryfast");
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        char command[256];
        snprintf(command, sizeof command, "ffmpeg -v error -y -i length.mkv -c copy %s %s", made[i][1], made[i][0]);
        run_in_folder(command);
        snprintf(path, sizeof path, "%s/%s", test_folder, made[i][0]);
        struct ingest_options options = by_budget(4);
        struct ingest_source *source;
        assert_int_equal(ingest_open(path, &options, &source), PR_OK);
        assert_true(llabs(ingest_info(source)->duration - 12000000) < 100000);
        ingest_close(source);
        assert_int_equal(check_times(&options), 4);
    }
}

/* Recordings one behind the other: each begins its clock anew, and shows the same 10 s. */
static void test_joined_recordings(void **state)
{
    (void)state;
    make_film("part.ts", "25", 10, "", "-c:v libx264 -bf 2 -preset veryfast");
    run_in_folder("cat part.ts part.ts part.ts > joined.ts");
    snprintf(path, sizeof path, "%s/joined.ts", test_folder);
    for (int round = 0; round < 2; round++) {
        struct ingest_options options = round ? by_budget(6) : by_rate(1);
        struct ingest_source *source;
        struct pr_unit unit;
        int n = 0;
        assert_int_equal(ingest_open(path, &options, &source), PR_OK);
        assert_true(llabs(ingest_info(source)->duration - 30000000) < 200000);
        for (; ingest_next(source, &unit) == PR_OK; n++) {
            int64_t painted = painted_ms(&unit) * (int64_t)1000 + unit.span.t0 / 10000000 * 10000000;
            assert_true(unit.span.t0 <= painted + 1000 && painted < unit.span.t1 + 1000);
        }
        assert_int_equal(n, round ? 6 : 30);
        ingest_close(source);
    }
    check_frame_at(25000000, 5000000);
}

/* A part that was cut out without encoding again: the container holds frames from the key frame on, and its edit list says
 * that the film begins 2.52 s behind it. */
static void test_edit_list(void **state)
{
    (void)state;
    char command[256];
    make_film("whole.mp4", "25", 8, "", "-c:v libx264 -bf 2 -g 100 -preset veryfast");
    snprintf(command, sizeof command, "cd %s && ffmpeg -v error -y -ss 2.52 -i whole.mp4 -c copy cut.mp4", test_folder);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof path, "%s/cut.mp4", test_folder);
    struct ingest_options options = by_rate(1);
    assert_int_equal(check_times_from(&options, 2520000), 6);
}

/* A file that breaks off gives the frames that are there. */
static void test_truncated(void **state)
{
    (void)state;
    make_film("cut.mkv", "25", 12, "", "-c:v libx264 -g 25 -preset veryfast");
    FILE *file = fopen(path, "rb+");
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    fclose(file);
    assert_int_equal(truncate(path, size / 2), 0);
    struct ingest_options options = by_rate(1);
    int n = check_times(&options);
    assert_true(n >= 3 && n <= 9);
}

static void write_side_file(const char *name, const char *text)
{
    char full[96];
    snprintf(full, sizeof full, "%s/%s", test_folder, name);
    FILE *file = fopen(full, "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static const char english[] = "1\n00:00:01,250 --> 00:00:02,500\n<i>Hello</i>, <b>world</b>\nsecond line\n\n"
                              "2\n00:00:04,000 --> 00:00:05,125\nIgnore {this} & that\n\n";
static const char german[] = "WEBVTT\n\n00:03.000 --> 00:04.000\nGr\xc3\xbc\xc3\x9f"
                             "e\n";
static const char old[] = "1\n00:00:02,000 --> 00:00:03,000\nGr\xfc\xdf"
                          "e\n\n";

/* A film with an English track inside and three files beside it; another film's files aren't its own. */
static void make_subtitled_film(void)
{
    char command[512];
    make_film("plain.mkv", "5", 6, "", "-c:v libx264 -preset veryfast");
    write_side_file("en.txt", english);
    snprintf(command, sizeof command,
             "cd %s && ffmpeg -v error -y -i plain.mkv -f srt -i en.txt -map 0 -map 1 -c:v copy -c:s srt "
             "-metadata:s:s:0 language=eng film.mkv && rm plain.mkv en.txt",
             test_folder);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof path, "%s/film.mkv", test_folder);
    write_side_file("film.de.vtt", german);
    write_side_file("film.old.srt", old);
    write_side_file("film2.srt", english);
    write_side_file("film.ass",
                    "[Script Info]\nScriptType: v4.00+\n\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, "
                    "MarginR, MarginV, Effect, Text\nDialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\an8}Up, "
                    "there\\Nand here\nDialogue: 0,0:00:02.00,0:00:03.00,Default,,0,0,0,,{\\p1}m 0 0 l 9 9{\\p0}\n");
}

static int read_texts(const char *language, enum ingest_sampling sampling, char *out, size_t size)
{
    struct ingest_options options = by_rate(1);
    options.language = language;
    options.sampling = sampling;
    struct ingest_source *source;
    struct pr_unit unit;
    assert_int_equal(ingest_open(path, &options, &source), PR_OK);
    int err, frames = 0;
    size_t len = 0;
    out[0] = '\0';
    while ((err = ingest_next(source, &unit)) != PR_EOF) {
        assert_int_equal(err, PR_OK);
        frames += unit.kind == PR_UNIT_FRAME;
        if (unit.kind != PR_UNIT_TEXT)
            continue;
        const struct pr_stream *stream = &ingest_info(source)->streams[unit.stream];
        len += (size_t)snprintf(out + len, size - len, "%s%s %d-%d", stream->language, stream->file,
                                (int)(unit.span.t0 / 1000), (int)(unit.span.t1 / 1000));
        for (size_t i = 0; i < unit.n_lines; i++)
            len += (size_t)snprintf(out + len, size - len, "|%s", unit.lines[i].text);
        len += (size_t)snprintf(out + len, size - len, "\n");
    }
    ingest_close(source);
    return frames;
}

static void test_text_tracks(void **state)
{
    (void)state;
    char texts[2048];
    make_subtitled_film();
    assert_int_equal(read_texts(NULL, INGEST_RATE, texts, sizeof texts), 6);
    assert_string_equal(texts, "eng 1250-2500|Hello, world|second line\n"
                               "eng 4000-5125|Ignore {this} & that\n"
                               "film.ass 1000-2000|Up, there|and here\n"
                               "defilm.de.vtt 3000-4000|Gr\xc3\xbc\xc3\x9f"
                               "e\n"
                               "oldfilm.old.srt 2000-3000|Gr\xc3\xbc\xc3\x9f"
                               "e\n");
    char same[2048]; /* without frames, the same text */
    assert_int_equal(read_texts(NULL, INGEST_NONE, same, sizeof same), 0);
    assert_string_equal(same, texts);
    read_texts("de", INGEST_RATE, texts, sizeof texts);
    assert_non_null(strstr(texts, "3000-4000"));
    assert_null(strstr(texts, "Hello"));
    read_texts("en", INGEST_RATE, texts, sizeof texts);
    assert_non_null(strstr(texts, "Hello"));
    assert_null(strstr(texts, "3000-4000"));
}

/* 3.5 s of a 1 kHz tone in stereo at 44.1 kHz, between video, comes as blocks at 16 kHz whose times join, with the tone's
 * frequency and loudness. */
static void test_sound(void **state)
{
    (void)state;
    char command[512];
    snprintf(path, sizeof path, "%s/tone.mkv", test_folder);
    snprintf(command, sizeof command,
             "ffmpeg -v error -y -f lavfi -i color=black:s=64x64:r=5:d=4 -f lavfi -i "
             "'aevalsrc=0.5*sin(2*PI*1000*t)|0.5*sin(2*PI*1000*t):s=44100:d=3.5' -c:v libx264 -c:a flac %s",
             path);
    assert_int_equal(system(command), 0);
    struct ingest_options options = by_rate(1);
    options.sound = true;
    struct ingest_source *source;
    struct pr_unit unit;
    assert_int_equal(ingest_open(path, &options, &source), PR_OK);
    int64_t end = 0;
    size_t n = 0, crossings = 0;
    double energy = 0;
    int err;
    while ((err = ingest_next(source, &unit)) != PR_EOF) {
        assert_int_equal(err, PR_OK);
        if (unit.kind != PR_UNIT_SOUND)
            continue;
        assert_true(llabs(unit.span.t0 - end) <= 1000);
        assert_true(unit.n_samples > 0 && unit.n_samples <= 16000);
        for (size_t i = 0; i < unit.n_samples; i++) {
            energy += (double)unit.samples[i] * (double)unit.samples[i];
            crossings += i > 0 && (unit.samples[i] < 0) != (unit.samples[i - 1] < 0);
        }
        n += unit.n_samples;
        end = unit.span.t1;
    }
    ingest_close(source);
    assert_true(n > 55500 && n < 56500);
    assert_true(crossings > 6900 && crossings < 7100);
    assert_true(energy / (double)n > 0.11 && energy / (double)n < 0.14); /* a sine of 0.5: 0.125 */
}

int main(void)
{
    if (system("ffmpeg -version > /dev/null 2>&1") != 0) {
        printf("skipped: the ffmpeg program makes the films of this test\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates_and_containers),
        cmocka_unit_test(test_variable_rate_and_offset),
        cmocka_unit_test(test_range),
        cmocka_unit_test(test_frames_at),
        cmocka_unit_test(test_single_frames),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_joined_recordings),
        cmocka_unit_test(test_edit_list),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_text_tracks),
        cmocka_unit_test(test_sound),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
