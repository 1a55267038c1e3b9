/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Needles in films and documents (V-NIAH): bench_needle.c asks, bench_results.c keeps what was answered, bench_report.c sums it up.
 */
#pragma once

#include "base/mem.h"
#include "engine/haystack.h"
#include "pagereel/pagereel.h"

enum { NEEDLE_DEPTHS = 11 };

/* One question that was asked. */
struct needle_result {
    char key[112]; /* what was asked for, and how: engine_needle_key() */
    bool film;
    double length, depth, keep;
    int32_t budget, number;
    enum pr_way way;
    bool right, found, cited;
    double
        off; /* sampling steps between the time that the answer says and the needle's beginning; negative: it says none */
    int32_t tokens; /* of the prompt */
    double seconds;
};

struct needle_results {
    struct needle_result *list;
    size_t n, cap;
    char *path;
};

/* What a run measures; the same for all of its questions. */
struct needle_run {
    bool time;                             /* bench time */
    const char *folder, *model, *haystack; /* haystack: NULL: drawn */
    double fps;
    int64_t seed;
    float keep;
    double depths[NEEDLE_DEPTHS];
    size_t n_depths;
};

extern const char *const engine_way_names[PR_WAYS]; /* "memory", "uniform", "last", "given" */
void engine_needle_key(struct needle_result *result);

/* Reads folder/results.jsonl, or begins it. PR_ERR_INVALID: it is of another run. */
int engine_needle_results_open(const struct needle_run *run, struct needle_results *out);
void engine_needle_results_close(struct needle_results *results);
const struct needle_result *engine_needle_find(const struct needle_results *results, const char *key);
/* Appends to the file, with the words of question and answer for people. PR_ERR_IO. */
int engine_needle_put(struct needle_results *results, const struct needle_result *result, const char *question,
                      const char *wanted, const char *answer);

/* Writes JSON and heat maps, and makes the rows. */
int engine_needle_report(const struct needle_run *run, const struct needle_results *results, struct pr_needles **rows,
                         size_t *n);
/* "20 minutes", "100 pages". */
void engine_needle_length(bool film, double length, char *out, size_t size);
