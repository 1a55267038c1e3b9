/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What thresholds of compression mean for one model's visual tokens. Projectors differ: in some all tokens point in nearly the same
 * direction, and a cosine of 0.8 says nothing; in some the same picture gives the same token twice only roughly. Both are measured on the
 * first minutes of film that a model sees: how like unrelated tokens are (different places of a frame), and how unlike the tokens of a
 * place that doesn't change (the nearest tenth, from step to step).
 */
#pragma once

#include "memory/compress.h"

enum { CALIBRATION_STEPS = 120 }; /* that are enough */

struct calibration {    /* zero-initialised is empty */
    uint32_t far[256];  /* cosines of unrelated tokens, from -1 to 1 */
    uint32_t near[256]; /* distances of one place's tokens, from 0 to 2 */
    int32_t steps;
};
/* Takes a step's tokens [n, columns]; `before`: those of the step before it, or NULL. */
void memory_calibrate(struct calibration *calibration, const float *rows, const float *before, int32_t n,
                      int32_t columns);

struct thresholds {
    float unrelated; /* the median cosine of unrelated tokens */
    float noise;     /* the distance of two views of the same */
};
struct thresholds memory_calibration_result(const struct calibration *calibration);
/* Reads them from a file, or writes them there, whole or not at all. False: there are none, or they can't be written: nothing depends on it. */
bool memory_thresholds_read(const char *path, struct thresholds *out);
bool memory_thresholds_write(const char *path, const struct thresholds *thresholds);
/* Sets link, anchor and same: 0.8 and 0.7 of the way from unrelated to equal, and a little more than the noise. */
void memory_thresholds_apply(const struct thresholds *thresholds, struct compress_options *options);
