/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What of the sources may answer a question: passages by their words, segments of visual tokens by the passages that lie in them
 * and by what the model's first layers make of question and segment. Lists are fused by rank.
 */
#include "engine/ask.h"

#include "base/mem.h"
#include "memory/recall_index.h"

#include <stdlib.h>
#include <string.h>

enum {
    CANDIDATES = 1000, /* passages that recall looks at */
};

void engine_ask_passage_finish(struct ask_passage *passage)
{
    base_free(passage->passage.text);
    base_free(passage->lines);
    base_free(passage->label);
    *passage = (struct ask_passage){0};
}

int engine_ask_read_passage(const struct asking *asking, const struct library_hit *hit, struct ask_passage *out)
{
    struct evidence_segment segment;
    size_t i;
    *out = (struct ask_passage){.asked = engine_ask_find(asking, hit->source),
                                .segment = hit->segment,
                                .line = hit->line,
                                .score = hit->score,
                                .coverage = hit->coverage};
    const struct evidence *evidence = out->asked ? engine_ask_evidence(out->asked) : NULL;
    if (!evidence || !memory_evidence_find(evidence, hit->segment, &i))
        return base_fail(PR_ERR_NOT_FOUND, "segment %llu isn't there", (unsigned long long)hit->segment);
    int err = memory_evidence_read(evidence, i, &segment);
    if (err < 0)
        return err;
    out->kind = segment.kind;
    if (hit->line < segment.n_lines) {
        size_t end = memory_passage_end(&segment, hit->line), at = 0;
        memory_passage_make(&segment, hit->line, end, &out->passage);
        out->n_lines = end - hit->line;
        out->lines = base_alloc_array(out->n_lines, sizeof *out->lines);
        for (size_t l = 0; l < out->n_lines; l++, at++) { /* a line feed stands between them */
            const struct evidence_line *line = &segment.lines[hit->line + l];
            out->lines[l] = (struct ask_line){at, line->len, line->t0, line->t1, line->box};
            at += line->len;
        }
        out->label = base_strdup(segment.label);
    } else {
        err = base_fail(PR_ERR_NOT_FOUND, "line %zu isn't there", hit->line);
    }
    memory_evidence_release(&segment);
    return err;
}

/* ---- passages ----------------------------------------------------------------------------------------------------- */

static bool accept(void *user, const struct library_hit *hit)
{
    const struct asking *asking = user;
    struct ask_passage passage;
    bool good = engine_ask_read_passage(asking, hit, &passage) >= 0 &&
                engine_ask_in_range(asking, passage.passage.t0, passage.passage.t1, passage.passage.page);
    engine_ask_passage_finish(&passage);
    return good;
}

static int find_passages(struct asking *asking, const char *question, struct ask_found *out)
{
    bool ranged =
        asking->from != PR_TIME_NONE || asking->to != PR_TIME_NONE || asking->first_page > 0 || asking->last_page >= 0;
    int64_t *ids = base_alloc_array(asking->n_sources, sizeof *ids);
    out->hits = base_alloc_array(CANDIDATES, sizeof *out->hits);
    for (size_t i = 0; i < asking->n_sources; i++)
        ids[i] = asking->sources[i].source.id;
    int err = memory_library_search(asking->library, question, ids, asking->all ? 0 : asking->n_sources,
                                    ranged ? accept : NULL, asking, CANDIDATES, out->hits, &out->n_hits);
    base_free(ids);
    for (size_t i = 0; i < out->n_hits && err >= 0; i++)
        out->coverage = out->hits[i].coverage > out->coverage ? out->hits[i].coverage : out->coverage;
    return err;
}

/* ---- pictures ----------------------------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
    const struct ask_seen *x = a, *y = b;
    if (x->asked != y->asked)
        return x->asked->order < y->asked->order ? -1 : 1;
    if (x->t0 != y->t0)
        return x->t0 < y->t0 ? -1 : 1;
    if (x->page != y->page)
        return x->page < y->page ? -1 : 1;
    return (x->number > y->number) - (x->number < y->number);
}

/* Logs are nearly always in this order already, and many. */
static void put_in_order(struct ask_seen *list, size_t n)
{
    bool ordered = true;
    for (size_t i = 1; i < n && ordered; i++)
        ordered = by_place(&list[i - 1], &list[i]) <= 0;
    if (!ordered)
        qsort(list, n, sizeof *list, by_place);
}

static void add_seen(struct ask_seen **list, size_t *n, struct asked *asked, const struct recall_segment *segment,
                     const int8_t *sketch)
{
    if (!(*n & (*n - 1)))
        *list = base_realloc(*list, (*n ? 2 * *n : 1) * sizeof **list);
    (*list)[(*n)++] = (struct ask_seen){.asked = asked,
                                        .number = segment->number,
                                        .t0 = segment->t0,
                                        .t1 = segment->t1,
                                        .page = segment->page,
                                        .tile = segment->tile != 0,
                                        .mean = sketch ? memory_recall_like(segment, sketch) : 0,
                                        .n_tokens = segment->n_tokens};
}

/* What this model has made of the pictures, and timed text, in range. */
static void list_seen(struct asking *asking, const int8_t *sketch, struct ask_found *out)
{
    for (size_t s = 0; s < asking->n_sources; s++) {
        struct asked *asked = &asking->sources[s];
        size_t n;
        if (!asked->seen)
            continue;
        const struct recall_segment *segments = memory_recall_segments(asked->index, &n);
        for (size_t i = 0; i < n; i++) {
            const struct recall_segment *segment = &segments[i];
            if (!engine_ask_in_range(asking, segment->t0, segment->t1, segment->page))
                continue;
            if (segment->setup == asked->seen->number && segment->n_tokens > 0)
                add_seen(&out->seen, &out->n_seen, asked, segment, sketch);
            else if (segment->kind == EVIDENCE_TIMED_TEXT)
                add_seen(&out->texts, &out->n_texts, asked, segment, NULL);
        }
        out->damaged += (int64_t)memory_recall_summary(asked->index)->damaged;
    }
    put_in_order(out->seen, out->n_seen);
    put_in_order(out->texts, out->n_texts);
}

int engine_ask_recall(struct asking *asking, const char *question, struct ask_found *out)
{
    int err;
    int8_t sketch[RECALL_MEAN];
    *out = (struct ask_found){0};
    TRY(find_passages(asking, question, out));
    engine_ask_general(asking, question, out);
    list_seen(asking, asking->vision && engine_ask_sketch(asking, question, sketch) ? sketch : NULL, out);
    engine_ask_rate(asking, question, out);
fail:
    return err;
}

void engine_ask_found_finish(struct ask_found *found)
{
    base_free(found->hits);
    base_free(found->seen);
    base_free(found->texts);
    base_free(found->queries);
    *found = (struct ask_found){0};
}
