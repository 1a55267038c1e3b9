/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The definition of attention, which sees cells one by one, against the textbook: a matrix of all logits, a mask of -inf, a
 * softmax over each row, a product with the values.
 */
#include "compute/ref/ref.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { N = 12, CELLS = 64, HEADS = 6, KV = 2, D = 8, DV = 4, PAGE = 16, PAGES = CELLS / PAGE };

struct fixture {
    float q[N][HEADS][D], k[CELLS][KV][D], v[CELLS][KV][DV], y[N][HEADS][DV];
    int32_t range[N][2], pages[1 + PAGES][2];
    bool mask[N][CELLS]; /* what each query sees, written down by the tests in their own way */
    struct attention_params params;
    double scratch[64];
};

static int set_up(void **state)
{
    static struct fixture f;
    uint32_t seed = 3;
    memset(&f, 0, sizeof f);
    float *arrays[] = {&f.q[0][0][0], &f.k[0][0][0], &f.v[0][0][0]};
    int sizes[] = {N * HEADS * D, CELLS * KV * D, CELLS * KV * DV};
    for (int a = 0; a < 3; a++) {
        for (int i = 0; i < sizes[a]; i++) {
            seed = seed * 1664525 + 1013904223;
            arrays[a][i] = (float)(int32_t)seed * 0x1p-30f;
        }
    }
    f.params = (struct attention_params){
        .n_head = HEADS, .n_kv = KV, .d_head = D, .d_value = DV, .scale = 0.35f, .page_size = PAGE};
    *state = &f;
    return 0;
}

/* The softmax matrix of one head, row by row. `seq` names the pool row of each sequence index; NULL: the same. */
static void expect(const struct fixture *f, const int *pool_row)
{
    for (int i = 0; i < N; i++) {
        for (int h = 0; h < HEADS; h++) {
            double p[CELLS], largest = -INFINITY, total = 0;
            for (int c = 0; c < CELLS; c++) {
                int at = pool_row ? pool_row[c] : c;
                double logit = 0;
                for (int d = 0; d < D; d++)
                    logit += (double)f->q[i][h][d] * f->k[at][h / 3][d];
                logit *= f->params.scale;
                if (f->params.softcap > 0)
                    logit = f->params.softcap * tanh(logit / f->params.softcap);
                p[c] = f->mask[i][c] ? logit : -INFINITY;
                largest = fmax(largest, p[c]);
            }
            for (int c = 0; c < CELLS; c++) {
                p[c] = f->mask[i][c] ? exp(p[c] - largest) : 0;
                total += p[c];
            }
            for (int d = 0; d < DV; d++) {
                double want = 0;
                for (int c = 0; c < CELLS; c++)
                    if (p[c] > 0)
                        want += p[c] / total * f->v[pool_row ? pool_row[c] : c][h / 3][d];
                if (!(fabs(want - f->y[i][h][d]) < 1e-6))
                    fail_msg("query %d, head %d, element %d: expected %.9g, got %.9g", i, h, d, want,
                             (double)f->y[i][h][d]);
            }
        }
    }
}

static void attend(struct fixture *f, bool paged)
{
    struct buffer qb = {.host = f->q}, kb = {.host = f->k}, vb = {.host = f->v}, yb = {.host = f->y};
    struct buffer rb = {.host = f->range}, pb = {.host = f->pages};
    struct tensor q = {.rows = N, .cols = HEADS * D, .buffer = &qb}, k = {.rows = CELLS, .cols = KV * D, .buffer = &kb};
    struct tensor v = {.rows = CELLS, .cols = KV * DV, .buffer = &vb},
                  y = {.rows = N, .cols = HEADS * DV, .buffer = &yb};
    struct tensor range = {.type = TYPE_I32, .rows = N, .cols = 2, .buffer = &rb};
    struct tensor pages = {.type = TYPE_I32, .rows = 1 + PAGES, .cols = 2, .buffer = &pb};
    struct op op = {.kind = OP_attention, .dst = &y, .attention = f->params};
    op.src[0] = &q;
    op.src[1] = &k;
    op.src[2] = &v;
    op.src[3] = paged ? &pages : NULL;
    op.src[4] = &range;
    assert_true(ref_scratch(&op) <= sizeof f->scratch);
    ref_attention(&op, f->scratch);
}

static void causal(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < N; i++) {
        f->range[i][1] = CELLS - N + i + 1;
        for (int c = 0; c < CELLS; c++)
            f->mask[i][c] = c <= CELLS - N + i;
    }
    f->k[CELLS - 1][0][0] = NAN; /* seen by the last query alone */
    f->v[CELLS - 1][1][0] = INFINITY;
    attend(f, false);
    for (int h = 0; h < 3; h++)
        assert_true(isnan(f->y[N - 1][h][0]));
    f->k[CELLS - 1][0][0] = 0.5f;
    f->v[CELLS - 1][1][0] = 0.5f;
    attend(f, false);
    expect(f, NULL);
}

static void full_with_a_limit(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < N; i++)
        f->range[i][1] = CELLS;
    memset(f->mask, true, sizeof f->mask);
    attend(f, false);
    expect(f, NULL);
    f->params.softcap = 1.5f;
    attend(f, false);
    expect(f, NULL);
}

static void a_window_with_sinks(void **state)
{
    struct fixture *f = *state;
    f->params.sinks = 4;
    for (int i = 0; i < N; i++) {
        int self = 5 * i; /* the first ones still stand among the sinks */
        f->range[i][0] = self + 1 - 8;
        f->range[i][1] = self + 1;
        for (int c = 0; c < CELLS; c++)
            f->mask[i][c] = c <= self && (self - c < 8 || c < 4);
    }
    attend(f, false);
    expect(f, NULL);
}

static void blocks(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < N; i++) {
        f->range[i][0] = i / 4 * 20;
        f->range[i][1] = i / 4 * 20 + 20;
        for (int c = 0; c < CELLS; c++)
            f->mask[i][c] = c / 20 == i / 4;
    }
    attend(f, false);
    expect(f, NULL);
}

static void a_query_that_sees_nothing_gets_zeros(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < N; i++) {
        f->range[i][0] = f->range[i][1] = i % 2 ? 10 : 0;
        f->params.sinks = 0;
    }
    attend(f, false);
    expect(f, NULL);
    assert_true(f->y[3][2][1] == 0);
    f->params.sinks = 2; /* the odd ones see the sinks, the even ones end before them */
    for (int i = 1; i < N; i += 2)
        f->mask[i][0] = f->mask[i][1] = true;
    attend(f, false);
    expect(f, NULL);
}

/* Four pages in another order in the pool, the third one only half full, the fourth not in use. */
static void pages_in_any_order(void **state)
{
    struct fixture *f = *state;
    static const int pool_page[PAGES] = {2, 0, 3, 1};
    int pool_row[CELLS];
    f->pages[0][0] = 3;
    for (int j = 0; j < PAGES; j++) {
        f->pages[1 + j][0] = j < 3 ? pool_page[j] * PAGE : INT32_MAX;
        f->pages[1 + j][1] = j * PAGE;
    }
    for (int c = 0; c < CELLS; c++)
        pool_row[c] = pool_page[c / PAGE] * PAGE + c % PAGE;
    for (int i = 0; i < N; i++) {
        f->range[i][1] = 2 * PAGE + 8 - N + i + 1;
        for (int c = 0; c < CELLS; c++)
            f->mask[i][c] = c < 2 * PAGE + 8 - N + i + 1;
    }
    for (int c = 2 * PAGE + 8; c < CELLS; c++)
        for (int d = 0; d < KV * D; d++)
            (&f->k[pool_row[c]][0][0])[d] = NAN;
    attend(f, true);
    expect(f, pool_row);
}

/* After sliding: page 0 holds the sinks, the next page begins at sequence index 100. */
static void pages_with_a_gap(void **state)
{
    struct fixture *f = *state;
    f->pages[0][0] = 3;
    for (int j = 0; j < 3; j++) {
        f->pages[1 + j][0] = j * PAGE;
        f->pages[1 + j][1] = j == 0 ? 0 : 100 + (j - 1) * PAGE;
    }
    f->params.sinks = 3;
    for (int i = 0; i < N; i++) {
        f->range[i][0] = 104 + i;
        f->range[i][1] = 120 + i;
        for (int c = 0; c < CELLS; c++) {
            int seq = c < PAGE ? c : 100 + c - PAGE;
            f->mask[i][c] = c < 3 * PAGE && (c < 3 || (seq >= 104 + i && seq < 120 + i));
        }
    }
    attend(f, true);
    expect(f, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(causal, set_up),
        cmocka_unit_test_setup(full_with_a_limit, set_up),
        cmocka_unit_test_setup(a_window_with_sinks, set_up),
        cmocka_unit_test_setup(blocks, set_up),
        cmocka_unit_test_setup(a_query_that_sees_nothing_gets_zeros, set_up),
        cmocka_unit_test_setup(pages_in_any_order, set_up),
        cmocka_unit_test_setup(pages_with_a_gap, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
