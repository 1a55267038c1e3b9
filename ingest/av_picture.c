/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One step of swscale takes a field of an interlaced frame, or the frame, to RGB(A) with square pixels; tone mapping of HDR and
 * turning upright follow on the small picture. (libavfilter does all of this, too, but brings thirty libraries along, which
 * take longer to load than the first frame to decode.)
 */
#include "ingest/av.h"

#include <libavutil/display.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Frames above this are refused: 60,000-pixel bombs are cheaper to name than to decode. */
static const int64_t max_frame_pixels = (int64_t)1 << 28;

/* Exif 2.32, 4.6.4 A, Orientation: which sides of the stored picture are top and left when it is shown. */
struct av_turn av_photo_turn(const AVFrame *frame)
{
    static const struct av_turn turns[] = {
        {false, 0},  {false, 0},  {true, 0},  {false, 180}, {true, 180},
        {true, 270}, {false, 90}, {true, 90}, {false, 270},
    };
    const AVDictionaryEntry *entry = av_dict_get(frame->metadata, "Orientation", NULL, 0);
    int orientation = 0;
    if (!entry || sscanf(entry->value, "%d", &orientation) != 1 || orientation < 1 || orientation > 8)
        return turns[0];
    return turns[orientation];
}

struct av_turn av_stream_turn(const AVStream *stream)
{
    const uint8_t *data = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, NULL);
    struct av_turn turn = {false, 0};
    int32_t matrix[9];
    if (!data)
        return turn;
    memcpy(matrix, data, sizeof matrix);
    turn.mirrored = (double)matrix[0] * matrix[4] < (double)matrix[1] * matrix[3];
    for (int i = 0; turn.mirrored && i < 2; i++) /* what is left of it when x is mirrored first */
        matrix[i] = -FFMAX(matrix[i], -INT32_MAX);
    double degrees = -av_display_rotation_get(matrix);
    if (!isnan(degrees))
        turn.degrees = (int)(lround(degrees / 90) * 90 % 360 + 360) % 360;
    return turn;
}

void av_shown_size(const AVFrame *frame, int degrees, int32_t *width, int32_t *height)
{
    double w = frame->width, h = frame->height;
    AVRational aspect = frame->sample_aspect_ratio;
    if (aspect.num > 0 && aspect.den > 0) {
        double ratio = av_q2d(aspect);
        if (ratio > 1 && ratio < 16)
            w *= ratio;
        else if (ratio < 1 && ratio > 1.0 / 16)
            h /= ratio;
    }
    bool turned = degrees % 180 != 0;
    *width = (int32_t)lround(turned ? h : w);
    *height = (int32_t)lround(turned ? w : h);
}

static bool same_form(const struct av_picture *p, const AVFrame *f)
{
    return p->scaler && p->width == f->width && p->height == f->height && p->format == f->format &&
           p->interlaced == f->interlaced_frame && p->color_trc == f->color_trc && p->color_space == f->colorspace &&
           p->color_range == f->color_range && av_cmp_q(p->aspect, f->sample_aspect_ratio) == 0;
}

static bool has_alpha(int format)
{
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(format);
    return d && (d->flags & (AV_PIX_FMT_FLAG_ALPHA | AV_PIX_FMT_FLAG_PAL));
}

/* The size of the picture before it is turned upright. */
static void scaled_size(const AVFrame *frame, int64_t max_pixels, int *width, int *height)
{
    int32_t w, h;
    av_shown_size(frame, 0, &w, &h);
    double shrink = (double)w * h > (double)max_pixels ? sqrt((double)max_pixels / ((double)w * h)) : 1;
    /* Of a ribbon neither side may vanish, and the picture stays one of at most max_pixels. */
    *width = (int)fmin(fmax(floor(w * shrink), 1), (double)max_pixels);
    *height = (int)fmin(fmax(floor(h * shrink), 1), (double)max_pixels);
}

/* The upper field has the odd line of an odd height. */
static int source_height(const AVFrame *frame)
{
    return !frame->interlaced_frame ? frame->height : (frame->height + frame->top_field_first) / 2;
}

static int set_colours(struct SwsContext *scaler, const AVFrame *frame)
{
    int *from, *to, from_full, to_full, brightness, contrast, saturation;
    int code = sws_getColorspaceDetails(scaler, &from, &from_full, &to, &to_full, &brightness, &contrast, &saturation);
    if (code < 0)
        return 0; /* RGB to RGB: there is nothing to set */
    from_full |= frame->color_range == AVCOL_RANGE_JPEG;
    sws_setColorspaceDetails(scaler, sws_getCoefficients(frame->colorspace), from_full, to, to_full, brightness,
                             contrast, saturation);
    return 0;
}

static int build(struct av_picture *p, const AVFrame *frame, int64_t max_pixels)
{
    sws_freeContext(p->scaler);
    p->scaler = sws_alloc_context();
    av_frame_free(&p->scaled);
    p->scaled = av_frame_alloc();
    if (!p->scaler || !p->scaled)
        return AVERROR(ENOMEM);
    scaled_size(frame, max_pixels, &p->scaled->width, &p->scaled->height);
    p->scaled->format = av_hdr_is(frame)           ? AV_PIX_FMT_RGB48
                        : has_alpha(frame->format) ? AV_PIX_FMT_RGBA
                                                   : AV_PIX_FMT_RGB24;
    const struct {
        const char *name;
        int64_t value;
    } options[] = {
        {"srcw", frame->width},
        {"srch", source_height(frame)},
        {"src_format", frame->format},
        {"dstw", p->scaled->width},
        {"dsth", p->scaled->height},
        {"dst_format", p->scaled->format},
        {"sws_flags", SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT},
    };
    int code = 0;
    for (size_t i = 0; i < sizeof options / sizeof *options && code >= 0; i++)
        code = av_opt_set_int(p->scaler, options[i].name, options[i].value, 0);
    if (code >= 0)
        code = sws_init_context(p->scaler, NULL, NULL);
    if (code >= 0)
        code = set_colours(p->scaler, frame);
    if (code >= 0)
        code = av_frame_get_buffer(p->scaled, 0);
    p->width = frame->width;
    p->height = frame->height;
    p->format = frame->format;
    p->interlaced = frame->interlaced_frame;
    p->color_trc = frame->color_trc;
    p->color_space = frame->colorspace;
    p->color_range = frame->color_range;
    p->aspect = frame->sample_aspect_ratio;
    return code;
}

static int scale(struct av_picture *p, const AVFrame *frame)
{
    const uint8_t *planes[4] = {0};
    int strides[4] = {0};
    bool paletted = av_pix_fmt_desc_get(frame->format)->flags & AV_PIX_FMT_FLAG_PAL;
    for (int i = 0; i < 4; i++) {
        planes[i] = frame->data[i];
        strides[i] = frame->linesize[i];
        if (!frame->interlaced_frame || !planes[i] || (paletted && i == 1))
            continue;
        planes[i] += frame->top_field_first ? 0 : strides[i];
        strides[i] *= 2;
    }
    return sws_scale(p->scaler, planes, strides, 0, source_height(frame), p->scaled->data, p->scaled->linesize);
}

/* One pixel as 8 bits; what is transparent becomes white. */
static void read_pixel(const uint8_t *from, bool alpha, uint8_t to[3])
{
    for (int c = 0; c < 3; c++)
        to[c] = alpha ? (uint8_t)((from[c] * from[3] + 255 * (255 - from[3]) + 127) / 255) : from[c];
}

/* Turned upright, rows without padding. */
static void copy_rgb(const AVFrame *from, struct av_turn turn, uint8_t *to)
{
    int w = from->width, h = from->height, degrees = turn.degrees;
    int out_w = degrees % 180 ? h : w, out_h = degrees % 180 ? w : h;
    bool alpha = from->format == AV_PIX_FMT_RGBA;
    ptrdiff_t step = alpha ? 4 : 3;
    for (int y = 0; y < out_h; y++)
        for (int x = 0; x < out_w; x++, to += 3) {
            int sx = degrees == 90 ? y : degrees == 180 ? w - 1 - x : degrees == 270 ? w - 1 - y : x;
            int sy = degrees == 90 ? h - 1 - x : degrees == 180 ? h - 1 - y : degrees == 270 ? x : y;
            sx = turn.mirrored ? w - 1 - sx : sx;
            read_pixel(from->data[0] + sy * (ptrdiff_t)from->linesize[0] + sx * step, alpha, to);
        }
}

int av_picture_make(struct av_picture *p, const AVFrame *frame, struct av_turn turn, int64_t max_pixels,
                    struct pr_unit *unit)
{
    if ((int64_t)frame->width * frame->height > max_frame_pixels)
        return base_fail(PR_ERR_UNSUPPORTED, "a frame of %d x %d pixels is too large", frame->width, frame->height);
    int code = 0;
    if (!same_form(p, frame))
        code = build(p, frame, max_pixels);
    if (code >= 0)
        code = scale(p, frame);
    if (code < 0) {
        sws_freeContext(p->scaler);
        p->scaler = NULL;
        char words[AV_ERROR_MAX_STRING_SIZE];
        av_make_error_string(words, sizeof words, code);
        return base_fail(PR_ERR_FORMAT, "a frame can't be turned into a picture (%s)", words);
    }
    if (av_hdr_is(frame))
        av_hdr_map(frame, p->scaled);
    size_t bytes = (size_t)p->scaled->width * (size_t)p->scaled->height * 3;
    if (bytes > p->rgb_cap) {
        p->rgb = base_realloc(p->rgb, bytes);
        p->rgb_cap = bytes;
    }
    copy_rgb(p->scaled, turn, p->rgb);
    int32_t width, height;
    av_shown_size(frame, turn.degrees, &width, &height);
    bool turned = turn.degrees % 180 != 0;
    unit->rgb = p->rgb;
    unit->picture_width = turned ? p->scaled->height : p->scaled->width;
    unit->picture_height = turned ? p->scaled->width : p->scaled->height;
    unit->width = width;
    unit->height = height;
    return PR_OK;
}

void av_picture_finish(struct av_picture *p)
{
    sws_freeContext(p->scaler);
    av_frame_free(&p->scaled);
    base_free(p->rgb);
}
