/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The real SmolLM2-135M-Instruct (suite slow). PAGEREEL_TEST_SMOLLM2 is the path of the file that tools/fetch_smollm2 gets; without
 * it every test here is skipped.
 */
#include "pagereel/model.h"
#include "tests/support/llm_rig.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/tokenizer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *question, *word; /* an answer has it */
} questions[] = {
    {"What is the largest ocean on Earth?", "Pacific"}, {"How many days are there in a week?", "7"},
    {"What is the chemical formula of water?", "H2O"},  {"What is the largest animal on Earth?", "Blue Whale"},
    {"What is the capital of Japan?", "Tokyo"},
};
enum { N_QUESTIONS = sizeof questions / sizeof questions[0], GREEDY = 64, TOP = 2 };

static const char *need_model(void)
{
    const char *path = getenv("PAGEREEL_TEST_SMOLLM2");
    if (!path || !*path) {
        puts("skipped: PAGEREEL_TEST_SMOLLM2 isn't set; tools/fetch_smollm2 gets the file and prints its path");
        skip();
    }
    return path;
}

static void check(int err)
{
    if (err < 0)
        fail_msg("%s: %s", pr_error_name(err), pr_error_message());
}

/* Every step that transformers took on the dequantised weights (tests/golden/README.md). */
static void agrees_with_transformers(const char *device, float bound)
{
    const char *path = need_model();
    struct golden golden;
    struct llm_rig rig;
    llm_rig_need(device);
    llm_rig_open(&rig, &(struct llm_rig_options){.model = path, .device = device});
    int n = 0;
    for (; golden_read_case("tests/golden/smollm2.json", n, &golden); n++) {
        float worst = llm_rig_compare(&rig, &golden);
        print_message("%s, question %d differs by at most %.5f\n", device, n + 1, (double)worst);
        assert_true(worst <= bound);
        golden_finish(&golden);
    }
    assert_int_equal(n, 5);
    llm_rig_close(&rig);
}

static void ref_agrees_with_transformers(void **state)
{
    (void)state;
    agrees_with_transformers("ref", 0.01f);
}

/* The same as on ref, as long as the device doesn't round activations. */
static void vulkan_agrees_with_transformers(void **state)
{
    (void)state;
    agrees_with_transformers("vulkan", 0.03f);
}

struct answer {
    struct base_buf text;
    int32_t ids[GREEDY];
    float gap[GREEDY]; /* between the best and the second best */
    int n;
};

static bool on_token(void *user, const struct pr_token *token)
{
    struct answer *a = user;
    base_buf_append(&a->text, token->text, token->len);
    if (token->id >= 0 && a->n < GREEDY) {
        a->gap[a->n] = token->n_top == TOP ? token->top[0].logprob - token->top[1].logprob : INFINITY;
        a->ids[a->n++] = token->id;
    }
    return true;
}

/* The answers of a device, at most `max` tokens each. */
static void ask(const char *path, const char *device, int max, struct answer answers[N_QUESTIONS])
{
    struct pr_settings s = pr_settings_default();
    struct pr_model *model;
    s.model = path;
    s.device = device;
    s.max_tokens = max;
    s.logprobs = TOP;
    s.ctx = 256;
    check(pr_model_open(&s, NULL, &model));
    for (int i = 0; i < N_QUESTIONS; i++) {
        struct pr_session *session;
        answers[i] = (struct answer){0};
        check(pr_session_create(model, &s, &session));
        check(pr_session_chat(session, PR_ROLE_USER, questions[i].question, strlen(questions[i].question)));
        check(pr_session_generate(session, &s, on_token, &answers[i], NULL, NULL));
        print_message("%s: %s %s\n", device, questions[i].question, answers[i].text.data);
        pr_session_destroy(session);
    }
    pr_model_close(model);
}

static void answers_are_sensible(void **state)
{
    (void)state;
    const char *path = need_model();
    static const char *const devices[] = {"ref", "cpu", "vulkan"};
    for (int d = 0; d < 3; d++) {
        if (!llm_rig_has(devices[d]))
            continue;
        struct answer answers[N_QUESTIONS];
        ask(path, devices[d], 16, answers);
        for (int i = 0; i < N_QUESTIONS; i++) {
            if (!strstr(answers[i].text.data, questions[i].word))
                fail_msg("%s: \"%s\" isn't in the answer", devices[d], questions[i].word);
            base_buf_finish(&answers[i].text);
        }
    }
}

/* Token for token, or up to a token whose best two are closer than 0.01 in log-probability on one of the devices. */
static void cpu_and_vulkan_say_the_same(void **state)
{
    (void)state;
    const char *path = need_model();
    struct answer cpu[N_QUESTIONS], vulkan[N_QUESTIONS];
    llm_rig_need("cpu");
    llm_rig_need("vulkan");
    ask(path, "cpu", GREEDY, cpu);
    ask(path, "vulkan", GREEDY, vulkan);
    bool unexplained = false;
    for (int i = 0; i < N_QUESTIONS; i++) {
        int n = cpu[i].n < vulkan[i].n ? cpu[i].n : vulkan[i].n, same = 0;
        while (same < n && cpu[i].ids[same] == vulkan[i].ids[same])
            same++;
        bool equal = same == n && cpu[i].n == vulkan[i].n;
        float gap = equal || same == n ? INFINITY : fminf(cpu[i].gap[same], vulkan[i].gap[same]);
        print_message("question %d: %d tokens are the same%s", i + 1, same, equal ? "\n" : "");
        if (!equal)
            print_message("; then the best two are %.4f (cpu) and %.4f (vulkan) apart\n",
                          (double)(same < n ? cpu[i].gap[same] : INFINITY),
                          (double)(same < n ? vulkan[i].gap[same] : INFINITY));
        unexplained |= !equal && !(gap < 0.01f);
        base_buf_finish(&cpu[i].text);
        base_buf_finish(&vulkan[i].text);
    }
    assert_false(unexplained);
}

/* ---- a sliding window ------------------------------------------------------------------------------------------- */

enum { READ = 2400, WINDOW = 1024, SINKS = 4, STEP = 60, SHIFT_AT = 2000 };

/* Log-probabilities of each next token of a text through a window, whose keys are rotated back when positions reach SHIFT_AT. */
static void read_through_window(const char *path, const char *device, const int32_t ids[READ], float out[READ])
{
    struct llm_rig rig;
    struct llm_sequence *sequence;
    struct llm_slide slide = {.sinks = SINKS, .window = WINDOW, .position_limit = SHIFT_AT};
    llm_rig_open(&rig, &(struct llm_rig_options){.model = path, .device = device, .batch = STEP, .cells = 2 * WINDOW});
    check(llm_sequence_create(rig.kv, &slide, &sequence));
    int32_t n_vocab = rig.hp->n_vocab;
    float *logits = base_alloc_array((size_t)STEP * (size_t)n_vocab, sizeof *logits);
    for (int32_t at = 0; at < READ; at += STEP) {
        struct llm_piece piece = {.n = STEP, .ids = ids + at};
        check(llm_decode(rig.decoder, sequence, &piece, 1, STEP, logits, NULL));
        for (int32_t i = 0; i < STEP && at + i + 1 < READ; i++) {
            float *row = logits + (size_t)i * (size_t)n_vocab;
            llm_rig_log_softmax(row, n_vocab);
            out[at + i] = row[ids[at + i + 1]];
        }
    }
    base_free(logits);
    llm_sequence_destroy(sequence);
    llm_rig_close(&rig);
}

/* The tour as text: its first READ tokens. */
static void tokens_of_text(const char *path, int32_t ids[READ])
{
    struct base_buf text = {0};
    struct tokens tokens = {0};
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    check(base_file_read("docs/ARCHITECTURE.md", 1 << 20, &text));
    check(model_gguf_open(path, &gguf));
    check(model_tokenizer_create(gguf, &tokenizer));
    check(model_tokenize(tokenizer, text.data, text.len, 0, &tokens));
    assert_true(tokens.n >= READ);
    memcpy(ids, tokens.ids, READ * sizeof *ids);
    model_tokens_finish(&tokens);
    model_tokenizer_destroy(tokenizer);
    model_gguf_close(gguf);
    base_buf_finish(&text);
}

/* Every device gives the definition's log-probabilities under the same sinks and window, long behind the first window and
 * behind a shift, too. */
static void windows_agree_with_ref(void **state)
{
    (void)state;
    const char *path = need_model();
    static const char *const devices[] = {"cpu", "vulkan"};
    int32_t ids[READ];
    float expected[READ], got[READ];
    tokens_of_text(path, ids);
    read_through_window(path, "ref", ids, expected);
    for (int d = 0; d < 2; d++) {
        if (!llm_rig_has(devices[d]))
            continue;
        read_through_window(path, devices[d], ids, got);
        float worst = llm_rig_difference(got, expected, READ - 1);
        print_message("%s: %d tokens, window %d, %d sinks: differ by at most %.5f\n", devices[d], READ, WINDOW, SINKS,
                      (double)worst);
        assert_true(worst <= 0.02f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ref_agrees_with_transformers), cmocka_unit_test(vulkan_agrees_with_transformers),
        cmocka_unit_test(windows_agree_with_ref),       cmocka_unit_test(answers_are_sensible),
        cmocka_unit_test(cpu_and_vulkan_say_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
