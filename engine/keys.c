/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/keys.h"

#include "base/mem.h"
#include "compute/ref/ref.h"
#include "engine/library.h"
#include "engine/visual.h"

#include <stdlib.h>
#include <string.h>

enum {
    CELLS = 512, /* of the cache: opening words, and a segment's tokens or a question */
    TOGETHER =
        64, /* opening words and segment are read as multiples of so many tokens, so that few passes have to be planned: no more than a
                    * cache keeps */
};

/* Attention leans on the first tokens of a text whatever they say; without them the tokens of a picture would have to serve. */
static const char opening[] = "A film or a document.\n";

int32_t engine_key_layers(const struct hparams *hp)
{
    int32_t layers = (hp->n_layer + 3) / 7;
    return layers < 1 ? 1 : layers;
}

/* A cache of the first layers, and the opening words. */
struct shallow {
    struct pr_model *model;
    int32_t layers;
    struct llm_kv *kv;
    struct tokens opening;
};

static int begin(struct pr_model *model, struct shallow *out)
{
    int err = PR_OK;
    struct llm_kv_params params;
    *out = (struct shallow){.model = model, .layers = engine_key_layers(model->hp)};
    TRY(engine_need_decoder(model));
    if (model->tokenizer)
        TRY(model_tokenize(model->tokenizer, opening, sizeof opening - 1, TOKENIZE_FIRST, &out->opening));
    params = (struct llm_kv_params){.cells = CELLS, .key_type = TYPE_F16, .value_type = TYPE_F16};
    llm_decoder_kv_params(model->decoder, &params);
    params.n_layer = out->layers;
    TRY(llm_kv_create(&params, &out->kv));
fail:
    return err;
}

static void end(struct shallow *s)
{
    llm_kv_destroy(s->kv);
    model_tokens_finish(&s->opening);
}

/* Reads a piece behind the opening words: keys or queries [n of both, ...], or NULL. */
static int read_piece(struct shallow *s, const struct llm_piece *piece, float *keys, float *queries,
                      const struct base_cancel *cancel)
{
    int err;
    struct llm_sequence *sequence = NULL;
    struct llm_piece pieces[2] = {{.n = (int32_t)s->opening.n, .ids = s->opening.ids}, *piece};
    bool opens = s->opening.n > 0;
    TRY(llm_sequence_create(s->kv, NULL, &sequence));
    TRY(llm_decode_shallow(s->model->decoder, sequence, pieces + !opens, opens ? 2 : 1, s->layers, keys, queries,
                           cancel));
fail:
    llm_sequence_destroy(sequence);
    return err;
}

/* ---- segments ----------------------------------------------------------------------------------------------------- */

struct place {
    struct evidence_token token;
    uint32_t at; /* in the order of the segment */
};

static int by_place(const void *a, const void *b)
{
    const struct evidence_token *x = &((const struct place *)a)->token, *y = &((const struct place *)b)->token;
    if (x->t0 != y->t0)
        return x->t0 < y->t0 ? -1 : 1;
    if (x->y0 != y->y0)
        return x->y0 < y->y0 ? -1 : 1;
    return (x->x0 > y->x0) - (x->x0 < y->x0);
}

/* The keys of the first n tokens of a segment. They are read as the model would see them: in the order of time and place; zeros behind them
 * change nothing, since no token sees a later one. */
static int segment_keys(struct shallow *s, const struct evidence_segment *segment, const struct evidence_setup *setup,
                        uint32_t n, float *out, const struct base_cancel *cancel)
{
    size_t width = (size_t)s->model->hp->n_kv * (size_t)s->model->hp->d_head, opening_n = s->opening.n;
    size_t read = base_align(opening_n + n, TOGETHER) - opening_n, columns = (size_t)setup->columns;
    size_t row = (size_t)compute_row_bytes((enum type)setup->row_type, setup->columns);
    struct place *places = base_alloc_array(n, sizeof *places);
    float *rows = base_alloc_array(read * columns, sizeof *rows);
    float *keys = base_alloc_array((opening_n + read) * width, sizeof *keys);
    int32_t(*positions)[4] = base_alloc_array(read, sizeof *positions), steps = 0;
    for (uint32_t i = 0; i < n; i++)
        places[i] = (struct place){segment->tokens[i], i};
    qsort(places, n, sizeof *places, by_place);
    for (uint32_t i = 0; i < n; i++) {
        const struct evidence_token *token = &places[i].token;
        ref_dequantize((enum type)setup->row_type, (const char *)segment->rows + places[i].at * row, rows + i * columns,
                       setup->columns);
        steps += i > 0 && token->t0 != places[i - 1].token.t0;
        positions[i][0] = steps;
        positions[i][1] = token->y0;
        positions[i][2] = token->x0;
    }
    bool grid = s->model->hp->rope.kind == ROPE_MROPE || s->model->hp->rope.kind == ROPE_IMROPE;
    struct llm_piece piece = {.n = (int32_t)read,
                              .rows = rows,
                              .position = grid ? positions[0] : NULL,
                              .advance = grid ? steps + segment->grid_h + segment->grid_w : (int32_t)read};
    int err = read_piece(s, &piece, keys, NULL, cancel);
    for (uint32_t i = 0; i < n && err >= 0; i++)
        memcpy(out + (size_t)places[i].at * width, keys + (opening_n + i) * width, width * sizeof *out);
    base_free(places);
    base_free(rows);
    base_free(keys);
    base_free(positions);
    return err;
}

/* Whether a segment has no keys and should have; those of a segment that was merged since are forgotten. */
static bool is_missing(struct memory_keys *keys, const struct recall_segment *segment,
                       const struct evidence_setup *setup)
{
    return segment->setup == setup->number && segment->n_tokens > 0 &&
           !memory_keys_check(keys, segment->number, segment->n_raw);
}

static int add_segment(struct shallow *shallow, const struct evidence *evidence, const struct evidence_setup *setup,
                       uint64_t number, float *out, struct memory_keys *keys, const struct base_cancel *cancel)
{
    struct evidence_segment segment;
    size_t at;
    if (base_cancelled(cancel))
        return base_fail(PR_ERR_CANCELLED, "interrupted");
    if (!memory_evidence_find(evidence, number, &at) || memory_evidence_read(evidence, at, &segment) < 0)
        return PR_OK;
    uint32_t raw = segment.n_raw, n = segment.n_tokens < ENGINE_KEYS ? segment.n_tokens : ENGINE_KEYS;
    int err = n > 0 ? segment_keys(shallow, &segment, setup, n, out, cancel) : PR_OK;
    memory_evidence_release(&segment);
    return err >= 0 && n > 0 ? memory_keys_add(keys, number, raw, out, n) : err;
}

static int add_missing(struct pr_model *model, struct library *library, const struct library_source *source,
                       const struct recall_index *index, const struct evidence_setup *setup, struct memory_keys *keys,
                       pr_progress_fn fn, void *user, const struct base_cancel *cancel)
{
    int err = PR_OK;
    size_t n;
    struct pr_progress progress = {.source = source->path, .what = PR_ADDING_KEYS, .seconds_left = -1};
    struct evidence *evidence = NULL;
    struct shallow shallow = {0};
    float *out = NULL;
    const struct recall_segment *segments = memory_recall_segments(index, &n);
    for (size_t i = 0; i < n; i++)
        progress.total += segments[i].setup == setup->number;
    for (size_t i = 0; i < n; i++) {
        progress.done += segments[i].setup == setup->number;
        if (!is_missing(keys, &segments[i], setup))
            continue;
        if (fn)
            fn(user, &progress);
        if (!evidence) {
            out = base_alloc_array((size_t)ENGINE_KEYS * (size_t)model->hp->n_kv * (size_t)model->hp->d_head,
                                   sizeof *out);
            TRY(memory_library_evidence(library, source, &evidence));
            TRY(begin(model, &shallow));
        }
        TRY(add_segment(&shallow, evidence, setup, segments[i].number, out, keys, cancel));
    }
fail:
    end(&shallow);
    memory_evidence_close(evidence);
    base_free(out);
    return err;
}

int engine_keys_open(struct pr_model *model, struct library *library, const struct library_source *source,
                     const struct recall_index *index, const struct evidence_setup *setup, pr_progress_fn fn,
                     void *user, const struct base_cancel *cancel, struct memory_keys **out)
{
    int err;
    struct memory_keys *keys = NULL;
    struct base_buf path = {0};
    struct keys_params params = {
        .layer = engine_key_layers(model->hp), .n_kv = model->hp->n_kv, .d_head = model->hp->d_head};
    TRY(engine_need_decoder(model));
    params.model = engine_fingerprint(model);
    memcpy(params.setup, setup->fingerprint, sizeof params.setup);
    TRY(memory_library_keys_path(library, source, params.model, &path));
    TRY(memory_keys_open(path.data, &params, &keys));
    if (memory_keys_can_add(keys))
        TRY(add_missing(model, library, source, index, setup, keys, fn, user, cancel));
    memory_keys_done_adding(keys);
    *out = keys;
    keys = NULL;
fail:
    memory_keys_close(keys);
    base_buf_finish(&path);
    return err;
}

int engine_keys_of(struct pr_model *model, struct library *library, const struct library_source *source,
                   pr_progress_fn fn, void *user, struct pr_cancel *cancel)
{
    int err = PR_OK;
    unsigned char encoder[ENGINE_ENCODER_BYTES];
    struct recall_index *index = NULL;
    struct memory_keys *keys = NULL;
    const struct evidence_setup *setup;
    if (engine_peek_vision(model) >= 0 && memory_recall_open(library, source, &index) >= 0) {
        engine_encoder_identity(&model->vision, encoder);
        setup = engine_visual_recalled(index, encoder);
        if (setup)
            err = engine_keys_open(model, library, source, index, setup, fn, user, engine_cancel(cancel), &keys);
    }
    memory_keys_close(keys);
    memory_recall_close(index);
    return err == PR_ERR_CANCELLED ? err : PR_OK;
}

int engine_keys_make(const struct pr_settings *settings, struct library *library, const struct library_source *source,
                     pr_progress_fn fn, void *user, struct pr_cancel *cancel)
{
    struct pr_model *model = NULL;
    int err = *settings->model ? pr_model_open(settings, cancel, &model) : PR_OK;
    if (model)
        err = engine_keys_of(model, library, source, fn, user, cancel);
    pr_model_close(model);
    return err == PR_ERR_CANCELLED ? err : PR_OK;
}

int engine_keys_queries(struct pr_model *model, const char *question, float **queries, size_t *n)
{
    int err;
    struct tokens tokens = {0};
    struct shallow shallow = {0};
    float *all = NULL;
    size_t width = (size_t)model->hp->n_head * (size_t)model->hp->d_head;
    *queries = NULL;
    *n = 0;
    TRY(engine_need_tokenizer(model));
    TRY(begin(model, &shallow));
    TRY(model_tokenize(model->tokenizer, question, strlen(question), 0, &tokens));
    size_t room = CELLS - shallow.opening.n, skip = tokens.n > room ? tokens.n - room : 0, read = tokens.n - skip;
    all = base_alloc_array((shallow.opening.n + read) * width, sizeof *all);
    if (read > 0) {
        struct llm_piece piece = {.n = (int32_t)read, .ids = tokens.ids + skip};
        TRY(read_piece(&shallow, &piece, NULL, all, NULL));
        *n = read < ENGINE_KEY_QUERIES ? read : ENGINE_KEY_QUERIES;
        *queries = base_alloc_array(*n * width, sizeof **queries);
        memcpy(*queries, all + (shallow.opening.n + read - *n) * width, *n * width * sizeof **queries);
    }
fail:
    base_free(all);
    model_tokens_finish(&tokens);
    end(&shallow);
    return err;
}
