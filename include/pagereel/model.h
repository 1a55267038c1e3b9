/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Models: devices, settings, loading, text in and out, benchmarks. The sources-and-questions half is in pagereel.h.
 *
 *     struct pr_settings settings = pr_settings_default();
 *     settings.model = "model.gguf";
 *     struct pr_model *model;
 *     if (pr_model_open(&settings, NULL, &model) < 0)
 *         die(pr_error_message());
 *     struct pr_session *session;
 *     pr_session_create(model, &settings, &session);
 *     pr_session_chat(session, PR_ROLE_USER, "Why is the sky blue?", 20);
 *     pr_session_generate(session, &settings, on_token, NULL, NULL, NULL);
 *
 * The library never prints and never exits. Strings that it hands out belong to the object that they come from.
 */
#ifndef PAGEREEL_MODEL_H
#define PAGEREEL_MODEL_H

#include "pagereel/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

const char *pr_version(void);    /* "0.1.0" */
const char *pr_build_info(void); /* lines of "name version": what this library was built with */

/* ---- settings: one struct, described by one table ---------------------------------------------------------------- */

/* Everything that a user can set. The table behind pr_options() describes each field; command-line flags, --help, the man
 * pages, the config file and HTTP fields all come from it. `size` lets later versions add fields at the end. A text that
 * isn't set is "" (NULL counts as ""). */
struct pr_settings {
    size_t size;                /* sizeof(struct pr_settings) of the program */
    const char *model, *device; /* path; "auto", "cpu", "vulkan[:N]", "ref" */
    int32_t threads;            /* 0: one for each physical core */
    int64_t gpu_memory;         /* bytes of the device to use; 0: what it has */
    int64_t memory;             /* bytes that answering may take on all devices together; 0: what the context needs */
    int32_t ctx;                /* tokens of context; 0: what the model was trained for, at most 16384 */
    const char *cache_type;     /* "f32", "f16", "q8_0" */
    int32_t window, sinks;      /* sliding KV cache; window 0: off */
    const char *chat_format;    /* "": as the model says */
    bool raw;
    int32_t max_tokens; /* of an answer; -1: until it ends or the context is full */
    float temperature, top_p, min_p, repeat_penalty;
    int32_t top_k, repeat_last;
    int64_t seed;     /* -1: from the clock */
    const char *stop; /* strings that end the answer, separated by newlines */
    int32_t logprobs; /* K of the top-K log-probabilities of each token; 0: none */
    bool json;
    const char *cache_dir; /* for pipelines; "": XDG_CACHE_HOME/pagereel */
    const char *prompt, *system;
    const char *text; /* bench ppl */
    int32_t runs;     /* of a benchmark */
    const char *session_save, *session_load;
    int64_t lose_device_after; /* fault injection: see docs/ARCHITECTURE.md */
    bool verbose;
    bool special; /* tokenize: text of control tokens becomes those tokens */

    /* of sources */
    float fps;                            /* frames sampled for each second */
    int32_t frames;                       /* at most so many over the whole; 0: by fps */
    bool scenes, keys;                    /* the first frame of each scene; every key frame */
    const char *from, *to, *pages;        /* "0:41:10.5"; "3-10"; "": all */
    int32_t stream;                       /* of a video's streams; -1: the best */
    const char *language, *password;      /* of text tracks, "": all; of a document */
    int64_t pixels;                       /* of a picture at the most */
    bool sound, units, read;              /* inspect: give sound, print every unit, count what is read of all */
    const char *output, *at, *page, *box; /* sheet, frame */

    const char *library;                  /* folder of what was added; "": XDG_DATA_HOME/pagereel */
    const char *save_evidence, *few_shot; /* a folder; a file of examples */
    int32_t look;                         /* places that a question looks at again in the sources */
    bool summary;                         /* of pr_read(): condense the notes */
    int32_t budget;                       /* tokens that a question's prompt may have; 0: by the model's size */
    int64_t disk;                         /* bytes that the library's evidence may take; 0: no limit */

    /* of pictures in prompts */
    const char *mmproj;              /* the vision part of the model; "": the one that lies beside it */
    const char *image, *video, *pdf; /* files, separated by newlines */
    int32_t image_tokens;            /* of one picture or frame at the most; 0: as the model was made for */
    int32_t side;                    /* bench vision: pixels a side of its picture */

    const char *sheet;    /* a PNG that show draws; "": none */
    int64_t cap;          /* visual tokens that the library keeps of one source at the most; 0: no limit */
    float keep;           /* share of a film's visual tokens that stays in the library at the most; 1: all, unmerged */
    const char *row_type; /* of visual tokens in the library: "f16", "q8_0" */

    /* of pagereel bench needle and bench time */
    bool quick;
    const char *lengths;  /* "1m,10m,1h,10p,100p": films and documents; "": a standard list */
    const char *haystack; /* a film or document to hide needles in; "": drawn ones */
    int32_t needles;      /* asked for at each length and depth; 0: as quick says */
};

enum pr_option_type {
    PR_OPTION_BOOL,
    PR_OPTION_INT32,
    PR_OPTION_INT64,
    PR_OPTION_BYTES, /* an int64_t; K, M, G, T are powers of 1024 */
    PR_OPTION_FLOAT,
    PR_OPTION_TEXT,
    PR_OPTION_PATH /* a text that names a file or folder */
};

struct pr_option {
    const char *key; /* "cache-type": --cache-type, cache-type = in the config file, cache_type in HTTP */
    char letter;     /* 'm' for -m, or 0 */
    enum pr_option_type type;
    size_t offset;        /* of the field in struct pr_settings */
    const char *value;    /* what help calls the value: "TOKENS" */
    const char *fallback; /* the default, as text */
    double min, max;      /* of numbers */
    const char *choices;  /* of texts: "f32|f16|vulkan[:N]" ("[:N]": a number may follow), or NULL: any */
    const char *commands; /* " run bench-llm ": the commands that take it, each between blanks; "*": all */
    bool list;            /* a flag that may be given again: its values, separated by newlines */
    const char *help;
};
/* The table, *n rows. Static. */
const struct pr_option *pr_options(size_t *n);

/* Sets every field of the first `size` bytes to its default. */
void pr_settings_init(struct pr_settings *settings, size_t size);
static inline struct pr_settings pr_settings_default(void)
{
    struct pr_settings settings;
    pr_settings_init(&settings, sizeof settings);
    return settings;
}
/* Sets one field from text, by the table: checks type, range and choices. `key` may be written with '-' or '_'. Text values are
 * kept by pointer and must outlive the settings. Numbers are decimal in every locale. PR_ERR_NOT_FOUND: no such key (the
 * message names the nearest); PR_ERR_INVALID: a message that says what the key takes. On failure nothing changes. */
int pr_settings_set(struct pr_settings *settings, const char *key, const char *value);
/* Reads the `key = value` lines of a config file into the settings. A line that begins with # is a comment; a value is the rest
 * of its line without the white space around it. In paths, "~/" is the home folder, and a relative path starts at the config
 * file's folder. Values stay alive in *keep, which the caller frees with pr_free() (also after a failure). A missing file is
 * PR_ERR_NOT_FOUND; a wrong line is PR_ERR_INVALID and named by file and number: then the lines before it are set. */
int pr_settings_read(struct pr_settings *settings, const char *path, char **keep);
void pr_free(void *memory); /* takes NULL */

/* ---- devices ------------------------------------------------------------------------------------------------------ */

struct pr_feature {
    const char *name;
    bool used;
    const char *why;
};
struct pr_device {
    const char *id, *name, *driver;
    bool software;
    uint64_t memory; /* bytes; 0: unknown */
    const struct pr_feature *features;
    size_t n_features;
};
/* Devices in order of preference; *out is one block, freed with pr_free(). */
int pr_devices(struct pr_device **out, size_t *n);

/* ---- stopping ----------------------------------------------------------------------------------------------------- */

struct pr_cancel;
struct pr_cancel *pr_cancel_create(void);
void pr_cancel_destroy(struct pr_cancel *cancel);
void pr_cancel_request(struct pr_cancel *cancel); /* async-signal-safe, any thread */

/* ---- models ------------------------------------------------------------------------------------------------------- */

struct pr_model;   /* weights on a device; one thread at a time */
struct pr_session; /* one timeline over a model */

/* The path of the small model that comes with pagereel (models/README.md says what it knows), for settings->model; "": it isn't installed.
 * Static. The program takes it when no model is given. */
const char *pr_default_model(void);
/* Loads settings->model on settings->device. */
int pr_model_open(const struct pr_settings *settings, struct pr_cancel *cancel, struct pr_model **out);
void pr_model_close(struct pr_model *model); /* after its sessions; takes NULL */
/* One line on where the layers are: "30 of 30 layers on cpu". */
const char *pr_model_placement(const struct pr_model *model);
const char *pr_model_name(const struct pr_model *model);
int32_t pr_model_n_vocab(const struct pr_model *model);
int32_t pr_model_context(const struct pr_model *model); /* tokens that it was trained for */

/* Token ids of text; *ids is freed with pr_free(). special: text of control tokens becomes those tokens. */
int pr_tokenize(struct pr_model *model, const char *text, size_t len, bool special, int32_t **ids, size_t *n);
/* Opens only the tokenizer of a model file: for `pagereel tokenize` (no weights are read). */
int pr_tokenizer_open(const char *path, struct pr_model **out);
/* The bytes of a token; may be part of a character. */
const char *pr_token_bytes(const struct pr_model *model, int32_t id, size_t *len);

int pr_session_create(struct pr_model *model, const struct pr_settings *settings, struct pr_session **out);
void pr_session_destroy(struct pr_session *session); /* takes NULL */

enum pr_role { PR_ROLE_SYSTEM, PR_ROLE_USER, PR_ROLE_ASSISTANT };
/* Adds a message in the model's chat format; the answer's header follows when pr_session_generate() is called. */
int pr_session_chat(struct pr_session *session, enum pr_role role, const char *text, size_t len);
/* Adds text as it is. */
int pr_session_raw(struct pr_session *session, const char *text, size_t len, bool special);
int pr_session_tokens(struct pr_session *session, const int32_t *ids, size_t n);

/* A part of a message: text, or the path of what is to be seen. */
/* PR_ITEM_FILE: one of the three before, by what the file is. */
enum pr_item_kind { PR_ITEM_TEXT, PR_ITEM_IMAGE, PR_ITEM_VIDEO, PR_ITEM_PAGES, PR_ITEM_FILE };
struct pr_item {
    enum pr_item_kind kind;
    const char *text; /* PR_ITEM_TEXT: `len` bytes; else a path that ends with NUL */
    size_t len;
};
/* As pr_session_chat() and pr_session_raw(), of text and pictures in any order. Pictures are read and encoded now, with the
 * words around them that the family has; settings say how much of them (image_tokens, pages, from, to, frames). Opens the
 * vision part of the model with the first picture. PR_ERR_NOT_FOUND: there is none; PR_ERR_INVALID: it belongs to another
 * model. */
int pr_session_chat_items(struct pr_session *session, enum pr_role role, const struct pr_item *items, size_t n,
                          const struct pr_settings *settings, struct pr_cancel *cancel);
int pr_session_raw_items(struct pr_session *session, const struct pr_item *items, size_t n, bool special,
                         const struct pr_settings *settings, struct pr_cancel *cancel);

/* A run of visual tokens among the prompt's tokens: of a picture, a tile of one, or frames. */
struct pr_visual_run {
    size_t first, n;            /* in pr_session_prompt() */
    int32_t frames, rows, cols; /* n = frames * rows * cols */
    bool partial; /* the file is damaged or breaks off: what is there of it was seen; not kept in a session's file */
};
/* In the order of the prompt. Valid until the session changes. */
const struct pr_visual_run *pr_session_visual(const struct pr_session *session, size_t *n);
/* Adds embedding rows [n, width] with positions [n, 4] relative to the first (or NULL); width is d_model * (1 + deepstack). */
int pr_session_embeddings(struct pr_session *session, const float *rows, size_t n, size_t width,
                          const int32_t *positions, int32_t advance);
/* All prompt tokens so far; -1 for each embedding row. Valid until the session changes. */
const int32_t *pr_session_prompt(const struct pr_session *session, size_t *n);

struct pr_top {
    int32_t id;
    float logprob;
};
/* A generated token. `text` holds whole UTF-8 characters only (bytes of an unfinished one come with a later token) and never
 * a part of a stop string. Control tokens have no text. When the answer ends while text is held back (the beginning of a stop
 * string, or of a character that stayed unfinished: then U+FFFD), it comes in one more call with id -1. Return true to go on. */
struct pr_token {
    int32_t id;
    const char *text;
    size_t len;
    const struct pr_top *top;
    size_t n_top;
};
typedef bool (*pr_token_fn)(void *user, const struct pr_token *token);

enum pr_stop { PR_STOP_END, PR_STOP_STRING, PR_STOP_LENGTH, PR_STOP_CONTEXT, PR_STOP_CALLER };
/* Reads what was added and generates until the answer ends. *why may be NULL. */
int pr_session_generate(struct pr_session *session, const struct pr_settings *settings, pr_token_fn fn, void *user,
                        struct pr_cancel *cancel, enum pr_stop *why);

int pr_session_save(struct pr_session *session, const char *path);
int pr_session_restore(struct pr_session *session, const char *path); /* into a new session of the same model */

/* ---- visual tokens ------------------------------------------------------------------------------------------------ */

/* What a model would see of a file: visual tokens with their positions. */
struct pr_visual {
    float *rows; /* [n, width] */
    size_t n, width;
    struct pr_visual_run *runs; /* [n_runs]; first counts in rows */
    size_t n_runs;
    int32_t (*positions)
        [4]; /* [n] (t, row, column, 0) from the beginning of the run; NULL: rows follow each other as text does */
    int32_t tile_rows, tile_cols; /* of a picture that is cut into tiles; otherwise 0 */
    char family[64];
};
/* Encodes a picture, a video or the pages of a document with settings->mmproj alone, without a language model. On success the caller
 * ends *out with pr_visual_finish(). */
int pr_embed(const char *path, const struct pr_settings *settings, struct pr_cancel *cancel, struct pr_visual *out);
void pr_visual_finish(struct pr_visual *visual); /* takes a zeroed one */

/* What looking at a file takes, known before it is encoded. */
struct pr_visual_plan {
    int32_t pictures; /* frames that are looked at, or pages; a picture: 1 */
    int32_t crops;    /* what they are cut into or put together to */
    int64_t tokens;   /* visual tokens; of documents, whose pages differ, at the most */
    int32_t width;    /* values in one */
    uint64_t memory;  /* bytes at the most while it is looked at, on all devices, beside the program and weights */
};
/* Plans what pr_embed() would do, or a prompt of `model` with this file in it. With a model that is open, its vision part is used;
 * NULL: settings->mmproj. */
int pr_visual_plan(const char *path, enum pr_item_kind kind, struct pr_model *model, const struct pr_settings *settings,
                   struct pr_cancel *cancel, struct pr_visual_plan *out);

/* ---- benchmarks --------------------------------------------------------------------------------------------------- */

struct pr_bench_llm {
    double prefill_tok_s, decode_tok_s;  /* medians over runs: 256 tokens in one go; 32 tokens one by one behind them */
    double bandwidth_gb_s, peak_gflop_s; /* measured on this device in the same run */
    double decode_bandwidth_share, prefill_peak_share;
    uint64_t weight_bytes, cache_bytes, arena_bytes, peak_device_bytes;
    int32_t runs;
};
int pr_bench_llm(struct pr_model *model, const struct pr_settings *settings, struct pr_cancel *cancel,
                 struct pr_bench_llm *out);

struct pr_bench_vision {
    int32_t side, crops, runs; /* a picture of side x side pixels, and what it is cut into */
    int64_t tokens;
    double prepare_s, encode_s; /* medians over runs: resizing and cutting; encoder and connector */
    double gflop_s;             /* of encoding */
    uint64_t arena_bytes, peak_device_bytes;
    char family[64], device[64];
};
/* Opens settings->mmproj by itself. */
int pr_bench_vision(const struct pr_settings *settings, struct pr_cancel *cancel, struct pr_bench_vision *out);

struct pr_bench_ppl {
    int64_t n_tokens, n_scored;
    double perplexity, last_tenth_perplexity;
    double fresh_perplexity; /* of the last tenth in windows of the same size that begin anew; 0 without --window */
    uint64_t resident_start, resident_end; /* bytes of the process after 10,000 tokens and at the end */
    double tok_s;
    float *logprobs; /* [n_scored]: of each token behind the first, in the one pass over the text */
};
/* Called now and then with what was read so far, for progress and curves. */
typedef void (*pr_ppl_fn)(void *user, int64_t tokens, int64_t total, double perplexity_of_chunk, uint64_t resident);
/* *out ends with pr_bench_ppl_finish(). When it fails, n_scored and logprobs tell of what was read. */
int pr_bench_ppl(struct pr_model *model, const struct pr_settings *settings, const char *text, size_t len, pr_ppl_fn fn,
                 void *user, struct pr_cancel *cancel, struct pr_bench_ppl *out);
void pr_bench_ppl_finish(struct pr_bench_ppl *bench); /* takes a zeroed one */

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
