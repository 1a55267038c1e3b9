/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What an answer tells.
 */
#include "engine/ask.h"

#include "base/mem.h"

void pr_answer_destroy(struct pr_answer *answer)
{
    if (!answer)
        return;
    for (size_t i = 0; i < answer->n_strings; i++)
        base_free(answer->strings[i]);
    for (size_t i = 0; i < answer->n_notes; i++)
        base_free(answer->notes[i]);
    base_free(answer->strings);
    base_free(answer->notes);
    base_free(answer->citations);
    base_free(answer->why);
    base_free(answer->prompt);
    base_buf_finish(&answer->text);
    base_free(answer);
}

const char *pr_answer_text(const struct pr_answer *answer)
{
    return answer->text.data ? answer->text.data : "";
}

bool pr_answer_found(const struct pr_answer *answer, const char **why)
{
    if (why)
        *why = answer->why;
    return answer->found;
}

const char *pr_answer_prompt(const struct pr_answer *answer)
{
    return answer->prompt ? answer->prompt : "";
}

const struct pr_citation *pr_answer_citations(const struct pr_answer *answer, size_t *n)
{
    *n = answer->n_citations;
    return answer->citations;
}

struct pr_coverage pr_answer_coverage(const struct pr_answer *answer)
{
    return answer->coverage;
}

const char *const *pr_answer_notes(const struct pr_answer *answer, size_t *n)
{
    *n = answer->n_notes;
    return (const char *const *)answer->notes;
}
