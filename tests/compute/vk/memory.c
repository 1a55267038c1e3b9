/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory of Vulkan devices: transfers, weights where they lie and in parts, limits, and memory that the host can't touch.
 */
#include "tests/compute/vk/fixture.h"

#include "compute/backend.h"

/* ---- buffers -------------------------------------------------------------------------------------------------------------- */

static void check_transfers(const char *assumed)
{
    enum { SIZE = 20 << 20 }; /* more than two stagings */
    struct device *device = open_vulkan(assumed, NULL);
    struct buffer *buffer;
    uint8_t *out = malloc(SIZE), *in = malloc(SIZE);
    assert_non_null(out);
    assert_non_null(in);
    for (size_t i = 0; i < SIZE; i++)
        out[i] = (uint8_t)(i * 7 + i / 4096);
    assert_int_equal(compute_buffer_create(device, SIZE, &buffer), PR_OK);
    assert_int_equal(compute_buffer_read(buffer, 0, in, SIZE), PR_OK);
    for (size_t i = 0; i < SIZE; i += 4097)
        assert_int_equal(in[i], 0);
    assert_int_equal(compute_buffer_write(buffer, 5, out + 5, SIZE - 12), PR_OK);
    assert_int_equal(compute_buffer_read(buffer, 5, in + 5, SIZE - 12), PR_OK);
    assert_memory_equal(in + 5, out + 5, SIZE - 12);
    compute_buffer_destroy(buffer);
    compute_device_close(device);
    free(out);
    free(in);
}

static void buffers_keep_what_is_written(void **state)
{
    (void)state;
    check_transfers("");
}

static void staging_moves_large_buffers_in_pieces(void **state)
{
    (void)state;
    check_transfers("staging");
}

static void a_limit_is_kept_and_named(void **state)
{
    (void)state;
    struct device_options options = {.memory_limit = 1 << 20};
    struct device *device = open_vulkan("", &options);
    struct buffer *buffer;
    assert_int_equal(compute_buffer_create(device, (1 << 20) + 1, &buffer), PR_ERR_NOMEM);
    assert_non_null(strstr(pr_error_message(), "1048576"));
    assert_int_equal(compute_buffer_create(device, 1 << 20, &buffer), PR_OK);
    compute_buffer_destroy(buffer);
    compute_device_close(device);
}

static void more_than_the_device_has_is_an_error(void **state)
{
    (void)state;
    struct device *device = open_vulkan("", NULL);
    struct buffer *buffer;
    size_t too_much = (size_t)1 << 46;
    int err = compute_buffer_create(device, too_much, &buffer);
    assert_true(err == PR_ERR_NOMEM || err == PR_ERR_DEVICE);
    assert_non_null(strstr(pr_error_message(), "vulkan:0"));
    assert_int_equal(device->allocated, 0);
    compute_device_close(device);
}

/* ---- weights ------------------------------------------------------------------------------------------------------------------ */

/* y = x w^T of [7, k] and [m, k], with rows of `type`, on a device that lacks what `assumed` says, against ref. */
static void check_product(const char *assumed, enum type type, int64_t m, int64_t k, bool expect_in_place)
{
    enum { N = 7 };
    struct device *ref, *device = open_vulkan(assumed, NULL);
    assert_int_equal(compute_device_open("ref", NULL, &ref), PR_OK);
    size_t bytes = compute_row_bytes(type, k) * (size_t)m;
    uint8_t *memory = base_try_alloc(bytes, 1);
    assert_non_null(memory);
    for (size_t i = 0; i < bytes; i++) /* small numbers, whatever the type: exponents stay moderate */
        memory[i] = (uint8_t)(i * 37 + i / 256) & (uint8_t)(i % 2 ? 0x3b : 0xff);
    float *results[2] = {0};
    for (int d = 0; d < 2; d++) {
        struct device *here = d ? device : ref;
        struct buffer *wrapped;
        struct tensor w = {.role = TENSOR_WEIGHT, .type = type, .rows = m, .cols = k, .name = "w"};
        assert_int_equal(compute_buffer_wrap(ref, memory, bytes, &wrapped), PR_OK);
        w.buffer = wrapped;
        uint64_t before = here->allocated;
        assert_int_equal(compute_tensor_place(here, &w), PR_OK);
        if (d)
            assert_int_equal(here->allocated == before, expect_in_place);
        struct pass *pass = compute_pass_create((struct device *[]){here, ref}, 2);
        struct tensor *x = compute_pass_input(pass, TYPE_F32, N, k, "x");
        struct tensor *y = op_matmul(pass, &w, x, NULL);
        compute_pass_output(pass, y);
        assert_int_equal(compute_pass_plan(pass, NULL), PR_OK);
        fill(compute_pass_host(pass, x), N * k, 0);
        assert_int_equal(compute_pass_run(pass, NULL), PR_OK);
        results[d] = malloc((size_t)(N * m) * sizeof(float));
        assert_non_null(results[d]);
        memcpy(results[d], compute_pass_host(pass, y), (size_t)(N * m) * sizeof(float));
        compute_pass_destroy(pass);
        compute_tensor_unplace(&w);
        compute_buffer_destroy(wrapped);
    }
    double largest = 0;
    for (int64_t i = 0; i < N * m; i++)
        largest = fmax(largest, fabs(results[0][i]));
    assert_true(isfinite(largest) && largest > 0);
    for (int64_t i = 0; i < N * m; i++)
        assert_true(fabs(results[0][i] - results[1][i]) <= 1e-4 * largest);
    free(results[0]);
    free(results[1]);
    base_free(memory);
    compute_device_close(device);
    compute_device_close(ref);
}

static bool imports(void)
{
    struct device *device = open_vulkan("", NULL);
    bool can = false;
    for (int i = 0; i < device->info.n_features; i++)
        if (strcmp(device->info.features[i].name, "host memory import") == 0)
            can = device->info.features[i].used;
    compute_device_close(device);
    return can;
}

static void floats_and_k_quants_are_read_in_place(void **state)
{
    (void)state;
    bool can = imports();
    check_product("", TYPE_F16, 33, 256, can);
    check_product("", TYPE_BF16, 33, 256, can);
    check_product("", TYPE_Q4_K, 33, 512, can);
    check_product("", TYPE_Q8_0, 33, 256, false); /* blocks of 34 bytes are taken apart */
}

static void without_import_they_are_copied(void **state)
{
    (void)state;
    check_product("no-import", TYPE_F16, 33, 256, false);
    check_product("no-import", TYPE_Q4_K, 33, 512, false);
}

static void inputs_and_outputs_pass_through_staging(void **state)
{
    (void)state;
    check_product("staging", TYPE_F16, 33, 256, false);
    check_product("staging", TYPE_Q4_0, 33, 256, false);
}

/* A range of 64 KiB holds 30 rows of 2 KiB: the weight, its output and its input are bound in parts. */
static void tensors_beyond_the_range_are_bound_in_parts(void **state)
{
    (void)state;
    check_product("range=65536", TYPE_F16, 301, 1024, imports());
    check_product("range=65536", TYPE_Q8_0, 301, 1024, false);
    check_product("range=65536", TYPE_Q6_K, 301, 1024, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_keep_what_is_written),
        cmocka_unit_test(staging_moves_large_buffers_in_pieces),
        cmocka_unit_test(a_limit_is_kept_and_named),
        cmocka_unit_test(more_than_the_device_has_is_an_error),
        cmocka_unit_test(floats_and_k_quants_are_read_in_place),
        cmocka_unit_test(without_import_they_are_copied),
        cmocka_unit_test(inputs_and_outputs_pass_through_staging),
        cmocka_unit_test(tensors_beyond_the_range_are_bound_in_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
