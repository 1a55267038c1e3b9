/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct tally {
    atomic_int calls[POOL_MAX_THREADS];
    atomic_int n;
    struct pool_barrier barrier;
    atomic_int rounds, early;
};

static void count_call(void *arg, int thread, int n)
{
    struct tally *t = arg;
    atomic_fetch_add(&t->calls[thread], 1);
    atomic_store(&t->n, n);
}

static void test_every_thread_once(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 5, 3, 8, 2};
    compute_pool_hold();
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int run = 0; run < 50; run++) {
            struct tally t = {0};
            compute_pool_run(sizes[s], count_call, &t);
            assert_int_equal(atomic_load(&t.n), sizes[s]);
            for (int i = 0; i < sizes[s]; i++)
                assert_int_equal(atomic_load(&t.calls[i]), 1);
        }
    compute_pool_release();
}

enum { ROUNDS = 2000 };

/* Nobody leaves round r before all have entered it. */
static void pass_barriers(void *arg, int thread, int n)
{
    struct tally *t = arg;
    (void)thread;
    for (int r = 0; r < ROUNDS; r++) {
        atomic_fetch_add(&t->rounds, 1);
        compute_pool_barrier(&t->barrier, n);
        if (atomic_load(&t->rounds) < (r + 1) * n)
            atomic_fetch_add(&t->early, 1);
    }
}

static void test_barrier(void **state)
{
    (void)state;
    compute_pool_hold();
    for (int n = 1; n <= 9; n += 4) { /* also more than there are cores */
        struct tally t = {0};
        compute_pool_run(n, pass_barriers, &t);
        assert_int_equal(atomic_load(&t.rounds), ROUNDS * n);
        assert_int_equal(atomic_load(&t.early), 0);
    }
    compute_pool_release();
}

static void *run_often(void *arg)
{
    compute_pool_hold();
    for (int i = 0; i < 200; i++)
        compute_pool_run(3, count_call, arg);
    compute_pool_release();
    return NULL;
}

static void test_two_users_take_turns(void **state)
{
    (void)state;
    struct tally t[2] = {0};
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, run_often, &t[1]), 0);
    run_often(&t[0]);
    pthread_join(other, NULL);
    for (int u = 0; u < 2; u++)
        for (int i = 0; i < 3; i++)
            assert_int_equal(atomic_load(&t[u].calls[i]), 200);
}

static void test_cores(void **state)
{
    (void)state;
    assert_in_range(compute_pool_cores(), 1, POOL_MAX_THREADS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_thread_once),
        cmocka_unit_test(test_barrier),
        cmocka_unit_test(test_two_users_take_turns),
        cmocka_unit_test(test_cores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
