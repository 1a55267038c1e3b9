/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Adding a source: its text becomes segments of its evidence log, committed in batches, so that it can be stopped and killed at any
 * moment and goes on behind the last commit. Units come in the same order each time; their count says where. Its pictures come
 * afterwards (add_visual.c).
 */
#include "engine/add.h"

#include "base/file.h"
#include "base/mem.h"
#include "engine/clock.h"
#include "engine/visual.h"
#include "ingest/beside.h"
#include "ingest/source.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What the text of a source depends on besides its bytes: change it when readers give other lines for the same file. */
static const char text_version[] = "text 3";

enum { MAX_GROUPS = 64, GROUP_LINES = 256, BATCH_BYTES = 4 << 20 };
static const int64_t GROUP_TIME = 300000000; /* microseconds of timed text in one segment */
static const double BATCH_SECONDS = 1;

/* The segment of a text track that is being filled. */
struct group {
    int32_t stream;
    struct evidence_line *lines; /* [GROUP_LINES]; their texts are copies */
    size_t n;
};

struct adding {
    struct add_job job;
    struct evidence_writer *writer;
    struct evidence_progress progress;
    struct group groups[MAX_GROUPS];
    size_t n_groups;
    double committed;
    bool restarted; /* the log was damaged, and put aside */
};

/* ---- progress ----------------------------------------------------------------------------------------------------- */

void engine_add_tell(struct add_job *job, enum pr_adding what, int64_t done, int64_t total)
{
    double now = engine_now();
    if (!job->fn || now - job->told < 0.1)
        return;
    job->told = now;
    double share =
        total > job->first_position ? (double)(done - job->first_position) / (double)(total - job->first_position) : 0;
    job->fn(job->user, &(struct pr_progress){job->path, what, done, total, engine_seconds_left(job->started, share)});
}

static void on_hash(void *user, int64_t done, int64_t total)
{
    engine_add_tell(user, PR_ADDING_HASH, done, total);
}

/* ---- units to segments -------------------------------------------------------------------------------------------- */

static int flush_group(struct adding *a, struct group *group)
{
    if (group->n == 0)
        return PR_OK;
    struct evidence_segment segment = {.kind = EVIDENCE_TIMED_TEXT,
                                       .page = PR_PAGE_NONE,
                                       .stream = group->stream,
                                       .label = "",
                                       .lines = group->lines,
                                       .n_lines = group->n,
                                       .t0 = group->lines[0].t0,
                                       .t1 = group->lines[0].t1};
    for (size_t i = 1; i < group->n; i++) {
        segment.t0 = group->lines[i].t0 < segment.t0 ? group->lines[i].t0 : segment.t0;
        segment.t1 = group->lines[i].t1 > segment.t1 ? group->lines[i].t1 : segment.t1;
    }
    int err = memory_evidence_put_segment(a->writer, &segment);
    for (size_t i = 0; i < group->n; i++)
        base_free((void *)(uintptr_t)group->lines[i].text);
    group->n = 0;
    return err;
}

static struct group *group_of(struct adding *a, int32_t stream)
{
    for (size_t i = 0; i < a->n_groups; i++)
        if (a->groups[i].stream == stream)
            return &a->groups[i];
    if (a->n_groups == MAX_GROUPS)
        return NULL;
    struct group *group = &a->groups[a->n_groups++];
    group->stream = stream;
    group->lines = base_alloc_array(GROUP_LINES, sizeof *group->lines);
    return group;
}

static int put_timed_text(struct adding *a, const struct pr_unit *unit)
{
    int err;
    struct group *group = group_of(a, unit->stream);
    for (size_t i = 0; group && i < unit->n_lines; i++) {
        if (group->n == GROUP_LINES || (group->n > 0 && unit->span.t0 - group->lines[0].t0 > GROUP_TIME))
            TRY(flush_group(a, group));
        group->lines[group->n++] = (struct evidence_line){unit->span.t0,
                                                          unit->span.t1,
                                                          unit->lines[i].box,
                                                          PR_PAGE_NONE,
                                                          (uint32_t)strlen(unit->lines[i].text),
                                                          base_strdup(unit->lines[i].text)};
    }
    return PR_OK;
fail:
    return err;
}

/* A page is a segment; one with too many lines, several. */
static int put_page(struct adding *a, const struct pr_unit *unit)
{
    int err = PR_OK;
    size_t first = 0;
    do {
        size_t n = unit->n_lines - first < EVIDENCE_MAX_LINES ? unit->n_lines - first : EVIDENCE_MAX_LINES;
        struct evidence_line *lines = base_alloc_array(n, sizeof *lines);
        for (size_t i = 0; i < n; i++) {
            const struct pr_line *line = &unit->lines[first + i];
            lines[i] = (struct evidence_line){
                PR_TIME_NONE, PR_TIME_NONE, line->box, unit->span.page, (uint32_t)strlen(line->text), line->text};
        }
        struct evidence_segment segment = {
            .kind = EVIDENCE_PAGE,
            .flags = (unit->visual_only ? EVIDENCE_VISUAL_ONLY : 0) | (unit->partial ? EVIDENCE_PARTIAL : 0),
            .t0 = PR_TIME_NONE,
            .t1 = PR_TIME_NONE,
            .page = unit->span.page,
            .stream = -1,
            .width = unit->width,
            .height = unit->height,
            .label = unit->label ? unit->label : "",
            .lines = lines,
            .n_lines = n,
        };
        err = memory_evidence_put_segment(a->writer, &segment);
        base_free(lines);
        first += n;
    } while (err >= 0 && first < unit->n_lines);
    a->progress.pages++;
    a->progress.without_text += unit->n_lines == 0;
    return err;
}

/* Chapters, or a document's outline. */
static int put_marks(struct adding *a, const struct pr_source_info *info)
{
    size_t n = info->n_marks < EVIDENCE_MAX_LINES ? info->n_marks : EVIDENCE_MAX_LINES;
    if (n == 0)
        return PR_OK;
    struct evidence_line *lines = base_alloc_array(n, sizeof *lines);
    for (size_t i = 0; i < n; i++) {
        const struct pr_mark *mark = &info->marks[i];
        bool timed = mark->span.t0 != PR_TIME_NONE && mark->span.t1 >= mark->span.t0;
        lines[i] = (struct evidence_line){timed ? mark->span.t0 : PR_TIME_NONE,
                                          timed ? mark->span.t1 : PR_TIME_NONE,
                                          mark->span.box,
                                          mark->span.page,
                                          (uint32_t)strlen(mark->title),
                                          mark->title};
    }
    struct evidence_segment segment = {.kind = EVIDENCE_OUTLINE,
                                       .t0 = lines[0].t0,
                                       .t1 = lines[n - 1].t1,
                                       .page = PR_PAGE_NONE,
                                       .stream = -1,
                                       .label = "",
                                       .lines = lines,
                                       .n_lines = n};
    if (segment.t0 == PR_TIME_NONE || segment.t1 < segment.t0)
        segment.t0 = segment.t1 = PR_TIME_NONE;
    int err = memory_evidence_put_segment(a->writer, &segment);
    base_free(lines);
    return err;
}

static int commit(struct adding *a)
{
    int err = PR_OK;
    for (size_t i = 0; i < a->n_groups; i++)
        TRY(flush_group(a, &a->groups[i]));
    int64_t bytes = (int64_t)memory_evidence_pending(a->writer);
    if (bytes > a->job.disk_left)
        return base_fail(PR_ERR_NOMEM,
                         "%s: the library holds as much as --disk %lld allows; remove something with pagereel rm",
                         a->job.path, (long long)a->job.settings->disk);
    a->job.disk_left -= bytes;
    TRY(memory_evidence_commit(a->writer, &a->progress));
    a->committed = engine_now();
fail:
    return err;
}

/* ---- a whole source ------------------------------------------------------------------------------------------------ */

static int read_units(struct adding *a, struct ingest_source *file, uint64_t skip)
{
    int err;
    const struct pr_source_info *info = ingest_info(file);
    int64_t total = info->n_pages > 0 ? info->n_pages : info->duration != PR_TIME_NONE ? info->duration : 0;
    struct pr_unit unit;
    a->job.first_position = ingest_position(file);
    a->job.started = a->committed = engine_now();
    while ((err = ingest_next(file, &unit)) != PR_EOF) {
        if (base_cancelled(a->job.cancel))
            err = base_fail(PR_ERR_CANCELLED, "interrupted");
        if (err < 0 && !engine_is_final(err))
            return err;
        if (skip > 0) {
            skip--;
            continue;
        }
        if (err < 0) {
            a->progress.failed++;
            a->progress.pages += info->duration == PR_TIME_NONE;
        } else if (unit.kind == PR_UNIT_PAGE || (unit.kind == PR_UNIT_FRAME && unit.span.page != PR_PAGE_NONE)) {
            TRY(put_page(a, &unit));
        } else if (unit.kind == PR_UNIT_TEXT) {
            TRY(put_timed_text(a, &unit));
        }
        a->progress.units++;
        engine_add_tell(&a->job, PR_ADDING_TEXT, ingest_position(file), total);
        if (memory_evidence_pending(a->writer) > BATCH_BYTES || engine_now() - a->committed > BATCH_SECONDS)
            TRY(commit(a));
    }
    a->progress.complete = 1;
    return PR_OK;
fail:
    return err;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Hashes the subtitles beside a film; returns how many there are. */
static size_t hash_side_files(const char *path, struct base_hash *hash)
{
    char *names[INGEST_MAX_SIDE_FILES];
    size_t n = 0;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t stem = ingest_stem(name);
    struct base_buf folder = {0};
    base_buf_printf(&folder, "%.*s", slash ? (int)(slash - path) + 1 : 2, slash ? path : "./");
    DIR *dir = opendir(folder.data);
    for (struct dirent *entry; dir && n < INGEST_MAX_SIDE_FILES && (entry = readdir(dir));)
        if (strcmp(entry->d_name, name) && ingest_is_side_file(entry->d_name, name, stem))
            names[n++] = base_strdup(entry->d_name);
    if (dir)
        closedir(dir);
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        struct base_buf file = {0}, bytes = {0};
        struct stat st;
        base_buf_printf(&file, "%s%s", folder.data, names[i]);
        if (stat(file.data, &st) == 0 && S_ISREG(st.st_mode) &&
            base_file_read(file.data, INGEST_MAX_SIDE_BYTES, &bytes) >= 0) {
            base_hash_update(hash, names[i] + stem, strlen(names[i] + stem) + 1);
            base_hash_update(hash, &bytes.len, sizeof bytes.len);
            base_hash_update(hash, bytes.data, bytes.len);
        }
        base_buf_finish(&file);
        base_buf_finish(&bytes);
        base_free(names[i]);
    }
    base_buf_finish(&folder);
    return n;
}

/* Of what the text of a file depends on; returns how many files beside it that are. */
static size_t text_fingerprint(const char *path, unsigned char out[BASE_HASH_BYTES])
{
    struct base_hash hash;
    base_hash_init(&hash);
    base_hash_update(&hash, text_version, sizeof text_version);
    size_t n = hash_side_files(path, &hash);
    base_hash_final(&hash, out);
    return n;
}

/* What a model wrote while it read the source costs hours: notes that are whole in a log that was put aside are taken over. */
static int keep_notes(struct adding *a, const struct library_source *source)
{
    int err = PR_OK;
    struct evidence *aside;
    struct evidence_segment segment;
    if (memory_library_aside(a->job.library, source, &aside) < 0)
        return PR_OK;
    for (size_t i = 0; i < memory_evidence_count(aside) && err >= 0; i++) {
        if (memory_evidence_read(aside, i, &segment) < 0)
            continue;
        if (segment.kind == EVIDENCE_NOTE)
            err = memory_evidence_put_segment(a->writer, &segment);
        memory_evidence_release(&segment);
    }
    memory_evidence_close(aside);
    return err;
}

static int begin(struct adding *a, const struct pr_source_info *info)
{
    int err;
    struct evidence_info kept = {a->job.path,   info->kind,  info->format,  info->title,
                                 info->n_pages, info->start, info->duration};
    struct evidence_setup setup = {.made = EVIDENCE_TEXT, .text = text_version};
    text_fingerprint(a->job.path, setup.fingerprint);
    TRY(memory_evidence_put_info(a->writer, &kept));
    TRY(memory_evidence_put_setup(a->writer, &setup));
    TRY(put_marks(a, info));
    a->progress.failed += info->partial; /* what is missing */
fail:
    return err;
}

/* Whether the log has what reading would give. Subtitles that lay beside the film and don't any more (it was moved, or deleted)
 * remain part of it. */
static bool is_read(const struct adding *a, const struct evidence *evidence)
{
    unsigned char fingerprint[BASE_HASH_BYTES];
    const struct evidence_setup *setup = memory_evidence_setup(evidence, EVIDENCE_TEXT);
    if (!setup)
        return false;
    if (text_fingerprint(a->job.path, fingerprint) == 0)
        return !strcmp(setup->text, text_version);
    return !memcmp(setup->fingerprint, fingerprint, sizeof fingerprint);
}

/* Reads what the log doesn't hold yet. */
static int read_source(struct adding *a, const struct library_source *source, const struct evidence *evidence)
{
    int err;
    struct ingest_source *file = NULL;
    bool goes_on = evidence && is_read(a, evidence);
    struct ingest_options options = ingest_options_default();
    uint64_t skip = 0;
    options.max_pixels = 0;
    options.sampling = INGEST_NONE;
    options.password = a->job.settings->password[0] ? a->job.settings->password : NULL;
    options.cancel = a->job.cancel;
    if (goes_on) {
        a->progress = memory_evidence_progress(evidence);
        if (memory_evidence_info(evidence)->n_pages > 0)
            options.first_page = (int32_t)a->progress.units;
        else
            skip = a->progress.units;
    }
    TRY(ingest_open(a->job.path, &options, &file));
    TRY(memory_library_writer(a->job.library, source, NULL, &a->writer));
    if (!goes_on)
        TRY(begin(a, ingest_info(file)));
    if (a->restarted)
        TRY(keep_notes(a, source));
    err = read_units(a, file, skip);
    /* Whatever stopped it: what was read until then stays. */
    char reason[1024];
    snprintf(reason, sizeof reason, "%s", pr_error_message());
    int result = commit(a);
    if (err < 0)
        base_fail(err, "%s", reason);
    else
        err = result;
fail:
    ingest_close(file);
    memory_evidence_writer_close(a->writer);
    a->writer = NULL;
    return err;
}

static int disk_left(struct adding *a)
{
    struct library_source *list;
    size_t n;
    a->job.disk_left = INT64_MAX;
    if (a->job.settings->disk == 0)
        return PR_OK;
    int err = memory_library_list(a->job.library, &list, &n);
    if (err < 0)
        return err;
    a->job.disk_left = a->job.settings->disk;
    for (size_t i = 0; i < n; i++) {
        struct evidence *evidence;
        if (memory_library_evidence(a->job.library, &list[i], &evidence) < 0)
            continue;
        a->job.disk_left -= (int64_t)memory_evidence_bytes(evidence);
        memory_evidence_close(evidence);
    }
    base_free(list);
    return PR_OK;
}

/* Its pictures, as far as they weren't looked at. */
static int look(struct adding *a, const struct library_source *source, bool *fresh)
{
    struct evidence *evidence;
    int err = memory_library_evidence(a->job.library, source, &evidence);
    if (err < 0)
        return err;
    bool seen = engine_is_seen(&a->job, evidence);
    memory_evidence_close(evidence);
    if (seen)
        return PR_OK;
    if (!*fresh)
        TRY(disk_left(a));
    *fresh = true;
    err = engine_look(&a->job, source);
fail:
    return err;
}

/* The file is gone: what the log has is all there is. */
static int check_gone(const struct adding *a, const struct evidence *evidence, bool complete)
{
    if (!complete)
        return base_fail(PR_ERR_IO, "%s: isn't there any more, and was not read to its end", a->job.path);
    if (!a->job.model || engine_is_seen(&a->job, evidence))
        return PR_OK;
    const struct evidence_setup *other = engine_visual_latest(evidence);
    if (!other)
        return base_fail(PR_ERR_IO, "%s: isn't there any more, and its pictures were never looked at", a->job.path);
    unsigned char encoder[ENGINE_ENCODER_BYTES];
    engine_encoder_identity(&a->job.model->vision, encoder);
    const struct evidence_setup *same = engine_visual_find(evidence, encoder);
    return base_fail(
        PR_ERR_IO,
        same ? "%s: isn't there any more, and its pictures were looked at otherwise or not to their end: %s"
             : "%s: isn't there any more, and its pictures were looked at by another model, whose tokens are "
               "of no use to this one: %s",
        a->job.path, same ? same->text : other->text);
}

/* Opening shows what is wrong with headers; bodies are read before a file is called known, but not before an answer. */
static bool is_damaged(const struct adding *a, const struct evidence *evidence)
{
    return evidence && (memory_evidence_damage(evidence) > 0 || (!a->job.any && memory_evidence_check(evidence) > 0));
}

static int add(struct adding *a, struct library_source *source, bool *fresh)
{
    int err;
    struct evidence *evidence = NULL;
    a->job.started = engine_now();
    TRY(memory_library_identify(a->job.library, a->job.path, on_hash, &a->job, a->job.cancel, source));
    err = memory_library_evidence(a->job.library, source, &evidence);
    if (err < 0 && err != PR_ERR_NOT_FOUND)
        goto fail;
    bool complete = evidence && is_read(a, evidence) && memory_evidence_progress(evidence).complete;
    bool damaged = is_damaged(a, evidence);
    if (source->state == LIBRARY_GONE) {
        err = check_gone(a, evidence, complete);
    } else if (!complete || damaged) {
        TRY(disk_left(a));
        if (damaged) {
            memory_evidence_close(evidence);
            evidence = NULL;
            TRY(memory_library_restart(a->job.library, source));
            a->restarted = true;
        }
        *fresh = true;
        err = read_source(a, source, evidence);
    } else {
        err = PR_OK;
    }
    if (err >= 0 && a->job.model && source->state != LIBRARY_GONE)
        err = look(a, source, fresh);
    char reason[1024];
    snprintf(reason, sizeof reason, "%s", pr_error_message());
    memory_evidence_close(evidence);
    evidence = NULL;
    int result = memory_library_evidence(a->job.library, source, &evidence);
    if (result >= 0)
        result = memory_library_index(a->job.library, source, evidence);
    if (err < 0)
        base_fail(err, "%s", reason);
    else
        err = result;
fail:
    memory_evidence_close(evidence);
    return err;
}

int engine_add(struct library *library, const struct pr_settings *settings, struct pr_model *model, bool any,
               const char *path, pr_progress_fn fn, void *user, const struct base_cancel *cancel,
               struct library_source *source, bool *fresh)
{
    struct adding a = {.job = {.library = library,
                               .settings = settings,
                               .model = model,
                               .any = any,
                               .path = path,
                               .fn = fn,
                               .user = user,
                               .cancel = cancel}};
    *source = (struct library_source){0};
    *fresh = false;
    if (strcmp(path, "-") == 0)
        return base_fail(PR_ERR_INVALID,
                         "standard input can't be added, because what was added is opened again when it is asked; "
                         "write it to a file first, or look at it with pagereel inspect - or run --video -");
    int err = add(&a, source, fresh);
    for (size_t i = 0; i < a.n_groups; i++) {
        for (size_t j = 0; j < a.groups[i].n; j++)
            base_free((void *)(uintptr_t)a.groups[i].lines[j].text);
        base_free(a.groups[i].lines);
    }
    return err;
}
