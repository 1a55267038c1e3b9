/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Animated WebP, which libav doesn't decode: libwebp's demuxer blends the pieces of each frame onto the canvas, and gives the
 * time at which it ends.
 */
#include "ingest/av.h"
#include "ingest/whole.h"

#include "base/file.h"

#include <string.h>
#include <webp/demux.h>

struct av_webp {
    WebPAnimDecoder *decoder;
    WebPAnimInfo info;
    struct base_map map; /* of the file; empty: the bytes are the caller's */
    void *mended;        /* a copy of a file that breaks off, with what is whole of it */
    int64_t shown_until; /* milliseconds: the end of the last frame */
};

/* "RIFF" size "WEBP" "VP8X" size flags: of these, bit 1 says that it is an animation. */
static bool is_animated(const unsigned char *head, size_t len)
{
    return len > 20 && memcmp(head, "RIFF", 4) == 0 && memcmp(head + 8, "WEBPVP8X", 8) == 0 && head[20] & 2;
}

static int64_t total_duration(const WebPData *data)
{
    int64_t milliseconds = 0;
    WebPDemuxer *demuxer = WebPDemux(data);
    WebPIterator frame;
    if (!demuxer)
        return 0;
    if (WebPDemuxGetFrame(demuxer, 1, &frame)) {
        do
            milliseconds += frame.duration;
        while (WebPDemuxNextFrame(&frame));
        WebPDemuxReleaseIterator(&frame);
    }
    WebPDemuxDelete(demuxer);
    return milliseconds;
}

int av_webp_open_bytes(const void *bytes, size_t size, const char *name, struct av_webp **out,
                       struct av_webp_info *info)
{
    *out = NULL;
    WebPData data = {bytes, size};
    if (!is_animated(data.bytes, data.size))
        return PR_OK;
    struct av_webp *webp = base_alloc(sizeof *webp);
    WebPAnimDecoderOptions options;
    WebPAnimDecoderOptionsInit(&options);
    options.color_mode = MODE_RGBA;
    webp->decoder = WebPAnimDecoderNew(&data, &options);
    if (!webp->decoder && ingest_is_cut(bytes, size)) {
        webp->mended = base_alloc(size);
        memcpy(webp->mended, bytes, size);
        data = (WebPData){webp->mended, ingest_end_webp(webp->mended, size)};
        webp->decoder = data.size > 0 ? WebPAnimDecoderNew(&data, &options) : NULL;
    }
    if (!webp->decoder || !WebPAnimDecoderGetInfo(webp->decoder, &webp->info)) {
        av_webp_close(webp);
        return base_fail(PR_ERR_FORMAT, "%s: its animation can't be decoded; it is damaged or too large", name);
    }
    *info = (struct av_webp_info){(int32_t)webp->info.canvas_width, (int32_t)webp->info.canvas_height,
                                  total_duration(&data) * 1000};
    *out = webp;
    return PR_OK;
}

int av_webp_open(const char *path, struct av_webp **out, struct av_webp_info *info)
{
    struct base_map map;
    *out = NULL;
    if (base_file_map(path, &map) < 0)
        return PR_OK; /* not here: who opens it next says why it can't be read */
    int err = av_webp_open_bytes(map.data, map.size, path, out, info);
    if (*out)
        (*out)->map = map;
    else
        base_file_unmap(&map);
    return err;
}

void av_webp_close(struct av_webp *webp)
{
    if (!webp)
        return;
    if (webp->decoder)
        WebPAnimDecoderDelete(webp->decoder);
    base_file_unmap(&webp->map);
    base_free(webp->mended);
    base_free(webp);
}

int av_webp_next(struct av_webp *webp, AVFrame *frame)
{
    uint8_t *canvas;
    int until, width = (int)webp->info.canvas_width, height = (int)webp->info.canvas_height;
    if (!WebPAnimDecoderHasMoreFrames(webp->decoder) || !WebPAnimDecoderGetNext(webp->decoder, &canvas, &until))
        return PR_EOF;
    frame->format = AV_PIX_FMT_RGBA;
    frame->width = width;
    frame->height = height;
    if (av_frame_get_buffer(frame, 0) < 0)
        return PR_EOF;
    for (int y = 0; y < height; y++)
        memcpy(frame->data[0] + (ptrdiff_t)y * frame->linesize[0], canvas + 4 * (ptrdiff_t)y * width,
               4 * (size_t)width);
    frame->pts = frame->best_effort_timestamp = webp->shown_until;
    frame->pkt_duration = until - webp->shown_until;
    webp->shown_until = until;
    return PR_OK;
}
