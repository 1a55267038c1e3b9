/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The working set of a question: which entries the model is shown, and how many visual tokens of each, within a budget of tokens. A
 * sixth of it goes to the gist, half to the pictures that fit the question, a quarter to exact text; the rest is for the words around them,
 * question and answer. When all pictures fit, all are shown as they are, without a gist.
 */
#include "engine/ask.h"

#include "base/mem.h"
#include "memory/recall.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_PASSAGES = 8,   /* put before the model: more lowers the accuracy of small models */
    TRIED = 64,         /* the best ones, which are read to see whether they fit */
    TEXT_TOKENS = 1400, /* exact text beyond about 2,000 tokens stops helping */
    LEAST = 8,          /* visual tokens of a segment */
    GRANULE = 16,
    PER_SEGMENT = 64, /* visual tokens of a segment that was chosen, about */
    GIST_ENTRY = 64,  /* tokens of an entry of the gist, with the words around it */
    GIST_TOKENS = 24,
    GIST_SEGMENTS = 3,
    SUBTITLE_BYTES = 400,
    WORDS = 24 /* tokens of tag, place and marks of an entry */
};

void engine_ask_entry_finish(struct ask_entry *entry)
{
    for (size_t i = 0; i < entry->n_pictures; i++)
        memory_evidence_release(&entry->pictures[i].segment);
    for (size_t i = 0; i < entry->n_looks; i++)
        engine_run_finish(&entry->looks[i]);
    base_free(entry->looks);
    base_free(entry->pictures);
    base_free(entry->label);
    base_free(entry->lines);
    base_buf_finish(&entry->text);
    *entry = (struct ask_entry){0};
}

void engine_ask_set_finish(struct ask_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        engine_ask_entry_finish(&set->entries[i]);
    base_free(set->entries);
    *set = (struct ask_set){0};
}

static struct ask_entry *add_entry(struct ask_set *set, const struct ask_entry *entry)
{
    if (set->n == set->cap) {
        set->cap = set->cap ? 2 * set->cap : 16;
        set->entries = base_realloc(set->entries, set->cap * sizeof *set->entries);
    }
    set->entries[set->n] = *entry;
    set->entries[set->n].focus = PR_TIME_NONE;
    return &set->entries[set->n++];
}

static bool read_segment(const struct ask_seen *seen, struct evidence_segment *out)
{
    size_t i;
    const struct evidence *evidence = engine_ask_evidence(seen->asked);
    return evidence && memory_evidence_find(evidence, seen->number, &i) && memory_evidence_read(evidence, i, out) >= 0;
}

/* What is shown of a segment. */
struct take {
    uint32_t n;
    struct evidence_segment *read; /* NULL: not yet */
};

static void take_finish(struct take *take)
{
    if (take->read)
        memory_evidence_release(take->read);
    base_free(take->read);
    take->read = NULL;
}

/* Adds the first tokens of a segment to an entry, the entry's span growing with it. A damaged one is left out. */
static bool add_picture(struct ask_entry *entry, const struct ask_seen *seen, struct take *take)
{
    struct evidence_segment segment;
    uint32_t n = take->n;
    if (n == 0 || (!take->read && !read_segment(seen, &segment)))
        return false;
    if (take->read) {
        segment = *take->read; /* the entry releases it */
        base_free(take->read);
        take->read = NULL;
    }
    n = n < segment.n_tokens ? n : segment.n_tokens;
    entry->pictures = base_realloc(entry->pictures, (entry->n_pictures + 1) * sizeof *entry->pictures);
    entry->pictures[entry->n_pictures++] = (struct ask_picture){segment, n};
    if (seen->t0 != PR_TIME_NONE) {
        entry->t0 = entry->t0 == PR_TIME_NONE || seen->t0 < entry->t0 ? seen->t0 : entry->t0;
        entry->t1 = entry->t1 == PR_TIME_NONE || seen->t1 > entry->t1 ? seen->t1 : entry->t1;
    }
    return true;
}

/* ---- the gist ----------------------------------------------------------------------------------------------------- */

/* The whole of the films in parts of equal numbers of segments, a few tokens of each. Doesn't depend on the question. */
static void choose_gist(const struct ask_found *found, size_t budget, struct ask_set *set)
{
    size_t n = 0, *timed = base_alloc_array(found->n_seen + 1, sizeof *timed), parts = budget / GIST_ENTRY;
    for (size_t i = 0; i < found->n_seen; i++)
        if (found->seen[i].t0 != PR_TIME_NONE)
            timed[n++] = i;
    parts = parts < n ? parts : n;
    for (size_t p = 0; p < parts; p++) {
        size_t from = p * n / parts, to = (p + 1) * n / parts,
               m = to - from < GIST_SEGMENTS ? to - from : GIST_SEGMENTS;
        struct ask_entry entry = {.asked = found->seen[timed[from]].asked,
                                  .gist = true,
                                  .t0 = PR_TIME_NONE,
                                  .t1 = PR_TIME_NONE,
                                  .page = PR_PAGE_NONE};
        for (size_t i = 0; i < m; i++) {
            const struct ask_seen *seen = &found->seen[timed[from + (2 * i + 1) * (to - from) / (2 * m)]];
            if (seen->asked == entry.asked)
                add_picture(&entry, seen, &(struct take){.n = GIST_TOKENS / (uint32_t)m});
        }
        for (size_t i = from; i < to && found->seen[timed[i]].asked == entry.asked; i++) { /* the span is the part's */
            const struct ask_seen *seen = &found->seen[timed[i]];
            entry.t0 = entry.t0 == PR_TIME_NONE || seen->t0 < entry.t0 ? seen->t0 : entry.t0;
            entry.t1 = entry.t1 == PR_TIME_NONE || seen->t1 > entry.t1 ? seen->t1 : entry.t1;
        }
        if (entry.n_pictures)
            add_entry(set, &entry);
    }
    base_free(timed);
}

/* ---- pictures ----------------------------------------------------------------------------------------------------- */

/* A segment that competes for tokens. */
struct bid {
    const struct ask_seen *seen;
    struct evidence_segment *segment;
    uint32_t n, n_all;
};

static double worth(const struct bid *bid)
{
    return bid->n < bid->n_all ? bid->seen->relevance * (double)compute_f16_to_f32(bid->segment->tokens[bid->n].radius)
                               : -1;
}

/* Shares out tokens: 8 for each, then 16 at a time to the segment whose next token lies farthest from what is shown of it. */
static void share_out(struct bid *bids, size_t n, size_t budget)
{
    size_t used = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t least = bids[i].n_all < LEAST ? bids[i].n_all : LEAST;
        bids[i].n = used + least <= budget ? least : 0;
        used += bids[i].n;
    }
    for (;;) { /* n is small: some dozens */
        struct bid *best = NULL;
        for (size_t i = 0; i < n; i++)
            if (bids[i].n > 0 && worth(&bids[i]) > 0 && (!best || worth(&bids[i]) > worth(best)))
                best = &bids[i];
        if (!best)
            return;
        uint32_t more = best->n_all - best->n < GRANULE ? best->n_all - best->n : GRANULE;
        if (used + more > budget)
            return;
        best->n += more;
        used += more;
    }
}

/* Frames: those that stand out or cover the timeline, the segment before each of the best, then tokens by relevance and radius. */
static void choose_frames(const struct ask_found *found, const size_t *timed, size_t n, size_t budget,
                          struct take *take)
{
    size_t k = budget / PER_SEGMENT ? budget / PER_SEGMENT : 1, n_bids = 0;
    float *scores = base_alloc_array(n + 1, sizeof *scores);
    bool *chosen = base_alloc_array(n + 1, sizeof *chosen);
    for (size_t i = 0; i < n; i++)
        scores[i] = (float)found->seen[timed[i]].relevance;
    memory_recall_spread(scores, n, k, 0.35, chosen);
    for (size_t i = n; i-- > 1;) /* clips beat frames */
        if (chosen[i] && scores[i] > 0.5f)
            chosen[i - 1] = true;
    struct bid *bids = base_alloc_array(n + 1, sizeof *bids);
    for (size_t i = 0; i < n; i++) {
        struct bid *bid = &bids[n_bids];
        struct evidence_segment segment;
        if (!chosen[i] || !read_segment(&found->seen[timed[i]], &segment))
            continue;
        bid->seen = &found->seen[timed[i]];
        bid->segment = base_alloc(sizeof segment);
        *bid->segment = segment;
        bid->n_all = segment.n_tokens;
        n_bids++;
    }
    share_out(bids, n_bids, budget);
    for (size_t i = 0; i < n_bids; i++)
        take[bids[i].seen - found->seen] = (struct take){bids[i].n, bids[i].segment};
    base_free(bids);
    base_free(chosen);
    base_free(scores);
}

/* Pages, best first, each with all that was kept of it while that fits; of the last one its whole picture at least. */
static void choose_pages(const struct ask_found *found, size_t budget, struct take *take)
{
    size_t used = 0;
    bool *done = base_alloc_array(found->n_seen + 1, sizeof *done);
    for (;;) {
        size_t best = found->n_seen, tokens = 0;
        for (size_t i = 0; i < found->n_seen; i++)
            if (found->seen[i].t0 == PR_TIME_NONE && !done[i] &&
                (best == found->n_seen || found->seen[i].relevance > found->seen[best].relevance))
                best = i;
        if (best == found->n_seen)
            break;
        for (size_t i = 0; i < found->n_seen; i++)
            if (found->seen[i].asked == found->seen[best].asked && found->seen[i].page == found->seen[best].page)
                tokens += found->seen[i].n_tokens;
        bool fits = used + tokens <= budget, any = false;
        for (size_t i = 0; i < found->n_seen; i++) {
            const struct ask_seen *seen = &found->seen[i];
            if (seen->asked != found->seen[best].asked || seen->page != found->seen[best].page || done[i])
                continue;
            done[i] = true;
            if (!fits && (seen->tile || used + seen->n_tokens > budget))
                continue;
            take[i].n = seen->n_tokens;
            used += seen->n_tokens;
            any = true;
        }
        if (!fits || (!any && used > 0))
            break;
    }
    base_free(done);
}

static void choose_pictures(const struct ask_found *found, size_t budget, size_t gist, struct ask_set *set)
{
    size_t all = 0, n = 0, *timed = base_alloc_array(found->n_seen + 1, sizeof *timed);
    struct take *take = base_alloc_array(found->n_seen + 1, sizeof *take);
    for (size_t i = 0; i < found->n_seen; i++) {
        all += found->seen[i].n_tokens + WORDS;
        if (found->seen[i].t0 != PR_TIME_NONE)
            timed[n++] = i;
    }
    if (all <= budget + gist) {
        for (size_t i = 0; i < found->n_seen; i++)
            take[i].n = found->seen[i].n_tokens;
    } else {
        size_t pages = found->n_seen - n;
        choose_gist(found, gist, set);
        if (n)
            choose_frames(found, timed, n, pages ? budget / 2 : budget, take);
        if (pages)
            choose_pages(found, n ? budget / 2 : budget, take);
    }
    for (size_t i = 0; i < found->n_seen; i++) {
        const struct ask_seen *seen = &found->seen[i];
        struct ask_entry *last = set->n && !set->entries[set->n - 1].gist ? &set->entries[set->n - 1] : NULL;
        bool same_page = last && seen->t0 == PR_TIME_NONE && last->asked == seen->asked && last->page == seen->page;
        struct ask_entry entry = {.asked = seen->asked,
                                  .t0 = PR_TIME_NONE,
                                  .t1 = PR_TIME_NONE,
                                  .page = seen->page,
                                  .relevance = seen->relevance};
        if (same_page)
            add_picture(last, seen, &take[i]);
        else if (add_picture(&entry, seen, &take[i]))
            add_entry(set, &entry);
        take_finish(&take[i]);
    }
    base_free(take);
    base_free(timed);
}

/* ---- text --------------------------------------------------------------------------------------------------------- */

/* Adds text that consists of lines. */
static void add_lines(struct ask_entry *entry, const char *text, size_t len, const struct ask_line *lines, size_t n)
{
    if (entry->text.len)
        base_buf_puts(&entry->text, "\n");
    entry->lines = base_realloc(entry->lines, (entry->n_lines + n + 1) * sizeof *entry->lines);
    for (size_t i = 0; i < n; i++) {
        entry->lines[entry->n_lines] = lines[i];
        entry->lines[entry->n_lines++].at += entry->text.len;
    }
    base_buf_append(&entry->text, text, len);
}

/* The entry whose pictures show most of what a passage goes with, or NULL. */
static struct ask_entry *entry_of(struct ask_set *set, const struct ask_passage *p)
{
    struct ask_entry *best = NULL;
    int64_t most = 0;
    for (size_t i = 0; i < set->n; i++) {
        struct ask_entry *e = &set->entries[i];
        if (e->gist || e->asked != p->asked || !e->n_pictures || p->kind == EVIDENCE_OUTLINE ||
            p->kind == EVIDENCE_NOTE)
            continue;
        if (p->passage.t0 == PR_TIME_NONE) {
            if (e->t0 == PR_TIME_NONE && e->page == p->passage.page)
                return e;
            continue;
        }
        int64_t from = p->passage.t0 > e->t0 ? p->passage.t0 : e->t0,
                to = p->passage.t1 < e->t1 ? p->passage.t1 : e->t1;
        if (e->t0 != PR_TIME_NONE && to - from > most) {
            most = to - from;
            best = e;
        }
    }
    return best;
}

static struct pr_box box_union(struct pr_box a, struct pr_box b)
{
    if (a.x1 <= a.x0)
        return b;
    if (b.x1 <= b.x0)
        return a;
    return (struct pr_box){a.x0 < b.x0 ? a.x0 : b.x0, a.y0 < b.y0 ? a.y0 : b.y0, a.x1 > b.x1 ? a.x1 : b.x1,
                           a.y1 > b.y1 ? a.y1 : b.y1};
}

/* Takes over the passage's label. */
static void add_passage(struct ask_set *set, struct ask_passage *p)
{
    struct ask_entry *entry = entry_of(set, p);
    if (entry) {
        add_lines(entry, p->passage.text, p->passage.len, p->lines, p->n_lines);
        if (p->passage.t0 != PR_TIME_NONE) {
            entry->t0 = p->passage.t0 < entry->t0 ? p->passage.t0 : entry->t0;
            entry->t1 = p->passage.t1 > entry->t1 ? p->passage.t1 : entry->t1;
        }
        entry->box = box_union(entry->box, p->passage.box);
        if (p->passage.t0 != PR_TIME_NONE && (entry->focus == PR_TIME_NONE || p->coverage >= entry->relevance))
            entry->focus = p->passage.t0 + (p->passage.t1 - p->passage.t0) / 2;
        entry->relevance = entry->relevance > p->coverage ? entry->relevance : p->coverage;
        if (!entry->label) {
            entry->label = p->label;
            p->label = NULL;
        }
    } else {
        entry = add_entry(set, &(struct ask_entry){.asked = p->asked,
                                                   .what = p->kind == EVIDENCE_OUTLINE ? ASK_OUTLINE
                                                           : p->kind == EVIDENCE_NOTE  ? ASK_NOTES
                                                                                       : ASK_PLAIN,
                                                   .t0 = p->passage.t0,
                                                   .t1 = p->passage.t1,
                                                   .page = p->passage.page,
                                                   .box = p->passage.box,
                                                   .relevance = p->coverage,
                                                   .segment = p->segment,
                                                   .line = p->line,
                                                   .label = p->label});
        add_lines(entry, p->passage.text, p->passage.len, p->lines, p->n_lines);
        p->label = NULL;
    }
    set->passages++;
}

static int passages_by_place(const void *a, const void *b)
{
    const struct ask_passage *x = a, *y = b;
    if (x->asked != y->asked)
        return x->asked->order < y->asked->order ? -1 : 1;
    if (x->passage.t0 != y->passage.t0)
        return x->passage.t0 < y->passage.t0 ? -1 : 1;
    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    return (x->line > y->line) - (x->line < y->line);
}

/* Lines of a table of contents: they share the words of what they point to, and answer nothing. */
static bool is_contents(const struct passage *passage)
{
    size_t leaders = 0;
    for (size_t i = 1; i + 1 < passage->len; i++)
        leaders += passage->text[i] == '.' && (passage->text[i - 1] == '.' || passage->text[i - 1] == ' ') &&
                   (passage->text[i + 1] == '.' || passage->text[i + 1] == ' ');
    return 6 * leaders > passage->len;
}

/* The best passages that fit the budget together. Those that can't be read any more are counted as damage. */
static int choose_passages(struct asking *asking, const struct ask_found *found, size_t budget, struct ask_set *set)
{
    int err = PR_OK;
    size_t used = 0, n = 0;
    struct ask_passage chosen[MAX_PASSAGES];
    for (size_t i = 0; i < found->n_hits && i < TRIED && n < MAX_PASSAGES && used < budget && err >= 0; i++) {
        struct ask_passage *next = &chosen[n];
        int32_t *ids = NULL;
        size_t n_ids;
        if (engine_ask_read_passage(asking, &found->hits[i], next) < 0) {
            set->damaged++;
            engine_ask_passage_finish(next);
            continue;
        }
        if (found->n_hits > MAX_PASSAGES && is_contents(&next->passage)) {
            engine_ask_passage_finish(next);
            continue;
        }
        err = pr_tokenize(asking->model, next->passage.text, next->passage.len, false, &ids, &n_ids);
        pr_free(ids);
        if (err < 0 || used + n_ids > budget) {
            engine_ask_passage_finish(next);
            continue;
        }
        next->coverage /=
            found->coverage > 0 ? found->coverage : 1; /* the best one counts as much as the best picture */
        used += n_ids;
        n++;
    }
    qsort(chosen, n, sizeof *chosen, passages_by_place);
    for (size_t i = 0; i < n; i++) {
        if (err >= 0)
            add_passage(set, &chosen[i]);
        engine_ask_passage_finish(&chosen[i]);
    }
    return err;
}

/* Gives frames that no passage came with the subtitles that were on the screen meanwhile. */
static void add_subtitles(const struct ask_found *found, struct ask_set *set)
{
    for (size_t e = 0; e < set->n; e++) {
        struct ask_entry *entry = &set->entries[e];
        int32_t stream = -1;
        if (entry->gist || entry->text.len || !entry->n_pictures || entry->t0 == PR_TIME_NONE)
            continue;
        for (size_t i = 0; i < found->n_texts; i++) {
            const struct ask_seen *text = &found->texts[i];
            struct evidence_segment segment;
            if (text->asked != entry->asked || text->t0 >= entry->t1 || text->t1 <= entry->t0 ||
                !read_segment(text, &segment))
                continue;
            for (size_t l = 0; l < segment.n_lines && entry->text.len < SUBTITLE_BYTES; l++) {
                const struct evidence_line *line = &segment.lines[l];
                if (line->t0 >= entry->t1 || line->t1 <= entry->t0 || (stream >= 0 && stream != segment.stream))
                    continue;
                stream = segment.stream; /* of several languages the first */
                add_lines(entry, line->text, line->len, &(struct ask_line){0, line->len, line->t0, line->t1, line->box},
                          1);
            }
            memory_evidence_release(&segment);
        }
    }
}

static int by_place(const void *a, const void *b)
{
    const struct ask_entry *x = a, *y = b;
    if (x->gist != y->gist)
        return x->gist ? -1 : 1;
    if (x->asked != y->asked)
        return x->asked->order < y->asked->order ? -1 : 1;
    if (x->t0 != y->t0)
        return x->t0 < y->t0 ? -1 : 1;
    if (x->page != y->page)
        return x->page < y->page ? -1 : 1;
    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    return (x->line > y->line) - (x->line < y->line);
}

int engine_ask_choose(struct asking *asking, const struct ask_found *found, size_t budget, struct ask_set *out)
{
    *out = (struct ask_set){0};
    if (asking->vision)
        choose_pictures(found, asking->settings->look > 0 ? budget / 4 : budget / 2, budget / 6, out);
    size_t text = out->n ? budget / 5 : budget / 2 < TEXT_TOKENS ? budget / 2 : TEXT_TOKENS;
    int err = choose_passages(asking, found, text, out);
    add_subtitles(found, out);
    if (out->n > 0)
        qsort(out->entries, out->n, sizeof *out->entries, by_place);
    for (size_t i = 0; i < out->n; i++)
        out->entries[i].tag = (int32_t)i + 1;
    return err;
}
