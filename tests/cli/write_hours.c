/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writes a library of many made-up hours, as fast as a disk takes them: each a film of 450 segments of 16 visual tokens for a model's
 * encoder, their shallow keys, and an hour of subtitles. Nothing is encoded; numbers are random, words as common as in language.
 * In one of the hours a sentence stands that isn't in the others.
 *
 * write_hours LIBRARY HOURS MODEL MMPROJ: prints the bytes of the logs.
 */
#include "engine/keys.h"
#include "engine/library.h"
#include "engine/visual.h"

#include "base/mem.h"
#include "memory/recall_index.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
    SEGMENTS = 450,
    STEP = 8,
    TOKENS = 16,
    GRID = 4,
    GROUP = 300 /* seconds of subtitles in a segment */,
    LINE = 4,
    WORDS = 8,
    COMMON = 20000
};
static const int64_t SECOND = 1000000;

static uint64_t state = 1;

static uint32_t draw(uint32_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 33) * n >> 31);
}

static void must(int err)
{
    if (err >= 0)
        return;
    fprintf(stderr, "%s\n", pr_error_message());
    exit(1);
}

struct writing {
    struct pr_settings settings;
    struct pr_model *model;
    struct library *library;
    struct evidence_setup setup;
    char setup_text[256];
    uint16_t *values; /* random rows: every segment begins somewhere in them */
    float *keys;      /* [TOKENS, key columns] */
    size_t n_values, columns, key_columns;
};

/* A file to stand for the film, which is known by its name and bytes from now on. */
static void make_source(struct writing *w, int hour, struct library_source *out)
{
    char path[600];
    snprintf(path, sizeof path, "%s/films", w->settings.library);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/films/hour %04d.mkv", w->settings.library, hour);
    FILE *file = fopen(path, "w");
    if (!file || fprintf(file, "hour %d", hour) < 0 || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
    must(memory_library_identify(w->library, path, NULL, NULL, NULL, out));
}

static void write_subtitles(struct evidence_writer *writer, int64_t from, bool needle)
{
    enum { LINES = GROUP / LINE };
    char texts[LINES][WORDS * 8];
    struct evidence_line lines[LINES];
    for (int l = 0; l < LINES; l++) {
        size_t len = 0;
        for (int i = 0; i < WORDS; i++) /* the n-th word is 1/n as common as the first */
            len += (size_t)snprintf(texts[l] + len, sizeof texts[l] - len, "w%u ",
                                    (uint32_t)(exp((double)draw(1 << 20) / (1 << 20) * log(COMMON))));
        if (needle && l == LINES / 2)
            len = (size_t)snprintf(texts[l], sizeof texts[l], "The zeppelin lands in Friedrichshafen at noon.");
        int64_t t0 = from + l * LINE * SECOND;
        lines[l] = (struct evidence_line){t0, t0 + LINE * SECOND, {0}, PR_PAGE_NONE, (uint32_t)len, texts[l]};
    }
    must(memory_evidence_put_segment(writer, &(struct evidence_segment){.kind = EVIDENCE_TIMED_TEXT,
                                                                        .t0 = from,
                                                                        .t1 = from + GROUP * SECOND,
                                                                        .page = PR_PAGE_NONE,
                                                                        .label = "",
                                                                        .tile_row = -1,
                                                                        .tile_col = -1,
                                                                        .lines = lines,
                                                                        .n_lines = LINES}));
}

static void write_frames(struct writing *w, struct evidence_writer *writer, int s)
{
    struct evidence_token tokens[TOKENS];
    const uint16_t *rows = w->values + draw((uint32_t)(w->n_values - TOKENS * w->columns));
    float *mean = base_alloc_array(w->columns, sizeof *mean);
    int64_t t0 = s * STEP * SECOND;
    for (uint16_t i = 0; i < TOKENS; i++) {
        uint16_t y = i / GRID, x = i % GRID;
        tokens[i] = (struct evidence_token){
            t0, t0 + STEP * SECOND, y, x, y + 1, x + 1, 0, 0, 30, compute_f32_to_f16(2.0f - 0.1f * (float)i)};
    }
    for (size_t i = 0; i < w->columns; i++)
        mean[i] = compute_f16_to_f32(rows[i]);
    must(memory_evidence_put_segment(writer, &(struct evidence_segment){.kind = EVIDENCE_FRAMES,
                                                                        .t0 = t0,
                                                                        .t1 = t0 + STEP * SECOND,
                                                                        .page = PR_PAGE_NONE,
                                                                        .stream = -1,
                                                                        .label = "",
                                                                        .width = 256,
                                                                        .height = 256,
                                                                        .tile_row = -1,
                                                                        .tile_col = -1,
                                                                        .n_tokens = TOKENS,
                                                                        .n_raw = STEP * TOKENS,
                                                                        .n_frames = STEP,
                                                                        .grid_h = GRID,
                                                                        .grid_w = GRID,
                                                                        .ax = 64,
                                                                        .ay = 64,
                                                                        .rows = rows,
                                                                        .tokens = tokens,
                                                                        .mean = mean}));
    base_free(mean);
}

static void write_log(struct writing *w, const struct library_source *source, bool needle)
{
    struct evidence_writer *writer;
    struct evidence_progress progress = {.units = 3600 / LINE, .complete = 1};
    must(memory_library_writer(w->library, source, NULL, &writer));
    must(memory_evidence_put_info(writer,
                                  &(struct evidence_info){source->path, "video", "matroska", "", 0, 0, 3600 * SECOND}));
    must(memory_evidence_put_setup(writer, &(struct evidence_setup){.made = EVIDENCE_TEXT, .text = "text"}));
    for (int64_t t = 0; t < 3600; t += GROUP)
        write_subtitles(writer, t * SECOND, needle && t == 1800);
    must(memory_evidence_put_setup(writer, &w->setup));
    for (int s = 0; s < SEGMENTS; s++)
        write_frames(w, writer, s);
    memory_evidence_put_seen(writer, &(struct evidence_seen){.position = 3600 * SECOND, .complete = 1});
    must(memory_evidence_commit(writer, &progress));
    memory_evidence_writer_close(writer);
}

static void write_keys(struct writing *w, const struct library_source *source)
{
    size_t n;
    struct recall_index *index;
    struct memory_keys *keys;
    struct base_buf path = {0};
    struct keys_params params = {.model = engine_fingerprint(w->model),
                                 .layer = engine_key_layers(w->model->hp),
                                 .n_kv = w->model->hp->n_kv,
                                 .d_head = w->model->hp->d_head};
    memcpy(params.setup, w->setup.fingerprint, sizeof params.setup);
    must(memory_recall_open(w->library, source, &index));
    must(memory_library_keys_path(w->library, source, params.model, &path));
    must(memory_keys_open(path.data, &params, &keys));
    const struct recall_segment *segments = memory_recall_segments(index, &n);
    for (size_t i = 0; i < n; i++) {
        if (segments[i].n_tokens == 0)
            continue;
        for (int k = 0; k < 64; k++) /* others than the last one's */
            w->keys[draw((uint32_t)(TOKENS * w->key_columns))] = (float)draw(2001) / 1000 - 1;
        must(memory_keys_add(keys, segments[i].number, segments[i].n_raw, w->keys, TOKENS));
    }
    memory_keys_done_adding(keys);
    memory_keys_close(keys);
    memory_recall_close(index);
    base_buf_finish(&path);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: write_hours LIBRARY HOURS MODEL MMPROJ\n");
        return 2;
    }
    int hours = atoi(argv[2]);
    uint64_t bytes = 0;
    struct pr_settings given = pr_settings_default();
    struct writing w = {.n_values = 1 << 20};
    given.library = argv[1];
    given.model = argv[3];
    given.mmproj = argv[4];
    given.device = "cpu";
    must(engine_settings(&given, &w.settings));
    must(pr_model_open(&w.settings, NULL, &w.model));
    must(engine_peek_vision(w.model));
    must(engine_library_open(&w.settings, &w.library));
    engine_visual_setup(&w.model->vision, &w.settings, w.setup_text, &w.setup);
    w.columns = (size_t)w.setup.columns;
    w.key_columns = (size_t)w.model->hp->n_kv * (size_t)w.model->hp->d_head;
    w.values = base_alloc_array(w.n_values, sizeof *w.values);
    w.keys = base_alloc_array(TOKENS * w.key_columns, sizeof *w.keys);
    for (size_t i = 0; i < w.n_values; i++)
        w.values[i] = compute_f32_to_f16((float)draw(2001) / 1000 - 1);
    for (int hour = 1; hour <= hours; hour++) {
        struct library_source source;
        struct evidence *evidence;
        make_source(&w, hour, &source);
        write_log(&w, &source, hour == (hours + 1) / 2);
        write_keys(&w, &source);
        must(memory_library_evidence(w.library, &source, &evidence));
        must(memory_library_index(w.library, &source, evidence));
        bytes += memory_evidence_bytes(evidence);
        memory_evidence_close(evidence);
    }
    printf("%" PRIu64 "\n", bytes);
    base_free(w.values);
    base_free(w.keys);
    memory_library_close(w.library);
    pr_model_close(w.model);
    return 0;
}
