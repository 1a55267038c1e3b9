/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every architecture against Hugging Face: the top 20 of 16 greedy steps (tests/golden/README.md).
 */
#include "llm/arch.h"
#include "tests/support/llm_rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const cases[] = {"llama", "llama-tied", "llama-rope-llama3", "llama-rope-linear", "llama-rope-yarn",
                                    "qwen2", "qwen3",      "qwen2vl",           "qwen2vl-video",     "qwen3vl"};
static const char *const quantised[] = {"llama-q8_0", "llama-q4_0", "llama-mixed"};

static void check_cases(const char *const *names, size_t n, const char *device, float tolerance)
{
    bool bad = false;
    for (size_t i = 0; i < n; i++) {
        struct golden golden;
        golden_read(names[i], &golden);
        for (int m = 0; m < golden.n_models; m++) {
            struct llm_rig rig;
            llm_rig_open(&rig, &(struct llm_rig_options){.model = golden.models[m], .device = device});
            float worst = llm_rig_compare(&rig, &golden);
            print_message("%-8s %-28s differs by at most %.5f\n", device, golden.models[m], (double)worst);
            bad |= !(worst <= tolerance);
            llm_rig_close(&rig);
        }
        golden_finish(&golden);
    }
    assert_false(bad);
}

static void ref_agrees(void **state)
{
    (void)state;
    check_cases(cases, sizeof cases / sizeof cases[0], "ref", 0.01f);
}

static void ref_agrees_quantised(void **state)
{
    (void)state;
    check_cases(quantised, sizeof quantised / sizeof quantised[0], "ref", 0.01f);
}

static void cpu_agrees(void **state)
{
    (void)state;
    llm_rig_need("cpu");
    check_cases(cases, sizeof cases / sizeof cases[0], "cpu", 0.03f);
}

static void vulkan_agrees(void **state)
{
    (void)state;
    llm_rig_need("vulkan");
    check_cases(cases, sizeof cases / sizeof cases[0], "vulkan", 0.03f);
}

static void unknown_names_list_the_known(void **state)
{
    (void)state;
    const struct llm_arch *arch;
    assert_int_equal(llm_arch_find("mamba", &arch), PR_ERR_UNSUPPORTED);
    assert_non_null(strstr(pr_error_message(), "mamba"));
    assert_non_null(strstr(pr_error_message(), "qwen2vl"));
    assert_int_equal(llm_arch_find("llama", &arch), PR_OK);
    assert_ptr_equal(arch, &llm_arch_llama);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ref_agrees),    cmocka_unit_test(ref_agrees_quantised),         cmocka_unit_test(cpu_agrees),
        cmocka_unit_test(vulkan_agrees), cmocka_unit_test(unknown_names_list_the_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
