/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * pagereel bench needle and bench time. A job is one haystack that is kept in one way: it is made, added to a library of its own, and
 * asked for each of its needles in four ways. Shorter ones go first, so that soon something can be seen and the time left is known.
 */
#include "engine/bench_needle.h"

#include "engine/ask.h"
#include "engine/clock.h"
#include "engine/options.h"
#include "ingest/source.h"

#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ANSWER = 48, /* tokens: one that says everything isn't an answer */
    MOST_BUDGETS = 3,
    PAGE_SECONDS = 10 /* a page takes about as long as so much film: for the order of jobs alone */
};
static const char *const FULL = "1m,5m,20m,1h,2h,4h,10p,30p,100p,300p,1000p", *const QUICK = "1m,10m,10p,50p",
                         *const FILMS = "1m,5m,20m,1h,2h,4h", *const QUICK_FILMS = "1m,10m";
static const float KEEPS[] = {0.05f, 0.1f, 0.5f}; /* beside settings->keep, for the map of what is kept */
static const double KEPT_LENGTH = 3600;           /* its film */

struct job {
    bool film, compared; /* compared: all four ways */
    double length;
    float keep;
    int32_t budgets[MOST_BUDGETS];
    size_t n_budgets;
    uint64_t seed;
    size_t first, n; /* of the length's needles */
    bool done;
};

struct bench {
    struct needle_run run;
    struct pr_settings settings;
    struct pr_model *model;
    bool sees, films, documents;
    int32_t budget; /* that a question has by itself */
    size_t per;     /* needles of each length and depth */
    struct job *jobs;
    size_t n_jobs;
    struct needle_results results;
    pr_needle_fn fn;
    void *user;
    struct pr_cancel *cancel;
    /* what things took in this run, for the time that is left: seconds and units (seconds of film, pages; questions) */
    struct cost {
        double seconds, units;
    } adding[2], asking[PR_WAYS];
    char doing[160];
};

/* ---- what is to be done ------------------------------------------------------------------------------------------- */

static const enum pr_way all_ways[] = {PR_WAY_MEMORY, PR_WAY_UNIFORM, PR_WAY_LAST, PR_WAY_GIVEN};

/* Of a job's question: which one it is. */
static void describe(const struct bench *bench, const struct job *job, size_t q, int32_t budget, enum pr_way way,
                     struct needle_result *out)
{
    size_t n = job->first + q;
    *out = (struct needle_result){.film = job->film,
                                  .length = job->length,
                                  .depth = bench->run.depths[n % bench->run.n_depths],
                                  .keep = (double)job->keep,
                                  .budget = budget,
                                  .number = (int32_t)(n / bench->run.n_depths) + 1,
                                  .way = way,
                                  .off = -1};
    engine_needle_key(out);
}

static bool asks(const struct bench *bench, const struct job *job, size_t budget, enum pr_way way)
{
    bool of_time = !bench->run.time || way == PR_WAY_MEMORY || way == PR_WAY_GIVEN;
    return way == PR_WAY_MEMORY || (job->compared && of_time && job->budgets[budget] == bench->budget);
}

static void add_cost(const struct cost *cost, double units, double *sum)
{
    if (units <= 0)
        return;
    *sum = cost->units > 0 && *sum >= 0 ? *sum + units * cost->seconds / cost->units : -1;
}

/* Goes over all questions: counts them, and says what those that are left will take. */
static void count(const struct bench *bench, int64_t *done, int64_t *total, double *seconds)
{
    double adding[2] = {0}, asking[PR_WAYS] = {0};
    *done = *total = 0;
    for (size_t j = 0; j < bench->n_jobs; j++) {
        const struct job *job = &bench->jobs[j];
        bool left = false;
        for (size_t b = 0; b < job->n_budgets; b++)
            for (size_t w = 0; w < PR_WAYS; w++)
                for (size_t q = 0; q < job->n && asks(bench, job, b, all_ways[w]); q++) {
                    struct needle_result wanted;
                    describe(bench, job, q, job->budgets[b], all_ways[w], &wanted);
                    bool has = job->done || engine_needle_find(&bench->results, wanted.key);
                    ++*total;
                    *done += has;
                    asking[w] += !has;
                    left |= !has;
                }
        adding[job->film] += left ? job->length : 0;
    }
    *seconds = 0;
    for (int i = 0; i < 2; i++)
        add_cost(&bench->adding[i], adding[i], seconds);
    for (int i = 0; i < PR_WAYS; i++)
        add_cost(&bench->asking[i], asking[i], seconds);
}

static void tell(const struct bench *bench)
{
    struct pr_needle_progress progress = {.doing = bench->doing};
    count(bench, &progress.done, &progress.total, &progress.seconds_left);
    if (bench->fn)
        bench->fn(bench->user, &progress);
}

static struct haystack_order order_of(const struct bench *bench, const struct job *job, double *depths)
{
    for (size_t q = 0; depths && q < job->n; q++)
        depths[q] = bench->run.depths[(job->first + q) % bench->run.n_depths];
    return (struct haystack_order){.seed = job->seed,
                                   .seconds = job->film ? job->length : 0,
                                   .pages = job->film ? 0 : (int32_t)job->length,
                                   .shortest = fmax(4, 2 / bench->run.fps),
                                   .depths = depths,
                                   .n = job->n,
                                   .file = *bench->settings.haystack ? bench->settings.haystack : NULL,
                                   .text = !bench->sees};
}

static void add_jobs(struct bench *bench, bool film, double length, float keep, const int32_t *budgets,
                     size_t n_budgets, bool compared)
{
    size_t all = bench->per * bench->run.n_depths, number = 0;
    struct job job = {.film = film, .length = length, .keep = keep, .n_budgets = n_budgets, .compared = compared};
    memcpy(job.budgets, budgets, n_budgets * sizeof *budgets);
    struct haystack_order order = order_of(bench, &job, NULL);
    size_t room = engine_haystack_room(&order);
    for (size_t first = 0; first < all; first += room, number++) {
        job.first = first;
        job.n = all - first < room ? all - first : room;
        job.seed = (uint64_t)bench->run.seed * 1000003 + (uint64_t)length * 4096 + number * 2 + film;
        bench->jobs = base_realloc(bench->jobs, (bench->n_jobs + 1) * sizeof *bench->jobs);
        bench->jobs[bench->n_jobs++] = job;
    }
}

static double weight(const struct job *job)
{
    return job->film ? job->length : job->length * PAGE_SECONDS;
}

static int by_weight(const void *a, const void *b)
{
    const struct job *x = a, *y = b;
    if (x->compared != y->compared)
        return x->compared ? -1 : 1;
    if (weight(x) != weight(y))
        return weight(x) < weight(y) ? -1 : 1;
    if (x->keep != y->keep)
        return x->keep < y->keep ? -1 : 1;
    return (x->seed > y->seed) - (x->seed < y->seed);
}

/* Reads "1m,2h,100p". */
static int plan_lengths(struct bench *bench, const char *text)
{
    double longest = 0;
    bool quick = bench->settings.quick;
    while (*text) {
        size_t len = strcspn(text, ",");
        char item[32], *end = item;
        double number = 0;
        snprintf(item, sizeof item, "%.*s", (int)len, text);
        if (len < sizeof item)
            number = strtod(item, &end);
        double unit = !strcmp(end, "s") ? 1 : !strcmp(end, "m") ? 60 : !strcmp(end, "h") ? 3600 : 0;
        bool pages = !strcmp(end, "p");
        if (end == item || !(unit > 0 || pages) || !(number > 0) || number * (pages ? 1 : unit) > 1e6 ||
            (pages && number != floor(number)) || (unit > 0 && number * unit < 30))
            return base_fail(PR_ERR_INVALID,
                             "lengths takes films of 30s or more and documents, such as 1m,20m,1h,100p, not '%.60s'",
                             item);
        if (unit > 0 && bench->sees && bench->films)
            add_jobs(bench, true, number * unit, bench->run.keep, &bench->budget, 1, true);
        if (pages && !bench->run.time && bench->documents)
            add_jobs(bench, false, number, bench->run.keep, &bench->budget, 1, true);
        longest = unit > 0 && bench->films && number * unit > longest ? number * unit : longest;
        text += len + (text[len] == ',');
    }
    if (!bench->run.time && !quick && bench->sees && longest > 0) {
        int32_t budgets[MOST_BUDGETS] = {bench->budget / 4, bench->budget / 2, bench->budget};
        double length = longest < KEPT_LENGTH ? longest : KEPT_LENGTH;
        for (size_t i = 0; i < sizeof KEEPS / sizeof *KEEPS; i++)
            if (KEEPS[i] != bench->run.keep)
                add_jobs(bench, true, length, KEEPS[i], budgets, 3, false);
        add_jobs(bench, true, length, bench->run.keep, budgets, 3, false);
    }
    if (bench->n_jobs == 0)
        return base_fail(PR_ERR_NOT_FOUND, "there is nothing to measure: the model %s",
                         bench->sees ? "is given no lengths that fit"
                                     : "has no vision part, so it can't be asked of films");
    qsort(bench->jobs, bench->n_jobs, sizeof *bench->jobs, by_weight);
    return PR_OK;
}

/* ---- one question ------------------------------------------------------------------------------------------------- */

/* The first time that a text says, in seconds: 0:41:10, 41:10, "90 seconds"; negative: none. Tags are no times. */
static double read_time(const char *text)
{
    for (const char *c = text; *c; c++) {
        double parts[3] = {0};
        int n = 0;
        char *end = (char *)(uintptr_t)c;
        if (*c < '0' || *c > '9' || (c > text && c[-1] == 'S'))
            continue;
        do {
            const char *from = n ? end + 1 : end;
            parts[n++] = strtod(from, &end);
        } while (n < 3 && *end == ':' && end[1] >= '0' && end[1] <= '9');
        if (n == 3)
            return parts[0] * 3600 + parts[1] * 60 + parts[2];
        if (n == 2)
            return parts[0] * 60 + parts[1];
        const char *unit = end + strspn(end, " ");
        if (*unit == 's')
            return parts[0];
        c = end > c ? end - 1 : c;
    }
    return -1;
}

/* Whether an excerpt that the answer names has the needle in it. */
static bool cites(const struct pr_answer *answer, const struct haystack_needle *needle)
{
    size_t n;
    const struct pr_citation *list = pr_answer_citations(answer, &n);
    for (size_t i = 0; i < n; i++) {
        if (!list[i].by_model)
            continue;
        if (needle->page >= 0
                ? list[i].page == needle->page + 1
                : list[i].t0_us != PR_TIME_NONE && list[i].t0_us < needle->t1 && list[i].t1_us > needle->t0)
            return true;
    }
    return false;
}

static void judge(const struct bench *bench, const struct pr_answer *answer, const struct haystack_needle *needle,
                  struct needle_result *out)
{
    const char *text = pr_answer_text(answer);
    double step = 1 / bench->run.fps;
    out->found = pr_answer_found(answer, NULL);
    out->cited = cites(answer, needle);
    out->tokens = pr_answer_coverage(answer).prompt_tokens;
    if (!bench->run.time) {
        out->right = engine_haystack_is_right(text, needle->answer);
        return;
    }
    double said = read_time(text), t0 = (double)needle->t0 / 1e6, t1 = (double)needle->t1 / 1e6;
    out->right = said >= 0 && said >= t0 - step && said < t1 + step;
    /* Times are said in whole seconds, rounded down. */
    if (said >= 0)
        out->off = fmax(0, fabs(said - t0) - (said < t0 ? t0 - floor(t0) : 0)) / step;
}

static int ask(struct bench *bench, struct pr_chat *chat, const struct haystack_needle *needle,
               struct needle_result *result)
{
    int err;
    struct pr_answer *answer = NULL;
    const char *question = bench->run.time ? needle->when : needle->question;
    char when[32] = "";
    double start = engine_now();
    engine_chat_forget(chat);
    TRY(pr_chat_ask(chat, question, NULL, NULL, bench->cancel, &answer));
    if (engine_cancel(bench->cancel) && base_cancelled(engine_cancel(bench->cancel)))
        TRY(base_fail(PR_ERR_CANCELLED, "interrupted"));
    result->seconds = engine_now() - start;
    judge(bench, answer, needle, result);
    if (bench->run.time)
        pr_time_text(needle->t0, when, sizeof when);
    TRY(engine_needle_put(&bench->results, result, question, bench->run.time ? when : needle->answer,
                          pr_answer_text(answer)));
    bench->asking[result->way].seconds += result->seconds;
    bench->asking[result->way].units++;
fail:
    pr_answer_destroy(answer);
    return err;
}

/* All questions of a job in one way. */
static int ask_way(struct bench *bench, const struct job *job, struct pr_chat *chat, int32_t budget, enum pr_way way,
                   const struct haystack_needle *needles)
{
    int err = PR_OK;
    bool given = false;
    for (size_t q = 0; q < job->n; q++) {
        struct needle_result result;
        const struct haystack_needle *needle = &needles[q];
        describe(bench, job, q, budget, way, &result);
        if (engine_needle_find(&bench->results, result.key))
            continue;
        if (way != PR_WAY_MEMORY && (!given || way == PR_WAY_GIVEN)) {
            struct ask_given *evidence;
            double start = engine_now();
            int64_t at = needle->page >= 0 ? PR_TIME_NONE : needle->t0 + (needle->t1 - needle->t0) / 2;
            TRY(engine_ask_given_create(engine_chat_asking(chat),
                                        way == PR_WAY_GIVEN     ? ASK_PLACE
                                        : way == PR_WAY_UNIFORM ? ASK_UNIFORM
                                                                : ASK_LAST,
                                        at, needle->page, engine_chat_budget(chat), bench->cancel, &evidence));
            engine_chat_give(chat, evidence);
            bench->asking[way].seconds += engine_now() - start;
            given = true;
        }
        TRY(ask(bench, chat, needle, &result));
        tell(bench);
    }
fail:
    engine_chat_give(chat, NULL);
    return err;
}

/* ---- one job ------------------------------------------------------------------------------------------------------ */

static int forget_file(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    remove(path);
    return 0;
}

static void on_adding(void *user, const struct pr_progress *progress)
{
    struct bench *bench = user;
    char *percent = strstr(bench->doing, ": ");
    if (progress->what == PR_ADDING_HASH || progress->total <= 0 || !percent)
        return;
    snprintf(percent, sizeof bench->doing - (size_t)(percent - bench->doing), ": %.0f %% added",
             100.0 * (double)progress->done / (double)progress->total);
    tell(bench);
}

static bool is_finished(const struct bench *bench, const struct job *job)
{
    for (size_t b = 0; b < job->n_budgets; b++)
        for (size_t w = 0; w < PR_WAYS; w++)
            for (size_t q = 0; q < job->n && asks(bench, job, b, all_ways[w]); q++) {
                struct needle_result wanted;
                describe(bench, job, q, job->budgets[b], all_ways[w], &wanted);
                if (!engine_needle_find(&bench->results, wanted.key))
                    return false;
            }
    return true;
}

static int ask_job(struct bench *bench, const struct job *job, const char *path, struct pr_settings *settings,
                   const struct haystack_needle *needles)
{
    int err = PR_OK;
    struct pr_chat *chat = NULL;
    char *percent = strstr(bench->doing, ": ");
    snprintf(percent, sizeof bench->doing - (size_t)(percent - bench->doing), ": questions");
    for (size_t b = 0; b < job->n_budgets; b++) {
        settings->budget = job->budgets[b];
        TRY(pr_chat_open(bench->model, settings, &path, 1, NULL, NULL, bench->cancel, &chat));
        for (size_t w = 0; w < PR_WAYS; w++)
            if (asks(bench, job, b, all_ways[w]))
                TRY(ask_way(bench, job, chat, job->budgets[b], all_ways[w], needles));
        pr_chat_close(chat);
        chat = NULL;
    }
fail:
    pr_chat_close(chat);
    return err;
}

static int run_job(struct bench *bench, struct job *job)
{
    int err;
    struct base_buf folder = {0}, path = {0}, library = {0};
    struct pr_settings settings = bench->settings;
    struct haystack_needle *needles = base_alloc_array(job->n, sizeof *needles);
    double *depths = base_alloc_array(job->n, sizeof *depths), start = engine_now();
    struct haystack_order order = order_of(bench, job, depths);
    char length[64];
    bool made = false;
    engine_needle_length(job->film, job->length, length, sizeof length);
    snprintf(bench->doing, sizeof bench->doing, "%s of %s: drawn", job->film ? "film" : "document", length);
    tell(bench);
    base_buf_printf(&folder, "%s/work-XXXXXX", bench->run.folder);
    if (!mkdtemp(folder.data))
        TRY(base_fail(PR_ERR_IO, "%s: no folder can be made there: %s", bench->run.folder, strerror(errno)));
    made = true;
    base_buf_printf(&path, "%s/haystack.%s", folder.data, job->film ? "mov" : "pdf");
    base_buf_printf(&library, "%s/library", folder.data);
    settings.library = library.data;
    settings.keep = job->keep;
    TRY(engine_haystack_make(path.data, &order, engine_cancel(bench->cancel), needles));
    TRY(pr_add(&settings, path.data, on_adding, bench, bench->cancel, NULL));
    bench->adding[job->film].seconds += engine_now() - start;
    bench->adding[job->film].units += job->length;
    TRY(ask_job(bench, job, path.data, &settings, needles));
    job->done = true;
fail:
    if (made) {
        char reason[1024];
        snprintf(reason, sizeof reason, "%s", pr_error_message());
        nftw(folder.data, forget_file, 16, FTW_DEPTH | FTW_PHYS);
        if (err < 0)
            base_fail(err, "%s", reason);
    }
    base_buf_finish(&folder);
    base_buf_finish(&path);
    base_buf_finish(&library);
    base_free(needles);
    base_free(depths);
    return err;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

/* A file of the user's is hay of its own kind alone. */
static int look_at_haystack(struct bench *bench)
{
    struct ingest_options options = ingest_options_default();
    struct ingest_source *file;
    bench->films = bench->documents = true;
    if (!*bench->settings.haystack)
        return PR_OK;
    options.cancel = engine_cancel(bench->cancel);
    int err = ingest_open(bench->settings.haystack, &options, &file);
    if (err < 0)
        return err;
    const struct pr_source_info *info = ingest_info(file);
    bench->documents = info->n_pages > 0;
    bench->films = !bench->documents && info->duration != PR_TIME_NONE;
    ingest_close(file);
    if (!bench->films && !bench->documents)
        return base_fail(PR_ERR_UNSUPPORTED, "%s: needles can be hidden in films and documents with pages alone",
                         bench->settings.haystack);
    bench->run.haystack = bench->settings.haystack;
    return PR_OK;
}

static int begin(struct bench *bench, const struct pr_settings *given, bool time)
{
    int err;
    struct pr_settings *s = &bench->settings;
    TRY(engine_settings(given, s));
    err = engine_peek_vision(bench->model);
    bench->sees = err >= 0;
    if (err < 0 && (err != PR_ERR_NOT_FOUND || *s->mmproj))
        return err;
    s->max_tokens = ANSWER;
    s->look = 0;
    bench->per = s->needles > 0 ? (size_t)s->needles : s->quick ? 1 : 3;
    bench->run = (struct needle_run){.time = time,
                                     .folder = *s->output ? s->output
                                               : time     ? "pagereel-time"
                                                          : "pagereel-needle",
                                     .model = pr_model_name(bench->model),
                                     .fps = (double)s->fps,
                                     .seed = s->seed < 0 ? 1 : s->seed,
                                     .keep = s->keep,
                                     .n_depths = s->quick ? 5 : NEEDLE_DEPTHS};
    for (size_t i = 0; i < bench->run.n_depths; i++)
        bench->run.depths[i] = (double)i / (double)(bench->run.n_depths - 1);
    bench->budget = engine_ask_budget(bench->model, s);
    TRY(look_at_haystack(bench));
    TRY(plan_lengths(bench, *s->lengths ? s->lengths
                            : time      ? (s->quick ? QUICK_FILMS : FILMS)
                                        : (s->quick ? QUICK : FULL)));
    TRY(engine_needle_results_open(&bench->run, &bench->results));
fail:
    return err;
}

static int run(struct pr_model *model, const struct pr_settings *settings, bool time, pr_needle_fn fn, void *user,
               struct pr_cancel *cancel, struct pr_needles **rows, size_t *n)
{
    int err;
    struct bench bench = {.model = model, .fn = fn, .user = user, .cancel = cancel};
    TRY(begin(&bench, settings, time));
    for (size_t i = 0; i < bench.n_jobs; i++)
        if (!is_finished(&bench, &bench.jobs[i]))
            TRY(run_job(&bench, &bench.jobs[i]));
    TRY(engine_needle_report(&bench.run, &bench.results, rows, n));
fail:
    engine_needle_results_close(&bench.results);
    base_free(bench.jobs);
    return err;
}

int pr_bench_needle(struct pr_model *model, const struct pr_settings *settings, pr_needle_fn fn, void *user,
                    struct pr_cancel *cancel, struct pr_needles **rows, size_t *n)
{
    return run(model, settings, false, fn, user, cancel, rows, n);
}

int pr_bench_time(struct pr_model *model, const struct pr_settings *settings, pr_needle_fn fn, void *user,
                  struct pr_cancel *cancel, struct pr_needles **rows, size_t *n)
{
    return run(model, settings, true, fn, user, cancel, rows, n);
}
