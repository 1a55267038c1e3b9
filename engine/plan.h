/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The part of pr_plan() that needs the whole model.
 */
#pragma once

#include "memory/library.h"
#include "pagereel/pagereel.h"

/* Bytes that come on top of what is counted: while a file is added (logs, the index of text), and later (lists). */
enum { ENGINE_PLAN_ADDING = 10 << 20, ENGINE_PLAN_ASKING = 8 << 20 };

/* The most resident bytes so far, of this process and `more` that it will take, or of a worker that has ended, whichever is more. */
int64_t engine_plan_most_resident(int64_t more);

/* Opens the settings' model, makes the keys of n sources of a library of trials as adding does, and fills out->ask_memory; brings
 * out->memory up to what was taken, and adds the model's to out->device_memory and to out->seconds what adding takes for keys. `base`: resident bytes of
 * the process with its device, before anything else was opened. */
int engine_plan_asking(const struct pr_settings *settings, struct library *library, const struct library_source *trials,
                       size_t n, int64_t base, struct pr_plan *out);
