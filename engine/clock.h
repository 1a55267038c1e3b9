/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Time and memory of this process, for benchmarks.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* Seconds since some fixed point. */
static inline double engine_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds that the rest takes if it goes on as since `started`, when a share of it is done; negative: it is too early to tell. */
static inline double engine_seconds_left(double started, double share)
{
    return share > 0.002 ? (engine_now() - started) * (1 - share) / share : -1;
}

/* Seconds of processor time that this process has taken, in all of its threads. */
static inline double engine_cpu(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Resident bytes, mapped files included; 0: unknown. */
static inline uint64_t engine_resident(void)
{
    unsigned long long size, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f)
        return 0;
    if (fscanf(f, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    fclose(f);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}
