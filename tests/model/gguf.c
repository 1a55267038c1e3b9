/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/gguf.h"

#include "tests/support/folder.h"
#include "tests/support/gguf_sample.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- right files -------------------------------------------------------------------------------------------------- */

static void reads_what_was_written(void **state)
{
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        struct gguf_writer w = GGUF_WRITER_INIT;
        w.version = version;
        gguf_sample_keys(&w);
        struct base_buf bytes = gguf_sample_file(&w);
        struct gguf *gguf;
        assert_int_equal(model_gguf_open_memory(bytes.data, bytes.len, GGUF_SAMPLE_NAME, &gguf), PR_OK);
        assert_string_equal(model_gguf_path(gguf), GGUF_SAMPLE_NAME);
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
        assert_int_equal(model_gguf_tensor_bytes(gguf), sizeof gguf_sample_a + sizeof gguf_sample_b);
        const struct gguf_tensor *t = model_gguf_tensor(gguf, "b.weight");
        assert_non_null(t);
        assert_int_equal(t->type, TYPE_Q4_0);
        assert_int_equal(t->n_dims, 3);
        assert_int_equal(t->ne[0], 32);
        assert_int_equal(t->ne[2], 2);
        assert_int_equal(t->ne[3], 1);
        assert_int_equal(t->size, 36);
        assert_int_equal(t->index, 1);
        assert_memory_equal(t->data, gguf_sample_b, 36);
        assert_memory_equal(model_gguf_tensor_at(gguf, 0)->data, gguf_sample_a, sizeof gguf_sample_a);
        assert_null(model_gguf_tensor(gguf, "c"));
        assert_null(model_gguf_tensor(gguf, "a-name-that-is-longer-than-any-name-in-a-file-of-this-kind-could-be"));
        gguf_sample_walk(gguf);
        model_gguf_close(gguf);
        base_buf_finish(&bytes);
    }
    model_gguf_close(NULL);
}

static void asking_for_the_wrong_thing(void **state)
{
    (void)state;
    struct base_buf bytes = gguf_sample();
    struct gguf *gguf;
    assert_int_equal(model_gguf_open_memory(bytes.data, bytes.len, GGUF_SAMPLE_NAME, &gguf), PR_OK);
    int64_t n = 7;
    float f = 7;
    bool b = true;
    struct gguf_string s;
    struct gguf_array a;
    assert_int_equal(model_gguf_i64(gguf, "no.such", 0, 1, &n), PR_ERR_NOT_FOUND);
    assert_int_equal(model_gguf_i64(gguf, "f.32", 0, 1, &n), PR_ERR_FORMAT);
    gguf_sample_message(GGUF_SAMPLE_NAME, "\"f.32\" is of kind f32 instead of an integer");
    assert_int_equal(model_gguf_i64(gguf, "b.true", 0, 1, &n), PR_ERR_FORMAT);
    assert_int_equal(model_gguf_i64(gguf, "n.u8", 0, 199, &n), PR_ERR_FORMAT);
    gguf_sample_message(GGUF_SAMPLE_NAME, "\"n.u8\" is 200, outside 0 to 199");
    assert_int_equal(model_gguf_i64(gguf, "n.i8", -99, 199, &n), PR_ERR_FORMAT);
    assert_int_equal(n, 7);
    assert_int_equal(model_gguf_f32(gguf, "n.u8", &f), PR_ERR_FORMAT);
    assert_int_equal(model_gguf_f32(gguf, "f.nan", &f), PR_ERR_FORMAT);
    gguf_sample_message(GGUF_SAMPLE_NAME, "\"f.nan\" is not a finite number");
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
    struct base_buf bytes = gguf_sample(), text = {0};
    struct gguf *gguf;
    assert_int_equal(model_gguf_open_memory(bytes.data, bytes.len, GGUF_SAMPLE_NAME, &gguf), PR_OK);
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
        gguf_sample_keys(&w);
        struct base_buf bytes = gguf_sample_file(&w);
        struct gguf *gguf;
        assert_int_equal(model_gguf_open_memory(bytes.data, bytes.len, GGUF_SAMPLE_NAME, &gguf), PR_OK);
        const struct gguf_tensor *t = model_gguf_tensor(gguf, "b.weight");
        assert_int_equal(((const char *)t->data - bytes.data) % alignment, 0);
        assert_memory_equal(t->data, gguf_sample_b, 36);
        model_gguf_close(gguf);
        base_buf_finish(&bytes);
    }
}

/* ---- files --------------------------------------------------------------------------------------------------------- */

static void save(const char *name, const void *data, size_t len)
{
    FILE *file = fopen(test_file(name), "wb");
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
    int err = model_gguf_open(test_file(name), &gguf);
    if (err >= 0)
        gguf_sample_walk(gguf);
    else
        gguf_sample_message(test_file(name), message);
    model_gguf_close(gguf);
    return err;
}

static void maps_a_file(void **state)
{
    (void)state;
    struct base_buf bytes = gguf_sample();
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
    assert_int_equal(mkfifo(test_file("fifo"), 0600), 0);
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
    assert_int_equal(model_gguf_open(test_file("set-00001-of-00003.gguf"), &gguf), PR_OK);
    assert_int_equal(model_gguf_n_files(gguf), 3);
    assert_int_equal(model_gguf_n_tensors(gguf), 3);
    assert_int_equal(model_gguf_tensor_bytes(gguf), 96);
    const struct gguf_tensor *t = model_gguf_tensor(gguf, "t2");
    assert_non_null(t);
    assert_int_equal(t->file, 2);
    assert_true(((const float *)t->data)[7] == 2);
    assert_string_equal(model_gguf_file(gguf, 2)->path, test_file("set-00003-of-00003.gguf"));
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
    assert_int_equal(model_gguf_open(test_file("swap-00001-of-00003.gguf"), &gguf), PR_ERR_FORMAT);
    gguf_sample_message(test_file("swap-00002-of-00003.gguf"), "says that it is part 3 of 3, but its name says 2 of 3");

    save_part("mix-00001-of-00002.gguf", 0, 2, 2, "t0");
    save_part("mix-00002-of-00002.gguf", 1, 3, 3, "t1");
    assert_int_equal(model_gguf_open(test_file("mix-00001-of-00002.gguf"), &gguf), PR_ERR_FORMAT);
    gguf_sample_message(test_file("mix-00002-of-00002.gguf"), "says that it is part 2 of 3");

    save_part("twice-00001-of-00002.gguf", 0, 2, 2, "t0");
    save_part("twice-00002-of-00002.gguf", 1, 2, 2, "t0");
    assert_int_equal(model_gguf_open(test_file("twice-00001-of-00002.gguf"), &gguf), PR_ERR_FORMAT);
    assert_non_null(strstr(pr_error_message(), "tensor \"t0\" is there twice"));

    save_part("count-00001-of-00002.gguf", 0, 2, 5, "t0");
    save_part("count-00002-of-00002.gguf", 1, 2, 5, "t1");
    assert_int_equal(open_in_folder("count-00001-of-00002.gguf", "hold 2 tensors instead of 5"), PR_ERR_FORMAT);

    save_part("renamed.gguf", 0, 2, 2, "t0");
    assert_int_equal(open_in_folder("renamed.gguf", "doesn't end in \"-00001-of-00002.gguf\""), PR_ERR_FORMAT);

    save_part("cut-00001-of-00002.gguf", 0, 2, 2, "t0");
    save("cut-00002-of-00002.gguf", "GGUF\3\0\0\0", 8);
    assert_int_equal(model_gguf_open(test_file("cut-00001-of-00002.gguf"), &gguf), PR_ERR_FORMAT);
    gguf_sample_message(test_file("cut-00002-of-00002.gguf"), "ends inside the header");
    assert_null(gguf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(asking_for_the_wrong_thing),
        cmocka_unit_test(describes_without_control_characters),
        cmocka_unit_test(other_alignments),
        cmocka_unit_test_setup_teardown(maps_a_file, test_folder_make, test_folder_remove),
        cmocka_unit_test_setup_teardown(not_a_gguf_file, test_folder_make, test_folder_remove),
        cmocka_unit_test_setup_teardown(reads_a_split_set, test_folder_make, test_folder_remove),
        cmocka_unit_test_setup_teardown(refuses_a_wrong_split_set, test_folder_make, test_folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
