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
};

struct pr_answer;
void pr_answer_destroy(struct pr_answer *answer); /* takes NULL */
const char *pr_answer_text(const struct pr_answer *answer);
const struct pr_citation *pr_answer_citations(const struct pr_answer *answer, size_t *n);

/* Reads the sources, recalls what fits the question, and answers; `fn` streams the text. The caller owns *out. */
int pr_ask(struct pr_model *model, const struct pr_settings *settings, const char *const *sources, size_t n_sources,
           const char *question, pr_token_fn fn, void *user, struct pr_cancel *cancel, struct pr_answer **out);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
