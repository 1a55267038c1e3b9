/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the needles of pagereel bench come to: rows of each length, JSON, heat maps of length and depth and of what was kept.
 */
#include "engine/bench_needle.h"

#include "base/json.h"
#include "draw/heat.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 /* columns or rows of a map */ };

void engine_needle_length(bool film, double length, char *out, size_t size)
{
    if (!film)
        snprintf(out, size, "%.0f pages", length);
    else if (length < 120)
        snprintf(out, size, "%.0f seconds", length);
    else if (length < 3600)
        snprintf(out, size, "%.4g minutes", length / 60);
    else
        snprintf(out, size, length < 3601 ? "%.4g hour" : "%.4g hours", length / 3600);
}

/* ---- rows --------------------------------------------------------------------------------------------------------- */

static bool belongs(const struct pr_needles *row, const struct needle_result *result)
{
    return row->film == result->film && fabs(row->length - result->length) < 1e-6 &&
           fabs((double)row->keep - result->keep) < 1e-4 && row->budget == result->budget;
}

static int by_row(const void *a, const void *b)
{
    const struct pr_needles *x = a, *y = b;
    if (x->film != y->film)
        return x->film ? -1 : 1;
    if (x->length != y->length)
        return x->length < y->length ? -1 : 1;
    if (x->keep != y->keep)
        return x->keep < y->keep ? -1 : 1;
    return (x->budget > y->budget) - (x->budget < y->budget);
}

static void count(struct pr_needles *row, const struct needle_result *r)
{
    int32_t before = row->way[r->way].asked++;
    row->way[r->way].right += r->right;
    row->way[r->way].cited += r->right && r->cited;
    row->way[r->way].within += r->right && r->off >= 0 && r->off <= 1;
    row->way[r->way].tokens += (r->tokens - row->way[r->way].tokens) / (before + 1);
    row->way[r->way].seconds += (r->seconds - row->way[r->way].seconds) / (before + 1);
}

static struct pr_needles *make_rows(const struct needle_results *results, size_t *n)
{
    struct pr_needles *rows = base_alloc_array(results->n + 1, sizeof *rows);
    *n = 0;
    for (size_t i = 0; i < results->n; i++) {
        const struct needle_result *r = &results->list[i];
        size_t k = 0;
        while (k < *n && !belongs(&rows[k], r))
            k++;
        if (k == *n)
            rows[(*n)++] =
                (struct pr_needles){.film = r->film, .length = r->length, .keep = (float)r->keep, .budget = r->budget};
        count(&rows[k], r);
    }
    if (*n > 0)
        qsort(rows, *n, sizeof *rows, by_row);
    return rows;
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

static void put_number(struct base_buf *out, const char *name, double value)
{
    base_buf_printf(out, "%s\"%s\":", out->data[out->len - 1] == '{' ? "" : ",", name);
    base_json_double(out, value);
}

static void put_row(const struct needle_run *run, const struct pr_needles *row, struct base_buf *out)
{
    base_buf_printf(out, "{\"medium\":\"%s\"", row->film ? "film" : "document");
    put_number(out, row->film ? "seconds" : "pages", row->length);
    put_number(out, "keep", round((double)row->keep * 1000) / 1000);
    put_number(out, "budget", row->budget);
    for (int w = 0; w < PR_WAYS; w++) {
        if (row->way[w].asked == 0)
            continue;
        base_buf_printf(out, ",\"%s\":{", engine_way_names[w]);
        put_number(out, "asked", row->way[w].asked);
        put_number(out, "right", row->way[w].right);
        put_number(out, "right_and_cited", row->way[w].cited);
        if (run->time)
            put_number(out, "right_within_a_step", row->way[w].within);
        put_number(out, "tokens", round(row->way[w].tokens));
        put_number(out, "answer_s", row->way[w].seconds);
        base_buf_puts(out, "}");
    }
    double given =
        row->way[PR_WAY_GIVEN].asked ? (double)row->way[PR_WAY_GIVEN].right / row->way[PR_WAY_GIVEN].asked : 0;
    if (given > 0 && row->way[PR_WAY_MEMORY].asked)
        put_number(out, "share", (double)row->way[PR_WAY_MEMORY].right / row->way[PR_WAY_MEMORY].asked / given);
    base_buf_puts(out, "}");
}

static void put_cell(const struct needle_result *list, size_t n, size_t i, struct base_buf *out)
{
    const struct needle_result *first = &list[i];
    int asked = 0, right = 0;
    for (size_t k = 0; k < n; k++) {
        const struct needle_result *r = &list[k];
        bool same = r->film == first->film && r->length == first->length && r->depth == first->depth &&
                    r->keep == first->keep && r->budget == first->budget && r->way == first->way;
        if (same && k < i)
            return; /* it was put with that one */
        asked += same;
        right += same && r->right;
    }
    base_buf_printf(out, "%s\n{\"medium\":\"%s\"", out->data[out->len - 1] == '[' ? "" : ",",
                    first->film ? "film" : "document");
    put_number(out, first->film ? "seconds" : "pages", first->length);
    put_number(out, "depth", first->depth);
    put_number(out, "keep", first->keep);
    put_number(out, "budget", first->budget);
    base_buf_printf(out, ",\"way\":\"%s\"", engine_way_names[first->way]);
    put_number(out, "asked", asked);
    put_number(out, "right", right);
    base_buf_puts(out, "}");
}

static int write_json(const struct needle_run *run, const struct needle_results *results, const struct pr_needles *rows,
                      size_t n)
{
    struct base_buf out = {0}, path = {0};
    base_buf_puts(&out, "{\"model\":");
    base_json_text(&out, run->model, strlen(run->model));
    put_number(&out, "fps", run->fps);
    put_number(&out, "seed", (double)run->seed);
    base_buf_puts(&out, ",\"rows\":[");
    for (size_t i = 0; i < n; i++) {
        base_buf_puts(&out, i ? ",\n" : "\n");
        put_row(run, &rows[i], &out);
    }
    base_buf_puts(&out, "],\n\"cells\":[");
    for (size_t i = 0; i < results->n; i++)
        put_cell(results->list, results->n, i, &out);
    base_buf_puts(&out, "]}\n");
    base_buf_printf(&path, "%s/%s.json", run->folder, run->time ? "time" : "needle");
    errno = 0;
    FILE *file = fopen(path.data, "wb");
    bool good = file && fwrite(out.data, 1, out.len, file) == out.len;
    if (file && fclose(file) != 0)
        good = false;
    int err = good ? PR_OK : base_fail(PR_ERR_IO, "%s: can't be written: %s", path.data, strerror(errno));
    base_buf_finish(&path);
    base_buf_finish(&out);
    return err;
}

/* ---- maps --------------------------------------------------------------------------------------------------------- */

/* Names of a map's columns or rows, and the numbers that they stand for. */
struct axis {
    double values[MOST];
    char texts[MOST][24];
    const char *names[MOST];
    size_t n;
};

static void add_to(struct axis *axis, double value)
{
    size_t at = 0;
    for (size_t i = 0; i < axis->n; i++)
        if (fabs(axis->values[i] - value) < 1e-6)
            return;
    if (axis->n == MOST)
        return;
    while (at < axis->n && axis->values[at] < value)
        at++;
    memmove(&axis->values[at + 1], &axis->values[at], (axis->n - at) * sizeof *axis->values);
    axis->values[at] = value;
    axis->n++;
}

static size_t place_on(const struct axis *axis, double value)
{
    size_t i = 0;
    while (i < axis->n && fabs(axis->values[i] - value) >= 1e-6)
        i++;
    return i;
}

static void name(struct axis *axis, const char *format, double factor)
{
    for (size_t i = 0; i < axis->n; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(axis->texts[i], sizeof axis->texts[i], format, axis->values[i] * factor);
#pragma GCC diagnostic pop
        axis->names[i] = axis->texts[i];
    }
}

/* Shares of right answers over two axes; values [y, x]. */
struct shares {
    int32_t asked[MOST * MOST], right[MOST * MOST];
    double values[MOST * MOST];
};

static void put_share(struct shares *shares, size_t at, bool right)
{
    shares->asked[at]++;
    shares->right[at] += right;
    shares->values[at] = (double)shares->right[at] / shares->asked[at];
}

static void clear(struct shares *shares)
{
    *shares = (struct shares){0};
    for (size_t i = 0; i < (size_t)MOST * MOST; i++)
        shares->values[i] = NAN;
}

/* The budget of the questions that were asked in other ways, too. */
static int32_t main_budget(const struct needle_results *results, bool film)
{
    int32_t budget = 0;
    for (size_t i = 0; i < results->n; i++)
        if (results->list[i].film == film && results->list[i].budget > budget)
            budget = results->list[i].budget;
    return budget;
}

static int draw_depths(const struct needle_run *run, const struct needle_results *results, bool film)
{
    static const char *const titles[PR_WAYS] = {"memory", "uniform, same budget", "the last ones, same budget",
                                                "evidence handed over"};
    struct axis lengths = {0}, depths = {0};
    struct shares *shares = base_alloc_array(PR_WAYS, sizeof *shares);
    struct draw_heat maps[PR_WAYS];
    struct base_buf path = {0}, title = {0};
    size_t n = 0;
    int err = PR_OK;
    int32_t budget = main_budget(results, film);
    for (int w = 0; w < PR_WAYS; w++)
        clear(&shares[w]);
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < results->n; i++) {
            const struct needle_result *r = &results->list[i];
            if (r->film != film || r->budget != budget || fabs(r->keep - (double)run->keep) > 1e-3)
                continue;
            if (pass == 0) {
                add_to(&lengths, film ? r->length / 60 : r->length);
                add_to(&depths, r->depth);
                continue;
            }
            size_t x = place_on(&lengths, film ? r->length / 60 : r->length), y = place_on(&depths, r->depth);
            if (x < lengths.n && y < depths.n)
                put_share(&shares[r->way], y * lengths.n + x, r->right);
        }
    name(&lengths, "%.4g", 1);
    name(&depths, "%.0f %%", 100);
    for (int w = 0; w < PR_WAYS; w++) {
        bool any = false;
        for (size_t i = 0; i < lengths.n * depths.n; i++)
            any |= shares[w].asked[i] > 0;
        if (any)
            maps[n++] = (struct draw_heat){.title = titles[w],
                                           .x_title = film ? "minutes" : "pages",
                                           .y_title = "depth",
                                           .x = lengths.names,
                                           .y = depths.names,
                                           .n_x = lengths.n,
                                           .n_y = depths.n,
                                           .values = shares[w].values};
    }
    if (n > 0) {
        base_buf_printf(&path, "%s/%s.svg", run->folder, run->time ? "time" : film ? "films" : "documents");
        base_buf_printf(&title, "%s: %% right, %g %% of the tokens kept, prompts of %d tokens", run->model,
                        round(1000 * (double)run->keep) / 10, (int)budget);
        err = draw_heat_svg(path.data, title.data, maps, n);
    }
    base_buf_finish(&path);
    base_buf_finish(&title);
    base_free(shares);
    return err;
}

/* Tokens kept and working set, of the film that was asked so. */
static int draw_kept(const struct needle_run *run, const struct pr_needles *rows, size_t n)
{
    struct axis keeps = {0}, budgets = {0};
    struct shares *shares = base_alloc(sizeof *shares);
    struct base_buf path = {0}, title = {0};
    double length = 0;
    char text[64];
    int err = PR_OK;
    clear(shares);
    for (size_t i = 0; i < n; i++)
        if (fabsf(rows[i].keep - run->keep) > 1e-3f)
            length = rows[i].length;
    for (size_t i = 0; i < n; i++)
        if (rows[i].film && fabs(rows[i].length - length) < 1e-6) {
            add_to(&keeps, round((double)rows[i].keep * 1000) / 1000);
            add_to(&budgets, rows[i].budget);
        }
    for (size_t i = 0; i < n; i++) {
        if (!rows[i].film || fabs(rows[i].length - length) >= 1e-6)
            continue;
        size_t x = place_on(&budgets, rows[i].budget), y = place_on(&keeps, round((double)rows[i].keep * 1000) / 1000);
        shares->values[y * budgets.n + x] = (double)rows[i].way[PR_WAY_MEMORY].right / rows[i].way[PR_WAY_MEMORY].asked;
    }
    name(&keeps, "%g %%", 100);
    name(&budgets, "%.0f", 1);
    if (keeps.n > 1) {
        struct draw_heat map = {.title = "memory, all depths",
                                .x_title = "tokens of the prompt",
                                .y_title = "kept",
                                .x = budgets.names,
                                .y = keeps.names,
                                .n_x = budgets.n,
                                .n_y = keeps.n,
                                .values = shares->values};
        engine_needle_length(true, length, text, sizeof text);
        base_buf_printf(&path, "%s/kept.svg", run->folder);
        base_buf_printf(&title, "%s: %% right, film of %s", run->model, text);
        err = draw_heat_svg(path.data, title.data, &map, 1);
    }
    base_buf_finish(&path);
    base_buf_finish(&title);
    base_free(shares);
    return err;
}

int engine_needle_report(const struct needle_run *run, const struct needle_results *results, struct pr_needles **rows,
                         size_t *n)
{
    int err;
    *rows = make_rows(results, n);
    TRY(write_json(run, results, *rows, *n));
    TRY(draw_depths(run, results, true));
    TRY(draw_depths(run, results, false));
    if (!run->time)
        TRY(draw_kept(run, *rows, *n));
    return PR_OK;
fail:
    base_free(*rows);
    *rows = NULL;
    return err;
}
