/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Conversations: the gist of a film is read once, and what is found in the cache answers as what is read anew does; a conversation of any
 * length goes on within its context and its memory.
 */
#include "engine/ask.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/folder.h"

enum { TOP = 50, STEPS = 6 };
static char film[64], library[64];

struct heard {
    struct pr_top top[STEPS][TOP];
    int n;
};

static bool on_token(void *user, const struct pr_token *token)
{
    struct heard *heard = user;
    if (token->id >= 0 && heard->n < STEPS && token->n_top == TOP)
        memcpy(heard->top[heard->n++], token->top, sizeof heard->top[0]);
    return true;
}

static void check(int err)
{
    if (err < 0)
        fail_msg("%s: %s", pr_error_name(err), pr_error_message());
}

static struct pr_settings settings_for(const char *device)
{
    struct pr_settings settings = pr_settings_default();
    settings.model = "tests/golden/vision/qwen3vl.f16.gguf";
    settings.mmproj = "tests/golden/vision/qwen3vl.mmproj.f16.gguf";
    settings.chat_format = "chatml";
    settings.library = library;
    settings.device = device;
    settings.budget = 600;
    settings.logprobs = TOP;
    settings.max_tokens = STEPS;
    return settings;
}

static struct pr_chat *open_chat(struct pr_model *model, const struct pr_settings *settings)
{
    struct pr_chat *chat;
    const char *sources[] = {film};
    check(pr_chat_open(model, settings, sources, 1, NULL, NULL, NULL, &chat));
    return chat;
}

static struct pr_coverage ask(struct pr_chat *chat, const char *question, struct heard *heard)
{
    struct pr_answer *answer;
    heard->n = 0;
    check(pr_chat_ask(chat, question, on_token, heard, NULL, &answer));
    struct pr_coverage coverage = pr_answer_coverage(answer);
    pr_answer_destroy(answer);
    return coverage;
}

/* The largest difference of log-probabilities of the same tokens. */
static double difference(const struct heard *a, const struct heard *b)
{
    double most = 0;
    assert_int_equal(a->n, STEPS);
    assert_int_equal(b->n, STEPS);
    for (int s = 0; s < STEPS; s++)
        for (int i = 0; i < TOP; i++)
            for (int k = 0; k < TOP; k++)
                if (a->top[s][i].id == b->top[s][k].id)
                    most = fmax(most, fabs((double)a->top[s][i].logprob - (double)b->top[s][k].logprob));
    return most;
}

static void the_gist_is_read_once(void **state)
{
    (void)state;
    static const char *const devices[] = {"ref", "cpu"};
    for (int d = 0; d < 2; d++) {
        struct pr_settings settings = settings_for(devices[d]);
        struct pr_model *model;
        struct heard kept, anew, other;
        check(pr_model_open(&settings, NULL, &model));
        struct pr_chat *first = open_chat(model, &settings), *second = open_chat(model, &settings);
        struct pr_coverage a = ask(first, "What is on the left?", &other);
        assert_int_equal(a.prompt_reused, 0);
        ask(second, "What is on the left?", &other);
        struct pr_session *session = engine_chat_session(second);
        session->marks[0] ^= 1; /* as if another prompt had been in its cache */
        struct pr_coverage b = ask(first, "And which numbers are there?", &kept);
        struct pr_coverage c = ask(second, "And which numbers are there?", &anew);
        assert_int_equal(b.prompt_tokens, c.prompt_tokens);
        assert_int_equal(c.prompt_reused, 0);
        printf("%s: %d of %d tokens were in the cache; largest difference of log-probabilities %g\n", devices[d],
               b.prompt_reused, b.prompt_tokens, difference(&kept, &anew));
        assert_true(b.prompt_reused > 200); /* instructions and gist: a fifth of the budget and more */
        assert_true(difference(&kept, &anew) < 1e-3);
        pr_chat_close(first);
        pr_chat_close(second);
        pr_model_close(model);
    }
}

static long resident(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*s %ld", &pages), 1);
    fclose(file);
    return pages;
}

static void long_conversations_stay_bounded(void **state)
{
    (void)state;
    enum { TURNS = 80, WARM = 50 };
    struct pr_settings settings = settings_for("cpu");
    struct pr_model *model;
    struct heard heard;
    settings.ctx = 1024;
    settings.max_tokens = 16;
    check(pr_model_open(&settings, NULL, &model));
    struct pr_chat *chat = open_chat(model, &settings);
    long before = 0;
    int32_t most = 0;
    int64_t reused = 0, read = 0;
    for (int i = 0; i < TURNS; i++) {
        char question[96];
        snprintf(question, sizeof question, "What is on the screen at second %03d, and what before?", i);
        struct pr_coverage coverage = ask(chat, question, &heard);
        most = coverage.prompt_tokens > most ? coverage.prompt_tokens : most;
        reused += coverage.prompt_reused;
        read += coverage.prompt_tokens;
        before = i == WARM ? resident() : before;
    }
    long grown = resident() - before;
    printf(
        "%d turns: %d tokens of the prompt at the most, %.0f %% of all from the cache, %ld pages more than after %d\n",
        TURNS, most, 100.0 * (double)reused / (double)read, grown, WARM);
    assert_true(most < settings.ctx - 40);
    assert_true(reused > read / 4);
#ifndef __SANITIZE_ADDRESS__
    assert_true(grown < 512); /* 2 MiB; planned passes are kept, up to a number */
#endif
    pr_chat_close(chat);
    pr_model_close(model);
}

static int set_up(void **state)
{
    char command[256];
    if (test_folder_make(state) < 0)
        return -1;
    snprintf(film, sizeof film, "%s/film.mkv", test_folder);
    snprintf(library, sizeof library, "%s/library", test_folder);
    snprintf(command, sizeof command, "ffmpeg -v error -f lavfi -i testsrc=s=80x60:r=2:d=150 %s", film);
    return system(command) == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_gist_is_read_once),
                                       cmocka_unit_test(long_conversations_stay_bounded)};
    if (system("ffmpeg -version >/dev/null 2>&1") != 0) {
        printf("skipped: no ffmpeg\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, set_up, test_folder_remove);
}
