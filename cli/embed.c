/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * pagereel embed: the visual tokens of a file as a NumPy array.
 */
#include "base/json.h"
#include "cli/command.h"
#include "cli/output.h"

#include <string.h>

static int print_json(const struct pr_visual *v)
{
    struct base_buf out = {0};
    base_buf_printf(&out, "{\"family\":");
    base_json_text(&out, v->family, strlen(v->family));
    base_buf_printf(&out, ",\"tokens\":%zu,\"width\":%zu,\"tiles\":[%d,%d],\"runs\":[", v->n, v->width,
                    (int)v->tile_rows, (int)v->tile_cols);
    for (size_t i = 0; i < v->n_runs; i++) {
        const struct pr_visual_run *r = &v->runs[i];
        base_buf_printf(&out, "%s{\"first\":%zu,\"image_tokens\":%zu,\"grid\":[%d,%d],\"frames\":%d%s}", i ? "," : "",
                        r->first, r->n, (int)r->rows, (int)r->cols, (int)r->frames,
                        r->partial ? ",\"partial\":true" : "");
    }
    base_buf_puts(&out, "],\"positions\":");
    if (!v->positions)
        base_buf_puts(&out, "null");
    for (size_t i = 0; v->positions && i < v->n; i++)
        base_buf_printf(&out, "%s[%d,%d,%d]", i ? "," : "[", (int)v->positions[i][0], (int)v->positions[i][1],
                        (int)v->positions[i][2]);
    base_buf_puts(&out, v->positions ? "]}\n" : "}\n");
    int err = cli_write(out.data, out.len);
    base_buf_finish(&out);
    return err;
}

int cli_embed(const struct args *args)
{
    const struct pr_settings *settings = &args->settings;
    struct pr_visual visual = {0};
    int err;
    if (!settings->output[0] && !settings->json)
        return base_fail(PR_ERR_INVALID, "no file to write; give --output FILE.npy, or --json");
    if (settings->verbose) {
        struct pr_visual_plan plan;
        TRY(pr_visual_plan(args->words[0], PR_ITEM_IMAGE, NULL, settings, cli_cancel(), &plan));
        cli_tell_plan(args->words[0], &plan);
    }
    TRY(pr_embed(args->words[0], settings, cli_cancel(), &visual));
    cli_tell_partial(visual.runs, visual.n_runs);
    if (settings->output[0])
        TRY(cli_write_npy(settings->output, visual.rows, visual.n, visual.width));
    if (settings->json)
        TRY(print_json(&visual));
    else
        cli_printf("%s: %zu visual tokens of %zu values\n", settings->output, visual.n, visual.width);
fail:
    pr_visual_finish(&visual);
    return err;
}
