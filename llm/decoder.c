/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "llm/decoder.h"

#include "base/mem.h"
#include "compute/pass.h"
#include "llm/plan.h"

#include <string.h>

enum { MAX_BATCH = 1 << 16, MAX_POSITION = 1 << 29 };

struct llm_decoder {
    struct llm_network net;
    int32_t batch;
    struct llm_cell *cells; /* [batch] */
};

int llm_decoder_create(const struct gguf *gguf, const struct llm_decoder_options *options, struct llm_decoder **out)
{
    *out = NULL;
    struct llm_decoder_options o = *options;
    if (o.batch <= 0)
        o.batch = LLM_BATCH;
    if (o.batch > MAX_BATCH)
        return base_fail(PR_ERR_INVALID, "batches of %d tokens are too large; use at most %d", o.batch, MAX_BATCH);

    struct llm_decoder *decoder = base_alloc(sizeof *decoder);
    int err = llm_network_init(&decoder->net, gguf, &o);
    if (err < 0) {
        base_free(decoder);
        return err;
    }
    decoder->batch = o.batch;
    decoder->cells = base_alloc_array((size_t)o.batch, sizeof *decoder->cells);
    *out = decoder;
    return PR_OK;
}

void llm_decoder_destroy(struct llm_decoder *decoder)
{
    if (!decoder)
        return;
    llm_network_finish(&decoder->net);
    base_free(decoder->cells);
    base_free(decoder);
}

const struct hparams *llm_decoder_hparams(const struct llm_decoder *decoder)
{
    return &decoder->net.hp;
}

const char *llm_decoder_placement(const struct llm_decoder *decoder)
{
    return decoder->net.placement;
}

int32_t llm_decoder_batch(const struct llm_decoder *decoder)
{
    return decoder->batch;
}

void llm_decoder_kv_params(const struct llm_decoder *decoder, struct llm_kv_params *params)
{
    const struct llm_network *net = &decoder->net;
    params->n_layer = net->hp.n_layer;
    params->d_key = net->hp.n_kv * net->hp.d_head;
    params->d_value = net->hp.n_kv * net->hp.d_value;
    params->devices = net->layer_device;
    params->host = net->host;
    params->page_size = LLM_PAGE_SIZE;
    params->rope = net->hp.rope;
    params->divisors = net->divisors;
    params->n_ctx_train = net->hp.n_ctx_train;
}

int llm_decoder_cost(struct llm_decoder *decoder, struct llm_kv *kv, int32_t n, int32_t n_logits, struct pass_cost *out)
{
    struct llm_plan *plan;
    struct llm_shape shape = {.n = n, .n_logits = n_logits};
    int err = llm_plan_get(&decoder->net, kv, &shape, &plan);
    if (err == PR_OK)
        *out = plan->cost;
    return err;
}

/* ---- input ------------------------------------------------------------------------------------------------------ */

static int check_positions(const struct llm_piece *p)
{
    if (p->advance < 0 || p->advance > MAX_POSITION)
        return base_fail(PR_ERR_INVALID, "an input can't advance positions by %d", p->advance);
    for (int32_t i = 0; i < p->n; i++)
        for (int axis = 0; axis < 3; axis++)
            if (p->position[4 * i + axis] < 0 || p->position[4 * i + axis] > MAX_POSITION)
                return base_fail(PR_ERR_INVALID, "an input has position %d", p->position[4 * i + axis]);
    return PR_OK;
}

static int check_pieces(const struct llm_decoder *decoder, const struct llm_piece *pieces, size_t n, int64_t *total)
{
    int err;
    *total = 0;
    for (size_t i = 0; i < n; i++) {
        const struct llm_piece *p = &pieces[i];
        if (p->n < 0 || (p->n > 0 && !p->ids == !p->rows))
            return base_fail(PR_ERR_INVALID, "a piece of input must be token ids or embedding rows");
        if (p->bidirectional && p->n > decoder->batch)
            return base_fail(PR_ERR_INVALID, "a picture of %d tokens doesn't fit a batch of %d", p->n, decoder->batch);
        for (int32_t j = 0; p->ids && j < p->n; j++)
            if (p->ids[j] < 0 || p->ids[j] >= decoder->net.hp.n_vocab)
                return base_fail(PR_ERR_INVALID, "token id %d is outside the vocabulary of %d", p->ids[j],
                                 decoder->net.hp.n_vocab);
        if (p->position && (err = check_positions(p)) < 0)
            return err;
        *total += p->n;
    }
    return PR_OK;
}

/* Where the next batch begins. */
struct cursor {
    const struct llm_piece *piece, *end;
    int32_t at;   /* in *piece */
    int32_t base; /* position that *piece begins with */
};

static int32_t next_token_position(const struct llm_piece *p, int32_t base, int32_t i)
{
    return p->position ? base + p->advance : base + i + 1;
}

/* How many tokens go into the next batch; *rows: embeddings among them; *high: their largest position. */
static int32_t measure(const struct llm_decoder *decoder, struct cursor c, bool *rows, int64_t *high)
{
    int32_t n = 0;
    int64_t base = c.base;
    *rows = false;
    *high = 0;
    for (; c.piece < c.end && n < decoder->batch; c.piece++, c.at = 0) {
        const struct llm_piece *p = c.piece;
        int32_t take = p->n - c.at;
        if (take > decoder->batch - n)
            take = decoder->batch - n;
        if (p->bidirectional && take < p->n)
            break;
        for (int32_t i = c.at; i < c.at + take; i++)
            for (int axis = 0; axis < 3; axis++) {
                int64_t position = base + (p->position ? p->position[4 * i + axis] : i);
                if (position > *high)
                    *high = position;
            }
        *rows |= p->rows && take > 0;
        n += take;
        base = p->position ? base + p->advance : base + p->n;
    }
    return n;
}

/* The host's views of a plan's inputs. */
struct inputs {
    int32_t *ids, (*positions)[4], *cells, (*pages)[2], (*range)[2];
    float *rows[1 + LLM_MAX_DEEPSTACK];
};

static struct inputs inputs_of(const struct llm_plan *plan)
{
    const struct llm_graph *g = &plan->graph;
    struct inputs in = {.ids = compute_pass_host(plan->pass, g->ids),
                        .positions = compute_pass_host(plan->pass, g->positions),
                        .cells = compute_pass_host(plan->pass, g->cells),
                        .pages = compute_pass_host(plan->pass, g->pages),
                        .range = compute_pass_host(plan->pass, g->range)};
    for (int s = 0; g->rows[s] && s <= g->hp->n_deepstack; s++)
        in.rows[s] = compute_pass_host(plan->pass, g->rows[s]);
    return in;
}

/* Row i of the batch is token `at` of piece p. */
static void fill_token(const struct hparams *hp, struct inputs *in, int32_t i, const struct llm_piece *p, int32_t at,
                       int32_t base, struct llm_cell *cell)
{
    size_t d = (size_t)hp->d_model;
    in->ids[i] = p->ids ? p->ids[at] : -1;
    for (int s = 0; s <= hp->n_deepstack && in->rows[s]; s++) {
        float *row = in->rows[s] + (size_t)i * d;
        if (p->rows)
            memcpy(row, p->rows + ((size_t)at * (size_t)(1 + hp->n_deepstack) + (size_t)s) * d, d * sizeof *row);
        else
            memset(row, 0, d * sizeof *row);
    }
    int32_t low = INT32_MAX;
    for (int axis = 0; axis < 3; axis++) {
        int32_t position = base + (p->position ? p->position[4 * at + axis] : at);
        in->positions[i][axis] = position;
        low = position < low ? position : low;
    }
    in->positions[i][3] = 0;
    *cell = (struct llm_cell){low, next_token_position(p, base, at)};
}

/* The mask of the token at `place`, whose piece ends at place `end`. */
static void fill_range(const struct hparams *hp, const struct llm_sequence *s, int32_t place, int32_t end,
                       int32_t range[2])
{
    int32_t window = s->slide.window;
    if (hp->sliding_window && (!window || hp->sliding_window < window))
        window = hp->sliding_window;
    range[0] = window && place + 1 > window ? place + 1 - window : 0;
    range[1] = end;
}

/* Fills the inputs for n tokens from the cursor on, and moves it. */
static void fill(struct llm_decoder *decoder, const struct llm_sequence *s, const struct llm_plan *plan,
                 struct cursor *c)
{
    const struct hparams *hp = &decoder->net.hp;
    struct inputs in = inputs_of(plan);
    int32_t i = 0, n = plan->shape.n, page_size = s->kv->params.page_size;
    while (i < n) {
        const struct llm_piece *p = c->piece;
        int32_t piece_end = s->n + i + p->n - c->at;
        for (; i < n && c->at < p->n; i++, c->at++) {
            int32_t place = s->n + i;
            fill_token(hp, &in, i, p, c->at, c->base, &decoder->cells[i]);
            fill_range(hp, s, place, p->bidirectional ? piece_end : place + 1, in.range[i]);
            in.cells[i] = llm_sequence_row(s, place);
        }
        if (c->at == p->n) {
            c->base = p->position ? c->base + p->advance : c->base + p->n;
            c->piece++;
            c->at = 0;
        }
    }
    in.pages[0][0] = s->n_pages;
    for (int32_t j = 0; j < s->n_pages; j++) {
        in.pages[1 + j][0] = s->pages[j] * page_size;
        in.pages[1 + j][1] = j * page_size;
    }
}

/* ---- decoding --------------------------------------------------------------------------------------------------- */

/* What a reading is for; the pointers move on with what is written. */
struct wanted {
    int32_t n_logits; /* of the last tokens of all */
    float *logits;
    int32_t shallow; /* layers; 0: all of them */
    float *keys, *queries;
};

static void copy_out(const struct llm_plan *plan, struct tensor *tensor, float **to)
{
    size_t values = tensor ? (size_t)tensor->rows * (size_t)tensor->cols : 0;
    if (!*to || !values)
        return;
    memcpy(*to, compute_pass_host(plan->pass, tensor), values * sizeof **to);
    *to += values;
}

/* Reads one batch, of `left` tokens that are left. */
static int decode_batch(struct llm_decoder *decoder, struct llm_sequence *s, struct cursor *c, int64_t left,
                        struct wanted *wanted, int64_t *done, const struct base_cancel *cancel)
{
    int err;
    struct llm_plan *plan;
    struct llm_shape shape = {.sinks = s->slide.sinks, .shallow = wanted->shallow};
    int64_t high;
    int32_t n = shape.n = measure(decoder, *c, &shape.rows, &high);
    TRY(llm_sequence_reserve(s, n));
    if (s->slide.window && high > s->slide.position_limit) {
        int32_t by;
        TRY(llm_sequence_shift(s, &by));
        c->base -= by;
        high -= by;
    }
    if (high > MAX_POSITION)
        TRY(base_fail(PR_ERR_INVALID, "positions beyond %d can't be represented", MAX_POSITION));

    int64_t last = wanted->n_logits - (left - n); /* those of the last n_logits tokens that are in this batch */
    shape.n_logits = last <= 0 ? 0 : last < n ? (int32_t)last : n;
    TRY(llm_plan_get(&decoder->net, s->kv, &shape, &plan));
    fill(decoder, s, plan, c);
    TRY(compute_pass_run(plan->pass, cancel));
    llm_sequence_append(s, decoder->cells, n);
    copy_out(plan, plan->logits, &wanted->logits);
    copy_out(plan, plan->keys, &wanted->keys);
    copy_out(plan, plan->queries, &wanted->queries);
    *done += n;
    return PR_OK;
fail:
    llm_sequence_trim(s);
    return err;
}

static int decode(struct llm_decoder *decoder, struct llm_sequence *sequence, const struct llm_piece *pieces,
                  size_t n_pieces, struct wanted wanted, const struct base_cancel *cancel)
{
    int err;
    int64_t total, done = 0, start = llm_sequence_length(sequence);
    TRY(check_pieces(decoder, pieces, n_pieces, &total));
    if (wanted.n_logits < 0 || wanted.n_logits > total)
        return base_fail(PR_ERR_INVALID, "the logits of %d tokens can't be had from an input of %lld", wanted.n_logits,
                         (long long)total);

    struct cursor c = {pieces, pieces + n_pieces, 0, llm_sequence_next_position(sequence)};
    while (done < total) {
        if (base_cancelled(cancel))
            TRY(base_fail(PR_ERR_CANCELLED, "stopped"));
        TRY(decode_batch(decoder, sequence, &c, total - done, &wanted, &done, cancel));
    }
    return PR_OK;
fail:
    if (!sequence->slide.window)
        llm_sequence_rollback(sequence, start);
    return err;
}

int llm_decode(struct llm_decoder *decoder, struct llm_sequence *sequence, const struct llm_piece *pieces,
               size_t n_pieces, int32_t n_logits, float *logits, const struct base_cancel *cancel)
{
    struct wanted wanted = {.n_logits = n_logits, .logits = logits};
    return decode(decoder, sequence, pieces, n_pieces, wanted, cancel);
}

int llm_decode_shallow(struct llm_decoder *decoder, struct llm_sequence *sequence, const struct llm_piece *pieces,
                       size_t n_pieces, int32_t layers, float *keys, float *queries, const struct base_cancel *cancel)
{
    struct wanted wanted = {.shallow = layers, .keys = keys, .queries = queries};
    if (layers < 1 || layers > decoder->net.hp.n_layer)
        return base_fail(PR_ERR_INVALID, "the model has no layer %d", layers);
    return decode(decoder, sequence, pieces, n_pieces, wanted, cancel);
}
