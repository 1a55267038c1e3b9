/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Narrows citations: an excerpt may be a minute of film or half a page, but what an answer rests on is a line of it, or a thing on some
 * frames. The line is the one that shares most words with question and answer, and its span is exact. Of pictures nobody knows for sure
 * what a model looked at; the tokens whose shallow keys answer the question best are where recall found it.
 */
#include "engine/ask.h"

#include "base/mem.h"
#include "memory/text_index.h"

#include <stdlib.h>
#include <string.h>

enum {
    KEYS = 64, /* of a segment that are asked */
    BEST = 4   /* tokens that make the place */
};

/* ---- text --------------------------------------------------------------------------------------------------------- */

/* A model's own words are no quote. */
static bool is_quotable(const struct ask_entry *entry)
{
    return entry->n_lines > 0 && entry->what != ASK_NOTES;
}

static int64_t line_id(size_t entry, size_t line)
{
    return (int64_t)(entry << 32 | line);
}

/* An index of all lines that can be quoted. The caller closes *out, on failure, too. */
static int index_lines(const struct ask_set *set, struct text_index **out)
{
    int err;
    TRY(memory_text_index_open(NULL, out));
    for (size_t i = 0; i < set->n; i++) {
        const struct ask_entry *entry = &set->entries[i];
        for (size_t l = 0; is_quotable(entry) && l < entry->n_lines; l++)
            TRY(memory_text_index_add(*out, line_id(i, l), entry->text.data + entry->lines[l].at, entry->lines[l].len));
    }
    err = PR_OK;
fail:
    return err;
}

/* The line of entry number i that shares most with `words`; n_lines: none shares any. */
static int best_line(struct text_index *index, const struct ask_set *set, size_t i, const char *words, size_t *out)
{
    int err;
    struct text_hit hit;
    size_t n = 0, n_lines = set->entries[i].n_lines;
    const struct text_range range = {.first = line_id(i, 0), .last = line_id(i, n_lines)};
    TRY(memory_text_index_search(index, words, &range, 1, &hit, &n));
    *out = n > 0 ? (size_t)(hit.id - range.first) : n_lines;
fail:
    return err;
}

static bool has_box(const struct pr_box *box)
{
    return box->x1 > box->x0 && box->y1 > box->y0;
}

/* Quotes the line, and cites where it stands: of subtitles the whole cue. */
static void quote(const struct ask_entry *entry, size_t at, struct pr_answer *answer, struct pr_citation *citation)
{
    bool shares = at < entry->n_lines;
    const struct ask_line *line = &entry->lines[shares ? at : 0];
    char *copy = base_alloc(line->len + 1);
    memcpy(copy, entry->text.data + line->at, line->len);
    citation->quote = engine_ask_keep(answer, copy);
    if (!shares)
        return;
    if (line->t0 != PR_TIME_NONE && line->t1 > line->t0) {
        citation->t0_us = line->t0;
        citation->t1_us = line->t1;
    }
    if (has_box(&line->box))
        memcpy(citation->box, &(float[]){line->box.x0, line->box.y0, line->box.x1, line->box.y1}, sizeof citation->box);
}

/* ---- pictures ----------------------------------------------------------------------------------------------------- */

/* A token that answers a question. */
struct point {
    float score;
    const struct evidence_segment *segment;
    uint32_t token;
};

static void enter(struct point best[BEST], struct point point)
{
    for (int i = 0; i < BEST; i++)
        if (!best[i].segment || point.score > best[i].score) {
            struct point last = best[i];
            best[i] = point;
            point = last;
        }
}

/* The tokens of an entry that answer best; false: it has no keys. */
static bool best_tokens(const struct asking *asking, const struct ask_entry *entry, const struct ask_found *found,
                        struct point best[BEST])
{
    struct memory_keys *keys = entry->asked->keys;
    float scores[KEYS];
    for (size_t p = 0; p < entry->n_pictures && keys && found->queries; p++) {
        const struct ask_picture *picture = &entry->pictures[p];
        uint32_t n;
        if (!memory_keys_find(keys, picture->segment.number, picture->n < KEYS ? picture->n : KEYS, &n))
            continue;
        memory_keys_scores(keys, picture->segment.number, found->queries, found->n_queries, asking->model->hp->n_head,
                           n, scores);
        for (uint32_t i = 0; i < n; i++)
            enter(best, (struct point){scores[i], &picture->segment, i});
    }
    return best[0].segment != NULL;
}

static struct pr_box box_of(const struct point *point)
{
    const struct evidence_segment *s = point->segment;
    const struct evidence_token *t = &s->tokens[point->token];
    struct pr_box box = {s->ax * (float)t->x0 + s->bx, s->ay * (float)t->y0 + s->by, s->ax * (float)t->x1 + s->bx,
                         s->ay * (float)t->y1 + s->by};
    box.x0 = box.x0 > 0 ? box.x0 : 0;
    box.y0 = box.y0 > 0 ? box.y0 : 0;
    box.x1 = s->width > 0 && box.x1 > (float)s->width ? (float)s->width : box.x1;
    box.y1 = s->height > 0 && box.y1 > (float)s->height ? (float)s->height : box.y1;
    return box;
}

/* Time and box of the best token, with those of the next ones that it overlaps in time. */
static void point_at(const struct point best[BEST], struct pr_citation *citation)
{
    const struct evidence_token *first = &best[0].segment->tokens[best[0].token];
    bool timed = first->t0 != PR_TIME_NONE;
    int64_t t0 = first->t0, t1 = first->t1;
    struct pr_box box = box_of(&best[0]);
    for (int i = 1; i < BEST && best[i].segment; i++) {
        const struct evidence_token *token = &best[i].segment->tokens[best[i].token];
        struct pr_box other = box_of(&best[i]);
        if (timed && (token->t0 >= t1 || token->t1 <= t0))
            continue;
        t0 = timed && token->t0 > t0 ? token->t0 : t0; /* when all of them are there */
        t1 = timed && token->t1 < t1 ? token->t1 : t1;
        box.x0 = other.x0 < box.x0 ? other.x0 : box.x0;
        box.y0 = other.y0 < box.y0 ? other.y0 : box.y0;
        box.x1 = other.x1 > box.x1 ? other.x1 : box.x1;
        box.y1 = other.y1 > box.y1 ? other.y1 : box.y1;
    }
    if (timed) {
        citation->t0_us = t0;
        citation->t1_us = t1;
    }
    if (has_box(&box))
        memcpy(citation->box, &(float[]){box.x0, box.y0, box.x1, box.y1}, sizeof citation->box);
}

/* ------------------------------------------------------------------------------------------------------------------- */

int engine_ask_narrow(const struct asking *asking, const struct ask_set *set, const struct ask_found *found,
                      const char *question, struct pr_answer *answer)
{
    int err;
    struct text_index *index = NULL;
    struct base_buf both = {0};
    base_buf_printf(&both, "%s %s", question, pr_answer_text(answer));
    TRY(index_lines(set, &index));
    for (size_t i = 0; i < answer->n_citations; i++) {
        const struct ask_entry *entry = &set->entries[i];
        struct pr_citation *citation = &answer->citations[i];
        struct point best[BEST] = {0};
        bool cited = citation->by_model || citation->by_words;
        size_t line;
        if (is_quotable(entry)) {
            TRY(best_line(index, set, i, cited ? both.data : question, &line));
            quote(entry, line, answer, citation);
            if (line < entry->n_lines)
                continue;
        }
        if (!entry->gist && best_tokens(asking, entry, found, best))
            point_at(best, citation);
    }
    err = PR_OK;
fail:
    memory_text_index_close(index);
    base_buf_finish(&both);
    return err;
}
