/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * pagereel chat: questions that follow each other over the same sources, one a line.
 */
#include "base/mem.h"
#include "cli/answer.h"
#include "cli/command.h"
#include "cli/library.h"
#include "cli/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The next line without its end; false: there is none. A read that a signal interrupted ends the conversation, too. */
static bool next_question(char **line, size_t *size)
{
    if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) {
        cli_printf("\n> ");
        cli_flush();
    }
    ssize_t n = getline(line, size, stdin);
    while (n > 0 && strchr("\r\n", (*line)[n - 1]))
        (*line)[--n] = '\0';
    return n >= 0 && !cli_interrupted();
}

static int ask(struct pr_chat *chat, const struct pr_settings *settings, const char *question)
{
    int err;
    struct pr_answer *answer = NULL;
    struct answer_stream stream = {.json = settings->json};
    err = pr_chat_ask(chat, question, cli_answer_token, &stream, cli_cancel(), &answer);
    if (stream.line_open)
        cli_write("\n", 1);
    if (!answer)
        TRY(err);
    int cut = err; /* interrupted while it was answering: what was said is worth its sources */
    TRY(stream.err);
    TRY(cli_answer_print(settings, answer));
    TRY(cli_flush());
    err = cut;
fail:
    pr_answer_destroy(answer);
    return err;
}

int cli_chat(const struct args *args)
{
    const struct pr_settings *settings = &args->settings;
    struct pr_model *model = NULL;
    struct pr_chat *chat = NULL;
    char *line = NULL;
    size_t size = 0;
    int err;
    TRY(pr_model_open(settings, cli_cancel(), &model));
    err = pr_chat_open(model, settings, args->words, (size_t)args->n_words, cli_progress, NULL, cli_cancel(), &chat);
    cli_progress_end();
    TRY(err);
    while (next_question(&line, &size))
        if (line[strspn(line, " \t")])
            TRY(ask(chat, settings, line));
    if (cli_interrupted())
        err = base_fail(PR_ERR_CANCELLED, "interrupted");
fail:
    free(line);
    pr_chat_close(chat);
    pr_model_close(model);
    return err;
}
