/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Waiting is the whole art here. A decode step of a small model passes hundreds of barriers of a few microseconds each, so
 * a waiting thread first spins; one that finds its core wanted by others (more threads than cores, a busy machine) goes to
 * sleep on a futex, so that whoever it waits for can run.
 */
#include "compute/pool.h"

#include "base/mem.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Pauses of about 20 to 100 ns each, by processor. */
enum { SPINS_IN_RUN = 2000, SPINS_BETWEEN_RUNS = 4000 };

static struct {
    pthread_mutex_t running; /* held by who runs, holds or releases */
    int holders;
    int cores;
    int n_workers;
    pthread_t workers[POOL_MAX_THREADS]; /* [0] is the caller's place and stays empty */

    /* The run at hand, published by `round`. */
    void (*work)(void *, int, int);
    void *arg;
    int n;
    bool quit;
    _Alignas(64) atomic_int round, round_sleepers;
    _Alignas(64) atomic_int left, left_sleepers; /* workers that haven't finished this run yet */
} pool = {.running = PTHREAD_MUTEX_INITIALIZER};

static void pause_core(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void futex_wait(atomic_int *word, int value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake_all(atomic_int *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* Returns once *word isn't `value` any more. `sleepers` counts who must be woken. */
static void wait_while(atomic_int *word, int value, atomic_int *sleepers, int spins)
{
    for (int i = 0; i < spins; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) != value)
            return;
        pause_core();
    }
    while (atomic_load_explicit(word, memory_order_acquire) == value) {
        atomic_fetch_add(sleepers, 1);
        futex_wait(word, value); /* returns at once if *word has changed meanwhile */
        atomic_fetch_sub(sleepers, 1);
    }
}

/* After *word was changed with a sequentially consistent operation: either a waiter saw the change, or it is counted here. */
static void wake(atomic_int *word, atomic_int *sleepers)
{
    if (atomic_load(sleepers))
        futex_wake_all(word);
}

static int spins(int n, int in_time)
{
    return n <= pool.cores ? in_time : 0;
}

void compute_pool_barrier(struct pool_barrier *barrier, int n)
{
    int round = atomic_load_explicit(&barrier->round, memory_order_relaxed);
    if (atomic_fetch_add(&barrier->arrived, 1) == n - 1) {
        atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
        atomic_store(&barrier->round, round + 1);
        wake(&barrier->round, &barrier->sleepers);
        return;
    }
    wait_while(&barrier->round, round, &barrier->sleepers, spins(n, SPINS_IN_RUN));
}

static void *worker_main(void *arg)
{
    int me = (int)(intptr_t)arg;
    int seen = 0;
    for (;;) {
        wait_while(&pool.round, seen, &pool.round_sleepers, spins(me + 1, SPINS_BETWEEN_RUNS));
        seen = atomic_load_explicit(&pool.round, memory_order_acquire);
        if (pool.quit)
            return NULL;
        if (me < pool.n)
            pool.work(pool.arg, me, pool.n);
        if (atomic_fetch_sub(&pool.left, 1) == 1)
            wake(&pool.left, &pool.left_sleepers);
    }
}

/* Publishes what stands in `pool` to all workers. */
static void start_round(void)
{
    atomic_store_explicit(&pool.left, pool.n_workers, memory_order_relaxed);
    atomic_fetch_add(&pool.round, 1);
    wake(&pool.round, &pool.round_sleepers);
}

static void wait_for_workers(int n)
{
    for (;;) {
        int left = atomic_load_explicit(&pool.left, memory_order_acquire);
        if (!left)
            return;
        wait_while(&pool.left, left, &pool.left_sleepers, spins(n, SPINS_IN_RUN));
    }
}

static void stop_workers(void)
{
    if (!pool.n_workers)
        return;
    pool.quit = true;
    start_round();
    for (int i = 1; i <= pool.n_workers; i++)
        pthread_join(pool.workers[i], NULL);
    pool.n_workers = 0;
    pool.quit = false;
}

/* Sees to n - 1 workers if the system allows. Every worker begins at round 0, so all are made anew when more are needed. */
static void ensure_workers(int n)
{
    if (n - 1 <= pool.n_workers)
        return;
    stop_workers();
    atomic_store(&pool.round, 0);
    int made = 0;
    while (made < n - 1 && !pthread_create(&pool.workers[made + 1], NULL, worker_main, (void *)(intptr_t)(made + 1)))
        made++;
    pool.n_workers = made;
}

void compute_pool_run(int n, void (*work)(void *, int, int), void *arg)
{
    if (n <= 1) {
        work(arg, 0, 1);
        return;
    }
    pthread_mutex_lock(&pool.running);
    ensure_workers(n);
    pool.work = work;
    pool.arg = arg;
    pool.n = n - 1 <= pool.n_workers ? n : pool.n_workers + 1;
    start_round();
    work(arg, 0, pool.n);
    wait_for_workers(pool.n);
    pthread_mutex_unlock(&pool.running);
}

void compute_pool_hold(void)
{
    pthread_mutex_lock(&pool.running);
    if (!pool.holders++)
        pool.cores = compute_pool_cores();
    pthread_mutex_unlock(&pool.running);
}

void compute_pool_release(void)
{
    pthread_mutex_lock(&pool.running);
    if (!--pool.holders)
        stop_workers();
    pthread_mutex_unlock(&pool.running);
}

/* First number in a small file, such as a core id in /sys; -1 when it can't be had. */
static long read_number(const char *path)
{
    FILE *f = fopen(path, "re");
    long value = -1;
    if (f) {
        if (fscanf(f, "%ld", &value) != 1)
            value = -1;
        fclose(f);
    }
    return value;
}

/* CPUs that the control group grants (quota / period, rounded up), or INT32_MAX. */
static int cgroup_cpus(void)
{
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    long quota, period;
    int cpus = INT32_MAX;
    if (f) {
        if (fscanf(f, "%ld %ld", &quota, &period) == 2 && quota > 0 && period > 0)
            cpus = (int)((quota + period - 1) / period);
        fclose(f);
    }
    return cpus;
}

int compute_pool_cores(void)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed))
        return 1;
    /* A core counts at the first of its hardware threads that is allowed. */
    long seen[POOL_MAX_THREADS];
    int n = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE && n < POOL_MAX_THREADS; cpu++) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        char path[96];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/core_id", cpu);
        long core = read_number(path);
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/physical_package_id", cpu);
        long package = read_number(path);
        long id = core < 0 ? -1 - cpu : package * 65536 + core;
        int i = 0;
        while (i < n && seen[i] != id)
            i++;
        if (i == n)
            seen[n++] = id;
    }
    int quota = cgroup_cpus();
    n = n < quota ? n : quota;
    return n > 0 ? n : 1;
}
