/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Qwen2-VL and Qwen2.5-VL. A video is one run of pairs of frames; Qwen2-VL counts pairs in time, Qwen2.5-VL half seconds.
 */
#include "vision/preprocess_qwen.h"

enum { TOKENS_PER_SECOND = 2 }; /* tokens_per_second in the models' config.json; files don't say */

int vision_qwen2vl_layout(const struct vision_params *p, const struct vision_request *r, struct vision_layout *out)
{
    return r->medium == VISION_VIDEO ? vision_qwen_video_layout(p, r, 1, out) : vision_qwen_picture_layout(p, r, out);
}

/* Frames a second, as the processor computes them (VideoMetadata.sampled_fps): 0 where nothing is known. */
static double sampled_fps(const struct vision_request *r)
{
    if (r->fps > 0)
        return r->fps;
    if (r->duration > 0)
        return r->n_frames / ((double)r->duration / 1e6);
    int64_t length = r->n_frames > 1 ? r->times[r->n_frames - 1] - r->times[0] : 0;
    return length > 0 ? (r->n_frames - 1) / ((double)length / 1e6) : 0;
}

int vision_qwen25vl_layout(const struct vision_params *p, const struct vision_request *r, struct vision_layout *out)
{
    if (r->medium != VISION_VIDEO)
        return vision_qwen_picture_layout(p, r, out);
    double fps = sampled_fps(r);
    return vision_qwen_video_layout(p, r, fps > 0 ? TOKENS_PER_SECOND * (2 / fps) : 1, out);
}
