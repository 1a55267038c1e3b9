/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Operations of a layer that share a dispatch: products of one x, a product and its gate, rope and the cache. Each gives what ref
 * gives for the operations one by one, and really is one dispatch.
 *
 * test_compute_vk_together ASSUMED only records, on a device as PAGEREEL_VK_ASSUME describes it: tools/radv/table lists pipelines so.
 */
#include "tests/compute/vk/fixture.h"

#include "compute/backend.h"

#include <stdio.h>
#include <unistd.h>

enum { N_WEIGHTS = 5, K = 256, QUERIES = 70, KEYS = 33, WIDE = 45 };
static const int64_t rows_of[N_WEIGHTS] = {QUERIES, KEYS, KEYS, WIDE, WIDE};

/* ---- what was compiled ---------------------------------------------------------------------------------------------------- */

static char list_path[64];
static const char *only_recorded; /* NULL: compute, and compare */

static void begin_list(void)
{
    if (only_recorded)
        return;
    snprintf(list_path, sizeof list_path, "/tmp/pagereel-together-%ld", (long)getpid());
    remove(list_path);
    setenv("PAGEREEL_VK_LIST", list_path, 1);
}

/* Whether a pipeline of this shader has `value` as specialization constant `spec`. */
static bool compiled(const char *shader, int spec, int value)
{
    if (only_recorded)
        return value >= 0 && strcmp(shader, "glu") != 0 && strcmp(shader, "scatter") != 0;
    FILE *file = fopen(list_path, "r");
    char line[256];
    bool found = false;
    while (file && fgets(line, sizeof line, file)) {
        char *at = strtok(line, " \n");
        bool same = at && strcmp(at, shader) == 0;
        for (int i = 0; same && i <= spec; i++)
            same = (at = strtok(NULL, " \n"));
        found = found || (same && atoi(at) == value);
    }
    if (file)
        fclose(file);
    return found;
}

static void end_list(void)
{
    if (only_recorded)
        return;
    unsetenv("PAGEREEL_VK_LIST");
    remove(list_path);
}

/* ---- products --------------------------------------------------------------------------------------------------------------- */

/* One file's memory with all weights of a type, and a bias for each of the first three. */
struct file {
    uint8_t *memory;
    struct buffer *wrapped;
    struct tensor w[N_WEIGHTS], bias[3];
};

static void open_file(struct file *f, struct device *ref, struct device *device, enum type type)
{
    size_t row = compute_row_bytes(type, K), size = 0;
    for (int i = 0; i < N_WEIGHTS; i++)
        size += base_align(row * (size_t)rows_of[i], 32);
    size_t biases = size;
    size += 3 * QUERIES * sizeof(float) + 96;
    f->memory = base_try_alloc(size, 1);
    assert_non_null(f->memory);
    for (size_t i = 0; i < biases; i++) /* small numbers, whatever the type: exponents stay moderate */
        f->memory[i] = (uint8_t)(i * 37 + i / 256) & (uint8_t)(i % 2 ? 0x3b : 0xff);
    fill((float *)(f->memory + biases), (int64_t)(size - biases) / 4, 77);
    assert_int_equal(compute_buffer_wrap(ref, f->memory, size, &f->wrapped), PR_OK);
    size_t at = 0;
    for (int i = 0; i < N_WEIGHTS; i++) {
        f->w[i] = (struct tensor){.role = TENSOR_WEIGHT, .type = type, .rows = rows_of[i], .cols = K, .name = "w"};
        f->w[i].buffer = f->wrapped;
        f->w[i].offset = at;
        for (size_t b = 0; type == TYPE_MXFP4 && b < row * (size_t)rows_of[i]; b += 17) /* exponents */
            f->memory[at + b] = (uint8_t)(120 + b % 5);
        at += base_align(row * (size_t)rows_of[i], 32);
    }
    for (int i = 0; i < 3; i++) {
        f->bias[i] = (struct tensor){.role = TENSOR_WEIGHT, .rows = 1, .cols = rows_of[i], .name = "bias"};
        f->bias[i].buffer = f->wrapped;
        f->bias[i].offset = biases + (size_t)i * 288;
    }
    static const int order[N_WEIGHTS] = {1, 0, 4, 2, 3}; /* not that of the products */
    for (int i = 0; i < N_WEIGHTS; i++)
        assert_int_equal(compute_tensor_place(device, &f->w[order[i]]), PR_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(compute_tensor_place(device, &f->bias[i]), PR_OK);
}

static void close_file(struct file *f)
{
    for (int i = 0; i < N_WEIGHTS; i++)
        compute_tensor_unplace(&f->w[i]);
    for (int i = 0; i < 3; i++)
        compute_tensor_unplace(&f->bias[i]);
    compute_buffer_destroy(f->wrapped);
    base_free(f->memory);
}

enum { OUTPUTS = QUERIES + 2 * KEYS + WIDE };

/* Queries, keys and values of n tokens, then what a gate makes of them. Returns how many operations were planned. */
static int run_products(struct file *f, struct device *device, struct device *ref, int n, bool biased, float *out)
{
    struct pass *pass = compute_pass_create((struct device *[]){device, ref}, 2);
    struct pass_cost cost;
    struct tensor *x = compute_pass_input(pass, TYPE_F32, n, K, "x"), *y[4];
    for (int i = 0; i < 3; i++)
        y[i] = op_matmul(pass, &f->w[i], x, biased ? &f->bias[i] : NULL);
    struct tensor *gate = op_matmul(pass, &f->w[3], x, NULL), *up = op_matmul(pass, &f->w[4], x, NULL);
    y[3] = op_glu(pass, gate, up, ACT_SILU);
    for (int i = 0; i < 4; i++)
        compute_pass_output(pass, y[i]);
    assert_int_equal(compute_pass_plan(pass, &cost), PR_OK);
    fill(compute_pass_host(pass, x), n * K, 5);
    assert_int_equal(compute_pass_run(pass, NULL), PR_OK);
    for (int i = 0; i < 4; i++) {
        memcpy(out, compute_pass_host(pass, y[i]), (size_t)(n * y[i]->cols) * sizeof *out);
        out += n * y[i]->cols;
    }
    compute_pass_destroy(pass);
    return cost.n_ops;
}

static void check_products(struct device *device, struct device *ref, enum type type)
{
    enum { MOST = 8 };
    float *want = malloc(OUTPUTS * MOST * sizeof *want), *got = malloc(OUTPUTS * MOST * sizeof *got);
    assert_non_null(want);
    assert_non_null(got);
    for (int n = 1; n <= MOST; n = 3 * n - 1 > MOST ? MOST + 1 : n == 1 ? 3 : MOST) {
        struct file f;
        open_file(&f, ref, ref, type);
        assert_int_equal(run_products(&f, ref, ref, n, n < MOST, want), 6);
        close_file(&f);
        open_file(&f, ref, device, type);
        assert_int_equal(run_products(&f, device, ref, n, n < MOST, got), 4); /* both products and the GLU are one */
        close_file(&f);
        int at = 0;
        for (int i = 0; i < 4 && !only_recorded; i++) {
            int end = at + n * (int)rows_of[i];
            double largest = 0;
            for (int k = at; k < end; k++)
                largest = fmax(largest, fabs((double)want[k]));
            assert_true(isfinite(largest) && largest > 0);
            for (; at < end; at++)
                if (!(fabs((double)want[at] - (double)got[at]) <= 1e-4 * largest))
                    fail_msg("%s n=%d, result %d: expected %g, got %g", compute_type((int)type)->name, n, i,
                             (double)want[at], (double)got[at]);
        }
    }
    free(want);
    free(got);
}

static void products_go_together(const char *assumed, const enum type *types, int n_types)
{
    enum { PARTS = 11, GATE = 12 };
    begin_list();
    struct device *ref, *device = open_vulkan(only_recorded ? only_recorded : assumed, NULL);
    assert_int_equal(compute_device_open("ref", NULL, &ref), PR_OK);
    for (int i = 0; i < n_types; i++)
        check_products(device, ref, types[i]);
    assert_true(compiled("matmul", PARTS, 3));
    assert_true(compiled("matmul", GATE, ACT_SILU));
    assert_false(compiled("glu", 0, 64));
    assert_int_equal(device->allocated, 0);
    compute_device_close(device);
    compute_device_close(ref);
    end_list();
}

static void products_of_one_x_are_one_dispatch(void **state)
{
    (void)state;
    static const enum type types[] = {TYPE_F32,  TYPE_F16,    TYPE_BF16,   TYPE_Q4_0, TYPE_Q4_1, TYPE_Q5_0,
                                      TYPE_Q5_1, TYPE_Q8_0,   TYPE_Q2_K,   TYPE_Q3_K, TYPE_Q4_K, TYPE_Q5_K,
                                      TYPE_Q6_K, TYPE_IQ4_NL, TYPE_IQ4_XS, TYPE_MXFP4};
    products_go_together("", types, (int)(sizeof types / sizeof types[0]));
}

static void also_where_weights_are_copied(void **state)
{
    (void)state;
    static const enum type types[] = {TYPE_F16, TYPE_Q8_0, TYPE_Q4_K};
    products_go_together("no-import", types, 3);
    products_go_together("staging", types, 2);
}

/* ---- rope and the cache ----------------------------------------------------------------------------------------------------- */

enum { ROWS = 5, CELLS = 11, D = 32, Q_COLS = 3 * D, K_COLS = D, V_COLS = 48 };

struct cached {
    float q[ROWS * Q_COLS];
    float keys[CELLS * K_COLS], values[CELLS * V_COLS]; /* bytes of the caches */
};

static int turn_into_cache(struct device *device, struct device *ref, enum type type, const struct rope_params *params,
                           bool queries, struct cached *out)
{
    struct pass *pass = compute_pass_create((struct device *[]){device, ref}, 2);
    struct pass_cost cost;
    struct tensor keys, values;
    assert_int_equal(compute_state_create(device, type, CELLS, K_COLS, "keys", &keys), PR_OK);
    assert_int_equal(compute_state_create(device, type, CELLS, V_COLS, "values", &values), PR_OK);
    struct tensor *q = compute_pass_input(pass, TYPE_F32, ROWS, Q_COLS, "q");
    struct tensor *k = compute_pass_input(pass, TYPE_F32, ROWS, K_COLS, "k");
    struct tensor *v = compute_pass_input(pass, TYPE_F32, ROWS, V_COLS, "v");
    struct tensor *pos = compute_pass_input(pass, TYPE_I32, ROWS, 4, "pos");
    struct tensor *ids = compute_pass_input(pass, TYPE_I32, 1, ROWS, "ids");
    struct tensor *turned = queries ? op_rope(pass, q, pos, NULL, params) : NULL;
    op_scatter(pass, &keys, op_rope(pass, k, pos, NULL, params), ids);
    op_scatter(pass, &values, v, ids);
    if (turned)
        compute_pass_output(pass, turned);
    assert_int_equal(compute_pass_plan(pass, &cost), PR_OK);
    fill(compute_pass_host(pass, q), ROWS * Q_COLS, 0);
    fill(compute_pass_host(pass, k), ROWS * K_COLS, 1000);
    fill(compute_pass_host(pass, v), ROWS * V_COLS, 2000);
    for (int i = 0; i < 4 * ROWS; i++)
        ((int32_t *)compute_pass_host(pass, pos))[i] = 7 * i + 1;
    memcpy(compute_pass_host(pass, ids), (int32_t[ROWS]){7, -1, 0, CELLS, 10},
           ROWS * sizeof(int32_t)); /* two go nowhere */
    assert_int_equal(compute_pass_run(pass, NULL), PR_OK);
    memset(out, 0, sizeof *out);
    if (turned)
        memcpy(out->q, compute_pass_host(pass, turned), sizeof out->q);
    assert_int_equal(compute_buffer_read(keys.buffer, 0, out->keys, compute_tensor_bytes(&keys)), PR_OK);
    assert_int_equal(compute_buffer_read(values.buffer, 0, out->values, compute_tensor_bytes(&values)), PR_OK);
    compute_pass_destroy(pass);
    compute_state_destroy(&keys);
    compute_state_destroy(&values);
    return cost.n_ops;
}

static void expect_same(enum type type, const float *a, const float *b, int n)
{
    for (int i = 0; i < n; i++) {
        double x = type == TYPE_F16 ? (double)compute_f16_to_f32(((const uint16_t *)a)[i]) : (double)a[i];
        double y = type == TYPE_F16 ? (double)compute_f16_to_f32(((const uint16_t *)b)[i]) : (double)b[i];
        assert_true(fabs(x - y) <= (type == TYPE_F16 ? 1e-3 : 1e-5));
    }
}

static void keys_and_values_go_to_the_cache_with_the_rope(void **state)
{
    (void)state;
    enum { PARTS = 3, ALL = 7, WITHOUT_QUERIES = 6 };
    begin_list();
    struct device *ref, *device = open_vulkan(only_recorded ? only_recorded : "", NULL);
    assert_int_equal(compute_device_open("ref", NULL, &ref), PR_OK);
    for (int i = 0; i < 8; i++) {
        enum type type = i % 2 ? TYPE_F16 : TYPE_F32;
        bool queries = i % 4 < 2;
        struct rope_params params = {.kind = i < 4 ? ROPE_NEOX : ROPE_NORM,
                                     .d_head = D,
                                     .n_rot = i < 4 ? D - 8 : D,
                                     .base = 10000,
                                     .freq_scale = 1,
                                     .yarn_attn = 1};
        struct cached want, got;
        assert_int_equal(turn_into_cache(ref, ref, type, &params, queries, &want), 3 + queries);
        assert_int_equal(turn_into_cache(device, ref, type, &params, queries, &got), 2 + queries);
        if (only_recorded)
            continue;
        expect_same(TYPE_F32, want.q, got.q, ROWS * Q_COLS);
        expect_same(type, want.keys, got.keys, CELLS * K_COLS);
        expect_same(type, want.values, got.values, CELLS * V_COLS);
    }
    assert_true(compiled("rope", PARTS, ALL));
    assert_true(compiled("rope", PARTS, WITHOUT_QUERIES));
    assert_false(compiled("scatter", 0, 64));
    compute_device_close(device);
    compute_device_close(ref);
    end_list();
}

int main(int argc, char **argv)
{
    only_recorded = argc > 1 ? argv[1] : NULL;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_one_x_are_one_dispatch),
        cmocka_unit_test(also_where_weights_are_copied),
        cmocka_unit_test(keys_and_values_go_to_the_cache_with_the_rope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
