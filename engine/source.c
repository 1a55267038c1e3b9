/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sources as the public header shows them: settings become the options of ingest.
 */
#include "pagereel/source.h"

#include "base/mem.h"
#include "engine/model.h"
#include "engine/range.h"
#include "engine/source.h"
#include "ingest/source.h"

#include <stdio.h>
#include <string.h>

struct pr_source {
    struct ingest_source *ingest;
};

int engine_source_options(const struct pr_settings *settings, struct pr_cancel *cancel, struct ingest_options *out)
{
    int err;
    *out = ingest_options_default();
    out->rate = settings->fps;
    if (settings->frames > 0) {
        out->sampling = INGEST_BUDGET;
        out->budget = settings->frames;
    }
    if (settings->scenes)
        out->sampling = INGEST_SCENE;
    if (settings->keys)
        out->sampling = INGEST_KEYS;
    if (settings->from[0])
        TRY(pr_time_parse(settings->from, &out->from));
    if (settings->to[0])
        TRY(pr_time_parse(settings->to, &out->to));
    if (out->from != PR_TIME_NONE && out->to != PR_TIME_NONE && out->to <= out->from)
        return base_fail(PR_ERR_INVALID, "--to %.60s lies before --from %.60s", settings->to, settings->from);
    TRY(engine_parse_pages(settings->pages, &out->first_page, &out->last_page));
    out->stream = settings->stream;
    out->language = settings->language[0] ? settings->language : NULL;
    out->password = settings->password[0] ? settings->password : NULL;
    out->max_pixels = settings->pixels;
    out->sound = settings->sound;
    out->cancel = engine_cancel(cancel);
    return PR_OK;
fail:
    return err;
}

int engine_source_picture(struct ingest_source *source, struct pr_unit *unit)
{
    int err;
    do
        err = ingest_next(source, unit);
    while (err == PR_OK && !unit->rgb);
    return err;
}

int engine_source_nothing(const char *path, const struct ingest_options *options)
{
    char time[32];
    if (options->sampling == INGEST_TIMES)
        return base_fail(PR_ERR_NOT_FOUND, "%s: nothing is shown at %s", path,
                         pr_time_text(options->times[0], time, sizeof time));
    if (options->from != PR_TIME_NONE || options->to != PR_TIME_NONE)
        return base_fail(PR_ERR_NOT_FOUND, "%s: there is no picture between --from and --to", path);
    if (options->first_page > 0)
        return base_fail(PR_ERR_NOT_FOUND, "%s: there is no page %d in it", path, options->first_page + 1);
    return base_fail(PR_ERR_NOT_FOUND, "%s: there is no picture in it", path);
}

int pr_source_open(const char *path, const struct pr_settings *settings, struct pr_cancel *cancel,
                   struct pr_source **out)
{
    struct ingest_options options;
    struct ingest_source *ingest;
    int err = engine_source_options(settings, cancel, &options);
    if (err >= 0)
        err = ingest_open(path, &options, &ingest);
    if (err < 0)
        return err;
    *out = base_alloc(sizeof **out);
    (*out)->ingest = ingest;
    return PR_OK;
}

void pr_source_close(struct pr_source *source)
{
    if (!source)
        return;
    ingest_close(source->ingest);
    base_free(source);
}

const struct pr_source_info *pr_source_info(const struct pr_source *source)
{
    return ingest_info(source->ingest);
}

int pr_source_next(struct pr_source *source, struct pr_unit *unit)
{
    return ingest_next(source->ingest, unit);
}

int64_t pr_source_position(const struct pr_source *source)
{
    return ingest_position(source->ingest);
}
