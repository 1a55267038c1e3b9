/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What an answer rests on. Quotes are copied from the source's text, never taken from the model. A citation is the model's own when the
 * answer names its tag; models too small to name tags share words with what they read, and that is said to be what it is. An answer
 * that neither names nor shares anything with exact text isn't supported by it.
 */
#include "engine/ask.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *engine_ask_keep(struct pr_answer *answer, char *string)
{
    answer->strings = base_realloc(answer->strings, (answer->n_strings + 1) * sizeof *answer->strings);
    return answer->strings[answer->n_strings++] = string;
}

void engine_ask_cite(const struct ask_set *set, struct pr_answer *answer)
{
    answer->citations = base_alloc_array(set->n + 1, sizeof *answer->citations);
    for (size_t i = 0; i < set->n; i++) {
        const struct ask_entry *entry = &set->entries[i];
        bool timed = entry->t0 != PR_TIME_NONE;
        answer->citations[answer->n_citations++] = (struct pr_citation){
            .source = engine_ask_keep(answer, base_strdup(entry->asked->path)),
            .page = timed || entry->page < 0 ? 0 : entry->page + 1,
            .label = !timed && entry->label ? engine_ask_keep(answer, base_strdup(entry->label)) : NULL,
            .t0_us = entry->t0,
            .t1_us = entry->t1,
            .shown_t0_us = entry->t0,
            .shown_t1_us = entry->t1,
            .box = {entry->box.x0, entry->box.y0, entry->box.x1, entry->box.y1},
            .shown_box = {entry->box.x0, entry->box.y0, entry->box.x1, entry->box.y1},
            .text = entry->text.len ? engine_ask_keep(answer, base_strdup(entry->text.data)) : NULL,
            .tag = entry->tag,
            .gist = entry->gist,
            .look_tokens = entry->look_tokens,
            .looked_at_us = entry->look_tokens ? entry->looked_at : PR_TIME_NONE,
            .note = entry->what == ASK_NOTES,
        };
    }
}

/* ---- words -------------------------------------------------------------------------------------------------------- */

size_t engine_ask_next_word(const char **text, char out[64])
{
    const char *c = *text;
    size_t n = 0;
    while (*c && !((unsigned char)*c >= 0x80 || (*c >= '0' && *c <= '9') || ((*c | 32) >= 'a' && (*c | 32) <= 'z')))
        c++;
    for (; *c && ((unsigned char)*c >= 0x80 || (*c >= '0' && *c <= '9') || ((*c | 32) >= 'a' && (*c | 32) <= 'z')); c++)
        if (n < 63)
            out[n++] = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    out[n] = '\0';
    *text = c;
    return n;
}

/* Whether a text has a word, or one with the same beginning of 5 bytes or more: endings differ. */
static bool has_word(const char *text, const char *word, size_t len)
{
    char other[64];
    size_t n, stem = len > 5 ? (len * 3 + 3) / 4 : len;
    while ((n = engine_ask_next_word(&text, other)))
        if (len > 5 ? n >= stem && !strncmp(word, other, stem) : n == len && !strcmp(word, other))
            return true;
    return false;
}

size_t engine_ask_content_words(const char *question)
{
    char word[64];
    size_t n = 0, len;
    while ((len = engine_ask_next_word(&question, word)))
        n += !memory_is_function_word(word, len);
    return n;
}

/* ---- judging ------------------------------------------------------------------------------------------------------ */

/* Whether the answer itself says that there is none. */
static bool says_not_found(const char *text)
{
    static const char *const words[] = {"not found",
                                        "not shown",
                                        "not mentioned",
                                        "not contain the answer",
                                        "don't contain the answer",
                                        "doesn't contain the answer",
                                        "no information"};
    char lower[128];
    size_t n = 0;
    while (text[n] && n < sizeof lower - 1) {
        lower[n] = (char)(text[n] >= 'A' && text[n] <= 'Z' ? text[n] + 32 : text[n]);
        n++;
    }
    lower[n] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(lower, words[i]))
            return true;
    return false;
}

/* Marks the citations whose tags [S1], [S2] the answer names; returns how many. */
static size_t resolve_tags(struct pr_answer *answer)
{
    size_t n = 0;
    for (const char *c = pr_answer_text(answer); (c = strstr(c, "[S")); c++) {
        char *end;
        long tag = strtol(c + 2, &end, 10);
        for (size_t i = 0; end > c + 2 && *end == ']' && i < answer->n_citations; i++) {
            struct pr_citation *citation = &answer->citations[i];
            n += citation->tag == tag && !citation->by_model;
            citation->by_model |= citation->tag == tag;
        }
    }
    return n;
}

/* The words of the answer that say something which the question doesn't: how many there are, and how many of them stand in exact text
 * that was shown. Marks the citation that shares most of them. */
static void share_words(const struct ask_set *set, const char *question, struct pr_answer *answer, size_t *n_words,
                        size_t *n_shared)
{
    char word[64];
    size_t len, *shared = base_alloc_array(set->n + 1, sizeof *shared), best = 0;
    for (const char *text = pr_answer_text(answer); (len = engine_ask_next_word(&text, word));) {
        bool anywhere = false;
        if (memory_is_function_word(word, len) || has_word(question, word, len) ||
            (word[0] == 's' && len > 1 && strspn(word + 1, "0123456789") == len - 1)) /* a tag */
            continue;
        for (size_t i = 0; i < set->n; i++) {
            if (!set->entries[i].text.len || !has_word(set->entries[i].text.data, word, len))
                continue;
            shared[i]++;
            anywhere = true;
        }
        ++*n_words;
        *n_shared += anywhere;
    }
    for (size_t i = 1; i < set->n; i++)
        best = shared[i] > shared[best] ? i : best;
    if (set->n && shared[best] > 0 && answer->citations)
        answer->citations[best].by_words = true;
    base_free(shared);
}

void engine_ask_judge(const struct ask_set *set, const char *question, struct pr_answer *answer)
{
    size_t named = resolve_tags(answer), n_words = 0, n_shared = 0;
    answer->found = true;
    if (says_not_found(pr_answer_text(answer))) {
        answer->found = false;
        return;
    }
    share_words(set, question, answer, &n_words, &n_shared);
    /* Pictures may show what no text says; there only the model can tell. */
    if (set->visual_tokens > 0 || named > 0)
        return;
    if (n_words > 0 && 4 * n_shared < n_words) {
        answer->found = false;
        answer->why = base_strdup("nothing of what the model was shown supports its words");
    }
}
