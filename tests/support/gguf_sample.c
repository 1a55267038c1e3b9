/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/gguf_sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const float gguf_sample_a[6] = {1, 2, 3, 4, 5, 6};
const uint8_t gguf_sample_b[36] = {1, 2, 3, 4};

void gguf_sample_keys(struct gguf_writer *w)
{
    gguf_writer_string(w, "general.architecture", "llama");
    gguf_writer_key(w, "n.u8", GGUF_U8, &(uint8_t){200}, 1);
    gguf_writer_key(w, "n.i8", GGUF_I8, &(int8_t){-100}, 1);
    gguf_writer_key(w, "n.u16", GGUF_U16, &(uint16_t){60000}, 2);
    gguf_writer_key(w, "n.i16", GGUF_I16, &(int16_t){-30000}, 2);
    gguf_writer_u32(w, "n.u32", 4000000000u);
    gguf_writer_key(w, "n.i32", GGUF_I32, &(int32_t){-2000000000}, 4);
    gguf_writer_key(w, "n.u64", GGUF_U64, &(uint64_t){1ull << 40}, 8);
    gguf_writer_key(w, "n.huge", GGUF_U64, &(uint64_t){UINT64_MAX}, 8);
    gguf_writer_key(w, "n.i64", GGUF_I64, &(int64_t){-(1ll << 40)}, 8);
    gguf_writer_f32(w, "f.32", 0.5f);
    gguf_writer_key(w, "f.64", GGUF_F64, &(double){0.25}, 8);
    gguf_writer_f32(w, "f.nan", NAN);
    gguf_writer_key(w, "f.large", GGUF_F64, &(double){1e300}, 8);
    gguf_writer_bool(w, "b.true", true);
    gguf_writer_bool(w, "b.false", false);
    gguf_writer_string(w, "s.empty", "");
    gguf_writer_i32s(w, "a.i32", (int32_t[]){-1, 2, 3}, 3);
    gguf_writer_array(w, "a.f32", GGUF_F32, 2, (float[]){1.5f, -2.5f}, 8);
    gguf_writer_array(w, "a.bool", GGUF_BOOL, 3, (uint8_t[]){1, 0, 1}, 3);
    gguf_writer_array(w, "a.empty", GGUF_U8, 0, NULL, 0);
    gguf_writer_strings(w, "a.strings", (const char *[]){"one", "", "three\n"}, 3);
    gguf_writer_tensor(w, "a", TYPE_F32, 2, (int64_t[]){3, 2});
    gguf_writer_tensor(w, "b.weight", TYPE_Q4_0, 3, (int64_t[]){32, 1, 2});
}

struct base_buf gguf_sample_file(struct gguf_writer *w)
{
    struct base_buf bytes = {0};
    gguf_writer_header(w, &bytes);
    for (size_t i = 0; i < w->n_sizes; i++)
        gguf_writer_data(w, i, i == 0 ? (const void *)gguf_sample_a : i == 1 ? gguf_sample_b : NULL, &bytes);
    gguf_writer_finish(w);
    return bytes;
}

struct base_buf gguf_sample(void)
{
    struct gguf_writer w = GGUF_WRITER_INIT;
    gguf_sample_keys(&w);
    return gguf_sample_file(&w);
}

static volatile uint64_t sum; /* of what was read, so that the compiler reads it */

/* Reads all that was handed out, so that a sanitizer or the kernel objects to what lies outside. */
void gguf_sample_walk(const struct gguf *gguf)
{
    struct base_buf text = {0};
    model_gguf_describe(gguf, &text);
    for (size_t i = 0; i < text.len; i++)
        assert_true(text.data[i] == '\n' || (text.data[i] >= 0x20 && text.data[i] < 0x7f));
    base_buf_finish(&text);
    for (size_t i = 0; i < model_gguf_n_keys(gguf); i++) {
        enum gguf_kind kind;
        struct gguf_array array;
        struct gguf_string key = model_gguf_key_at(gguf, i, &kind);
        char *name = strndup(key.data, key.len);
        if (kind == GGUF_ARRAY) {
            assert_int_equal(model_gguf_array(gguf, name, &array), PR_OK);
            for (size_t j = 0; j < array.n && array.kind == GGUF_STRING; j++) {
                struct gguf_string s = model_gguf_array_string(&array, j);
                for (size_t k = 0; k < s.len; k++)
                    sum += (uint8_t)s.data[k];
            }
        }
        free(name);
    }
    for (size_t i = 0; i < model_gguf_n_tensors(gguf); i++) {
        const struct gguf_tensor *t = model_gguf_tensor_at(gguf, i);
        assert_ptr_equal(model_gguf_tensor(gguf, t->name), t);
        for (size_t j = 0; j < t->size; j++)
            sum += ((const uint8_t *)t->data)[j];
    }
}

/* Opens a copy that ends exactly where its allocation does. */
int gguf_sample_open(const void *data, size_t size)
{
    struct gguf *gguf = NULL;
    void *exact = malloc(size ? size : 1);
    memcpy(exact, data, size);
    int err = model_gguf_open_memory(exact, size, GGUF_SAMPLE_NAME, &gguf);
    if (err >= 0)
        gguf_sample_walk(gguf);
    model_gguf_close(gguf);
    free(exact);
    return err;
}

void gguf_sample_message(const char *file, const char *part)
{
    const char *message = pr_error_message();
    if (strncmp(message, file, strlen(file)) != 0 || !strstr(message, part) || strchr(message, '\n'))
        fail_msg("\"%s\" doesn't name %s and say \"%s\"", message, file, part);
}
