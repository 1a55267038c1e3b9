/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/merge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LETTERS = 4, IDS = 24, MAX = 64 };

/* Ids below LETTERS are letters; a random table says what joins. */
struct rules {
    int key[IDS][IDS], id[IDS][IDS]; /* id -1: they don't join */
};

static uint32_t random_state = 1;
static uint32_t draw(uint32_t n)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % n;
}

static bool rule(const void *context, const struct symbol *left, const struct symbol *right, uint32_t *key, int32_t *id)
{
    const struct rules *rules = context;
    *key = (uint32_t)rules->key[left->id][right->id];
    *id = rules->id[left->id][right->id];
    return *id >= 0;
}

/* The definition: look for the best pair, join it, begin again. */
static int merge_slowly(const struct rules *rules, int *ids, int n)
{
    for (;;) {
        int best = -1;
        for (int i = 0; i + 1 < n; i++)
            if (rules->id[ids[i]][ids[i + 1]] >= 0 &&
                (best < 0 || rules->key[ids[i]][ids[i + 1]] < rules->key[ids[best]][ids[best + 1]]))
                best = i;
        if (best < 0)
            return n;
        ids[best] = rules->id[ids[best]][ids[best + 1]];
        memmove(ids + best + 1, ids + best + 2, (size_t)(n - best - 2) * sizeof *ids);
        n--;
    }
}

static void equals_the_definition(void **state)
{
    (void)state;
    struct merge_work work = {0};
    for (int round = 0; round < 3000; round++) {
        struct rules rules;
        int ids[MAX], n = 1 + (int)draw(MAX);
        for (int a = 0; a < IDS; a++)
            for (int b = 0; b < IDS; b++) {
                rules.key[a][b] = (int)draw(round % 2 ? 6 : 1000); /* few: many ties */
                rules.id[a][b] = draw(3) ? (int)draw(IDS) : -1;
            }
        assert_int_equal(model_merge_reserve(&work, (size_t)n), PR_OK);
        for (int i = 0; i < n; i++) {
            ids[i] = (int)draw(LETTERS);
            work.symbols[i] = (struct symbol){.start = (uint32_t)i, .len = 1, .id = ids[i]};
        }
        work.n = (size_t)n;
        model_merge(&work, rule, &rules);
        n = merge_slowly(&rules, ids, n);
        uint32_t at = 0, start = 0;
        for (int i = 0; i < n; i++, at = work.symbols[at].next) {
            assert_int_not_equal(at, MERGE_NONE);
            assert_int_equal(work.symbols[at].id, ids[i]);
            assert_int_equal(work.symbols[at].start, start);
            start += work.symbols[at].len;
        }
        assert_int_equal(at, MERGE_NONE);
        assert_int_equal(start, work.n);
    }
    model_merge_finish(&work);
}

static void too_much_is_refused(void **state)
{
    (void)state;
    struct merge_work work = {0};
    assert_int_equal(model_merge_reserve(&work, SIZE_MAX / 2), PR_ERR_NOMEM);
    assert_int_equal(model_merge_reserve(&work, 3), PR_OK);
    model_merge_finish(&work);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_definition),
        cmocka_unit_test(too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
