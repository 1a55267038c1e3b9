/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * pagereel add, list, show, rm, plan: what the library holds.
 */
#include "cli/library.h"

#include "base/json.h"
#include "cli/command.h"
#include "cli/output.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SHORT_ID = 10 };

/* ---- text --------------------------------------------------------------------------------------------------------- */

/* "512 bytes", "3.4 MiB". */
static const char *size_text(int64_t bytes, char out[32])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int unit = -1;
    for (; value >= 1024 && unit < 3; unit++)
        value /= 1024;
    if (unit < 0)
        snprintf(out, 32, "%lld bytes", (long long)bytes);
    else
        snprintf(out, 32, "%.1f %s", value, units[unit]);
    return out;
}

/* "about 3 s", "about 12 min". */
static const char *duration_text(double seconds, char out[32])
{
    if (seconds < 90)
        snprintf(out, 32, "%.*f s", seconds < 9.5 ? 1 : 0, seconds);
    else
        snprintf(out, 32, "%.0f min", seconds / 60);
    return out;
}

static bool progress_shown; /* a line of progress stands on the terminal */

void cli_progress(void *user, const struct pr_progress *progress)
{
    char left[32];
    (void)user;
    if (!isatty(STDERR_FILENO))
        return;
    const char *slash = strrchr(progress->source, '/');
    struct cli_filter filter = {0};
    struct base_buf name = {0};
    cli_filter(&filter, slash && slash[1] ? slash + 1 : progress->source,
               strlen(slash && slash[1] ? slash + 1 : progress->source), &name);
    static const char *const doing[] = {"looking whether it is known", "reading", "looking at its pictures",
                                        "making keys of its pictures"};
    fprintf(stderr, "\r\033[K%.40s: %s", name.data ? name.data : "", doing[progress->what]);
    if (progress->total > 0)
        fprintf(stderr, ", %.0f %%", 100.0 * (double)progress->done / (double)progress->total);
    if (progress->seconds_left >= 0)
        fprintf(stderr, ", %s left", duration_text(progress->seconds_left, left));
    fflush(stderr);
    base_buf_finish(&name);
    progress_shown = true;
}

void cli_progress_end(void)
{
    if (progress_shown)
        fputs("\r\033[K", stderr);
    progress_shown = false;
}

/* ---- entries ------------------------------------------------------------------------------------------------------ */

static const char *const states[] = {"here", "renamed", "changed", "gone"};

static void put_text(struct base_buf *out, const char *key, const char *text)
{
    base_buf_printf(out, "\"%s\":", key);
    base_json_text(out, text, strlen(text));
}

static void put_seconds(struct base_buf *out, const char *key, int64_t time)
{
    base_buf_printf(out, ",\"%s\":", key);
    if (time == PR_TIME_NONE)
        base_buf_puts(out, "null");
    else
        base_buf_printf(out, "%s%lld.%06lld", time < 0 ? "-" : "", llabs((long long)time) / 1000000,
                        llabs((long long)time) % 1000000);
}

static void put_entry(struct base_buf *out, const struct pr_entry *entry)
{
    base_buf_puts(out, "{");
    put_text(out, "id", entry->id);
    base_buf_puts(out, ",");
    put_text(out, "path", entry->path);
    base_buf_puts(out, ",");
    put_text(out, "file", states[entry->state]);
    base_buf_puts(out, ",");
    put_text(out, "kind", entry->kind);
    base_buf_puts(out, ",");
    put_text(out, "title", entry->title);
    base_buf_printf(out, ",\"complete\":%s,\"added\":%lld", entry->complete ? "true" : "false",
                    (long long)entry->added);
    put_seconds(out, "duration", entry->duration);
    base_buf_printf(
        out,
        ",\"pages\":%lld,\"pages_failed\":%lld,\"pages_without_text\":%lld,\"segments\":%lld,\"bytes\":%lld,"
        "\"damaged\":%lld",
        (long long)entry->pages, (long long)entry->failed, (long long)entry->without_text, (long long)entry->segments,
        (long long)entry->bytes, (long long)entry->damaged);
    base_buf_printf(out, ",\"seen\":%s,", entry->seen ? "true" : "false");
    put_text(out, "model", entry->model);
    base_buf_printf(out, ",\"tokens\":%lld", (long long)entry->tokens);
}

/* "30 pages" or "1:02:03.000". */
static void extent_text(const struct pr_entry *entry, char *out, size_t size)
{
    if (entry->duration != PR_TIME_NONE)
        pr_time_text(entry->duration, out, size);
    else
        snprintf(out, size, "%lld pages", (long long)entry->pages);
}

/* What is not as it should be, in words. */
static int print_troubles(const struct pr_entry *entry)
{
    int err = PR_OK;
    if (!entry->complete)
        err = cli_printf("  not read to its end yet; pagereel add goes on\n");
    if (err >= 0 && entry->complete && *entry->model && !entry->seen)
        err = cli_printf("  its pictures were not looked at to the end yet; pagereel add goes on\n");
    if (err >= 0 && entry->state == PR_FILE_GONE)
        err = cli_printf("  the file isn't there any more; what was read of it can still be asked\n");
    if (err >= 0 && entry->state == PR_FILE_CHANGED)
        err = cli_printf("  the file has changed since; pagereel add reads its new content\n");
    if (err >= 0 && entry->failed > 0)
        err = cli_printf("  %lld part%s could not be read; pagereel inspect --read says what\n",
                         (long long)entry->failed, entry->failed == 1 ? "" : "s");
    if (err >= 0 && entry->damaged > 0)
        err = cli_printf("  the library's file is damaged in %lld place%s; pagereel add reads it again\n",
                         (long long)entry->damaged, entry->damaged == 1 ? "" : "s");
    return err;
}

static int print_entry(const struct pr_entry *entry)
{
    char extent[48], size[32];
    extent_text(entry, extent, sizeof extent);
    int err = cli_printf("%.*s  %s  (%s, %s, %s)\n", SHORT_ID, entry->id, entry->path,
                         *entry->kind ? entry->kind : "unread", extent, size_text(entry->bytes, size));
    return err < 0 ? err : print_troubles(entry);
}

static int write_line(struct base_buf *out)
{
    base_buf_puts(out, "\n");
    int err = cli_write(out->data, out->len);
    base_buf_finish(out);
    return err;
}

/* ---- commands ----------------------------------------------------------------------------------------------------- */

static int print_added(const struct args *args, const char *path, const struct pr_entry *entry)
{
    if (args->settings.json) {
        struct base_buf out = {0};
        put_entry(&out, entry);
        base_buf_printf(&out, ",\"encoded\":%lld,\"device_bytes\":%lld,\"fresh\":%s}", (long long)entry->encoded,
                        (long long)entry->device_bytes, entry->fresh ? "true" : "false");
        return write_line(&out);
    }
    char extent[48];
    extent_text(entry, extent, sizeof extent);
    const char *what = entry->state == PR_FILE_RENAMED   ? "was added before under another name"
                       : !entry->fresh                   ? "was added before"
                       : entry->state == PR_FILE_CHANGED ? "had changed; its new content was added"
                                                         : "added";
    int err =
        cli_printf("%s: %s (%s, %s, %lld segments)\n", path, what, entry->kind, extent, (long long)entry->segments);
    if (err >= 0 && *entry->model)
        err = cli_printf("  %lld visual tokens: %s\n", (long long)entry->tokens, entry->model);
    if (err >= 0 && entry->without_text > 0 && !entry->seen)
        err = cli_printf("  %lld pages have no text layer: nothing on them can be found; a model that sees can look at "
                         "them: --model, --mmproj\n",
                         (long long)entry->without_text);
    if (err >= 0 && entry->duration != PR_TIME_NONE && entry->segments == 0)
        err = cli_printf("  it has neither subtitles nor chapters: nothing in it can be found\n");
    return err < 0 ? err : print_troubles(entry);
}

/* Goes on behind a file that can't be added, and fails at the end with what was wrong with the last one. */
int cli_add(const struct args *args)
{
    int result = PR_OK;
    char last[1024] = "";
    for (int i = 0; i < args->n_words; i++) {
        struct pr_entry entry;
        if (*last)
            fprintf(stderr, "pagereel: %s\n", last);
        *last = '\0';
        int err = pr_add(&args->settings, args->words[i], cli_progress, NULL, cli_cancel(), &entry);
        cli_progress_end();
        if (err == PR_ERR_CANCELLED) {
            if (isatty(STDERR_FILENO))
                fputs("What was done stays; add it again to go on from there.\n", stderr);
            return err;
        }
        if (err < 0) {
            result = err;
            snprintf(last, sizeof last, "%s", pr_error_message());
        } else if ((err = print_added(args, args->words[i], &entry)) < 0) {
            return err;
        }
    }
    if (result < 0 && !*last)
        snprintf(last, sizeof last, "not every file could be added");
    return result < 0 ? base_fail(result, "%s", last) : PR_OK;
}

int cli_list(const struct args *args)
{
    struct pr_entry *list;
    size_t n;
    int err = pr_list(&args->settings, &list, &n);
    for (size_t i = 0; i < n && err >= 0; i++) {
        if (args->settings.json) {
            struct base_buf out = {0};
            put_entry(&out, &list[i]);
            base_buf_puts(&out, "}");
            err = write_line(&out);
        } else {
            err = print_entry(&list[i]);
        }
    }
    if (err >= 0 && n == 0 && !args->settings.json)
        err = cli_printf("Nothing was added yet.\n");
    pr_free(list);
    return err;
}

struct showing {
    const char *name;
    bool json;
    size_t n;
    int err;
};

static void json_segment(struct base_buf *out, const struct pr_segment *segment)
{
    static const char *const kinds[] = {"frames", "page", "text", "outline", "note"};
    base_buf_puts(out, "{");
    if (segment->damaged) {
        base_buf_puts(out, "\"damaged\":true}");
        return;
    }
    put_text(out, "segment", kinds[segment->kind]);
    if (segment->span.page != PR_PAGE_NONE)
        base_buf_printf(out, ",\"page\":%d", segment->span.page + 1);
    if (segment->span.page != PR_PAGE_NONE || segment->kind == PR_SEGMENT_NOTE) {
        base_buf_puts(out, ",");
        put_text(out, "label", segment->label);
    }
    if (segment->span.t0 != PR_TIME_NONE) {
        put_seconds(out, "t0", segment->span.t0);
        put_seconds(out, "t1", segment->span.t1);
    }
    base_buf_printf(out,
                    ",\"stream\":%d,\"lines\":%lld,\"tokens\":%lld,\"raw\":%lld,\"frames\":%lld,\"visual_only\":%s,",
                    segment->stream, (long long)segment->lines, (long long)segment->tokens, (long long)segment->raw,
                    (long long)segment->frames, segment->visual_only ? "true" : "false");
    put_text(out, "text", segment->text);
    base_buf_puts(out, "}");
}

static int print_segment(const struct showing *showing, const struct pr_segment *segment)
{
    char t0[32], t1[32];
    int err = showing->n == 0 ? cli_printf("%s\n", showing->name) : PR_OK;
    if (err < 0 || segment->damaged)
        return err < 0 ? err : cli_printf("  damaged\n");
    if (segment->span.t0 != PR_TIME_NONE)
        err = cli_printf("  %s to %s", pr_time_text(segment->span.t0, t0, sizeof t0),
                         pr_time_text(segment->span.t1, t1, sizeof t1));
    else if (segment->span.page != PR_PAGE_NONE)
        err = cli_printf("  page %d", segment->span.page + 1);
    else
        err = cli_printf("  outline");
    if (err >= 0 && *segment->label)
        err = cli_printf(" (%s)", segment->label);
    if (err >= 0 && segment->kind == PR_SEGMENT_OUTLINE && segment->span.t0 != PR_TIME_NONE)
        err = cli_printf(", chapters");
    if (err < 0)
        return err;
    if (segment->tokens > 0 && segment->lines == 0)
        return cli_printf(": %lld of %lld visual tokens, %lld %s\n", (long long)segment->tokens,
                          (long long)segment->raw, (long long)segment->frames,
                          segment->kind == PR_SEGMENT_FRAMES ? "frames" : "picture");
    if (segment->lines == 0)
        return cli_printf(": no text\n");
    return cli_printf(": %lld lines, \"%.60s\"\n", (long long)segment->lines, segment->text);
}

static bool on_segment(void *user, const struct pr_segment *segment)
{
    struct showing *showing = user;
    if (showing->json) {
        struct base_buf out = {0};
        json_segment(&out, segment);
        showing->err = write_line(&out);
    } else {
        showing->err = print_segment(showing, segment);
    }
    showing->n++;
    return showing->err >= 0;
}

int cli_show(const struct args *args)
{
    int err;
    struct pr_entry entry;
    struct showing showing = {.name = args->words[0], .json = args->settings.json};
    char size[32];
    TRY(pr_show(&args->settings, args->words[0], on_segment, &showing, &entry));
    TRY(showing.err);
    if (args->settings.sheet[0])
        TRY(pr_show_sheet(&args->settings, args->words[0]));
    if (showing.json) {
        struct base_buf out = {0};
        put_entry(&out, &entry);
        base_buf_printf(&out, ",\"lines\":%lld,\"raw\":%lld,\"frames\":%lld}", (long long)entry.lines,
                        (long long)entry.raw, (long long)entry.frames);
        return write_line(&out);
    }
    TRY(print_entry(&entry));
    TRY(cli_printf("  %lld segments, %lld lines of text, %lld visual tokens, %s\n", (long long)entry.segments,
                   (long long)entry.lines, (long long)entry.tokens, size_text(entry.bytes, size)));
    if (entry.tokens > 0)
        TRY(cli_printf("  %s: %lld frames and pictures were looked at, %.0f %% of their tokens are kept\n", entry.model,
                       (long long)entry.frames, entry.raw ? 100.0 * (double)entry.tokens / (double)entry.raw : 0));
    if (entry.without_text > 0)
        TRY(cli_printf("  %lld of %lld pages have no text layer\n", (long long)entry.without_text,
                       (long long)entry.pages));
    if (entry.tokens == 0 && (entry.duration != PR_TIME_NONE || entry.without_text > 0))
        TRY(cli_printf("  its pictures were not looked at\n"));
fail:
    return err;
}

int cli_rm(const struct args *args)
{
    int err = PR_OK;
    for (int i = 0; i < args->n_words && err >= 0; i++)
        err = pr_remove(&args->settings, args->words[i]);
    return err;
}

int cli_plan(const struct args *args)
{
    struct pr_plan plan;
    char time[32], size[32];
    int err = pr_plan(&args->settings, args->words[0], cli_cancel(), &plan);
    if (err < 0)
        return err;
    bool timed = plan.duration != PR_TIME_NONE;
    if (args->settings.json) {
        struct base_buf out = {0};
        base_buf_puts(&out, "{");
        put_text(&out, "source", args->words[0]);
        base_buf_puts(&out, ",");
        put_text(&out, "kind", plan.kind);
        put_seconds(&out, "duration", plan.duration);
        base_buf_printf(&out,
                        ",\"units\":%lld,\"encoded\":%lld,\"tokens\":%lld,\"bytes\":%lld,\"memory\":%lld,"
                        "\"ask_memory\":%lld,\"device_memory\":%lld,\"seconds\":",
                        (long long)plan.units, (long long)plan.encoded, (long long)plan.tokens, (long long)plan.bytes,
                        (long long)plan.memory, (long long)plan.ask_memory, (long long)plan.device_memory);
        base_json_double(&out, plan.seconds);
        base_buf_puts(&out, "}");
        return write_line(&out);
    }
    err = cli_printf("%s: %s", args->words[0], plan.kind);
    if (err >= 0 && timed)
        err = cli_printf(", %s, %lld text tracks%s", pr_time_text(plan.duration, time, sizeof time),
                         (long long)plan.units,
                         plan.encoded ? "" : "; its pictures aren't looked at (give a model that sees)");
    else if (err >= 0 && plan.units > 0)
        err = cli_printf(", %lld pages", (long long)plan.units);
    if (err >= 0 && plan.encoded > 0)
        err = cli_printf(", about %lld runs of the vision encoder, %lld visual tokens", (long long)plan.encoded,
                         (long long)plan.tokens);
    if (err >= 0 && plan.bytes > 0)
        err = cli_printf(", about %s in the library", size_text(plan.bytes, size));
    if (err >= 0)
        err = cli_printf(", up to %s of memory", size_text(plan.memory, size));
    if (err >= 0 && plan.ask_memory > 0)
        err = cli_printf(", %s to ask", size_text(plan.ask_memory, size));
    if (err >= 0 && plan.device_memory > 0)
        err = cli_printf(", %s of the GPU's", size_text(plan.device_memory, size));
    return err < 0 ? err : cli_printf(", about %s\n", duration_text(plan.seconds, time));
}
