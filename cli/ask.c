/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * pagereel ask: sources and a question in, an answer with its citations out.
 */
#include "cli/answer.h"
#include "cli/command.h"
#include "cli/library.h"
#include "cli/output.h"

#include <string.h>
#include <unistd.h>

int cli_ask(const struct args *args)
{
    const struct pr_settings *settings = &args->settings;
    struct pr_model *model = NULL;
    struct pr_answer *answer = NULL;
    struct answer_stream stream = {.json = settings->json};
    size_t n_sources = (size_t)args->n_words - 1;
    int err;
    if (strspn(args->words[n_sources], " \t\r\n") == strlen(args->words[n_sources]))
        return base_fail(PR_ERR_INVALID, "the question is empty");
    if (n_sources == 0 && access(args->words[0], F_OK) == 0)
        return base_fail(PR_ERR_INVALID, "%s is a file, and there is no question behind it", args->words[0]);
    TRY(pr_model_open(settings, cli_cancel(), &model));
    err = pr_ask(model, settings, args->words, n_sources, args->words[n_sources], cli_progress, cli_answer_token,
                 &stream, cli_cancel(), &answer);
    cli_progress_end();
    if (stream.line_open)
        cli_write("\n", 1);
    if (!answer)
        TRY(err);
    int cut = err; /* interrupted while it was answering: what was said is worth its sources */
    TRY(stream.err);
    TRY(cli_answer_print(settings, answer));
    TRY(cut);
    if (settings->save_evidence[0])
        err = pr_answer_save(answer, settings, settings->save_evidence, cli_cancel());
fail:
    pr_answer_destroy(answer);
    pr_model_close(model);
    return err;
}
