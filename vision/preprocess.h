/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From pictures to what an encoder sees, as the family's own processor (Hugging Face) does it; MODEL.md tells how.
 *
 * There are two steps. The layout follows from sizes alone: which crops there will be, how many visual tokens, and which words
 * stand around them. Filling makes the pixels of some crops when they are needed, so that memory doesn't grow with a video.
 */
#pragma once

#include "base/error.h"
#include "vision/family.h"
#include "vision/image.h"

enum { VISION_MAX_SIDE = 1 << 20, VISION_MAX_FRAMES = 1 << 20 };

enum vision_medium { VISION_IMAGE, VISION_VIDEO };

/* What is to be shown. */
struct vision_request {
    enum vision_medium medium;
    int32_t width, height; /* of the picture, of every frame; 1 or more */
    int32_t n_frames;      /* of a video, as sampled; a picture: 1 */
    const int64_t *times;  /* [n_frames] microseconds from the beginning of the video, ascending; a picture: NULL */
    double rate;           /* frames a second of the video itself, where times are those of its frames; 0: unknown */
    int64_t duration;      /* of the whole video in microseconds; 0: unknown */
    double fps;            /* of the sampled frames (Qwen2.5-VL's positions in time); 0: from times */
    int32_t max_tokens;    /* visual tokens at the most, a frame's in a video; 0: as the processor has it */
    bool whole;            /* one crop: not cut into tiles */
};

/* One run of the encoder: a picture, a tile of one, a frame or a pair of frames. */
struct vision_crop {
    int32_t image;              /* index of the (first) picture or frame that it is made of */
    int32_t width, height;      /* in pixels; multiples of patch * merge */
    int32_t rows, cols;         /* of its visual tokens */
    int32_t t;                  /* its position in time, from the beginning of its run (struct vision_piece) */
    int32_t tile_row, tile_col; /* from 0, of a tile; -1: the whole picture */
};

/* What stands in the prompt, in order: words of the family, which may hold control tokens, or the tokens of crops. */
struct vision_piece {
    char *text;            /* owned by the layout; NULL: crops */
    int32_t crop, n_crops; /* a run of crops that stand behind each other without words between */
};

struct vision_layout {
    const struct vision_params *params;
    struct vision_request request; /* times: not kept (NULL) */
    struct vision_crop *crops;     /* those of one image stand together, in the order of images */
    int32_t n_crops;
    struct vision_piece *pieces;
    int32_t n_pieces;
    int32_t tile_rows, tile_cols;          /* a picture that is cut into tiles: their grid; otherwise 0 */
    int32_t resized_width, resized_height; /* of the picture before it was cut; for fill() */
    int64_t n_tokens;                      /* of all crops */
};

/* On success the caller finishes *out; on failure it is finished already. `params` outlives it.
 * PR_ERR_INVALID: a picture that the family can't see (Qwen: more than 200 times as wide as high), or sides or frames beyond the limits
 * above; the message says why. */
int vision_layout_init(struct vision_layout *out, const struct vision_params *params,
                       const struct vision_request *request);
void vision_layout_finish(struct vision_layout *layout); /* takes a zeroed one */

/* Bytes of pixels that vision_fill() writes for crops first .. first + n - 1: the sum of n_frames * height * width * 3. */
size_t vision_fill_size(const struct vision_layout *layout, int32_t first, int32_t n);

/* Makes the pixels of crops first .. first + n - 1, which are all crops of some images: rgb [n_frames, height, width, 3] of each crop,
 * one behind the other, not yet normalised. images[i]: the picture or frame crops[first].image + i, of the size that was
 * requested; a crop of a pair reads two of them, an odd last frame is repeated. Thread-safe. PR_ERR_NOMEM.
 * Memory beside pictures and rgb: a few rows; idefics3 also up to two pictures of the size after resizing (24 MiB at 2048 x 2048), InternVL one. */
int vision_fill(const struct vision_layout *layout, int32_t first, int32_t n, const struct vision_image *images,
                uint8_t *rgb);

/* One frame of a video as it comes: rgb [height, width, 3], of the crop size that all have. A crop is n_frames of them, one behind the other; where
 * the last one of a pair doesn't come, the first one stands for it. Otherwise as vision_fill(). */
int vision_fill_frame(const struct vision_layout *layout, const struct vision_image *frame, uint8_t *rgb);
/* Bytes of its pixels. */
size_t vision_frame_size(const struct vision_layout *layout);

/* Used by the layouts of families. */
/* When frame i is shown. Of a known rate it is index / rate, as processors have it: microseconds, which are rounded, can fall on the other
 * side of a tie when a prompt says "<1.5 seconds>". */
double vision_seconds(const struct vision_request *request, int32_t i);
struct vision_crop *vision_add_crop(struct vision_layout *layout,
                                    const struct vision_crop *crop); /* counts its tokens */
void vision_add_words(struct vision_layout *layout, const char *format, ...) __attribute__((format(printf, 2, 3)));
void vision_add_run(struct vision_layout *layout, int32_t crop, int32_t n_crops);

/* For the fills of families: copies the tiles, row by row, out of a picture of resized_width x resized_height; returns where the next goes. */
uint8_t *vision_cut_tiles(const struct vision_layout *layout, const uint8_t *picture, uint8_t *rgb);

/* Positions of the tokens of a run [tokens, 4] = (t, row, col, 0), for families with grid_positions. *advance: how far the run moves the
 * position of what follows: one more than its largest position. */
void vision_positions(const struct vision_layout *layout, const struct vision_piece *run, int32_t *positions,
                      int32_t *advance);
/* Visual tokens of crops first .. first + n - 1. */
int64_t vision_tokens(const struct vision_layout *layout, int32_t first, int32_t n);

/* The rules of families: preprocess_NAME.c. layout() is vision_layout_init() with arguments checked; resize() makes one crop of a
 * picture or frame, cut() all tiles and the whole picture behind them. */
int vision_idefics3_layout(const struct vision_params *params, const struct vision_request *request,
                           struct vision_layout *out);
int vision_idefics3_resize(const struct vision_layout *layout, const struct vision_image *image, uint8_t *rgb);
int vision_idefics3_cut(const struct vision_layout *layout, const struct vision_image *image, uint8_t *rgb);
int vision_internvl_layout(const struct vision_params *params, const struct vision_request *request,
                           struct vision_layout *out);
int vision_internvl_resize(const struct vision_layout *layout, const struct vision_image *image, uint8_t *rgb);
int vision_internvl_cut(const struct vision_layout *layout, const struct vision_image *image, uint8_t *rgb);
int vision_qwen2vl_layout(const struct vision_params *params, const struct vision_request *request,
                          struct vision_layout *out);
int vision_qwen25vl_layout(const struct vision_params *params, const struct vision_request *request,
                           struct vision_layout *out);
int vision_qwen3vl_layout(const struct vision_params *params, const struct vision_request *request,
                          struct vision_layout *out);
int vision_qwen_resize(const struct vision_layout *layout, const struct vision_image *image, uint8_t *rgb);
