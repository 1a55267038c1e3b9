/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sound of a film as blocks of one second: 16,000 samples a second, one channel, for a recogniser. Read in a sweep of its own
 * over the file, only when it is asked for.
 */
#include "ingest/av.h"

#include <libavutil/opt.h>
#include <string.h>

enum { SAMPLE_RATE = 16000, BLOCK = SAMPLE_RATE };
/* A hole in the sound shorter than this is filled with silence; behind a longer one a new block begins. */
static const int64_t max_hole = 500000;

static int open_sound(struct av_sound *sound, const struct av_input *input)
{
    AVDictionary *options = NULL;
    struct base_buf url = {0};
    base_buf_printf(&url, "file:%s", input->path);
    av_dict_set(&options, "format_whitelist", av_input_demuxers(), 0);
    av_dict_set(&options, "protocol_whitelist", "file", 0);
    int code = avformat_open_input(&sound->format, url.data, NULL, &options);
    av_dict_free(&options);
    base_buf_finish(&url);
    if (code >= 0)
        code = avformat_find_stream_info(sound->format, NULL);
    if (code < 0)
        return code;
    const AVCodec *codec = NULL;
    sound->stream = av_find_best_stream(sound->format, AVMEDIA_TYPE_AUDIO, -1, -1, &codec, 0);
    if (sound->stream < 0)
        return sound->stream;
    for (unsigned i = 0; i < sound->format->nb_streams; i++)
        sound->format->streams[i]->discard = (int)i == sound->stream ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    AVStream *stream = sound->format->streams[sound->stream];
    sound->decoder = avcodec_alloc_context3(codec);
    sound->packet = av_packet_alloc();
    sound->frame = av_frame_alloc();
    if (!sound->decoder || !sound->packet || !sound->frame)
        return AVERROR(ENOMEM);
    code = avcodec_parameters_to_context(sound->decoder, stream->codecpar);
    sound->decoder->pkt_timebase = stream->time_base;
    return code < 0 ? code : avcodec_open2(sound->decoder, codec, NULL);
}

void av_sound_finish(struct av_sound *sound)
{
    swr_free(&sound->resampler);
    avcodec_free_context(&sound->decoder);
    avformat_close_input(&sound->format);
    av_packet_free(&sound->packet);
    av_frame_free(&sound->frame);
    base_free(sound->samples);
}

/* Streams may change their form in the middle. */
static int fit_resampler(struct av_sound *sound)
{
    AVFrame *frame = sound->frame;
    if (sound->resampler && sound->in_rate == frame->sample_rate && sound->in_format == frame->format &&
        sound->in_channels == frame->ch_layout.nb_channels)
        return 0;
    AVChannelLayout mono = AV_CHANNEL_LAYOUT_MONO;
    swr_free(&sound->resampler);
    int code = swr_alloc_set_opts2(&sound->resampler, &mono, AV_SAMPLE_FMT_FLT, SAMPLE_RATE, &frame->ch_layout,
                                   frame->format, frame->sample_rate, 0, NULL);
    sound->in_rate = frame->sample_rate;
    sound->in_format = frame->format;
    sound->in_channels = frame->ch_layout.nb_channels;
    if (code >= 0) /* channels are averaged: their sum would leave -1..1 */
        code = av_opt_set_double(sound->resampler, "rematrix_maxval", 1, 0);
    return code < 0 ? code : swr_init(sound->resampler);
}

/* Appends the decoded frame's samples, or (frame NULL) what the resampler still holds. */
static int append(struct av_sound *sound, const AVFrame *frame)
{
    int more = swr_get_out_samples(sound->resampler, frame ? frame->nb_samples : 0);
    if (more <= 0)
        return more;
    size_t need = sound->n + (size_t)more;
    if (need > sound->cap) {
        sound->cap = 2 * need;
        sound->samples = base_realloc(sound->samples, sound->cap * sizeof *sound->samples);
    }
    uint8_t *out = (uint8_t *)(sound->samples + sound->n);
    int n = swr_convert(sound->resampler, &out, more, frame ? (const uint8_t **)frame->extended_data : NULL,
                        frame ? frame->nb_samples : 0);
    sound->n += n > 0 ? (size_t)n : 0;
    return n;
}

static void append_silence(struct av_sound *sound, size_t n)
{
    if (sound->n + n > sound->cap) {
        sound->cap = 2 * (sound->n + n);
        sound->samples = base_realloc(sound->samples, sound->cap * sizeof *sound->samples);
    }
    memset(sound->samples + sound->n, 0, n * sizeof *sound->samples);
    sound->n += n;
}

/* Decodes until a frame comes. AVERROR_EOF at the end. */
static int decode(struct av_sound *sound)
{
    for (;;) {
        int code = avcodec_receive_frame(sound->decoder, sound->frame);
        if (code != AVERROR(EAGAIN))
            return code;
        code = av_read_frame(sound->format, sound->packet);
        if (code >= 0 && sound->packet->stream_index == sound->stream)
            avcodec_send_packet(sound->decoder, sound->packet); /* a damaged packet costs its own samples only */
        else if (code < 0)
            avcodec_send_packet(sound->decoder, NULL);
        av_packet_unref(sound->packet);
    }
}

/* Takes a frame in at its time. False: it lies behind a long hole and has to wait until what is there has been given. */
static bool take_frame(struct av_sound *sound, const struct av_input *input)
{
    AVStream *stream = sound->format->streams[sound->stream];
    int64_t time = av_input_time(input, stream, sound->frame->best_effort_timestamp);
    int64_t expected = sound->begin + (int64_t)sound->n * 1000000 / SAMPLE_RATE;
    if (sound->begin == PR_TIME_NONE || (sound->n == 0 && time != PR_TIME_NONE)) {
        sound->begin = time != PR_TIME_NONE ? time : 0;
    } else if (time != PR_TIME_NONE && time - expected > max_hole) {
        return false;
    } else if (time != PR_TIME_NONE && time - expected > 1000000 / 20) {
        append_silence(sound, (size_t)((time - expected) * SAMPLE_RATE / 1000000));
    }
    if (fit_resampler(sound) >= 0)
        append(sound, sound->frame);
    return true;
}

static void give(struct av_sound *sound, size_t n, struct pr_unit *unit)
{
    unit->kind = PR_UNIT_SOUND;
    unit->stream = sound->stream;
    unit->span.t0 = sound->begin;
    unit->span.t1 = sound->begin + (int64_t)n * 1000000 / SAMPLE_RATE;
    unit->samples = sound->samples;
    unit->n_samples = n;
    sound->given = n;
    ingest_report(sound->begin);
}

static void drop_given(struct av_sound *sound)
{
    if (sound->given == 0)
        return;
    memmove(sound->samples, sound->samples + sound->given, (sound->n - sound->given) * sizeof *sound->samples);
    sound->begin += (int64_t)sound->given * 1000000 / SAMPLE_RATE;
    sound->n -= sound->given;
    sound->given = 0;
}

int av_sound_next(struct av_sound *sound, const struct av_input *input, const struct ingest_options *options,
                  struct pr_unit *unit)
{
    if (sound->ended || !options->sound || strcmp(input->path, "-") == 0)
        return PR_EOF;
    if (!sound->format) {
        sound->begin = PR_TIME_NONE;
        int code = open_sound(sound, input);
        if (code < 0) {
            sound->ended = true;
            return code == AVERROR_STREAM_NOT_FOUND
                       ? PR_EOF
                       : av_failed(code, PR_ERR_FORMAT, input->path, "its sound can't be read");
        }
    }
    drop_given(sound);
    for (;;) {
        bool late = options->to != PR_TIME_NONE && sound->begin != PR_TIME_NONE && sound->begin >= options->to;
        if (late)
            break;
        if (sound->n >= BLOCK) {
            give(sound, BLOCK, unit);
            if (options->from == PR_TIME_NONE || unit->span.t1 > options->from)
                return PR_OK;
            drop_given(sound);
            continue;
        }
        if (!sound->waiting && decode(sound) < 0)
            break;
        sound->waiting = !take_frame(sound, input);
        if (sound->waiting && sound->n > 0) {
            give(sound, sound->n, unit);
            return PR_OK;
        }
        if (sound->waiting) /* nothing before the hole: begin behind it */
            sound->begin = PR_TIME_NONE;
    }
    sound->ended = true;
    if (sound->n == 0 || (options->to != PR_TIME_NONE && sound->begin >= options->to))
        return PR_EOF;
    give(sound, sound->n, unit);
    return PR_OK;
}
