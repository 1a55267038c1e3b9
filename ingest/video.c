/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Video, pictures and sound through libav: samples frames with the time at which they are shown.
 *
 * A sample is wanted at times t_0 < t_1 < ...; the frame for t is the one on the screen at t: the last one with time <= t. So
 * each frame is held until the next one tells how long it stays. Frames that can't be the one for any sample and that no other
 * frame needs aren't decoded; where the next sample lies behind a key frame, the reader seeks there.
 */
#include "ingest/av.h"
#include "ingest/gate.h"
#include "ingest/kinds.h"
#include "ingest/whole.h"

#include <libavutil/pixdesc.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A seek costs a flush of the decoder: only worth it when it skips more than this. */
static const int64_t min_seek = 2000000;
/* Streams whose clocks may jump (MPEG-TS): a step larger than this is a jump, not a long frame. */
static const int64_t max_step = 10000000;
/* Decoded frames come in the order of showing: a step back is a jump, too, unless it is a slip. */
static const int64_t max_step_back = 500000;
/* Frames that are shown before one that was sent earlier lie closer to it than this. */
static const int64_t max_reorder = 2000000;
/* So many packets can stand before one that is shown earlier than they are: 16 frames in H.264 and HEVC, or 32 fields. */
enum { MAX_LATER = 32 };

struct video {
    struct av_input input;
    struct ingest_options options;
    AVCodecContext *decoder;
    AVStream *stream;
    AVPacket *packet;
    AVPacket *waiting, *behind; /* of frames that stand alone: perhaps the sample's; the one that showed that it is */
    AVPacket *later[MAX_LATER]; /* kept back, see keep_back() */
    int n_later, n_sending;     /* the first n_sending of them are needed after all */
    int64_t after;              /* when the earliest of those is shown that were kept back; PR_TIME_NONE */
    AVPacket *words;            /* of a text track on standard input, which is read in the same sweep */
    AVFrame *frame, *held;      /* held: decoded, its end not known yet */
    int64_t held_time;
    int64_t last_time, last_duration; /* of decoded frames */
    int64_t shift;      /* added to times: closes jumps of the clock, and what decoding in another order took */
    int64_t passed;     /* the latest time of a packet that isn't behind the next sample */
    int64_t length;     /* of the film; PR_TIME_NONE: unknown */
    int64_t end;        /* no frame from here on */
    int64_t wanted;     /* time of the next sample */
    int64_t n_samples;  /* taken so far */
    int64_t seek_tried; /* the sample for which a seek was tried already */
    int64_t back;       /* how far before the sample the last seek aimed */
    int64_t frames_decoded;
    bool draining, still, intra_only, has_held, at_end, no_seek;
    bool cut;                /* the picture breaks off */
    bool sent_damage;        /* a packet that breaks off was sent */
    bool landing, needs_key; /* no frame, no key frame came yet since the last seek */
    char more_pages[128];    /* the problem of a TIFF that has them */
    bool broke_off;          /* standard input ended before the film did; it was told */
    struct av_turn turn;     /* of the stream */
    struct av_webp *webp;    /* frames come from here, instead of from the decoder */
    AVPacket *webp_bytes;    /* of an animation on standard input */
    struct av_picture picture;
    struct ingest_gate gate;
    struct av_tracks tracks;
    struct av_sound sound;
};

/* ---- opening ---------------------------------------------------------------------------------------------------- */

/* An icon's sizes are streams to libav: the largest. -1: it is no icon. */
static int largest_icon(const AVFormatContext *format)
{
    int best = -1, width = 0;
    for (unsigned i = 0; strcmp(format->iformat->name, "ico") == 0 && i < format->nb_streams; i++)
        if (best < 0 || format->streams[i]->codecpar->width > width) {
            best = (int)i;
            width = format->streams[i]->codecpar->width;
        }
    return best;
}

static int choose_stream(struct video *video, const char *path)
{
    AVFormatContext *format = video->input.format;
    int wanted = video->options.stream, index = -1;
    if (wanted >= 0) {
        if ((unsigned)wanted >= format->nb_streams ||
            format->streams[wanted]->codecpar->codec_type != AVMEDIA_TYPE_VIDEO)
            return base_fail(PR_ERR_INVALID, "%s: stream %d is no video stream; `pagereel inspect` lists them", path,
                             wanted);
        index = wanted;
    } else {
        index = largest_icon(format);
        if (index < 0)
            index = av_find_best_stream(format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
        /* Cover art is a picture of the album, not of the film. */
        if (index >= 0 && format->streams[index]->disposition & AV_DISPOSITION_ATTACHED_PIC)
            index = -1;
    }
    for (unsigned i = 0; i < format->nb_streams; i++)
        format->streams[i]->discard = (int)i == index ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    if (index < 0)
        return PR_OK; /* sound only: no frames */
    video->stream = format->streams[index];
    video->input.streams[index].chosen = true;
    video->turn = av_stream_turn(video->stream);
    return PR_OK;
}

static int open_decoder(struct video *video, const char *path)
{
    const AVCodecParameters *parameters = video->stream->codecpar;
    const AVCodec *codec = avcodec_find_decoder(parameters->codec_id);
    if (!codec)
        return base_fail(PR_ERR_UNSUPPORTED, "%s: no decoder for %s", path, avcodec_get_name(parameters->codec_id));
    const AVCodecDescriptor *descriptor = avcodec_descriptor_get(parameters->codec_id);
    bool clock_jumps = video->input.format->iformat->flags & AVFMT_TS_DISCONT;
    video->intra_only = descriptor && descriptor->props & AV_CODEC_PROP_INTRA_ONLY && !clock_jumps;
    video->decoder = avcodec_alloc_context3(codec);
    int code = video->decoder ? avcodec_parameters_to_context(video->decoder, parameters) : AVERROR(ENOMEM);
    if (code >= 0) {
        video->decoder->pkt_timebase = video->stream->time_base;
        video->decoder->thread_count = 0; /* all cores */
        video->decoder->max_pixels = (int64_t)1 << 28;
        code = avcodec_open2(video->decoder, codec, NULL);
    }
    return code < 0 ? av_failed(code, PR_ERR_FORMAT, path, "its video can't be decoded") : PR_OK;
}

/* A picture: a format that holds one frame and no clock, or an animation of a single frame. */
static bool is_still(const AVFormatContext *format)
{
    const char *name = format->iformat->name;
    size_t len = strlen(name);
    const AVDictionaryEntry *brand = av_dict_get(format->metadata, "major_brand", NULL, 0);
    if (strcmp(name, "gif") == 0 || (brand && strcmp(brand->value, "avif") == 0))
        return format->nb_streams == 1 && format->streams[0]->nb_frames == 1;
    return (len > 5 && strcmp(name + len - 5, "_pipe") == 0) || strcmp(name, "ico") == 0;
}

/* An animated WebP looks like a still to libav. */
static int open_webp(struct video *video, const char *path, struct pr_source_info *info)
{
    struct av_webp_info webp = {0};
    struct pr_stream *stream = &video->input.streams[video->stream->index];
    int err = PR_OK;
    if (strcmp(video->input.format->iformat->name, "webp_pipe") != 0)
        return PR_OK;
    if (strcmp(path, "-") != 0) {
        err = av_webp_open(path, &video->webp, &webp);
    } else if (av_read_frame(video->input.format, video->packet) == 0) { /* a packet is a whole file */
        video->webp_bytes = av_packet_clone(video->packet);
        if (video->webp_bytes && video->webp_bytes->size > 0)
            err =
                av_webp_open_bytes(video->webp_bytes->data, (size_t)video->webp_bytes->size, path, &video->webp, &webp);
        if (!video->webp)
            av_packet_move_ref(video->behind, video->packet); /* of a still: to be decoded first */
        else
            av_packet_unref(video->packet);
    }
    if (!video->webp)
        return err;
    video->still = video->cut = false; /* its frames are whole, those that are there */
    video->stream->time_base = (AVRational){1, 1000};
    video->stream->avg_frame_rate = (AVRational){0, 1};
    stream->rate = 0;
    stream->width = webp.width;
    stream->height = webp.height;
    video->input.start = 0;
    info->kind = "video";
    info->start = 0;
    info->duration = webp.duration;
    return PR_OK;
}

/* What is of no other kind comes here: it may be of none. */
static int look_closer(const char *path)
{
    unsigned char head[4096];
    FILE *file = strcmp(path, "-") == 0 ? NULL : fopen(path, "rb");
    if (!file)
        return PR_OK; /* a stream, or opening it gives the error */
    size_t len = fread(head, 1, sizeof head, file);
    fclose(file);
    if (av_input_probe_among(head, len, av_input_demuxers()))
        return PR_OK;
    struct base_buf kinds = {0};
    for (size_t i = 0; i < INGEST_KINDS; i++)
        base_buf_printf(&kinds, "%s%s", i ? ", " : "", ingest_kinds[i].name);
    int err = base_fail(PR_ERR_UNSUPPORTED, "%s: not a kind of source that pagereel reads (%s)", path, kinds.data);
    base_buf_finish(&kinds);
    return err;
}

static int video_open(void *priv, const char *path, const struct ingest_options *options, struct pr_source_info *info)
{
    int err;
    struct video *video = priv;
    video->options = *options;
    video->packet = av_packet_alloc();
    video->frame = av_frame_alloc();
    video->held = av_frame_alloc();
    video->waiting = av_packet_alloc();
    video->behind = av_packet_alloc();
    video->words = av_packet_alloc();
    video->last_time = video->held_time = video->seek_tried = video->passed = video->after = PR_TIME_NONE;
    if (!video->packet || !video->frame || !video->held || !video->waiting || !video->behind || !video->words)
        return base_fail(PR_ERR_NOMEM, "%s: no memory for a decoder", path);
    TRY(look_closer(path));
    TRY(av_input_open(&video->input, path, info));
    TRY(choose_stream(video, path));
    av_tracks_find(&video->tracks, &video->input, options, info);
    if (options->sound && strcmp(path, "-") == 0)
        av_input_problem(&video->input, info, "sound is read from files only, and this comes on standard input");
    video->still = is_still(video->input.format);
    video->cut = video->still && info->partial;
    info->kind = !video->stream ? "audio" : video->still ? "image" : "video";
    if (video->still)
        info->duration = PR_TIME_NONE;
    size_t pages = video->still && strcmp(path, "-") != 0 ? ingest_tiff_pages_file(path) : 1;
    if (pages > 1) {
        snprintf(video->more_pages, sizeof video->more_pages,
                 "it holds %zu pages, of which the first one is read; make a PDF of it to read all", pages);
        av_input_problem(&video->input, info, video->more_pages);
    }
    for (size_t i = 0; video->still && i < info->n_streams; i++)
        video->input.streams[i].rate = 0; /* libav says 25 of every picture */
    video->wanted = options->from != PR_TIME_NONE ? options->from : 0;
    video->end = options->to != PR_TIME_NONE ? options->to : INT64_MAX;
    /* Raw streams have no clock: their frames are counted from the start. */
    bool clock = video->input.format->start_time != AV_NOPTS_VALUE;
    video->no_seek = strcmp(path, "-") == 0 || video->still || !clock || video->input.clock_jumps;
    if (!video->stream) {
        video->at_end = true;
        return PR_OK;
    }
    TRY(video->still ? open_webp(video, path, info) : PR_OK);
    if (!video->webp)
        TRY(open_decoder(video, path));
    if (options->sampling == INGEST_BUDGET && info->duration == PR_TIME_NONE && !video->still) {
        info->duration = av_input_measure(&video->input, video->stream);
        if (info->duration == PR_TIME_NONE)
            av_input_problem(&video->input, info,
                             "its length isn't known: one frame a second is sampled until the budget is used up");
    }
    video->length = info->duration;
    return PR_OK;
fail:
    return err;
}

static void drop_later(struct video *video)
{
    while (video->n_later > 0)
        av_packet_free(&video->later[--video->n_later]);
    video->n_sending = 0;
}

static void video_close(void *priv)
{
    struct video *video = priv;
    drop_later(video);
    av_tracks_finish(&video->tracks);
    av_sound_finish(&video->sound);
    av_picture_finish(&video->picture);
    av_webp_close(video->webp);
    av_packet_free(&video->webp_bytes);
    av_frame_free(&video->frame);
    av_frame_free(&video->held);
    av_packet_free(&video->packet);
    av_packet_free(&video->waiting);
    av_packet_free(&video->behind);
    av_packet_free(&video->words);
    avcodec_free_context(&video->decoder);
    av_input_finish(&video->input);
}

/* ---- which samples are wanted ----------------------------------------------------------------------------------- */

/* The step between samples; 0: every frame that is decoded is one. */
static int64_t sample_step(const struct video *video)
{
    const struct ingest_options *options = &video->options;
    if (video->still)
        return 0;
    switch (options->sampling) {
    case INGEST_RATE:
        return options->rate > 0 ? (int64_t)llround(1e6 / options->rate) : 0;
    case INGEST_BUDGET: {
        int64_t length = video->length;
        if (length == PR_TIME_NONE)
            return 1000000;
        int64_t begin = options->from != PR_TIME_NONE ? options->from : 0;
        int64_t end = video->end < length ? video->end : length;
        int64_t step = end > begin && options->budget > 0 ? (end - begin) / options->budget : 0;
        return step > 0 ? step : 1;
    }
    case INGEST_TIMES:
        return 1;
    case INGEST_SCENE:
    case INGEST_KEYS:
    case INGEST_NONE:
        break;
    }
    return 0;
}

/* The time of the k-th sample. A budget takes the middles of equal parts, so that the very first and last frames, which are
 * often black, aren't wasted on. */
static int64_t sample_time(const struct video *video, int64_t k)
{
    if (video->options.sampling == INGEST_TIMES)
        return k < video->options.n_times ? video->options.times[k] : INT64_MAX;
    int64_t begin = video->options.from != PR_TIME_NONE ? video->options.from : 0;
    int64_t step = sample_step(video);
    if (video->options.sampling == INGEST_RATE && video->options.rate > 0) /* no drift: 30000/1001 stays exact */
        return begin + (int64_t)llround((double)k * 1e6 / video->options.rate);
    return begin + k * step + (video->options.sampling == INGEST_BUDGET ? step / 2 : 0);
}

static bool wants_every_frame(const struct video *video)
{
    return sample_step(video) == 0;
}

/* ---- decoding --------------------------------------------------------------------------------------------------- */

/* Whether a frame shown at `time` may be the next sample's, or lies before it. */
static bool is_not_behind_sample(const struct video *video, int64_t time)
{
    return !wants_every_frame(video) && time != PR_TIME_NONE && time <= video->wanted;
}

/* A frame isn't the sample's if another one is known that is shown later and not behind the sample: then it matters only where
 * others refer to it. */
static void set_skipping(struct video *video, int64_t time)
{
    bool before = is_not_behind_sample(video, time);
    video->decoder->skip_frame = AVDISCARD_DEFAULT;
    if (video->options.sampling == INGEST_KEYS)
        video->decoder->skip_frame = AVDISCARD_NONKEY;
    else if (before && time < video->passed && time > video->passed - max_reorder)
        video->decoder->skip_frame = AVDISCARD_NONREF;
    if (before && time > video->passed)
        video->passed = time;
}

/* Where packets only say when they are decoded (AVI), frames have the time at which the decoder gives them out, which is late by
 * what decoding in another order takes. Broadcast streams say when frames are shown, but not of each. */
static int64_t reorder_delay(const struct video *video)
{
    AVRational rate = av_guess_frame_rate(video->input.format, video->stream, NULL);
    if (video->input.format->iformat->flags & AVFMT_TS_DISCONT || rate.num <= 0 || rate.den <= 0)
        return 0;
    return av_rescale_q(video->stream->codecpar->video_delay, av_inv_q(rate), AV_TIME_BASE_Q);
}

/* Sends a packet, and unreferences it. A damaged one costs its own frames only. */
static void send(struct video *video, AVPacket *packet)
{
    int64_t time = av_input_time(&video->input, video->stream, packet->pts);
    if (time == PR_TIME_NONE && packet->dts != AV_NOPTS_VALUE && video->shift == 0)
        video->shift = -reorder_delay(video);
    if (video->still) {
        video->cut |= ingest_is_cut(packet->data, (size_t)packet->size);
        av_end_png(packet);
    }
    video->sent_damage |= packet->flags & AV_PKT_FLAG_CORRUPT;
    set_skipping(video, time == PR_TIME_NONE ? time : time + video->shift);
    avcodec_send_packet(video->decoder, packet);
    av_packet_unref(packet);
}

static void drain(struct video *video)
{
    drop_later(video);
    video->draining = true;
    /* Behind a seek to an open group of pictures libav knows a frame as sound only when an earlier one was given out: here it would throw
     * away those that are left. Broadcast streams may begin anywhere, where it is right. */
    if (!(video->input.format->iformat->flags & AVFMT_TS_DISCONT))
        video->decoder->flags |= AV_CODEC_FLAG_OUTPUT_CORRUPT;
    avcodec_send_packet(video->decoder, NULL);
}

static bool is_last_sample(const struct video *video)
{
    return video->options.sampling == INGEST_TIMES && video->n_samples + 1 == video->options.n_times && !video->still &&
           !(video->input.format->iformat->flags & AVFMT_TS_DISCONT);
}

/* Decoders give a frame out when some later ones have come. Nobody will see those behind the last sample: packets that are shown behind
 * it are kept back until one comes that isn't and may need them, and when there can be none, the decoder is emptied instead. */
static void keep_back(struct video *video, int64_t time)
{
    AVPacket *packet = av_packet_alloc();
    if (!packet) {
        send(video, video->packet);
        return;
    }
    av_packet_move_ref(packet, video->packet);
    video->later[video->n_later++] = packet;
    if (time == PR_TIME_NONE || time <= video->wanted)
        video->n_sending = video->n_later;
    else if (!(packet->flags & AV_PKT_FLAG_DISCARD) && (video->after == PR_TIME_NONE || time < video->after))
        video->after = time;
}

static void send_later(struct video *video)
{
    AVPacket *first = video->later[0];
    send(video, first);
    av_packet_free(&first);
    memmove(video->later, video->later + 1, (size_t)--video->n_later * sizeof *video->later);
    video->n_sending--;
}

/* Feeds the decoder one packet, or its end, or finds words. Of frames that stand alone only the last one before a sample is sent, which
 * shows when the next one comes. (libav 5 mixes up the times of mjpeg when it is told to skip.) */
static void feed(struct video *video)
{
    if (video->behind->data) {
        send(video, video->behind);
        return;
    }
    for (;;) {
        if (video->n_sending > 0) {
            send_later(video);
            return;
        }
        if (video->n_later == (video->intra_only ? 1 : MAX_LATER)) {
            drain(video);
            return;
        }
        int code = av_read_frame(video->input.format, video->packet);
        if (code == AVERROR(EAGAIN))
            continue;
        if (code < 0 && video->waiting->data) {
            send(video, video->waiting);
            return;
        }
        if (code < 0) { /* the end, also of a file that breaks off */
            drain(video);
            return;
        }
        if (av_tracks_takes(&video->tracks, video->packet)) {
            av_packet_move_ref(video->words, video->packet);
            return;
        }
        bool ours = video->packet->stream_index == video->stream->index;
        video->needs_key &= !ours || !(video->packet->flags & AV_PKT_FLAG_KEY);
        if (!ours || video->needs_key) {
            av_packet_unref(video->packet);
            continue;
        }
        int64_t time = av_input_time(&video->input, video->stream, video->packet->pts);
        if (time != PR_TIME_NONE)
            ingest_report(time + video->shift);
        if (video->intra_only && is_not_behind_sample(video, time)) {
            av_packet_unref(video->waiting);
            av_packet_move_ref(video->waiting, video->packet);
        } else if (video->waiting->data) {
            if (is_last_sample(video))
                keep_back(video, time);
            else
                av_packet_move_ref(video->behind, video->packet);
            send(video, video->waiting);
            return;
        } else if (is_last_sample(video)) {
            keep_back(video, time);
        } else {
            send(video, video->packet);
            return;
        }
    }
}

/* The time of a decoded frame. Frames without one follow the last by its duration; jumps of a broadcast clock are closed. */
static int64_t frame_time(struct video *video)
{
    AVFrame *frame = video->frame;
    int64_t duration =
        frame->pkt_duration > 0 ? av_rescale_q(frame->pkt_duration, video->stream->time_base, AV_TIME_BASE_Q) : 0;
    if (duration <= 0 && video->stream->avg_frame_rate.num > 0)
        duration = av_rescale_q(1, av_inv_q(video->stream->avg_frame_rate), AV_TIME_BASE_Q);
    if (duration <= 0)
        duration = 40000;
    int64_t time = av_input_time(&video->input, video->stream, frame->best_effort_timestamp);
    int64_t expected = video->last_time != PR_TIME_NONE ? video->last_time + video->last_duration : 0;
    bool clock_jumps = video->input.format->iformat->flags & AVFMT_TS_DISCONT;
    if (time == PR_TIME_NONE) {
        time = expected;
    } else {
        time += video->shift;
        bool jumps = clock_jumps && video->last_time != PR_TIME_NONE &&
                     (time < video->last_time - max_step_back || time > video->last_time + max_step);
        if (jumps) {
            video->shift += expected - time;
            time = expected;
        }
    }
    video->last_duration = duration;
    video->last_time = time;
    return time;
}

/* PR_OK with video->frame decoded, PR_MORE with video->words, PR_EOF at the end. */
static int decode(struct video *video)
{
    if (video->webp) {
        int err = av_webp_next(video->webp, video->frame);
        video->frames_decoded += err == PR_OK;
        ingest_report(video->last_time != PR_TIME_NONE ? video->last_time : 0);
        return err;
    }
    for (;;) {
        int code = avcodec_receive_frame(video->decoder, video->frame);
        if (code == 0) {
            video->frames_decoded++;
            return PR_OK;
        }
        if (code == AVERROR_EOF || video->draining)
            return PR_EOF;
        feed(video);
        if (video->words->data)
            return PR_MORE;
    }
}

/* Goes to `time`, or to a key frame before it; to the start for 0. False: the file can't do that, and nothing has changed. */
static bool seek(struct video *video, int64_t time)
{
    AVFormatContext *format = video->input.format;
    int64_t target = av_rescale_q(time + video->input.start - video->shift, AV_TIME_BASE_Q, video->stream->time_base);
    bool by_bytes = strcmp(format->iformat->name, "mpegts") == 0 || strcmp(format->iformat->name, "mpeg") == 0;
    int code = -1;
    if (time <= 0 && by_bytes) /* by time they find a packet in the middle of a group of pictures */
        code = av_seek_frame(format, video->stream->index, 0, AVSEEK_FLAG_BYTE);
    if (code < 0)
        code = av_seek_frame(format, video->stream->index, target, AVSEEK_FLAG_BACKWARD);
    if (code < 0)
        return false;
    avcodec_flush_buffers(video->decoder);
    video->decoder->flags &= ~AV_CODEC_FLAG_OUTPUT_CORRUPT;
    av_packet_unref(video->waiting);
    av_packet_unref(video->behind);
    drop_later(video);
    video->after = PR_TIME_NONE;
    av_frame_unref(video->held);
    video->has_held = video->draining = false;
    video->landing = true;
    video->needs_key = time > 0;
    video->last_time = video->passed = PR_TIME_NONE;
    return true;
}

/* After a seek in a broadcast stream, whose packets tell their time now and then, libav's guesses are wrong until one did. */
static bool is_untimed(const struct video *video)
{
    return video->landing && video->input.format->iformat->flags & AVFMT_TS_DISCONT &&
           video->frame->pts == AV_NOPTS_VALUE;
}

/* Jumps to the last key frame before the wanted time, if that lies ahead of what comes next anyway. */
static void seek_ahead(struct video *video)
{
    int64_t at = video->last_time != PR_TIME_NONE ? video->last_time : 0;
    bool jumping_clock = video->input.format->iformat->flags & AVFMT_TS_DISCONT;
    if (video->no_seek || video->landing || wants_every_frame(video) || video->wanted - at < min_seek ||
        video->seek_tried == video->wanted || (jumping_clock && video->wanted - at < 2 * max_step))
        return;
    int64_t target =
        av_rescale_q(video->wanted + video->input.start - video->shift, AV_TIME_BASE_Q, video->stream->time_base);
    int entry = av_index_search_timestamp(video->stream, target, AVSEEK_FLAG_BACKWARD);
    const AVIndexEntry *key = entry >= 0 ? avformat_index_get_entry(video->stream, entry) : NULL;
    bool complete_index = key && avformat_index_get_entries_count(video->stream) > 1;
    if (complete_index && av_input_time(&video->input, video->stream, key->timestamp) <= at)
        return; /* the wanted frame hangs on a key frame that was read already */
    if (!complete_index && video->wanted - at < 4 * min_seek)
        return;
    video->seek_tried = video->wanted; /* one try for each sample */
    /* Program streams tell a time now and then only: libav's guesses are off by parts of a frame until the first one. */
    video->back = strcmp(video->input.format->iformat->name, "mpeg") == 0 ? min_seek : 0;
    seek(video, video->wanted - video->back);
}

/* After a seek that found nothing at or before the sample (broadcast streams have no index, others a wrong one), seeks further
 * back, and in the end to the start, from where all is read. False: the seek was right, or there is nothing further back. */
static bool seek_back(struct video *video, int err, int64_t time)
{
    bool missed = video->landing && (err == PR_EOF || time > video->wanted);
    video->landing = false;
    if (!missed || video->no_seek)
        return false;
    video->back = video->back ? 4 * video->back : min_seek;
    video->no_seek = video->back >= video->wanted;
    return seek(video, video->no_seek ? 0 : video->wanted - video->back);
}

/* ---- units ------------------------------------------------------------------------------------------------------ */

static int make_unit(struct video *video, const AVFrame *frame, int64_t t0, int64_t t1, struct pr_unit *unit)
{
    unit->kind = PR_UNIT_FRAME;
    unit->stream = video->stream->index;
    unit->span.t0 = video->still ? PR_TIME_NONE : t0;
    unit->span.t1 = video->still ? PR_TIME_NONE : t1;
    bool damaged = frame->flags & AV_FRAME_FLAG_CORRUPT && (!video->draining || video->sent_damage); /* see drain() */
    unit->partial = video->cut || frame->decode_error_flags != 0 || damaged;
    bool turned = video->turn.mirrored || video->turn.degrees != 0;
    struct av_turn turn = turned ? video->turn : av_photo_turn(frame);
    int64_t max_pixels = video->options.max_pixels;
    /* Gate and cuts want a picture even when the caller doesn't. */
    int err = av_picture_make(&video->picture, frame, turn, max_pixels > 0 ? max_pixels : GATE_WIDTH * 180, unit);
    if (err < 0)
        return base_fail_prefix(err, "%s: at %.3f s", video->input.path, (double)t0 / 1e6);
    struct ingest_gate_result gate =
        ingest_gate_look(&video->gate, unit->rgb, unit->picture_width, unit->picture_height);
    unit->difference = gate.difference;
    unit->passed = gate.passed;
    unit->cut = gate.cut;
    if (max_pixels <= 0)
        unit->rgb = NULL;
    return PR_OK;
}

/* Whether the held frame, shown until t1, is a sample; moves on to the next wanted time if so. */
static bool takes_sample(struct video *video, int64_t t1)
{
    int64_t begin = video->options.from != PR_TIME_NONE ? video->options.from : INT64_MIN;
    if (wants_every_frame(video))
        return t1 > begin;
    if (t1 <= video->wanted || video->wanted >= video->end ||
        (video->options.sampling == INGEST_BUDGET && video->n_samples >= video->options.budget))
        return false;
    /* One frame that stays for many samples is given once, with the whole time for which it stays. */
    do
        video->wanted = sample_time(video, ++video->n_samples);
    while (video->wanted < t1);
    return true;
}

/* After the last frame: whether standard input ended before the film did, by the length that its head names. */
static int check_stream_end(struct video *video)
{
    char end[32], whole[32];
    bool streamed = strcmp(video->input.path, "-") == 0;
    if (video->broke_off || !streamed || !video->draining || video->still || video->length == PR_TIME_NONE ||
        video->held_time == PR_TIME_NONE || video->held_time + video->last_duration > video->length - 1000000)
        return PR_OK;
    video->broke_off = true;
    return base_fail(PR_ERR_FORMAT, "-: standard input breaks off at %s of %s; what came is read",
                     pr_time_text(video->held_time + video->last_duration, end, sizeof end),
                     pr_time_text(video->length, whole, sizeof whole));
}

static int video_next(void *priv, struct pr_unit *unit)
{
    struct video *video = priv;
    if (video->n_samples == 0 && !wants_every_frame(video))
        video->wanted = sample_time(video, 0);
    while (!video->at_end && video->options.sampling != INGEST_NONE) {
        if (!video->has_held || video->last_time < video->wanted)
            seek_ahead(video);
        int err = decode(video);
        if (err == PR_MORE &&
            av_tracks_decode(&video->tracks, &video->options, &video->input, video->words, unit) == PR_OK)
            return PR_OK;
        if (err == PR_MORE || (err == PR_OK && is_untimed(video)))
            continue;
        int64_t time = err == PR_EOF ? PR_TIME_NONE : frame_time(video);
        if (seek_back(video, err, time))
            continue;
        if (err == PR_EOF)
            video->at_end = true;
        if (err == PR_OK && video->has_held && time <= video->held_time)
            time = video->held_time + 1; /* times that stand still or go back: keep the order of showing */
        int64_t until = err == PR_EOF ? video->held_time + video->last_duration : time;
        if (video->after > video->held_time && (err == PR_EOF || video->after < until))
            until = video->after; /* PR_TIME_NONE is less than any time */
        bool take = video->has_held && video->held_time < video->end && takes_sample(video, until);
        int result = PR_MORE;
        if (take) {
            video->at_end |= video->wanted == INT64_MAX; /* that was the last of INGEST_TIMES */
            result = make_unit(video, video->held, video->held_time, until, unit);
            if (result == PR_OK && video->options.sampling == INGEST_SCENE && !unit->cut)
                result = PR_MORE;
        }
        av_frame_unref(video->held);
        video->has_held = err == PR_OK;
        if (err == PR_OK) {
            av_frame_move_ref(video->held, video->frame);
            video->held_time = time;
            video->at_end |= time >= video->end;
        }
        if (result != PR_MORE)
            return result;
    }
    if (video->frames_decoded == 0 && video->stream && video->options.sampling != INGEST_NONE) {
        video->frames_decoded = 1;
        return base_fail(PR_ERR_FORMAT,
                         "%s: not one frame of it can be decoded; it is damaged, or larger than 268 million pixels",
                         video->input.path);
    }
    int err = check_stream_end(video);
    if (err < 0)
        return err;
    err = av_tracks_next(&video->tracks, &video->options, video->input.start, unit);
    return err == PR_EOF ? av_sound_next(&video->sound, &video->input, &video->options, unit) : err;
}

const struct ingest_reader ingest_video = {
    .kind = "video, sound and pictures",
    .priv_size = sizeof(struct video),
    .open = video_open,
    .next = video_next,
    .close = video_close,
};
