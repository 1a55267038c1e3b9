/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a pass costs, where layers lie, and formats of weights.
 */
#include "llm/decoder.h"
#include "compute/backend.h"
#include "compute/pass.h"
#include "llm/kv_impl.h"
#include "tests/support/folder.h"
#include "tests/support/llm_rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- allocations are counted; the sanitizers bring a malloc of their own -------------------------------------------- */

#ifdef __SANITIZE_ADDRESS__
static const bool counting = false;
static long allocations;
#else
static const bool counting = true;
static long allocations;
extern void *__libc_malloc(size_t size), *__libc_calloc(size_t n, size_t size), *__libc_realloc(void *p, size_t size),
    *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    allocations++;
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    allocations++;
    return __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    allocations++;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **p, size_t alignment, size_t size)
{
    allocations++;
    *p = __libc_memalign(alignment, size);
    return 0;
}
#endif

enum { N = 60, MAX_VOCAB = 512 };

static void decode_text(struct llm_rig *rig, struct llm_sequence *s, int32_t n, float *logits)
{
    int32_t ids[N];
    llm_rig_ids(ids, N, rig->hp->n_vocab, 11);
    struct llm_piece piece = {.n = n, .ids = ids};
    int err = llm_decode(rig->decoder, s, &piece, 1, 1, logits, NULL);
    if (err < 0)
        fail_msg("%s", pr_error_message());
}

static void text_logits(struct llm_rig *rig, float *logits)
{
    struct llm_sequence *s;
    assert_int_equal(llm_sequence_create(rig->kv, NULL, &s), PR_OK);
    decode_text(rig, s, N, logits);
    llm_sequence_destroy(s);
}

static void check_no_allocation(const char *device)
{
    struct llm_rig rig;
    struct llm_sequence *s;
    float logits[MAX_VOCAB];
    int32_t id = 5;
    struct llm_piece one = {.n = 1, .ids = &id};
    llm_rig_open(&rig, &(struct llm_rig_options){.model = "llama-q8_0.gguf", .device = device});
    assert_int_equal(llm_sequence_create(rig.kv, NULL, &s), PR_OK);
    decode_text(&rig, s, 30, logits);
    assert_int_equal(llm_decode(rig.decoder, s, &one, 1, 1, logits, NULL), PR_OK);
    long before = allocations;
    for (int i = 0; i < 40; i++) /* pages are taken on the way */
        assert_int_equal(llm_decode(rig.decoder, s, &one, 1, 1, logits, NULL), PR_OK);
    print_message("%s: %ld allocations in 40 steps\n", device, allocations - before);
    assert_int_equal(allocations, before);
    llm_sequence_destroy(s);
    llm_rig_close(&rig);
}

static void decoding_allocates_nothing(void **state)
{
    (void)state;
    if (!counting) {
        puts("skipped: the sanitizers have a malloc of their own");
        skip();
    }
    check_no_allocation("ref");
    if (llm_rig_has("cpu"))
        check_no_allocation("cpu");
}

static void check_costs(const char *device, double *weight_bytes)
{
    struct llm_rig rig;
    struct pass_cost one, many;
    llm_rig_open(&rig, &(struct llm_rig_options){.model = "llama.f16.gguf", .device = device});
    assert_int_equal(llm_decoder_cost(rig.decoder, rig.kv, 1, 1, &one), PR_OK);
    assert_int_equal(llm_decoder_cost(rig.decoder, rig.kv, 64, 64, &many), PR_OK);
    assert_true(one.n_ops > 10 && one.arena > 0 && many.arena > one.arena && many.flops > 50 * one.flops);
    assert_true(one.weight_bytes > 0 && one.weight_bytes <= (double)model_gguf_tensor_bytes(rig.gguf));
    *weight_bytes = one.weight_bytes;
    llm_rig_close(&rig);
}

static void costs_are_known_before(void **state)
{
    (void)state;
    double on_ref, on_gpu;
    check_costs("ref", &on_ref);
    if (!llm_rig_has("vulkan:0"))
        return;
    check_costs("vulkan:0", &on_gpu); /* which reads some weights where they lie, and has others packed */
    assert_true(on_gpu > 0.9 * on_ref && on_gpu < 1.1 * on_ref);
}

/* ---- formats of weights ------------------------------------------------------------------------------------------- */

static void made_model_logits(const char *path, const char *options, const char *device, float *logits)
{
    char command[512];
    struct llm_rig rig;
    snprintf(command, sizeof command,
             "%s %s --layers 2 --dim 256 --heads 4 --kv 2 --ffn 512 --vocab 300 --seed 3 %s >/dev/null", RANDOM_MODEL,
             path, options);
    assert_int_equal(system(command), 0);
    llm_rig_open(&rig, &(struct llm_rig_options){.model = path, .device = device});
    text_logits(&rig, logits);
    llm_rig_log_softmax(logits, rig.hp->n_vocab);
    llm_rig_close(&rig);
    unlink(path);
}

/* A file of blocks against a file of the floats that the blocks stand for. */
static void blocks_are_the_weights_they_stand_for(void **state)
{
    static const char *const types[] = {"f16",  "bf16", "q4_0", "q4_1", "q5_0",   "q5_1",   "q8_0", "q2_k",
                                        "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs", "mxfp4"};
    char path[64], options[64];
    assert_int_equal(test_folder_make(state), 0);
    snprintf(path, sizeof path, "%s/model.gguf", test_folder);
    float plain[MAX_VOCAB];
    made_model_logits(path, "--type f32", "ref", plain);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        float blocks[MAX_VOCAB], floats[MAX_VOCAB];
        snprintf(options, sizeof options, "--type %s", types[i]);
        made_model_logits(path, options, "ref", blocks);
        snprintf(options, sizeof options, "--type %s --dequantised", types[i]);
        made_model_logits(path, options, "ref", floats);
        float worst = llm_rig_difference(blocks, floats, 300);
        print_message("%-7s differs from its floats by at most %.6f\n", types[i], (double)worst);
        assert_true(worst <= 0.01f);
        assert_true(llm_rig_difference(blocks, plain, 300) > 1e-6f); /* it was rounded at all */
    }
    rmdir(test_folder);
}

/* ---- placement ---------------------------------------------------------------------------------------------------- */

/* The model on one device, and on two of which the first has room for `limit` bytes. */
static void check_split(const char *model, uint64_t limit, const char *device, const char *host, float tolerance,
                        const char *expected)
{
    struct llm_rig rig;
    float whole[MAX_VOCAB], split[MAX_VOCAB];
    llm_rig_open(&rig, &(struct llm_rig_options){.model = model, .device = host});
    text_logits(&rig, whole);
    llm_rig_close(&rig);
    llm_rig_open(&rig,
                 &(struct llm_rig_options){
                     .model = model, .device = device, .host = host, .memory_limit = limit, .cells = 512, .batch = 64});
    text_logits(&rig, split);
    llm_rig_log_softmax(whole, rig.hp->n_vocab);
    llm_rig_log_softmax(split, rig.hp->n_vocab);
    float worst = llm_rig_difference(whole, split, rig.hp->n_vocab);
    print_message("%-28s %s: differs by at most %.6f\n", model, llm_decoder_placement(rig.decoder), (double)worst);
    assert_true(worst <= tolerance);
    if (expected)
        assert_non_null(strstr(llm_decoder_placement(rig.decoder), expected));
    if (limit)
        assert_true(rig.device->peak <= limit);
    llm_rig_close(&rig);
}

/* Two ref devices: equal to the bit, wherever a layer lies. The cache of a layer takes 128 KiB here, activations of 64 tokens
 * less than 700 KiB. */
static void split_models_agree(void **state)
{
    (void)state;
    static const char *const models[] = {"llama.f16.gguf", "llama-rope-llama3.f16.gguf", "llama-tied.f16.gguf",
                                         "qwen2.f16.gguf", "qwen3vl.f16.gguf"};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        check_split(models[i], 0, "ref", "ref", 0, "all");
        check_split(models[i], 1, "ref", "ref", 0, "0 of");
        int some = 0;
        for (uint64_t kib = 100; kib < 3000; kib += 50) {
            struct llm_rig rig;
            llm_rig_open(
                &rig, &(struct llm_rig_options){
                          .model = models[i], .device = "ref", .host = "ref", .memory_limit = kib << 10, .batch = 64});
            const char *placement = llm_decoder_placement(rig.decoder);
            bool split = *placement != 'a' && *placement != '0';
            llm_rig_close(&rig);
            if (split && some++ == 0)
                check_split(models[i], kib << 10, "ref", "ref", 0, "the rest on ref");
        }
        assert_true(some > 0);
    }
}

static void split_with_vulkan_agrees(void **state)
{
    (void)state;
    llm_rig_need("vulkan");
    check_split("llama.f16.gguf", 0, "vulkan", "ref", 0.03f, "all");
    check_split("llama.f16.gguf", 1, "vulkan", "ref", 0.03f, "0 of");
    bool split = false;
    for (uint64_t kib = 300; kib < 3000 && !split; kib += 100) {
        struct llm_rig rig;
        llm_rig_open(&rig, &(struct llm_rig_options){
                               .model = "llama.f16.gguf", .device = "vulkan", .memory_limit = kib << 10, .batch = 64});
        const char *placement = llm_decoder_placement(rig.decoder);
        split = *placement != 'a' && *placement != '0';
        llm_rig_close(&rig);
        if (split)
            check_split("llama.f16.gguf", kib << 10, "vulkan", "ref", 0.03f, "the rest on ref");
    }
    assert_true(split);
}

/* At position 0 rope does nothing, so the keys that a whole pass leaves in the cache are those of a shallow one, but for the bias. */
static void shallow_keys_are_those_of_the_cache(void **state)
{
    (void)state;
    enum { TOKENS = 6, LAYERS = 2 };
    static const char *const models[] = {"llama.f16.gguf", "qwen3.f16.gguf", "qwen2.f16.gguf"};
    for (int m = 0; m < 3; m++) {
        struct llm_rig rig;
        int32_t ids[TOKENS], position[4 * TOKENS] = {0};
        struct llm_sequence *whole, *shallow;
        llm_rig_open(&rig, &(struct llm_rig_options){.model = models[m]});
        size_t d = (size_t)rig.hp->n_kv * (size_t)rig.hp->d_head, dq = (size_t)rig.hp->n_head * (size_t)rig.hp->d_head;
        float *keys = calloc(TOKENS * d, sizeof *keys), *queries = calloc(TOKENS * dq, sizeof *queries);
        llm_rig_ids(ids, TOKENS, rig.hp->n_vocab, 5);
        struct llm_piece piece = {.n = TOKENS, .ids = ids, .position = position};
        assert_int_equal(llm_sequence_create(rig.kv, NULL, &whole), PR_OK);
        assert_int_equal(llm_decode(rig.decoder, whole, &piece, 1, 0, NULL, NULL), PR_OK);
        struct llm_kv_params params = {.cells = 32, .key_type = TYPE_F32, .value_type = TYPE_F32};
        struct llm_kv *kv;
        llm_decoder_kv_params(rig.decoder, &params);
        params.n_layer = LAYERS;
        assert_int_equal(llm_kv_create(&params, &kv), PR_OK);
        assert_int_equal(llm_sequence_create(kv, NULL, &shallow), PR_OK);
        assert_int_equal(llm_decode_shallow(rig.decoder, shallow, &piece, 1, LAYERS, keys, queries, NULL), PR_OK);
        float *bias = calloc(d, sizeof *bias);
        if (model_gguf_tensor(rig.gguf, "blk.1.attn_k.bias"))
            memcpy(bias, model_gguf_tensor(rig.gguf, "blk.1.attn_k.bias")->data, d * sizeof *bias);
        for (int32_t i = 0; i < TOKENS; i++) {
            const float *cell =
                (const float *)compute_tensor_data(&rig.kv->keys[LAYERS - 1]) + (size_t)llm_sequence_row(whole, i) * d;
            for (size_t j = 0; j < d; j++)
                assert_true(fabsf(keys[(size_t)i * d + j] + bias[j] - cell[j]) < 1e-4f);
        }
        assert_true(queries[0] != 0 && queries[TOKENS * dq - 1] != 0);
        assert_int_equal(llm_decode_shallow(rig.decoder, shallow, &piece, 1, 99, keys, queries, NULL), PR_ERR_INVALID);
        free(bias);
        free(keys);
        free(queries);
        llm_sequence_destroy(whole);
        llm_sequence_destroy(shallow);
        llm_kv_destroy(kv);
        llm_rig_close(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shallow_keys_are_those_of_the_cache),
        cmocka_unit_test(decoding_allocates_nothing),
        cmocka_unit_test(costs_are_known_before),
        cmocka_unit_test(blocks_are_the_weights_they_stand_for),
        cmocka_unit_test(split_models_agree),
        cmocka_unit_test(split_with_vulkan_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
