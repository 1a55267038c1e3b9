/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which frames of a video the processors of families take. The rules are those of their sample_frames(), arithmetic included, with the
 * family's own rate and limits (struct vision_family: fps, min_frames, max_frames).
 */
#pragma once

#include "vision/family.h"

/* Of `total` frames at `fps` frames a second: ascending indices in frames[family->max_frames]. Returns how many, 1 at least.
 * idefics3: evenly from end to end, a second off at both ends of a film that is longer than max_frames / fps; no frame twice. */
int32_t vision_idefics3_sample(const struct vision_family *family, int64_t total, double fps, int64_t *frames);
/* InternVL: the middles of equal parts; one a second, at least min_frames. */
int32_t vision_internvl_sample(const struct vision_family *family, int64_t total, double fps, int64_t *frames);
/* Qwen2-VL, Qwen2.5-VL: evenly from the first on, an even number. */
int32_t vision_qwen2vl_sample(const struct vision_family *family, int64_t total, double fps, int64_t *frames);
/* Qwen3-VL: evenly from end to end. */
int32_t vision_qwen3vl_sample(const struct vision_family *family, int64_t total, double fps, int64_t *frames);
