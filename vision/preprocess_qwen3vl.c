/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Qwen3-VL: pictures as Qwen2-VL; in a video each pair of frames stands alone behind its time, "<1.5 seconds>".
 */
#include "vision/preprocess_qwen.h"

/* "size" in the models' video_preprocessor_config.json; the limits of a file are those of pictures. */
static const int64_t VIDEO_MIN_PIXELS = 4096, VIDEO_MAX_PIXELS = 25165824;
enum { MAX_TOKENS_PER_FRAME = 768 };

static int video_size(const struct vision_params *p, const struct vision_request *r, struct vision_layout *out)
{
    int32_t unit = p->patch * p->merge, n = r->n_frames < 2 ? 2 : r->n_frames, width = r->width, height = r->height;
    int32_t tokens = r->max_tokens > 0 && r->max_tokens < MAX_TOKENS_PER_FRAME ? r->max_tokens : MAX_TOKENS_PER_FRAME;
    int64_t most = (int64_t)tokens * unit * unit, least = (int64_t)((double)VIDEO_MIN_PIXELS * 1.05);
    most = VIDEO_MAX_PIXELS / n < most ? VIDEO_MAX_PIXELS / n : most;
    most = most < least ? least : most;
    if (height < unit || width < unit) { /* tiny frames grow first */
        double by_height = (double)unit / height, by_width = (double)unit / width,
               scale = by_height > by_width ? by_height : by_width;
        height = (int32_t)(height * scale);
        width = (int32_t)(width * scale);
    }
    int err = vision_qwen_smart_resize(width, height, unit, VIDEO_MIN_PIXELS, most * n, n, &out->resized_width,
                                       &out->resized_height);
    if (err == PR_OK)
        vision_qwen_keep_asked(r, unit, &out->resized_width, &out->resized_height);
    return err;
}

int vision_qwen3vl_layout(const struct vision_params *p, const struct vision_request *r, struct vision_layout *out)
{
    if (r->medium != VISION_VIDEO)
        return vision_qwen_picture_layout(p, r, out);
    int err = video_size(p, r, out);
    if (err < 0)
        return err;
    for (int32_t pair = 0; 2 * pair < r->n_frames; pair++) {
        int32_t second = 2 * pair + 1 < r->n_frames ? 2 * pair + 1 : 2 * pair;
        double seconds = (vision_seconds(r, 2 * pair) + vision_seconds(r, second)) / 2;
        vision_add_words(out, "<%.1f seconds><|vision_start|>", seconds);
        vision_qwen_add_pair(out, pair, 0);
        vision_add_run(out, pair, 1);
        vision_add_words(out, "<|vision_end|>");
    }
    return PR_OK;
}
