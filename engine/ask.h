/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A question from the sources to the cited answer, in the order in which it happens:
 *
 *     ask_sources.c   adds what the library doesn't have yet, opens the evidence
 *     ask_recall.c    finds passages and segments that fit the question
 *     ask_general.c   what stands for the whole, when the question is about that
 *     ask_rate.c      how much those segments have to do with it
 *     ask_choose.c    the working set: what of them fits the budget, with how many visual tokens
 *     ask_look.c      looks again at the best places, in the source
 *     ask_visual.c    visual tokens as the model's family reads them
 *     ask_prompt.c    writes it down (docs/PROMPTS.md)
 *     ask_few.c       examples before the question
 *     ask_given.c     for measuring: evidence that is given instead of recalled
 *     ask_cite.c      what the answer rests on, and whether it rests on anything
 *     ask_narrow.c    where exactly
 *     ask.c           the public functions
 */
#pragma once

#include "engine/library.h"
#include "engine/session.h"
#include "memory/keys.h"
#include "memory/passages.h"
#include "memory/recall_index.h"
#include "memory/text_index.h"

/* ---- sources ------------------------------------------------------------------------------------------------------ */

struct asked {
    struct library_source source;
    char *path;                        /* as it was given */
    size_t order;                      /* among the sources */
    struct recall_index *index;        /* what its log says, without opening it */
    struct library *library;           /* for engine_ask_evidence(): */
    struct evidence *evidence;         /* opened when something of it is read */
    struct memory_keys *keys;          /* of what was seen; NULL: none */
    const struct evidence_setup *seen; /* what this model made of its pictures; NULL: nothing */
};

/* What one conversation knows. */
struct asking {
    struct pr_model *model;
    struct library *library;
    const struct pr_settings *settings;
    struct asked *sources; /* ascending by id */
    size_t n_sources;
    bool all;         /* of the library */
    int64_t from, to; /* microseconds; PR_TIME_NONE: open */
    int32_t first_page, last_page;
    const struct vision_params *vision; /* NULL: the model sees nothing */
    char **notes;                       /* what should be known of the sources */
    size_t n_notes;
};

/* Adds `what` to the notes, with the path before it ("": none), unless it was said already. */
void engine_ask_note(struct asking *asking, const char *path, const char *what);
/* Whether the model has no chat format and none was given: then the settings become raw, and that is noted. */
bool engine_ask_is_base(struct asking *asking, struct pr_settings *settings);
/* Opens the named sources, or with n 0 all of the library. */
int engine_ask_sources_open(struct asking *asking, const char *const *paths, size_t n, pr_progress_fn progress,
                            void *user, struct pr_cancel *cancel);
void engine_ask_sources_close(struct asking *asking);
/* The log of a source, opened now if it isn't yet. NULL: it can't be. */
const struct evidence *engine_ask_evidence(struct asked *asked);
struct asked *engine_ask_find(const struct asking *asking, int64_t id);
/* Fills what the sources say of themselves. */
void engine_ask_cover(const struct asking *asking, struct pr_coverage *out);
int engine_ask_read_ranges(struct asking *asking);
/* Whether a span lies within --from, --to and --pages. */
bool engine_ask_in_range(const struct asking *asking, int64_t t0, int64_t t1, int32_t page);

/* ---- recall ------------------------------------------------------------------------------------------------------- */

/* Where a line of text stands in its source. */
struct ask_line {
    size_t at, len; /* in the text that it is part of */
    int64_t t0, t1;
    struct pr_box box;
};

/* A passage that was found and could be read. */
struct ask_passage {
    struct asked *asked;
    uint64_t segment;
    size_t line;
    enum evidence_kind kind;
    struct passage passage;
    struct ask_line *lines;
    size_t n_lines;
    char *label;
    double score, coverage;
};
void engine_ask_passage_finish(struct ask_passage *passage);

/* A segment of visual tokens that was found. */
struct ask_seen {
    struct asked *asked;
    uint64_t number;
    int64_t t0, t1;
    int32_t page;
    bool tile;
    uint32_t n_tokens;
    float mean;       /* likeness of its mean to the question */
    double relevance; /* 0 to 1 */
};

struct ask_found {
    struct library_hit *hits; /* passages, best first */
    size_t n_hits;
    struct ask_seen *seen; /* all visual segments in range, in the order of the sources and of time */
    size_t n_seen;
    struct ask_seen *texts; /* segments of timed text in range, in the same order */
    size_t n_texts;
    double coverage; /* of the best passage: its share of the question's words */
    int64_t damaged;
    float *queries; /* [n_queries, n_head * d_head]: what shallow keys are asked with; NULL: there are none */
    size_t n_queries;
};
int engine_ask_recall(struct asking *asking, const char *question, struct ask_found *out);
/* Fills the relevance of all that was seen (ask_rate.c). */
void engine_ask_rate(struct asking *asking, const char *question, struct ask_found *found);
bool engine_ask_sketch(const struct asking *asking, const char *question, int8_t sketch[RECALL_MEAN]);
void engine_ask_found_finish(struct ask_found *found);
/* For a question about the whole: passages spread over it, as hits; otherwise nothing changes. */
void engine_ask_general(const struct asking *asking, const char *question, struct ask_found *out);
/* Reads the passage of a hit. PR_ERR_NOT_FOUND, PR_ERR_FORMAT: it is lost. */
int engine_ask_read_passage(const struct asking *asking, const struct library_hit *hit, struct ask_passage *out);

/* ---- the working set ---------------------------------------------------------------------------------------------- */

enum ask_what { ASK_PLAIN, ASK_OUTLINE, ASK_NOTES };

/* The first n tokens of a segment. */
struct ask_picture {
    struct evidence_segment segment;
    uint32_t n;
};

/* What stands behind one tag. */
struct ask_entry {
    struct asked *asked;
    enum ask_what what;
    bool gist;
    int64_t t0, t1;
    int32_t page;
    struct pr_box box;
    uint64_t segment; /* of a passage that stands alone: where it begins, for the order */
    size_t line;
    char *label;
    struct base_buf text;   /* exact lines; empty: none */
    struct ask_line *lines; /* of the text; NULL in a reading */
    size_t n_lines;
    struct ask_picture *pictures; /* in the order of time */
    size_t n_pictures;
    struct engine_run *looks; /* what looking again at the source showed, at full resolution */
    size_t n_looks;
    int64_t focus;       /* of a film: the middle of the best passage; PR_TIME_NONE: there is none */
    int64_t looked_at;   /* microseconds, or PR_TIME_NONE */
    int32_t look_tokens; /* 0: not looked again */
    bool looked;         /* or tried to */
    double relevance;
    int32_t tag;
};

struct ask_set {
    struct ask_entry *entries; /* the gist, then the excerpts, each in the order of the sources and places */
    size_t n, cap;
    int64_t passages, visual_tokens, visual_segments, damaged;
};
void engine_ask_entry_finish(struct ask_entry *entry);
void engine_ask_set_finish(struct ask_set *set);

/* Chooses what fits `budget` tokens. */
int engine_ask_choose(struct asking *asking, const struct ask_found *found, size_t budget, struct ask_set *out);

/* Looks again at the places of the best n excerpts, in their source files, within `budget` visual tokens (ask_look.c). A file that is gone or
 * can't be read is noted. PR_ERR_CANCELLED. */
int engine_ask_look(struct asking *asking, struct ask_set *set, int32_t n, size_t budget, struct pr_cancel *cancel);

/* ---- evidence that is given ----------------------------------------------------------------------------------------- */

/* For measuring (pagereel bench): what the model is shown when recall has no say. Of a film frames, encoded from the file now, with all of
 * their tokens; of a document pages, as the library has them, with their text. */
enum ask_way {
    ASK_PLACE, /* one place: the frame that is shown at `at`, or the page `page` */
    ASK_UNIFORM, /* as many as fill what a question's pictures may take of `budget`, spread evenly over the first source */
    ASK_LAST     /* so many, the last ones */
};
struct ask_given;
/* Of the first source, which must have been looked at by this model. The caller owns *out. */
int engine_ask_given_create(struct asking *asking, enum ask_way way, int64_t at, int32_t page, size_t budget,
                            struct pr_cancel *cancel, struct ask_given **out);
void engine_ask_given_destroy(struct ask_given *given); /* takes NULL */
/* The working set. It shares what was encoded with *given. */
int engine_ask_given_set(const struct ask_given *given, struct ask_set *out);
/* From now on questions of this conversation are asked so, each as if it were the first. With NULL recall is asked again. Belongs to the
 * conversation. */
void engine_chat_give(struct pr_chat *chat, struct ask_given *given);
struct asking *engine_chat_asking(struct pr_chat *chat);
struct pr_session *engine_chat_session(struct pr_chat *chat); /* NULL before the model was asked */
/* Tokens of a question's prompt. */
int32_t engine_ask_budget(const struct pr_model *model, const struct pr_settings *settings);
size_t engine_chat_budget(const struct pr_chat *chat);
void engine_chat_forget(struct pr_chat *chat); /* the questions and answers so far */

/* ---- the prompt --------------------------------------------------------------------------------------------------- */

/* The runs of a picture: words and rows. Adds to *runs; the caller finishes them. PR_ERR_NOMEM. */
int engine_ask_picture_runs(const struct asking *asking, const struct ask_entry *entry, struct engine_run **runs,
                            size_t *n);

enum {
    ASK_ANSWER = 512
}; /* tokens of an answer at the most, unless told otherwise: small models may repeat themselves for ever */

extern const char engine_ask_instructions[]; /* the system message */

/* A user message, piece by piece, and the same as text for people. */
struct ask_message {
    struct engine_part *parts;
    size_t n;
    struct base_buf shown;
};
void engine_ask_message_finish(struct ask_message *message);
/* In a conversation the gist stands in its first message, so that it is read once; otherwise all is one message. */
enum ask_part { ASK_ALL, ASK_GIST, ASK_EXCERPTS };
/* The entries of a part and a question; what looking again showed is taken over. */
int engine_ask_write(const struct asking *asking, const struct ask_set *set, enum ask_part part, const char *question,
                     struct ask_message *out);

/* Drops what the prompt has no room for: parts of the gist beyond a fifth of the budget, then the entries that have least to do with the
 * question, until all take no more than `room`. Counts tokens as they will be. */
int engine_ask_fit(const struct asking *asking, struct ask_set *set, size_t budget, size_t room);
/* One entry without a tag, and what is asked of it: a part of a reading. */
int engine_ask_write_part(const struct asking *asking, struct ask_entry *entry, const char *request,
                          struct ask_message *out);

/* Examples that stand before the question. */
struct ask_example {
    struct engine_media media;
    char *question, *answer;
};
struct ask_examples {
    struct ask_example *list;
    size_t n;
};
/* Reads a file of examples and encodes their pictures. PR_ERR_INVALID names the line. *out is finished by the caller in any case. */
int engine_ask_examples_read(struct asking *asking, const char *file, struct ask_examples *out,
                             struct pr_cancel *cancel);
size_t engine_ask_examples_tokens(const struct ask_examples *examples); /* about */
int engine_ask_examples_add(const struct asking *asking, const struct ask_examples *examples,
                            struct pr_session *session);
void engine_ask_examples_finish(struct ask_examples *examples);

/* ---- the answer --------------------------------------------------------------------------------------------------- */

struct pr_answer {
    struct base_buf text;
    struct pr_citation *citations;
    size_t n_citations;
    struct pr_coverage coverage;
    bool found;
    char *why; /* not found: why; NULL */
    char **strings;
    size_t n_strings;
    char **notes;
    size_t n_notes;
    char *prompt;
};

/* The answer frees the string with itself. */
char *engine_ask_keep(struct pr_answer *answer, char *string);
/* The next word at *text, lower case where it is ASCII; 0: none. A word longer than the room is cut. */
size_t engine_ask_next_word(const char **text, char out[64]);
/* How many words of a question say what is asked for. */
size_t engine_ask_content_words(const char *question);
/* Makes a citation of each entry, before the model is asked. */
void engine_ask_cite(const struct ask_set *set, struct pr_answer *answer);
/* Reads the answer: which citations it names or shares its words with, and whether it rests on what was shown. */
void engine_ask_judge(const struct ask_set *set, const char *question, struct pr_answer *answer);
/* Narrows citations to what they rest on, as far as the evidence tells: to the line that shares most words with question and answer, and
 * quotes it; without text to the visual tokens whose shallow keys answer the question best. */
int engine_ask_narrow(const struct asking *asking, const struct ask_set *set, const struct ask_found *found,
                      const char *question, struct pr_answer *answer);
