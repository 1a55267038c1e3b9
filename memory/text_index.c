/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/text_index.h"

#include "base/mem.h"
#include "memory/text_rank.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WAIT_MS = 20000, /* for another process that changes the index */
    VERSION = 2      /* of how words and passages are cut: an index of another one is made again */
};

struct text_index {
    sqlite3 *db;
    sqlite3_stmt *add, *remove, *search, *get, *set;
};

static int failed(const struct text_index *index, const char *what)
{
    int code = index->db ? sqlite3_errcode(index->db) & 0xff : SQLITE_NOMEM;
    const char *why = index->db ? sqlite3_errmsg(index->db) : "no memory";
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB)
        return base_fail(PR_ERR_FORMAT, "text index: %s: %s", what, why);
    if (code == SQLITE_FULL || code == SQLITE_IOERR || code == SQLITE_CANTOPEN || code == SQLITE_READONLY ||
        code == SQLITE_BUSY || code == SQLITE_PERM)
        return base_fail(PR_ERR_IO, "text index: %s: %s", what, why);
    return base_fail(PR_ERR_INTERNAL, "text index: %s: %s", what, why);
}

static int read_number(void *out, int n, char **values, char **names)
{
    (void)names;
    *(int *)out = n == 1 && values[0] ? atoi(values[0]) : 0;
    return 0;
}

static int prepare(struct text_index *index)
{
    /* No content is kept in the table: passages live in the evidence logs, and here they'd be stored twice. */
    static const char schema[] = "CREATE VIRTUAL TABLE IF NOT EXISTS passages USING fts5(text, content='', "
                                 "tokenize='porter unicode61 remove_diacritics 2');"
                                 "CREATE TABLE IF NOT EXISTS mark(key INTEGER PRIMARY KEY, a INTEGER, b INTEGER);";
    static const struct {
        size_t offset;
        const char *sql;
    } statements[] = {
        {offsetof(struct text_index, add), "INSERT INTO passages(rowid, text) VALUES (?1, ?2)"},
        {offsetof(struct text_index, remove), "INSERT INTO passages(passages, rowid, text) VALUES ('delete', ?1, ?2)"},
        {offsetof(struct text_index, search), "SELECT rowid, rank, passage_coverage(passages) FROM passages "
                                              "WHERE passages MATCH ?1 AND rowid BETWEEN ?2 AND ?3 "
                                              "AND rank MATCH 'passage_rank()' ORDER BY rank"},
        {offsetof(struct text_index, get), "SELECT a, b FROM mark WHERE key = ?1"},
        {offsetof(struct text_index, set), "INSERT OR REPLACE INTO mark(key, a, b) VALUES (?1, ?2, ?3)"},
    };
    int version = 0;
    if (sqlite3_exec(index->db, "PRAGMA user_version", read_number, &version, NULL) != SQLITE_OK)
        return failed(index, "can't be read");
    if (version != VERSION &&
        sqlite3_table_column_metadata(index->db, NULL, "mark", NULL, NULL, NULL, NULL, NULL, NULL) == SQLITE_OK)
        return base_fail(PR_ERR_FORMAT, "text index: made by another version of pagereel");
    char set_version[64];
    snprintf(set_version, sizeof set_version, "PRAGMA user_version = %d", VERSION);
    if (sqlite3_exec(index->db, set_version, NULL, NULL, NULL) != SQLITE_OK)
        return failed(index, "can't be made");
    if (memory_text_rank_register(index->db) != SQLITE_OK ||
        sqlite3_exec(index->db, schema, NULL, NULL, NULL) != SQLITE_OK)
        return failed(index, "can't be made");
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        sqlite3_stmt **statement = (sqlite3_stmt **)(void *)((char *)index + statements[i].offset);
        if (sqlite3_prepare_v2(index->db, statements[i].sql, -1, statement, NULL) != SQLITE_OK)
            return failed(index, "can't be made");
    }
    return PR_OK;
}

int memory_text_index_open(const char *path, struct text_index **out)
{
    int err = PR_OK;
    struct text_index *index = base_alloc(sizeof *index);
    if (sqlite3_open(path ? path : ":memory:", &index->db) != SQLITE_OK)
        err = failed(index, "can't be opened");
    if (err >= 0) {
        sqlite3_busy_timeout(index->db, WAIT_MS);
        /* It can be made again: what a power failure loses is found missing and indexed anew. */
        sqlite3_exec(index->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;", NULL, NULL, NULL);
        err = prepare(index);
    }
    if (err < 0) {
        memory_text_index_close(index);
        return err;
    }
    *out = index;
    return PR_OK;
}

void memory_text_index_close(struct text_index *index)
{
    if (!index)
        return;
    sqlite3_finalize(index->add);
    sqlite3_finalize(index->remove);
    sqlite3_finalize(index->search);
    sqlite3_finalize(index->get);
    sqlite3_finalize(index->set);
    sqlite3_close(index->db);
    base_free(index);
}

/* ---- words ---------------------------------------------------------------------------------------------------------- */

/* Decodes one character of valid or broken UTF-8; a stray byte counts as one character of its own. */
static uint32_t next_character(const char *text, size_t len, size_t *size)
{
    const unsigned char *c = (const unsigned char *)text;
    size_t n = c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : c[0] >= 0xc0 ? 2 : 1;
    *size = n <= len ? n : 1;
    switch (*size) {
    case 2:
        return (c[0] & 31u) << 6 | (c[1] & 63u);
    case 3:
        return (c[0] & 15u) << 12 | (c[1] & 63u) << 6 | (c[2] & 63u);
    case 4:
        return (c[0] & 7u) << 18 | (c[1] & 63u) << 12 | (c[2] & 63u) << 6 | (c[3] & 63u);
    default:
        return c[0];
    }
}

/* Scripts that are written without blanks between words: CJK ideographs, kana, Hangul. */
static bool is_unspaced(uint32_t c)
{
    return (c >= 0x3040 && c <= 0x30ff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x4e00 && c <= 0x9fff) ||
           (c >= 0xac00 && c <= 0xd7af) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0x20000 && c <= 0x3ffff);
}

/* ASCII letters and digits, and everything beyond ASCII, make words; FTS5 decides finer within them. */
static bool is_word(uint32_t c)
{
    return c >= 0x80 || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* Function words say nothing about what is asked for: a passage that shares only these with a question doesn't fit it. The
 * commonest of four languages; others count as words, and BM25 weighs them low where they are everywhere. */
bool memory_is_function_word(const char *word, size_t len)
{
    static const char words[] =
        " a about after all an and any are as at be been before but by can could did do does for from had has have he "
        "her his "
        "how i if in into is it its many me more most much my no not of on one or our say says she should so some tell tells than that the "
        "their "
        "them then there these they this those to up was we were what when where which while who whom whose why will "
        "with "
        "would you your "
        " aber als am an auch auf aus bei das dass dem den der des die ein eine einem einen einer es für hat ich im in "
        "ist mit "
        "nach nicht oder sich sie sind und von war warum was welche welcher welches wenn wer wie wird wo zu zum zur "
        " au aux avec ce ces cette dans de des du elle en est et il ils la le les leur mais ne nous on ou où par pas "
        "pour quand "
        "que quel quelle qui sa se ses son sont sur un une vous "
        " al como con cual cuando de del donde el ella en es esta este la las lo los más no para pero por que qué "
        "quien se sin "
        "son su sus un una y ";
    char spaced[16];
    if (len == 0 || len > sizeof spaced - 3)
        return false;
    spaced[0] = ' ';
    for (size_t i = 0; i < len; i++)
        spaced[i + 1] = (char)(word[i] >= 'A' && word[i] <= 'Z' ? word[i] + 32 : word[i]);
    memcpy(spaced + len + 1, " ", 2);
    return strstr(words, spaced) != NULL;
}

/* Whether a query has a word already: said twice, it doesn't count twice. */
static bool has_word(const struct base_buf *query, const char *word, size_t len)
{
    for (const char *c = query->data, *end = c ? c + query->len : c; c && c + len < end; c++)
        if (c[0] == '"' && c[len + 1] == '"' && !memcmp(c + 1, word, len))
            return true;
    return false;
}

static void write_word(const char *word, size_t len, bool query, bool prefix, struct base_buf *out)
{
    if (query && has_word(out, word, len))
        return;
    if (out->len)
        base_buf_puts(out, query ? " OR " : " ");
    base_buf_puts(out, query ? "\"" : "");
    base_buf_append(out, word, len);
    base_buf_puts(out, query ? "\"" : "");
    base_buf_puts(out, query && prefix ? " *" : "");
}

/* How much of a word is searched for: endings differ, and FTS5 knows those of English alone. Of six characters and more the first three
 * quarters, five at least; the rest may be anything. Words with digits are names of things and searched for as they are. */
static size_t stem(const char *word, size_t len)
{
    size_t n = 0, kept = 0, size;
    for (size_t i = 0; i < len; i += size, n++) {
        uint32_t c = next_character(word + i, len - i, &size);
        if (c >= '0' && c <= '9')
            return len;
    }
    if (n < 6)
        return len;
    for (size_t i = 0, most = n * 3 / 4 > 5 ? (n * 3 + 3) / 4 : 5; i < most; i++, kept += size)
        next_character(word + kept, len - kept, &size);
    return kept;
}

/* Rewrites text as words with blanks between: unspaced scripts become pairs of neighbouring characters ("日本語" is "日本
 * 本語"), which FTS5 then matches like words. With `query`, each word is quoted and alternatives are joined by OR; a single
 * character of such a script stands for every pair that begins with it. Function words don't search. */
static void write_words(const char *text, size_t len, bool query, struct base_buf *out)
{
    size_t size;
    bool after_unspaced = false;
    for (size_t i = 0; i < len; i += size) {
        uint32_t c = next_character(text + i, len - i, &size);
        if (is_unspaced(c)) {
            size_t second = 0;
            if (i + size < len && !is_unspaced(next_character(text + i + size, len - i - size, &second)))
                second = 0;
            if (second > 0 || !after_unspaced)
                write_word(text + i, size + second, query, second == 0, out);
            after_unspaced = true;
            continue;
        }
        after_unspaced = false;
        if (!is_word(c))
            continue;
        size_t more;
        while (i + size < len && is_word(c = next_character(text + i + size, len - i - size, &more)) && !is_unspaced(c))
            size += more;
        size_t kept = query ? stem(text + i, size) : size;
        if (!query || !memory_is_function_word(text + i, size))
            write_word(text + i, kept, query, kept < size, out);
    }
}

double memory_least_coverage(const char *question)
{
    size_t len = strlen(question), unspaced = 0, others = 0, size;
    for (size_t i = 0; i < len; i += size) {
        uint32_t c = next_character(question + i, len - i, &size);
        if (is_unspaced(c))
            unspaced++;
        else
            others += is_word(c);
    }
    return unspaced > others ? 0.18 : 0.3;
}

/* ---- passages ------------------------------------------------------------------------------------------------------- */

static int change(struct text_index *index, sqlite3_stmt *statement, int64_t id, const char *text, size_t len,
                  const char *what)
{
    struct base_buf words = {0};
    write_words(text, len, false, &words);
    sqlite3_bind_int64(statement, 1, id);
    sqlite3_bind_text(statement, 2, words.data ? words.data : "", (int)words.len, SQLITE_STATIC);
    int err = sqlite3_step(statement) == SQLITE_DONE ? PR_OK : failed(index, what);
    sqlite3_reset(statement);
    base_buf_finish(&words);
    return err;
}

int memory_text_index_add(struct text_index *index, int64_t id, const char *text, size_t len)
{
    return change(index, index->add, id, text, len, "a passage can't be added");
}

int memory_text_index_remove(struct text_index *index, int64_t id, const char *text, size_t len)
{
    return change(index, index->remove, id, text, len, "a passage can't be removed");
}

int memory_text_index_begin(struct text_index *index)
{
    return sqlite3_exec(index->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK
               ? PR_OK
               : failed(index, "can't be changed");
}

int memory_text_index_end(struct text_index *index, bool keep)
{
    if (sqlite3_exec(index->db, keep ? "COMMIT" : "ROLLBACK", NULL, NULL, NULL) == SQLITE_OK)
        return PR_OK;
    int err = failed(index, "can't be changed");
    if (keep)
        sqlite3_exec(index->db, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

int memory_text_index_clear(struct text_index *index)
{
    static const char sql[] = "INSERT INTO passages(passages) VALUES ('delete-all'); DELETE FROM mark;";
    return sqlite3_exec(index->db, sql, NULL, NULL, NULL) == SQLITE_OK ? PR_OK : failed(index, "can't be emptied");
}

int memory_text_index_mark(struct text_index *index, int64_t key, const int64_t value[2])
{
    sqlite3_bind_int64(index->set, 1, key);
    sqlite3_bind_int64(index->set, 2, value[0]);
    sqlite3_bind_int64(index->set, 3, value[1]);
    int err = sqlite3_step(index->set) == SQLITE_DONE ? PR_OK : failed(index, "can't be changed");
    sqlite3_reset(index->set);
    return err;
}

int memory_text_index_marked(struct text_index *index, int64_t key, int64_t value[2])
{
    value[0] = value[1] = 0;
    sqlite3_bind_int64(index->get, 1, key);
    int result = sqlite3_step(index->get);
    if (result == SQLITE_ROW) {
        value[0] = sqlite3_column_int64(index->get, 0);
        value[1] = sqlite3_column_int64(index->get, 1);
    }
    int err = result == SQLITE_ROW || result == SQLITE_DONE ? PR_OK : failed(index, "can't be read");
    sqlite3_reset(index->get);
    return err;
}

int memory_text_index_search(struct text_index *index, const char *question, const struct text_range *range, size_t k,
                             struct text_hit *hits, size_t *n)
{
    static const struct text_range all = {INT64_MIN, INT64_MAX, NULL, NULL};
    *n = 0;
    range = range ? range : &all;
    struct base_buf query = {0};
    write_words(question, strlen(question), true, &query);
    if (query.len == 0) {
        base_buf_finish(&query);
        return PR_OK;
    }
    sqlite3_bind_text(index->search, 1, query.data, (int)query.len, SQLITE_STATIC);
    sqlite3_bind_int64(index->search, 2, range->first);
    sqlite3_bind_int64(index->search, 3, range->last);
    int result = SQLITE_DONE;
    while (*n < k && (result = sqlite3_step(index->search)) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(index->search, 0);
        if (!range->accept || range->accept(range->user, id))
            hits[(*n)++] = (struct text_hit){id, -sqlite3_column_double(index->search, 1),
                                             sqlite3_column_double(index->search, 2)};
    }
    int err = result == SQLITE_DONE || result == SQLITE_ROW ? PR_OK : failed(index, "search");
    sqlite3_reset(index->search);
    base_buf_finish(&query);
    return err;
}
