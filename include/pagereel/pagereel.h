/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sources, questions, answers: what pagereel is for.
 */
#ifndef PAGEREEL_H
#define PAGEREEL_H

#include "pagereel/model.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* Where an answer comes from. Times are microseconds of presentation time, pages count from 1 as people do; a source is
 * either timed or paged. */
struct pr_citation {
    const char *source;   /* path as it was given */
    int32_t page;         /* 0: not a document */
    const char *label;    /* the page's printed label, or NULL */
    int64_t t0_us, t1_us; /* INT64_MIN: not timed */
    float box[4];         /* points from the upper left corner; all 0: the whole page */
    const char *quote;    /* exact text of the source, or NULL */
    int32_t tag;          /* the number by which the model was shown it: [1], [2], ... */
    bool by_model;        /* the answer names this tag; otherwise it is only what the search put before the model */
};

struct pr_answer;
void pr_answer_destroy(struct pr_answer *answer); /* takes NULL */
const char *pr_answer_text(const struct pr_answer *answer);
/* What the model was shown, in the order of the answer's tags; those that the answer names are marked. */
const struct pr_citation *pr_answer_citations(const struct pr_answer *answer, size_t *n);

/* What an answer rests on. */
struct pr_coverage {
    int64_t pages, pages_failed, pages_without_text; /* of all sources */
    int64_t passages, passages_found,
        passages_read; /* in all; sharing a word with the question; put before the model */
    int32_t prompt_tokens;
};
struct pr_coverage pr_answer_coverage(const struct pr_answer *answer);

/* Reads the sources' exact text, recalls the passages that fit the question, and lets the model answer from them; `fn` streams
 * the text. When no passage shares a word with the question, the answer says that nothing was found and the model isn't
 * asked. The caller owns *out. */
int pr_ask(struct pr_model *model, const struct pr_settings *settings, const char *const *sources, size_t n_sources,
           const char *question, pr_token_fn fn, void *user, struct pr_cancel *cancel, struct pr_answer **out);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
