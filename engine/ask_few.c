/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Few-shot examples: questions with their pictures and answers that stand before the question (docs/PROMPTS.md). A file has blocks,
 * separated by empty lines, of lines `image: FILE` (any number), `question: TEXT` and `answer: TEXT`; # begins a comment. Pictures are
 * found from the file's folder.
 */
#include "engine/ask.h"

#include "base/file.h"
#include "base/mem.h"

#include <string.h>

enum { LARGEST = 1 << 20 };

void engine_ask_examples_finish(struct ask_examples *examples)
{
    for (size_t i = 0; i < examples->n; i++) {
        engine_media_finish(&examples->list[i].media);
        base_free(examples->list[i].question);
        base_free(examples->list[i].answer);
    }
    base_free(examples->list);
    *examples = (struct ask_examples){0};
}

static struct ask_example *add_example(struct ask_examples *out)
{
    out->list = base_realloc(out->list, (out->n + 1) * sizeof *out->list);
    out->list[out->n] = (struct ask_example){0};
    return &out->list[out->n++];
}

/* The value of a line `key: value`, or NULL. */
static char *value_of(char *line, const char *key)
{
    size_t len = strlen(key);
    if (strncmp(line, key, len) != 0 || line[len] != ':')
        return NULL;
    line += len + 1;
    return line + strspn(line, " \t");
}

static int add_picture(struct asking *asking, struct ask_example *example, const char *file, const char *name,
                       struct pr_cancel *cancel)
{
    int err;
    struct base_buf path = {0};
    const char *slash = strrchr(file, '/');
    base_buf_printf(&path, "%.*s%s", *name != '/' && slash ? (int)(slash - file) + 1 : 0, file, name);
    TRY(engine_need_vision(asking->model));
    err =
        engine_media_read(&example->media, &asking->model->vision, PR_ITEM_IMAGE, path.data, asking->settings, cancel);
fail:
    base_buf_finish(&path);
    return err;
}

static int read_line(struct asking *asking, const char *file, int number, char *line, bool *open,
                     struct ask_examples *out, struct pr_cancel *cancel)
{
    char *value;
    size_t len = strlen(line);
    while (len > 0 && strchr(" \t\r", line[len - 1]))
        line[--len] = '\0';
    if (len == 0) {
        *open = false;
        return PR_OK;
    }
    if (*line == '#')
        return PR_OK;
    struct ask_example *example = *open ? &out->list[out->n - 1] : add_example(out);
    *open = true;
    if ((value = value_of(line, "image")))
        return add_picture(asking, example, file, value, cancel);
    char **text = value_of(line, "question") ? &example->question : value_of(line, "answer") ? &example->answer : NULL;
    if (!text || *text)
        return base_fail(PR_ERR_INVALID,
                         "%s:%d: a line is image: FILE, question: TEXT or answer: TEXT, the latter two once in a block",
                         file, number);
    value = strchr(line, ':') + 1;
    *text = base_strdup(value + strspn(value, " \t"));
    return PR_OK;
}

int engine_ask_examples_read(struct asking *asking, const char *file, struct ask_examples *out,
                             struct pr_cancel *cancel)
{
    int err, number = 0;
    bool open = false;
    struct base_buf text = {0};
    TRY(base_file_read(file, LARGEST, &text));
    for (char *line = text.data, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        TRY(read_line(asking, file, ++number, line, &open, out, cancel));
    }
    for (size_t i = 0; i < out->n; i++)
        if (!out->list[i].question || !out->list[i].answer)
            TRY(base_fail(PR_ERR_INVALID, "%s: example %zu has no question: or no answer:", file, i + 1));
    err = PR_OK;
fail:
    base_buf_finish(&text);
    return err;
}

size_t engine_ask_examples_tokens(const struct ask_examples *examples)
{
    size_t n = 0;
    for (size_t i = 0; i < examples->n; i++) {
        const struct ask_example *example = &examples->list[i];
        n += (strlen(example->question) + strlen(example->answer)) / 4 + 16;
        for (size_t m = 0; m < example->media.n; m++)
            for (size_t r = 0; r < example->media.media[m].n_runs; r++) {
                const struct engine_run *run = &example->media.media[m].runs[r];
                n += run->text ? strlen(run->text) / 4 + 1 : (size_t)run->n;
            }
    }
    return n;
}

/* Runs are taken over by a session; examples stay for the next question. */
static struct engine_run copy_run(const struct engine_run *run, size_t width)
{
    struct engine_run copy = *run;
    copy.text = base_strdup(run->text);
    copy.rows = run->rows ? base_alloc_array((size_t)run->n * width, sizeof *copy.rows) : NULL;
    copy.positions = run->positions ? base_alloc_array(4 * (size_t)run->n, sizeof *copy.positions) : NULL;
    if (run->rows)
        memcpy(copy.rows, run->rows, (size_t)run->n * width * sizeof *copy.rows);
    if (run->positions)
        memcpy(copy.positions, run->positions, 4 * (size_t)run->n * sizeof *copy.positions);
    return copy;
}

int engine_ask_examples_add(const struct asking *asking, const struct ask_examples *examples,
                            struct pr_session *session)
{
    int err = PR_OK;
    size_t width = (size_t)asking->model->hp->d_model * (size_t)(1 + asking->model->hp->n_deepstack);
    for (size_t i = 0; i < examples->n && err >= 0; i++) {
        const struct ask_example *example = &examples->list[i];
        struct base_buf text = {0};
        struct engine_part *parts = base_alloc_array(example->media.n + 1, sizeof *parts);
        for (size_t m = 0; m < example->media.n; m++) {
            const struct engine_medium *medium = &example->media.media[m];
            parts[m].runs = base_alloc_array(medium->n_runs, sizeof *parts[m].runs);
            parts[m].n_runs = medium->n_runs;
            for (size_t r = 0; r < medium->n_runs; r++)
                parts[m].runs[r] = copy_run(&medium->runs[r], width);
        }
        base_buf_printf(&text, "%sQuestion: %s", example->media.n ? "\n" : "", example->question);
        parts[example->media.n] = (struct engine_part){.text = text.data, .len = text.len};
        err = engine_session_parts(session, PR_ROLE_USER, parts, example->media.n + 1, false);
        base_buf_finish(&text);
        base_free(parts);
        if (err >= 0)
            err = pr_session_chat(session, PR_ROLE_ASSISTANT, example->answer, strlen(example->answer));
    }
    return err;
}
