/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * results.jsonl: a line for each question that was answered, so that a measurement of hours can be interrupted. The first line says
 * what was measured; a line that was cut off at the end is left out and written again.
 */
#include "engine/bench_needle.h"

#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LONGEST_FILE = 1 << 30 };

const char *const engine_way_names[PR_WAYS] = {"memory", "uniform", "last", "given"};

void engine_needle_key(struct needle_result *r)
{
    snprintf(r->key, sizeof r->key, "%s %g depth %.3f keep %.3f budget %d %s %d", r->film ? "film" : "document",
             r->length, r->depth, r->keep, (int)r->budget, engine_way_names[r->way], (int)r->number);
}

static void write_head(const struct needle_run *run, struct base_buf *out)
{
    base_buf_printf(out, "{\"measured\":\"%s\",\"model\":", run->time ? "time" : "needle");
    base_json_text(out, run->model, strlen(run->model));
    base_buf_puts(out, ",\"fps\":");
    base_json_double(out, run->fps);
    if (run->haystack) {
        base_buf_puts(out, ",\"haystack\":");
        base_json_text(out, run->haystack, strlen(run->haystack));
    }
    base_buf_printf(out, ",\"seed\":%lld,\"version\":2}\n", (long long)run->seed);
}

/* The number behind "name": in a line that we wrote; `missing` when there is none. */
static double number_of(const char *line, const char *name, double missing)
{
    char wanted[32];
    snprintf(wanted, sizeof wanted, "\"%s\":", name);
    const char *at = strstr(line, wanted);
    return at ? strtod(at + strlen(wanted), NULL) : missing;
}

static bool read_line(const char *line, struct needle_result *out)
{
    char kind[16], way[16];
    int used = 0;
    static const char begins[] = "{\"key\":\"";
    *out = (struct needle_result){0};
    if (strncmp(line, begins, sizeof begins - 1) != 0 || line[strlen(line) - 1] != '}')
        return false;
    const char *key = line + sizeof begins - 1;
    if (sscanf(key, "%15s %lf depth %lf keep %lf budget %d %15s %d%n", kind, &out->length, &out->depth, &out->keep,
               &out->budget, way, &out->number, &used) != 7 ||
        key[used] != '"' || (size_t)used >= sizeof out->key)
        return false;
    memcpy(out->key, key, (size_t)used);
    out->film = !strcmp(kind, "film");
    out->way = PR_WAYS;
    for (int i = 0; i < PR_WAYS; i++)
        if (!strcmp(way, engine_way_names[i]))
            out->way = (enum pr_way)i;
    out->right = number_of(line, "right", 0) > 0;
    out->found = number_of(line, "found", 0) > 0;
    out->cited = number_of(line, "cited", 0) > 0;
    out->off = number_of(line, "off", -1);
    out->tokens = (int32_t)number_of(line, "tokens", 0);
    out->seconds = number_of(line, "seconds", 0);
    return out->way < PR_WAYS;
}

static void add(struct needle_results *results, const struct needle_result *result)
{
    if (results->n == results->cap) {
        results->cap = results->cap ? 2 * results->cap : 256;
        results->list = base_realloc(results->list, results->cap * sizeof *results->list);
    }
    results->list[results->n++] = *result;
}

static int cant_write(const char *path)
{
    return base_fail(PR_ERR_IO, "%s: can't be written: %s", path, strerror(errno));
}

static int append(const char *path, const char *mode, const struct base_buf *text)
{
    FILE *file = fopen(path, mode);
    bool good = file && fwrite(text->data, 1, text->len, file) == text->len;
    if (file && fclose(file) != 0)
        good = false;
    return good ? PR_OK : cant_write(path);
}

int engine_needle_results_open(const struct needle_run *run, struct needle_results *out)
{
    int err;
    struct base_buf path = {0}, head = {0}, text = {0}, whole = {0};
    *out = (struct needle_results){0};
    base_buf_printf(&path, "%s/results.jsonl", run->folder);
    out->path = path.data;
    write_head(run, &head);
    if (mkdir(run->folder, 0777) < 0 && errno != EEXIST)
        TRY(cant_write(run->folder));
    err = base_file_read(out->path, LONGEST_FILE, &text);
    if (err == PR_ERR_NOT_FOUND || (err >= 0 && text.len == 0)) {
        TRY(append(out->path, "wb", &head));
        goto done;
    }
    TRY(err);
    if (strncmp(text.data, head.data, head.len) != 0)
        TRY(base_fail(
            PR_ERR_INVALID,
            "%s: has results of another model or of other settings; give another folder with --output, or delete it",
            out->path));
    base_buf_append(&whole, head.data, head.len);
    for (char *line = text.data + head.len, *end; (end = strchr(line, '\n')); line = end + 1) {
        struct needle_result result;
        *end = '\0';
        if (!*line || !read_line(line, &result))
            continue;
        add(out, &result);
        base_buf_printf(&whole, "%s\n", line);
    }
    if (whole.len != text.len) /* something was cut off or isn't ours */
        TRY(append(out->path, "wb", &whole));
done:
    err = PR_OK;
fail:
    base_buf_finish(&head);
    base_buf_finish(&text);
    base_buf_finish(&whole);
    if (err < 0)
        engine_needle_results_close(out);
    return err;
}

void engine_needle_results_close(struct needle_results *results)
{
    base_free(results->list);
    base_free(results->path);
    *results = (struct needle_results){0};
}

const struct needle_result *engine_needle_find(const struct needle_results *results, const char *key)
{
    for (size_t i = 0; i < results->n; i++)
        if (!strcmp(results->list[i].key, key))
            return &results->list[i];
    return NULL;
}

int engine_needle_put(struct needle_results *results, const struct needle_result *r, const char *question,
                      const char *wanted, const char *answer)
{
    struct base_buf line = {0};
    base_buf_printf(&line, "{\"key\":\"%s\",\"right\":%d,\"found\":%d,\"cited\":%d,\"tokens\":%d,\"seconds\":", r->key,
                    r->right, r->found, r->cited, (int)r->tokens);
    base_json_double(&line, r->seconds);
    if (r->off >= 0) {
        base_buf_puts(&line, ",\"off\":");
        base_json_double(&line, r->off);
    }
    base_buf_puts(&line, ",\"question\":");
    base_json_text(&line, question, strlen(question));
    base_buf_puts(&line, ",\"wanted\":");
    base_json_text(&line, wanted, strlen(wanted));
    base_buf_puts(&line, ",\"answer\":");
    base_json_text(&line, answer, strlen(answer));
    base_buf_puts(&line, "}\n");
    add(results, r);
    int err = append(results->path, "ab", &line);
    base_buf_finish(&line);
    return err;
}
