/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/text_rank.h"

#include "base/mem.h"

#include <math.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

enum { MAX_PHRASES = 64 /* words of a question that are weighed; further ones only find */ };
static const double K1 = 1.2, B = 0.75,
                    FULL = 4; /* a passage of a quarter of the average counts in full: a heading answers nothing */

/* Of a question: how rare its words are. */
struct question {
    int n;
    double weight[MAX_PHRASES], sum;
    double average; /* words of a passage */
};

static int count_row(const Fts5ExtensionApi *api, Fts5Context *context, void *user)
{
    (void)api;
    (void)context;
    ++*(int64_t *)user;
    return SQLITE_OK;
}

static int weigh(const Fts5ExtensionApi *api, Fts5Context *context, struct question **out)
{
    struct question *q = api->xGetAuxdata(context, 0);
    sqlite3_int64 rows = 0, words = 0;
    if (q) {
        *out = q;
        return SQLITE_OK;
    }
    q = base_alloc(sizeof *q);
    int code = api->xRowCount(context, &rows);
    if (code == SQLITE_OK)
        code = api->xColumnTotalSize(context, -1, &words);
    q->n = api->xPhraseCount(context);
    q->n = q->n < MAX_PHRASES ? q->n : MAX_PHRASES;
    q->average = rows > 0 && words > 0 ? (double)words / (double)rows : 1;
    for (int i = 0; i < q->n && code == SQLITE_OK; i++) {
        int64_t found = 0;
        code = api->xQueryPhrase(context, i, &found, count_row);
        /* A word that is nowhere counts as one in half a passage, or it would outweigh all that a short text has of the question. */
        double n = found > 0 ? (double)found : 0.5;
        q->weight[i] = log(1 + ((double)rows - n + 0.5) / (n + 0.5)); /* never below 0 */
        q->sum += q->weight[i];
    }
    if (code != SQLITE_OK) {
        base_free(q);
        return code;
    }
    *out = q;
    return api->xSetAuxdata(context, q, base_free);
}

/* What a passage has of a question. */
struct fit {
    double score, coverage;
};

static int fit(const Fts5ExtensionApi *api, Fts5Context *context, struct fit *out)
{
    struct question *q;
    int n = 0, size = 0, last = -1, last_end = -1, found[MAX_PHRASES] = {0};
    bool joined[MAX_PHRASES] = {false};
    *out = (struct fit){0};
    int code = weigh(api, context, &q);
    if (code == SQLITE_OK)
        code = api->xInstCount(context, &n);
    if (code == SQLITE_OK)
        code = api->xColumnSize(context, -1, &size);
    for (int i = 0; i < n && code == SQLITE_OK; i++) { /* in the order of the text */
        int phrase, column, offset;
        code = api->xInst(context, i, &phrase, &column, &offset);
        if (code != SQLITE_OK || phrase >= q->n)
            continue;
        found[phrase]++;
        if (phrase == last + 1 && last >= 0 && offset == last_end)
            joined[phrase] = true;
        last = phrase;
        last_end = offset + api->xPhraseSize(context, phrase);
    }
    if (code != SQLITE_OK)
        return code;
    double length = fmax(size, q->average) / q->average, covered = 0;
    for (int i = 0; i < q->n; i++) {
        if (!found[i])
            continue;
        double f = found[i];
        out->score += q->weight[i] * f * (K1 + 1) / (f + K1 * (1 - B + B * length));
        out->score += joined[i] ? 0.5 * fmin(q->weight[i], q->weight[i - 1]) : 0;
        covered += q->weight[i];
    }
    out->coverage = q->sum > 0 ? covered / q->sum : 0;
    out->score *= 0.4 + 0.6 * out->coverage;
    out->score *= 0.5 + 0.5 * fmin(1, FULL * size / q->average);
    return SQLITE_OK;
}

static void passage_rank(const Fts5ExtensionApi *api, Fts5Context *context, sqlite3_context *result, int n,
                         sqlite3_value **values)
{
    struct fit f;
    (void)n;
    (void)values;
    int code = fit(api, context, &f);
    if (code == SQLITE_OK)
        sqlite3_result_double(result, -f.score);
    else
        sqlite3_result_error_code(result, code);
}

static void passage_coverage(const Fts5ExtensionApi *api, Fts5Context *context, sqlite3_context *result, int n,
                             sqlite3_value **values)
{
    struct fit f;
    (void)n;
    (void)values;
    int code = fit(api, context, &f);
    if (code == SQLITE_OK)
        sqlite3_result_double(result, f.coverage);
    else
        sqlite3_result_error_code(result, code);
}

int memory_text_rank_register(struct sqlite3 *db)
{
    fts5_api *api = NULL;
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2(db, "SELECT fts5(?1)", -1, &statement, NULL);
    if (code != SQLITE_OK)
        return code;
    sqlite3_bind_pointer(statement, 1, &api, "fts5_api_ptr", NULL);
    sqlite3_step(statement);
    code = sqlite3_finalize(statement);
    if (code != SQLITE_OK || !api)
        return code != SQLITE_OK ? code : SQLITE_ERROR;
    code = api->xCreateFunction(api, "passage_rank", NULL, passage_rank, NULL);
    return code == SQLITE_OK ? api->xCreateFunction(api, "passage_coverage", NULL, passage_coverage, NULL) : code;
}
