/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/gguf.h"

#include "tests/support/gguf_writer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define NAME "models/small.gguf"

/* ---- a file with everything in it -------------------------------------------------------------------------------- */

static const float tensor_a[6] = {1, 2, 3, 4, 5, 6};
static const uint8_t tensor_b[36] = {1, 2, 3, 4};

static void add_everything(struct gguf_writer *w)
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

static struct base_buf file_of(struct gguf_writer *w)
{
    struct base_buf bytes = {0};
    gguf_writer_header(w, &bytes);
    for (size_t i = 0; i < w->n_sizes; i++)
        gguf_writer_data(w, i, i == 0 ? (const void *)tensor_a : i == 1 ? tensor_b : NULL, &bytes);
    gguf_writer_finish(w);
    return bytes;
}

static struct base_buf everything(void)
{
    struct gguf_writer w = GGUF_WRITER_INIT;
    add_everything(&w);
    return file_of(&w);
}

/* Reads all that was handed out, so that a sanitizer or the kernel objects to what lies outside. */
static void walk(const struct gguf *gguf)
{
    volatile uint64_t sum = 0;
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
static int open_exact(const void *data, size_t size)
{
    struct gguf *gguf = NULL;
    void *exact = malloc(size ? size : 1);
    memcpy(exact, data, size);
    int err = model_gguf_open_memory(exact, size, NAME, &gguf);
    if (err >= 0)
        walk(gguf);
    model_gguf_close(gguf);
    free(exact);
    return err;
}

static void assert_message(const char *file, const char *part)
{
    const char *message = pr_error_message();
    if (strncmp(message, file, strlen(file)) != 0 || !strstr(message, part) || strchr(message, '\n'))
        fail_msg("\"%s\" doesn't name %s and say \"%s\"", message, file, part);
}

/* ---- right files -------------------------------------------------------------------------------------------------- */

static void reads_what_was_written(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        struct gguf_writer w = GGUF_WRITER_INIT;
        w.version = version;
        add_everything(&w);
        struct base_buf bytes = file_of(&w);
        struct gguf *gguf;
        assert_int_equal(model_gguf_open_memory(bytes.data, bytes.len, NAME, &gguf), PR_OK);
        assert_string_equal(model_gguf_path(gguf), NAME);
        static const struct {
            const char *key;
            int64_t value;
        } integers[] = {{"n.u8", 200},        {"n.i8", -100},          {"n.u16", 60000},
                        {"n.i16", -30000},    {"n.u32", 4000000000},   {"n.i32", -2000000000},
                        {"n.u64", 1ll << 40}, {"n.i64", -(1ll << 40)}, {"n.huge", INT64_MAX}};
        int64_t n = 0;
        for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
            assert_int_equal(model_gguf_i64(gguf, integers[i].key, INT64_MIN, INT64_MAX, &n), PR_OK);
            assert_int_equal(n, integers[i].value);
        }
        float f = 0;
        assert_int_equal(model_gguf_f32(gguf, "f.32", &f), PR_OK);
        assert_true(f == 0.5f);
        assert_int_equal(model_gguf_f32(gguf, "f.64", &f), PR_OK);
        assert_true(f == 0.25f);
        bool b = false;
        assert_int_equal(model_gguf_bool(gguf, "b.true", &b), PR_OK);
        assert_true(b);
        assert_int_equal(model_gguf_bool(gguf, "b.false", &b), PR_OK);
        assert_false(b);
        struct gguf_string s;
        assert_int_equal(model_gguf_string(gguf, "general.architecture", &s), PR_OK);
        assert_int_equal(s.len, 5);
        assert_memory_equal(s.data, "llama", 5);
        assert_int_equal(model_gguf_string(gguf, "s.empty", &s), PR_OK);
        assert_int_equal(s.len, 0);

        struct gguf_array a;
        assert_int_equal(model_gguf_array(gguf, "a.i32", &a), PR_OK);
        assert_int_equal(a.n, 3);
        assert_int_equal(model_gguf_array_i64(&a, 0), -1);
        assert_int_equal(model_gguf_array_i64(&a, 2), 3);
        assert_int_equal(model_gguf_array(gguf, "a.f32", &a), PR_OK);
        assert_true(model_gguf_array_f32(&a, 1) == -2.5f);
        assert_int_equal(model_gguf_array(gguf, "a.bool", &a), PR_OK);
        assert_int_equal(model_gguf_array_i64(&a, 1), 0);
        assert_int_equal(model_gguf_array_i64(&a, 2), 1);
        assert_int_equal(model_gguf_array(gguf, "a.empty", &a), PR_OK);
        assert_int_equal(a.n, 0);
        assert_int_equal(model_gguf_array(gguf, "a.strings", &a), PR_OK);
        assert_int_equal(a.kind, GGUF_STRING);
        s = model_gguf_array_string(&a, 2);
        assert_int_equal(s.len, 6);
        assert_memory_equal(s.data, "three\n", 6);
        assert_int_equal(model_gguf_array_string(&a, 1).len, 0);

        assert_int_equal(model_gguf_n_tensors(gguf), 2);
        assert_int_equal(model_gguf_tensor_bytes(gguf), sizeof tensor_a + sizeof tensor_b);
        const struct gguf_tensor *t = model_gguf_tensor(gguf, "b.weight");
        assert_non_null(t);
        assert_int_equal(t->type, TYPE_Q4_0);
        assert_int_equal(t->n_dims, 3);
        assert_int_equal(t->ne[0], 32);
        assert_int_equal(t->ne[2], 2);
        assert_int_equal(t->ne[3], 1);
        assert_int_equal(t->size, 36);
        assert_int_equal(t->index, 1);
        assert_memory_equal(t->data, tensor_b, 36);
        assert_memory_equal(model_gguf_tensor_at(gguf, 0)->data, tensor_a, sizeof tensor_a);
        assert_null(model_gguf_tensor(gguf, "c"));
        assert_null(model_gguf_tensor(gguf, "a-name-that-is-longer-than-any-name-in-a-file-of-this-kind-could-be"));
        walk(gguf);
        model_gguf_close(gguf);
        base_buf_finish(&bytes);
    }
    model_gguf_close(NULL);
}

static void asking_for_the_wrong_thing(void **state)
{
    (void)state;
    struct base_buf bytes = everything();
    struct gguf *gguf;
    assert_int_equal(model_gguf_open_memory(bytes.data, bytes.len, NAME, &gguf), PR_OK);
    int64_t n = 7;
    float f = 7;
    bool b = true;
    struct gguf_string s;
    struct gguf_array a;
    assert_int_equal(model_gguf_i64(gguf, "no.such", 0, 1, &n), PR_ERR_NOT_FOUND);
    assert_int_equal(model_gguf_i64(gguf, "f.32", 0, 1, &n), PR_ERR_FORMAT);
    assert_message(NAME, "\"f.32\" is of kind f32 instead of an integer");
    assert_int_equal(model_gguf_i64(gguf, "b.true", 0, 1, &n), PR_ERR_FORMAT);
    assert_int_equal(model_gguf_i64(gguf, "n.u8", 0, 199, &n), PR_ERR_FORMAT);
    assert_message(NAME, "\"n.u8\" is 200, outside 0 to 199");
    assert_int_equal(model_gguf_i64(gguf, "n.i8", -99, 199, &n), PR_ERR_FORMAT);
    assert_int_equal(n, 7);
    assert_int_equal(model_gguf_f32(gguf, "n.u8", &f), PR_ERR_FORMAT);
    assert_int_equal(model_gguf_f32(gguf, "f.nan", &f), PR_ERR_FORMAT);
    assert_message(NAME, "\"f.nan\" is not a finite number");
    assert_int_equal(model_gguf_f32(gguf, "f.large", &f), PR_ERR_FORMAT);
    assert_int_equal(model_gguf_f32(gguf, "no.such", &f), PR_ERR_NOT_FOUND);
    assert_true(f == 7);
    assert_int_equal(model_gguf_bool(gguf, "n.u8", &b), PR_ERR_FORMAT);
    assert_int_equal(model_gguf_bool(gguf, "no.such", &b), PR_ERR_NOT_FOUND);
    assert_int_equal(model_gguf_string(gguf, "a.strings", &s), PR_ERR_FORMAT);
    assert_int_equal(model_gguf_string(gguf, "no.such", &s), PR_ERR_NOT_FOUND);
    assert_int_equal(model_gguf_array(gguf, "s.empty", &a), PR_ERR_FORMAT);
    assert_int_equal(model_gguf_array(gguf, "no.such", &a), PR_ERR_NOT_FOUND);
    model_gguf_close(gguf);
    base_buf_finish(&bytes);
}

static void describes_without_control_characters(void **state)
{
    (void)state;
    struct base_buf bytes = everything(), text = {0};
    struct gguf *gguf;
    assert_int_equal(model_gguf_open_memory(bytes.data, bytes.len, NAME, &gguf), PR_OK);
    model_gguf_describe(gguf, &text);
    assert_non_null(strstr(text.data, "general.architecture string \"llama\"\n"));
    assert_non_null(strstr(text.data, "a.strings string[3] \"one\", \"\", \"three\\x0a\"\n"));
    assert_non_null(strstr(text.data, "a.bool bool[3] true, false, true\n"));
    assert_non_null(strstr(text.data, "f.32 f32 0.5\n"));
    assert_non_null(strstr(text.data, "b.weight Q4_0 [32, 1, 2] 36 bytes\n"));
    base_buf_finish(&text);
    model_gguf_close(gguf);
    base_buf_finish(&bytes);
}

static void other_alignments(void **state)
{
    (void)state;
    for (uint32_t alignment = 8; alignment <= 4096; alignment *= 8) {
        struct gguf_writer w = GGUF_WRITER_INIT;
        gguf_writer_alignment(&w, alignment);
        add_everything(&w);
        struct base_buf bytes = file_of(&w);
        struct gguf *gguf;
        assert_int_equal(model_gguf_open_memory(bytes.data, bytes.len, NAME, &gguf), PR_OK);
        const struct gguf_tensor *t = model_gguf_tensor(gguf, "b.weight");
        assert_int_equal(((const char *)t->data - bytes.data) % alignment, 0);
        assert_memory_equal(t->data, tensor_b, 36);
        model_gguf_close(gguf);
        base_buf_finish(&bytes);
    }
}

/* ---- damaged files ------------------------------------------------------------------------------------------------ */

static void truncated_at_every_byte(void **state)
{
    (void)state;
    struct base_buf bytes = everything();
    size_t end = bytes.len - (32 - sizeof tensor_b % 32); /* the last padding isn't needed */
    for (size_t n = 0; n < end; n++) {
        assert_int_equal(open_exact(bytes.data, n), PR_ERR_FORMAT);
        assert_message(NAME, n ? "" : "is empty");
        if (n >= 4)
            assert_message(NAME, "get it again");
    }
    assert_int_equal(open_exact(bytes.data, end), PR_OK);
    base_buf_finish(&bytes);
}

/* Some flips are harmless (another value, another name), none may crash, and each failure names the file. */
static void every_bit_flipped(void **state)
{
    (void)state;
    struct base_buf bytes = everything();
    size_t refused = 0;
    for (size_t i = 0; i < bytes.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            bytes.data[i] = (char)(bytes.data[i] ^ (1 << bit));
            int err = open_exact(bytes.data, bytes.len);
            assert_true(err == PR_OK || err == PR_ERR_FORMAT || err == PR_ERR_UNSUPPORTED);
            if (err < 0) {
                assert_message(NAME, "");
                refused++;
            }
            if (i < 8)
                assert_true(err < 0 || (uint8_t)bytes.data[4] == 2); /* magic and version; 3 may become 2 */
            bytes.data[i] = (char)(bytes.data[i] ^ (1 << bit));
        }
    assert_true(refused > 1000);
    base_buf_finish(&bytes);
}

/* Every byte of the header set to extremes: lengths and counts become huge or zero. */
static void every_byte_replaced(void **state)
{
    (void)state;
    static const uint8_t values[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
    struct base_buf bytes = everything();
    for (size_t i = 0; i < bytes.len; i++)
        for (size_t v = 0; v < sizeof values; v++) {
            char kept = bytes.data[i];
            bytes.data[i] = (char)values[v];
            int err = open_exact(bytes.data, bytes.len);
            assert_true(err == PR_OK || err == PR_ERR_FORMAT || err == PR_ERR_UNSUPPORTED);
            if (err < 0)
                assert_message(NAME, "");
            bytes.data[i] = kept;
        }
    /* And eight at a time, as a length that lies. */
    for (size_t i = 4; i + 8 <= bytes.len; i++)
        for (size_t v = 0; v < 2; v++) {
            char kept[8];
            memcpy(kept, bytes.data + i, 8);
            memset(bytes.data + i, v ? 0xff : 0, 8);
            int err = open_exact(bytes.data, bytes.len);
            assert_true(err == PR_OK || err == PR_ERR_FORMAT || err == PR_ERR_UNSUPPORTED);
            memcpy(bytes.data + i, kept, 8);
        }
    base_buf_finish(&bytes);
}

/* Each row damages a file that begins with one key and ends with one tensor. */
static void version_0(struct gguf_writer *w)
{
    w->version = 0;
}
static void version_1(struct gguf_writer *w)
{
    w->version = 1;
}
static void version_4(struct gguf_writer *w)
{
    w->version = 4;
}
static void version_swapped(struct gguf_writer *w)
{
    w->version = 3u << 24;
}
static void many_keys(struct gguf_writer *w)
{
    w->n_keys = UINT64_MAX;
}
static void one_key_more(struct gguf_writer *w)
{
    w->n_keys++;
}
static void many_tensors(struct gguf_writer *w)
{
    w->n_tensors = 1ull << 63;
}
static void one_tensor_more(struct gguf_writer *w)
{
    w->n_tensors++;
}
static void key_empty(struct gguf_writer *w)
{
    gguf_writer_u32(w, "", 1);
}
static void key_control(struct gguf_writer *w)
{
    gguf_writer_u32(w, "a\033[2Jb", 1);
}
static void key_not_ascii(struct gguf_writer *w)
{
    gguf_writer_u32(w, "k\xc3\xa9y", 1);
}
static void key_twice(struct gguf_writer *w)
{
    gguf_writer_u32(w, "other", 1);
    gguf_writer_string(w, "first", "again");
}
static void key_long(struct gguf_writer *w)
{
    char *name = malloc(65537);
    memset(name, 'k', 65536);
    name[65536] = '\0';
    gguf_writer_u32(w, name, 1);
    free(name);
}
static void key_kind(struct gguf_writer *w)
{
    gguf_writer_key(w, "odd", (enum gguf_kind)13, "\0\0\0\0\0\0\0\0", 8);
}
static void bool_two(struct gguf_writer *w)
{
    gguf_writer_key(w, "odd", GGUF_BOOL, "\2", 1);
}
static void bools_two(struct gguf_writer *w)
{
    gguf_writer_array(w, "odd", GGUF_BOOL, 3, "\0\1\2", 3);
}
static void string_long(struct gguf_writer *w)
{
    gguf_writer_key(w, "odd", GGUF_STRING, &(uint64_t){1ull << 60}, 8);
}
static void string_past_end(struct gguf_writer *w)
{
    gguf_writer_key(w, "odd", GGUF_STRING, &(uint64_t){1 << 20}, 8);
}
static void array_nested(struct gguf_writer *w)
{
    gguf_writer_array(w, "odd", GGUF_ARRAY, 1, "\4\0\0\0\1\0\0\0\0\0\0\0\7\0\0\0", 16);
}
static void array_kind(struct gguf_writer *w)
{
    gguf_writer_array(w, "odd", (enum gguf_kind)99, 0, NULL, 0);
}
static void array_count(struct gguf_writer *w)
{
    gguf_writer_array(w, "odd", GGUF_U8, UINT64_MAX, "", 1);
}
static void array_count_wraps(struct gguf_writer *w)
{
    gguf_writer_array(w, "odd", GGUF_U64, 1ull << 61, "", 1);
}
static void array_strings_count(struct gguf_writer *w)
{
    gguf_writer_array(w, "odd", GGUF_STRING, 1 << 30, "", 1);
}
static void array_string_long(struct gguf_writer *w)
{
    gguf_writer_array(w, "odd", GGUF_STRING, 1, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
}
static void alignment_0(struct gguf_writer *w)
{
    gguf_writer_u32(w, "general.alignment", 0);
}
static void alignment_4(struct gguf_writer *w)
{
    gguf_writer_u32(w, "general.alignment", 4);
}
static void alignment_33(struct gguf_writer *w)
{
    gguf_writer_u32(w, "general.alignment", 33);
}
static void alignment_kind(struct gguf_writer *w)
{
    gguf_writer_bool(w, "general.alignment", true);
}
static void alignment_vast(struct gguf_writer *w)
{
    gguf_writer_u32(w, "general.alignment", 1u << 31);
}

static void info(struct gguf_writer *w, const char *name, uint32_t type, uint32_t n_dims, uint64_t ne0, uint64_t ne1,
                 uint64_t offset)
{
    uint64_t ne[16] = {ne0, ne1, 1, 1, 1, 1, 1, 1};
    gguf_writer_tensor_info(w, name, type, n_dims, ne, offset);
}
static void tensor_no_name(struct gguf_writer *w)
{
    info(w, "", TYPE_F32, 1, 1, 1, 32);
}
static void tensor_control(struct gguf_writer *w)
{
    info(w, "a\tb", TYPE_F32, 1, 1, 1, 32);
}
static void tensor_long_name(struct gguf_writer *w)
{
    info(w, "0123456789012345678901234567890123456789012345678901234567890123", TYPE_F32, 1, 1, 1, 32);
}
static void tensor_twice(struct gguf_writer *w)
{
    info(w, "t", TYPE_F32, 1, 1, 1, 32);
}
static void dims_0(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 0, 1, 1, 32);
}
static void dims_5(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 5, 1, 1, 32);
}
static void ne_0(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 1, 0, 1, 32);
}
static void ne_1_0(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 2, 1, 0, 32);
}
static void ne_negative(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 2, 1, UINT64_MAX, 32);
}
static void ne_wraps(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 2, 1ull << 32, 1ull << 32, 32);
}
static void ne_wraps_bytes(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 2, 1ull << 31, 1ull << 31, 32);
}
static void type_removed(struct gguf_writer *w)
{
    info(w, "u", 4, 1, 32, 1, 32);
}
static void type_foreign(struct gguf_writer *w)
{
    info(w, "u", 16, 1, 256, 1, 32);
}
static void type_unknown(struct gguf_writer *w)
{
    info(w, "u", 0x80000000u, 1, 32, 1, 32);
}
static void part_block(struct gguf_writer *w)
{
    info(w, "u", TYPE_Q4_K, 2, 128, 2, 32);
}
static void offset_odd(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 1, 1, 1, 33);
}
static void offset_far(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 1, 1, 1, 1 << 20);
}
static void offset_wraps(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 1, 8, 1, UINT64_MAX - 31);
}
static void size_past_end(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 1, 1 << 20, 1, 32);
}
static void overlap(struct gguf_writer *w)
{
    info(w, "u", TYPE_F32, 1, 1, 1, 0);
}
static void split_kind(struct gguf_writer *w)
{
    gguf_writer_string(w, "split.count", "3");
}
static void split_no_missing(struct gguf_writer *w)
{
    gguf_writer_u32(w, "split.count", 3);
}
static void split_memory(struct gguf_writer *w)
{
    gguf_writer_split(w, 0, 2, 2);
}
static void split_second(struct gguf_writer *w)
{
    gguf_writer_split(w, 1, 2, 2);
}
static void split_past(struct gguf_writer *w)
{
    gguf_writer_split(w, 5, 2, 2);
}

static const struct damage {
    const char *name;
    void (*make)(struct gguf_writer *w);
    int err;
    const char *message;
} damages[] = {
    {"version 0", version_0, PR_ERR_UNSUPPORTED, "big-endian"},
    {"version 1", version_1, PR_ERR_UNSUPPORTED, "GGUF version 1, but pagereel reads 2 and 3; get"},
    {"version 4", version_4, PR_ERR_UNSUPPORTED, "update pagereel"},
    {"version swapped", version_swapped, PR_ERR_UNSUPPORTED, "big-endian"},
    {"2^64 keys", many_keys, PR_ERR_FORMAT, "claims 18446744073709551615 keys"},
    {"a key too many", one_key_more, PR_ERR_FORMAT, "the file is "},
    {"2^63 tensors", many_tensors, PR_ERR_FORMAT, "claims 9223372036854775808 tensors"},
    {"a tensor too many", one_tensor_more, PR_ERR_FORMAT, "the file is "},
    {"no key name", key_empty, PR_ERR_FORMAT, "a key whose name"},
    {"control characters in a key", key_control, PR_ERR_FORMAT, "a key whose name"},
    {"a key that isn't ASCII", key_not_ascii, PR_ERR_FORMAT, "a key whose name"},
    {"a key twice", key_twice, PR_ERR_FORMAT, "key \"first\" is there twice"},
    {"a key of 65536 bytes", key_long, PR_ERR_FORMAT, "a key whose name"},
    {"unknown kind", key_kind, PR_ERR_FORMAT, "key \"odd\" has the unknown kind 13"},
    {"a bool of 2", bool_two, PR_ERR_FORMAT, "key \"odd\" is a bool of value 2"},
    {"bools of 2", bools_two, PR_ERR_FORMAT, "key \"odd\" is a bool of value 2"},
    {"a vast string", string_long, PR_ERR_FORMAT, "key \"odd\" claims a text of 1152921504606846976 bytes"},
    {"a string past the end", string_past_end, PR_ERR_FORMAT, "ends inside key \"odd\""},
    {"array of arrays", array_nested, PR_ERR_UNSUPPORTED, "array of arrays"},
    {"array of an unknown kind", array_kind, PR_ERR_FORMAT, "array of the unknown kind 99"},
    {"vast array", array_count, PR_ERR_FORMAT, "claims 18446744073709551615 elements"},
    {"array whose size wraps", array_count_wraps, PR_ERR_FORMAT, "claims 2305843009213693952 elements"},
    {"vast array of strings", array_strings_count, PR_ERR_FORMAT, "claims 1073741824 elements"},
    {"vast string in an array", array_string_long, PR_ERR_FORMAT, "claims a text of 18446744073709551615 bytes"},
    {"alignment 0", alignment_0, PR_ERR_FORMAT, "\"general.alignment\" is 0"},
    {"alignment 4", alignment_4, PR_ERR_FORMAT, "\"general.alignment\" is 4"},
    {"alignment 33", alignment_33, PR_ERR_FORMAT, "\"general.alignment\" is 33"},
    {"alignment of another kind", alignment_kind, PR_ERR_FORMAT, "of kind bool instead of u32"},
    {"vast alignment", alignment_vast, PR_ERR_FORMAT, "padding"},
    {"no tensor name", tensor_no_name, PR_ERR_FORMAT, "a tensor whose name"},
    {"control characters in a tensor name", tensor_control, PR_ERR_FORMAT, "a tensor whose name"},
    {"tensor name of 64 bytes", tensor_long_name, PR_ERR_FORMAT, "a tensor whose name"},
    {"a tensor twice", tensor_twice, PR_ERR_FORMAT, "tensor \"t\" is there twice"},
    {"0 dimensions", dims_0, PR_ERR_FORMAT, "\"u\" has 0 dimensions"},
    {"5 dimensions", dims_5, PR_ERR_FORMAT, "\"u\" has 5 dimensions"},
    {"0 columns", ne_0, PR_ERR_FORMAT, "\"u\" has 0 elements"},
    {"0 rows", ne_1_0, PR_ERR_FORMAT, "\"u\" has 0 elements"},
    {"-1 rows", ne_negative, PR_ERR_FORMAT, "\"u\" has 18446744073709551615 elements"},
    {"elements that wrap", ne_wraps, PR_ERR_FORMAT, "\"u\" is larger than any memory"},
    {"bytes that wrap", ne_wraps_bytes, PR_ERR_FORMAT, "\"u\""},
    {"removed type", type_removed, PR_ERR_UNSUPPORTED, "\"u\" has type 4 (removed or unknown)"},
    {"type of others", type_foreign, PR_ERR_UNSUPPORTED, "\"u\" has type 16 (IQ2_XXS)"},
    {"unknown type", type_unknown, PR_ERR_UNSUPPORTED, "\"u\" has type 2147483648"},
    {"half a block", part_block, PR_ERR_FORMAT, "rows of 128 elements, not a multiple of Q4_K's 256"},
    {"offset not aligned", offset_odd, PR_ERR_FORMAT, "offset 33, not a multiple of 32"},
    {"offset past the end", offset_far, PR_ERR_FORMAT, "\"u\" (4 bytes at 1048576) reaches past the end"},
    {"offset that wraps", offset_wraps, PR_ERR_FORMAT, "reaches past the end"},
    {"tensor past the end", size_past_end, PR_ERR_FORMAT, "\"u\" (4194304 bytes at 32) reaches past the end"},
    {"tensors that overlap", overlap, PR_ERR_FORMAT, "tensors \"t\" and \"u\" overlap"},
    {"split.count of another kind", split_kind, PR_ERR_FORMAT, "\"split.count\" is of kind string"},
    {"split.no missing", split_no_missing, PR_ERR_FORMAT, "no \"split.no\""},
    {"split in memory", split_memory, PR_ERR_UNSUPPORTED, "give its first file"},
    {"second of a split", split_second, PR_ERR_FORMAT, "is part 2 of 2; give the first part"},
    {"part 6 of 2", split_past, PR_ERR_FORMAT, "\"split.no\" is 5, outside 0 to 1"},
};

static void every_damage_is_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        struct gguf_writer w = GGUF_WRITER_INIT;
        gguf_writer_string(&w, "first", "value");
        gguf_writer_tensor(&w, "t", TYPE_F32, 1, (int64_t[]){8});
        damages[i].make(&w);
        struct base_buf bytes = file_of(&w);
        /* Enough data for a second tensor. */
        base_buf_append(&bytes, (char[64]){0}, 64);
        int err = open_exact(bytes.data, bytes.len);
        if (err != damages[i].err)
            fail_msg("%s: %s instead of %s (%s)", damages[i].name, pr_error_name(err), pr_error_name(damages[i].err),
                     pr_error_message());
        assert_message(NAME, damages[i].message);
        assert_non_null(strchr(pr_error_message(), ';')); /* what is wrong; what to do */
        base_buf_finish(&bytes);
    }
}

/* What is unusual but right. */
static void unusual_but_right(void **state)
{
    (void)state;
    struct gguf_writer w = GGUF_WRITER_INIT;
    struct base_buf bytes = file_of(&w); /* no key, no tensor */
    assert_int_equal(open_exact(bytes.data, bytes.len), PR_OK);
    base_buf_finish(&bytes);

    gguf_writer_u32(&w, "split.count", 0);
    bytes = file_of(&w);
    assert_int_equal(open_exact(bytes.data, bytes.len), PR_OK);
    base_buf_finish(&bytes);

    /* Gaps and another order than that of the infos. */
    info(&w, "a", TYPE_F32, 1, 8, 1, 128);
    info(&w, "b", TYPE_F32, 1, 8, 1, 0);
    gguf_writer_split(&w, 0, 1, 2);
    bytes = file_of(&w);
    base_buf_append(&bytes, (char[160]){0}, 160);
    assert_int_equal(open_exact(bytes.data, bytes.len), PR_OK);
    base_buf_finish(&bytes);
}

/* ---- files --------------------------------------------------------------------------------------------------------- */

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/pagereel-gguf-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static const char *in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void save(const char *name, const void *data, size_t len)
{
    FILE *file = fopen(in_folder(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    fclose(file);
}

/* Part `no` of `count` under a name of choice, with one tensor "tNO" of 8 floats NO. */
static void save_part(const char *name, uint16_t no, uint16_t count, int32_t n_tensors, const char *tensor)
{
    struct gguf_writer w = GGUF_WRITER_INIT;
    struct base_buf bytes = {0};
    float data[8];
    for (int i = 0; i < 8; i++)
        data[i] = no;
    if (no == 0)
        gguf_writer_string(&w, "general.architecture", "llama");
    gguf_writer_split(&w, no, count, n_tensors);
    gguf_writer_tensor(&w, tensor, TYPE_F32, 1, (int64_t[]){8});
    gguf_writer_header(&w, &bytes);
    gguf_writer_data(&w, 0, data, &bytes);
    save(name, bytes.data, bytes.len);
    base_buf_finish(&bytes);
    gguf_writer_finish(&w);
}

static int open_in_folder(const char *name, const char *message)
{
    struct gguf *gguf = NULL;
    int err = model_gguf_open(in_folder(name), &gguf);
    if (err >= 0)
        walk(gguf);
    else
        assert_message(in_folder(name), message);
    model_gguf_close(gguf);
    return err;
}

static void maps_a_file(void **state)
{
    (void)state;
    struct base_buf bytes = everything();
    save("whole.gguf", bytes.data, bytes.len);
    assert_int_equal(open_in_folder("whole.gguf", ""), PR_OK);
    save("cut.gguf", bytes.data, bytes.len - 200);
    assert_int_equal(open_in_folder("cut.gguf", "incomplete"), PR_ERR_FORMAT);
    base_buf_finish(&bytes);
}

static void not_a_gguf_file(void **state)
{
    (void)state;
    assert_int_equal(open_in_folder("no-such.gguf", "No such file"), PR_ERR_IO);
    assert_int_equal(open_in_folder("", "is a folder"), PR_ERR_IO);
    assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
    assert_int_equal(open_in_folder("fifo", "is not an ordinary file"), PR_ERR_IO);
    static const struct {
        const char *content;
        size_t len;
        const char *message;
    } files[] = {
        {"", 0, "is empty; get the file again"},
        {"GG", 2, "not a GGUF file"},
        {"plain text", 10, "not a GGUF file"},
        {"version https://git-lfs.github.com/spec/v1\n", 43, "git lfs pull"},
        {"<!DOCTYPE html>", 15, "is a web page"},
        {"PK\x03\x04....", 8, "convert it to GGUF"},
        {"\x40\0\0\0\0\0\0\0{\"__metadata__\"", 20, "is a safetensors file"},
        {"tjgg....", 8, "convert the model again"},
        {"FUGG....", 8, "big-endian"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        save("other", files[i].content, files[i].len);
        assert_int_equal(open_in_folder("other", files[i].message), PR_ERR_FORMAT);
    }
}

static void reads_a_split_set(void **state)
{
    (void)state;
    save_part("set-00001-of-00003.gguf", 0, 3, 3, "t0");
    save_part("set-00002-of-00003.gguf", 1, 3, 3, "t1");
    save_part("set-00003-of-00003.gguf", 2, 3, 3, "t2");
    struct gguf *gguf;
    assert_int_equal(model_gguf_open(in_folder("set-00001-of-00003.gguf"), &gguf), PR_OK);
    assert_int_equal(model_gguf_n_files(gguf), 3);
    assert_int_equal(model_gguf_n_tensors(gguf), 3);
    assert_int_equal(model_gguf_tensor_bytes(gguf), 96);
    const struct gguf_tensor *t = model_gguf_tensor(gguf, "t2");
    assert_non_null(t);
    assert_int_equal(t->file, 2);
    assert_true(((const float *)t->data)[7] == 2);
    assert_string_equal(model_gguf_file(gguf, 2)->path, in_folder("set-00003-of-00003.gguf"));
    model_gguf_close(gguf);

    assert_int_equal(open_in_folder("set-00002-of-00003.gguf", "is part 2 of 3; give the first part"), PR_ERR_FORMAT);
}

static void refuses_a_wrong_split_set(void **state)
{
    (void)state;
    save_part("lost-00001-of-00003.gguf", 0, 3, 3, "t0");
    save_part("lost-00003-of-00003.gguf", 2, 3, 3, "t2");
    assert_int_equal(open_in_folder("lost-00001-of-00003.gguf", "part 2 of 3 is missing"), PR_ERR_IO);

    save_part("swap-00001-of-00003.gguf", 0, 3, 3, "t0");
    save_part("swap-00002-of-00003.gguf", 2, 3, 3, "t2");
    save_part("swap-00003-of-00003.gguf", 1, 3, 3, "t1");
    struct gguf *gguf = NULL;
    assert_int_equal(model_gguf_open(in_folder("swap-00001-of-00003.gguf"), &gguf), PR_ERR_FORMAT);
    assert_message(in_folder("swap-00002-of-00003.gguf"), "says that it is part 3 of 3, but its name says 2 of 3");

    save_part("mix-00001-of-00002.gguf", 0, 2, 2, "t0");
    save_part("mix-00002-of-00002.gguf", 1, 3, 3, "t1");
    assert_int_equal(model_gguf_open(in_folder("mix-00001-of-00002.gguf"), &gguf), PR_ERR_FORMAT);
    assert_message(in_folder("mix-00002-of-00002.gguf"), "says that it is part 2 of 3");

    save_part("twice-00001-of-00002.gguf", 0, 2, 2, "t0");
    save_part("twice-00002-of-00002.gguf", 1, 2, 2, "t0");
    assert_int_equal(model_gguf_open(in_folder("twice-00001-of-00002.gguf"), &gguf), PR_ERR_FORMAT);
    assert_non_null(strstr(pr_error_message(), "tensor \"t0\" is there twice"));

    save_part("count-00001-of-00002.gguf", 0, 2, 5, "t0");
    save_part("count-00002-of-00002.gguf", 1, 2, 5, "t1");
    assert_int_equal(open_in_folder("count-00001-of-00002.gguf", "hold 2 tensors instead of 5"), PR_ERR_FORMAT);

    save_part("renamed.gguf", 0, 2, 2, "t0");
    assert_int_equal(open_in_folder("renamed.gguf", "doesn't end in \"-00001-of-00002.gguf\""), PR_ERR_FORMAT);

    save_part("cut-00001-of-00002.gguf", 0, 2, 2, "t0");
    save("cut-00002-of-00002.gguf", "GGUF\3\0\0\0", 8);
    assert_int_equal(model_gguf_open(in_folder("cut-00001-of-00002.gguf"), &gguf), PR_ERR_FORMAT);
    assert_message(in_folder("cut-00002-of-00002.gguf"), "ends inside the header");
    assert_null(gguf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(asking_for_the_wrong_thing),
        cmocka_unit_test(describes_without_control_characters),
        cmocka_unit_test(other_alignments),
        cmocka_unit_test(truncated_at_every_byte),
        cmocka_unit_test(every_bit_flipped),
        cmocka_unit_test(every_byte_replaced),
        cmocka_unit_test(every_damage_is_named),
        cmocka_unit_test(unusual_but_right),
        cmocka_unit_test_setup_teardown(maps_a_file, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(not_a_gguf_file, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(reads_a_split_set, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(refuses_a_wrong_split_set, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
