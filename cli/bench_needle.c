/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * pagereel bench needle, pagereel bench time: what memory and recall are worth, as a table or as JSON.
 */
#include "base/json.h"
#include "cli/command.h"
#include "cli/output.h"
#include "pagereel/pagereel.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const ways[PR_WAYS] = {"memory", "uniform", "last", "given"};

/* On a terminal a line that changes; elsewhere a line now and then, as it takes hours. */
struct progress {
    bool terminal, shown;
    time_t told;
};

static void on_progress(void *user, const struct pr_needle_progress *p)
{
    struct progress *progress = user;
    char left[48] = "";
    time_t now = time(NULL);
    if (p->seconds_left >= 0) {
        long long s = (long long)p->seconds_left + 1;
        if (s < 90)
            snprintf(left, sizeof left, ", %lld s left", s);
        else if (s < 5400)
            snprintf(left, sizeof left, ", %lld min left", (s + 30) / 60);
        else
            snprintf(left, sizeof left, ", %.1f h left", (double)s / 3600);
    }
    if (!progress->terminal && now - progress->told < 30 && progress->told)
        return;
    progress->told = now;
    fprintf(stderr, "%s%lld of %lld questions; %s%s%s", progress->terminal ? "\r\033[K" : "", (long long)p->done,
            (long long)p->total, p->doing, left, progress->terminal ? "" : "\n");
    fflush(stderr);
    progress->shown = progress->terminal;
}

static double percent(int32_t part, int32_t whole)
{
    return whole > 0 ? 100.0 * part / whole : 0;
}

static void name_length(const struct pr_needles *row, char out[40])
{
    if (!row->film)
        snprintf(out, 40, "%.0f pages", row->length);
    else if (row->length < 3600)
        snprintf(out, 40, "%.4g min", row->length / 60);
    else
        snprintf(out, 40, "%.4g h", row->length / 3600);
}

static int print_table(const struct pr_settings *settings, bool times, const struct pr_needles *rows, size_t n)
{
    int err;
    TRY(cli_printf("%-12s %5s %7s", "length", "kept", "prompt"));
    for (int w = 0; w < PR_WAYS; w++)
        if (!times || w == PR_WAY_MEMORY || w == PR_WAY_GIVEN)
            TRY(cli_printf(" %9s", ways[w]));
    TRY(cli_printf("%s\n", times ? "   within a step  asked" : "   share  cited  asked"));
    for (size_t i = 0; i < n; i++) {
        const struct pr_needles *row = &rows[i];
        char length[40];
        name_length(row, length);
        TRY(cli_printf("%-12s %4.0f%% %7d", length, 100.0 * (double)row->keep, (int)row->budget));
        for (int w = 0; w < PR_WAYS; w++) {
            if (times && w != PR_WAY_MEMORY && w != PR_WAY_GIVEN)
                continue;
            if (row->way[w].asked)
                TRY(cli_printf(" %8.1f%%", percent(row->way[w].right, row->way[w].asked)));
            else
                TRY(cli_printf(" %9s", "-"));
        }
        double memory = percent(row->way[0].right, row->way[0].asked),
               given = percent(row->way[PR_WAY_GIVEN].right, row->way[PR_WAY_GIVEN].asked);
        if (times) {
            TRY(cli_printf("  %13.1f%%", percent(row->way[0].within, row->way[0].right)));
        } else {
            if (given > 0)
                TRY(cli_printf(" %6.1f%%", 100 * memory / given));
            else
                TRY(cli_printf(" %7s", "-"));
            TRY(cli_printf(" %5.1f%%", percent(row->way[0].cited, row->way[0].right)));
        }
        TRY(cli_printf(" %6d\n", (int)row->way[0].asked));
    }
    TRY(cli_printf(
        "%s", times
                  ? "\nRight: the time said lies in the needle's shot, or a sampling step beside it. Within a step: of "
                    "the right ones, those that say its beginning so well.\n"
                  : "\nRight answers: recalled from memory; from frames or pages spread evenly, or the last ones, in "
                    "prompts of the same size; with the right evidence\nhanded over. Share: of that, what memory "
                    "reaches. Cited: right answers that name the right excerpt.\n"));
    const char *folder = *settings->output ? settings->output : times ? "pagereel-time" : "pagereel-needle";
    TRY(cli_printf("Every answer is in %s/results.jsonl, maps and figures lie beside it.\n", folder));
fail:
    return err;
}

static void put_way(struct base_buf *out, int w, const struct pr_needles *row, bool times)
{
    base_buf_printf(out, ",\"%s\":{\"asked\":%d,\"right\":%d,\"right_and_cited\":%d", ways[w], (int)row->way[w].asked,
                    (int)row->way[w].right, (int)row->way[w].cited);
    if (times)
        base_buf_printf(out, ",\"right_within_a_step\":%d", (int)row->way[w].within);
    base_buf_puts(out, ",\"tokens\":");
    base_json_double(out, row->way[w].tokens);
    base_buf_puts(out, ",\"answer_s\":");
    base_json_double(out, row->way[w].seconds);
    base_buf_puts(out, "}");
}

static int print_json(bool times, const struct pr_needles *rows, size_t n)
{
    struct base_buf out = {0};
    base_buf_puts(&out, "[");
    for (size_t i = 0; i < n; i++) {
        base_buf_printf(&out, "%s{\"medium\":\"%s\",\"%s\":", i ? ",\n" : "", rows[i].film ? "film" : "document",
                        rows[i].film ? "seconds" : "pages");
        base_json_double(&out, rows[i].length);
        base_buf_puts(&out, ",\"keep\":");
        base_json_float(&out, rows[i].keep);
        base_buf_printf(&out, ",\"budget\":%d", (int)rows[i].budget);
        for (int w = 0; w < PR_WAYS; w++)
            if (rows[i].way[w].asked)
                put_way(&out, w, &rows[i], times);
        base_buf_puts(&out, "}");
    }
    base_buf_puts(&out, "]\n");
    int err = cli_write(out.data, out.len);
    base_buf_finish(&out);
    return err;
}

static int measure(const struct args *args, bool times)
{
    const struct pr_settings *settings = &args->settings;
    struct pr_model *model = NULL;
    struct pr_needles *rows = NULL;
    struct progress progress = {.terminal = isatty(STDERR_FILENO)};
    size_t n = 0;
    int err;
    TRY(pr_model_open(settings, cli_cancel(), &model));
    err = (times ? pr_bench_time : pr_bench_needle)(model, settings, on_progress, &progress, cli_cancel(), &rows, &n);
    if (progress.shown)
        fputs("\r\033[K", stderr);
    TRY(err);
    TRY(settings->json ? print_json(times, rows, n) : print_table(settings, times, rows, n));
fail:
    pr_free(rows);
    pr_model_close(model);
    return err;
}

int cli_bench_needle(const struct args *args)
{
    return measure(args, false);
}

int cli_bench_time(const struct args *args)
{
    return measure(args, true);
}
