/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Wrong arguments are refused with a message that names the tensors; the error waits in the pass until it is planned.
 */
#include "compute/op.h"

#include "compute/pass.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct device *device;
    struct pass *pass;
};

static int open_pass(void **state)
{
    static struct fixture f;
    if (compute_device_open("ref", NULL, &f.device) < 0)
        return -1;
    f.pass = compute_pass_create(&f.device, 1);
    *state = &f;
    return 0;
}

static int close_pass(void **state)
{
    struct fixture *f = *state;
    compute_pass_destroy(f->pass);
    compute_device_close(f->device);
    return 0;
}

static struct tensor *f32(struct fixture *f, int64_t rows, int64_t cols)
{
    return compute_pass_input(f->pass, TYPE_F32, rows, cols, "some f32");
}

static struct tensor *i32(struct fixture *f, int64_t rows, int64_t cols)
{
    return compute_pass_input(f->pass, TYPE_I32, rows, cols, "some i32");
}

static struct tensor weight(enum type type, int64_t rows, int64_t cols)
{
    return (struct tensor){.role = TENSOR_WEIGHT, .type = type, .rows = rows, .cols = cols, .name = "blk.0.weight"};
}

/* The last recorded call was wrong: the message has these words, and recording goes on without harm. Starts a fresh pass. */
static void expect_refused(struct fixture *f, const char *a, const char *b)
{
    struct tensor *y = op_scale(f->pass, f32(f, 1, 1), 2);
    assert_non_null(y);
    compute_pass_output(f->pass, y);
    assert_true(compute_pass_plan(f->pass, NULL) < 0);
    if (!strstr(pr_error_message(), a) || !strstr(pr_error_message(), b))
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", pr_error_message(), a, b);
    assert_true(compute_pass_run(f->pass, NULL) < 0);
    compute_pass_destroy(f->pass);
    f->pass = compute_pass_create(&f->device, 1);
}

static void products_and_rows(void **state)
{
    struct fixture *f = *state;
    struct tensor w = weight(TYPE_Q4_K, 8, 256), bias = weight(TYPE_F32, 1, 7), unknown = weight((enum type)4, 8, 256);
    struct tensor ids = weight(TYPE_I32, 8, 256);
    op_matmul(f->pass, &w, f32(f, 3, 255), NULL);
    expect_refused(f, "blk.0.weight [8, 256] Q4_K", "some f32 [3, 255] F32");
    op_matmul(f->pass, &w, f32(f, 3, 256), &bias);
    expect_refused(f, "matmul", "[1, 7]");
    op_matmul(f->pass, &unknown, f32(f, 3, 256), NULL);
    expect_refused(f, "matmul", "not a type of weights");
    op_matmul(f->pass, &ids, f32(f, 3, 256), NULL);
    expect_refused(f, "I32", "not a type of weights");
    op_matmul(f->pass, &w, i32(f, 3, 256), NULL);
    expect_refused(f, "some i32", "must be F32");
    op_matmul(f->pass, NULL, f32(f, 3, 256), NULL);
    expect_refused(f, "matmul", "missing");
    op_gather(f->pass, &w, f32(f, 1, 4));
    expect_refused(f, "gather", "ids");
    op_gather(f->pass, &w, i32(f, 4, 1));
    expect_refused(f, "gather", "ids");
    op_reshape(f->pass, f32(f, 4, 6), 5, 5);
    expect_refused(f, "reshape", "[5, 5]");
    op_reshape(f->pass, &w, 256, 8);
    expect_refused(f, "reshape", "Q4_K");
    op_reshape(f->pass, f32(f, 4, 6), INT64_MAX, 24);
    expect_refused(f, "reshape", "[4, 6]");
    op_reshape(f->pass, f32(f, 4, 6), -4, -6);
    expect_refused(f, "reshape", "[-4, -6]");
}

static void scattering(void **state)
{
    struct fixture *f = *state;
    struct tensor cache, q4 = weight(TYPE_Q4_0, 8, 32);
    assert_int_equal(compute_state_create(f->device, TYPE_F16, 8, 32, "cache", &cache), PR_OK);
    op_scatter(f->pass, f32(f, 8, 32), f32(f, 2, 32), i32(f, 1, 2));
    expect_refused(f, "scatter", "must be a state or an activation");
    op_scatter(f->pass, &q4, f32(f, 2, 32), i32(f, 1, 2));
    expect_refused(f, "scatter", "must be a state");
    op_scatter(f->pass, &cache, f32(f, 2, 31), i32(f, 1, 2));
    expect_refused(f, "cache [8, 32] F16", "[2, 31]");
    op_scatter(f->pass, &cache, f32(f, 2, 32), i32(f, 1, 3));
    expect_refused(f, "scatter", "one for each row");
    struct tensor *x = op_scale(f->pass, f32(f, 2, 32), 1);
    op_scatter(f->pass, x, op_reshape(f->pass, x, 2, 32), i32(f, 1, 2));
    expect_refused(f, "scatter", "itself");
    compute_state_destroy(&cache);
}

static void elementwise_and_norms(void **state)
{
    struct fixture *f = *state;
    struct tensor q8 = weight(TYPE_Q8_0, 3, 32), row = weight(TYPE_F32, 1, 31);
    op_add(f->pass, f32(f, 3, 4), f32(f, 2, 4));
    expect_refused(f, "add", "[2, 4]");
    op_mul(f->pass, f32(f, 3, 32), &q8);
    expect_refused(f, "mul", "Q8_0");
    op_softcap(f->pass, f32(f, 3, 4), 0);
    expect_refused(f, "softcap", "above 0");
    op_softcap(f->pass, f32(f, 3, 4), NAN);
    expect_refused(f, "softcap", "above 0");
    op_scale(f->pass, i32(f, 3, 4), 2);
    expect_refused(f, "scale", "must be F32");
    op_glu(f->pass, f32(f, 3, 4), f32(f, 4, 3), ACT_SILU);
    expect_refused(f, "glu", "equal shapes");
    op_rms_norm(f->pass, f32(f, 3, 32), &row, 1e-5f);
    expect_refused(f, "rms_norm", "[1, 31]");
    op_layer_norm(f->pass, f32(f, 3, 32), NULL, &row, 1e-5f);
    expect_refused(f, "layer_norm", "bias");
    op_rms_norm(f->pass, f32(f, 3, 32), NULL, -1);
    expect_refused(f, "rms_norm", "eps");
    op_convert(f->pass, f32(f, 3, 33), TYPE_Q8_0);
    expect_refused(f, "convert", "block");
    op_convert(f->pass, f32(f, 3, 32), TYPE_Q4_0);
    expect_refused(f, "convert", "F16");
}

static void positions(void **state)
{
    struct fixture *f = *state;
    const struct rope_params good = {
        .kind = ROPE_NEOX, .d_head = 64, .n_rot = 64, .base = 10000, .freq_scale = 1, .yarn_attn = 1};
    struct rope_params p = good;
    op_rope(f->pass, f32(f, 3, 100), i32(f, 3, 4), NULL, &p);
    expect_refused(f, "rope", "multiple of d_head");
    op_rope(f->pass, f32(f, 3, 64), i32(f, 3, 2), NULL, &p);
    expect_refused(f, "rope", "positions");
    op_rope(f->pass, f32(f, 3, 64), i32(f, 2, 4), NULL, &p);
    expect_refused(f, "rope", "positions");
    op_rope(f->pass, f32(f, 3, 64), i32(f, 3, 4), f32(f, 1, 31), &p);
    expect_refused(f, "rope", "divisors");
    p.n_rot = 63;
    op_rope(f->pass, f32(f, 3, 64), i32(f, 3, 4), NULL, &p);
    expect_refused(f, "rope", "even");
    p.n_rot = 66;
    op_rope(f->pass, f32(f, 3, 64), i32(f, 3, 4), NULL, &p);
    expect_refused(f, "rope", "n_rot");
    p = good;
    p.kind = ROPE_MROPE;
    p.sections[0] = 16;
    op_rope(f->pass, f32(f, 3, 64), i32(f, 3, 4), NULL, &p);
    expect_refused(f, "rope", "add up");
    p = good;
    p.base = 0;
    op_rope(f->pass, f32(f, 3, 64), i32(f, 3, 4), NULL, &p);
    expect_refused(f, "rope", "base");
    p = good;
    p.yarn_ext = 1;
    op_rope(f->pass, f32(f, 3, 64), i32(f, 3, 4), NULL, &p);
    expect_refused(f, "rope", "YaRN");
}

static void attention(void **state)
{
    struct fixture *f = *state;
    const struct attention_params good = {
        .n_head = 4, .n_kv = 2, .d_head = 8, .d_value = 8, .scale = 1, .page_size = 16};
    struct attention_params p = good;
    struct tensor q8 = weight(TYPE_Q8_0, 9, 32);
    q8.role = TENSOR_STATE;
    op_attention(f->pass, f32(f, 3, 32), f32(f, 9, 15), f32(f, 9, 16), NULL, i32(f, 3, 2), &p);
    expect_refused(f, "attention", "keys");
    op_attention(f->pass, f32(f, 3, 32), f32(f, 9, 16), f32(f, 8, 16), NULL, i32(f, 3, 2), &p);
    expect_refused(f, "attention", "cells");
    op_attention(f->pass, f32(f, 3, 31), f32(f, 9, 16), f32(f, 9, 16), NULL, i32(f, 3, 2), &p);
    expect_refused(f, "attention", "queries");
    op_attention(f->pass, f32(f, 3, 32), f32(f, 9, 16), f32(f, 9, 16), NULL, i32(f, 2, 2), &p);
    expect_refused(f, "attention", "ranges");
    op_attention(f->pass, f32(f, 3, 32), f32(f, 9, 16), f32(f, 9, 16), i32(f, 1, 2), i32(f, 3, 2), &p);
    expect_refused(f, "attention", "pages");
    p.n_head = 3;
    op_attention(f->pass, f32(f, 3, 24), f32(f, 9, 16), f32(f, 9, 16), NULL, i32(f, 3, 2), &p);
    expect_refused(f, "attention", "multiple of n_kv");
    p = good;
    p.page_size = 24;
    op_attention(f->pass, f32(f, 3, 32), f32(f, 9, 16), f32(f, 9, 16), i32(f, 3, 2), i32(f, 3, 2), &p);
    expect_refused(f, "attention", "power of two");
    p = good;
    p.d_head = p.d_value = 16; /* not whole blocks of q8_0 */
    op_attention(f->pass, f32(f, 3, 64), &q8, &q8, NULL, i32(f, 3, 2), &p);
    expect_refused(f, "attention", "multiple of 32");
    p = good;
    p.n_head = p.n_kv = 0;
    op_attention(f->pass, f32(f, 3, 32), f32(f, 9, 16), f32(f, 9, 16), NULL, i32(f, 3, 2), &p);
    expect_refused(f, "attention", "n_kv");
}

static void pictures(void **state)
{
    struct fixture *f = *state;
    op_patches(f->pass, f32(f, 42, 28), &(struct patch_params){28, 15, 3, 14});
    expect_refused(f, "patches", "multiples");
    op_patches(f->pass, f32(f, 43, 28), &(struct patch_params){28, 14, 3, 14});
    expect_refused(f, "patches", "[43, 28]");
    op_resample(f->pass, f32(f, 43, 28), &(struct resample_params){7, 6, 3, 3, true});
    expect_refused(f, "resample", "[43, 28]");
    op_resample(f->pass, f32(f, 42, 28), &(struct resample_params){7, 6, 0, 3, true});
    expect_refused(f, "resample", "positive");
}

static void sizes_and_ends(void **state)
{
    struct fixture *f = *state;
    struct tensor w = weight(TYPE_F32, INT32_MAX, 1);
    op_matmul(f->pass, &w, f32(f, 100000, 1), NULL);
    expect_refused(f, "matmul", "too large");
    compute_pass_input(f->pass, TYPE_F32, 0, 4, "nothing");
    expect_refused(f, "nothing", "[0, 4]");
    compute_pass_input(f->pass, TYPE_Q8_0, 1, 33, "odd");
    expect_refused(f, "odd", "Q8_0");
    compute_pass_output(f->pass, &w);
    expect_refused(f, "output", "activations");
}

/* The first error is the one that counts: later ones only follow from it. */
static void the_first_error_is_kept(void **state)
{
    struct fixture *f = *state;
    struct tensor *bad = op_add(f->pass, f32(f, 3, 4), f32(f, 2, 4));
    op_mul(f->pass, bad, f32(f, 77, 78));
    expect_refused(f, "add", "[2, 4]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_and_rows),
        cmocka_unit_test(scattering),
        cmocka_unit_test(elementwise_and_norms),
        cmocka_unit_test(positions),
        cmocka_unit_test(attention),
        cmocka_unit_test(pictures),
        cmocka_unit_test(sizes_and_ends),
        cmocka_unit_test(the_first_error_is_kept),
    };
    return cmocka_run_group_tests(tests, open_pass, close_pass);
}
