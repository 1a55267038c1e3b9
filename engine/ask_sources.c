/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sources of a question: added to the library where they are new, and their evidence opened.
 */
#include "engine/ask.h"

#include "base/mem.h"
#include "engine/range.h"

#include <stdlib.h>
#include <string.h>

void engine_ask_note(struct asking *asking, const char *path, const char *what)
{
    struct base_buf note = {0};
    base_buf_printf(&note, "%s%s%s", path, *path ? ": " : "", what);
    for (size_t i = 0; i < asking->n_notes; i++)
        if (!strcmp(asking->notes[i], note.data)) {
            base_buf_finish(&note);
            return;
        }
    asking->notes = base_realloc(asking->notes, (asking->n_notes + 1) * sizeof *asking->notes);
    asking->notes[asking->n_notes++] = note.data;
}

bool engine_ask_is_base(struct asking *asking, struct pr_settings *settings)
{
    const struct chat_format *format;
    if (settings->raw || *settings->chat_format || model_chat_detect(asking->model->gguf, &format) < 0 || format)
        return false;
    settings->raw = true;
    engine_ask_note(asking, "", "the model has no chat format; the prompt is given to it as it is");
    return true;
}

struct asked *engine_ask_find(const struct asking *asking, int64_t id)
{
    size_t low = 0, high = asking->n_sources;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (asking->sources[middle].source.id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < asking->n_sources && asking->sources[low].source.id == id ? &asking->sources[low] : NULL;
}

const struct evidence *engine_ask_evidence(struct asked *asked)
{
    if (!asked->evidence && asked->library)
        memory_library_evidence(asked->library, &asked->source, &asked->evidence);
    return asked->evidence;
}

static int by_id(const void *a, const void *b)
{
    const struct asked *x = a, *y = b;
    if (x->source.id != y->source.id)
        return x->source.id < y->source.id ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/* What the user should know of a file that isn't as it was. */
static void note_state(struct asking *asking, const char *path, enum library_state state)
{
    if (state == LIBRARY_GONE)
        engine_ask_note(asking, path, "the file isn't there any more; this is what was read of it before");
    if (state == LIBRARY_CHANGED)
        engine_ask_note(asking, path, "has changed since it was added; its new content was read");
}

/* Adds a source and opens its log. What was read before is asked, too, when the rest can't be read now. */
static int open_source(struct asking *asking, struct asked *asked, pr_progress_fn progress, void *user,
                       struct pr_cancel *cancel)
{
    bool fresh;
    int err = engine_add(asking->library, asking->settings, asking->vision ? asking->model : NULL, true, asked->path,
                         progress, user, engine_cancel(cancel), &asked->source, &fresh);
    if (err < 0) {
        struct evidence *evidence = NULL;
        struct base_buf why = {0};
        base_buf_puts(&why, pr_error_message());
        if (err != PR_ERR_CANCELLED && asked->source.id &&
            memory_library_evidence(asking->library, &asked->source, &evidence) >= 0 &&
            memory_evidence_count(evidence) > 0) {
            engine_ask_note(asking, "", why.data);
            err = memory_library_index(asking->library, &asked->source, evidence);
        } else {
            base_fail(err, "%s", why.data);
        }
        memory_evidence_close(evidence);
        base_buf_finish(&why);
        if (err < 0)
            return err;
    }
    note_state(asking, asked->path, asked->source.state);
    asked->library = asking->library;
    return memory_recall_open(asking->library, &asked->source, &asked->index);
}

static void close_source(struct asked *asked)
{
    memory_keys_close(asked->keys);
    memory_recall_close(asked->index);
    memory_evidence_close(asked->evidence);
    base_free(asked->path);
}

static int open_named(struct asking *asking, const char *const *paths, size_t n, pr_progress_fn progress, void *user,
                      struct pr_cancel *cancel)
{
    asking->sources = base_alloc_array(n, sizeof *asking->sources);
    for (size_t i = 0; i < n; i++) {
        struct asked *asked = &asking->sources[asking->n_sources++];
        asked->path = base_strdup(paths[i]);
        asked->order = i;
        int err = open_source(asking, asked, progress, user, cancel);
        if (err < 0)
            return err;
    }
    if (n == 0)
        return PR_OK;
    qsort(asking->sources, n, sizeof *asking->sources, by_id);
    size_t kept = 1;
    for (size_t i = 1; i < n; i++) { /* the same source twice */
        if (asking->sources[i].source.id != asking->sources[kept - 1].source.id) {
            asking->sources[kept++] = asking->sources[i];
        } else {
            close_source(&asking->sources[i]);
        }
    }
    asking->n_sources = kept;
    return PR_OK;
}

/* Without names: all that the library has, as it is. */
static int open_all(struct asking *asking)
{
    struct library_source *list;
    size_t n;
    int err = memory_library_list(asking->library, &list, &n);
    if (err < 0)
        return err;
    asking->sources = base_alloc_array(n, sizeof *asking->sources);
    for (size_t i = 0; i < n; i++) {
        struct asked *asked = &asking->sources[asking->n_sources];
        *asked = (struct asked){.source = list[i], .library = asking->library};
        if (memory_recall_open(asking->library, &list[i], &asked->index) < 0)
            continue;
        asked->path = base_strdup(list[i].path);
        asked->order = i;
        asking->n_sources++;
    }
    base_free(list);
    if (asking->n_sources == 0)
        return base_fail(PR_ERR_NOT_FOUND, "the library is empty; name a file, or add some with pagereel add");
    return PR_OK;
}

void engine_ask_sources_close(struct asking *asking)
{
    for (size_t i = 0; i < asking->n_sources; i++)
        close_source(&asking->sources[i]);
    base_free(asking->sources);
    for (size_t i = 0; i < asking->n_notes; i++)
        base_free(asking->notes[i]);
    base_free(asking->notes);
}

/* Of the first n pages those within --pages. */
static int64_t pages_in_range(const struct asking *asking, int64_t n)
{
    int64_t end = asking->last_page >= 0 && asking->last_page + 1 < n ? asking->last_page + 1 : n;
    return end > asking->first_page ? end - asking->first_page : 0;
}

void engine_ask_cover(const struct asking *asking, struct pr_coverage *out)
{
    for (size_t i = 0; i < asking->n_sources; i++) {
        const struct recall_summary *summary = memory_recall_summary(asking->sources[i].index);
        const struct evidence_progress progress = summary->progress;
        bool film = summary->duration != PR_TIME_NONE;
        out->sources++;
        out->incomplete += !progress.complete;
        out->pages += pages_in_range(asking, (int64_t)progress.pages);
        out->pages_failed += (int64_t)progress.failed;
        out->pages_without_text += (int64_t)progress.without_text;
        out->films += film;
        out->films_without_text += film && progress.units == 0;
        out->damaged += (int64_t)summary->damage;
    }
}

int engine_ask_sources_open(struct asking *asking, const char *const *paths, size_t n, pr_progress_fn progress,
                            void *user, struct pr_cancel *cancel)
{
    asking->all = n == 0;
    return n > 0 ? open_named(asking, paths, n, progress, user, cancel) : open_all(asking);
}

/* ---- ranges ------------------------------------------------------------------------------------------------------- */

int engine_ask_read_ranges(struct asking *asking)
{
    int err;
    const struct pr_settings *settings = asking->settings;
    asking->from = asking->to = PR_TIME_NONE;
    if (settings->from[0])
        TRY(pr_time_parse(settings->from, &asking->from));
    if (settings->to[0])
        TRY(pr_time_parse(settings->to, &asking->to));
    if (asking->from != PR_TIME_NONE && asking->to != PR_TIME_NONE && asking->to <= asking->from)
        return base_fail(PR_ERR_INVALID, "--to %.60s lies before --from %.60s", settings->to, settings->from);
    TRY(engine_parse_pages(settings->pages, &asking->first_page, &asking->last_page));
fail:
    return err;
}

bool engine_ask_in_range(const struct asking *asking, int64_t t0, int64_t t1, int32_t page)
{
    if (t0 != PR_TIME_NONE)
        return (asking->from == PR_TIME_NONE || t1 > asking->from) && (asking->to == PR_TIME_NONE || t0 < asking->to);
    return page >= asking->first_page && (asking->last_page < 0 || page <= asking->last_page);
}
