/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sliding: against a plain double-precision transformer that computes each token's attention over exactly the sinks and the last
 * `window` tokens, with the positions that were in force when the token was read.
 */
#include "llm/kv_impl.h"
#include "tests/support/llm_rig.h"

#include "base/mem.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the plain transformer (llama, f32 file, tied output) --------------------------------------------------------- */

enum { MAX_TOKENS = 420, MAX_D = 128, MAX_FF = 512, MAX_LAYERS = 4 };

struct plain {
    const struct gguf *gguf;
    const struct hparams *hp;
    int n;                                   /* tokens read */
    double k[MAX_LAYERS][MAX_TOKENS][MAX_D]; /* before rope */
    double v[MAX_LAYERS][MAX_TOKENS][MAX_D];
};

static const float *weight(const struct plain *p, int layer, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, layer < 0 ? "%.0d%s" : "blk.%d.%s", layer < 0 ? 0 : layer, name);
    const struct gguf_tensor *t = model_gguf_tensor(p->gguf, full);
    assert_non_null(t);
    assert_int_equal(t->type, TYPE_F32);
    return t->data;
}

/* y[m] = w[m, k] x[k] */
static void product(const float *w, int m, int k, const double *x, double *y)
{
    for (int i = 0; i < m; i++) {
        y[i] = 0;
        for (int j = 0; j < k; j++)
            y[i] += (double)w[i * k + j] * x[j];
    }
}

static void norm(const struct plain *p, const float *w, const double *x, double *y)
{
    double sum = 0;
    int d = p->hp->d_model;
    for (int i = 0; i < d; i++)
        sum += x[i] * x[i];
    for (int i = 0; i < d; i++)
        y[i] = x[i] / sqrt(sum / d + (double)p->hp->norm_eps) * (double)w[i];
}

/* q rotated by `distance` dot k: what rope makes of q at one position and k at another. */
static double score(const struct plain *p, const double *q, const double *k, int distance)
{
    double sum = 0;
    int d = p->hp->d_head;
    for (int i = 0; i < d; i += 2) {
        double angle = distance * pow((double)p->hp->rope.base, -(double)i / d), c = cos(angle), s = sin(angle);
        sum += (q[i] * c - q[i + 1] * s) * k[i] + (q[i] * s + q[i + 1] * c) * k[i + 1];
    }
    return sum * (double)p->hp->attention_scale;
}

/* The attention of token i (at `position`) in one head. */
static void attend(const struct plain *p, int layer, const double *q, int kv_head, int i, int position, int sinks,
                   int window, double *y)
{
    int d = p->hp->d_head;
    double weights[MAX_TOKENS], top = -INFINITY, sum = 0;
    for (int c = 0; c <= i; c++) {
        bool sink = c<sinks, recent = c> i - window;
        weights[c] = -INFINITY;
        if (sink || recent) /* a sink stays at its place; what is behind the sinks moves with the token */
            weights[c] = score(p, q, p->k[layer][c] + kv_head * d, sink ? position - c : i - c);
        top = fmax(top, weights[c]);
    }
    memset(y, 0, (size_t)d * sizeof *y);
    for (int c = 0; c <= i; c++)
        sum += weights[c] = exp(weights[c] - top);
    for (int c = 0; c <= i; c++)
        for (int j = 0; j < d; j++)
            y[j] += weights[c] / sum * p->v[layer][c][kv_head * d + j];
}

/* Reads the next token and gives its logits. */
static void plain_read(struct plain *p, int32_t id, int position, int sinks, int window, double *logits)
{
    const struct hparams *hp = p->hp;
    int d = hp->d_model, i = p->n++, group = hp->n_head / hp->n_kv;
    double x[MAX_D], h[MAX_D], q[MAX_D], y[MAX_D], gate[MAX_FF], up[MAX_FF];
    for (int j = 0; j < d; j++)
        x[j] = (double)weight(p, -1, "token_embd.weight")[id * d + j];
    for (int l = 0; l < hp->n_layer; l++) {
        norm(p, weight(p, l, "attn_norm.weight"), x, h);
        product(weight(p, l, "attn_q.weight"), hp->n_head * hp->d_head, d, h, q);
        product(weight(p, l, "attn_k.weight"), hp->n_kv * hp->d_head, d, h, p->k[l][i]);
        product(weight(p, l, "attn_v.weight"), hp->n_kv * hp->d_head, d, h, p->v[l][i]);
        for (int head = 0; head < hp->n_head; head++)
            attend(p, l, q + head * hp->d_head, head / group, i, position, sinks, window, y + head * hp->d_head);
        product(weight(p, l, "attn_output.weight"), d, hp->n_head * hp->d_head, y, h);
        for (int j = 0; j < d; j++)
            x[j] += h[j];
        norm(p, weight(p, l, "ffn_norm.weight"), x, h);
        product(weight(p, l, "ffn_gate.weight"), hp->d_ff, d, h, gate);
        product(weight(p, l, "ffn_up.weight"), hp->d_ff, d, h, up);
        for (int j = 0; j < hp->d_ff; j++)
            gate[j] = gate[j] / (1 + exp(-gate[j])) * up[j];
        product(weight(p, l, "ffn_down.weight"), d, hp->d_ff, gate, h);
        for (int j = 0; j < d; j++)
            x[j] += h[j];
    }
    norm(p, weight(p, -1, "output_norm.weight"), x, h);
    product(weight(p, -1, "token_embd.weight"), hp->n_vocab, d, h, logits);
}

/* ---- the comparison ----------------------------------------------------------------------------------------------- */

struct slide_case {
    int sinks, window, limit, batch;
    enum type key_type;
    const char *device; /* NULL: ref */
};

static double log_sum(const double *logits, int n)
{
    double top = logits[0], sum = 0;
    for (int i = 1; i < n; i++)
        top = fmax(top, logits[i]);
    for (int i = 0; i < n; i++)
        sum += exp(logits[i] - top);
    return top + log(sum);
}

/* The largest difference of a log-probability over the whole vocabulary. */
static float compare(const struct slide_case *c, int n_tokens)
{
    struct llm_rig rig;
    struct llm_sequence *s;
    int32_t ids[MAX_TOKENS];
    struct llm_slide slide = {c->sinks, c->window, c->limit};
    llm_rig_open(&rig, &(struct llm_rig_options){.model = "llama-tied.f32.gguf",
                                                 .device = c->device,
                                                 .batch = c->batch,
                                                 .key_type = c->key_type,
                                                 .cells = llm_kv_slide_cells(&slide, c->batch, 16)});
    int n_vocab = rig.hp->n_vocab, next = 0, shifts = 0;
    struct plain *plain = calloc(1, sizeof *plain);
    *plain = (struct plain){.gguf = rig.gguf, .hp = rig.hp};
    float *logits = malloc((size_t)c->batch * (size_t)n_vocab * sizeof *logits), worst = 0;
    float *logs = malloc((size_t)n_vocab * sizeof *logs);
    double *expected = malloc((size_t)n_vocab * sizeof *expected);
    llm_rig_ids(ids, n_tokens, n_vocab, 3);
    assert_int_equal(llm_sequence_create(rig.kv, &slide, &s), PR_OK);
    for (int at = 0; at < n_tokens; at += c->batch) {
        int n = n_tokens - at < c->batch ? n_tokens - at : c->batch;
        if (next + n - 1 > c->limit) { /* the oldest token that the next one sees moves behind the sinks */
            next = c->sinks + (at - c->sinks < c->window - 1 ? at - c->sinks : c->window - 1);
            shifts++;
        }
        struct llm_piece piece = {.n = n, .ids = ids + at};
        int err = llm_decode(rig.decoder, s, &piece, 1, n, logits, NULL);
        if (err < 0)
            fail_msg("%s", pr_error_message());
        for (int i = 0; i < n; i++) {
            float *row = logits + i * n_vocab;
            plain_read(plain, ids[at + i], next + i, c->sinks, c->window, expected);
            llm_rig_log_softmax(row, n_vocab);
            double sum = log_sum(expected, n_vocab);
            for (int v = 0; v < n_vocab; v++)
                logs[v] = (float)(expected[v] - sum);
            worst = fmaxf(worst, llm_rig_difference(row, logs, n_vocab));
        }
        next += n;
        assert_int_equal(llm_sequence_next_position(s), next);
        assert_int_equal(llm_sequence_length(s), at + n);
    }
    print_message("sinks %d, window %d, limit %d, batch %d, keys %s: %d shifts, differs by at most %.6f\n", c->sinks,
                  c->window, c->limit, c->batch, compute_type(c->key_type)->name, shifts, (double)worst);
    free(plain);
    free(logits);
    free(expected);
    free(logs);
    llm_sequence_destroy(s);
    llm_rig_close(&rig);
    return worst;
}

/* With f32 keys only the arithmetic differs (sums in another order, rotation in two steps): 1e-4, as between any two right
 * implementations. */
static void every_token_sees_sinks_and_window(void **state)
{
    (void)state;
    static const struct slide_case cases[] = {
        {4, 48, 100000, 1, TYPE_F32},  {4, 48, 100000, 7, TYPE_F32},   {4, 48, 100000, 128, TYPE_F32},
        {0, 48, 100000, 32, TYPE_F32}, {20, 33, 100000, 64, TYPE_F32}, {1, 1, 100000, 5, TYPE_F32},
        {4, 48, 100, 1, TYPE_F32},     {4, 48, 100, 16, TYPE_F32},     {4, 48, 80, 64, TYPE_F32},
        {0, 48, 90, 32, TYPE_F32},     {20, 33, 99, 13, TYPE_F32},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_true(compare(&cases[i], i == 0 || i == 6 ? 200 : MAX_TOKENS) <= 1e-4f);
}

/* Each rotation rounds an f16 key once more. Between shifts lie 48 tokens here and a key is visible for 48, so that it was
 * rounded three times at most: three times the error of keys that were rounded when they were written, and not more. */
static void shifts_cost_a_rounding_each(void **state)
{
    (void)state;
    float once = compare(&(struct slide_case){4, 48, 100000, 16, TYPE_F16}, MAX_TOKENS);
    float shifted = compare(&(struct slide_case){4, 48, 100, 16, TYPE_F16}, MAX_TOKENS);
    assert_true(once > 0 && once <= 0.012f); /* what f16 costs in these models (tests/golden/README.md) */
    assert_true(shifted <= 3 * once);
}

/* Layers that all lie on a device leave nothing of the shift to the host. */
static void devices_shift(void **state)
{
    (void)state;
    llm_rig_need("vulkan");
    assert_true(compare(&(struct slide_case){4, 48, 100, 16, TYPE_F32, "vulkan"}, MAX_TOKENS) <= 1e-4f);
}

/* ---- the rotation ------------------------------------------------------------------------------------------------- */

/* The keys of layer 0 depend on a token and its position alone: after a shift they must be those of the same tokens read at the
 * smaller positions, for every kind of rope. */
static void shifted_keys_are_those_of_smaller_positions(void **state)
{
    (void)state;
    static const char *const models[] = {"llama.f16.gguf",
                                         "qwen2.f16.gguf",
                                         "llama-rope-llama3.f16.gguf",
                                         "llama-rope-linear.f16.gguf",
                                         "llama-rope-yarn.f16.gguf",
                                         "qwen2vl.f16.gguf",
                                         "qwen3vl.f16.gguf"};
    enum { N = 60, SINKS = 4, WINDOW = 40 };
    for (size_t m = 0; m < sizeof models / sizeof models[0]; m++) {
        struct llm_rig rig;
        struct llm_sequence *s, *direct;
        int32_t ids[N + 1], by, positions[N][4] = {0};
        llm_rig_open(&rig, &(struct llm_rig_options){.model = models[m]});
        llm_rig_ids(ids, N, rig.hp->n_vocab, 5);
        assert_int_equal(llm_sequence_create(rig.kv, &(struct llm_slide){SINKS, WINDOW, 1000}, &s), PR_OK);
        assert_int_equal(llm_sequence_create(rig.kv, NULL, &direct), PR_OK);
        struct llm_piece piece = {.n = N, .ids = ids};
        assert_int_equal(llm_decode(rig.decoder, s, &piece, 1, 0, NULL, NULL), PR_OK);
        assert_int_equal(llm_sequence_shift(s, &by), PR_OK);
        assert_int_equal(by, N + 1 - WINDOW - SINKS);
        assert_int_equal(llm_sequence_next_position(s), N - by);

        for (int i = 0; i < N; i++) /* positions can't be negative: tokens that nobody sees any more go to 0 */
            for (int axis = 0; axis < 3; axis++)
                positions[i][axis] = i < SINKS ? i : i - by > 0 ? i - by : 0;
        piece.position = positions[0];
        piece.advance = N;
        assert_int_equal(llm_decode(rig.decoder, direct, &piece, 1, 0, NULL, NULL), PR_OK);
        const struct tensor *keys = &rig.kv->keys[0];
        const float *data = (const float *)((const char *)keys->buffer->host + keys->offset);
        float worst = 0, largest = 0;
        for (int i = 0; i < N; i++) {
            if (i >= SINKS && i < by)
                continue;
            const float *a = data + llm_sequence_row(s, i) * keys->cols,
                        *b = data + llm_sequence_row(direct, i) * keys->cols;
            worst = fmaxf(worst, llm_rig_difference(a, b, (int32_t)keys->cols));
            for (int64_t j = 0; j < keys->cols; j++)
                largest = fmaxf(largest, fabsf(b[j]));
        }
        print_message("%-28s keys up to %.2f differ by at most %.2g\n", models[m], (double)largest, (double)worst);
        assert_true(worst < 1e-5f * largest);
        assert_int_equal(llm_sequence_shift(s, &by), PR_OK); /* nothing left to gain */
        assert_int_equal(by, 0);
        llm_sequence_destroy(s);
        llm_sequence_destroy(direct);
        llm_rig_close(&rig);
    }
}

/* A shift rotates one sequence's keys; a fork that shares its pages keeps the old ones. */
static void forks_keep_their_positions(void **state)
{
    (void)state;
    struct llm_rig rig;
    struct llm_sequence *s, *fork;
    int32_t ids[80], by;
    float a[512], b[512];
    llm_rig_open(&rig, &(struct llm_rig_options){.model = "llama.f16.gguf"});
    llm_rig_ids(ids, 80, rig.hp->n_vocab, 9);
    struct llm_piece piece = {.n = 70, .ids = ids}, next = {.n = 10, .ids = ids + 70};
    assert_int_equal(llm_sequence_create(rig.kv, &(struct llm_slide){4, 40, 1000}, &s), PR_OK);
    assert_int_equal(llm_decode(rig.decoder, s, &piece, 1, 0, NULL, NULL), PR_OK);
    assert_int_equal(llm_sequence_fork(s, &fork), PR_OK);
    assert_int_equal(llm_decode(rig.decoder, s, &next, 1, 1, a, NULL), PR_OK);
    assert_int_equal(llm_sequence_shift(s, &by), PR_OK);
    assert_int_equal(by, 80 + 1 - 40 - 4);
    assert_int_equal(llm_decode(rig.decoder, fork, &next, 1, 1, b, NULL), PR_OK);
    assert_memory_equal(a, b, (size_t)rig.hp->n_vocab * sizeof *a);
    llm_sequence_destroy(s);
    llm_sequence_destroy(fork);
    llm_rig_close(&rig);
}

/* ---- bounds ------------------------------------------------------------------------------------------------------- */

static void memory_does_not_grow(void **state)
{
    (void)state;
    struct llm_rig rig;
    struct llm_sequence *s;
    int32_t ids[64];
    struct llm_slide slide = {4, 100, 300};
    llm_rig_open(&rig, &(struct llm_rig_options){.model = "llama-q8_0.gguf",
                                                 .batch = 64,
                                                 .key_type = TYPE_F16,
                                                 .value_type = TYPE_F16,
                                                 .cells = llm_kv_slide_cells(&slide, 64, 16)});
    assert_int_equal(llm_sequence_create(rig.kv, &slide, &s), PR_OK);
    uint64_t allocated = 0;
    int64_t least_free = INT64_MAX;
    for (int i = 0; i < 200; i++) {
        llm_rig_ids(ids, 64, rig.hp->n_vocab, (uint32_t)i);
        struct llm_piece piece = {.n = 64, .ids = ids};
        assert_int_equal(llm_decode(rig.decoder, s, &piece, 1, 0, NULL, NULL), PR_OK);
        if (i == 10) /* has shifted by now */
            allocated = rig.device->peak;
        if (llm_kv_free_cells(rig.kv) < least_free)
            least_free = llm_kv_free_cells(rig.kv);
    }
    assert_int_equal(rig.device->peak, allocated);
    assert_true(least_free >= 16);
    assert_int_equal(llm_sequence_length(s), 200 * 64);
    assert_true(s->n <= llm_kv_cells(rig.kv));
    assert_int_equal(llm_sequence_rollback(s, 200 * 64 - 1), PR_OK);
    assert_int_equal(llm_sequence_rollback(s, 200 * 64 - 64), PR_OK);
    assert_int_equal(llm_sequence_rollback(s, 100), PR_ERR_INVALID);
    assert_int_equal(llm_sequence_rollback(s, 2), PR_ERR_INVALID);
    llm_sequence_destroy(s);
    llm_rig_close(&rig);
}

static void sliding_sequences_are_saved(void **state)
{
    (void)state;
    struct llm_rig rig;
    struct llm_sequence *s, *restored;
    void *extra;
    size_t extra_size;
    int32_t ids[300];
    float a[512], b[512];
    char path[] = "/tmp/pagereel-shift-XXXXXX";
    close(mkstemp(path));
    llm_rig_open(&rig, &(struct llm_rig_options){.model = "llama.f16.gguf", .batch = 64});
    llm_rig_ids(ids, 300, rig.hp->n_vocab, 9);
    struct llm_piece piece = {.n = 200, .ids = ids}, next = {.n = 100, .ids = ids + 200};
    assert_int_equal(llm_sequence_create(rig.kv, &(struct llm_slide){4, 40, 90}, &s), PR_OK);
    assert_int_equal(llm_decode(rig.decoder, s, &piece, 1, 0, NULL, NULL), PR_OK);
    assert_int_equal(llm_sequence_save(s, path, 1, NULL, 0), PR_OK);
    assert_int_equal(llm_sequence_restore(rig.kv, path, 1, &restored, &extra, &extra_size), PR_OK);
    base_free(extra);
    assert_int_equal(llm_sequence_length(restored), 200);
    assert_int_equal(llm_decode(rig.decoder, s, &next, 1, 1, a, NULL), PR_OK);
    assert_int_equal(llm_decode(rig.decoder, restored, &next, 1, 1, b, NULL), PR_OK);
    assert_memory_equal(a, b, (size_t)rig.hp->n_vocab * sizeof *a);
    unlink(path);
    llm_sequence_destroy(s);
    llm_sequence_destroy(restored);
    llm_rig_close(&rig);
}

static void impossible_windows_are_refused(void **state)
{
    (void)state;
    struct llm_rig rig;
    struct llm_sequence *s;
    llm_rig_open(&rig, &(struct llm_rig_options){.model = "llama.f16.gguf"});
    assert_int_equal(llm_sequence_create(rig.kv, &(struct llm_slide){4, 100, 110}, &s), PR_ERR_INVALID);
    assert_non_null(strstr(pr_error_message(), "--window 84"));
    assert_int_equal(llm_sequence_create(rig.kv, &(struct llm_slide){4, 84, 110}, &s), PR_OK);
    llm_sequence_destroy(s);
    assert_int_equal(llm_sequence_create(rig.kv, &(struct llm_slide){-1, 84, 110}, &s), PR_ERR_INVALID);
    llm_rig_close(&rig);
    llm_rig_open(&rig, &(struct llm_rig_options){.model = "qwen3.f16.gguf", .key_type = TYPE_Q8_0});
    assert_int_equal(llm_sequence_create(rig.kv, &(struct llm_slide){4, 84, 110}, &s), PR_ERR_INVALID);
    assert_null(s);
    llm_rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_token_sees_sinks_and_window),
        cmocka_unit_test(shifts_cost_a_rounding_each),
        cmocka_unit_test(devices_shift),
        cmocka_unit_test(shifted_keys_are_those_of_smaller_positions),
        cmocka_unit_test(forks_keep_their_positions),
        cmocka_unit_test(memory_does_not_grow),
        cmocka_unit_test(sliding_sequences_are_saved),
        cmocka_unit_test(impossible_windows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
