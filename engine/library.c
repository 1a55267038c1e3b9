/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The library as the public header shows it.
 */
#include "engine/library.h"

#include "base/mem.h"
#include "engine/clock.h"
#include "engine/keys.h"
#include "engine/model.h"
#include "engine/visual.h"
#include "ingest/source.h"
#include "llm/arch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int engine_library_open(const struct pr_settings *settings, struct library **out)
{
    struct base_buf path = {0};
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (settings->library[0])
        base_buf_puts(&path, settings->library);
    else if (data && data[0] == '/')
        base_buf_printf(&path, "%s/pagereel", data);
    else if (home && home[0])
        base_buf_printf(&path, "%s/.local/share/pagereel", home);
    else
        return base_fail(PR_ERR_INVALID,
                         "no folder for the library: neither XDG_DATA_HOME nor HOME is set; give --library");
    int err = memory_library_open(path.data, out);
    base_buf_finish(&path);
    return err;
}

/* Whole characters of a text, as many as fit. */
static void copy_text(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
    for (size_t len = strlen(out); len + 1 == size && len > 0 && ((unsigned char)out[len - 1] & 0xc0) == 0x80; len--)
        out[len - 1] = '\0';
}

void engine_entry(const struct library_source *source, const struct evidence *evidence,
                  const struct evidence_setup *visual, struct pr_entry *out)
{
    *out = (struct pr_entry){.added = source->added, .duration = PR_TIME_NONE};
    base_hash_text(source->hash, out->id);
    copy_text(out->path, sizeof out->path, source->path);
    out->state = source->state == LIBRARY_GONE      ? PR_FILE_GONE
                 : source->state == LIBRARY_CHANGED ? PR_FILE_CHANGED
                 : source->state == LIBRARY_RENAMED ? PR_FILE_RENAMED
                                                    : PR_FILE_HERE;
    if (!evidence)
        return;
    const struct evidence_info *info = memory_evidence_info(evidence);
    const struct evidence_progress progress = memory_evidence_progress(evidence);
    copy_text(out->kind, sizeof out->kind, info->kind);
    copy_text(out->title, sizeof out->title, info->title);
    out->duration = info->duration;
    out->n_pages = info->n_pages;
    out->complete = progress.complete;
    out->pages = (int64_t)progress.pages;
    out->failed = (int64_t)progress.failed;
    out->without_text = (int64_t)progress.without_text;
    out->segments = (int64_t)memory_evidence_count(evidence);
    out->bytes = (int64_t)memory_evidence_bytes(evidence);
    out->damaged = (int64_t)memory_evidence_damage(evidence);
    if (visual) {
        copy_text(out->model, sizeof out->model, visual->text);
        out->seen = memory_evidence_seen(evidence, visual->number).complete;
        out->tokens = memory_evidence_tokens(evidence, visual->number);
    }
}

int engine_open_sight(const struct pr_settings *settings, struct hparams *hp, struct pr_model **out)
{
    int err = PR_OK;
    const struct llm_arch *arch;
    *out = NULL;
    if (!settings->mmproj[0] && !settings->model[0])
        return PR_OK;
    struct pr_model *model = base_alloc(sizeof *model);
    model->mmproj = base_strdup(settings->mmproj);
    if (settings->model[0]) {
        model->path = base_strdup(settings->model);
        TRY(model_gguf_open(settings->model, &model->gguf));
        TRY(model_hparams_read(model->gguf, hp));
        TRY(llm_arch_find(hp->arch, &arch));
        TRY(arch->prepare(hp));
        model->hp = hp;
    }
    err = engine_peek_vision(model);
    if (err == PR_ERR_NOT_FOUND && !settings->mmproj[0]) {
        pr_model_close(model);
        return PR_OK;
    }
    TRY(err);
    *out = model;
    return PR_OK;
fail:
    pr_model_close(model);
    return err;
}

int pr_add(const struct pr_settings *given, const char *path, pr_progress_fn fn, void *user, struct pr_cancel *cancel,
           struct pr_entry *out)
{
    int err;
    struct pr_settings settings;
    struct library *library = NULL;
    struct library_source source;
    struct hparams hp;
    struct pr_model *sight = NULL;
    bool fresh;
    TRY(engine_settings(given, &settings));
    TRY(engine_open_sight(&settings, &hp, &sight));
    TRY(engine_library_open(&settings, &library));
    TRY(engine_add(library, &settings, sight, false, path, fn, user, engine_cancel(cancel), &source, &fresh));
    if (fresh && sight && sight->vision.encoded > 0)
        TRY(engine_keys_make(&settings, library, &source, fn, user, cancel));
    if (out) {
        struct evidence *evidence;
        TRY(memory_library_evidence(library, &source, &evidence));
        char text[256];
        struct evidence_setup wanted;
        if (sight)
            engine_visual_setup(&sight->vision, &settings, text, &wanted);
        engine_entry(&source, evidence, sight ? engine_visual_exact(evidence, &wanted) : engine_visual_latest(evidence),
                     out);
        out->fresh = fresh;
        out->encoded = sight ? sight->vision.encoded : 0;
        out->device_bytes = sight && sight->device ? (int64_t)sight->device->peak : 0;
        memory_evidence_close(evidence);
    }
fail:
    pr_model_close(sight);
    memory_library_close(library);
    return err;
}

int pr_list(const struct pr_settings *given, struct pr_entry **list, size_t *n)
{
    int err;
    struct pr_settings settings;
    struct library *library = NULL;
    struct library_source *sources = NULL;
    *list = NULL;
    *n = 0;
    TRY(engine_settings(given, &settings));
    TRY(engine_library_open(&settings, &library));
    TRY(memory_library_list(library, &sources, n));
    *list = base_alloc_array(*n, sizeof **list);
    for (size_t i = 0; i < *n; i++) {
        struct evidence *evidence = NULL;
        memory_library_evidence(library, &sources[i], &evidence); /* nothing read yet: an entry without figures */
        engine_entry(&sources[i], evidence, evidence ? engine_visual_latest(evidence) : NULL, &(*list)[i]);
        memory_evidence_close(evidence);
    }
fail:
    base_free(sources);
    memory_library_close(library);
    return err < 0 ? err : PR_OK;
}

int pr_remove(const struct pr_settings *given, const char *name)
{
    int err;
    struct pr_settings settings;
    struct library *library = NULL;
    struct library_source source;
    TRY(engine_settings(given, &settings));
    TRY(engine_library_open(&settings, &library));
    TRY(memory_library_find(library, name, &source));
    TRY(memory_library_remove(library, &source));
fail:
    memory_library_close(library);
    return err;
}

/* ---- show --------------------------------------------------------------------------------------------------------- */

static enum pr_segment_kind kind_of(enum evidence_kind kind)
{
    return kind == EVIDENCE_FRAMES    ? PR_SEGMENT_FRAMES
           : kind == EVIDENCE_PAGE    ? PR_SEGMENT_PAGE
           : kind == EVIDENCE_OUTLINE ? PR_SEGMENT_OUTLINE
           : kind == EVIDENCE_NOTE    ? PR_SEGMENT_NOTE
                                      : PR_SEGMENT_TEXT;
}

static bool tell_segment(const struct evidence_segment *segment, pr_segment_fn fn, void *user)
{
    return fn(user, &(struct pr_segment){
                        .kind = kind_of(segment->kind),
                        .span = {0, segment->page, segment->t0, segment->t1, {0}},
                        .label = segment->label,
                        .stream = segment->stream,
                        .lines = (int64_t)segment->n_lines,
                        .tokens = segment->n_tokens,
                        .raw = segment->n_raw,
                        .frames = segment->n_frames,
                        .text = segment->n_lines ? segment->lines[0].text : "",
                        .visual_only = segment->flags & EVIDENCE_VISUAL_ONLY,
                    });
}

/* Reads all that the log holds, so that its damage is known; tells of what the current reader and model made. */
static void show(const struct evidence *evidence, pr_segment_fn fn, void *user, struct pr_entry *out)
{
    const struct evidence_setup *text = memory_evidence_setup(evidence, EVIDENCE_TEXT),
                                *visual = engine_visual_latest(evidence);
    bool go_on = fn != NULL;
    out->segments = out->tokens = 0;
    for (size_t i = 0; i < memory_evidence_count(evidence); i++) {
        uint64_t setup = memory_evidence_setup_of(evidence, i);
        bool current = (text && setup == text->number) || (visual && setup == visual->number);
        struct evidence_segment segment;
        out->segments += current;
        if (memory_evidence_read(evidence, i, &segment) < 0) {
            out->damaged++;
            if (current && go_on)
                go_on = fn(user, &(struct pr_segment){.text = "", .label = "", .stream = -1, .damaged = true});
            continue;
        }
        if (current) {
            out->lines += (int64_t)segment.n_lines;
            out->tokens += segment.n_tokens;
            out->raw += segment.n_raw;
            out->frames += segment.n_frames;
            go_on = go_on && tell_segment(&segment, fn, user);
        }
        memory_evidence_release(&segment);
    }
}

int pr_show(const struct pr_settings *given, const char *name, pr_segment_fn fn, void *user, struct pr_entry *out)
{
    int err;
    struct pr_settings settings;
    struct library *library = NULL;
    struct library_source source;
    struct evidence *evidence = NULL;
    TRY(engine_settings(given, &settings));
    TRY(engine_library_open(&settings, &library));
    TRY(memory_library_find(library, name, &source));
    err = memory_library_evidence(library, &source, &evidence);
    if (err < 0 && err != PR_ERR_NOT_FOUND)
        goto fail;
    err = PR_OK;
    engine_entry(&source, evidence, evidence ? engine_visual_latest(evidence) : NULL, out);
    if (evidence)
        show(evidence, fn, user, out);
fail:
    memory_evidence_close(evidence);
    memory_library_close(library);
    return err;
}
