/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Opens the bytes as a GGUF file and reads everything that the accessors hand out: every key by its name and with every
 * accessor, every element and string, the first and last byte of every tensor, the hyper-parameters, the description.
 */
#include "tests/fuzz/fuzz.h"

#include "base/mem.h"
#include "model/gguf.h"
#include "model/hparams.h"

#include <stdlib.h>
#include <string.h>

static volatile uint64_t sink;

static void read_string(struct gguf_string s)
{
    for (size_t i = 0; i < s.len; i++)
        sink += (uint8_t)s.data[i];
}

static void read_array(const struct gguf_array *array)
{
    for (size_t i = 0; i < array->n; i++)
        if (array->kind == GGUF_STRING)
            read_string(model_gguf_array_string(array, i));
        else if (array->kind == GGUF_F32 || array->kind == GGUF_F64)
            sink += model_gguf_array_f32(array, i) > 0;
        else
            sink += (uint64_t)model_gguf_array_i64(array, i);
}

/* Whatever the kind, exactly the accessors of that kind may succeed. */
static void read_key(const struct gguf *gguf, const char *key, enum gguf_kind kind)
{
    int64_t i64 = 0;
    float f32 = 0;
    bool b = false;
    struct gguf_string s = {0};
    struct gguf_array a = {0};
    bool integer = model_gguf_i64(gguf, key, INT64_MIN, INT64_MAX, &i64) == PR_OK;
    bool number = model_gguf_f32(gguf, key, &f32) == PR_OK;
    bool boolean = model_gguf_bool(gguf, key, &b) == PR_OK;
    bool string = model_gguf_string(gguf, key, &s) == PR_OK;
    bool array = model_gguf_array(gguf, key, &a) == PR_OK;
    if (string != (kind == GGUF_STRING) || array != (kind == GGUF_ARRAY) || boolean != (kind == GGUF_BOOL) ||
        integer + number + boolean + string + array > 1)
        abort();
    if (number && !(f32 - f32 == 0)) /* finite */
        abort();
    read_string(s);
    if (array)
        read_array(&a);
}

static void read_tensors(const struct gguf *gguf, const uint8_t *data, size_t size)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < model_gguf_n_tensors(gguf); i++) {
        const struct gguf_tensor *t = model_gguf_tensor_at(gguf, i);
        const uint8_t *first = t->data;
        if (model_gguf_tensor(gguf, t->name) != t || first < data || t->size == 0 || t->size > size ||
            first + t->size > data + size)
            abort();
        sink += first[0] + first[t->size - 1];
        bytes += t->size;
    }
    if (bytes != model_gguf_tensor_bytes(gguf) || bytes > size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf *gguf;
    struct hparams hparams;
    struct base_buf text = {0};
    int err = model_gguf_open_memory(data, size, "fuzz.gguf", &gguf);
    if (err < 0) {
        if (strncmp(pr_error_message(), "fuzz.gguf: ", 11) != 0) /* every message names the file */
            abort();
        return 0;
    }
    for (size_t i = 0; i < model_gguf_n_keys(gguf); i++) {
        enum gguf_kind kind;
        struct gguf_string key = model_gguf_key_at(gguf, i, &kind);
        char *name = strndup(key.data, key.len);
        read_key(gguf, name, kind);
        free(name);
    }
    read_tensors(gguf, data, size);
    if (model_hparams_read(gguf, &hparams) == PR_OK)
        if (hparams.n_layer < 1 || hparams.n_head % hparams.n_kv != 0 || hparams.rope.n_rot > hparams.d_head ||
            hparams.n_vocab < 1 || !(hparams.attention_scale > 0) || !(hparams.rope.freq_scale > 0))
            abort();
    model_gguf_describe(gguf, &text);
    base_buf_finish(&text);
    model_gguf_close(gguf);
    return 0;
}
