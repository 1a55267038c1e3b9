/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Runs the program, whose path is RANDOM_MODEL, and reads what it wrote.
 */
#include "compute/ref/ref.h"
#include "model/gguf.h"
#include "model/hparams.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/folder.h"

#define SMALL "--layers 4 --dim 256 --heads 4 --kv 2 --ffn 512 --vocab 300 "

static int generate(const char *name, const char *options)
{
    char command[1024];
    snprintf(command, sizeof command, RANDOM_MODEL " %s/%s %s > /dev/null 2>&1", test_folder, name, options);
    return system(command);
}

static struct gguf *open_model(const char *name)
{
    char path[256];
    struct gguf *gguf = NULL;
    snprintf(path, sizeof path, "%s/%s", test_folder, name);
    if (model_gguf_open(path, &gguf) < 0)
        fail_msg("%s", pr_error_message());
    return gguf;
}

static void every_architecture(void **state)
{
    (void)state;
    static const char *const archs[] = {"llama", "qwen2", "qwen3", "qwen2vl", "qwen3vl"};
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++) {
        char options[256];
        snprintf(options, sizeof options, SMALL "--arch %s", archs[i]);
        assert_int_equal(generate("arch.gguf", options), 0);
        struct gguf *gguf = open_model("arch.gguf");
        struct hparams h;
        assert_int_equal(model_hparams_read(gguf, &h), PR_OK);
        assert_string_equal(h.arch, archs[i]);
        assert_int_equal(h.n_layer, 4);
        assert_int_equal(h.d_model, 256);
        assert_int_equal(h.d_head, 64);
        assert_int_equal(h.n_vocab, 300);
        assert_int_equal(h.n_deepstack, strcmp(archs[i], "qwen3vl") == 0 ? 3 : 0);
        assert_int_equal(h.rope.sections[0] + h.rope.sections[1] + h.rope.sections[2], strstr(archs[i], "vl") ? 32 : 0);
        assert_int_equal(model_gguf_tensor(gguf, "blk.3.attn_q.bias") != NULL, strncmp(archs[i], "qwen2", 5) == 0);
        assert_int_equal(model_gguf_tensor(gguf, "blk.3.attn_k_norm.weight") != NULL,
                         strncmp(archs[i], "qwen3", 5) == 0);
        assert_null(model_gguf_tensor(gguf, "output.weight"));
        model_gguf_close(gguf);
    }
}

/* Row r of a matrix as floats. */
static void load(const struct gguf_tensor *t, int64_t r, float *out)
{
    ref_dequantize(t->type, (const uint8_t *)t->data + (size_t)r * compute_row_bytes(t->type, t->ne[0]), out, t->ne[0]);
}

static void every_type(void **state)
{
    (void)state;
    assert_int_equal(generate("f32.gguf", SMALL "--type f32 --seed 5"), 0);
    struct gguf *exact = open_model("f32.gguf");
    for (int type = 0; type < TYPE_LIMIT; type++) {
        if (!compute_type(type) || !compute_type(type)->weight)
            continue;
        char options[256];
        snprintf(options, sizeof options, SMALL "--type %s --embedding %s --seed 5", compute_type(type)->name,
                 compute_type(type)->name);
        assert_int_equal(generate("type.gguf", options), 0);
        strcat(options, " --dequantised");
        assert_int_equal(generate("dequantised.gguf", options), 0);
        struct gguf *gguf = open_model("type.gguf"), *dequantised = open_model("dequantised.gguf");
        for (size_t i = 0; i < model_gguf_n_tensors(gguf); i++) {
            const struct gguf_tensor *a = model_gguf_tensor_at(gguf, i), *b = model_gguf_tensor(dequantised, a->name);
            const struct gguf_tensor *c = model_gguf_tensor(exact, a->name);
            assert_non_null(b);
            assert_int_equal(a->type, a->n_dims == 2 ? type : TYPE_F32);
            assert_int_equal(b->type, TYPE_F32);
            float x[512], y[512], z[512];
            double error = 0, sum = 0;
            for (int64_t r = 0; r < a->ne[1]; r++) {
                load(a, r, x);
                load(b, r, y);
                load(c, r, z);
                assert_memory_equal(x, y, (size_t)a->ne[0] * sizeof *x);
                for (int64_t k = 0; k < a->ne[0]; k++) {
                    error += ((double)x[k] - z[k]) * ((double)x[k] - z[k]);
                    sum += (double)z[k] * z[k];
                }
            }
            /* The weights are what they should be: of standard deviation 1/sqrt(columns), and near the exact ones. */
            double deviation = sqrt(sum / (double)(a->ne[0] * a->ne[1]));
            if (a->n_dims == 2)
                assert_true(fabs(deviation * sqrt((double)a->ne[0]) - 1) < 0.02);
            assert_true(sqrt(error / sum) < 0.4);
        }
        model_gguf_close(gguf);
        model_gguf_close(dequantised);
    }
    model_gguf_close(exact);
}

static void the_mix_of_q4_k_m(void **state)
{
    (void)state;
    assert_int_equal(
        generate("mix.gguf", "--layers 16 --dim 256 --heads 4 --kv 2 --ffn 512 --vocab 300 --mix q4_k_m --tied 0"), 0);
    struct gguf *gguf = open_model("mix.gguf");
    int better = 0;
    for (int i = 0; i < 16; i++) {
        char name[64];
        snprintf(name, sizeof name, "blk.%d.attn_q.weight", i);
        assert_int_equal(model_gguf_tensor(gguf, name)->type, TYPE_Q4_K);
        snprintf(name, sizeof name, "blk.%d.attn_v.weight", i);
        enum type v = model_gguf_tensor(gguf, name)->type;
        snprintf(name, sizeof name, "blk.%d.ffn_down.weight", i);
        assert_int_equal(model_gguf_tensor(gguf, name)->type, v);
        better += v == TYPE_Q6_K;
    }
    assert_int_equal(better, 8);
    assert_int_equal(model_gguf_tensor(gguf, "output.weight")->type, TYPE_Q6_K);
    assert_int_equal(model_gguf_tensor(gguf, "token_embd.weight")->type, TYPE_Q4_K);
    model_gguf_close(gguf);
}

static void in_parts(void **state)
{
    (void)state;
    assert_int_equal(generate("parts.gguf", SMALL "--split 3 --seed 9"), 0);
    assert_int_equal(generate("whole.gguf", SMALL "--seed 9"), 0);
    struct gguf *parts = open_model("parts-00001-of-00003.gguf"), *whole = open_model("whole.gguf");
    assert_int_equal(model_gguf_n_files(parts), 3);
    assert_int_equal(model_gguf_n_tensors(parts), model_gguf_n_tensors(whole));
    for (size_t i = 0; i < model_gguf_n_tensors(whole); i++) {
        const struct gguf_tensor *a = model_gguf_tensor_at(whole, i), *b = model_gguf_tensor(parts, a->name);
        assert_non_null(b);
        assert_int_equal(a->size, b->size);
        assert_memory_equal(a->data, b->data, a->size);
    }
    model_gguf_close(parts);
    model_gguf_close(whole);
}

static void tokens_differ(void **state)
{
    (void)state;
    for (int words = 0; words < 2; words++) {
        assert_int_equal(
            generate("tokens.gguf", words ? "--layers 1 --dim 32 --heads 1 --kv 1 --ffn 32 --vocab 2000 --words --chat"
                                          : "--layers 1 --dim 32 --heads 1 --kv 1 --ffn 32 --vocab 2000"),
            0);
        struct gguf *gguf = open_model("tokens.gguf");
        struct gguf_array tokens;
        struct gguf_string template;
        assert_int_equal(model_gguf_array(gguf, "tokenizer.ggml.tokens", &tokens), PR_OK);
        assert_int_equal(tokens.n, 2000);
        for (size_t i = 0; i < tokens.n; i++)
            for (size_t j = 0; j < i; j++) {
                struct gguf_string a = model_gguf_array_string(&tokens, i), b = model_gguf_array_string(&tokens, j);
                assert_false(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
            }
        assert_int_equal(model_gguf_string(gguf, "tokenizer.chat_template", &template),
                         words ? PR_OK : PR_ERR_NOT_FOUND);
        model_gguf_close(gguf);
    }
}

static void refuses_nonsense(void **state)
{
    (void)state;
    static const char *const options[] = {"--type q9_9",      "--type i32",  "--type q4_k",  "--heads 7",
                                          "--kv 2 --heads 3", "--vocab 100", "--arch gpt2",  "--mix q4_k_m",
                                          "--layers x",       "--nonsense",  "another.gguf", "--head-dim 9"};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (generate("nonsense.gguf", options[i]) == 0)
            fail_msg("%s was accepted", options[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_architecture), cmocka_unit_test(every_type),    cmocka_unit_test(the_mix_of_q4_k_m),
        cmocka_unit_test(in_parts),           cmocka_unit_test(tokens_differ), cmocka_unit_test(refuses_nonsense),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
