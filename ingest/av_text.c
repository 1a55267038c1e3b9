/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Text tracks of a film: those inside its container and those in files beside it (NAME.srt, NAME.en.vtt, NAME.de.forced.ass).
 * They are read after the frames, each track in one sweep over its file, with every other stream skipped; on standard input, which comes once,
 * between the frames.
 */
#include "ingest/ass.h"
#include "ingest/av.h"
#include "ingest/beside.h"

#include <dirent.h>
#include <libavutil/avstring.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { LOOKED_AT = 1 << 20 };
static const int64_t latest =
    INT64_MAX / 4; /* an event that is said to be farther away than 73,000 years isn't there */

/* ---- languages -------------------------------------------------------------------------------------------------- */

/* ISO 639-1 and both 639-2 codes of languages that films are often in. */
static const char *const languages[][3] = {
    {"ar", "ara", "ara"}, {"cs", "cze", "ces"}, {"da", "dan", "dan"}, {"de", "ger", "deu"}, {"el", "gre", "ell"},
    {"en", "eng", "eng"}, {"es", "spa", "spa"}, {"fi", "fin", "fin"}, {"fr", "fre", "fra"}, {"he", "heb", "heb"},
    {"hi", "hin", "hin"}, {"hu", "hun", "hun"}, {"id", "ind", "ind"}, {"it", "ita", "ita"}, {"ja", "jpn", "jpn"},
    {"ko", "kor", "kor"}, {"nl", "dut", "nld"}, {"no", "nor", "nor"}, {"pl", "pol", "pol"}, {"pt", "por", "por"},
    {"ro", "rum", "ron"}, {"ru", "rus", "rus"}, {"sv", "swe", "swe"}, {"th", "tha", "tha"}, {"tr", "tur", "tur"},
    {"uk", "ukr", "ukr"}, {"vi", "vie", "vie"}, {"zh", "chi", "zho"},
};

/* "eng", "en-US" and "EN" are "en"; others are themselves. */
static const char *short_code(const char *language, char out[8])
{
    size_t len = strcspn(language, "-_");
    snprintf(out, 8, "%.*s", (int)(len < 7 ? len : 7), language);
    for (size_t i = 0; i < sizeof languages / sizeof *languages; i++)
        for (int form = 0; form < 3; form++)
            if (strcasecmp(out, languages[i][form]) == 0)
                return languages[i][0];
    return out;
}

bool av_same_language(const char *a, const char *b)
{
    char x[8], y[8];
    return strcasecmp(short_code(a, x), short_code(b, y)) == 0;
}

/* ---- side files ------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct av_track *)a)->path, ((const struct av_track *)b)->path);
}

/* What stands between the stem and the ending: "en", "en.forced", or nothing. */
static void name_track(struct av_track *track, size_t stem_len)
{
    const char *name = strrchr(track->path, '/');
    name = name ? name + 1 : track->path;
    const char *middle = name + stem_len + 1;
    const char *ending = strrchr(name, '.');
    if (middle < ending) {
        size_t len = strcspn(middle, ".");
        snprintf(track->language, sizeof track->language, "%.*s", (int)(len < 7 ? len : 7), middle);
        snprintf(track->title, sizeof track->title, "%.*s", (int)(ending - middle), middle);
    }
}

static void find_side_files(struct av_tracks *tracks, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t stem_len = ingest_stem(name);
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup("");
    DIR *dir = opendir(slash ? folder : ".");
    size_t first = tracks->n;
    struct dirent *entry;
    while (dir && (entry = readdir(dir)) && tracks->n < first + INGEST_MAX_SIDE_FILES) {
        if (strcmp(entry->d_name, name) == 0 || !ingest_is_side_file(entry->d_name, name, stem_len))
            continue;
        struct base_buf full = {0};
        base_buf_printf(&full, "%s%s", folder, entry->d_name);
        struct stat st; /* a pipe by that name would be waited for */
        if (stat(full.data, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > INGEST_MAX_SIDE_BYTES) {
            base_buf_finish(&full);
            continue;
        }
        tracks->list[tracks->n++] = (struct av_track){.path = full.data, .side = true};
    }
    if (dir)
        closedir(dir);
    free(folder);
    qsort(tracks->list + first, tracks->n - first, sizeof *tracks->list, by_name);
    for (size_t i = first; i < tracks->n; i++)
        name_track(&tracks->list[i], stem_len);
}

/* ---- closed captions -------------------------------------------------------------------------------------------- */

/* Whether captions as ANSI/SCTE 128 and ATSC A/53 part 4 put them beside pictures have words: "GA94", 3, how many triples there are, a byte,
 * and the triples: a flag (valid), which kind (0, 1: CEA-608; 2, 3: CEA-708), two bytes with parity. Nothing is 0x80 0x80. */
static bool has_caption_words(const uint8_t *data, size_t size)
{
    static const char mark[] = "GA94\3";
    const uint8_t *end = data + size;
    for (const uint8_t *at = data; (at = memmem(at, (size_t)(end - at), mark, 5)); at += 5) {
        if (end - at < 7 || !(at[5] & 0x40))
            continue;
        const uint8_t *triple = at + 7;
        for (int n = at[5] & 0x1f; n > 0 && end - triple >= 3; n--, triple += 3)
            if ((triple[0] & 0xfc) == 0xfc && ((triple[0] & 3) == 3 || (triple[1] & 0x7f) || (triple[2] & 0x7f)))
                return true;
    }
    return false;
}

/* Looks at some places of a file, without decoding. */
static bool has_closed_captions(const struct av_input *input)
{
    enum { PLACES = 8, PLACE = 1 << 18 };
    int best = av_find_best_stream(input->format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
    enum AVCodecID codec = best >= 0 ? input->format->streams[best]->codecpar->codec_id : AV_CODEC_ID_NONE;
    FILE *file = NULL;
    struct stat st;
    bool found = false;
    if (codec == AV_CODEC_ID_H264 || codec == AV_CODEC_ID_HEVC || codec == AV_CODEC_ID_MPEG2VIDEO)
        file = fopen(input->path, "rb");
    if (!file || fstat(fileno(file), &st) < 0) {
        if (file)
            fclose(file);
        return false;
    }
    uint8_t *data = base_alloc(PLACE);
    for (int i = 0; i < PLACES && !found; i++)
        if (fseeko(file, st.st_size / PLACES * i, SEEK_SET) == 0)
            found = has_caption_words(data, fread(data, 1, PLACE, file));
    fclose(file);
    base_free(data);
    return found;
}

/* ---- which tracks there are ------------------------------------------------------------------------------------- */

static int open_decoder(const AVStream *stream, AVDictionary **options, AVCodecContext **out)
{
    const AVCodec *codec = avcodec_find_decoder(stream->codecpar->codec_id);
    *out = codec ? avcodec_alloc_context3(codec) : NULL;
    if (!*out)
        return AVERROR_DECODER_NOT_FOUND;
    int code = avcodec_parameters_to_context(*out, stream->codecpar);
    (*out)->pkt_timebase = stream->time_base;
    return code < 0 ? code : avcodec_open2(*out, codec, options);
}

/* Has the packets of a track on standard input handed out, to be decoded as they come. */
static bool open_streamed(struct av_track *track, AVStream *stream)
{
    if (open_decoder(stream, NULL, &track->decoder) < 0)
        return false;
    stream->discard = AVDISCARD_DEFAULT;
    return true;
}

void av_tracks_find(struct av_tracks *tracks, struct av_input *input, const struct ingest_options *options,
                    struct pr_source_info *info)
{
    size_t n_inside = input->format->nb_streams;
    tracks->list = base_alloc_array(n_inside + INGEST_MAX_SIDE_FILES, sizeof *tracks->list);
    bool unread = false;
    for (size_t i = 0; i < n_inside; i++)
        if (input->streams[i].kind == PR_STREAM_TEXT &&
            !avcodec_find_decoder(input->format->streams[i]->codecpar->codec_id))
            unread = true;
        else if (input->streams[i].kind == PR_STREAM_TEXT)
            tracks->list[tracks->n++] = (struct av_track){.path = base_strdup(input->path), .stream = (int)i};
    tracks->streamed = strcmp(input->path, "-") == 0;
    if (!tracks->streamed)
        find_side_files(tracks, input->path);
    /* Side files follow the container's streams in the list of streams. */
    struct pr_stream *streams = base_realloc(input->streams, (n_inside + INGEST_MAX_SIDE_FILES) * sizeof *streams);
    input->streams = streams;
    for (size_t i = 0; i < tracks->n; i++) {
        struct av_track *track = &tracks->list[i];
        if (track->side) {
            track->number = (int)info->n_streams++;
            const char *name = strrchr(track->path, '/');
            streams[track->number] = (struct pr_stream){.kind = PR_STREAM_TEXT,
                                                        .codec = strrchr(track->path, '.') + 1,
                                                        .language = track->language,
                                                        .title = track->title,
                                                        .file = name ? name + 1 : track->path};
        } else {
            track->number = track->stream;
        }
        struct pr_stream *stream = &streams[track->number];
        stream->chosen =
            !options->language || !*stream->language || av_same_language(stream->language, options->language);
        if (tracks->streamed && stream->chosen)
            stream->chosen = open_streamed(track, input->format->streams[track->stream]);
        track->chosen = stream->chosen;
    }
    info->streams = streams;
    if (unread)
        av_input_problem(input, info, "some of its subtitles are of a kind that isn't read");
    if (!tracks->streamed && has_closed_captions(input))
        av_input_problem(input, info,
                         "it has closed captions beside its pictures (CEA-608 or 708), which are not read");
    for (size_t i = 0; i < n_inside; i++)
        if (streams[i].kind == PR_STREAM_PICTURE_TEXT) {
            av_input_problem(input, info, "its subtitles are pictures, which are not read");
            break;
        }
}

void av_tracks_finish(struct av_tracks *tracks)
{
    avcodec_free_context(&tracks->decoder);
    avformat_close_input(&tracks->format);
    av_packet_free(&tracks->packet);
    av_packet_free(&tracks->ahead);
    ingest_lines_finish(&tracks->lines);
    for (size_t i = 0; i < tracks->n; i++) {
        base_free(tracks->list[i].path);
        avcodec_free_context(&tracks->list[i].decoder);
    }
    base_free(tracks->list);
}

/* ---- reading a track -------------------------------------------------------------------------------------------- */

/* Old side files are in a code page; Windows' Latin one is the most common by far. */
static bool is_utf8(const char *path)
{
    bool good = true;
    FILE *file = fopen(path, "rb");
    if (!file)
        return true;
    char *text = base_alloc(LOOKED_AT);
    size_t len = fread(text, 1, LOOKED_AT, file);
    fclose(file);
    const uint8_t *at = (const uint8_t *)text, *end = at + len;
    bool utf16 = len >= 2 && ((at[0] == 0xff && at[1] == 0xfe) || (at[0] == 0xfe && at[1] == 0xff));
    while (!utf16 && good && end - at > 4) {
        int32_t c;
        good = av_utf8_decode(&c, &at, end, AV_UTF8_FLAG_ACCEPT_ALL) >= 0;
    }
    base_free(text);
    return good;
}

static int open_track(struct av_tracks *tracks, const struct av_track *track)
{
    AVDictionary *options = NULL, *decoder_options = NULL;
    struct base_buf url = {0};
    base_buf_printf(&url, "file:%s", track->path);
    av_dict_set(&options, "format_whitelist", track->side ? "srt,webvtt,ass" : av_input_demuxers(), 0);
    av_dict_set(&options, "protocol_whitelist", "file", 0);
    int code = avformat_open_input(&tracks->format, url.data, NULL, &options);
    av_dict_free(&options);
    base_buf_finish(&url);
    if (code >= 0 && !track->side)
        code = avformat_find_stream_info(tracks->format, NULL);
    if (code < 0)
        return code;
    if ((unsigned)track->stream >= tracks->format->nb_streams)
        return AVERROR_STREAM_NOT_FOUND;
    for (unsigned i = 0; i < tracks->format->nb_streams; i++)
        tracks->format->streams[i]->discard = (int)i == track->stream ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    if (track->side && !is_utf8(track->path))
        av_dict_set(&decoder_options, "sub_charenc", "CP1252", 0);
    code = open_decoder(tracks->format->streams[track->stream], &decoder_options, &tracks->decoder);
    av_dict_free(&decoder_options);
    return code;
}

static void close_track(struct av_tracks *tracks)
{
    av_packet_unref(tracks->ahead);
    avcodec_free_context(&tracks->decoder);
    avformat_close_input(&tracks->format);
}

/* Blank lines say nothing. */
static void drop_blank_lines(struct ingest_lines *lines)
{
    size_t kept = 0;
    for (size_t i = 0; i < lines->n; i++) {
        if (lines->lines[i].text[strspn(lines->lines[i].text, " ")] == '\0')
            base_free((void *)lines->lines[i].text);
        else
            lines->lines[kept++] = lines->lines[i];
    }
    lines->n = kept;
}

/* The text of an event. start: of the film on the clock of `stream`. PR_MORE: it has no words. */
static int decode_event(struct av_tracks *tracks, const struct av_track *track, AVCodecContext *decoder,
                        const AVStream *stream, AVPacket *packet, int64_t start, struct pr_unit *unit)
{
    AVSubtitle subtitle;
    int got = 0;
    if (packet->pts != AV_NOPTS_VALUE)
        avcodec_decode_subtitle2(decoder, &subtitle, &got, packet);
    if (!got)
        return PR_MORE;
    ingest_lines_reset(&tracks->lines);
    for (unsigned i = 0; i < subtitle.num_rects; i++) {
        if (subtitle.rects[i]->ass)
            ingest_ass_lines(&tracks->lines, subtitle.rects[i]->ass);
        else if (subtitle.rects[i]->text)
            ingest_lines_add(&tracks->lines, subtitle.rects[i]->text, strlen(subtitle.rects[i]->text),
                             (struct pr_box){0});
    }
    int64_t time = av_rescale_q(packet->pts, stream->time_base, AV_TIME_BASE_Q);
    int64_t length = av_rescale_q(FFMAX(packet->duration, 0), stream->time_base, AV_TIME_BASE_Q);
    if (packet->duration <= 0 && subtitle.end_display_time != 0 && subtitle.end_display_time != UINT32_MAX)
        length = (int64_t)subtitle.end_display_time * 1000;
    avsubtitle_free(&subtitle);
    drop_blank_lines(&tracks->lines);
    if (tracks->lines.n == 0 || time < -latest || time > latest || length < 0 || length > latest)
        return PR_MORE;
    unit->kind = PR_UNIT_TEXT;
    unit->stream = track->number;
    unit->span.t0 = time - start;
    unit->span.t1 = time - start + length;
    unit->lines = tracks->lines.lines;
    unit->n_lines = tracks->lines.n;
    ingest_report(unit->span.t0);
    return PR_OK;
}

static bool is_asked_for(const struct ingest_options *options, const struct pr_span *span)
{
    bool late = options->to != PR_TIME_NONE && span->t0 >= options->to;
    bool early = options->from != PR_TIME_NONE && span->t1 <= options->from;
    return !late && !early;
}

static const struct av_track *track_of(const struct av_tracks *tracks, const AVPacket *packet)
{
    for (size_t i = 0; i < tracks->n && tracks->streamed; i++)
        if (tracks->list[i].stream == packet->stream_index && tracks->list[i].chosen)
            return &tracks->list[i];
    return NULL;
}

bool av_tracks_takes(const struct av_tracks *tracks, const AVPacket *packet)
{
    return packet->data && track_of(tracks, packet);
}

int av_tracks_decode(struct av_tracks *tracks, const struct ingest_options *options, const struct av_input *input,
                     AVPacket *packet, struct pr_unit *unit)
{
    const struct av_track *track = track_of(tracks, packet);
    const AVStream *stream = input->format->streams[track->stream];
    struct pr_unit text = *unit;
    int err = decode_event(tracks, track, track->decoder, stream, packet, input->start, &text);
    av_packet_unref(packet);
    if (err != PR_OK || !is_asked_for(options, &text.span))
        return PR_MORE;
    *unit = text;
    return PR_OK;
}

/* The next packet of the open track, in tracks->packet or tracks->ahead. */
static bool read_packet(struct av_tracks *tracks, const struct av_track *track, AVPacket *packet)
{
    while (av_read_frame(tracks->format, packet) >= 0) {
        if (packet->stream_index == track->stream)
            return true;
        av_packet_unref(packet);
    }
    return false;
}

/* One event of the open track. PR_MORE: it has no words. What doesn't say how long it stays (in fragments of MP4) stays until the next
 * one, which may be empty. */
static int read_event(struct av_tracks *tracks, const struct av_track *track, int64_t start, struct pr_unit *unit)
{
    bool ahead = tracks->ahead->data != NULL;
    if (ahead)
        av_packet_move_ref(tracks->packet, tracks->ahead);
    else if (!read_packet(tracks, track, tracks->packet))
        return PR_EOF;
    AVStream *stream = tracks->format->streams[track->stream];
    start = track->side ? 0 : start;
    int err = decode_event(tracks, track, tracks->decoder, stream, tracks->packet, start, unit);
    av_packet_unref(tracks->packet);
    if (err == PR_OK && unit->span.t1 == unit->span.t0 && !track->side && read_packet(tracks, track, tracks->ahead)) {
        int64_t next = av_rescale_q(tracks->ahead->pts, stream->time_base, AV_TIME_BASE_Q);
        if (tracks->ahead->pts != AV_NOPTS_VALUE && next < latest && next - start > unit->span.t0)
            unit->span.t1 = next - start;
    }
    return err;
}

int av_tracks_next(struct av_tracks *tracks, const struct ingest_options *options, int64_t start, struct pr_unit *unit)
{
    if (!tracks->packet) {
        tracks->packet = av_packet_alloc();
        tracks->ahead = av_packet_alloc();
    }
    for (; tracks->at < tracks->n && !tracks->streamed; tracks->at++) {
        const struct av_track *track = &tracks->list[tracks->at];
        if (!track->chosen)
            continue;
        int code = tracks->format ? 0 : open_track(tracks, track);
        if (code < 0) {
            close_track(tracks);
            tracks->at++;
            return av_failed(code, PR_ERR_FORMAT, track->path, "its subtitles can't be read");
        }
        int err;
        while ((err = read_event(tracks, track, start, unit)) != PR_EOF)
            if (err == PR_OK && is_asked_for(options, &unit->span))
                return PR_OK;
        close_track(tracks);
    }
    return PR_EOF;
}
