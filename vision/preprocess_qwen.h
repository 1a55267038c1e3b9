/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the Qwen vision-language models share: sizes that follow the picture (smart_resize), pairs of frames, patches side by side.
 * Each family's words and limits are in its own preprocess_NAME.c.
 */
#pragma once

#include "vision/preprocess.h"

/* Sides that are multiples of `unit` pixels with `frames` * width * height between the limits, about the aspect of width x height.
 * PR_ERR_INVALID: more than 200 times as long as wide. */
int vision_qwen_smart_resize(int32_t width, int32_t height, int32_t unit, int64_t min_pixels, int64_t max_pixels,
                             int32_t frames, int32_t *out_width, int32_t *out_height);

/* Takes rows or columns off a size until it has the tokens that were asked for at the most: the rule rounds up to its smallest size. */
void vision_qwen_keep_asked(const struct vision_request *request, int32_t unit, int32_t *width, int32_t *height);

/* The one crop of a picture, with <|vision_start|> and <|vision_end|> around it. */
int vision_qwen_picture_layout(const struct vision_params *params, const struct vision_request *request,
                               struct vision_layout *out);

/* A video's crops, a pair of frames each: the size of all frames from min_pixels and max_pixels of one frame (Qwen2-VL and Qwen2.5-VL). They are
 * one run; crop k stands at trunc(k * step) in time. */
int vision_qwen_video_layout(const struct vision_params *params, const struct vision_request *request, double step,
                             struct vision_layout *out);

/* Adds the crop of frames 2 * pair and 2 * pair + 1. */
void vision_qwen_add_pair(struct vision_layout *out, int32_t pair, int32_t t);
