/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The one option table, and settings as the engine reads them.
 */
#pragma once

#include "base/error.h"
#include "pagereel/model.h"

/* The caller's settings, checked by the table: *out gets what `given` sets (its first given->size bytes; NULL: nothing) over the
 * defaults, no text in it is NULL. PR_ERR_INVALID names the first field that is out of its range. */
int engine_settings(const struct pr_settings *given, struct pr_settings *out);
