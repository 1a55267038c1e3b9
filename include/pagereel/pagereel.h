/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sources, questions, answers: what pagereel is for.
 */
#ifndef PAGEREEL_H
#define PAGEREEL_H

#include "pagereel/model.h"
#include "pagereel/source.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* ---- the library: what is kept of sources ------------------------------------------------------------------------- */

/* A source is its bytes: the same file under another name is the same source. What was read of it is kept in settings->library,
 * so that a question doesn't read it again. */

enum pr_file_state {
    PR_FILE_HERE,
    PR_FILE_RENAMED, /* pr_add() only: the same bytes were added under another name */
    PR_FILE_CHANGED, /* the file has other bytes than those that were read under its name */
    PR_FILE_GONE
};

/* What the library holds of a source. */
struct pr_entry {
    char id[65];     /* hexadecimal digits of the hash of its bytes; 6 or more of them name it */
    char path[4096]; /* where it was last seen */
    char kind[32], title[256];
    enum pr_file_state state;
    bool complete;                       /* it was read to its end */
    bool fresh;                          /* pr_add() only: something was read just now */
    int64_t added;                       /* seconds since 1970 */
    int64_t duration;                    /* microseconds; PR_TIME_NONE: not timed */
    int32_t n_pages;                     /* 0: not paged, or unknown */
    int64_t pages, failed, without_text; /* pages that were read; of those: not readable, without a text layer */
    int64_t segments, lines, tokens;     /* lines of exact text, visual tokens */
    bool seen;                           /* its pictures were looked at to the end, by some model */
    char model[256];                     /* by which, and what was kept; "": by none */
    int64_t raw, frames;                 /* pr_show() only: tokens before compression; frames, pictures and tiles */
    int64_t encoded;      /* pr_add() only: runs of the vision encoder (pictures, tiles, pairs of frames) */
    int64_t device_bytes; /* pr_add() only: buffers and weights on the encoder's device, at the most */
    int64_t bytes;        /* on the disk */
    int64_t damaged;      /* places where something was lost */
};

/* Reads a file or folder into the library, as far as that isn't done yet: its text, and the span of every line; and, with the vision part
 * of a model (settings->mmproj, or what lies beside settings->model), what is seen on its frames, pages or pictures, as visual tokens.
 * Without one it is text alone. If settings->model can be
 * opened, too, it makes the keys that its questions find pictures by (otherwise the first question does). When it is cancelled or killed, what was finished stays, and the next call goes on from there. `out`
 * (may be NULL) gets what the library holds then.
 * PR_ERR_IO, PR_ERR_FORMAT, PR_ERR_UNSUPPORTED: as pr_source_open(), or the library can't be written, or another process is adding
 * the same source; PR_ERR_NOMEM: settings->disk is used up. */
int pr_add(const struct pr_settings *settings, const char *path, pr_progress_fn fn, void *user,
           struct pr_cancel *cancel, struct pr_entry *out);
/* All sources in the order in which they were added; *list is freed with pr_free(). */
int pr_list(const struct pr_settings *settings, struct pr_entry **list, size_t *n);
/* Forgets a source, named by path or id. PR_ERR_NOT_FOUND. */
int pr_remove(const struct pr_settings *settings, const char *name);

enum pr_segment_kind { PR_SEGMENT_FRAMES, PR_SEGMENT_PAGE, PR_SEGMENT_TEXT, PR_SEGMENT_OUTLINE, PR_SEGMENT_NOTE };
struct pr_segment {
    enum pr_segment_kind kind;
    struct pr_span span;
    const char *label; /* a page's printed label, or "" */
    int32_t stream;    /* of timed text; -1: none */
    int64_t lines, tokens;
    int64_t raw,
        frames; /* tokens before compression; frames (or pairs) that were encoded, of a page 1 for each picture of it */
    const char *text;          /* its first line, or "" */
    bool visual_only, damaged; /* of a damaged one nothing else is known */
};
typedef bool (*pr_segment_fn)(void *user, const struct pr_segment *segment); /* return true to go on */
/* What the library holds of a source, segment by segment; checks all of it. `fn` may be NULL. PR_ERR_NOT_FOUND. */
int pr_show(const struct pr_settings *settings, const char *name, pr_segment_fn fn, void *user, struct pr_entry *out);

/* Draws the same to settings->sheet as a PNG. */
int pr_show_sheet(const struct pr_settings *settings, const char *name);

/* What adding a file would take. */
struct pr_plan {
    char kind[32];
    int64_t units; /* pages, or text tracks of a film; 0: not known before the end */
    int64_t
        encoded; /* frames (or pairs), pages, tiles that the vision encoder would run on; 0: no model that sees was given */
    int64_t tokens; /* visual tokens that would be kept */
    int64_t memory; /* bytes, about, at the most: of the largest process while the file is added */
    int64_t
        ask_memory; /* the same while a question with a full budget is answered from the library; 0: no language model was given */
    int64_t device_memory; /* bytes of a GPU, at the most, of both together; 0: none computes */
    int64_t bytes;         /* on the disk, about */
    double seconds;        /* on this machine, about */
    int64_t duration;      /* microseconds or PR_TIME_NONE */
};
/* Opens the file, reads a little of it, and has the vision part (settings->mmproj, or what lies beside settings->model) look at a
 * little, for about 20 seconds at the most; nothing is kept. */
int pr_plan(const struct pr_settings *settings, const char *path, struct pr_cancel *cancel, struct pr_plan *out);

/* ---- questions and answers ---------------------------------------------------------------------------------------- */

/* Where an answer comes from. Times are microseconds of presentation time, pages count from 1 as people do; a source is
 * either timed or paged. Time and box are as narrow as the evidence tells: the span of the quoted line; or, where nothing was written, of
 * the visual tokens that have most to do with the question. What the model was shown around it, under the same tag, are shown_*. */
struct pr_citation {
    const char *source;   /* path as it was given */
    int32_t page;         /* 0: not a document */
    const char *label;    /* the page's printed label, or NULL */
    int64_t t0_us, t1_us; /* PR_TIME_NONE: not timed */
    float box[4];         /* points of a page, pixels of a film, from the upper left corner; all 0: the whole picture */
    int64_t shown_t0_us, shown_t1_us;
    float shown_box[4];
    const char *quote; /* a line of it, copied from the source, or NULL */
    const char *text;  /* all of the source's text that the model was shown there, or NULL */
    int32_t tag;       /* the number by which the model was shown it: [S1], [S2], ... */
    bool by_model;     /* the answer names this tag */
    bool by_words;     /* the answer shares most words with this one, as small models don't name tags */
    int32_t
        look_tokens; /* settings->look: the source was looked at again here, with so many visual tokens; 0: it wasn't */
    int64_t looked_at_us; /* of a film: at the frame of this time */
    bool note;            /* it is what a model wrote when it read the source; not quoted */
    bool gist;            /* a part of the overview; otherwise recall put it before the model */
};

struct pr_answer;
void pr_answer_destroy(struct pr_answer *answer); /* takes NULL */
const char *pr_answer_text(const struct pr_answer *answer);
/* Whether anything that was shown supports the answer. When not, *why (may be NULL) is why, or NULL when the model itself says so. */
bool pr_answer_found(const struct pr_answer *answer, const char **why);
/* Writes the evidence to a folder, made if there is none: of each citation that the answer names or shares words with (of all, when there is
 * none) S1.txt, where it stands and what, and S1.png, the frame at its time or the part of the page with its lines framed;
 * of a film also S1.mkv, the cited span, if the program ffmpeg is installed. PR_ERR_IO. */
int pr_answer_save(const struct pr_answer *answer, const struct pr_settings *settings, const char *folder,
                   struct pr_cancel *cancel);
/* The user message that the model was given, visual tokens as their number in braces; "" when it wasn't asked. */
const char *pr_answer_prompt(const struct pr_answer *answer);
/* What the model was shown, in the order of the answer's tags; those that the answer names are marked. */
const struct pr_citation *pr_answer_citations(const struct pr_answer *answer, size_t *n);

/* What an answer rests on. */
struct pr_coverage {
    int64_t sources, incomplete;                     /* incomplete: not read to their end yet */
    int64_t pages, pages_failed, pages_without_text; /* of all sources */
    int64_t films, films_without_text;               /* timed sources */
    int64_t passages_found, passages_read; /* sharing a word with the question (at most 1,000 are counted); put
                                                        before the model */
    int64_t damaged;                       /* places where the library lost something */
    int32_t prompt_tokens;
    int32_t prompt_reused; /* of those: read for an earlier question of the conversation, and still in the cache */
    int64_t device_bytes;  /* buffers and weights on the model's device, at the most so far */
    bool sees;             /* the model has a vision part */
    const char *
        density; /* how the pictures that were shown were looked at, each way once: "SmolVLM2, 1 a second, 25 % kept"; NULL: they
                               weren't. The answer's */
    int64_t segments;       /* segments of visual tokens in the range that was asked */
    int64_t segments_shown; /* of those: put before the model, */
    int64_t visual_tokens;  /* with so many tokens together */
    struct {
        double adding;          /* until the sources were in the library and open */
        double recall;          /* finding what fits */
        double choosing;        /* reading it, sharing out the budget */
        double looking;         /* again, at the source */
        double prompt;          /* writing it down */
        double prefill, decode; /* the model's own */
        double citing;          /* what the answer rests on */
        double
            processor; /* time of all threads in all but looking, prefill and decode: what it takes on a quiet machine */
    } ms;              /* milliseconds */
};
struct pr_coverage pr_answer_coverage(const struct pr_answer *answer);
/* What should be known about the sources, such as that a file is gone: lines of text. */
const char *const *pr_answer_notes(const struct pr_answer *answer, size_t *n);

/* Adds to the library what isn't in it yet (with progress), recalls the passages that fit the question, within settings->from, to
 * and pages, and lets the model answer from them; `fn` streams the text. Without sources the whole library is asked. When no
 * passage shares a word with the question, the answer says that nothing was found and the model isn't asked. A source that was
 * added before may be gone by now; one that another process is adding is asked as far as it got. The caller owns *out;
 * it is NULL on failure, but for PR_ERR_CANCELLED while the answer was being written: then it has what was said so far. */
int pr_ask(struct pr_model *model, const struct pr_settings *settings, const char *const *sources, size_t n_sources,
           const char *question, pr_progress_fn progress, pr_token_fn fn, void *user, struct pr_cancel *cancel,
           struct pr_answer **out);

/* ---- reading ------------------------------------------------------------------------------------------------------ */

/* What the model wrote of a part of a source: its own words, not the source's. */
struct pr_note {
    struct pr_span span;
    const char *text;
    bool fresh;          /* written just now; otherwise an earlier reading left it */
    int64_t done, total; /* parts */
};
typedef bool (*pr_note_fn)(void *user, const struct pr_note *note); /* return true to go on */
/* Reads a source from its beginning to its end in memory that doesn't grow with it: the model sees the first message for ever and the last
 * settings->window tokens (0: 3/8 of the prompt's budget), and writes a note on each part (some minutes of a film, a page). Notes become part of
 * the source's evidence, so that questions find them, and a reading that was cancelled goes on behind the last one. `notes` gets
 * each of them in order. With settings->summary the model then condenses them; `fn` streams that, and *summary (may be NULL; freed with
 * pr_free()) gets it. */
int pr_read(struct pr_model *model, const struct pr_settings *settings, const char *source, pr_progress_fn progress,
            pr_note_fn notes, pr_token_fn fn, void *user, struct pr_cancel *cancel, char **summary);

/* A conversation: questions that follow each other over the same sources. Each recalls its own excerpts; what prompts begin with
 * alike is read once; the latest questions and answers are told again as far as a quarter of the budget goes. Belongs to one thread at a
 * time; `model` outlives it, and so do the texts that settings point to. */
struct pr_chat;
int pr_chat_open(struct pr_model *model, const struct pr_settings *settings, const char *const *sources,
                 size_t n_sources, pr_progress_fn progress, void *user, struct pr_cancel *cancel, struct pr_chat **out);
/* As pr_ask(). */
int pr_chat_ask(struct pr_chat *chat, const char *question, pr_token_fn fn, void *user, struct pr_cancel *cancel,
                struct pr_answer **out);
void pr_chat_close(struct pr_chat *chat); /* takes NULL */

/* ---- needles ------------------------------------------------------------------------------------------------------ */

/* How a question's evidence is found: by memory and recall, as pr_ask() does; frames or pages spread evenly, or the last ones, in the same
 * budget; or by being told where it is. */
enum pr_way { PR_WAY_MEMORY, PR_WAY_UNIFORM, PR_WAY_LAST, PR_WAY_GIVEN, PR_WAYS };
/* What was asked of films or documents of one length, over all depths. */
struct pr_needles {
    bool film;
    double length;  /* seconds, or pages */
    float keep;     /* share of the tokens that memory kept */
    int32_t budget; /* tokens of a prompt */
    struct {
        int32_t asked, right;
        int32_t cited;  /* of the right ones: name an excerpt that the needle is in */
        int32_t within; /* pr_bench_time(): of the right ones, name the needle's beginning to one sampling step */
        double tokens;  /* of a prompt, mean */
        double seconds; /* of an answer, mean */
    } way[PR_WAYS];
};
struct pr_needle_progress {
    const char *doing;   /* "film of 20 minutes: 40 % added" */
    int64_t done, total; /* questions */
    double seconds_left; /* negative: unknown */
};
typedef void (*pr_needle_fn)(void *user, const struct pr_needle_progress *progress);
/* Hides needles (a word on a sign, a number in a sentence or a chart) in films and documents that it makes, and asks for them: settings
 * ->lengths, depths over the whole length, settings->needles of each. Answers are checked by their words. Every answer is a line of
 * results.jsonl in the folder settings->output, and what is there isn't asked again; needle.json and heat maps (films.svg, documents.svg,
 * kept.svg) are written beside it at the end. *rows, of *n, is freed with pr_free(). PR_ERR_INVALID: the folder has results of another
 * model or of other settings; PR_ERR_CANCELLED: what was finished stays. */
int pr_bench_needle(struct pr_model *model, const struct pr_settings *settings, pr_needle_fn fn, void *user,
                    struct pr_cancel *cancel, struct pr_needles **rows, size_t *n);
/* The same of films with "when is it shown?": right is a time while it is shown, or one sampling step around. Writes time.json, time.svg. */
int pr_bench_time(struct pr_model *model, const struct pr_settings *settings, pr_needle_fn fn, void *user,
                  struct pr_cancel *cancel, struct pr_needles **rows, size_t *n);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
