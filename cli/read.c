/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * pagereel read: a source from its beginning to its end, with a note on each part, and a summary of them.
 */
#include "base/json.h"
#include "base/mem.h"
#include "cli/command.h"
#include "cli/library.h"
#include "cli/output.h"
#include "pagereel/pagereel.h"

#include <stdio.h>
#include <string.h>

struct reading {
    bool json, line_open;
    int err;
};

static void json_time(struct base_buf *out, const char *key, int64_t t)
{
    base_buf_printf(out, "\"%s\":", key);
    base_json_double(out, (double)t / 1e6);
}

static int print_json(const struct pr_note *note)
{
    struct base_buf out = {0};
    base_buf_puts(&out, "{");
    if (note->span.t0 != PR_TIME_NONE) {
        json_time(&out, "t0", note->span.t0);
        base_buf_puts(&out, ",");
        json_time(&out, "t1", note->span.t1);
    } else {
        base_buf_printf(&out, "\"page\":%d", note->span.page + 1);
    }
    base_buf_printf(&out, ",\"fresh\":%s,\"note\":", note->fresh ? "true" : "false");
    base_json_text(&out, note->text, strlen(note->text));
    base_buf_puts(&out, "}\n");
    fwrite(out.data, 1, out.len, stdout);
    base_buf_finish(&out);
    return cli_flush();
}

static bool on_note(void *user, const struct pr_note *note)
{
    struct reading *reading = user;
    char t0[32], t1[32];
    cli_progress_end();
    if (reading->json)
        reading->err = print_json(note);
    else if (note->span.t0 != PR_TIME_NONE)
        reading->err = cli_printf("%s to %s: %s\n", pr_time_text(note->span.t0, t0, sizeof t0),
                                  pr_time_text(note->span.t1, t1, sizeof t1), note->text);
    else
        reading->err = cli_printf("page %d: %s\n", note->span.page + 1, note->text);
    if (reading->err >= 0)
        reading->err = cli_flush();
    return reading->err >= 0;
}

static bool on_token(void *user, const struct pr_token *token)
{
    struct reading *reading = user;
    if (reading->json || token->len == 0)
        return true;
    if (!reading->line_open)
        cli_printf("\nSummary: ");
    reading->line_open = true;
    reading->err = cli_write(token->text, token->len);
    return reading->err == PR_OK;
}

int cli_read(const struct args *args)
{
    const struct pr_settings *settings = &args->settings;
    struct pr_model *model = NULL;
    struct reading reading = {.json = settings->json};
    char *summary = NULL;
    int err;
    TRY(pr_model_open(settings, cli_cancel(), &model));
    err = pr_read(model, settings, args->words[0], cli_progress, on_note, on_token, &reading, cli_cancel(), &summary);
    cli_progress_end();
    if (reading.line_open)
        cli_write("\n", 1);
    if (reading.err < 0)
        err = reading.err;
    TRY(err);
    if (settings->json && settings->summary) {
        struct base_buf out = {0};
        base_buf_puts(&out, "{\"summary\":");
        base_json_text(&out, summary, strlen(summary));
        base_buf_puts(&out, "}\n");
        fwrite(out.data, 1, out.len, stdout);
        base_buf_finish(&out);
        err = cli_flush();
    }
fail:
    pr_free(summary);
    pr_model_close(model);
    return err;
}
