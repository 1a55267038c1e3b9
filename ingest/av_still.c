/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ingest/av.h"
#include "ingest/still.h"
#include "ingest/whole.h"

#include "base/file.h"

#include <libavutil/avstring.h>
#include <stdio.h>
#include <string.h>

static const char still_demuxers[] = "apng,bmp_pipe,exr_pipe,gif,j2k_pipe,jpeg_pipe,jpegls_pipe,jpegxl_pipe,pam_pipe,"
                                     "pbm_pipe,pcx_pipe,pgm_pipe,png_pipe,ppm_pipe,"
                                     "psd_pipe,qoi_pipe,tiff_pipe,webp_pipe,xbm_pipe,xwd_pipe";

struct ingest_still {
    struct av_picture picture;
    AVFrame *frame;
    AVPacket *packet;
};

/* Bytes in memory that libav reads as a file. */
struct reader {
    const uint8_t *data;
    size_t size, at;
};

static int read_bytes(void *opaque, uint8_t *out, int size)
{
    struct reader *reader = opaque;
    size_t left = reader->size - reader->at, n = left < (size_t)size ? left : (size_t)size;
    if (n == 0)
        return AVERROR_EOF;
    memcpy(out, reader->data + reader->at, n);
    reader->at += n;
    return (int)n;
}

static int64_t seek_bytes(void *opaque, int64_t offset, int whence)
{
    struct reader *reader = opaque;
    if (whence == AVSEEK_SIZE)
        return (int64_t)reader->size;
    int64_t at = offset + (whence == SEEK_CUR ? (int64_t)reader->at : whence == SEEK_END ? (int64_t)reader->size : 0);
    if (at < 0 || at > (int64_t)reader->size)
        return AVERROR(EINVAL);
    reader->at = (size_t)at;
    return at;
}

struct ingest_still *ingest_still_create(void)
{
    struct ingest_still *still = base_alloc(sizeof *still);
    av_log_set_level(AV_LOG_QUIET);
    still->frame = av_frame_alloc();
    still->packet = av_packet_alloc();
    return still;
}

void ingest_still_destroy(struct ingest_still *still)
{
    if (!still)
        return;
    av_picture_finish(&still->picture);
    av_frame_free(&still->frame);
    av_packet_free(&still->packet);
    base_free(still);
}

/* What the bytes may be. A photo in AVIF is an MP4 file of its own brand; films are no pictures. */
static const char *demuxers_of(const void *data, size_t size)
{
    return size > 12 && memcmp((const char *)data + 4, "ftypavif", 8) == 0 ? "mov" : still_demuxers;
}

void av_end_png(AVPacket *packet)
{
    size_t size = (size_t)packet->size;
    if (packet->size <= 0 || size > INT32_MAX / 2 || !ingest_is_cut(packet->data, size) ||
        memcmp(packet->data, "\x89PNG", 4) != 0 || av_grow_packet(packet, INGEST_PNG_END) < 0)
        return;
    size_t whole = ingest_end_png(packet->data, size);
    av_shrink_packet(packet, (int)(whole ? whole : size));
}

/* Decodes the first frame of an opened picture. */
static int decode_first(struct ingest_still *still, AVFormatContext *format)
{
    int code = avformat_find_stream_info(format, NULL);
    int index = code < 0 ? code : av_find_best_stream(format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (index < 0)
        return index;
    const AVCodec *codec = avcodec_find_decoder(format->streams[index]->codecpar->codec_id);
    AVCodecContext *decoder = codec ? avcodec_alloc_context3(codec) : NULL;
    if (!decoder)
        return AVERROR_DECODER_NOT_FOUND;
    decoder->max_pixels = (int64_t)1 << 28;
    code = avcodec_parameters_to_context(decoder, format->streams[index]->codecpar);
    if (code >= 0)
        code = avcodec_open2(decoder, codec, NULL);
    while (code >= 0) {
        code = avcodec_receive_frame(decoder, still->frame);
        if (code != AVERROR(EAGAIN))
            break;
        code = av_read_frame(format, still->packet);
        if (code >= 0)
            av_end_png(still->packet);
        avcodec_send_packet(decoder, code < 0 ? NULL : still->packet);
        av_packet_unref(still->packet);
        code = 0;
    }
    avcodec_free_context(&decoder);
    return code;
}

static int make_picture(struct ingest_still *still, const char *name, int64_t max_pixels, struct pr_unit *unit)
{
    int err = PR_OK;
    if (max_pixels > 0)
        err = av_picture_make(&still->picture, still->frame, av_photo_turn(still->frame), max_pixels, unit);
    av_frame_unref(still->frame);
    return err < 0 ? base_fail_prefix(err, "%s", name) : PR_OK;
}

/* The first frame of an animation. */
static int decode_webp(struct ingest_still *still, struct av_webp *webp, const char *name, int64_t max_pixels,
                       struct pr_unit *unit)
{
    int err = av_webp_next(webp, still->frame);
    av_webp_close(webp);
    return err == PR_OK ? make_picture(still, name, max_pixels, unit)
                        : base_fail(PR_ERR_FORMAT, "%s: its animation can't be decoded; it is damaged", name);
}

int ingest_still_decode(struct ingest_still *still, const void *data, size_t size, const char *name, int64_t max_pixels,
                        struct pr_unit *unit)
{
    struct av_webp *webp;
    struct av_webp_info info;
    int webp_err = av_webp_open_bytes(data, size, name, &webp, &info);
    if (webp_err < 0 || webp)
        return webp_err < 0 ? webp_err : decode_webp(still, webp, name, max_pixels, unit);
    struct reader reader = {data, size, 0};
    AVFormatContext *format = avformat_alloc_context();
    uint8_t *buffer = av_malloc(1 << 15);
    AVIOContext *io = buffer ? avio_alloc_context(buffer, 1 << 15, 0, &reader, read_bytes, NULL, seek_bytes) : NULL;
    int code = format && io ? 0 : AVERROR(ENOMEM);
    if (code == 0) {
        AVDictionary *options = NULL;
        av_dict_set(&options, "format_whitelist", demuxers_of(data, size), 0);
        av_dict_set(&options, "protocol_whitelist", "", 0);
        format->pb = io;
        code = avformat_open_input(&format, "", NULL, &options);
        av_dict_free(&options);
    }
    if (code >= 0)
        code = decode_first(still, format);
    avformat_close_input(&format);
    if (io)
        av_freep(&io->buffer);
    avio_context_free(&io);
    if (code < 0)
        return av_failed(code, PR_ERR_FORMAT, name, "is no picture that can be read");
    unit->partial = ingest_is_cut(data, size);
    return make_picture(still, name, max_pixels, unit);
}

int ingest_still_decode_file(struct ingest_still *still, const char *path, int64_t max_pixels, struct pr_unit *unit)
{
    struct base_map map;
    int err = base_file_map(path, &map);
    if (err < 0)
        return err;
    if (!map.data)
        return base_fail(PR_ERR_FORMAT, "%s: is empty", path);
    err = ingest_still_decode(still, map.data, map.size, path, max_pixels, unit);
    base_file_unmap(&map);
    return err;
}
