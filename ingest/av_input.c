/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ingest/av.h"
#include "ingest/whole.h"

#include <libavutil/avstring.h>
#include <stdio.h>
#include <string.h>

enum { PROBE_FIRST = 2048 };

/* Containers and raw streams that hold their own data. Left out on purpose: hls, dash, concat, image2, sdp, rtsp and the like,
 * which open further files or the network. */
static const char demuxers[] = "3dostr,aac,ac3,aiff,amr,amrnb,amrwb,anm,apng,asf,au,av1,avi,bink,bmp_pipe,caf,cdxl,"
                               "dirac,dts,dtshd,dv,ea,eac3,exr_pipe,"
                               "film_cpk,flac,flic,flv,gif,h261,h263,h264,hevc,ico,idcin,ivf,j2k_pipe,jpeg_pipe,jpegls_"
                               "pipe,jpegxl_pipe,m4v,matroska,"
                               "mjpeg,mov,mp3,mpeg,mpegts,mpegvideo,mxf,nsv,nut,obu,ogg,pam_pipe,pbm_pipe,pcx_pipe,pgm_"
                               "pipe,pgmyuv_pipe,png_pipe,ppm_pipe,"
                               "psd_pipe,qoi_pipe,rm,roq,smjpeg,smk,swf,thp,tiff_pipe,truehd,tta,vc1,vc1test,vmd,voc,"
                               "w64,wav,wc3movie,webp_pipe,wtv,wv,"
                               "xbm_pipe,xwd_pipe,yop,yuv4mpegpipe";

const char *av_input_demuxers(void)
{
    return demuxers;
}

/* libav's guess at the first `len` bytes; *score: 0 to AVPROBE_SCORE_MAX. NULL also where two formats are as likely. */
static const AVInputFormat *probe(const unsigned char *head, size_t len, int *score)
{
    unsigned char *padded = base_alloc(len + AVPROBE_PADDING_SIZE);
    memcpy(padded, head, len);
    AVProbeData data = {.filename = "", .buf = padded, .buf_size = (int)len};
    *score = 0;
    const AVInputFormat *format = av_probe_input_format3(&data, 1, score);
    base_free(padded);
    return format;
}

/* Of more and more bytes, as libav itself does it: the further in, the more pictures can look like another format's packets. */
static const AVInputFormat *probe_among(const unsigned char *head, size_t len, const char *names)
{
    const AVInputFormat *format = NULL;
    int score = 0;
    for (size_t n = PROBE_FIRST; n < len && !(format && score > AVPROBE_SCORE_RETRY); n *= 2)
        format = probe(head, n, &score);
    if (!format || score <= AVPROBE_SCORE_RETRY)
        format = probe(head, len, &score);
    return format && score > 0 && av_match_list(format->name, names, ',') ? format : NULL;
}

bool av_input_probe_among(const unsigned char *head, size_t len, const char *names)
{
    return probe_among(head, len, names) != NULL;
}

static const AVInputFormat *format_of_bytes(const char *path)
{
    enum { LOOKED_AT = 1 << 16 };
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    unsigned char *head = base_alloc(LOOKED_AT);
    size_t len = fread(head, 1, LOOKED_AT, file);
    const AVInputFormat *format = probe_among(head, len, demuxers);
    fclose(file);
    base_free(head);
    return format;
}

int av_failed(int code, int error, const char *path, const char *what)
{
    char words[AV_ERROR_MAX_STRING_SIZE];
    av_make_error_string(words, sizeof words, code);
    if (code == AVERROR(ENOMEM))
        error = PR_ERR_NOMEM;
    return base_fail(error, "%s: %s (%s)", path, what, words);
}

int64_t av_input_time(const struct av_input *input, const AVStream *stream, int64_t timestamp)
{
    if (timestamp == AV_NOPTS_VALUE)
        return PR_TIME_NONE;
    return av_rescale_q(timestamp, stream->time_base, AV_TIME_BASE_Q) - input->start;
}

void av_input_problem(struct av_input *input, struct pr_source_info *info, const char *problem)
{
    if (input->n_problems < sizeof input->problems / sizeof *input->problems)
        input->problems[input->n_problems++] = problem;
    info->problems = input->problems;
    info->n_problems = input->n_problems;
}

static void copy_tag(AVDictionary *tags, const char *key, char *out, size_t size)
{
    const AVDictionaryEntry *entry = av_dict_get(tags, key, NULL, 0);
    snprintf(out, size, "%s", entry ? entry->value : "");
}

static enum pr_stream_kind stream_kind(const AVStream *stream)
{
    const AVCodecDescriptor *codec = avcodec_descriptor_get(stream->codecpar->codec_id);
    switch (stream->codecpar->codec_type) {
    case AVMEDIA_TYPE_VIDEO:
        return PR_STREAM_VIDEO;
    case AVMEDIA_TYPE_AUDIO:
        return PR_STREAM_AUDIO;
    case AVMEDIA_TYPE_SUBTITLE:
        return codec && codec->props & AV_CODEC_PROP_BITMAP_SUB ? PR_STREAM_PICTURE_TEXT : PR_STREAM_TEXT;
    default: /* TTML and WebVTT in fragments, which libav doesn't know as text */
        return stream->codecpar->codec_tag == MKTAG('s', 't', 'p', 'p') ||
                       stream->codecpar->codec_tag == MKTAG('w', 'v', 't', 't')
                   ? PR_STREAM_TEXT
                   : PR_STREAM_OTHER;
    }
}

/* Frames a second; 0: unknown. AVI has one rate throughout, of which libav may take the double for the mean. */
static double mean_rate(AVFormatContext *format, AVStream *stream)
{
    bool constant = strcmp(format->iformat->name, "avi") == 0;
    AVRational rate = constant ? av_guess_frame_rate(format, stream, NULL) : stream->avg_frame_rate;
    return rate.den ? av_q2d(rate) : 0;
}

static void describe_streams(struct av_input *input, struct pr_source_info *info)
{
    unsigned n = input->format->nb_streams;
    input->streams = base_alloc_array(n, sizeof *input->streams);
    input->names = base_alloc_array(n, sizeof *input->names);
    for (unsigned i = 0; i < n; i++) {
        AVStream *stream = input->format->streams[i];
        const AVCodecParameters *codec = stream->codecpar;
        char(*names)[128] = input->names[i];
        copy_tag(stream->metadata, "language", names[0], sizeof names[0]);
        if (strcmp(names[0], "und") == 0) /* "undetermined" */
            names[0][0] = '\0';
        copy_tag(stream->metadata, "title", names[1], sizeof names[1]);
        if (codec->codec_id == AV_CODEC_ID_NONE && codec->codec_tag)
            av_fourcc_make_string(names[2], codec->codec_tag);
        else
            snprintf(names[2], sizeof names[2], "%s", avcodec_get_name(codec->codec_id));
        struct pr_stream *out = &input->streams[i];
        *out = (struct pr_stream){
            .kind = stream_kind(stream),
            .language = names[0],
            .title = names[1],
            .codec = names[2],
            .file = "",
            .sample_rate = codec->sample_rate,
            .channels = codec->ch_layout.nb_channels,
            .rate = codec->codec_type == AVMEDIA_TYPE_VIDEO ? mean_rate(input->format, stream) : 0,
            .frames = stream->nb_frames > 0 ? stream->nb_frames : 0,
        };
        if (out->kind == PR_STREAM_VIDEO) {
            out->rotation = av_stream_turn(stream).degrees;
            bool turned = out->rotation % 180 != 0;
            out->width = turned ? codec->height : codec->width;
            out->height = turned ? codec->width : codec->height;
        }
    }
    info->streams = input->streams;
    info->n_streams = n;
}

static void describe_chapters(struct av_input *input, struct pr_source_info *info)
{
    unsigned n = input->format->nb_chapters;
    input->marks = base_alloc_array(n, sizeof *input->marks);
    for (unsigned i = 0; i < n; i++) {
        const AVChapter *chapter = input->format->chapters[i];
        const AVDictionaryEntry *title = av_dict_get(chapter->metadata, "title", NULL, 0);
        input->marks[i] = (struct pr_mark){
            .span = {.page = PR_PAGE_NONE,
                     .t0 = av_rescale_q(chapter->start, chapter->time_base, AV_TIME_BASE_Q) - input->start,
                     .t1 = av_rescale_q(chapter->end, chapter->time_base, AV_TIME_BASE_Q) - input->start},
            .title = title ? title->value : "",
        };
    }
    info->marks = input->marks;
    info->n_marks = n;
}

/* format: NULL: found by probing. */
static int open_format(AVFormatContext **out, const char *path, const AVInputFormat *format, bool seekable)
{
    AVDictionary *options = NULL;
    struct base_buf url = {0};
    if (strcmp(path, "-") == 0)
        base_buf_puts(&url, "pipe:0");
    else
        base_buf_printf(&url, "file:%s", path);
    av_dict_set(&options, "format_whitelist", demuxers, 0);
    av_dict_set(&options, "protocol_whitelist", "file,pipe", 0);
    if (!seekable)
        av_dict_set(&options, "seekable", "0", 0);
    int code = avformat_open_input(out, url.data, format, &options);
    av_dict_free(&options);
    base_buf_finish(&url);
    return code;
}

/* MP4 says itself what libav would decode frames of H.264 for: their size, and how far they are shown in another order, which it counts from
 * the index. */
static bool tells_its_video(const AVFormatContext *format, const AVStream *stream)
{
    const AVCodecParameters *codec = stream->codecpar;
    return strncmp(format->iformat->name, "mov,", 4) == 0 && codec->codec_id == AV_CODEC_ID_H264 && codec->width > 0 &&
           codec->height > 0 && codec->extradata_size > 0 && stream->nb_frames > 0;
}

/* avformat_find_stream_info() that decodes and reads no more than it must. */
static int find_streams(AVFormatContext *format)
{
    unsigned n = format->nb_streams, told = 0, others = 0;
    AVDictionary **options = base_alloc_array(n + 1, sizeof(AVDictionary *));
    for (unsigned i = 0; i < n; i++)
        if (tells_its_video(format, format->streams[i]))
            told += av_dict_set(&options[i], "skip_frame", "all", 0) >= 0;
        else
            others += format->streams[i]->codecpar->codec_type == AVMEDIA_TYPE_VIDEO;
    if (told > 0 && others == 0)
        format->max_analyze_duration = AV_TIME_BASE; /* it would go on to look for what it isn't shown */
    int code = avformat_find_stream_info(format, options);
    for (unsigned i = 0; i < n; i++)
        av_dict_free(&options[i]);
    base_free(options);
    return code;
}

/* Packets of a stream follow each other within this time, and are shown in another order within that; what is farther is a jump of
 * a broadcast clock. */
static const int64_t max_step = 10000000, max_reorder = 2000000;

int64_t av_input_measure(const struct av_input *input, const AVStream *stream)
{
    AVFormatContext *format = NULL;
    AVPacket *packet = av_packet_alloc();
    int64_t end = 0, last = 0, shift = 0, n = 0;
    if (!packet || strcmp(input->path, "-") == 0 || open_format(&format, input->path, NULL, true) < 0)
        goto done;
    if (find_streams(format) < 0 || (unsigned)stream->index >= format->nb_streams)
        goto done;
    for (unsigned i = 0; i < format->nb_streams; i++)
        format->streams[i]->discard = (int)i == stream->index ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    bool clock_jumps = format->iformat->flags & AVFMT_TS_DISCONT;
    for (; av_read_frame(format, packet) >= 0; av_packet_unref(packet)) {
        if (packet->stream_index != stream->index)
            continue;
        int64_t length = av_rescale_q(FFMAX(packet->duration, 0), stream->time_base, AV_TIME_BASE_Q);
        int64_t time = av_input_time(input, stream, packet->pts != AV_NOPTS_VALUE ? packet->pts : packet->dts);
        n++;
        ingest_report(0);
        if (time == PR_TIME_NONE)
            continue;
        time += shift;
        if (clock_jumps && n > 1 && (time < last - max_reorder || time > last + max_step)) {
            shift += end - time;
            time = end;
        }
        last = time;
        end = FFMAX(end, time + length);
    }
    AVRational rate = av_guess_frame_rate(format, format->streams[stream->index], NULL);
    if (end <= 0 && rate.num > 0 && rate.den > 0) /* a raw stream: its frames are counted */
        end = av_rescale_q(n, av_inv_q(rate), AV_TIME_BASE_Q);
done:
    av_packet_free(&packet);
    avformat_close_input(&format);
    return end > 0 ? end : PR_TIME_NONE;
}

/* Recordings that were joined begin their clock anew: whether a few places over the file have falling times. */
static bool clock_jumps(struct av_input *input, int stream)
{
    enum { PLACES = 8, PACKETS = 2000 };
    AVFormatContext *format = input->format;
    AVPacket *packet = av_packet_alloc();
    int64_t size = format->pb ? avio_size(format->pb) : 0, last = PR_TIME_NONE;
    bool jumps = false;
    for (int i = 0; packet && i < PLACES && !jumps; i++) {
        int64_t time = PR_TIME_NONE;
        if (av_seek_frame(format, stream, size / PLACES * i, AVSEEK_FLAG_BYTE) < 0)
            break;
        for (int n = 0; n < PACKETS && time == PR_TIME_NONE && av_read_frame(format, packet) >= 0; n++) {
            if (packet->stream_index == stream)
                time = av_input_time(input, format->streams[stream], packet->dts);
            av_packet_unref(packet);
        }
        jumps = time != PR_TIME_NONE && last != PR_TIME_NONE && time < last;
        last = time != PR_TIME_NONE ? time : last;
    }
    av_packet_free(&packet);
    av_seek_frame(format, stream, 0, AVSEEK_FLAG_BYTE);
    return jumps;
}

static void measure_jumping_clock(struct av_input *input, struct pr_source_info *info)
{
    const char *name = input->format->iformat->name;
    int stream = av_find_best_stream(input->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if ((strcmp(name, "mpegts") != 0 && strcmp(name, "mpeg") != 0) || stream < 0 || strcmp(input->path, "-") == 0)
        return;
    input->clock_jumps = clock_jumps(input, stream);
    if (input->clock_jumps)
        info->duration = av_input_measure(input, input->format->streams[stream]);
}

/* Matroska and FLV count the length from the zero of the clock as some write them, from the first frame as others do. */
static void measure_late_start(struct av_input *input, struct pr_source_info *info)
{
    AVFormatContext *format = input->format;
    const char *name = format->iformat->name;
    int stream = av_find_best_stream(format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if ((strcmp(name, "matroska,webm") != 0 && strcmp(name, "flv") != 0) || input->start <= 0 || stream < 0 ||
        info->duration <= input->start)
        return;
    int64_t length = info->duration - input->start;
    if (input->start >= AV_TIME_BASE)
        length = av_input_measure(input, format->streams[stream]);
    if (length != PR_TIME_NONE)
        info->duration = length;
}

/* Where a track ends, since the film's start, by itself or by the tag that muxers of Matroska write. PR_TIME_NONE: it doesn't say. */
static int64_t track_end(const struct av_input *input, const AVStream *stream)
{
    const AVDictionaryEntry *tag = av_dict_get(stream->metadata, "DURATION", NULL, 0);
    int64_t end;
    if (tag && pr_time_parse(tag->value, &end) == PR_OK)
        return end;
    if (stream->duration == AV_NOPTS_VALUE)
        return PR_TIME_NONE;
    int64_t first = stream->start_time != AV_NOPTS_VALUE ? stream->start_time : 0;
    return av_input_time(input, stream, first + stream->duration);
}

/* Captions that stay until the next one comes make a film last a thousand hours, by what its file says: pictures and sound count. */
static void leave_out_text(struct av_input *input, struct pr_source_info *info)
{
    AVFormatContext *format = input->format;
    bool text = false;
    int64_t end = 0;
    for (unsigned i = 0; i < format->nb_streams; i++) {
        enum AVMediaType type = format->streams[i]->codecpar->codec_type;
        text |= type == AVMEDIA_TYPE_SUBTITLE;
        if ((type != AVMEDIA_TYPE_VIDEO && type != AVMEDIA_TYPE_AUDIO) ||
            format->streams[i]->disposition & AV_DISPOSITION_ATTACHED_PIC)
            continue;
        int64_t ends = track_end(input, format->streams[i]);
        if (ends == PR_TIME_NONE)
            return;
        end = FFMAX(end, ends);
    }
    if (text && end > 0 && info->duration != PR_TIME_NONE && info->duration - end > AV_TIME_BASE)
        info->duration = end;
}

/* Says how far a file goes that breaks off. Its length is that of the whole in most kinds of file: it is measured. */
static void check_end(struct av_input *input, struct pr_source_info *info)
{
    char end[32], whole[32];
    int stream = av_find_best_stream(input->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    if (stream < 0)
        stream = av_find_best_stream(input->format, AVMEDIA_TYPE_AUDIO, -1, -1, NULL, 0);
    if (strcmp(input->path, "-") == 0 || !ingest_is_cut_file(input->path))
        return;
    info->partial = true;
    int64_t said = info->duration, length = said != PR_TIME_NONE && stream >= 0
                                                ? av_input_measure(input, input->format->streams[stream])
                                                : PR_TIME_NONE;
    if (length != PR_TIME_NONE)
        info->duration = length;
    pr_time_text(info->duration, end, sizeof end);
    pr_time_text(said, whole, sizeof whole);
    if (length == PR_TIME_NONE)
        snprintf(input->broken, sizeof input->broken, "it breaks off; what is there is read");
    else if (said - length < 1000000) /* counted from what is there, or hardly shorter */
        snprintf(input->broken, sizeof input->broken, "it breaks off at %s; what is there is read", end);
    else
        snprintf(input->broken, sizeof input->broken, "it breaks off at %s of %s; what is there is read", end, whole);
    av_input_problem(input, info, input->broken);
}

int av_input_open(struct av_input *input, const char *path, struct pr_source_info *info)
{
    av_log_set_level(AV_LOG_QUIET);
    input->path = base_strdup(path);
    int code = open_format(&input->format, path, NULL, true);
    if (code == AVERROR(EINVAL) && strcmp(path, "-") != 0) {
        /* The end of its name spoke for a demuxer that isn't allowed: its bytes are asked alone. */
        const AVInputFormat *known = format_of_bytes(path);
        code = known ? open_format(&input->format, path, known, true) : code;
    } else if (code < 0 && strcmp(path, "-") != 0) {
        /* In a film in fragments that breaks off, what is before the end is only found by who doesn't look for it. */
        bool opened = open_format(&input->format, path, NULL, false) >= 0;
        code = opened ? 0 : code;
    }
    if (code < 0 && strcmp(path, "-") == 0)
        return av_failed(code, PR_ERR_FORMAT, path,
                         "standard input holds no video, sound or picture that can be read; documents are "
                         "read from files only");
    if (code < 0 && ingest_is_cut_file(path))
        return av_failed(code, PR_ERR_FORMAT, path,
                         "breaks off, and what says how to read it is in the part that is missing; get the whole file");
    if (code < 0)
        return av_failed(code, PR_ERR_FORMAT, path,
                         "can't be opened as video, sound or picture; it is damaged or of a kind "
                         "that pagereel doesn't read");
    code = find_streams(input->format);
    if (code < 0)
        return av_failed(code, PR_ERR_FORMAT, path, "its streams can't be told apart; it is damaged");
    input->start = input->format->start_time != AV_NOPTS_VALUE ? input->format->start_time : 0;
    input->title = av_malloc(256);
    copy_tag(input->format->metadata, "title", input->title, 256);
    info->title = input->title;
    info->format = input->format->iformat->name;
    info->start = input->start;
    info->duration = input->format->duration != AV_NOPTS_VALUE && input->format->duration > 0 ? input->format->duration
                                                                                              : PR_TIME_NONE;
    measure_late_start(input, info);
    measure_jumping_clock(input, info);
    leave_out_text(input, info);
    check_end(input, info);
    describe_streams(input, info);
    describe_chapters(input, info);
    return PR_OK;
}

void av_input_finish(struct av_input *input)
{
    avformat_close_input(&input->format);
    av_free(input->title);
    base_free(input->streams);
    base_free(input->names);
    base_free(input->marks);
    base_free(input->path);
}
