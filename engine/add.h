/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the two passes over a source share: add.c reads its text, add_visual.c looks at its pictures.
 */
#pragma once

#include "engine/library.h"
#include "engine/model.h"

struct add_job {
    struct library *library;
    const struct pr_settings *settings;
    struct pr_model *model; /* whose vision part looks; it was peeked at. NULL: text only */
    bool any;               /* what was seen with other settings will do */
    const char *path;
    pr_progress_fn fn;
    void *user;
    const struct base_cancel *cancel;
    /* For measuring: only what is shown in [from, to), or the pages from..to-1; both 0: all. */
    int64_t from, to;
    double started, told;
    int64_t first_position; /* that this run began at */
    int64_t disk_left;      /* bytes; INT64_MAX: no limit */
    bool library_paged;     /* for measuring: from and to are pages */
};

/* Tells the caller how far it is, ten times a second at the most. */
void engine_add_tell(struct add_job *job, enum pr_adding what, int64_t done, int64_t total);

/* A failure of which another try would say the same: the unit, or the rest of the source, can't be read. */
static inline bool engine_is_final(int err)
{
    return err == PR_ERR_FORMAT || err == PR_ERR_UNSUPPORTED;
}

/* Whether the log has all that looking would give. */
bool engine_is_seen(const struct add_job *job, const struct evidence *evidence);
/* Looks at what the log doesn't hold yet, under the job's vision and settings. What was finished until a failure stays. */
int engine_look(struct add_job *job, const struct library_source *source);
/* Bytes that looking at a film may take more than a short look has taken, in which the longest segment had `steps` steps of `bytes` bytes of
 * tokens together. */
int64_t engine_look_memory(int64_t bytes, int64_t steps);
