/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The one thread pool of the process. Workers are made when first needed, wait by spinning for a moment and then asleep, and
 * are joined when the last user lets go.
 *
 * Thread-safety: every function may be called from any thread. Two runs at the same time take turns.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

enum { POOL_MAX_THREADS = 256 };

/* Cores that this process may use: physical cores of its affinity mask, no more than its control group's CPU quota; >= 1. */
int compute_pool_cores(void);

/* Whoever wants to run things holds the pool while it does. The last release joins the workers. */
void compute_pool_hold(void);
void compute_pool_release(void);

/* Calls work(arg, i, n) for every i in 0..n-1 at the same time, the caller being thread 0, and returns when all are done.
 * 1 <= n <= POOL_MAX_THREADS. The caller holds the pool. When fewer threads can be made than asked for, n in the calls is
 * that smaller number. Must not be called from inside a run. */
void compute_pool_run(int n, void (*work)(void *arg, int thread, int n), void *arg);

/* A point that all n threads of a run reach before any goes on. Zero-initialised is ready. What a thread wrote before it
 * is seen by all after it. */
struct pool_barrier {
    _Alignas(64) atomic_int arrived;
    _Alignas(64) atomic_int round;
    atomic_int sleepers;
};
void compute_pool_barrier(struct pool_barrier *barrier, int n);
