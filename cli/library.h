/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "pagereel/pagereel.h"

/* Shows progress on standard error when that is a terminal (a pr_progress_fn; `user` isn't used), and takes it away again. */
void cli_progress(void *user, const struct pr_progress *progress);
void cli_progress_end(void);
