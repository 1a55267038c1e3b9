/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the goldens of tests/golden/vision say about pixels, prompts and positions, for the test of each family. Everything fails
 * the test that runs.
 */
#pragma once

#include "vision/preprocess.h"

#include <cjson/cJSON.h>

/* The pixels of one or several layouts, one behind the other; base_free(rgb). */
struct rig_bytes {
    uint8_t *rgb;
    size_t size;
};
/* The layout of one of "images" (or of the cases of a pixels file, with max_tokens and whole), and of one of "films"; their pixels
 * are added to *p. */
void rig_picture(const cJSON *golden, const struct vision_params *params, struct vision_layout *layout,
                 struct rig_bytes *p);
void rig_film(const cJSON *film, const struct vision_params *params, struct vision_layout *layout, struct rig_bytes *p);

/* Layout and pixels of the pictures of NAME.pixels.json: `set` puts the settings of a case into params. */
void rig_pixels(const char *name, struct vision_params *params,
                void (*set)(struct vision_params *params, const cJSON *settings));

/* Every case of NAME.json: pixels of its media, token ids of the prompt with the words of the layouts in it, positions. Where the text of the
 * prompt says image_mark or video_mark, the next medium stands; its visual tokens have the ids of image_pad and video_pad. */
struct rig_marks {
    const char *image_mark, *image_pad, *video_mark, *video_pad;
};
void rig_prompts(const char *name, const struct vision_params *params, const struct rig_marks *marks);
