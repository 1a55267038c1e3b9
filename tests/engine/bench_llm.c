/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "pagereel/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void figures_hang_together(void **state)
{
    (void)state;
    struct pr_settings s = pr_settings_default();
    struct pr_model *model;
    struct pr_bench_llm b;
    s.model = "tests/golden/llm/llama-q8_0.gguf";
    s.device = "ref";
    s.runs = 3;
    assert_int_equal(pr_model_open(&s, NULL, &model), PR_OK);
    assert_int_equal(pr_bench_llm(model, &s, NULL, &b), PR_OK);
    assert_int_equal(b.runs, 3);
    assert_true(b.prefill_tok_s > 0 && b.decode_tok_s > 0);
    assert_true(b.weight_bytes > 0 && b.weight_bytes < 112032); /* the file's size */
    assert_true(b.cache_bytes > 0 && b.arena_bytes > 0 && b.peak_device_bytes >= b.cache_bytes + b.arena_bytes / 2);
    assert_true(b.decode_bandwidth_share >= 0 && b.decode_bandwidth_share < 1.5);

    struct pr_cancel *cancel = pr_cancel_create();
    pr_cancel_request(cancel);
    assert_int_equal(pr_bench_llm(model, &s, cancel, &b), PR_ERR_CANCELLED);
    pr_cancel_destroy(cancel);
    pr_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(figures_hang_together)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
