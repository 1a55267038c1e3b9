/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/gguf_writer.h"

#include <string.h>

static void put(struct base_buf *out, const void *value, size_t size)
{
    base_buf_append(out, value, size);
}

static void put_u32(struct base_buf *out, uint32_t value)
{
    put(out, &value, sizeof value);
}

static void put_u64(struct base_buf *out, uint64_t value)
{
    put(out, &value, sizeof value);
}

void gguf_writer_text(struct base_buf *out, const char *text, size_t len)
{
    put_u64(out, len);
    put(out, text, len);
}

void gguf_writer_finish(struct gguf_writer *w)
{
    base_buf_finish(&w->keys);
    base_buf_finish(&w->tensors);
    base_free(w->sizes);
    *w = (struct gguf_writer)GGUF_WRITER_INIT;
}

void gguf_writer_key(struct gguf_writer *w, const char *key, enum gguf_kind kind, const void *value, size_t size)
{
    gguf_writer_text(&w->keys, key, strlen(key));
    put_u32(&w->keys, kind);
    put(&w->keys, value, size);
    w->n_keys++;
}

void gguf_writer_u32(struct gguf_writer *w, const char *key, uint32_t value)
{
    gguf_writer_key(w, key, GGUF_U32, &value, sizeof value);
}

void gguf_writer_f32(struct gguf_writer *w, const char *key, float value)
{
    gguf_writer_key(w, key, GGUF_F32, &value, sizeof value);
}

void gguf_writer_bool(struct gguf_writer *w, const char *key, bool value)
{
    uint8_t byte = value;
    gguf_writer_key(w, key, GGUF_BOOL, &byte, 1);
}

void gguf_writer_string(struct gguf_writer *w, const char *key, const char *value)
{
    struct base_buf text = {0};
    gguf_writer_text(&text, value, strlen(value));
    gguf_writer_key(w, key, GGUF_STRING, text.data, text.len);
    base_buf_finish(&text);
}

void gguf_writer_array(struct gguf_writer *w, const char *key, enum gguf_kind kind, uint64_t n, const void *elements,
                       size_t size)
{
    struct base_buf value = {0};
    put_u32(&value, kind);
    put_u64(&value, n);
    put(&value, elements, size);
    gguf_writer_key(w, key, GGUF_ARRAY, value.data, value.len);
    base_buf_finish(&value);
}

void gguf_writer_i32s(struct gguf_writer *w, const char *key, const int32_t *values, size_t n)
{
    gguf_writer_array(w, key, GGUF_I32, n, values, n * sizeof *values);
}

void gguf_writer_strings(struct gguf_writer *w, const char *key, const char *const *values, size_t n)
{
    struct base_buf texts = {0};
    for (size_t i = 0; i < n; i++)
        gguf_writer_text(&texts, values[i], strlen(values[i]));
    gguf_writer_array(w, key, GGUF_STRING, n, texts.data, texts.len);
    base_buf_finish(&texts);
}

void gguf_writer_alignment(struct gguf_writer *w, uint32_t alignment)
{
    w->alignment = alignment;
    gguf_writer_u32(w, "general.alignment", alignment);
}

void gguf_writer_split(struct gguf_writer *w, uint16_t no, uint16_t count, int32_t n_tensors)
{
    gguf_writer_key(w, "split.no", GGUF_U16, &no, sizeof no);
    gguf_writer_key(w, "split.count", GGUF_U16, &count, sizeof count);
    gguf_writer_key(w, "split.tensors.count", GGUF_I32, &n_tensors, sizeof n_tensors);
}

void gguf_writer_tensor_info(struct gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims,
                             const uint64_t *ne, uint64_t offset)
{
    gguf_writer_text(&w->tensors, name, strlen(name));
    put_u32(&w->tensors, n_dims);
    put(&w->tensors, ne, n_dims * sizeof *ne);
    put_u32(&w->tensors, type);
    put_u64(&w->tensors, offset);
    w->n_tensors++;
}

void gguf_writer_tensor(struct gguf_writer *w, const char *name, enum type type, int n_dims, const int64_t *ne)
{
    uint64_t size = compute_row_bytes(type, ne[0]);
    for (int i = 1; i < n_dims; i++)
        size *= (uint64_t)ne[i];
    gguf_writer_tensor_info(w, name, type, (uint32_t)n_dims, (const uint64_t *)ne, w->offset);
    w->sizes = base_realloc(w->sizes, (w->n_sizes + 1) * sizeof *w->sizes);
    w->sizes[w->n_sizes++] = size;
    w->offset += size + gguf_writer_padding(w, size);
}

size_t gguf_writer_padding(const struct gguf_writer *w, uint64_t size)
{
    return (size_t)(base_align((size_t)size, w->alignment) - size);
}

static void pad(const struct gguf_writer *w, size_t size, struct base_buf *out)
{
    for (size_t n = gguf_writer_padding(w, size); n > 0; n--)
        put(out, "", 1);
}

void gguf_writer_header(const struct gguf_writer *w, struct base_buf *out)
{
    size_t start = out->len;
    put(out, "GGUF", 4);
    put_u32(out, w->version);
    put_u64(out, w->n_tensors);
    put_u64(out, w->n_keys);
    put(out, w->keys.data, w->keys.len);
    put(out, w->tensors.data, w->tensors.len);
    pad(w, out->len - start, out);
}

void gguf_writer_data(const struct gguf_writer *w, size_t i, const void *data, struct base_buf *out)
{
    for (uint64_t n = 0; !data && n < w->sizes[i]; n++)
        put(out, "", 1);
    if (data)
        put(out, data, (size_t)w->sizes[i]);
    pad(w, (size_t)w->sizes[i], out);
}
