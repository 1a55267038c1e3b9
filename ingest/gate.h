/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which frames differ enough to be worth encoding, and where scenes begin.
 *
 * The gate compares a luma thumbnail with that of the last frame that it let through, never with the last one seen, so slow
 * change adds up and passes in the end. Thumbnails are up to 320 pixels wide: a changed word on a slide is larger than a block
 * of 8 x 8 there. Cuts compare colour histograms of neighbouring frames.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { GATE_WIDTH = 320, GATE_HEIGHT = 320, GATE_BINS = 64 };

/* Zero-initialised: no frame was seen. */
struct ingest_gate {
    uint8_t luma[GATE_WIDTH * GATE_HEIGHT]; /* of the last frame that passed */
    int32_t width, height;
    float histogram[GATE_BINS]; /* of the last frame seen: 4 x 4 x 4 bins of RGB, sums to 1 */
    float steps[120];           /* recent histogram distances, for the adaptive threshold of cuts */
    int32_t n_steps, at_step, since_cut;
};

struct ingest_gate_result {
    float difference; /* mean absolute luma difference from the last frame that passed, 0..1 */
    float block;      /* the largest mean difference of a block of 8 x 8, 0..1 */
    bool passed;      /* difference or block is above its threshold; the first frame always passes */
    bool cut;         /* the histogram jumps; the first frame of all is a cut, too */
};

/* rgb: [height, width, 3]. */
struct ingest_gate_result ingest_gate_look(struct ingest_gate *gate, const uint8_t *rgb, int32_t width, int32_t height);
