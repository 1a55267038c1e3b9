/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sources through the public header: sound as a recogniser gets it.
 */
#include "pagereel/pagereel.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { RATE = 44100, SECONDS = 3, CHANNELS = 2, OUT_RATE = 16000 };

/* A WAV file: one second of silence, then 440 Hz at half of full scale on both channels. */
static void write_wav(const char *path)
{
    static int16_t samples[RATE * SECONDS * CHANNELS];
    uint32_t bytes = sizeof samples, whole = bytes + 36, rate = RATE, per_second = RATE * 4, format_size = 16;
    uint16_t pcm = 1, channels = CHANNELS, frame = 4, bits = 16;
    for (int i = RATE; i < RATE * SECONDS; i++)
        for (int c = 0; c < CHANNELS; c++)
            samples[CHANNELS * i + c] = (int16_t)lrint(16384 * sin(2 * M_PI * 440 * i / RATE));
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    const struct {
        const void *data;
        size_t size;
    } parts[] = {{"RIFF", 4},    {&whole, 4}, {"WAVEfmt ", 8},          {&format_size, 4}, {&pcm, 2},
                 {&channels, 2}, {&rate, 4},  {&per_second, 4},         {&frame, 2},       {&bits, 2},
                 {"data", 4},    {&bytes, 4}, {samples, sizeof samples}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_int_equal(fwrite(parts[i].data, 1, parts[i].size, file), parts[i].size);
    fclose(file);
}

/* Blocks of a second, 16,000 samples each, whose times join: silence, then the tone at its frequency and loudness. */
static void test_sound(void **state)
{
    (void)state;
    char path[] = "/tmp/pagereel-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    write_wav(path);
    struct pr_settings settings = pr_settings_default();
    struct pr_source *source;
    struct pr_unit unit;
    settings.sound = true;
    assert_int_equal(pr_source_open(path, &settings, NULL, &source), PR_OK);
    const struct pr_source_info *info = pr_source_info(source);
    assert_string_equal(info->kind, "audio");
    assert_int_equal(info->streams[0].sample_rate, RATE);
    assert_int_equal(info->streams[0].channels, CHANNELS);
    int n = 0, crossings = 0;
    for (; pr_source_next(source, &unit) == PR_OK; n++) {
        double energy = 0;
        assert_int_equal(unit.kind, PR_UNIT_SOUND);
        assert_in_range(unit.n_samples, OUT_RATE - 16, OUT_RATE);
        assert_true(unit.span.t0 == n * (int64_t)1000000 && llabs(unit.span.t1 - unit.span.t0 - 1000000) <= 1000);
        for (size_t i = 0; i < unit.n_samples; i++) {
            energy += (double)unit.samples[i] * (double)unit.samples[i];
            crossings += n == 1 && i > 0 && (unit.samples[i] < 0) != (unit.samples[i - 1] < 0);
        }
        double mean = energy / (double)unit.n_samples;
        assert_true(n == 0 ? mean < 1e-4 : fabs(mean - 0.125) < 0.005);
    }
    assert_int_equal(n, SECONDS);
    assert_in_range(crossings, 875, 885);
    pr_source_close(source);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sound)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
