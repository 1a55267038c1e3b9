/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "llm_rig.h"

#include "base/file.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- models ----------------------------------------------------------------------------------------------------- */

static void check(int err)
{
    if (err < 0)
        fail_msg("%s: %s", pr_error_name(err), pr_error_message());
}

static bool is_vulkan(const char *device)
{
    return !strncmp(device, "vulkan", 6);
}

bool llm_rig_has(const char *device)
{
    struct device *d;
    if (compute_device_open(device, &(struct device_options){0}, &d) < 0)
        return false;
    compute_device_close(d);
    return true;
}

void llm_rig_need(const char *device)
{
    if (llm_rig_has(device))
        return;
    printf("skipped: no device %s: %s\n", device, pr_error_message());
    skip();
}

void llm_rig_open(struct llm_rig *rig, const struct llm_rig_options *options)
{
    *rig = (struct llm_rig){0};
    const char *device = options->device ? options->device : "ref";
    const char *host = options->host ? options->host : is_vulkan(device) ? "ref" : NULL;
    check(compute_device_open(device, &(struct device_options){.memory_limit = options->memory_limit, .threads = 2},
                              &rig->device));
    rig->host = rig->device;
    if (host)
        check(compute_device_open(host, &(struct device_options){.threads = 2}, &rig->host));

    char path[256];
    snprintf(path, sizeof path, "%s%s", *options->model == '/' ? "" : "tests/golden/llm/", options->model);
    check(model_gguf_open(path, &rig->gguf));
    struct llm_kv_params kv = {.key_type = options->key_type,
                               .value_type = options->value_type,
                               .cells = options->cells ? options->cells : 512};
    struct llm_decoder_options decoder = {.device = rig->device,
                                          .host = rig->host,
                                          .batch = options->batch,
                                          .cells = kv.cells,
                                          .key_type = kv.key_type,
                                          .value_type = kv.value_type};
    check(llm_decoder_create(rig->gguf, &decoder, &rig->decoder));
    rig->hp = llm_decoder_hparams(rig->decoder);
    llm_decoder_kv_params(rig->decoder, &kv);
    kv.page_size = options->page_size ? options->page_size : 16;
    check(llm_kv_create(&kv, &rig->kv));
}

void llm_rig_close(struct llm_rig *rig)
{
    llm_kv_destroy(rig->kv);
    llm_decoder_destroy(rig->decoder);
    model_gguf_close(rig->gguf);
    if (rig->host != rig->device)
        compute_device_close(rig->host);
    compute_device_close(rig->device);
}

float llm_rig_compare(struct llm_rig *rig, const struct golden *golden)
{
    struct llm_sequence *sequence;
    float *logits = malloc((size_t)rig->hp->n_vocab * sizeof *logits), worst = 0;
    check(llm_sequence_create(rig->kv, NULL, &sequence));
    check(llm_decode(rig->decoder, sequence, golden->pieces, golden->n_pieces, 1, logits, NULL));
    for (int i = 0; i < golden->n_steps; i++) {
        const struct golden_step *step = &golden->steps[i];
        float top[GOLDEN_TOP];
        llm_rig_log_softmax(logits, rig->hp->n_vocab);
        for (int k = 0; k < GOLDEN_TOP; k++)
            top[k] = logits[step->ids[k]];
        worst = fmaxf(worst, llm_rig_difference(top, step->logprobs, GOLDEN_TOP));
        struct llm_piece next = {.n = 1, .ids = &step->id};
        check(llm_decode(rig->decoder, sequence, &next, 1, 1, logits, NULL));
    }
    llm_sequence_destroy(sequence);
    free(logits);
    return worst;
}

void llm_rig_log_softmax(float *logits, int32_t n_vocab)
{
    double top = logits[0], sum = 0;
    for (int32_t i = 1; i < n_vocab; i++)
        top = fmax(top, logits[i]);
    for (int32_t i = 0; i < n_vocab; i++)
        sum += exp(logits[i] - top);
    for (int32_t i = 0; i < n_vocab; i++)
        logits[i] = (float)(logits[i] - top - log(sum));
}

float llm_rig_difference(const float *a, const float *b, int32_t n)
{
    float worst = 0;
    for (int32_t i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) <= worst))
            worst = isnan(a[i] - b[i]) ? INFINITY : fabsf(a[i] - b[i]);
    return worst;
}

void llm_rig_ids(int32_t *ids, int32_t n, int32_t n_vocab, uint32_t seed)
{
    for (int32_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        ids[i] = (int32_t)((seed >> 8) % (uint32_t)n_vocab);
    }
}

/* ---- goldens ---------------------------------------------------------------------------------------------------- */

static const cJSON *item(const cJSON *object, const char *name)
{
    const cJSON *found = cJSON_GetObjectItem(object, name);
    assert_non_null(found);
    return found;
}

static int32_t *read_ids(const cJSON *list)
{
    int32_t *ids = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *ids), i = 0;
    for (const cJSON *x = list->child; x; x = x->next)
        ids[i++] = x->valueint;
    return ids;
}

static int32_t *read_positions(const cJSON *list)
{
    int32_t *positions = calloc((size_t)cJSON_GetArraySize(list) + 1, 4 * sizeof *positions), i = 0;
    for (const cJSON *row = list->child; row; row = row->next, i++)
        for (int axis = 0; axis < 3; axis++)
            positions[4 * i + axis] = cJSON_GetArrayItem(row, axis)->valueint;
    return positions;
}

static void read_pieces(const cJSON *list, size_t row_width, struct golden *out)
{
    const float *rows = out->rows;
    for (const cJSON *x = list->child; x; x = x->next) {
        assert_true(out->n_pieces < sizeof out->pieces / sizeof out->pieces[0]);
        struct llm_piece *p = &out->pieces[out->n_pieces++];
        if (cJSON_GetObjectItem(x, "ids")) {
            p->n = cJSON_GetArraySize(item(x, "ids"));
            p->ids = read_ids(item(x, "ids"));
            continue;
        }
        p->n = item(x, "rows")->valueint;
        p->rows = rows;
        rows += (size_t)p->n * row_width;
        p->position = read_positions(item(x, "position"));
        p->advance = item(x, "advance")->valueint;
    }
}

static void read_steps(const cJSON *list, struct golden *out)
{
    int i = 0;
    out->n_steps = cJSON_GetArraySize(list);
    assert_in_range(out->n_steps, 1, GOLDEN_STEPS);
    for (const cJSON *x = list->child; x; x = x->next, i++) {
        out->steps[i].id = item(x, "id")->valueint;
        const cJSON *top = item(x, "top");
        assert_int_equal(cJSON_GetArraySize(top), GOLDEN_TOP);
        for (int k = 0; k < GOLDEN_TOP; k++) {
            out->steps[i].ids[k] = cJSON_GetArrayItem(cJSON_GetArrayItem(top, k), 0)->valueint;
            out->steps[i].logprobs[k] = (float)cJSON_GetArrayItem(cJSON_GetArrayItem(top, k), 1)->valuedouble;
        }
    }
}

static cJSON *parse(const char *path)
{
    struct base_buf text = {0};
    check(base_file_read(path, 1 << 20, &text));
    cJSON *json = cJSON_Parse(text.data);
    assert_non_null(json);
    base_buf_finish(&text);
    return json;
}

void golden_read(const char *name, struct golden *out)
{
    *out = (struct golden){0};
    char path[256];
    snprintf(path, sizeof path, "tests/golden/llm/%s.json", name);
    cJSON *json = parse(path);
    const cJSON *rows_file = item(json, "rows_file");
    if (cJSON_IsString(rows_file)) {
        struct base_buf rows = {0};
        snprintf(path, sizeof path, "tests/golden/llm/%s", rows_file->valuestring);
        check(base_file_read(path, 1 << 20, &rows));
        out->rows = malloc(rows.len);
        memcpy(out->rows, rows.data, rows.len);
        base_buf_finish(&rows);
    }
    for (const cJSON *x = item(json, "models")->child; x; x = x->next)
        snprintf(out->models[out->n_models++], sizeof out->models[0], "%s", x->valuestring);
    read_pieces(item(json, "pieces"), (size_t)item(json, "row_width")->valueint, out);
    read_steps(item(json, "steps"), out);
    assert_int_equal(out->n_steps, GOLDEN_STEPS);
    cJSON_Delete(json);
}

bool golden_read_case(const char *path, int n, struct golden *out)
{
    *out = (struct golden){0};
    cJSON *json = parse(path);
    const cJSON *found = cJSON_GetArrayItem(item(json, "cases"), n);
    if (found) {
        read_pieces(item(found, "pieces"), 0, out);
        read_steps(item(found, "steps"), out);
    }
    cJSON_Delete(json);
    return found != NULL;
}

void golden_finish(struct golden *golden)
{
    for (size_t i = 0; i < golden->n_pieces; i++) {
        free((int32_t *)golden->pieces[i].ids);
        free((int32_t *)golden->pieces[i].position);
    }
    free(golden->rows);
}
