/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What adding a file would take, from a short trial: a little of its text is read, and where a model can see, parts of it are looked at as
 * adding does it, into a library that is thrown away. The rest is proportion.
 */
#include "engine/add.h"

#include "base/mem.h"
#include "engine/clock.h"
#include "engine/encoding.h"
#include "engine/plan.h"
#include "engine/visual.h"
#include "ingest/source.h"
#include "memory/calibrate.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SAMPLE_UNITS = 12, HASH_SAMPLE = 32 << 20 };

/* Seconds that hashing a byte takes here, once it is in memory. */
static double hash_seconds(void)
{
    char *block = base_alloc(HASH_SAMPLE);
    double start = engine_now();
    volatile uint64_t result = base_hash64(block, HASH_SAMPLE);
    double seconds = (engine_now() - start) / HASH_SAMPLE;
    (void)result;
    base_free(block);
    return seconds;
}

/* For this process getrusage() begins with what the one had that started it; the system's own file doesn't. */
int64_t engine_plan_most_resident(int64_t more)
{
    struct rusage usage;
    long long here = 0;
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %lld", &here) == 1)
            break;
    if (f)
        fclose(f);
    int64_t workers = getrusage(RUSAGE_CHILDREN, &usage) < 0 ? 0 : 1024 * (int64_t)usage.ru_maxrss;
    workers += workers / 32; /* they differ by a little from run to run */
    return 1024 * here + more > workers ? 1024 * here + more : workers;
}

/* ---- pictures ----------------------------------------------------------------------------------------------------- */

enum {
    TRIALS = 6,
    TRIAL_STEPS = 64, /* a whole segment, if there is time */
    TRIAL_PAGES = 2,
    WARM_PAGES = 5,
    WARM_FRAMES = 2 * ENGINE_BATCH /* whole batches of frames and of pairs */
};
static const double TRIAL_SECONDS = 5;

/* One trial, and what it came to. */
struct trial {
    int64_t from, to; /* of a film in microseconds, of a document in pages */
    int64_t done;     /* how much of that it got through */
    int64_t encoded, tokens, bytes;
    int64_t raw; /* bytes of its tokens before compression */
    double seconds;
};

struct deadline {
    struct base_cancel cancel;
    const struct base_cancel *outer;
    double begin; /* of the first unit: opening the file takes its time once */
};

static void watch_clock(void *user, const struct pr_progress *progress)
{
    struct deadline *deadline = user;
    (void)progress;
    if (deadline->begin == 0)
        deadline->begin = engine_now();
    if (engine_now() > deadline->begin + TRIAL_SECONDS || base_cancelled(deadline->outer))
        atomic_store(&deadline->cancel.requested, true);
}

static int measure(struct add_job *job, const struct library_source *source, const struct base_cancel *cancel,
                   struct trial *trial)
{
    int err;
    char text[256];
    struct evidence *evidence = NULL;
    struct evidence_setup wanted;
    struct deadline deadline = {.outer = cancel};
    job->from = trial->from;
    job->to = trial->to;
    job->fn = watch_clock;
    job->user = &deadline;
    job->cancel = &deadline.cancel;
    int64_t before = job->model->vision.encoded;
    job->told = 0;
    err = engine_look(job, source);
    if (base_cancelled(cancel) || (err < 0 && err != PR_ERR_CANCELLED))
        return err;
    trial->seconds = deadline.begin > 0 ? engine_now() - deadline.begin : 0;
    TRY(memory_library_evidence(job->library, source, &evidence));
    engine_visual_setup(&job->model->vision, job->settings, text, &wanted);
    const struct evidence_setup *setup = engine_visual_exact(evidence, &wanted);
    struct evidence_seen seen = setup ? memory_evidence_seen(evidence, setup->number) : (struct evidence_seen){0};
    trial->encoded = job->model->vision.encoded - before;
    trial->tokens = setup ? memory_evidence_tokens(evidence, setup->number) : 0;
    trial->bytes = (int64_t)memory_evidence_bytes(evidence);
    for (size_t i = 0; i < memory_evidence_count(evidence); i++)
        trial->raw += (int64_t)memory_evidence_raw(evidence, i) * wanted.columns * (int64_t)sizeof(float);
    trial->done = seen.complete                 ? trial->to - trial->from
                  : seen.position > trial->from ? seen.position - trial->from
                                                : 0;
    if (job->library_paged && !seen.complete)
        trial->done = seen.position;
fail:
    memory_evidence_close(evidence);
    return err;
}

/* Deletes a folder of the trial library. */
static void delete_folder(const char *path)
{
    struct dirent *entry;
    DIR *folder = opendir(path);
    while (folder && (entry = readdir(folder))) {
        struct base_buf name = {0};
        base_buf_printf(&name, "%s/%s", path, entry->d_name);
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            delete_folder(name.data);
        else if (entry->d_type != DT_DIR)
            unlink(name.data);
        base_buf_finish(&name);
    }
    if (folder)
        closedir(folder);
    rmdir(path);
}

/* The parts that are tried: spread over the whole, short. */
static int choose_trials(const struct pr_plan *plan, struct pr_settings *settings, bool timed, struct trial *trials)
{
    int64_t whole = timed ? plan->duration : plan->units > 0 ? plan->units : 1, part = TRIAL_PAGES;
    if (timed && settings->frames > 0) { /* as many for each second */
        settings->fps = (float)(1e6 * settings->frames / (double)(whole > 0 ? whole : 1));
        settings->fps = settings->fps < 0.0001f ? 0.0001f : settings->fps > 1000 ? 1000 : settings->fps;
        settings->frames = 0;
    }
    if (timed)
        part = (int64_t)(TRIAL_STEPS * 1e6 / (double)settings->fps);
    if (whole <= TRIALS * part) {
        trials[0] = (struct trial){.from = 0, .to = whole};
        return 1;
    }
    for (int i = 0; i < TRIALS; i++) {
        trials[i].from = whole / TRIALS * i + (whole / TRIALS - part) / 2;
        trials[i].to = trials[i].from + part;
    }
    return TRIALS;
}

/* Looks at parts of the file. */
static int try_pictures(const struct pr_settings *given, struct pr_model *sight, const char *path, bool timed,
                        const struct base_cancel *cancel, int64_t base, struct pr_plan *out)
{
    int err;
    struct pr_settings settings = *given;
    struct library *library = NULL;
    struct trial trials[TRIALS + 1] = {{0}};
    struct library_source sources[TRIALS + 1];
    const char *tmp = getenv("TMPDIR");
    char folder[4096];
    snprintf(folder, sizeof folder, "%s/pagereel-plan-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return base_fail(PR_ERR_IO, "%s: can't be made; set TMPDIR to a folder that can be written", folder);
    settings.disk = settings.cap = 0;
    int n = choose_trials(out, &settings, timed, trials);
    TRY(engine_open_devices(sight, &settings));
    bool gpu = sight->device != sight->host;
    base = gpu ? (int64_t)engine_resident() : base; /* its driver stays */
    for (int i = 0; i <= TRIALS; i++)
        sources[i] = (struct library_source){.id = 1 + i, .hash = {(unsigned char)i}};
    TRY(memory_library_open(folder, &library));
    struct add_job job = {.library = library,
                          .settings = &settings,
                          .model = sight,
                          .path = path,
                          .disk_left = INT64_MAX,
                          .library_paged = !timed};
    /* The first look plans passes and warms up: its time doesn't count. Of a long film it also measures what thresholds mean for this
     * encoder, as adding does at its beginning; of a document it fills the slots that pages come in. */
    int warm = !timed ? WARM_PAGES : n > 1 ? CALIBRATION_STEPS + 1 : WARM_FRAMES;
    trials[n] = trials[0];
    trials[n].to = trials[n].from + (timed ? (int64_t)(1e6 * warm / (double)settings.fps) : warm);
    TRY(measure(&job, &sources[TRIALS], cancel, &trials[n]));
    struct trial sum = {0};
    int64_t steps = 0;
    for (int i = 0; i < n; i++) {
        TRY(measure(&job, &sources[i], cancel, &trials[i]));
        sum.done += trials[i].done;
        sum.encoded += trials[i].encoded;
        sum.tokens += trials[i].tokens;
        sum.bytes += trials[i].bytes;
        sum.seconds += trials[i].seconds;
        sum.raw = trials[i].raw > sum.raw ? trials[i].raw : sum.raw;
        steps = trials[i].encoded > steps ? trials[i].encoded : steps;
    }
    int64_t whole = timed ? out->duration : out->units > 0 ? out->units : 1;
    double scale = sum.done > 0 ? (double)whole / (double)sum.done : 1;
    out->encoded = (int64_t)((double)sum.encoded * scale + 0.5);
    out->tokens = (int64_t)((double)sum.tokens * scale + 0.5);
    out->bytes += (int64_t)((double)sum.bytes * scale);
    out->seconds += sum.seconds * scale;
    int64_t more = ENGINE_PLAN_ADDING + (timed ? engine_look_memory(sum.raw, steps) : 0);
    out->memory = engine_plan_most_resident(more);
    out->device_memory = gpu ? (int64_t)sight->device->peak : 0;
    if (*settings.model)
        TRY(engine_plan_asking(&settings, library, sources, (size_t)n, base, out));
    err = PR_OK;
fail:
    memory_library_close(library);
    delete_folder(folder);
    return err;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

int pr_plan(const struct pr_settings *given, const char *path, struct pr_cancel *cancel, struct pr_plan *out)
{
    int err;
    struct pr_settings settings;
    struct stat st;
    struct hparams hp;
    struct pr_model *sight = NULL;
    struct ingest_source *file = NULL;
    struct ingest_options options = ingest_options_default();
    int64_t base = (int64_t)engine_resident();
    *out = (struct pr_plan){.duration = PR_TIME_NONE};
    TRY(engine_settings(given, &settings));
    TRY(engine_open_sight(&settings, &hp, &sight));
    options.max_pixels = 0;
    options.sampling = INGEST_NONE;
    options.password = settings.password[0] ? settings.password : NULL;
    options.cancel = engine_cancel(cancel);
    TRY(ingest_open(path, &options, &file));
    const struct pr_source_info *info = ingest_info(file);
    bool timed = info->duration != PR_TIME_NONE && info->n_pages == 0;
    snprintf(out->kind, sizeof out->kind, "%s", info->kind);
    out->duration = info->duration;
    out->units = info->n_pages;
    for (size_t i = 0; timed && i < info->n_streams; i++)
        out->units += info->streams[i].kind == PR_STREAM_TEXT && info->streams[i].chosen;
    int64_t size = stat(path, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : 0;
    /* Of a film all bytes are read twice: for its hash, and for what its tracks say. */
    out->seconds = (double)size * hash_seconds() * (timed && out->units > 0 ? 2 : 1);
    int64_t units = 0, bytes = 0, lines = 0;
    double start = engine_now();
    struct pr_unit unit;
    while (!timed && units < SAMPLE_UNITS && (err = ingest_next(file, &unit)) != PR_EOF) {
        if (err == PR_ERR_IO || err == PR_ERR_CANCELLED)
            goto fail;
        units++;
        for (size_t i = 0; err >= 0 && i < unit.n_lines; i++, lines++)
            bytes += (int64_t)strlen(unit.lines[i].text) + 1;
    }
    if (units > 0) {
        double scale = (double)(out->units > units ? out->units : units) / (double)units;
        if (out->units == 0 && bytes > 0 &&
            size > bytes) /* plain text: its pages aren't counted, but it is its own length */
            scale = (double)size / (double)bytes;
        out->seconds += (engine_now() - start) * scale;
        out->bytes = (int64_t)(scale * (double)(bytes + 48 * lines + 224 * units));
    }
    bool pictures = strcmp(info->kind, "text") != 0 && strcmp(info->kind, "audio") != 0;
    ingest_close(file); /* so that its worker counts */
    file = NULL;
    out->memory = engine_plan_most_resident(ENGINE_PLAN_ADDING);
    err = PR_OK;
    if (sight && pictures)
        TRY(try_pictures(&settings, sight, path, timed, options.cancel, base, out));
    else if (*settings.model)
        TRY(engine_plan_asking(&settings, NULL, NULL, 0, base, out));
fail:
    ingest_close(file);
    pr_model_close(sight);
    return err;
}
