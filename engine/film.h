/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which frames of a video a prompt shows.
 */
#pragma once

#include "ingest/source.h"
#include "pagereel/model.h"
#include "vision/family.h"

/* The frames that are looked at: what is on the screen at `wanted`; prompts say `times`. */
struct engine_film {
    int64_t *wanted, *times; /* [n] microseconds; wanted NULL: all units that options give, at these times */
    int32_t n;
    int64_t duration; /* of what is looked at; 0: unknown */
    double rate;      /* of the video's frames, which times are those of; 0: unknown */
    double fps;       /* of the sampled frames; 0: by their times */
    struct ingest_options options;
};

/* Chooses frames as the family's own preprocessing does, or as settings ask: frames, scenes, keys. `options` says which part of the file
 * at `path` is meant, `info` what it says of itself; where that isn't enough, the file is read once for the times of its frames. *out ends
 * with engine_film_finish(), on failure too. */
int engine_film_choose(struct engine_film *out, const char *path, const struct ingest_options *options,
                       const struct pr_source_info *info, const struct vision_family *family,
                       const struct pr_settings *settings);
void engine_film_finish(struct engine_film *film); /* takes a zeroed one */
