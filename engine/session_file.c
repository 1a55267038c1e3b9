/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sessions in files (docs/FORMATS.md): the cache is llm/kv_file.c's, the rest is here.
 */
#include "engine/session.h"

#include "base/mem.h"

/* The session's own part of a file: flags, then the history. */
struct saved {
    uint32_t version, began, answer_open, reserved;
    uint64_t n_history;
};

int pr_session_save(struct pr_session *s, const char *path)
{
    int err;
    struct base_buf extra = {0};
    TRY(engine_session_read(s));
    struct saved saved = {.version = 1, .began = s->began, .answer_open = s->answer_open, .n_history = s->history.n};
    base_buf_append(&extra, &saved, sizeof saved);
    if (s->history.n)
        base_buf_append(&extra, s->history.ids, s->history.n * sizeof *s->history.ids);
    TRY(llm_sequence_save(s->sequence, path, engine_fingerprint(s->model), extra.data, extra.len));
    base_buf_finish(&extra);
    return PR_OK;
fail:
    base_buf_finish(&extra);
    return err;
}

static int check_saved(const struct pr_session *s, const char *path, const void *extra, size_t size, int64_t length)
{
    const struct saved *saved = extra;
    const int32_t *ids = (const int32_t *)(saved + 1);
    bool good = size >= sizeof *saved && saved->version == 1 && saved->began <= 1 && saved->answer_open <= 1 &&
                (size - sizeof *saved) % sizeof *ids == 0 && (size - sizeof *saved) / sizeof *ids == saved->n_history &&
                (int64_t)saved->n_history == length;
    for (size_t i = 0; good && i < saved->n_history; i++)
        good = ids[i] >= -1 && ids[i] < s->model->hp->n_vocab;
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
