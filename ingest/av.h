/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the files about libav share: av_input.c opens and describes, av_picture.c makes RGB pictures of frames (av_hdr.c: of HDR), av_text.c reads
 * text tracks, av_webp.c animated WebP, video.c samples. Nothing else includes libav.
 */
#pragma once

#include "base/mem.h"
#include "ingest/reader.h"

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswresample/swresample.h>
#include <libswscale/swscale.h>

/* An opened container and its description. */
struct av_input {
    AVFormatContext *format;
    char *path;
    int64_t start; /* microseconds of the container's clock at which the film begins: time 0 of our spans */
    struct pr_stream *streams;
    char (*names)[3][128]; /* [n_streams]: language, title, codec */
    struct pr_mark *marks;
    char *title, *format_name;
    bool clock_jumps; /* a broadcast stream whose clock begins anew on the way: no seek finds a time */
    const char *problems[8];
    char broken[128]; /* the problem of a file that breaks off */
    size_t n_problems;
};

/* Whether the first bytes look like what one of the demuxers `names` takes. */
bool av_input_probe_among(const unsigned char *head, size_t len, const char *names);
/* Opens a local file, or standard input for "-". Only demuxers of the allow-list are tried, and no protocol but files: playlists
 * and scripts that name other files are refused as unknown. Fills info but kind and chosen streams. */
int av_input_open(struct av_input *input, const char *path, struct pr_source_info *info);
void av_input_finish(struct av_input *input);
/* Reads the packets of a stream of a local file to find where it ends, in microseconds since the film's start. PR_TIME_NONE: it
 * can't be told. */
int64_t av_input_measure(const struct av_input *input, const AVStream *stream);
/* The words for a libav error code. */
int av_failed(int code, int error, const char *path, const char *what);
/* A time of a stream in microseconds since the film's start, or PR_TIME_NONE. */
int64_t av_input_time(const struct av_input *input, const AVStream *stream, int64_t timestamp);
void av_input_problem(struct av_input *input, struct pr_source_info *info, const char *problem);

/* Makes upright RGB pictures of decoded frames: rotation, sample aspect, interlacing, HDR, palette and alpha (over white) are
 * taken care of. Zero-initialised is ready; it rebuilds itself when frames change their form. */
struct av_picture {
    struct SwsContext *scaler;
    AVFrame *scaled;
    int width, height, format, interlaced; /* of the frames it is built for */
    enum AVColorTransferCharacteristic color_trc;
    enum AVColorSpace color_space;
    enum AVColorRange color_range;
    AVRational aspect;
    uint8_t *rgb;
    size_t rgb_cap;
};
/* What makes a stored picture upright: it is mirrored left to right, and then turned. */
struct av_turn {
    bool mirrored;
    int degrees; /* clockwise, a multiple of 90 */
};
/* By the EXIF orientation of a photo. */
struct av_turn av_photo_turn(const AVFrame *frame);
/* By the display matrix of a film. */
struct av_turn av_stream_turn(const AVStream *stream);
/* The size at which a frame is shown that is turned by `degrees`: with square pixels. */
void av_shown_size(const AVFrame *frame, int degrees, int32_t *width, int32_t *height);
/* Fills unit->rgb (valid until the next call), picture_width/height (at most max_pixels), width and height. */
int av_picture_make(struct av_picture *picture, const AVFrame *frame, struct av_turn turn, int64_t max_pixels,
                    struct pr_unit *unit);
void av_picture_finish(struct av_picture *picture);

/* Whether a frame's light is written by the PQ or HLG curve. */
bool av_hdr_is(const AVFrame *frame);
/* Tone-maps `picture`, the RGB48 that was made of such a frame, to 8 bits: its rows hold RGB24 then. */
void av_hdr_map(const AVFrame *frame, AVFrame *picture);

/* A packet that holds a PNG which breaks off is ended, so that the rows that are there are decoded. */
void av_end_png(AVPacket *packet);

/* ---- animated WebP ----------------------------------------------------------------------------------------------- */

struct av_webp;
struct av_webp_info {
    int32_t width, height;
    int64_t duration; /* microseconds */
};
/* PR_OK with *out NULL if the file is no animated WebP; otherwise the caller owns *out and *info is filled.
 * PR_ERR_FORMAT: it is one, but damaged. */
int av_webp_open(const char *path, struct av_webp **out, struct av_webp_info *info);
/* The same of bytes, which the caller keeps until close. `name` is for messages. */
int av_webp_open_bytes(const void *bytes, size_t size, const char *name, struct av_webp **out,
                       struct av_webp_info *info);
void av_webp_close(struct av_webp *webp); /* takes NULL */
/* The next whole picture: RGBA, time and pkt_duration in milliseconds. PR_EOF at the end, also of a file that breaks off. */
int av_webp_next(struct av_webp *webp, AVFrame *frame);

/* ---- text tracks ------------------------------------------------------------------------------------------------- */

struct av_track {
    char *path; /* of the container or of the side file */
    int stream; /* in its file */
    int number; /* in info->streams */
    bool side, chosen;
    char language[8], title[64]; /* of side files */
    AVCodecContext *decoder;     /* of one on standard input */
};
/* Zero-initialised is ready. */
struct av_tracks {
    struct av_track *list;
    size_t n, at;
    bool streamed;           /* they come on standard input, between the frames: av_tracks_decode() reads them */
    AVFormatContext *format; /* of the track that is being read */
    AVCodecContext *decoder;
    AVPacket *packet, *ahead; /* ahead: was read to know how long the one before stays */
    struct ingest_lines lines;
};
/* Finds the text tracks of a film and adds those beside it to info->streams. */
void av_tracks_find(struct av_tracks *tracks, struct av_input *input, const struct ingest_options *options,
                    struct pr_source_info *info);
/* The next piece of text, track after track. start: input->start. */
int av_tracks_next(struct av_tracks *tracks, const struct ingest_options *options, int64_t start, struct pr_unit *unit);
/* Whether a packet is of a chosen track on standard input, and its text (PR_MORE: it has none that is asked for); unreferences the packet. */
bool av_tracks_takes(const struct av_tracks *tracks, const AVPacket *packet);
int av_tracks_decode(struct av_tracks *tracks, const struct ingest_options *options, const struct av_input *input,
                     AVPacket *packet, struct pr_unit *unit);
void av_tracks_finish(struct av_tracks *tracks);
/* "en", "eng" and "en-US" are the same language. */
bool av_same_language(const char *a, const char *b);
/* The allow-list of demuxers, as libav's format_whitelist takes it. */
const char *av_input_demuxers(void);

/* ---- sound ------------------------------------------------------------------------------------------------------- */

/* Zero-initialised is ready. */
struct av_sound {
    AVFormatContext *format;
    AVCodecContext *decoder;
    AVPacket *packet;
    AVFrame *frame;
    SwrContext *resampler;
    int stream, in_rate, in_format, in_channels;
    float *samples; /* [n] from `begin` on; the first `given` of them are the last unit's */
    size_t n, cap, given;
    int64_t begin;
    bool waiting; /* the decoded frame lies behind a hole */
    bool ended;
};
/* The next block of at most a second, if options->sound asks for it; PR_EOF also when there is no sound. */
int av_sound_next(struct av_sound *sound, const struct av_input *input, const struct ingest_options *options,
                  struct pr_unit *unit);
void av_sound_finish(struct av_sound *sound);
