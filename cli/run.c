/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * pagereel run: a prompt in, what the model makes of it out.
 */
#include "base/json.h"
#include "cli/command.h"
#include "cli/output.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct answer {
    bool json;
    struct base_buf tokens; /* JSON: objects, separated by commas */
    int64_t n;
    bool line_open; /* the last character printed wasn't a line feed */
    double first;   /* seconds: when the first token came */
    int err;
};

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static bool on_token(void *user, const struct pr_token *token)
{
    struct answer *answer = user;
    if (answer->n++ == 0)
        answer->first = seconds();
    if (answer->json) {
        if (answer->tokens.len > 0)
            base_buf_puts(&answer->tokens, ",");
        cli_json_token(&answer->tokens, token);
        return true;
    }
    if (token->len == 0)
        return true;
    answer->line_open = token->text[token->len - 1] != '\n';
    answer->err = cli_write(token->text, token->len);
    return answer->err == PR_OK;
}

static const char *stop_name(enum pr_stop why)
{
    static const char *const names[] = {"end", "string", "length", "context", "caller"};
    return names[why];
}

/* Adds the prompt, and before it the system message, to the session. */
static int add_prompt(struct pr_session *session, const struct pr_settings *settings)
{
    struct base_buf input = {0};
    const char *text = settings->prompt;
    size_t len = strlen(text);
    int err;
    if (len == 0) {
        TRY(cli_read_input("no prompt; give --prompt TEXT, or the text on standard input", &input));
        while (!settings->raw && input.len > 0 && strchr("\r\n", input.data[input.len - 1]))
            input.len--;
        text = input.data;
        len = input.len;
    }
    if (settings->raw) {
        err = pr_session_raw(session, text, len, true);
    } else {
        if (settings->system[0])
            TRY(pr_session_chat(session, PR_ROLE_SYSTEM, settings->system, strlen(settings->system)));
        err = pr_session_chat(session, PR_ROLE_USER, text, len);
    }
fail:
    base_buf_finish(&input);
    return err;
}

static int print_json(const struct pr_session *session, const struct answer *answer, enum pr_stop why)
{
    struct base_buf out = {0};
    size_t n;
    const int32_t *ids = pr_session_prompt(session, &n);
    base_buf_puts(&out, "{\"prompt_tokens\":");
    cli_json_ids(&out, ids, n);
    base_buf_printf(&out, ",\"tokens\":[%s],\"stop\":\"%s\"}\n", answer->tokens.data ? answer->tokens.data : "",
                    stop_name(why));
    fwrite(out.data, 1, out.len, stdout);
    base_buf_finish(&out);
    return cli_flush();
}

/* "24 of 30 layers on vulkan:0, the rest on cpu" is said unasked: it explains why it is slow. */
static bool is_split(const char *placement)
{
    int here, all;
    return sscanf(placement, "%d of %d", &here, &all) == 2 && here != all;
}

static int generate(struct pr_session *session, const struct pr_settings *settings, struct answer *answer)
{
    enum pr_stop why = PR_STOP_END;
    size_t n_prompt;
    double start = seconds();
    int err = pr_session_generate(session, settings, on_token, answer, cli_cancel(), &why);
    double end = seconds();
    if (answer->line_open)
        cli_write("\n", 1);
    if (err < 0)
        return err;
    if (answer->err < 0)
        return answer->err;
    pr_session_prompt(session, &n_prompt);
    if (settings->verbose && answer->n > 0)
        fprintf(stderr, "pagereel: read %zu tokens in %.2f s, wrote %lld in %.2f s (%.1f per second)\n", n_prompt,
                answer->first - start, (long long)answer->n, end - answer->first,
                answer->n > 1 ? (double)(answer->n - 1) / (end - answer->first) : 0.0);
    return answer->json ? print_json(session, answer, why) : PR_OK;
}

int cli_run(const struct args *args)
{
    const struct pr_settings *settings = &args->settings;
    struct pr_model *model = NULL;
    struct pr_session *session = NULL;
    struct answer answer = {.json = settings->json};
    int err;
    if (settings->raw && settings->system[0])
        return base_fail(PR_ERR_INVALID, "--system needs the chat format, which --raw leaves out");

    TRY(pr_model_open(settings, cli_cancel(), &model));
    if (settings->verbose || is_split(pr_model_placement(model)))
        fprintf(stderr, "pagereel: %s\n", pr_model_placement(model));
    TRY(pr_session_create(model, settings, &session));
    if (settings->session_load[0])
        TRY(pr_session_restore(session, settings->session_load));
    TRY(add_prompt(session, settings));
    TRY(generate(session, settings, &answer));
    if (settings->session_save[0])
        TRY(pr_session_save(session, settings->session_save));
    err = PR_OK;
fail:
    base_buf_finish(&answer.tokens);
    pr_session_destroy(session);
    pr_model_close(model);
    return err;
}
