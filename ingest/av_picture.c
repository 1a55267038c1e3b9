/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The work is done by a libavfilter graph that fits one form of frames:
 *     one field of an interlaced frame -> turned upright -> tone-mapped if HDR -> scaled to square pixels -> RGB(A)
 */
#include "ingest/av.h"

#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
#include <libavutil/imgutils.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Frames above this are refused: 60,000-pixel bombs are cheaper to name than to decode. */
static const int64_t max_frame_pixels = (int64_t)1 << 28;

int av_photo_rotation(const AVFrame *frame)
{
    const AVDictionaryEntry *entry = av_dict_get(frame->metadata, "Orientation", NULL, 0);
    int orientation = 0;
    if (!entry || sscanf(entry->value, "%d", &orientation) != 1)
        return 0;
    return orientation == 3 ? 180 : orientation == 6 ? 90 : orientation == 8 ? 270 : 0;
}

void av_shown_size(const AVFrame *frame, int rotation, int32_t *width, int32_t *height)
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
    bool turned = rotation % 180 != 0;
    *width = (int32_t)lround(turned ? h : w);
    *height = (int32_t)lround(turned ? w : h);
}

static bool same_form(const struct av_picture *p, const AVFrame *f, int rotation)
{
    return p->graph && p->width == f->width && p->height == f->height && p->format == f->format &&
           p->rotation == rotation && p->interlaced == f->interlaced_frame && p->color_trc == f->color_trc &&
           p->color_space == f->colorspace && p->color_range == f->color_range &&
           av_cmp_q(p->aspect, f->sample_aspect_ratio) == 0;
}

static bool has_alpha(int format)
{
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(format);
    return d && (d->flags & (AV_PIX_FMT_FLAG_ALPHA | AV_PIX_FMT_FLAG_PAL));
}

static void write_filters(const AVFrame *frame, int rotation, int64_t max_pixels, struct base_buf *out)
{
    int32_t width, height;
    av_shown_size(frame, rotation, &width, &height);
    double shrink =
        (double)width * height > (double)max_pixels ? sqrt((double)max_pixels / ((double)width * height)) : 1;
    /* Of a ribbon neither side may vanish, and the picture stays one of at most max_pixels. */
    int w = (int)fmin(fmax(floor(width * shrink), 1), (double)max_pixels);
    int h = (int)fmin(fmax(floor(height * shrink), 1), (double)max_pixels);
    if (frame->interlaced_frame)
        base_buf_printf(out, "field=type=%s,", frame->top_field_first ? "top" : "bottom");
    if (rotation == 90 || rotation == 270)
        base_buf_printf(out, "transpose=dir=%s,", rotation == 90 ? "clock" : "cclock");
    else if (rotation == 180)
        base_buf_puts(out, "hflip,vflip,");
    bool hdr = frame->color_trc == AVCOL_TRC_SMPTE2084 || frame->color_trc == AVCOL_TRC_ARIB_STD_B67;
    if (hdr) /* scaled first: the float steps are slow */
        base_buf_printf(out,
                        "zscale=w=%d:h=%d,zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,"
                        "tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=tv,format=yuv444p,",
                        w, h);
    base_buf_printf(out, "scale=w=%d:h=%d:flags=bicubic+accurate_rnd+full_chroma_int,format=%s", w, h,
                    has_alpha(frame->format) ? "rgba" : "rgb24");
}

static int build(struct av_picture *p, const AVFrame *frame, int rotation, int64_t max_pixels)
{
    avfilter_graph_free(&p->graph);
    p->graph = avfilter_graph_alloc();
    if (!p->graph)
        return AVERROR(ENOMEM);
    p->graph->nb_threads = 1;
    char arguments[256];
    AVRational aspect = frame->sample_aspect_ratio.num > 0 ? frame->sample_aspect_ratio : (AVRational){1, 1};
    snprintf(arguments, sizeof arguments, "video_size=%dx%d:pix_fmt=%d:time_base=1/1000000:pixel_aspect=%d/%d",
             frame->width, frame->height, frame->format, aspect.num, aspect.den);
    int code =
        avfilter_graph_create_filter(&p->source, avfilter_get_by_name("buffer"), "in", arguments, NULL, p->graph);
    if (code >= 0)
        code = avfilter_graph_create_filter(&p->sink, avfilter_get_by_name("buffersink"), "out", NULL, NULL, p->graph);
    if (code < 0)
        return code;
    AVFilterInOut *outputs = avfilter_inout_alloc(), *inputs = avfilter_inout_alloc();
    if (!outputs || !inputs)
        return AVERROR(ENOMEM);
    *outputs = (AVFilterInOut){av_strdup("in"), p->source, 0, NULL};
    *inputs = (AVFilterInOut){av_strdup("out"), p->sink, 0, NULL};
    struct base_buf filters = {0};
    write_filters(frame, rotation, max_pixels, &filters);
    code = avfilter_graph_parse_ptr(p->graph, filters.data, &inputs, &outputs, NULL);
    base_buf_finish(&filters);
    avfilter_inout_free(&inputs);
    avfilter_inout_free(&outputs);
    if (code >= 0)
        code = avfilter_graph_config(p->graph, NULL);
    p->width = frame->width;
    p->height = frame->height;
    p->format = frame->format;
    p->rotation = rotation;
    p->interlaced = frame->interlaced_frame;
    p->color_trc = frame->color_trc;
    p->color_space = frame->colorspace;
    p->color_range = frame->color_range;
    p->aspect = frame->sample_aspect_ratio;
    return code;
}

/* Rows without padding; what is transparent becomes white. */
static void copy_rgb(const AVFrame *from, uint8_t *to)
{
    int step = from->format == AV_PIX_FMT_RGBA ? 4 : 3;
    for (int y = 0; y < from->height; y++) {
        const uint8_t *row = from->data[0] + (ptrdiff_t)y * from->linesize[0];
        if (step == 3) {
            memcpy(to, row, (size_t)from->width * 3);
            to += (size_t)from->width * 3;
            continue;
        }
        for (int x = 0; x < from->width; x++, row += 4)
            for (int c = 0; c < 3; c++)
                *to++ = (uint8_t)((row[c] * row[3] + 255 * (255 - row[3]) + 127) / 255);
    }
}

int av_picture_make(struct av_picture *p, const AVFrame *frame, int rotation, int64_t max_pixels, struct pr_unit *unit)
{
    if ((int64_t)frame->width * frame->height > max_frame_pixels)
        return base_fail(PR_ERR_UNSUPPORTED, "a frame of %d x %d pixels is too large", frame->width, frame->height);
    int code = 0;
    if (!same_form(p, frame, rotation))
        code = build(p, frame, rotation, max_pixels);
    if (!p->scaled)
        p->scaled = av_frame_alloc();
    if (code >= 0)
        code = av_buffersrc_add_frame_flags(p->source, (AVFrame *)frame, AV_BUFFERSRC_FLAG_KEEP_REF);
    if (code >= 0)
        code = av_buffersink_get_frame(p->sink, p->scaled);
    if (code < 0) {
        avfilter_graph_free(&p->graph);
        char words[AV_ERROR_MAX_STRING_SIZE];
        av_make_error_string(words, sizeof words, code);
        return base_fail(PR_ERR_FORMAT, "a frame can't be turned into a picture (%s)", words);
    }
    size_t bytes = (size_t)p->scaled->width * (size_t)p->scaled->height * 3;
    if (bytes > p->rgb_cap) {
        p->rgb = base_realloc(p->rgb, bytes);
        p->rgb_cap = bytes;
    }
    copy_rgb(p->scaled, p->rgb);
    int32_t width, height;
    av_shown_size(frame, rotation, &width, &height);
    unit->rgb = p->rgb;
    unit->picture_width = p->scaled->width;
    unit->picture_height = p->scaled->height;
    unit->width = width;
    unit->height = height;
    av_frame_unref(p->scaled);
    return PR_OK;
}

void av_picture_finish(struct av_picture *p)
{
    avfilter_graph_free(&p->graph);
    av_frame_free(&p->scaled);
    base_free(p->rgb);
}
