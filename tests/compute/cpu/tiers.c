/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A small model's worth of operations on every tier of kernels that this processor runs, against the definitions. (Odd sizes,
 * extremes and bounds of each kernel: tests/kernels, on the tier that is chosen by itself.)
 */
#include "base/mem.h"
#include "compute/cpu/kernels.h"
#include "compute/pass.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const tiers[] = {"generic", "avx2", "avxvnni", "avx512", "amx"};

static uint32_t seed = 1;

static uint32_t random_bits(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static float random_float(void)
{
    return (float)random_bits() / (float)(1 << 23) - 1.0f;
}

/* Opens "cpu" on a tier; NULL when this processor hasn't got it. */
static struct device *open_tier(const char *tier, int threads)
{
    struct device_options options = {.threads = threads};
    struct device *device = NULL;
    setenv("PAGEREEL_CPU", tier, 1);
    int err = compute_device_open("cpu", &options, &device);
    unsetenv("PAGEREEL_CPU");
    if (err == PR_ERR_UNSUPPORTED) {
        print_message("skipped: %s\n", pr_error_message());
        return NULL;
    }
    assert_int_equal(err, PR_OK);
    return device;
}

/* Blocks of random codes with scales that give weights of about 1. */
static void *random_weight(enum type type, int64_t rows, int64_t cols)
{
    size_t size = compute_row_bytes(type, cols) * (size_t)rows;
    uint8_t *data = base_try_alloc(1, size);
    const struct type_traits *t = compute_type((int)type);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)random_bits();
    for (int64_t b = 0; b < rows * cols / t->block; b++) {
        uint8_t *block = data + (size_t)b * (size_t)t->bytes;
        uint16_t d = compute_f32_to_f16(0.01f + 0.01f * fabsf(random_float()));
        uint16_t m = compute_f32_to_f16(0.02f * random_float());
        switch (type) {
        case TYPE_F32: {
            float f = random_float();
            memcpy(block, &f, 4);
            break;
        }
        case TYPE_F16:
            d = compute_f32_to_f16(random_float());
            memcpy(block, &d, 2);
            break;
        case TYPE_BF16:
            d = compute_f32_to_bf16(random_float());
            memcpy(block, &d, 2);
            break;
        case TYPE_Q2_K:
            memcpy(block + 80, &d, 2);
            memcpy(block + 82, &m, 2);
            break;
        case TYPE_Q3_K:
            memcpy(block + 108, &d, 2);
            break;
        case TYPE_Q6_K:
            memcpy(block + 208, &d, 2);
            break;
        case TYPE_MXFP4:
            block[0] = (uint8_t)(120 + random_bits() % 8);
            break;
        default:
            memcpy(block, &d, 2);
            if (cpu_packing(type).min)
                memcpy(block + 2, &m, 2);
        }
    }
    return data;
}

static struct tensor weight_on(struct device *device, enum type type, const void *data, int64_t rows, int64_t cols,
                               bool place)
{
    struct tensor w = {.role = TENSOR_WEIGHT, .type = type, .rows = rows, .cols = cols, .name = "w"};
    assert_int_equal(compute_buffer_wrap(device, data, compute_tensor_bytes(&w), &w.buffer), PR_OK);
    if (place)
        assert_int_equal(compute_tensor_place(device, &w), PR_OK);
    return w;
}

static void drop_weight(struct tensor *w)
{
    compute_tensor_unplace(w);
    compute_buffer_destroy(w->buffer);
}

/* sum (a - b)^2 / sum b^2 */
static double nmse(const float *a, const float *b, int64_t n)
{
    double difference = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        assert_true(isfinite(a[i]));
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    return size > 0 ? difference / size : difference;
}

/* x . w^T + x . w^T * bias ... as the graph of a layer does it: two products of one x, one with bias and addend. */
static float *run_products(struct device *device, enum type type, const void *data, const float *x, int64_t n,
                           int64_t m, int64_t k, bool place)
{
    struct tensor w = weight_on(device, type, data, m, k, place);
    float *bias_data = base_alloc_array((size_t)m, sizeof(float));
    for (int64_t i = 0; i < m; i++)
        bias_data[i] = (float)(i % 7);
    struct tensor bias = weight_on(device, TYPE_F32, bias_data, 1, m, false);
    struct pass *pass = compute_pass_create(&device, 1);
    struct tensor *in = compute_pass_input(pass, TYPE_F32, n, k, "x");
    struct tensor *a = op_matmul(pass, &w, in, NULL);
    struct tensor *b = op_add(pass, op_matmul(pass, &w, in, &bias), a);
    compute_pass_output(pass, b);
    assert_int_equal(compute_pass_plan(pass, NULL), PR_OK);
    memcpy(compute_pass_host(pass, in), x, (size_t)(n * k) * sizeof *x);
    float *y = base_alloc_array((size_t)(n * m), sizeof *y);
    for (int run = 0; run < 2; run++) { /* the same twice */
        assert_int_equal(compute_pass_run(pass, NULL), PR_OK);
        const float *got = compute_pass_host(pass, b);
        if (run)
            assert_memory_equal(y, got, (size_t)(n * m) * sizeof *y);
        memcpy(y, got, (size_t)(n * m) * sizeof *y);
    }
    compute_pass_destroy(pass);
    drop_weight(&w);
    drop_weight(&bias);
    base_free(bias_data);
    return y;
}

/* Mean square errors: of f32 sums; of x as whole steps of max|x| / 32512, with few tokens; of weights and x as two bf16, in AMX. */
static double bound(const char *tier, enum type type, int64_t n)
{
    if (n <= CPU_FEW_TOKENS && cpu_packing(type).bits)
        return 2e-4 / 65536;
    return !strcmp(tier, "amx") && n >= CPU_TILE_TOKENS && type != TYPE_F32 ? 1e-10 : 1e-12;
}

static void products_of(struct device *device, struct device *ref, const char *tier, enum type type)
{
    static const int64_t shapes[][3] = {{1, 40, 512},   {3, 17, 256},   {8, 33, 256},  {9, 5, 768},
                                        {16, 49, 1280}, {33, 64, 1536}, {530, 18, 256}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        int64_t n = shapes[s][0], m = shapes[s][1], k = shapes[s][2];
        void *data = random_weight(type, m, k);
        float *x = base_alloc_array((size_t)(n * k), sizeof *x);
        for (int64_t i = 0; i < n * k; i++)
            x[i] = random_float();
        float *expected = run_products(ref, type, data, x, n, m, k, false);
        float *packed = run_products(device, type, data, x, n, m, k, true);
        float *plain = run_products(device, type, data, x, n, m, k, false);
        double error = nmse(packed, expected, n * m);
        if (error > bound(tier, type, n))
            fail_msg("%s of %s, n %d: nmse %g", device->info.driver, compute_type((int)type)->name, (int)n, error);
        assert_memory_equal(plain, packed, (size_t)(n * m) * sizeof *plain);
        base_free(plain);
        base_free(packed);
        base_free(expected);
        base_free(x);
        base_free(data);
    }
}

static void test_products(void **state)
{
    (void)state;
    struct device *ref;
    assert_int_equal(compute_device_open("ref", NULL, &ref), PR_OK);
    for (size_t i = 0; i < sizeof tiers / sizeof *tiers; i++) {
        struct device *device = open_tier(tiers[i], 2);
        if (!device)
            continue;
        for (int type = 0; type < TYPE_LIMIT; type++)
            if (compute_type(type) && compute_type(type)->weight)
                products_of(device, ref, tiers[i], (enum type)type);
        compute_device_close(device);
    }
    compute_device_close(ref);
}

/* Norm, rope, cache, attention and a gated unit, as a layer has them: [n, 6 * 64] over a paged cache of f16. */
static float *run_layer(struct device *device, enum type cache, int64_t n, int64_t past, int64_t *count)
{
    enum { HEADS = 6, KV = 2, D = 64, PAGE = 16 };
    int64_t cells = (past + n + PAGE - 1) / PAGE * PAGE, pages = cells / PAGE;
    struct tensor keys, values;
    assert_int_equal(compute_state_create(device, cache, cells, KV * D, "k", &keys), PR_OK);
    assert_int_equal(compute_state_create(device, cache, cells, KV * D, "v", &values), PR_OK);
    memset(keys.buffer->host, 0x11, keys.buffer->size); /* small numbers in every format */
    memset(values.buffer->host, 0x12, values.buffer->size);

    struct rope_params rope = {
        .kind = ROPE_NORM, .d_head = D, .n_rot = D, .base = 10000, .freq_scale = 1, .yarn_attn = 1};
    struct attention_params attention = {
        .n_head = HEADS, .n_kv = KV, .d_head = D, .d_value = D, .scale = 0.125f, .page_size = PAGE, .sinks = 2};
    struct pass *pass = compute_pass_create(&device, 1);
    struct tensor *x = compute_pass_input(pass, TYPE_F32, n, HEADS * D, "x");
    struct tensor *kv = compute_pass_input(pass, TYPE_F32, n, KV * D, "kv");
    struct tensor *pos = compute_pass_input(pass, TYPE_I32, n, 4, "pos");
    struct tensor *ids = compute_pass_input(pass, TYPE_I32, 1, n, "ids");
    struct tensor *list = compute_pass_input(pass, TYPE_I32, 1 + pages, 2, "pages");
    struct tensor *range = compute_pass_input(pass, TYPE_I32, n, 2, "range");
    struct tensor *q = op_rope(pass, op_rms_norm(pass, x, NULL, 1e-5f), pos, NULL, &rope);
    struct tensor *k = op_scatter(pass, &keys, op_rope(pass, kv, pos, NULL, &rope), ids);
    struct tensor *v = op_scatter(pass, &values, kv, ids);
    struct tensor *y = op_attention(pass, q, k, v, list, range, &attention);
    y = op_softcap(pass, op_glu(pass, op_add(pass, y, x), op_scale(pass, x, 2), ACT_GELU_TANH), 3);
    compute_pass_output(pass, y);
    assert_int_equal(compute_pass_plan(pass, NULL), PR_OK);
    seed = 7;
    float *host_x = compute_pass_host(pass, x), *host_kv = compute_pass_host(pass, kv);
    for (int64_t i = 0; i < n * HEADS * D; i++)
        host_x[i] = random_float();
    for (int64_t i = 0; i < n * KV * D; i++)
        host_kv[i] = random_float();
    int32_t *host_pages = compute_pass_host(pass, list);
    host_pages[0] = (int32_t)pages;
    for (int32_t j = 0; j < pages; j++) { /* pages of the pool in reverse order */
        host_pages[2 + 2 * j] = (int32_t)(pages - 1 - j) * PAGE;
        host_pages[3 + 2 * j] = j * PAGE;
    }
    for (int32_t i = 0; i < n; i++) {
        int32_t at = (int32_t)past + i;
        ((int32_t *)compute_pass_host(pass, pos))[4 * i] = at;
        ((int32_t *)compute_pass_host(pass, ids))[i] = host_pages[2 + 2 * (at / PAGE)] + at % PAGE;
        ((int32_t *)compute_pass_host(pass, range))[2 * i] = at > 100 ? at - 100 : 0;
        ((int32_t *)compute_pass_host(pass, range))[2 * i + 1] = at + 1;
    }
    assert_int_equal(compute_pass_run(pass, NULL), PR_OK);
    *count = n * HEADS * D;
    float *out = base_alloc_array((size_t)*count, sizeof *out);
    memcpy(out, compute_pass_host(pass, y), (size_t)*count * sizeof *out);
    compute_pass_destroy(pass);
    compute_state_destroy(&keys);
    compute_state_destroy(&values);
    return out;
}

static void test_layer(void **state)
{
    (void)state;
    static const enum type caches[] = {TYPE_F32, TYPE_F16, TYPE_Q8_0};
    static const int64_t shapes[][2] = {{1, 0}, {1, 300}, {2, 131}, {37, 0}, {70, 90}};
    struct device *ref;
    assert_int_equal(compute_device_open("ref", NULL, &ref), PR_OK);
    for (size_t i = 0; i < sizeof tiers / sizeof *tiers; i++) {
        struct device *device = open_tier(tiers[i], 3);
        if (!device)
            continue;
        for (size_t c = 0; c < 3; c++)
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
                int64_t count;
                float *expected = run_layer(ref, caches[c], shapes[s][0], shapes[s][1], &count);
                float *got = run_layer(device, caches[c], shapes[s][0], shapes[s][1], &count);
                double error = nmse(got, expected, count);
                if (error > 1e-11)
                    fail_msg("%s, cache %d, shape %d: nmse %g", tiers[i], (int)c, (int)s, error);
                base_free(got);
                base_free(expected);
            }
        compute_device_close(device);
    }
    compute_device_close(ref);
}

/* The same values however many threads there are. */
static void test_threads(void **state)
{
    (void)state;
    float *first[2] = {NULL, NULL};
    for (int threads = 1; threads <= 5; threads += 2) {
        struct device_options options = {.threads = threads};
        struct device *device;
        assert_int_equal(compute_device_open("cpu", &options, &device), PR_OK);
        for (int i = 0; i < 2; i++) {
            int64_t count;
            float *got = run_layer(device, TYPE_F16, i ? 70 : 1, 200, &count);
            if (first[i])
                assert_memory_equal(got, first[i], (size_t)count * sizeof *got);
            else
                first[i] = got;
            if (first[i] != got)
                base_free(got);
        }
        compute_device_close(device);
    }
    base_free(first[0]);
    base_free(first[1]);
}

static void test_choice(void **state)
{
    (void)state;
    struct device *device = NULL;
    setenv("PAGEREEL_CPU", "sse9", 1);
    assert_int_equal(compute_device_open("cpu", NULL, &device), PR_ERR_INVALID);
    assert_non_null(strstr(pr_error_message(), "generic"));
    unsetenv("PAGEREEL_CPU");
    assert_int_equal(compute_device_open("cpu", NULL, &device), PR_OK);
    assert_true(device->info.n_features > 0);
    for (int i = 0; i < device->info.n_features; i++)
        assert_true(device->info.features[i].why[0]);
    compute_device_close(device);
}

static void test_cancel(void **state)
{
    (void)state;
    struct device *device;
    struct base_cancel cancel = {0};
    assert_int_equal(compute_device_open("cpu", NULL, &device), PR_OK);
    struct pass *pass = compute_pass_create(&device, 1);
    struct tensor *x = compute_pass_input(pass, TYPE_F32, 64, 64, "x");
    compute_pass_output(pass, op_rms_norm(pass, x, NULL, 1));
    assert_int_equal(compute_pass_plan(pass, NULL), PR_OK);
    assert_int_equal(compute_pass_run(pass, &cancel), PR_OK);
    atomic_store(&cancel.requested, true);
    assert_int_equal(compute_pass_run(pass, &cancel), PR_ERR_CANCELLED);
    compute_pass_destroy(pass);
    compute_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products), cmocka_unit_test(test_layer),  cmocka_unit_test(test_threads),
        cmocka_unit_test(test_choice),   cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
