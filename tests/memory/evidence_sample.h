/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A log with everything in it, for tests: what segment `i` of it holds follows from `i`.
 */
#pragma once

#include "memory/evidence.h"

#include <stdio.h>

static const unsigned char sample_source[BASE_HASH_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9};

enum { SAMPLE_COLUMNS = 64, SAMPLE_TOKENS = 3, SAMPLE_LINES = 4 };

struct sample {
    char texts[SAMPLE_LINES][64];
    struct evidence_line lines[SAMPLE_LINES];
    uint16_t rows[SAMPLE_TOKENS * SAMPLE_COLUMNS];
    struct evidence_token tokens[SAMPLE_TOKENS];
    float mean[SAMPLE_COLUMNS];
    struct evidence_segment segment;
};

static inline void sample_text(struct sample *s, uint32_t i)
{
    *s = (struct sample){0};
    for (uint32_t k = 0; k < SAMPLE_LINES; k++) {
        int len = snprintf(s->texts[k], sizeof s->texts[k], "line %u of page %u, größer als 東京", k, i);
        s->lines[k] = (struct evidence_line){PR_TIME_NONE, PR_TIME_NONE,  {1, 2, 3 + (float)k, 4},
                                             (int32_t)i,   (uint32_t)len, s->texts[k]};
    }
    s->segment = (struct evidence_segment){.kind = EVIDENCE_PAGE,
                                           .t0 = PR_TIME_NONE,
                                           .t1 = PR_TIME_NONE,
                                           .page = (int32_t)i,
                                           .stream = -1,
                                           .width = 595,
                                           .height = 842,
                                           .label = "iv",
                                           .lines = s->lines,
                                           .n_lines = SAMPLE_LINES};
}

static inline void sample_frames(struct sample *s, uint32_t i)
{
    sample_text(s, i);
    for (uint32_t k = 0; k < SAMPLE_TOKENS; k++) { /* exact to the microsecond, however long a picture stays */
        int64_t t0 = (int64_t)i * 86400000001 + k;
        s->tokens[k] =
            (struct evidence_token){t0, t0 + 86399999999, (uint16_t)k, 0, (uint16_t)(k + 1), 300, -1, 2, 7, 0x3c00};
    }
    for (uint32_t k = 0; k < SAMPLE_TOKENS * SAMPLE_COLUMNS; k++)
        s->rows[k] = compute_f32_to_f16((float)k / 7 - (float)i);
    for (uint32_t k = 0; k < SAMPLE_COLUMNS; k++)
        s->mean[k] = (float)(k + i);
    s->segment.kind = EVIDENCE_FRAMES;
    s->segment.page = PR_PAGE_NONE;
    s->segment.t0 = s->tokens[0].t0;
    s->segment.t1 = s->tokens[SAMPLE_TOKENS - 1].t1;
    s->segment.n_tokens = SAMPLE_TOKENS;
    s->segment.n_raw = 100;
    s->segment.n_frames = 9;
    s->segment.grid_h = 16;
    s->segment.grid_w = 300;
    s->segment.ax = 2.5f;
    s->segment.rows = s->rows;
    s->segment.tokens = s->tokens;
    s->segment.mean = s->mean;
}

static const struct evidence_info sample_info = {"/films/a film.mkv", "video", "matroska", "A film", 0, 0, 7200000000};
static const struct evidence_setup sample_text_setup = {.made = EVIDENCE_TEXT, .fingerprint = {42}, .text = "text 1"};
static const struct evidence_setup sample_visual_setup = {.made = EVIDENCE_VISUAL,
                                                          .columns = SAMPLE_COLUMNS,
                                                          .row_type = TYPE_F16,
                                                          .fingerprint = {43},
                                                          .text = "model, 1 fps"};
