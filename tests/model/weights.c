/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/weights.h"

#include "tests/support/gguf_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NAME "model.gguf"

static struct device *host;

static int open_device(void **state)
{
    (void)state;
    return compute_device_open("ref", NULL, &host);
}

static int close_device(void **state)
{
    (void)state;
    compute_device_close(host);
    return 0;
}

/* Three tensors: "fused" f32 [9, 3] counting up from 0, "ids" i32 [1, 4], "experts" f16 [2 * 4, 16]. */
struct sample {
    struct base_buf file;
    void *memory; /* the file, aligned as a map would be */
    struct gguf *gguf;
    struct weights *weights;
};

static void sample_open(struct sample *s, uint32_t alignment)
{
    struct gguf_writer w = GGUF_WRITER_INIT;
    float fused[27];
    for (int i = 0; i < 27; i++)
        fused[i] = (float)i;
    *s = (struct sample){0};
    gguf_writer_string(&w, "general.architecture", "llama");
    gguf_writer_alignment(&w, alignment);
    gguf_writer_tensor(&w, "fused", TYPE_F32, 2, (int64_t[]){3, 9});
    gguf_writer_tensor(&w, "ids", TYPE_I32, 1, (int64_t[]){4});
    gguf_writer_tensor(&w, "experts", TYPE_F16, 3, (int64_t[]){16, 4, 2});
    gguf_writer_tensor(&w, "convolution", TYPE_F16, 4, (int64_t[]){4, 4, 3, 5});
    gguf_writer_tensor(&w, "quantised", TYPE_Q8_0, 4, (int64_t[]){32, 2, 1, 2});
    gguf_writer_header(&w, &s->file);
    gguf_writer_data(&w, 0, fused, &s->file);
    gguf_writer_data(&w, 1, NULL, &s->file);
    gguf_writer_data(&w, 2, NULL, &s->file);
    gguf_writer_data(&w, 3, NULL, &s->file);
    gguf_writer_data(&w, 4, NULL, &s->file);
    gguf_writer_finish(&w);
    s->memory = aligned_alloc(4096, base_align(s->file.len, 4096));
    memcpy(s->memory, s->file.data, s->file.len);
    assert_int_equal(model_gguf_open_memory(s->memory, s->file.len, NAME, &s->gguf), PR_OK);
    assert_int_equal(model_weights_create(s->gguf, host, &s->weights), PR_OK);
}

static void sample_close(struct sample *s)
{
    model_weights_destroy(s->weights);
    model_gguf_close(s->gguf);
    free(s->memory);
    base_buf_finish(&s->file);
    assert_int_equal(host->allocated, 0); /* nothing left behind */
}

static const float *floats(const struct tensor *t)
{
    return (const float *)((const char *)t->buffer->host + t->offset);
}

static void assert_message(const char *part)
{
    if (strncmp(pr_error_message(), NAME ": ", strlen(NAME) + 2) != 0 || !strstr(pr_error_message(), part))
        fail_msg("\"%s\" doesn't name the file and say \"%s\"", pr_error_message(), part);
}

static void reads_in_place(void **state)
{
    (void)state;
    struct sample s;
    struct tensor *t, *again;
    sample_open(&s, 32);
    assert_int_equal(model_weight(s.weights, "fused", 9, 3, 0, &t), PR_OK);
    assert_int_equal(t->role, TENSOR_WEIGHT);
    assert_int_equal(t->type, TYPE_F32);
    assert_int_equal(t->rows, 9);
    assert_int_equal(t->cols, 3);
    assert_string_equal(t->name, "fused");
    assert_ptr_equal(floats(t), model_gguf_tensor(s.gguf, "fused")->data);
    assert_true(t->buffer->borrowed);
    assert_int_equal(t->offset % 32, 0);
    assert_true(floats(t)[26] == 26);
    assert_int_equal(model_weight(s.weights, "fused", 9, 3, WEIGHT_OPTIONAL, &again), PR_OK);
    assert_ptr_equal(again, t);
    assert_int_equal(model_weight(s.weights, "experts", 8, 16, 0, &t), PR_OK); /* more dimensions are more rows */
    assert_int_equal(host->allocated, 0);
    assert_string_equal(model_weights_unread(s.weights, "")->name, "ids");
    assert_null(model_weights_unread(s.weights, "fused"));
    assert_null(model_weights_unread(s.weights, "nothing"));
    sample_close(&s);
}

static void absent(void **state)
{
    (void)state;
    struct sample s;
    struct tensor *t = (struct tensor *)&s;
    sample_open(&s, 32);
    assert_int_equal(model_weight(s.weights, "blk.0.attn_q.bias", 1, 3, WEIGHT_OPTIONAL, &t), PR_OK);
    assert_null(t);
    assert_int_equal(model_weight(s.weights, "blk.0.attn_q.weight", 1, 3, 0, &t), PR_ERR_NOT_FOUND);
    assert_message(
        "tensor \"blk.0.attn_q.weight\" is missing; the file is incomplete or was converted wrongly, get it again");
    sample_close(&s);
}

static void of_another_shape_or_type(void **state)
{
    (void)state;
    struct sample s;
    struct tensor *t;
    sample_open(&s, 32);
    assert_int_equal(model_weight(s.weights, "fused", 3, 9, 0, &t), PR_ERR_FORMAT);
    assert_message("tensor \"fused\" is [9, 3] but the model's other figures ask for [3, 9]");
    assert_int_equal(model_weight(s.weights, "fused", 8, 3, WEIGHT_OPTIONAL, &t), PR_ERR_FORMAT);
    assert_int_equal(model_weight(s.weights, "experts", 4, 16, 0, &t), PR_ERR_FORMAT);
    assert_message("[8, 16]");
    assert_int_equal(model_weight(s.weights, "ids", 1, 4, 0, &t), PR_ERR_UNSUPPORTED);
    assert_message("tensor \"ids\" has type I32");
    assert_int_equal(model_weight_rows(s.weights, "fused", 9, 8, 2, 3, 0, &t), PR_ERR_INVALID);
    assert_int_equal(model_weight_rows(s.weights, "fused", 9, -1, 2, 3, 0, &t), PR_ERR_INVALID);
    assert_int_equal(model_weight_rows(s.weights, "fused", 9, 0, 0, 3, 0, &t), PR_ERR_INVALID);
    assert_null(t);
    sample_close(&s);
}

/* Rows of 12 bytes: row 8 begins at a multiple of 32, row 5 doesn't and is copied. */
static void rows_of_a_fused_tensor(void **state)
{
    (void)state;
    struct sample s;
    struct tensor *q, *v, *again;
    sample_open(&s, 32);
    assert_int_equal(model_weight_rows(s.weights, "fused", 9, 8, 1, 3, 0, &v), PR_OK);
    assert_true(floats(v)[0] == 24 && floats(v)[2] == 26);
    assert_true(v->buffer->borrowed);
    assert_int_equal(model_weight_rows(s.weights, "fused", 9, 5, 2, 3, 0, &q), PR_OK);
    assert_int_equal(q->rows, 2);
    assert_true(floats(q)[0] == 15 && floats(q)[5] == 20);
    assert_int_equal(q->offset % 32, 0);
    assert_false(q->buffer->borrowed);
    assert_int_equal(model_weight_rows(s.weights, "fused", 9, 5, 2, 3, 0, &again), PR_OK);
    assert_ptr_equal(again, q);
    assert_int_equal(model_weight_rows(s.weights, "fused", 9, 5, 3, 3, 0, &again), PR_OK);
    assert_ptr_not_equal(again, q);
    sample_close(&s);
}

static void files_aligned_to_less(void **state)
{
    (void)state;
    struct sample s;
    struct tensor *t;
    sample_open(&s, 8);
    assert_int_equal(model_weight(s.weights, "fused", 9, 3, 0, &t), PR_OK);
    assert_int_equal(((uintptr_t)t->buffer->host + t->offset) % 32, 0);
    for (int i = 0; i < 27; i++)
        assert_true(floats(t)[i] == (float)i);
    sample_close(&s);
}

/* A convolution is a matrix of its patches; both ways to read it, each its own tensor. */
static void test_convolution(void **state)
{
    (void)state;
    struct sample s;
    struct tensor *flat, *plain, *again;
    sample_open(&s, 32);
    assert_int_equal(model_weight(s.weights, "convolution", 5, 48, 0, &flat), PR_OK);
    assert_true(flat->rows == 5 && flat->cols == 48);
    assert_int_equal(model_weight(s.weights, "convolution", 60, 4, 0, &plain), PR_OK);
    assert_true(plain->rows == 60 && plain->cols == 4);
    assert_int_equal(model_weight(s.weights, "convolution", 5, 48, 0, &again), PR_OK);
    assert_ptr_equal(flat, again);
    assert_int_equal(model_weight(s.weights, "convolution", 15, 16, 0, &flat), PR_ERR_FORMAT);
    assert_int_equal(model_weight(s.weights, "quantised", 2, 64, 0, &flat), PR_ERR_FORMAT);
    sample_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolution),
        cmocka_unit_test(reads_in_place),
        cmocka_unit_test(absent),
        cmocka_unit_test(of_another_shape_or_type),
        cmocka_unit_test(rows_of_a_fused_tensor),
        cmocka_unit_test(files_aligned_to_less),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
