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
    struct base_buf tokens; /* JSON: objects, separated by commas, of all tokens but the last one */
    int32_t id;             /* of the last one: text that was held back may still come */
    struct base_buf text, top;
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

/* Closes the list of tokens behind the last one. */
static void list_last(struct answer *answer)
{
    if (answer->top.len == 0)
        return;
    base_buf_printf(&answer->tokens, "%s{\"id\":%d,\"text\":", answer->tokens.len > 0 ? "," : "", (int)answer->id);
    base_json_text(&answer->tokens, answer->text.data ? answer->text.data : "", answer->text.len);
    base_buf_printf(&answer->tokens, ",\"top\":%s}", answer->top.data);
    answer->text.len = answer->top.len = 0;
}

static bool on_token(void *user, const struct pr_token *token)
{
    struct answer *answer = user;
    if (answer->n == 0)
        answer->first = seconds();
    answer->n += token->id >= 0;
    if (answer->json) {
        if (token->id >= 0) {
            list_last(answer);
            answer->id = token->id;
            cli_json_top(&answer->top, token);
        }
        base_buf_append(&answer->text, token->text, token->len);
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

/* ---- the prompt --------------------------------------------------------------------------------------------------- */

/* The files of one kind, and where the prompt says that they stand. */
struct seen {
    enum pr_item_kind kind;
    const char *mark, *flag;
    char *files; /* one a line; lines are cut off the front as they are placed */
    int placed;
};

struct items {
    struct pr_item *items;
    size_t n;
};

static void add_item(struct items *list, enum pr_item_kind kind, const char *text, size_t len)
{
    list->items = base_realloc(list->items, (list->n + 1) * sizeof *list->items);
    list->items[list->n++] = (struct pr_item){kind, text, len};
}

/* Takes the next file; NULL: there is none left. */
static const char *next_file(struct seen *seen)
{
    char *file = seen->files, *end = strchr(file, '\n');
    if (!*file)
        return NULL;
    seen->files = end ? end + 1 : file + strlen(file);
    if (end)
        *end = '\0';
    seen->placed++;
    return file;
}

/* The first mark in text of a kind that files were given of. */
static struct seen *find_mark(struct seen *seen, const char *text, const char **at)
{
    struct seen *first = NULL;
    for (int i = 0; i < 3; i++) {
        const char *found = *seen[i].files || seen[i].placed ? strstr(text, seen[i].mark) : NULL;
        if (found && (!first || found < *at)) {
            first = &seen[i];
            *at = found;
        }
    }
    return first;
}

/* Cuts the text at its marks. Files without a mark come before it. */
static int place_files(struct seen *seen, const char *text, size_t len, struct items *out)
{
    struct items placed = {0};
    const char *at = text, *file;
    int err;
    for (struct seen *s; (s = find_mark(seen, text, &at));) {
        if (at > text)
            add_item(&placed, PR_ITEM_TEXT, text, (size_t)(at - text));
        if (!(file = next_file(s)))
            TRY(base_fail(PR_ERR_INVALID, "the prompt says %s %d times, but --%s was given %d times", s->mark,
                          s->placed + 1, s->flag, s->placed));
        add_item(&placed, s->kind, file, strlen(file));
        len -= (size_t)(at - text) + strlen(s->mark);
        text = at + strlen(s->mark);
    }
    for (int i = 0; i < 3; i++)
        while ((file = next_file(&seen[i])))
            add_item(out, seen[i].kind, file, strlen(file));
    for (size_t i = 0; i < placed.n; i++)
        add_item(out, placed.items[i].kind, placed.items[i].text, placed.items[i].len);
    if (len > 0 || out->n == 0)
        add_item(out, PR_ITEM_TEXT, text, len);
    err = PR_OK;
fail:
    base_free(placed.items);
    return err;
}

/* Says beforehand what looking at the files takes. */
static int tell_plans(struct pr_model *model, const struct pr_settings *settings, const struct items *items)
{
    for (size_t i = 0; i < items->n; i++) {
        struct pr_visual_plan plan;
        const struct pr_item *item = &items->items[i];
        if (item->kind == PR_ITEM_TEXT)
            continue;
        int err = pr_visual_plan(item->text, item->kind, model, settings, cli_cancel(), &plan);
        if (err < 0)
            return err;
        cli_tell_plan(item->text, &plan);
    }
    return PR_OK;
}

/* Adds a prompt with its pictures. Text from standard input may hold NULs; marks behind one aren't seen. */
static int add_items(struct pr_model *model, struct pr_session *session, const struct pr_settings *settings,
                     const char *text, size_t len)
{
    struct items items = {0};
    char *images = base_strdup(settings->image), *videos = base_strdup(settings->video),
         *pdfs = base_strdup(settings->pdf);
    struct seen seen[] = {{PR_ITEM_IMAGE, "<image>", "image", images, 0},
                          {PR_ITEM_VIDEO, "<video>", "video", videos, 0},
                          {PR_ITEM_PAGES, "<pdf>", "pdf", pdfs, 0}};
    int err = place_files(seen, text, len, &items);
    if (err == PR_OK && settings->verbose)
        err = tell_plans(model, settings, &items);
    if (err == PR_OK && settings->raw)
        err = pr_session_raw_items(session, items.items, items.n, true, settings, cli_cancel());
    else if (err == PR_OK)
        err = pr_session_chat_items(session, PR_ROLE_USER, items.items, items.n, settings, cli_cancel());
    base_free(items.items);
    base_free(images);
    base_free(videos);
    base_free(pdfs);
    return err;
}

/* Whether a list of files, one a line, has standard input in it. */
static bool reads_input(const char *files)
{
    for (const char *line = files, *end; line && *line; line = end ? end + 1 : NULL) {
        end = strchr(line, '\n');
        if (line[0] == '-' && (line[1] == '\n' || line[1] == '\0'))
            return true;
    }
    return false;
}

/* Adds the prompt, and before it the system message, to the session. */
static int add_prompt(struct pr_model *model, struct pr_session *session, const struct pr_settings *settings)
{
    struct base_buf input = {0};
    const struct pr_visual_run *runs;
    const char *text = settings->prompt;
    size_t len = strlen(text), n_runs;
    int err;
    if (len == 0) {
        if (reads_input(settings->image) || reads_input(settings->video) || reads_input(settings->pdf))
            TRY(base_fail(PR_ERR_INVALID, "standard input is the file named -, so the prompt can't come from there; "
                                          "give it with --prompt TEXT"));
        TRY(cli_read_input("no prompt; give --prompt TEXT, or the text on standard input", &input));
        while (!settings->raw && input.len > 0 && strchr("\r\n", input.data[input.len - 1]))
            input.len--;
        base_buf_append(&input, "", 1);
        text = input.data;
        len = --input.len;
    }
    if (!settings->raw && settings->system[0])
        TRY(pr_session_chat(session, PR_ROLE_SYSTEM, settings->system, strlen(settings->system)));
    TRY(add_items(model, session, settings, text, len));
    runs = pr_session_visual(session, &n_runs);
    cli_tell_partial(runs, n_runs);
fail:
    base_buf_finish(&input);
    return err;
}

/* Ids, and an object in the place of each run of visual tokens. */
static void json_prompt(struct base_buf *out, const struct pr_session *session)
{
    size_t n, n_runs, run = 0;
    const int32_t *ids = pr_session_prompt(session, &n);
    const struct pr_visual_run *runs = pr_session_visual(session, &n_runs);
    base_buf_puts(out, "[");
    for (size_t i = 0; i < n; i++) {
        base_buf_puts(out, i > 0 ? "," : "");
        if (ids[i] >= 0) {
            base_buf_printf(out, "%d", (int)ids[i]);
            continue;
        }
        size_t end = i;
        while (run < n_runs && runs[run].first < i)
            run++;
        const struct pr_visual_run *r = run < n_runs && runs[run].first == i ? &runs[run] : NULL;
        while (end < n && ids[end] < 0 && (!r || end < i + r->n))
            end++;
        base_buf_printf(out, "{\"image_tokens\":%zu", end - i);
        if (r)
            base_buf_printf(out, ",\"grid\":[%d,%d]", (int)r->rows, (int)r->cols);
        if (r && r->frames > 1)
            base_buf_printf(out, ",\"frames\":%d", (int)r->frames);
        base_buf_puts(out, r && r->partial ? ",\"partial\":true}" : "}");
        i = end - 1;
    }
    base_buf_puts(out, "]");
}

static int print_json(const struct pr_session *session, struct answer *answer, enum pr_stop why)
{
    struct base_buf out = {0};
    list_last(answer);
    base_buf_puts(&out, "{\"prompt_tokens\":");
    json_prompt(&out, session);
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
    TRY(add_prompt(model, session, settings));
    TRY(generate(session, settings, &answer));
    if (settings->session_save[0])
        TRY(pr_session_save(session, settings->session_save));
    err = PR_OK;
fail:
    base_buf_finish(&answer.tokens);
    base_buf_finish(&answer.text);
    base_buf_finish(&answer.top);
    pr_session_destroy(session);
    pr_model_close(model);
    return err;
}
