/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The library as the engine uses it: opened where the settings say, filled from ingest.
 */
#pragma once

#include "base/cancel.h"
#include "memory/library.h"
#include "model/hparams.h"
#include "pagereel/pagereel.h"

/* Opens settings->library, by default $XDG_DATA_HOME/pagereel or ~/.local/share/pagereel. The caller owns *out. */
int engine_library_open(const struct pr_settings *settings, struct library **out);

/* Of the settings' model nothing but the vision part, peeked at; *out is NULL where there is none. `hp` lives as long as *out, which the
 * caller closes with pr_model_close(). */
int engine_open_sight(const struct pr_settings *settings, struct hparams *hp, struct pr_model **out);

/* Opens the model of the settings for engine_keys_of() (keys.h). */
int engine_keys_make(const struct pr_settings *settings, struct library *library, const struct library_source *source,
                     pr_progress_fn fn, void *user, struct pr_cancel *cancel);

/* What pr_add() does, in an open library; `model`: whose vision part looks at
 * pictures, peeked at or open (NULL: text only); `any`: unless they were looked at by it before, under whatever settings. On failure of the reading, what the library holds of the source can still be asked when
 * source->id isn't 0 and memory_library_evidence() finds something. *fresh: something was read. */
int engine_add(struct library *library, const struct pr_settings *settings, struct pr_model *model, bool any,
               const char *path, pr_progress_fn fn, void *user, const struct base_cancel *cancel,
               struct library_source *source, bool *fresh);

/* Fills an entry from the catalogue and the log (NULL: nothing was read yet). `visual`: the setup whose visual tokens are told of, or
 * NULL. */
void engine_entry(const struct library_source *source, const struct evidence *evidence,
                  const struct evidence_setup *visual, struct pr_entry *out);
