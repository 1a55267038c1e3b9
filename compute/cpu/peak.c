/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The limits that kernels are held against: the best of several short runs, because whatever else runs can only slow one down.
 */
#include "compute/cpu/peak.h"

#include "base/mem.h"
#include "compute/cpu/huge.h"
#include "compute/pool.h"

#include <string.h>
#include <time.h>

/* More than a cache holds, and as large as a small model, so that a share of it means something. */
enum { READ_BYTES = 1 << 28, READS = 12, BURSTS = 40 };

struct work {
    const struct cpu_kernels *kernels;
    double (*arithmetic)(float *sink);
    char *memory; /* [READ_BYTES] */
    bool fill;
    _Alignas(64) double operations[POOL_MAX_THREADS];
    float sinks[POOL_MAX_THREADS];
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void read_share(void *arg, int thread, int n)
{
    struct work *w = arg;
    size_t share = (size_t)READ_BYTES / (size_t)n & ~(size_t)4095;
    char *from = w->memory + (size_t)thread * share;
    if (w->fill)
        memset(from, 0, share);
    else
        w->kernels->read_work((const float *)from, share, &w->sinks[thread]);
}

static void compute_share(void *arg, int thread, int n)
{
    (void)n;
    struct work *w = arg;
    w->operations[thread] = w->arithmetic(&w->sinks[thread]);
}

static double best_arithmetic(struct work *w, int n_threads, double (*arithmetic)(float *sink))
{
    double best = 0;
    w->arithmetic = arithmetic;
    for (int i = 0; i < BURSTS; i++) {
        memset(w->operations, 0, sizeof w->operations);
        double start = now();
        compute_pool_run(n_threads, compute_share, w);
        double seconds = now() - start, total = 0;
        for (int t = 0; t < n_threads; t++)
            total += w->operations[t];
        best = total / seconds > best ? total / seconds : best;
    }
    return best;
}

int cpu_measure(const struct cpu_kernels *kernels, int n_threads, struct device_speed *out)
{
    struct cpu_huge huge = {0};
    struct work *w = base_alloc(sizeof *w);
    w->kernels = kernels;
    w->memory = cpu_huge_alloc(&huge, READ_BYTES); /* as weights lie */
    if (!w->memory) {
        base_free(w);
        return base_fail(PR_ERR_NOMEM, "no %d MiB of memory to measure with; skip the measurement", READ_BYTES >> 20);
    }
    w->fill = true;
    compute_pool_run(n_threads, read_share, w);
    w->fill = false;
    size_t bytes = ((size_t)READ_BYTES / (size_t)n_threads & ~(size_t)4095) * (size_t)n_threads;
    for (int i = 0; i < READS; i++) {
        double start = now();
        compute_pool_run(n_threads, read_share, w);
        double speed = 1e-9 * (double)bytes / (now() - start);
        out->bandwidth_gb_s = speed > out->bandwidth_gb_s ? speed : out->bandwidth_gb_s;
    }
    out->f32_gflop_s = 1e-9 * best_arithmetic(w, n_threads, kernels->f32_work);
    if (kernels->int8_work)
        out->int8_gop_s = 1e-9 * best_arithmetic(w, n_threads, kernels->int8_work);
    cpu_huge_free(&huge, w->memory, READ_BYTES);
    base_free(w);
    return PR_OK;
}
