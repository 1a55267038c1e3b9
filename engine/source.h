/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include "ingest/source.h"
#include "pagereel/model.h"

/* What the settings ask of a source. Texts stay the settings'. PR_ERR_INVALID: a time or a page range can't be understood. */
int engine_source_options(const struct pr_settings *settings, struct pr_cancel *cancel, struct ingest_options *out);

/* The next unit with a picture. PR_EOF: there is none. */
int engine_source_picture(struct ingest_source *source, struct pr_unit *unit);
/* Fails with why options show no picture of the file at `path`. */
int engine_source_nothing(const char *path, const struct ingest_options *options);
