/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Answers on standard output, for ask and chat: text as it comes, then citations and coverage, or one JSON object.
 */
#include "cli/answer.h"
#include "base/error.h"
#include "base/json.h"
#include "cli/library.h"
#include "cli/output.h"

#include <stdio.h>
#include <string.h>

bool cli_answer_token(void *user, const struct pr_token *token)
{
    struct answer_stream *stream = user;
    cli_progress_end();
    if (stream->json || token->len == 0)
        return true;
    stream->line_open = token->text[token->len - 1] != '\n';
    stream->err = cli_write(token->text, token->len);
    return stream->err == PR_OK;
}

static void json_time(struct base_buf *out, const char *key, int64_t t)
{
    base_buf_printf(out, ",\"%s\":", key);
    base_json_double(out, (double)t / 1e6);
}

static void json_box(struct base_buf *out, const char *key, const float box[4])
{
    if (box[2] <= box[0] || box[3] <= box[1])
        return;
    base_buf_printf(out, ",\"%s\":[", key);
    for (int i = 0; i < 4; i++) {
        base_buf_puts(out, i == 0 ? "" : ",");
        base_json_float(out, box[i]);
    }
    base_buf_puts(out, "]");
}

static void json_text(struct base_buf *out, const char *key, const char *text)
{
    base_buf_printf(out, ",\"%s\":", key);
    if (text)
        base_json_text(out, text, strlen(text));
    else
        base_buf_puts(out, "null");
}

static const char *json_bool(bool value)
{
    return value ? "true" : "false";
}

static void json_citation(struct base_buf *out, const struct pr_citation *citation)
{
    base_buf_printf(out, "{\"tag\":\"S%d\",\"named_by_answer\":%s,\"shares_words\":%s,\"overview\":%s", citation->tag,
                    json_bool(citation->by_model), json_bool(citation->by_words), json_bool(citation->gist));
    json_text(out, "source", citation->source);
    if (citation->page > 0) {
        base_buf_printf(out, ",\"page\":%d", citation->page);
        json_text(out, "label", citation->label);
    }
    if (citation->t0_us != PR_TIME_NONE) {
        json_time(out, "t0", citation->t0_us);
        json_time(out, "t1", citation->t1_us);
        json_time(out, "shown_t0", citation->shown_t0_us);
        json_time(out, "shown_t1", citation->shown_t1_us);
    }
    json_box(out, "box", citation->box);
    json_box(out, "shown_box", citation->shown_box);
    if (citation->look_tokens > 0) {
        base_buf_printf(out, ",\"look\":{\"visual_tokens\":%d", citation->look_tokens);
        if (citation->looked_at_us != PR_TIME_NONE)
            json_time(out, "t", citation->looked_at_us);
        base_buf_puts(out, "}");
    }
    base_buf_printf(out, ",\"note\":%s", json_bool(citation->note));
    json_text(out, "quote", citation->quote);
    base_buf_puts(out, "}");
}

static void json_coverage(struct base_buf *out, const struct pr_coverage *c)
{
    base_buf_printf(out,
                    "{\"sources\":%lld,\"incomplete\":%lld,\"pages\":%lld,\"pages_failed\":%lld,"
                    "\"pages_without_text\":%lld,\"films\":%lld,\"films_without_text\":%lld,\"passages_found\":%lld,"
                    "\"passages_read\":%lld,\"sees\":%s,\"segments\":%lld,\"segments_shown\":%lld,"
                    "\"visual_tokens\":%lld,\"damaged\":%lld,\"prompt_tokens\":%d,\"prompt_reused\":%d,"
                    "\"device_bytes\":%lld",
                    (long long)c->sources, (long long)c->incomplete, (long long)c->pages, (long long)c->pages_failed,
                    (long long)c->pages_without_text, (long long)c->films, (long long)c->films_without_text,
                    (long long)c->passages_found, (long long)c->passages_read, json_bool(c->sees),
                    (long long)c->segments, (long long)c->segments_shown, (long long)c->visual_tokens,
                    (long long)c->damaged, c->prompt_tokens, c->prompt_reused, (long long)c->device_bytes);
    json_text(out, "density", c->density);
    base_buf_puts(out, "}");
}

static void json_times(struct base_buf *out, const struct pr_coverage *c)
{
    const struct {
        const char *name;
        double ms;
    } times[] = {{"adding", c->ms.adding},   {"recall", c->ms.recall}, {"choosing", c->ms.choosing},
                 {"looking", c->ms.looking}, {"prompt", c->ms.prompt}, {"prefill", c->ms.prefill},
                 {"decode", c->ms.decode},   {"citing", c->ms.citing}, {"processor", c->ms.processor}};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        base_buf_printf(out, "%s\"%s\":", i ? "," : ",\"ms\":{", times[i].name);
        base_json_double(out, times[i].ms);
    }
    base_buf_puts(out, "}");
}

static int print_json(const struct pr_settings *settings, const struct pr_answer *answer)
{
    struct base_buf out = {0};
    struct pr_coverage coverage = pr_answer_coverage(answer);
    size_t n;
    const struct pr_citation *citations = pr_answer_citations(answer, &n);
    const char *text = pr_answer_text(answer), *why;
    base_buf_puts(&out, "{\"answer\":");
    base_json_text(&out, text, strlen(text));
    base_buf_printf(&out, ",\"found\":%s", json_bool(pr_answer_found(answer, &why)));
    json_text(&out, "why", why);
    base_buf_puts(&out, ",\"citations\":[");
    for (size_t i = 0; i < n; i++) {
        base_buf_puts(&out, i ? "," : "");
        json_citation(&out, &citations[i]);
    }
    const char *const *notes = pr_answer_notes(answer, &n);
    base_buf_puts(&out, "],\"notes\":[");
    for (size_t i = 0; i < n; i++) {
        base_buf_puts(&out, i ? "," : "");
        base_json_text(&out, notes[i], strlen(notes[i]));
    }
    base_buf_puts(&out, "],\"coverage\":");
    json_coverage(&out, &coverage);
    json_times(&out, &coverage);
    if (settings->verbose)
        json_text(&out, "prompt", pr_answer_prompt(answer));
    base_buf_puts(&out, "}\n");
    fwrite(out.data, 1, out.len, stdout);
    base_buf_finish(&out);
    return cli_flush();
}

static int print_citation(const struct pr_citation *citation)
{
    char t0[32], t1[32];
    int err;
    if (citation->page > 0)
        err = cli_printf("  [S%d] %s, page %d", citation->tag, citation->source, citation->page);
    else if (citation->t0_us == PR_TIME_NONE)
        err = cli_printf("  [S%d] %s, outline", citation->tag, citation->source);
    else
        err = cli_printf("  [S%d] %s, %s to %s", citation->tag, citation->source,
                         pr_time_text(citation->t0_us, t0, sizeof t0), pr_time_text(citation->t1_us, t1, sizeof t1));
    if (err >= 0 && citation->label && *citation->label)
        err = cli_printf(" (%s)", citation->label);
    if (err >= 0 && citation->quote)
        err = cli_printf(": \"%s\"", citation->quote);
    if (err >= 0 && citation->note)
        err = cli_printf(" (a note by a model)");
    if (err >= 0 && citation->look_tokens > 0)
        err = cli_printf(
            "; looked at again%s%s, %d visual tokens", citation->looked_at_us == PR_TIME_NONE ? "" : " at ",
            citation->looked_at_us == PR_TIME_NONE ? "" : pr_time_text(citation->looked_at_us, t0, sizeof t0),
            citation->look_tokens);
    return err < 0 ? err : cli_printf("\n");
}

/* How near a citation stands to the answer: 0 named by it, 1 shares words with it, 2 the model was shown it. */
static int nearness(const struct pr_citation *citation)
{
    return citation->by_model ? 0 : citation->by_words ? 1 : 2;
}

/* Those that the answer names come first; what the model merely saw is said to be only that. The overview is not listed. */
static int print_citations(const struct pr_answer *answer)
{
    static const char *const heads[] = {"Sources that the answer names",
                                        "Source that the answer shares most words with", "Shown to the model"};
    size_t n;
    int err = PR_OK;
    const struct pr_citation *citations = pr_answer_citations(answer, &n);
    for (int near = 0; near < 3; near++) {
        bool headed = false;
        for (size_t i = 0; i < n && err >= 0; i++) {
            if (nearness(&citations[i]) != near || (citations[i].gist && near == 2))
                continue;
            if (!headed)
                err = cli_printf("\n%s:\n", heads[near]);
            headed = true;
            if (err >= 0)
                err = print_citation(&citations[i]);
        }
    }
    return err;
}

static const char *plural(int64_t n)
{
    return n == 1 ? "" : "s";
}

/* What was read, and what nobody has seen. */
static int print_coverage(const struct pr_settings *settings, const struct pr_answer *answer)
{
    int err;
    struct pr_coverage c = pr_answer_coverage(answer);
    size_t n;
    const char *const *notes = pr_answer_notes(answer, &n);
    TRY(cli_printf("\nSearched"));
    if (c.pages > 0)
        TRY(cli_printf(" %lld page%s", (long long)c.pages, plural(c.pages)));
    if (c.films > 0)
        TRY(cli_printf("%s the subtitles and chapters of %lld film%s", c.pages > 0 ? " and" : "", (long long)c.films,
                       plural(c.films)));
    if (c.films > 0 && settings->from[0])
        TRY(cli_printf(" from %s", settings->from));
    if (c.films > 0 && settings->to[0])
        TRY(cli_printf(" to %s", settings->to));
    TRY(cli_printf("%s; %lld passage%s shared words with the question, the model read %lld.\n",
                   c.pages + c.films == 0 ? " nothing" : "", (long long)c.passages_found, plural(c.passages_found),
                   (long long)c.passages_read));
    if (c.segments > 0)
        TRY(cli_printf("Of %lld seen segments (%s) the model was shown %lld, %lld visual tokens.\n",
                       (long long)c.segments, c.density ? c.density : "", (long long)c.segments_shown,
                       (long long)c.visual_tokens));
    else
        TRY(cli_printf(c.sees ? "No pictures were looked at.\n"
                              : "The model reads text alone (no mmproj): pictures were not looked at.\n"));
    if (c.films_without_text > 0)
        TRY(cli_printf("%lld film%s without subtitles%s.\n", (long long)c.films_without_text,
                       plural(c.films_without_text), c.segments > 0 ? "" : ": nothing in there was found"));
    if (c.pages_without_text > 0)
        TRY(cli_printf("%lld page%s without a text layer%s.\n", (long long)c.pages_without_text,
                       plural(c.pages_without_text), c.segments > 0 ? "" : ": nothing on there was seen"));
    if (c.pages_failed > 0)
        TRY(cli_printf("%lld part%s could not be read.\n", (long long)c.pages_failed, plural(c.pages_failed)));
    if (c.incomplete > 0)
        TRY(cli_printf("%lld source%s not read to the end yet.\n", (long long)c.incomplete, plural(c.incomplete)));
    if (c.damaged > 0)
        TRY(cli_printf("The library is damaged in %lld place%s; pagereel show says where, pagereel add mends it.\n",
                       (long long)c.damaged, plural(c.damaged)));
    for (size_t i = 0; i < n; i++)
        TRY(cli_printf("%s\n", notes[i]));
fail:
    return err;
}

int cli_answer_print(const struct pr_settings *settings, const struct pr_answer *answer)
{
    int err;
    const char *why;
    if (settings->verbose) {
        struct pr_coverage c = pr_answer_coverage(answer);
        fprintf(stderr,
                "pagereel: adding %.1f ms, recall %.1f ms, choosing %.1f ms, prompt %.1f ms, reading %.1f ms, "
                "writing %.1f ms, citing %.1f ms; processor %.1f ms but for the model\n",
                c.ms.adding, c.ms.recall, c.ms.choosing, c.ms.prompt, c.ms.prefill, c.ms.decode, c.ms.citing,
                c.ms.processor);
        if (!settings->json) {
            cli_tell(pr_answer_prompt(answer));
            cli_tell("\n");
        }
    }
    if (settings->json)
        return print_json(settings, answer);
    if (!pr_answer_found(answer, &why) && why && strncmp(pr_answer_text(answer), "Not found", 9) != 0)
        TRY(cli_printf("\nNot found: %s.\n", why));
    TRY(print_citations(answer));
    TRY(print_coverage(settings, answer));
fail:
    return err;
}
