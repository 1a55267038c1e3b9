/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the goldens of tests/golden/vision say about pixels, prompts and positions, for the test of each family. Everything fails
 * the test that runs.
 */
#pragma once

#include "vision/preprocess.h"

#include <cjson/cJSON.h>

/* Layout and pixels of the pictures of NAME.pixels.json: `set` puts the settings of a case into params. */
void rig_pixels(const char *name, struct vision_params *params,
                void (*set)(struct vision_params *params, const cJSON *settings));

/* Every case of NAME.json: pixels of its media, token ids of the prompt with the words of the layouts in it, positions. Where the text of the
 * prompt says image_mark or video_mark, the next medium stands; its visual tokens have the ids of image_pad and video_pad. */
struct rig_marks {
    const char *image_mark, *image_pad, *video_mark, *video_pad;
};
void rig_prompts(const char *name, const struct vision_params *params, const struct rig_marks *marks);
