/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Looking again: the library keeps a part of what was seen, without knowing the question; the source file still has all of it. The
 * places that fit a question best are opened there and encoded at full resolution. Which places these are is decided by recall today;
 * a model that asks for places itself would call the same function.
 */
#include "engine/ask.h"

#include "base/mem.h"

#include <string.h>

enum { LEAST = 16 /* visual tokens of a look */ };

static struct ask_entry *best_unseen(struct ask_set *set)
{
    struct ask_entry *best = NULL;
    for (size_t i = 0; i < set->n; i++) {
        struct ask_entry *entry = &set->entries[i];
        bool place = entry->t0 != PR_TIME_NONE || entry->page >= 0;
        if (!entry->gist && entry->what == ASK_PLAIN && place && !entry->looked &&
            (!best || entry->relevance > best->relevance))
            best = entry;
    }
    return best;
}

/* Whether the source's file is still what was added; of one that isn't no place is looked at. */
static bool is_there(struct asking *asking, const struct asked *asked)
{
    struct library_source now;
    bool found = memory_library_find(asking->library, asked->path, &now) >= 0 && now.state != LIBRARY_GONE;
    if (found && now.id == asked->source.id && now.state == LIBRARY_KNOWN)
        return true;
    engine_ask_note(asking, asked->path,
                    found ? "has changed since it was added, so it can't be looked at again"
                          : "the file isn't there any more, so it can't be looked at again");
    return false;
}

static void skip_source(struct ask_set *set, const struct asked *asked)
{
    for (size_t i = 0; i < set->n; i++)
        set->entries[i].looked |= set->entries[i].asked == asked;
}

static int look(struct asking *asking, struct ask_entry *entry, size_t tokens, struct pr_cancel *cancel)
{
    struct engine_medium medium = {0};
    struct engine_place place = {.at = PR_TIME_NONE, .page = entry->page};
    if (entry->t0 != PR_TIME_NONE)
        place.at = entry->focus != PR_TIME_NONE ? entry->focus : entry->t0 + (entry->t1 - entry->t0) / 2;
    entry->looked = true;
    int err = engine_look_again(&asking->model->vision, entry->asked->source.path, &place, (int32_t)tokens,
                                asking->settings->password, cancel, &medium);
    if (err < 0)
        return err;
    entry->looks = medium.runs;
    entry->n_looks = medium.n_runs;
    medium.runs = NULL;
    medium.n_runs = 0;
    entry->looked_at = place.at;
    for (size_t i = 0; i < entry->n_looks; i++)
        entry->look_tokens += entry->looks[i].text ? 0 : entry->looks[i].n;
    engine_medium_finish(&medium);
    return PR_OK;
}

int engine_ask_look(struct asking *asking, struct ask_set *set, int32_t n, size_t budget, struct pr_cancel *cancel)
{
    int err;
    struct ask_entry *entry;
    if (n <= 0)
        return PR_OK;
    if (!asking->vision) {
        engine_ask_note(asking, "", "the model has no vision part, so it can't look again");
        return PR_OK;
    }
    TRY(engine_need_vision(asking->model));
    size_t tokens = budget / (size_t)n > LEAST ? budget / (size_t)n : LEAST;
    for (int32_t done = 0; done < n && (entry = best_unseen(set));) {
        if (!is_there(asking, entry->asked)) {
            skip_source(set, entry->asked);
            continue;
        }
        err = look(asking, entry, tokens, cancel);
        if (err == PR_ERR_CANCELLED)
            return err;
        if (err < 0)
            engine_ask_note(asking, "", pr_error_message());
        else
            done++;
    }
    err = PR_OK;
fail:
    return err;
}
