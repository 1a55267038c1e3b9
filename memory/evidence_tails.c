/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/evidence_tails.h"

#include "base/mem.h"
#include "compute/ref/ref.h"
#include "memory/evidence_format.h"
#include "memory/farthest.h"
#include "memory/sketch.h"

#include <stdlib.h>
#include <string.h>

enum {
    MERGED_TOKENS = 1024,         /* of a merged segment at the most: bounds the time that ordering takes */
    PADDING = 2 * EVIDENCE_ALIGN, /* of a segment may fall otherwise than it did */
    ENDING = 8 * EVIDENCE_ALIGN,  /* a commit more, and what stands for numbers that are gone */
    SHARE_OF_FIRST = 2,
    LEFT_TO_FIRST = 4 /* segments are merged when their first tokens exceed 1/2, until they take 1/4 */
};

/* What is asked of a segment, or of a group of them. */
struct price {
    uint64_t setup;
    int64_t token, rest; /* bytes of a token; of all else in its record, at the most */
    int64_t t0, t1;      /* of films; PR_TIME_NONE: it stays alone */
    double width, height;
    uint16_t grid_h, grid_w;
    double n_raw;
    float *mean; /* sketch [SKETCH_WIDTH] */
};

struct choosing {
    const struct evidence *evidence;
    struct tails *tails;
    struct price *prices; /* [n_groups] */
    int64_t other;        /* bytes of everything but visual segments */
};

static int add_segment(struct choosing *c, size_t place, const struct evidence_setup *setup)
{
    struct evidence_segment segment;
    int err = memory_evidence_read(c->evidence, place, &segment);
    if (err < 0)
        return err;
    if (segment.n_tokens > 0) {
        struct tails *t = c->tails;
        struct price *price = &c->prices[t->n_groups];
        int64_t token = (int64_t)compute_row_bytes((enum type)setup->row_type, setup->columns) +
                        (int64_t)sizeof(struct evidence_token);
        int64_t size = (int64_t)memory_evidence_size_of(c->evidence, place);
        float *radius = base_alloc_array(segment.n_tokens, sizeof *radius);
        for (uint32_t k = 0; k < segment.n_tokens; k++)
            radius[k] = compute_f16_to_f32(segment.tokens[k].radius);
        bool film = segment.kind == EVIDENCE_FRAMES && segment.n_lines == 0;
        *price = (struct price){.setup = setup->number,
                                .token = token,
                                .rest = size - segment.n_tokens * token + PADDING,
                                .t0 = film ? segment.t0 : PR_TIME_NONE,
                                .t1 = film ? segment.t1 : PR_TIME_NONE,
                                .width = segment.width,
                                .height = segment.height,
                                .grid_h = segment.grid_h,
                                .grid_w = segment.grid_w,
                                .n_raw = segment.n_raw,
                                .mean = base_alloc_array(SKETCH_WIDTH, sizeof *price->mean)};
        memory_sketch(segment.mean, 1, (size_t)setup->columns, price->mean);
        t->groups[t->n_groups++] = (struct tails_group){t->n_members, 1, segment.n_tokens, radius, NULL};
        t->members[t->n_members++] = (struct tails_member){place, segment.n_tokens};
        c->other -= size;
    }
    memory_evidence_release(&segment);
    return PR_OK;
}

static int begin(struct choosing *c)
{
    int err = PR_OK;
    size_t n = memory_evidence_count(c->evidence);
    c->tails->members = base_alloc_array(n, sizeof *c->tails->members);
    c->tails->groups = base_alloc_array(n, sizeof *c->tails->groups);
    c->prices = base_alloc_array(n, sizeof *c->prices);
    c->other = (int64_t)memory_evidence_bytes(c->evidence) + ENDING;
    for (size_t i = 0; i < n && err >= 0; i++) {
        const struct evidence_setup *setup =
            memory_evidence_setup_numbered(c->evidence, memory_evidence_setup_of(c->evidence, i));
        if (setup && setup->made == EVIDENCE_VISUAL)
            err = add_segment(c, i, setup);
    }
    return err;
}

/* What groups with so many tokens each, at the most, come to. */
static void sum(const struct choosing *c, uint32_t most, int64_t *tokens, int64_t *bytes)
{
    *tokens = *bytes = 0;
    for (size_t i = 0; i < c->tails->n_groups; i++) {
        uint32_t n = c->tails->groups[i].n < most ? c->tails->groups[i].n : most;
        *tokens += n;
        *bytes += c->prices[i].rest + n * c->prices[i].token;
    }
}

/* Drops tails until the tokens, and the bytes of visual segments, are no more than allowed; false: they can't be so few. */
static bool drop(const struct choosing *c, int64_t tokens, int64_t bytes)
{
    struct tails *t = c->tails;
    int64_t have, size, before;
    const float **radius = base_alloc_array(t->n_groups, sizeof *radius);
    uint32_t *n = base_alloc_array(t->n_groups, sizeof *n);
    for (size_t i = 0; i < t->n_groups; i++) {
        radius[i] = t->groups[i].radius;
        n[i] = t->groups[i].n;
    }
    sum(c, UINT32_MAX, &have, &size);
    int64_t wanted = tokens < have ? tokens : have;
    do {
        before = have;
        if (size > bytes) {
            int64_t rest = size - bytes, each = 1;
            for (size_t i = 0; i < t->n_groups; i++)
                each = c->prices[i].token > each ? c->prices[i].token : each;
            int64_t fits = have - (rest + each - 1) / each;
            wanted = fits < wanted ? fits : wanted;
        }
        memory_drop_tails(radius, NULL, n, t->n_groups, wanted > 0 ? (size_t)wanted : 0);
        for (size_t i = 0; i < t->n_groups; i++)
            t->groups[i].n = n[i];
        sum(c, UINT32_MAX, &have, &size);
    } while ((size > bytes || have > wanted) && have < before);
    base_free((void *)radius);
    base_free(n);
    return size <= bytes && have <= tokens;
}

/* ---- merging ------------------------------------------------------------------------------------------------------ */

/* Whether one segment could be both: they follow one another in one film, under one grid. */
static bool can_merge(const struct price *a, const struct price *b)
{
    return a->setup == b->setup && a->t0 != PR_TIME_NONE && b->t0 != PR_TIME_NONE && a->t1 <= b->t0 &&
           a->grid_h == b->grid_h && a->grid_w == b->grid_w && a->width == b->width && a->height == b->height;
}

struct neighbours {
    double loss;
    size_t first; /* and the one behind it */
};

static int by_loss(const void *a, const void *b)
{
    const struct neighbours *x = a, *y = b;
    if (x->loss != y->loss)
        return x->loss < y->loss ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

/* How much is lost of what tells two apart (Ward 1963): n m / (n + m) x the squared distance of their means. */
static double loss(const struct price *a, const struct price *b)
{
    double apart = 2 - 2 * (double)memory_dot(a->mean, b->mean, SKETCH_WIDTH);
    return a->n_raw * b->n_raw / (a->n_raw + b->n_raw) * (apart > 0 ? apart : 0);
}

/* Makes one price of two; the second one's mean is the first's afterwards. */
static void join(struct price *a, struct price *b)
{
    float mean[SKETCH_WIDTH];
    for (int i = 0; i < SKETCH_WIDTH; i++)
        mean[i] = (float)(a->n_raw * (double)a->mean[i] + b->n_raw * (double)b->mean[i]);
    memory_sketch(mean, 1, SKETCH_WIDTH, a->mean);
    a->n_raw += b->n_raw;
    a->t1 = b->t1;
    a->rest += EVIDENCE_ALIGN; /* what stands for the number that is gone */
    base_free(b->mean);
    b->mean = NULL;
}

/* One round: of neighbours that can be one, those that lose least are made one, none twice, until `wanted` groups are left. False: none
 * can. */
static bool merge_round(struct choosing *c, size_t wanted)
{
    struct tails *t = c->tails;
    size_t n = 0, left = t->n_groups, at = 0;
    struct neighbours *pairs = base_alloc_array(t->n_groups, sizeof *pairs);
    bool *with_next = base_alloc_array(t->n_groups + 1, sizeof *with_next),
         *taken = base_alloc_array(t->n_groups, sizeof *taken);
    for (size_t i = 0; i + 1 < t->n_groups; i++)
        if (can_merge(&c->prices[i], &c->prices[i + 1]))
            pairs[n++] = (struct neighbours){loss(&c->prices[i], &c->prices[i + 1]), i};
    if (n > 0)
        qsort(pairs, n, sizeof *pairs, by_loss);
    for (size_t i = 0; i < n && i <= n / 2 && left > wanted;
         i++) { /* the better half: what follows has other neighbours by then */
        size_t first = pairs[i].first;
        if (taken[first] || taken[first + 1])
            continue;
        taken[first] = taken[first + 1] = with_next[first] = true;
        left--;
    }
    for (size_t i = 0; i < t->n_groups; i++) {
        struct tails_group group = t->groups[i];
        struct price price = c->prices[i];
        if (with_next[i]) {
            join(&price, &c->prices[i + 1]);
            base_free(t->groups[i + 1].radius);
            group.n_members += t->groups[i + 1].n_members;
            group.n += t->groups[i + 1].n;
            i++;
        }
        t->groups[at] = group;
        c->prices[at++] = price;
    }
    bool some = at < t->n_groups;
    t->n_groups = at;
    base_free(pairs);
    base_free(with_next);
    base_free(taken);
    return some;
}

/* The order of the tokens of a group's members. */
static int order_group(const struct choosing *c, struct tails_group *group)
{
    int err = PR_OK;
    size_t n = 0, at = 0;
    for (size_t m = 0; m < group->n_members; m++)
        n += c->tails->members[group->first + m].tokens;
    const struct evidence_setup *setup = memory_evidence_setup_numbered(
        c->evidence, memory_evidence_setup_of(c->evidence, c->tails->members[group->first].place));
    size_t columns = (size_t)setup->columns,
           row = (size_t)compute_row_bytes((enum type)setup->row_type, setup->columns);
    float *rows = base_try_alloc(n * columns, sizeof *rows);
    if (!rows)
        return base_fail(PR_ERR_NOMEM, "no memory for the %zu tokens of a scene", n);
    base_free(group->radius);
    group->radius = base_alloc_array(n, sizeof *group->radius);
    group->order = base_alloc_array(n, sizeof *group->order);
    for (size_t m = 0; m < group->n_members && err >= 0; m++) {
        struct evidence_segment segment;
        const struct tails_member *member = &c->tails->members[group->first + m];
        err = memory_evidence_read(c->evidence, member->place, &segment);
        for (uint32_t k = 0; k < member->tokens && err >= 0; k++)
            ref_dequantize((enum type)setup->row_type, (const char *)segment.rows + k * row, rows + at++ * columns,
                           setup->columns);
        if (err >= 0)
            memory_evidence_release(&segment);
    }
    if (err >= 0)
        group->n = (uint32_t)memory_farthest_order(rows, n, columns, n < MERGED_TOKENS ? n : MERGED_TOKENS, 0, 0,
                                                   group->order, group->radius);
    base_free(rows);
    return err;
}

static int merge(struct choosing *c, int64_t tokens, int64_t bytes)
{
    int err = PR_OK;
    struct tails *t = c->tails;
    for (;;) {
        int64_t first, size;
        sum(c, LEAST_KEPT, &first, &size);
        if (first <= tokens / LEFT_TO_FIRST && size <= bytes / LEFT_TO_FIRST)
            break;
        double share = (double)tokens / LEFT_TO_FIRST / (double)first;
        if ((double)bytes / LEFT_TO_FIRST / (double)size < share)
            share = (double)bytes / LEFT_TO_FIRST / (double)size;
        if (!merge_round(c, share > 0 ? (size_t)(share * (double)t->n_groups) : 0))
            break;
        t->merged = true;
    }
    for (size_t i = 0; i < t->n_groups && err >= 0; i++)
        if (t->groups[i].n_members > 1)
            err = order_group(c, &t->groups[i]);
    return err;
}

int memory_tails_choose(const struct evidence *evidence, int64_t tokens, int64_t bytes, struct tails *out)
{
    int err;
    int64_t have, size, first, least;
    *out = (struct tails){0};
    struct choosing c = {.evidence = evidence, .tails = out};
    TRY(begin(&c));
    sum(&c, UINT32_MAX, &have, &size);
    tokens = tokens < 0 ? INT64_MAX : tokens;
    if ((bytes < 0 || (int64_t)memory_evidence_bytes(evidence) <= bytes) && have <= tokens)
        goto fail; /* as it is */
    bytes = bytes < 0 ? INT64_MAX : bytes > c.other ? bytes - c.other : 0;
    out->smaller = true;
    sum(&c, LEAST_KEPT, &first, &least);
    if (first > tokens / SHARE_OF_FIRST || least > bytes / SHARE_OF_FIRST) {
        drop(&c, tokens, bytes);
        for (size_t i = 0; i < out->n_groups; i++)
            out->members[i].tokens = out->groups[i].n;
        TRY(merge(&c, tokens, bytes));
    }
    if (!drop(&c, tokens, bytes))
        err = base_fail(PR_ERR_NOMEM, "can't become so small and keep something of every scene");
fail:
    for (size_t i = 0; i < out->n_groups; i++)
        base_free(c.prices[i].mean);
    base_free(c.prices);
    if (err < 0)
        memory_tails_finish(out);
    return err;
}

void memory_tails_finish(struct tails *tails)
{
    for (size_t i = 0; i < tails->n_groups; i++) {
        base_free(tails->groups[i].radius);
        base_free(tails->groups[i].order);
    }
    base_free(tails->groups);
    base_free(tails->members);
    *tails = (struct tails){0};
}
