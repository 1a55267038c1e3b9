/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What kinds of cache cost in answers, with the real SmolLM2-135M-Instruct (suite slow) over this project's own documents: a long conversation
 * whose excerpts and oldest turns are dropped as wholes, as `chat` does it, beside one through a sliding window of the same size; and a
 * cache of q8_0 beside one of f16. docs/MEMORY.md has the figures.
 */
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

enum {
    CHUNK = 1300 /* bytes of an excerpt */,
    TURNS = 28,
    FIRST_PROBE = 12,
    EACH = 4,
    WINDOW = 2048,
    DIALOGUE = WINDOW / 4,
    CUE = 6,
    REST = 8
};

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

/* ---- questions ---------------------------------------------------------------------------------------------------- */

/* An excerpt, the beginning of a sentence from its middle, and how that goes on. */
struct item {
    char *excerpt;
    char cue[128], rest[160];
};

/* Copies words; returns what follows. */
static const char *copy_words(const char *text, int n, char *out, size_t size)
{
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        text += strspn(text, " \n");
        size_t len = strcspn(text, " \n");
        if (at + len + 2 > size)
            break;
        at += (size_t)snprintf(out + at, size - at, "%s%.*s", i ? " " : "", (int)len, text);
        text += len;
    }
    return text;
}

static void read_items(struct item items[TURNS])
{
    static const char *const files[] = {"docs/ARCHITECTURE.md", "model/MODEL.md", "docs/FORMATS.md"};
    struct base_buf text = {0};
    for (int f = 0; f < 3; f++) {
        struct base_buf file = {0};
        check(base_file_read(files[f], 1 << 20, &file));
        base_buf_append(&text, file.data, file.len);
        base_buf_finish(&file);
    }
    assert_true(text.len > TURNS * CHUNK);
    base_buf_append(&text, "", 1);
    for (int i = 0; i < TURNS; i++) {
        char *excerpt = items[i].excerpt = base_alloc(CHUNK + 1);
        memcpy(excerpt, text.data + (size_t)i * CHUNK, CHUNK);
        const char *middle = strstr(excerpt + CHUNK / 3, ". ");
        middle = copy_words(middle && middle - excerpt < CHUNK * 2 / 3 ? middle + 2 : excerpt + CHUNK / 3, CUE,
                            items[i].cue, sizeof items[i].cue);
        copy_words(middle, REST, items[i].rest, sizeof items[i].rest);
    }
    base_buf_finish(&text);
}

/* ---- prompts ------------------------------------------------------------------------------------------------------ */

static struct tokenizer *tokenizer;
static const char names[][8] = {"amber", "cobalt", "maple", "raven", "silver", "tulip", "walnut"};

/* A name that a turn gives to its sentence: what only the conversation says. */
static void name_of(int turn, char out[32])
{
    snprintf(out, 32, "%s %d", names[turn % 7], 10 + turn);
}

static void add(struct tokens *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct tokens *out, const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    check(model_tokenize(tokenizer, text, (size_t)len, TOKENIZE_SPECIAL, out));
    free(text);
}

static void add_system(struct tokens *out)
{
    add(out, "<|im_start|>system\nYou answer questions about documents from excerpts of them.<|im_end|>\n");
}

/* A question; excerpt: NULL in a turn that is told again. */
static void add_question(struct tokens *out, const char *excerpt, const char *question)
{
    add(out, "<|im_start|>user\n%s%s%s%s<|im_end|>\n<|im_start|>assistant\n", excerpt ? "Excerpts:\n" : "",
        excerpt ? excerpt : "", excerpt ? "\n\nQuestion: " : "Question: ", question);
}

static void question_of(const struct item *items, int turn, char out[400])
{
    char name[32];
    name_of(turn, name);
    snprintf(out, 400, "I call this sentence %s. How does \"%s\" go on?", name, items[turn].cue);
}

static void add_turn(struct tokens *out, const struct item *items, int turn, bool excerpt)
{
    char question[400];
    question_of(items, turn, question);
    add_question(out, excerpt ? items[turn].excerpt : NULL, question);
    add(out, "%s<|im_end|>\n", items[turn].rest);
}

/* ---- log-probabilities -------------------------------------------------------------------------------------------- */

/* The mean log-probability of the answer's tokens behind the prompt; all: [answer, n_vocab] log-probabilities, or NULL. */
static double score(struct llm_rig *rig, struct llm_sequence *sequence, const struct tokens *prompt, const char *answer,
                    float *all, int32_t *n_all)
{
    struct tokens ids = {0};
    size_t n_vocab = (size_t)rig->hp->n_vocab;
    double sum = 0;
    model_tokens_append(&ids, prompt->ids, prompt->n);
    add(&ids, "%s", answer);
    size_t n = ids.n - prompt->n;
    float *logits = base_alloc_array((n + 1) * n_vocab, sizeof *logits);
    struct llm_piece piece = {.n = (int32_t)ids.n, .ids = ids.ids};
    check(llm_decode(rig->decoder, sequence, &piece, 1, (int32_t)n + 1, logits, NULL));
    for (size_t i = 0; i < n; i++) {
        llm_rig_log_softmax(logits + i * n_vocab, (int32_t)n_vocab);
        sum += (double)logits[i * n_vocab + (size_t)ids.ids[prompt->n + i]];
    }
    if (all)
        memcpy(all, logits, n * n_vocab * sizeof *all);
    if (n_all)
        *n_all = (int32_t)n;
    base_free(logits);
    model_tokens_finish(&ids);
    return sum / (double)n;
}

/* ---- conversations ------------------------------------------------------------------------------------------------ */

enum { NOW, ONE_BACK, THREE_BACK, EIGHT_BACK, PROBES };
static const int back[PROBES] = {0, 1, 3, 8};

/* What is asked behind turn `turn`, and the answer. */
static const char *probe(const struct item *items, int turn, int what, struct tokens *out)
{
    char question[400], name[32];
    if (what == NOW) {
        question_of(items, turn + 1, question);
        add_question(out, items[turn + 1].excerpt, question);
        return items[turn + 1].rest;
    }
    name_of(turn + 1 - back[what], name);
    snprintf(question, sizeof question, "How does the sentence begin that I called %s?", name);
    add_question(out, items[turn + 1].excerpt, question);
    return items[turn + 1 - back[what]].cue;
}

/* As chat does: the latest turns, without their excerpts, as far as a quarter of the window goes. */
static double ask_dropping(struct llm_rig *rig, const struct item *items, int turn, int what)
{
    struct tokens prompt = {0}, told = {0};
    struct llm_sequence *sequence;
    int first = turn + 1;
    while (first > 0) {
        struct tokens more = {0};
        add_turn(&more, items, first - 1, false);
        size_t n = told.n + more.n;
        model_tokens_append(&told, more.ids, more.n);
        model_tokens_finish(&more);
        if (n > DIALOGUE)
            break;
        first--;
    }
    add_system(&prompt);
    for (int i = first; i <= turn; i++)
        add_turn(&prompt, items, i, false);
    const char *answer = probe(items, turn, what, &prompt);
    check(llm_sequence_create(rig->kv, NULL, &sequence));
    double value = score(rig, sequence, &prompt, answer, NULL, NULL);
    llm_sequence_destroy(sequence);
    model_tokens_finish(&prompt);
    model_tokens_finish(&told);
    return value;
}

/* All that was said and shown in one window: the probe is asked of a copy. */
static double ask_sliding(struct llm_rig *rig, const struct llm_sequence *base, const struct item *items, int turn,
                          int what)
{
    struct tokens prompt = {0};
    struct llm_sequence *copy;
    const char *answer = probe(items, turn, what, &prompt);
    check(llm_sequence_fork(base, &copy));
    double value = score(rig, copy, &prompt, answer, NULL, NULL);
    llm_sequence_destroy(copy);
    model_tokens_finish(&prompt);
    return value;
}

static void whole_turns_are_dropped(void **state)
{
    (void)state;
    const char *path = need_model();
    static const char *const whats[] = {"what the excerpts say", "what was said one turn before", "three turns before",
                                        "eight turns before"};
    struct item items[TURNS];
    struct llm_rig rig;
    struct llm_sequence *sliding;
    struct tokens start = {0};
    double dropping[PROBES] = {0}, slid[PROBES] = {0};
    int n[PROBES] = {0};
    read_items(items);
    llm_rig_open(
        &rig, &(struct llm_rig_options){
                  .model = path, .device = "cpu", .cells = 3 * WINDOW, .key_type = TYPE_F16, .value_type = TYPE_F16});
    check(model_tokenizer_create(rig.gguf, &tokenizer));
    add_system(&start);
    struct llm_slide slide = {.sinks = (int32_t)start.n, .window = WINDOW - (int32_t)start.n};
    check(llm_sequence_create(rig.kv, &slide, &sliding));
    for (int turn = 0; turn + 1 < TURNS; turn++) {
        add_turn(&start, items, turn, true);
        struct llm_piece piece = {.n = (int32_t)start.n, .ids = start.ids};
        check(llm_decode(rig.decoder, sliding, &piece, 1, 0, NULL, NULL));
        start.n = 0;
        for (int what = 0; what < PROBES && turn >= FIRST_PROBE; what++) {
            if (turn % (what == NOW ? EACH / 2 : EACH) != 0)
                continue;
            n[what]++;
            dropping[what] += ask_dropping(&rig, items, turn, what);
            slid[what] += ask_sliding(&rig, sliding, items, turn, what);
        }
    }
    double gain = 0;
    for (int what = 0; what < PROBES; what++) {
        dropping[what] /= n[what];
        slid[what] /= n[what];
        gain += (dropping[what] - slid[what]) / PROBES;
        print_message(
            "%s (%d questions): log-probability of a token of the answer %.3f when whole turns are dropped, %.3f "
            "through a window\n",
            whats[what], n[what], dropping[what], slid[what]);
    }
    assert_true(gain > 0.2);
    assert_true(dropping[EIGHT_BACK] > slid[EIGHT_BACK] + 1);
    llm_sequence_destroy(sliding);
    model_tokenizer_destroy(tokenizer);
    llm_rig_close(&rig);
    model_tokens_finish(&start);
    for (int i = 0; i < TURNS; i++)
        base_free(items[i].excerpt);
}

/* ---- q8_0 --------------------------------------------------------------------------------------------------------- */

enum { ASKED = 12, MOST = 64 /* tokens of an answer */ };

/* The whole distributions behind each question, one answer's tokens after the other; returns how many rows. */
static size_t distributions(const char *path, enum type type, const struct item *items, float **out)
{
    struct llm_rig rig;
    size_t rows = 0;
    llm_rig_open(&rig, &(struct llm_rig_options){
                           .model = path, .device = "cpu", .cells = WINDOW, .key_type = type, .value_type = type});
    check(model_tokenizer_create(rig.gguf, &tokenizer));
    size_t n_vocab = (size_t)rig.hp->n_vocab;
    *out = base_alloc_array(ASKED * MOST * n_vocab, sizeof **out);
    for (int i = 0; i < ASKED; i++) {
        struct tokens prompt = {0};
        struct llm_sequence *sequence;
        char question[400];
        int32_t n;
        add_system(&prompt);
        question_of(items, 2 * i, question);
        add_question(&prompt, items[2 * i].excerpt, question);
        check(llm_sequence_create(rig.kv, NULL, &sequence));
        score(&rig, sequence, &prompt, items[2 * i].rest, *out + rows * n_vocab, &n);
        rows += (size_t)n;
        llm_sequence_destroy(sequence);
        model_tokens_finish(&prompt);
    }
    model_tokenizer_destroy(tokenizer);
    llm_rig_close(&rig);
    return rows;
}

static void q8_0_changes_little(void **state)
{
    (void)state;
    const char *path = need_model();
    struct item items[TURNS];
    float *f16, *q8;
    read_items(items);
    size_t rows = distributions(path, TYPE_F16, items, &f16), n_vocab = 49152, same = 0;
    assert_int_equal(distributions(path, TYPE_Q8_0, items, &q8), rows);
    double sum = 0, most = 0;
    for (size_t r = 0; r < rows; r++) {
        const float *p = f16 + r * n_vocab, *q = q8 + r * n_vocab;
        size_t best_p = 0, best_q = 0;
        double kl = 0;
        for (size_t i = 0; i < n_vocab; i++) {
            kl += exp((double)p[i]) * ((double)p[i] - (double)q[i]);
            best_p = p[i] > p[best_p] ? i : best_p;
            best_q = q[i] > q[best_q] ? i : best_q;
        }
        sum += kl;
        most = fmax(most, kl);
        same += best_p == best_q;
    }
    print_message(
        "a cache of q8_0 beside f16: mean KL %.5f nat, most %.5f, the best token is the same at %zu of %zu places\n",
        sum / (double)rows, most, same, rows);
    assert_true(sum / (double)rows < 0.01);
    base_free(f16);
    base_free(q8);
    for (int i = 0; i < TURNS; i++)
        base_free(items[i].excerpt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whole_turns_are_dropped),
                                       cmocka_unit_test(q8_0_changes_little)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
