/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * HDR to the 8 bits of ordinary pictures: light by the curve of the film (PQ: SMPTE ST 2084; HLG: ITU-R BT.2100), colours from
 * BT.2020 to BT.709, bright parts compressed with Hable's curve, then the gamma of displays (BT.1886).
 */
#include "ingest/av.h"

#include <libavutil/mastering_display_metadata.h>
#include <math.h>

static const float white = 100;       /* cd/m^2: what stays white */
static const float usual_peak = 1000; /* cd/m^2: of films that don't tell theirs */
enum { CURVE = 4096 };                /* entries of the tables over 0..1 */

bool av_hdr_is(const AVFrame *frame)
{
    return frame->color_trc == AVCOL_TRC_SMPTE2084 || frame->color_trc == AVCOL_TRC_ARIB_STD_B67;
}

/* Light in units of `white`. */
static float pq_light(float signal)
{
    const float m1 = 0.1593017578125f, m2 = 78.84375f, c1 = 0.8359375f, c2 = 18.8515625f, c3 = 18.6875f;
    float p = powf(signal, 1 / m2);
    return powf(fmaxf(p - c1, 0) / (c2 - c3 * p), 1 / m1) * 10000 / white;
}

/* Of the scene, 0..1. */
static float hlg_light(float signal)
{
    const float a = 0.17883277f, b = 0.28466892f, c = 0.55991073f;
    return signal <= 0.5f ? signal * signal / 3 : (expf((signal - c) / a) + b) / 12;
}

static float hable(float x)
{
    return (x * (x * 0.15f + 0.05f) + 0.004f) / (x * (x * 0.15f + 0.5f) + 0.06f) - 0.02f / 0.3f;
}

/* The brightest light that the film says it has, in units of `white`. */
static float peak_light(const AVFrame *frame)
{
    const AVFrameSideData *content = av_frame_get_side_data(frame, AV_FRAME_DATA_CONTENT_LIGHT_LEVEL);
    const AVFrameSideData *mastering = av_frame_get_side_data(frame, AV_FRAME_DATA_MASTERING_DISPLAY_METADATA);
    float peak = 0;
    if (content)
        peak = (float)((const AVContentLightMetadata *)content->data)->MaxCLL;
    else if (mastering && ((const AVMasteringDisplayMetadata *)mastering->data)->has_luminance)
        peak = (float)av_q2d(((const AVMasteringDisplayMetadata *)mastering->data)->max_luminance);
    return (peak >= white && peak <= 10000 ? peak : usual_peak) / white;
}

static float bt709(const float rgb[3], int channel)
{
    static const float matrix[3][3] = {
        {1.660491f, -0.587641f, -0.072850f}, {-0.124550f, 1.132900f, -0.008349f}, {-0.018151f, -0.100579f, 1.118730f}};
    return fmaxf(matrix[channel][0] * rgb[0] + matrix[channel][1] * rgb[1] + matrix[channel][2] * rgb[2], 0);
}

void av_hdr_map(const AVFrame *frame, AVFrame *picture)
{
    bool hlg = frame->color_trc == AVCOL_TRC_ARIB_STD_B67;
    float light[CURVE], peak = hlg ? usual_peak / white : peak_light(frame), top = hable(peak);
    uint8_t gamma[CURVE];
    for (int i = 0; i < CURVE; i++) {
        float x = (float)i / (CURVE - 1);
        light[i] = hlg ? hlg_light(x) : pq_light(x);
        gamma[i] = (uint8_t)lrintf(255 * powf(x, 2 / 2.4f)); /* by the root of light: dark steps are small */
    }
    for (int y = 0; y < picture->height; y++) {
        uint8_t *row = picture->data[0] + (ptrdiff_t)y * picture->linesize[0];
        for (int x = 0; x < picture->width; x++) { /* three bytes are written where six were read: never ahead */
            uint16_t in[3];
            memcpy(in, row + 6 * (ptrdiff_t)x, sizeof in);
            float rgb[3], mapped[3], most = 1e-6f;
            for (int c = 0; c < 3; c++)
                rgb[c] = light[in[c] >> 4];
            if (hlg) { /* what a display of the usual peak makes of the scene's light */
                float luma = 0.2627f * rgb[0] + 0.6780f * rgb[1] + 0.0593f * rgb[2];
                for (int c = 0; c < 3; c++)
                    rgb[c] *= powf(luma, 0.2f) * usual_peak / white;
            }
            for (int c = 0; c < 3; c++) {
                mapped[c] = bt709(rgb, c);
                most = fmaxf(most, mapped[c]);
            }
            float factor = fminf(hable(most) / top, 1) / most;
            for (int c = 0; c < 3; c++)
                row[3 * (ptrdiff_t)x + c] = gamma[(int)(sqrtf(fminf(mapped[c] * factor, 1)) * (CURVE - 1) + 0.5f)];
        }
    }
}
