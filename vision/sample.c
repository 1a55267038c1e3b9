/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "vision/sample.h"

#include <math.h>

static double clamp(double n, double least, double most)
{
    n = n < least ? least : n;
    return n > most ? most : n;
}

/* n places from first to last, both included, as numpy's linspace has them before it rounds. */
static double between(int64_t first, int64_t last, int32_t n, int32_t i)
{
    if (n > 1 && i == n - 1)
        return (double)last;
    return n > 1 ? i * ((double)(last - first) / (n - 1)) + (double)first : (double)first;
}

int32_t vision_idefics3_sample(const struct vision_family *f, int64_t total, double fps, int64_t *frames)
{
    double duration = (double)total / fps;
    int32_t n = (int32_t)clamp(nearbyint(f->fps * duration), 1, f->max_frames), kept = 0;
    int64_t first = 0, last = total - 1;
    if (duration - 2 > f->max_frames * f->fps) {
        first = (int64_t)fps;
        last = (int64_t)clamp((double)(int64_t)((double)total - fps), 0, (double)(total - 1));
    }
    if (first >= last) {
        first = 0;
        last = total - 1;
    }
    for (int32_t i = 0; i < n; i++) {
        int64_t frame = (int64_t)floor(between(first, last, n, i));
        if (kept == 0 || frame != frames[kept - 1])
            frames[kept++] = frame;
    }
    return kept;
}

int32_t vision_internvl_sample(const struct vision_family *f, int64_t total, double fps, int64_t *frames)
{
    double wanted = clamp(nearbyint((double)total / fps * f->fps), f->min_frames, f->max_frames);
    int32_t n = (int32_t)(wanted < (double)total ? wanted : (double)total);
    double step = (double)total / n;
    for (int32_t i = 0; i < n; i++)
        frames[i] = (int64_t)(float)(step / 2 + i * step);
    return n;
}

int32_t vision_qwen2vl_sample(const struct vision_family *f, int64_t total, double fps, int64_t *frames)
{
    int64_t most = (f->max_frames < total ? f->max_frames : total) / 2 * 2;
    double wanted = (double)total / fps * f->fps;
    wanted = wanted < f->min_frames ? f->min_frames : wanted;
    int32_t n = (int32_t)(wanted < (double)most ? wanted : (double)most) / 2 * 2;
    frames[0] = 0;
    if (n < 2)
        return 1; /* the processor refuses a film of one frame */
    double step = (double)total / n;
    for (int32_t i = 0; i < n; i++)
        frames[i] = (int64_t)(float)(i * step);
    return n;
}

int32_t vision_qwen3vl_sample(const struct vision_family *f, int64_t total, double fps, int64_t *frames)
{
    double wanted = floor((double)total / fps * f->fps);
    wanted = wanted < f->min_frames ? f->min_frames : wanted;
    wanted = wanted > f->max_frames ? f->max_frames : wanted;
    int32_t n = (int32_t)(wanted > (double)total ? (double)total : wanted);
    for (int32_t i = 0; i < n; i++)
        frames[i] = (int64_t)nearbyint(between(0, total - 1, n, i));
    return n;
}
