/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/text_index.h"

#include "base/mem.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>

struct text_index {
    sqlite3 *db;
    sqlite3_stmt *add, *search;
    int64_t n;
};

static int failed(const struct text_index *index, const char *what)
{
    return base_fail(PR_ERR_INTERNAL, "text index: %s: %s", what, index->db ? sqlite3_errmsg(index->db) : "no memory");
}

int memory_text_index_create(struct text_index **out)
{
    int err;
    struct text_index *index = base_alloc(sizeof *index);
    /* No content is kept in the table: passages live with their owner, and here they'd be stored twice. */
    static const char schema[] = "CREATE VIRTUAL TABLE passages USING fts5(text, content='', "
                                 "tokenize='porter unicode61 remove_diacritics 2')";
    static const char search[] = "SELECT rowid, bm25(passages) FROM passages WHERE passages MATCH ?1 "
                                 "ORDER BY bm25(passages), rowid LIMIT ?2";
    if (sqlite3_open(":memory:", &index->db) != SQLITE_OK ||
        sqlite3_exec(index->db, schema, NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(index->db, "INSERT INTO passages(rowid, text) VALUES (?1, ?2)", -1, &index->add, NULL) !=
            SQLITE_OK ||
        sqlite3_prepare_v2(index->db, search, -1, &index->search, NULL) != SQLITE_OK) {
        err = failed(index, "can't be created");
        memory_text_index_destroy(index);
        return err;
    }
    *out = index;
    return PR_OK;
}

void memory_text_index_destroy(struct text_index *index)
{
    if (!index)
        return;
    sqlite3_finalize(index->add);
    sqlite3_finalize(index->search);
    sqlite3_close(index->db);
    base_free(index);
}

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
static bool is_function_word(const char *word, size_t len)
{
    static const char words[] =
        " a about after all an and any are as at be been before but by can could did do does for from had has have he "
        "her his "
        "how i if in into is it its many me more most much my no not of on one or our she should so some than that the "
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

static void write_word(const char *word, size_t len, bool query, bool prefix, struct base_buf *out)
{
    if (out->len)
        base_buf_puts(out, query ? " OR " : " ");
    base_buf_puts(out, query ? "\"" : "");
    base_buf_append(out, word, len);
    base_buf_puts(out, query ? "\"" : "");
    base_buf_puts(out, query && prefix ? " *" : "");
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
        if (!query || !is_function_word(text + i, size))
            write_word(text + i, size, query, false, out);
    }
}

int memory_text_index_add(struct text_index *index, const char *text, size_t len)
{
    struct base_buf words = {0};
    write_words(text, len, false, &words);
    sqlite3_bind_int64(index->add, 1, index->n);
    sqlite3_bind_text(index->add, 2, words.data ? words.data : "", (int)words.len, SQLITE_STATIC);
    int result = sqlite3_step(index->add);
    sqlite3_reset(index->add);
    base_buf_finish(&words);
    if (result != SQLITE_DONE)
        return failed(index, "a passage can't be added");
    index->n++;
    return PR_OK;
}

int memory_text_index_search(struct text_index *index, const char *question, size_t k, struct text_hit *hits, size_t *n)
{
    *n = 0;
    struct base_buf query = {0};
    write_words(question, strlen(question), true, &query);
    if (query.len == 0) {
        base_buf_finish(&query);
        return PR_OK;
    }
    sqlite3_bind_text(index->search, 1, query.data, (int)query.len, SQLITE_STATIC);
    sqlite3_bind_int64(index->search, 2, (sqlite3_int64)k);
    int result;
    while ((result = sqlite3_step(index->search)) == SQLITE_ROW)
        hits[(*n)++] =
            (struct text_hit){sqlite3_column_int64(index->search, 0), -sqlite3_column_double(index->search, 1)};
    int err = result == SQLITE_DONE ? PR_OK : failed(index, "search");
    sqlite3_reset(index->search);
    base_buf_finish(&query);
    return err;
}
