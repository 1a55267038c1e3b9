/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * pagereel inspect: what a source is, by its head and its first unit; with --read what all of it holds, with --units all of it.
 */
#include "base/json.h"
#include "cli/command.h"
#include "cli/library.h"
#include "cli/output.h"
#include "pagereel/source.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { SAMPLE_RATE = 16000 }; /* of sound, as pr_unit has it */
static const char *const stream_kinds[] = {"video", "audio", "text", "picture text", "other"};
static const char *const unit_kinds[] = {"frame", "page", "text", "sound"};
static const char *const region_kinds[] = {"figure", "link", "field", "note"};

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static void put_text(struct base_buf *out, const char *key, const char *text)
{
    base_buf_printf(out, "\"%s\":", key);
    base_json_text(out, text ? text : "", text ? strlen(text) : 0);
}

/* Seconds with microseconds, or null. */
static void put_time(struct base_buf *out, const char *key, int64_t time)
{
    if (time == PR_TIME_NONE)
        base_buf_printf(out, ",\"%s\":null", key);
    else
        base_buf_printf(out, ",\"%s\":%s%lld.%06lld", key, time < 0 ? "-" : "", llabs((long long)time) / 1000000,
                        llabs((long long)time) % 1000000);
}

static void put_box(struct base_buf *out, const struct pr_box *box)
{
    const float sides[4] = {box->x0, box->y0, box->x1, box->y1};
    base_buf_puts(out, "\"box\":");
    for (int i = 0; i < 4; i++) {
        base_buf_puts(out, i == 0 ? "[" : ",");
        base_json_float(out, sides[i]);
    }
    base_buf_puts(out, "]");
}

static void put_streams(struct base_buf *out, const struct pr_source_info *info)
{
    for (size_t i = 0; i < info->n_streams; i++) {
        const struct pr_stream *stream = &info->streams[i];
        base_buf_printf(out, "%s{\"number\":%zu,\"kind\":\"%s\",\"chosen\":%s,", i ? "," : "", i,
                        stream_kinds[stream->kind], stream->chosen ? "true" : "false");
        put_text(out, "codec", stream->codec);
        base_buf_puts(out, ",");
        put_text(out, "language", stream->language);
        base_buf_puts(out, ",");
        put_text(out, "title", stream->title);
        if (*stream->file) {
            base_buf_puts(out, ",");
            put_text(out, "file", stream->file);
        }
        if (stream->kind == PR_STREAM_VIDEO) {
            base_buf_printf(out, ",\"width\":%d,\"height\":%d,\"rotation\":%d,\"rate\":", stream->width, stream->height,
                            stream->rotation);
            base_json_double(out, stream->rate);
            if (stream->frames > 0)
                base_buf_printf(out, ",\"frames\":%lld", (long long)stream->frames);
        }
        if (stream->kind == PR_STREAM_AUDIO)
            base_buf_printf(out, ",\"sample_rate\":%d,\"channels\":%d", stream->sample_rate, stream->channels);
        base_buf_puts(out, "}");
    }
}

static void put_marks(struct base_buf *out, const struct pr_source_info *info)
{
    for (size_t i = 0; i < info->n_marks; i++) {
        const struct pr_mark *mark = &info->marks[i];
        base_buf_printf(out, "%s{", i ? "," : "");
        put_text(out, "title", mark->title);
        base_buf_printf(out, ",\"depth\":%d", mark->depth);
        if (mark->span.page != PR_PAGE_NONE)
            base_buf_printf(out, ",\"page\":%d", mark->span.page + 1);
        if (mark->span.t0 != PR_TIME_NONE) {
            put_time(out, "t0", mark->span.t0);
            put_time(out, "t1", mark->span.t1);
        }
        base_buf_puts(out, "}");
    }
}

/* `found`: lines about what couldn't be read. */
static void put_info(struct base_buf *out, const char *path, const struct pr_source_info *info,
                     const struct base_buf *found)
{
    base_buf_puts(out, "{");
    put_text(out, "source", path);
    base_buf_puts(out, ",");
    put_text(out, "kind", info->kind);
    base_buf_puts(out, ",");
    put_text(out, "format", info->format);
    base_buf_puts(out, ",");
    put_text(out, "title", info->title);
    base_buf_printf(out, ",\"pages\":%d", info->n_pages);
    put_time(out, "start", info->start);
    put_time(out, "duration", info->duration);
    base_buf_puts(out, ",\"streams\":[");
    put_streams(out, info);
    base_buf_puts(out, "],\"marks\":[");
    put_marks(out, info);
    base_buf_puts(out, "],\"problems\":[");
    for (size_t i = 0; i < info->n_problems; i++) {
        base_buf_puts(out, i ? "," : "");
        base_json_text(out, info->problems[i], strlen(info->problems[i]));
    }
    bool first = info->n_problems == 0;
    for (size_t at = 0; at < found->len; first = false) {
        size_t len = strcspn(found->data + at, "\n");
        base_buf_puts(out, first ? "" : ",");
        base_json_text(out, found->data + at, len);
        at += len + 1;
    }
    base_buf_printf(out, "],\"partial\":%s", info->partial ? "true" : "false");
}

static double energy(const struct pr_unit *unit)
{
    double sum = 0;
    for (size_t i = 0; i < unit->n_samples; i++)
        sum += (double)unit->samples[i] * (double)unit->samples[i];
    return sum;
}

/* Decibels below full scale of a mean square, to a hundredth; minus infinity of silence. */
static double decibels(double mean_square)
{
    return round(1000 * log10(mean_square)) / 100;
}

/* Root mean square of a block in decibels below full scale; null for silence. */
static void put_loudness(struct base_buf *out, const struct pr_unit *unit)
{
    base_buf_printf(out, ",\"samples\":%zu,\"loudness_db\":", unit->n_samples);
    base_json_double(out, decibels(energy(unit) / (double)unit->n_samples));
}

static void put_unit(struct base_buf *out, const struct pr_unit *unit)
{
    base_buf_printf(out, "{\"unit\":\"%s\"", unit_kinds[unit->kind]);
    if (unit->span.page != PR_PAGE_NONE) {
        base_buf_printf(out, ",\"page\":%d,", unit->span.page + 1);
        put_text(out, "label", unit->label);
    } else if (unit->span.t0 != PR_TIME_NONE) {
        put_time(out, "t0", unit->span.t0);
        put_time(out, "t1", unit->span.t1);
    }
    if (unit->stream >= 0)
        base_buf_printf(out, ",\"stream\":%d", unit->stream);
    if (unit->width > 0) {
        base_buf_puts(out, ",\"size\":[");
        base_json_double(out, unit->width);
        base_buf_puts(out, ",");
        base_json_double(out, unit->height);
        base_buf_puts(out, "]");
    }
    if (unit->rgb)
        base_buf_printf(out, ",\"picture\":[%d,%d]", unit->picture_width, unit->picture_height);
    if (unit->kind == PR_UNIT_FRAME) {
        base_buf_puts(out, ",\"difference\":");
        base_json_float(out, unit->difference);
        base_buf_printf(out, ",\"passed\":%s,\"cut\":%s", unit->passed ? "true" : "false",
                        unit->cut ? "true" : "false");
    }
    if (unit->kind == PR_UNIT_PAGE)
        base_buf_printf(out, ",\"visual_only\":%s", unit->visual_only ? "true" : "false");
    if (unit->kind == PR_UNIT_SOUND)
        put_loudness(out, unit);
    if (unit->partial)
        base_buf_puts(out, ",\"partial\":true");
    for (size_t i = 0; i < unit->n_lines; i++) {
        base_buf_puts(out, i ? ",{" : ",\"lines\":[{");
        put_text(out, "text", unit->lines[i].text);
        if (unit->lines[i].box.x1 > unit->lines[i].box.x0) {
            base_buf_puts(out, ",");
            put_box(out, &unit->lines[i].box);
        }
        base_buf_puts(out, i + 1 < unit->n_lines ? "}" : "}]");
    }
    for (size_t i = 0; i < unit->n_regions; i++) {
        base_buf_printf(out, "%s\"kind\":\"%s\",", i ? ",{" : ",\"regions\":[{", region_kinds[unit->regions[i].kind]);
        put_text(out, "text", unit->regions[i].text);
        base_buf_puts(out, ",");
        put_box(out, &unit->regions[i].box);
        base_buf_puts(out, i + 1 < unit->n_regions ? "}" : "}]");
    }
    base_buf_puts(out, "}\n");
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

static void print_stream(size_t number, const struct pr_stream *stream)
{
    cli_printf("  stream %zu  %s, %s", number, stream_kinds[stream->kind], stream->codec);
    if (stream->kind == PR_STREAM_VIDEO) {
        cli_printf(", %d x %d", stream->width, stream->height);
        if (stream->rate > 0)
            cli_printf(", %.6g frames/s", stream->rate);
        if (stream->rotation)
            cli_printf(", turned by %d degrees", stream->rotation);
    }
    if (stream->kind == PR_STREAM_AUDIO)
        cli_printf(", %d Hz, %d channel%s", stream->sample_rate, stream->channels, stream->channels == 1 ? "" : "s");
    if (*stream->language)
        cli_printf(", language %s", stream->language);
    if (*stream->title)
        cli_printf(", \"%s\"", stream->title);
    if (*stream->file)
        cli_printf(", in %s", stream->file);
    cli_printf(stream->chosen ? "  (read)\n" : "\n");
}

static int print_info(const char *path, const struct pr_source_info *info)
{
    char time[32];
    cli_printf("%s: %s (%s)", path, info->kind, info->format);
    if (info->duration != PR_TIME_NONE)
        cli_printf(", %s", pr_time_text(info->duration, time, sizeof time));
    if (info->n_pages > 0)
        cli_printf(", %d page%s", info->n_pages, info->n_pages == 1 ? "" : "s");
    cli_printf("\n");
    if (*info->title)
        cli_printf("  title  %s\n", info->title);
    for (size_t i = 0; i < info->n_streams; i++)
        print_stream(i, &info->streams[i]);
    for (size_t i = 0; i < info->n_marks; i++) {
        const struct pr_mark *mark = &info->marks[i];
        cli_printf("  %*s%s", 2 * mark->depth, "", mark->title);
        if (mark->span.page != PR_PAGE_NONE)
            cli_printf("  page %d", mark->span.page + 1);
        if (mark->span.t0 != PR_TIME_NONE)
            cli_printf("  %s", pr_time_text(mark->span.t0, time, sizeof time));
        cli_printf("\n");
    }
    for (size_t i = 0; i < info->n_problems; i++)
        cli_printf("  problem: %s\n", info->problems[i]);
    return cli_flush();
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

struct counts {
    int64_t units[4], passed, cuts, lines, visual_only, partial, failed;
    double energy, most_energy; /* of sound: of all samples, mean of the loudest block */
    int64_t samples, loudest;   /* loudest: when that block begins */
};

/* How far a source is read, as it stands on a terminal. */
struct watch {
    const char *path;
    double started, told;
};

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void show_progress(struct watch *watch, const struct pr_source *source)
{
    const struct pr_source_info *info = pr_source_info(source);
    double now = seconds();
    int64_t done = pr_source_position(source), total = info->n_pages > 0 ? info->n_pages : info->duration;
    if (now - watch->told < 0.5 || done <= 0 || done > total)
        return;
    double left = (now - watch->started) * (double)(total - done) / (double)done;
    cli_progress(NULL, &(struct pr_progress){watch->path, PR_ADDING_TEXT, done, total, left});
    watch->told = now;
}

static void count_sound(struct counts *counts, const struct pr_unit *unit)
{
    double sum = energy(unit), mean = sum / (double)unit->n_samples;
    counts->energy += sum;
    counts->samples += (int64_t)unit->n_samples;
    if (mean > counts->most_energy) {
        counts->most_energy = mean;
        counts->loudest = unit->span.t0;
    }
}

/* How much is read of a source. */
enum reading { READ_FIRST, READ_ALL, READ_AND_PRINT };

/* problems: gets a line for each unit that can't be read. */
static int read_units(const char *path, struct pr_source *source, enum reading reading, struct counts *counts,
                      struct base_buf *problems)
{
    struct pr_unit unit;
    struct base_buf line = {0};
    struct watch watch = {path, seconds(), seconds()};
    int err, result = PR_OK;
    while (result == PR_OK && (err = pr_source_next(source, &unit)) != PR_EOF) {
        if (err == PR_ERR_CANCELLED) {
            result = err;
        } else if (err < 0) {
            counts->failed++;
            base_buf_printf(problems, "%s\n", pr_error_message());
        } else {
            counts->units[unit.kind]++;
            counts->passed += unit.kind == PR_UNIT_FRAME && unit.passed;
            counts->cuts += unit.kind == PR_UNIT_FRAME && unit.cut;
            counts->lines += (int64_t)unit.n_lines;
            counts->visual_only += unit.visual_only;
            counts->partial += unit.partial;
            if (unit.kind == PR_UNIT_SOUND)
                count_sound(counts, &unit);
            if (reading == READ_AND_PRINT) {
                line.len = 0;
                put_unit(&line, &unit);
                fwrite(line.data, 1, line.len, stdout);
            }
        }
        if (reading == READ_FIRST)
            break;
        if (reading != READ_AND_PRINT || !isatty(1)) /* it would stand between the lines */
            show_progress(&watch, source);
    }
    cli_progress_end();
    base_buf_finish(&line);
    return result;
}

static void print_counts(const struct counts *counts)
{
    char time[32];
    if (counts->units[PR_UNIT_FRAME])
        cli_printf("  read  %lld frames, of which %lld differ enough to be encoded; %lld scenes\n",
                   (long long)counts->units[PR_UNIT_FRAME], (long long)counts->passed, (long long)counts->cuts);
    if (counts->units[PR_UNIT_PAGE])
        cli_printf("  read  %lld pages with %lld lines of text; %lld pages are pictures only\n",
                   (long long)counts->units[PR_UNIT_PAGE], (long long)counts->lines, (long long)counts->visual_only);
    if (counts->units[PR_UNIT_TEXT])
        cli_printf("  read  %lld pieces of timed text\n", (long long)counts->units[PR_UNIT_TEXT]);
    if (counts->units[PR_UNIT_SOUND] && counts->energy <= 0)
        cli_printf("  read  %.1f s of sound: silence\n", (double)counts->samples / SAMPLE_RATE);
    else if (counts->units[PR_UNIT_SOUND])
        cli_printf("  read  %.1f s of sound, %.1f dB on the mean, the loudest second %.1f dB at %s\n",
                   (double)counts->samples / SAMPLE_RATE, decibels(counts->energy / (double)counts->samples),
                   decibels(counts->most_energy), pr_time_text(counts->loudest, time, sizeof time));
    if (counts->partial)
        cli_printf("  problem: %lld of them are damaged in part\n", (long long)counts->partial);
}

static void put_counts(struct base_buf *out, const struct counts *counts)
{
    base_buf_printf(out,
                    ",\"read\":{\"frames\":%lld,\"passed\":%lld,\"cuts\":%lld,\"pages\":%lld,\"visual_only\":%lld,"
                    "\"texts\":%lld,\"lines\":%lld,\"sounds\":%lld,\"partial\":%lld,\"failed\":%lld}",
                    (long long)counts->units[PR_UNIT_FRAME], (long long)counts->passed, (long long)counts->cuts,
                    (long long)counts->units[PR_UNIT_PAGE], (long long)counts->visual_only,
                    (long long)counts->units[PR_UNIT_TEXT], (long long)counts->lines,
                    (long long)counts->units[PR_UNIT_SOUND], (long long)counts->partial, (long long)counts->failed);
}

/* Lines for people of what couldn't be read. */
static void put_problems(struct base_buf *out, const struct base_buf *found)
{
    for (size_t at = 0; at < found->len;) {
        int len = (int)strcspn(found->data + at, "\n");
        base_buf_printf(out, "  problem: %.*s\n", len, found->data + at);
        at += (size_t)len + 1;
    }
}

static int inspect(const char *path, const struct pr_settings *settings)
{
    struct pr_source *source;
    struct counts counts = {0};
    struct base_buf out = {0}, problems = {0};
    enum reading reading = settings->units ? READ_AND_PRINT : settings->read || settings->sound ? READ_ALL : READ_FIRST;
    int err = pr_source_open(path, settings, cli_cancel(), &source);
    if (err < 0)
        return err;
    if (reading == READ_AND_PRINT) {
        put_info(&out, path, pr_source_info(source), &problems);
        base_buf_puts(&out, "}\n");
        fwrite(out.data, 1, out.len, stdout);
    } else if (!settings->json) {
        err = print_info(path, pr_source_info(source));
    }
    if (err >= 0)
        err = read_units(path, source, reading, &counts, &problems);
    if (reading == READ_FIRST && counts.partial && !pr_source_info(source)->partial)
        base_buf_puts(&problems, "what it begins with is damaged in part\n");
    out.len = 0;
    if (reading == READ_AND_PRINT && problems.len) {
        put_problems(&out, &problems);
        cli_tell(out.data);
    } else if (reading != READ_AND_PRINT && settings->json) {
        put_info(&out, path, pr_source_info(source), &problems);
        if (reading == READ_ALL)
            put_counts(&out, &counts);
        base_buf_puts(&out, "}\n");
        fwrite(out.data, 1, out.len, stdout);
    } else if (reading != READ_AND_PRINT) {
        if (reading == READ_ALL)
            print_counts(&counts);
        put_problems(&out, &problems);
        cli_printf("%s", out.len ? out.data : "");
    }
    if (err >= 0)
        err = cli_flush();
    base_buf_finish(&out);
    base_buf_finish(&problems);
    pr_source_close(source);
    return err;
}

int cli_inspect(const struct args *args)
{
    for (int i = 0; i < args->n_words; i++) {
        int err = inspect(args->words[i], &args->settings);
        if (err < 0)
            return err;
    }
    return PR_OK;
}

int cli_sheet(const struct args *args)
{
    int err = pr_sheet_write(args->words[0], &args->settings, cli_progress, NULL, cli_cancel());
    cli_progress_end();
    return err;
}

int cli_frame(const struct args *args)
{
    return pr_frame_write(args->words[0], &args->settings, cli_cancel());
}
