/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sessions in files (docs/FORMATS.md): the cache is llm/kv_file.c's, the rest is here.
 */
#include "engine/session.h"

#include "base/mem.h"

/* The session's own part of a file: flags, then the history, then where in it visual tokens are. */
struct saved {
    uint32_t version, began, answer_open, reserved;
    uint64_t n_history, n_runs;
};
struct saved_run {
    uint64_t first, n;
    int32_t frames, rows, cols, reserved;
};
enum { VERSION = 2 };

int pr_session_save(struct pr_session *s, const char *path)
{
    int err;
    struct base_buf extra = {0};
    TRY(engine_session_read(s));
    struct saved saved = {.version = VERSION,
                          .began = s->began,
                          .answer_open = s->answer_open,
                          .n_history = s->history.n,
                          .n_runs = s->n_runs};
    base_buf_append(&extra, &saved, sizeof saved);
    if (s->history.n)
        base_buf_append(&extra, s->history.ids, s->history.n * sizeof *s->history.ids);
    if (s->history.n % 2) /* runs begin at multiples of 8 bytes */
        base_buf_append(&extra, &(int32_t){0}, sizeof(int32_t));
    for (size_t i = 0; i < s->n_runs; i++) {
        const struct pr_visual_run *r = &s->runs[i];
        struct saved_run run = {r->first, r->n, r->frames, r->rows, r->cols, 0};
        base_buf_append(&extra, &run, sizeof run);
    }
    TRY(llm_sequence_save(s->sequence, path, engine_fingerprint(s->model), extra.data, extra.len));
    base_buf_finish(&extra);
    return PR_OK;
fail:
    base_buf_finish(&extra);
    return err;
}

/* Where the runs begin, behind the history. */
static size_t runs_at(const struct saved *saved)
{
    return sizeof *saved + (saved->n_history + saved->n_history % 2) * sizeof(int32_t);
}

static const struct saved_run *saved_runs(const struct saved *saved)
{
    return (const struct saved_run *)((const char *)saved + runs_at(saved));
}

static int check_saved(const struct pr_session *s, const char *path, const void *extra, size_t size, int64_t length)
{
    const struct saved *saved = extra;
    const int32_t *ids = (const int32_t *)(saved + 1);
    bool good = size >= sizeof *saved && saved->version == VERSION && saved->began <= 1 && saved->answer_open <= 1 &&
                (int64_t)saved->n_history == length && saved->n_history < (uint64_t)1 << 32 &&
                saved->n_runs <= saved->n_history && size == runs_at(saved) + saved->n_runs * sizeof(struct saved_run);
    for (size_t i = 0; good && i < saved->n_history; i++)
        good = ids[i] >= -1 && ids[i] < s->model->hp->n_vocab;
    for (size_t i = 0, end = 0; good && i < saved->n_runs; i++) {
        const struct saved_run *r = saved_runs(saved) + i;
        good = r->first >= end && r->n <= saved->n_history && r->first + r->n <= saved->n_history && r->frames >= 1 &&
               r->rows >= 1 && r->cols >= 1 && r->frames <= INT16_MAX && r->rows <= INT16_MAX && r->cols <= INT32_MAX &&
               r->n == (uint64_t)r->frames * (uint64_t)r->rows * (uint64_t)r->cols;
        end = (size_t)(r->first + r->n);
    }
    return good ? PR_OK : base_fail(PR_ERR_FORMAT, "%s: not a saved session, or damaged; make it again", path);
}

int pr_session_restore(struct pr_session *s, const char *path)
{
    int err;
    struct llm_sequence *sequence = NULL;
    void *extra = NULL;
    size_t size;
    if (s->history.n || s->n_messages)
        return base_fail(PR_ERR_INVALID, "%s: a session is restored into a new one", path);
    TRY(llm_sequence_restore(s->kv, path, engine_fingerprint(s->model), &sequence, &extra, &size));
    TRY(check_saved(s, path, extra, size, llm_sequence_length(sequence)));
    const struct llm_slide *slide = llm_sequence_slide(sequence), *own = llm_sequence_slide(s->sequence);
    if (slide->window != own->window || slide->sinks != own->sinks)
        TRY(base_fail(PR_ERR_INVALID, "%s: saved with --window %d --sinks %d; use these, or make it again", path,
                      slide->window, slide->sinks));
    const struct saved *saved = extra;
    engine_session_remember(s, (const int32_t *)(saved + 1), saved->n_history);
    s->runs = base_realloc(s->runs, (saved->n_runs + 1) * sizeof *s->runs);
    s->n_runs = s->cap_runs = saved->n_runs;
    for (size_t i = 0; i < s->n_runs; i++) {
        const struct saved_run *r = saved_runs(saved) + i;
        s->runs[i] = (struct pr_visual_run){r->first, r->n, r->frames, r->rows, r->cols, false};
    }
    s->began = saved->began;
    s->answer_open = saved->answer_open;
    llm_sequence_destroy(s->sequence);
    s->sequence = sequence;
    base_free(extra);
    return PR_OK;
fail:
    llm_sequence_destroy(sequence);
    base_free(extra);
    return err;
}
