/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/hparams.h"

#include "tests/support/gguf_writer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define NAME "model.gguf"

/* A model of 2 layers, 64 wide, whose keys can be left out or replaced. */
static const struct number {
    const char *key;
    int64_t value;
} usual[] = {
    {"block_count", 2},       {"embedding_length", 64},    {"feed_forward_length", 96},
    {"context_length", 2048}, {"attention.head_count", 4}, {"attention.head_count_kv", 2},
};

struct change {
    const char *key; /* replaces the usual key of that name, or is a new one */
    enum {
        LEAVE_OUT,
        INT,
        FLOAT,
        TEXT,
        INTS /* [4] or fewer, ended by -99 */
    } kind;
    double number;
    const char *text;
    int32_t ints[5];
};

static int read_changed(const char *arch, const struct change *changes, size_t n, struct hparams *out)
{
    struct gguf_writer w = GGUF_WRITER_INIT;
    struct base_buf bytes = {0};
    char key[128];
    gguf_writer_string(&w, "general.architecture", arch);
    gguf_writer_string(&w, "general.name", "a \033name");
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        bool changed = false;
        for (size_t j = 0; j < n; j++)
            changed |= strcmp(changes[j].key, usual[i].key) == 0;
        snprintf(key, sizeof key, "%s.%s", arch, usual[i].key);
        if (!changed)
            gguf_writer_u32(&w, key, (uint32_t)usual[i].value);
    }
    bool eps = true;
    for (size_t j = 0; j < n; j++) {
        const struct change *c = &changes[j];
        snprintf(key, sizeof key, "%s.%s", arch, c->key);
        eps &= strcmp(c->key, "attention.layer_norm_rms_epsilon") != 0;
        size_t n_ints = 0;
        while (n_ints < 5 && c->ints[n_ints] != -99)
            n_ints++;
        if (c->kind == INT)
            gguf_writer_key(&w, key, GGUF_I64, &(int64_t){(int64_t)c->number}, 8);
        else if (c->kind == FLOAT)
            gguf_writer_f32(&w, key, (float)c->number);
        else if (c->kind == TEXT)
            gguf_writer_string(&w, key, c->text);
        else if (c->kind == INTS)
            gguf_writer_i32s(&w, key, c->ints, n_ints);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    if (eps)
        gguf_writer_f32(&w, key, 1e-5f);
    gguf_writer_tensor(&w, "token_embd.weight", TYPE_F16, 2, (int64_t[]){64, 288});
    gguf_writer_header(&w, &bytes);
    gguf_writer_data(&w, 0, NULL, &bytes);
    struct gguf *gguf;
    assert_int_equal(model_gguf_open_memory(bytes.data, bytes.len, NAME, &gguf), PR_OK);
    memset(out, 0xee, sizeof *out);
    int err = model_hparams_read(gguf, out);
    model_gguf_close(gguf);
    gguf_writer_finish(&w);
    base_buf_finish(&bytes);
    return err;
}
#define READ(arch, out, ...)                                                                                           \
    read_changed(arch, (struct change[]){__VA_ARGS__}, sizeof((struct change[]){__VA_ARGS__}) / sizeof(struct change), \
                 out)
#define NOTHING                                                                                                        \
    {                                                                                                                  \
        .key = "", .kind = LEAVE_OUT                                                                                   \
    }

static void defaults(void **state)
{
    (void)state;
    struct hparams h;
    assert_int_equal(READ("llama", &h, NOTHING), PR_OK);
    assert_string_equal(h.arch, "llama");
    assert_string_equal(h.name, "a ?name");
    assert_int_equal(h.n_layer, 2);
    assert_int_equal(h.d_model, 64);
    assert_int_equal(h.d_ff, 96);
    assert_int_equal(h.n_head, 4);
    assert_int_equal(h.n_kv, 2);
    assert_int_equal(h.d_head, 16);
    assert_int_equal(h.d_value, 16);
    assert_int_equal(h.n_vocab, 288);
    assert_int_equal(h.n_ctx_train, 2048);
    assert_int_equal(h.n_deepstack, 0);
    assert_int_equal(h.n_expert, 0);
    assert_true(h.norm_eps == 1e-5f);
    assert_true(h.attention_scale == 0.25f);
    assert_true(h.attention_softcap == 0 && h.output_softcap == 0);
    assert_int_equal(h.sliding_window, 0);
    assert_int_equal(h.rope.d_head, 16);
    assert_int_equal(h.rope.n_rot, 16);
    assert_true(h.rope.base == 10000);
    assert_true(h.rope.freq_scale == 1 && h.rope.yarn_ext == 0 && h.rope.yarn_attn == 1);
    assert_int_equal(h.rope.sections[0], 0);
    assert_int_equal(READ("llama", &h, {.key = "attention.head_count_kv"}), PR_OK);
    assert_int_equal(h.n_kv, 4); /* as many as heads */
}

static void head_widths_of_their_own(void **state)
{
    (void)state;
    struct hparams h;
    assert_int_equal(READ("qwen3", &h, {"attention.key_length", INT, 32}, {"attention.value_length", INT, 24}), PR_OK);
    assert_int_equal(h.d_head, 32);
    assert_int_equal(h.d_value, 24);
    assert_int_equal(h.rope.n_rot, 32);
    assert_int_equal(READ("qwen3", &h, {"rope.dimension_count", INT, 8}, {"attention.scale", FLOAT, 0.5}), PR_OK);
    assert_int_equal(h.rope.n_rot, 8);
    assert_true(h.attention_scale == 0.5f);
}

static void one_number_for_every_layer(void **state)
{
    (void)state;
    struct hparams h;
    assert_int_equal(READ("llama", &h, {"attention.head_count", INTS, .ints = {8, 8, -99}},
                          {"feed_forward_length", INTS, .ints = {48, 48, -99}}),
                     PR_OK);
    assert_int_equal(h.n_head, 8);
    assert_int_equal(h.d_ff, 48);
    assert_int_equal(READ("llama", &h, {"attention.head_count_kv", INTS, .ints = {1, 2, -99}}), PR_ERR_UNSUPPORTED);
    assert_non_null(
        strstr(pr_error_message(), "model.gguf: key \"llama.attention.head_count_kv\" differs from layer to layer"));
}

static void rope_scaling(void **state)
{
    (void)state;
    struct hparams h;
    assert_int_equal(
        READ("llama", &h, {"rope.scaling.type", TEXT, .text = "linear"}, {"rope.scaling.factor", FLOAT, 4}), PR_OK);
    assert_true(h.rope.freq_scale == 0.25f && h.rope.yarn_ext == 0 && h.rope.yarn_attn == 1);
    assert_int_equal(READ("llama", &h, {"rope.scaling.factor", FLOAT, 4}), PR_OK); /* a factor alone is linear */
    assert_true(h.rope.freq_scale == 0.25f);
    assert_int_equal(READ("llama", &h, {"rope.scale_linear", FLOAT, 8}), PR_OK);
    assert_true(h.rope.freq_scale == 0.125f);
    assert_int_equal(READ("llama", &h, {"rope.scaling.type", TEXT, .text = "none"}, {"rope.scaling.factor", FLOAT, 4}),
                     PR_OK);
    assert_true(h.rope.freq_scale == 1);
    assert_int_equal(READ("llama", &h, {"rope.scaling.type", TEXT, .text = "yarn"}, {"rope.scaling.factor", FLOAT, 4},
                          {"rope.scaling.original_context_length", INT, 512}),
                     PR_OK);
    assert_true(h.rope.freq_scale == 0.25f && h.rope.yarn_ext == 1);
    assert_true(fabsf(h.rope.yarn_attn - 1.1386294f) < 1e-6f); /* 1 + 0.1 ln 4 */
    assert_true(h.rope.yarn_beta_fast == 32 && h.rope.yarn_beta_slow == 1);
    assert_int_equal(h.rope.yarn_original, 512);
    assert_int_equal(READ("llama", &h, {"rope.scaling.type", TEXT, .text = "longrope"}), PR_ERR_UNSUPPORTED);
    assert_non_null(strstr(pr_error_message(), "model.gguf: key \"llama.rope.scaling.type\" is \"longrope\""));
}

static void sections_and_deepstack(void **state)
{
    (void)state;
    struct hparams h;
    assert_int_equal(READ("qwen3vl", &h, {"rope.dimension_sections", INTS, .ints = {4, 2, 2, 0, -99}},
                          {"n_deepstack_layers", INT, 2}),
                     PR_OK);
    assert_int_equal(h.rope.sections[0], 4);
    assert_int_equal(h.rope.sections[2], 2);
    assert_int_equal(h.n_deepstack, 2);
    assert_int_equal(READ("qwen2vl", &h, {"rope.dimension_sections", INTS, .ints = {4, 2, 2, -99}}), PR_OK);
}

/* Each row is refused, with its key in the message. */
static void out_of_range(void **state)
{
    (void)state;
    static const struct change rows[] = {
        {"block_count"},
        {"block_count", INT, 0},
        {"block_count", INT, 513},
        {"block_count", TEXT, .text = "2"},
        {"block_count", INTS, .ints = {-99}},
        {"embedding_length"},
        {"embedding_length", INT, -64},
        {"embedding_length", INT, 1e15},
        {"feed_forward_length"},
        {"feed_forward_length", INT, 0},
        {"context_length"},
        {"context_length", INT, 0},
        {"attention.head_count"},
        {"attention.head_count", INT, 0},
        {"attention.head_count", INT, 4096},
        {"attention.head_count", FLOAT, 4},
        {"attention.head_count_kv", INT, 0},
        {"attention.head_count_kv", INT, 3},
        {"attention.head_count_kv", INT, 8},
        {"attention.key_length", INT, 0},
        {"attention.key_length", INT, 100000},
        {"attention.value_length", INT, -1},
        {"attention.scale", FLOAT, 0},
        {"attention.scale", FLOAT, NAN},
        {"attention.layer_norm_rms_epsilon"},
        {"attention.layer_norm_rms_epsilon", FLOAT, 0},
        {"attention.layer_norm_rms_epsilon", FLOAT, -1},
        {"attention.layer_norm_rms_epsilon", FLOAT, INFINITY},
        {"attention.layer_norm_rms_epsilon", INT, 1},
        {"attention.sliding_window", INT, -1},
        {"attn_logit_softcapping", FLOAT, -30},
        {"final_logit_softcapping", FLOAT, NAN},
        {"rope.dimension_count", INT, 7},
        {"rope.dimension_count", INT, 0},
        {"rope.dimension_count", INT, 18},
        {"rope.freq_base", FLOAT, 0},
        {"rope.freq_base", FLOAT, -10000},
        {"rope.scaling.factor", FLOAT, 0},
        {"rope.scaling.factor", FLOAT, -4},
        {"rope.scaling.original_context_length", INT, 0},
        {"rope.scaling.type", INT, 1},
        {"rope.dimension_sections", INTS, .ints = {4, 4, -99}},
        {"rope.dimension_sections", INTS, .ints = {4, 2, 2, 0, 0}},
        {"rope.dimension_sections", INTS, .ints = {-4, 8, 4, 0, -99}},
        {"rope.dimension_sections", INTS, .ints = {4, 2, 1, 0, -99}},
        {"rope.dimension_sections", INT, 8},
        {"n_deepstack_layers", INT, 17},
        {"n_deepstack_layers", INT, 3},
        {"expert_count", INT, 513},
        {"expert_used_count", INT, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct hparams h;
        char key[160];
        int err = read_changed("llama", &rows[i], 1, &h);
        snprintf(key, sizeof key, "%s: key \"llama.%s\"", NAME, rows[i].key);
        if (err != PR_ERR_FORMAT || strncmp(pr_error_message(), key, strlen(key)) != 0 ||
            !strstr(pr_error_message(), "get it again"))
            fail_msg("%s (row %zu): %s \"%s\"", rows[i].key, i, pr_error_name(err), pr_error_message());
    }
}

static void architecture_names(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "Llama", "ll ama", "a-name-that-is-much-too-long-to-be-one"};
    struct hparams h;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(READ(bad[i], &h, NOTHING), PR_ERR_FORMAT);
    assert_int_equal(READ("clip", &h, NOTHING), PR_ERR_UNSUPPORTED);
    assert_non_null(strstr(pr_error_message(), "model.gguf: is the vision part of a model"));
    assert_int_equal(READ("an-unknown_architecture-2", &h, NOTHING), PR_OK); /* who uses it decides */
}

static int read_tensor_shape(const char *name, int n_dims, const int64_t *ne)
{
    struct gguf_writer w = GGUF_WRITER_INIT;
    struct base_buf bytes = {0};
    struct gguf *gguf;
    struct hparams h;
    char key[64];
    gguf_writer_string(&w, "general.architecture", "llama");
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        snprintf(key, sizeof key, "llama.%s", usual[i].key);
        gguf_writer_u32(&w, key, (uint32_t)usual[i].value);
    }
    gguf_writer_f32(&w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    gguf_writer_tensor(&w, name, TYPE_F16, n_dims, ne);
    gguf_writer_header(&w, &bytes);
    gguf_writer_data(&w, 0, NULL, &bytes);
    assert_int_equal(model_gguf_open_memory(bytes.data, bytes.len, NAME, &gguf), PR_OK);
    int err = model_hparams_read(gguf, &h);
    model_gguf_close(gguf);
    gguf_writer_finish(&w);
    base_buf_finish(&bytes);
    return err;
}

static void vocabulary_is_that_of_the_embedding(void **state)
{
    (void)state;
    assert_int_equal(read_tensor_shape("token_embd.weight", 2, (int64_t[]){64, 10}), PR_OK);
    assert_int_equal(read_tensor_shape("token_embd.weight", 2, (int64_t[]){32, 10}), PR_ERR_FORMAT);
    assert_non_null(strstr(pr_error_message(), "[10, 32], but the model is 64 wide"));
    assert_int_equal(read_tensor_shape("token_embd.weight", 3, (int64_t[]){64, 10, 2}), PR_ERR_FORMAT);
    assert_int_equal(read_tensor_shape("other.weight", 2, (int64_t[]){64, 10}), PR_ERR_FORMAT);
    assert_non_null(strstr(pr_error_message(), "\"token_embd.weight\" is missing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(head_widths_of_their_own),
        cmocka_unit_test(one_number_for_every_layer),
        cmocka_unit_test(rope_scaling),
        cmocka_unit_test(sections_and_deepstack),
        cmocka_unit_test(out_of_range),
        cmocka_unit_test(architecture_names),
        cmocka_unit_test(vocabulary_is_that_of_the_embedding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
