/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The library: which sources there are, and their logs and passages. What a file is, identity.c says.
 */
#include "memory/library_impl.h"

#include "base/mem.h"
#include "memory/passages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { WAIT_MS = 20000, HASH_DIGITS = 2 * BASE_HASH_BYTES, LEAST_DIGITS = 6 };

/* A passage's number in the index: source, segment's record, first line. */
enum { LINE_BITS = 16, SEGMENT_BITS = 24 };

static int64_t passage_id(int64_t source, uint64_t segment, size_t line)
{
    return source << (SEGMENT_BITS + LINE_BITS) | (int64_t)(segment << LINE_BITS) | (int64_t)line;
}

int memory_library_failed(const struct library *library, const char *what)
{
    int code = sqlite3_errcode(library->db) & 0xff;
    bool system = code == SQLITE_FULL || code == SQLITE_IOERR || code == SQLITE_CANTOPEN || code == SQLITE_READONLY ||
                  code == SQLITE_BUSY || code == SQLITE_PERM;
    bool damaged = code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
    return base_fail(system    ? PR_ERR_IO
                     : damaged ? PR_ERR_FORMAT
                               : PR_ERR_INTERNAL,
                     "%s: %s: %s", library->folder, what, sqlite3_errmsg(library->db));
}

static void name_file(const struct library *library, const char *name, struct base_buf *out)
{
    out->len = 0;
    base_buf_printf(out, "%s/%s", library->folder, name);
}

void memory_library_name(const struct library *library, const unsigned char *hash, const char *suffix,
                         struct base_buf *out)
{
    char text[HASH_DIGITS + 1];
    base_hash_text(hash, text);
    out->len = 0;
    base_buf_printf(out, "%s/evidence/%s.%s", library->folder, text, suffix);
}

static void name_log(const struct library *library, const unsigned char *hash, struct base_buf *out)
{
    memory_library_name(library, hash, "log", out);
}

/* Deletes what was derived from a log and lies beside it. */
static void delete_derived(const struct library *library, const unsigned char *hash)
{
    struct base_buf path = {0};
    memory_library_name(library, hash, "recall", &path);
    unlink(path.data);
    /* Keys of whichever models. */
    char text[HASH_DIGITS + 1];
    struct dirent *entry;
    base_hash_text(hash, text);
    name_file(library, "keys", &path);
    DIR *folder = opendir(path.data);
    while (folder && (entry = readdir(folder)))
        if (!strncmp(entry->d_name, text, HASH_DIGITS))
            unlinkat(dirfd(folder), entry->d_name, 0);
    if (folder)
        closedir(folder);
    base_buf_finish(&path);
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

/* Makes a folder and those above it; what pagereel remembers is its user's alone. */
static int make_folder(const char *path)
{
    char *copy = base_strdup(path);
    for (char *c = copy + 1; *c; c++) {
        if (*c != '/')
            continue;
        *c = '\0';
        mkdir(copy, 0700);
        *c = '/';
    }
    int result = mkdir(copy, 0700), code = errno;
    base_free(copy);
    if (result < 0 && code != EEXIST)
        return base_fail(PR_ERR_IO, "%s: can't be made: %s; give --library another folder", path, strerror(code));
    return PR_OK;
}

static int open_catalogue(struct library *library, const char *path)
{
    static const char schema[] =
        "PRAGMA journal_mode = WAL;"
        "CREATE TABLE IF NOT EXISTS source(id INTEGER PRIMARY KEY AUTOINCREMENT, hash BLOB UNIQUE NOT NULL, "
        "added INTEGER NOT NULL);"
        "CREATE TABLE IF NOT EXISTS file(path TEXT PRIMARY KEY, source INTEGER NOT NULL, dev INTEGER, ino INTEGER, "
        "size INTEGER, mtime INTEGER, seen INTEGER);"
        "CREATE INDEX IF NOT EXISTS file_identity ON file(ino, size);"
        "CREATE INDEX IF NOT EXISTS file_source ON file(source);";
    if (sqlite3_open(path, &library->db) == SQLITE_OK) {
        sqlite3_busy_timeout(library->db, WAIT_MS);
        if (sqlite3_exec(library->db, schema, NULL, NULL, NULL) == SQLITE_OK)
            return PR_OK;
    }
    int err = memory_library_failed(library, "the catalogue can't be opened");
    sqlite3_close(library->db);
    library->db = NULL;
    return err;
}

int memory_library_run(struct library *library, const char *sql, const char *types, ...)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(library->db, sql, -1, &statement, NULL) != SQLITE_OK)
        return memory_library_failed(library, "catalogue");
    va_list values;
    va_start(values, types);
    memory_library_bind(statement, types, values);
    va_end(values);
    int result = sqlite3_step(statement);
    int err = result == SQLITE_DONE || result == SQLITE_ROW ? PR_OK : memory_library_failed(library, "catalogue");
    sqlite3_finalize(statement);
    return err;
}

void memory_library_bind(sqlite3_stmt *statement, const char *types, va_list values)
{
    for (int i = 0; types[i]; i++) {
        if (types[i] == 'i')
            sqlite3_bind_int64(statement, i + 1, va_arg(values, int64_t));
        else if (types[i] == 't')
            sqlite3_bind_text(statement, i + 1, va_arg(values, const char *), -1, SQLITE_TRANSIENT);
        else
            sqlite3_bind_blob(statement, i + 1, va_arg(values, const unsigned char *), BASE_HASH_BYTES,
                              SQLITE_TRANSIENT);
    }
}

static bool parse_hash(const char *text, unsigned char out[BASE_HASH_BYTES])
{
    for (int i = 0; i < HASH_DIGITS; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit)
            return false;
        unsigned char value = (unsigned char)(digit - digits);
        out[i / 2] = (unsigned char)(i % 2 ? out[i / 2] | value : value << 4);
    }
    return true;
}

/* Enters what a log says of its source. Its file's figures are unknown: it will be hashed when it is met again. */
static int enter_log(struct library *library, const unsigned char *hash)
{
    struct base_buf path = {0};
    struct evidence *evidence;
    name_log(library, hash, &path);
    int err = memory_evidence_open(path.data, hash, &evidence);
    base_buf_finish(&path);
    if (err < 0)
        return PR_OK; /* empty or foreign: nothing to find in it */
    const char *name = memory_evidence_info(evidence)->path;
    err = memory_library_run(library, "INSERT OR IGNORE INTO source(hash, added) VALUES (?1, ?2)", "hi", hash,
                             (int64_t)time(NULL));
    if (err >= 0 && *name)
        err = memory_library_run(library,
                                 "INSERT OR IGNORE INTO file(path, source, dev, ino, size, mtime, seen) "
                                 "SELECT ?1, id, 0, 0, -1, 0, 0 FROM source WHERE hash = ?2",
                                 "th", name, hash);
    memory_evidence_close(evidence);
    return err;
}

static int rebuild_catalogue(struct library *library)
{
    int err = PR_OK;
    struct base_buf path = {0};
    struct dirent *entry;
    name_file(library, "evidence", &path);
    DIR *folder = opendir(path.data);
    while (folder && err >= 0 && (entry = readdir(folder))) {
        unsigned char hash[BASE_HASH_BYTES];
        if (strlen(entry->d_name) == HASH_DIGITS + 4 && parse_hash(entry->d_name, hash) &&
            !strcmp(entry->d_name + HASH_DIGITS, ".log"))
            err = enter_log(library, hash);
    }
    if (folder)
        closedir(folder);
    base_buf_finish(&path);
    return err;
}

static int reindex(struct library *library, bool damaged);

/* *rebuilt: sources may have got other ids than those in the text index. */
static int open_or_rebuild(struct library *library, bool *rebuilt)
{
    struct base_buf path = {0}, aside = {0};
    name_file(library, "catalogue.db", &path);
    bool is_new = access(path.data, F_OK) < 0;
    int err = open_catalogue(library, path.data);
    if (err == PR_ERR_FORMAT) {
        name_file(library, "catalogue.db.damaged", &aside);
        rename(path.data, aside.data);
        name_file(library, "catalogue.db-wal", &aside);
        unlink(aside.data);
        is_new = true;
        err = open_catalogue(library, path.data);
    }
    if (err >= 0 && is_new)
        err = rebuild_catalogue(library);
    *rebuilt = is_new;
    base_buf_finish(&path);
    base_buf_finish(&aside);
    return err;
}

int memory_library_open(const char *folder, struct library **out)
{
    int err;
    bool rebuilt;
    int lock = -1;
    struct base_buf path = {0};
    struct library *library = base_alloc(sizeof *library);
    library->folder = base_strdup(folder);
    name_file(library, "evidence", &path);
    TRY(make_folder(path.data));
    /* One at a time: what one makes anew, another mustn't take for missing. */
    name_file(library, "lock", &path);
    lock = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) < 0) {
        err = base_fail(PR_ERR_IO, "%s: can't be locked: %s", path.data, strerror(errno));
        goto fail;
    }
    TRY(open_or_rebuild(library, &rebuilt));
    name_file(library, "text.db", &path);
    rebuilt |= access(path.data, F_OK) < 0;
    err = rebuilt ? PR_ERR_FORMAT : memory_text_index_open(path.data, &library->text);
    if (err == PR_ERR_FORMAT)
        err = reindex(library, !rebuilt);
    TRY(err);
    base_buf_finish(&path);
    close(lock);
    *out = library;
    return PR_OK;
fail:
    if (lock >= 0)
        close(lock);
    base_buf_finish(&path);
    memory_library_close(library);
    return err;
}

void memory_library_close(struct library *library)
{
    if (!library)
        return;
    memory_text_index_close(library->text);
    sqlite3_close(library->db);
    base_free(library->folder);
    base_free(library);
}

/* ---- sources ------------------------------------------------------------------------------------------------------ */

static void read_source(sqlite3_stmt *row, struct library_source *out)
{
    *out = (struct library_source){.id = sqlite3_column_int64(row, 0), .added = sqlite3_column_int64(row, 2)};
    if (sqlite3_column_bytes(row, 1) == BASE_HASH_BYTES)
        memcpy(out->hash, sqlite3_column_blob(row, 1), BASE_HASH_BYTES);
    const char *path = (const char *)sqlite3_column_text(row, 3);
    snprintf(out->path, sizeof out->path, "%s", path ? path : "");
    out->state = memory_library_file_state(out->path, sqlite3_column_int64(row, 4), sqlite3_column_int64(row, 5));
}

/* Of the names that a source has, the one seen last. */
#define SELECT_SOURCE                                                                                                  \
    "SELECT source.id, source.hash, source.added, file.path, file.size, file.mtime, max(file.seen) FROM source "       \
    "LEFT JOIN file ON file.source = source.id "

int memory_library_select(struct library *library, const char *where, struct library_source **list, size_t *n,
                          const char *types, ...)
{
    sqlite3_stmt *statement;
    char sql[512];
    size_t cap = 0;
    int result;
    *list = NULL;
    *n = 0;
    snprintf(sql, sizeof sql, SELECT_SOURCE "%s GROUP BY source.id ORDER BY source.id", where);
    if (sqlite3_prepare_v2(library->db, sql, -1, &statement, NULL) != SQLITE_OK)
        return memory_library_failed(library, "catalogue");
    va_list values;
    va_start(values, types);
    memory_library_bind(statement, types, values);
    va_end(values);
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        if (*n == cap) {
            cap = cap ? 2 * cap : 16;
            *list = base_realloc(*list, cap * sizeof **list);
        }
        read_source(statement, &(*list)[(*n)++]);
    }
    int err = result == SQLITE_DONE ? PR_OK : memory_library_failed(library, "catalogue");
    sqlite3_finalize(statement);
    if (err < 0) {
        base_free(*list);
        *list = NULL;
        *n = 0;
    }
    return err;
}

int memory_library_list(struct library *library, struct library_source **list, size_t *n)
{
    return memory_library_select(library, "", list, n, "");
}

int memory_library_find(struct library *library, const char *name, struct library_source *out)
{
    struct library_source *list;
    size_t n;
    char *path = memory_library_absolute(name);
    int err = memory_library_select(library, "WHERE source.id IN (SELECT source FROM file WHERE path = ?1)", &list, &n,
                                    "t", path);
    base_free(path);
    if (err >= 0 && n == 0 && strlen(name) >= LEAST_DIGITS && strspn(name, "0123456789abcdef") == strlen(name)) {
        base_free(list);
        err = memory_library_select(library, "WHERE lower(hex(source.hash)) GLOB ?1 || '*'", &list, &n, "t", name);
    }
    if (err < 0)
        return err;
    if (n == 1)
        *out = list[0];
    base_free(list);
    if (n > 1)
        return base_fail(PR_ERR_INVALID, "%zu sources begin with %.64s; write more of its digits", n, name);
    return n == 1 ? PR_OK : base_fail(PR_ERR_NOT_FOUND, "%s: isn't in the library; see pagereel list", name);
}

int memory_library_evidence(struct library *library, const struct library_source *source, struct evidence **out)
{
    struct base_buf path = {0};
    name_log(library, source->hash, &path);
    int err = memory_evidence_open(path.data, source->hash, out);
    base_buf_finish(&path);
    return err;
}

int memory_library_aside(struct library *library, const struct library_source *source, struct evidence **out)
{
    struct base_buf path = {0};
    name_log(library, source->hash, &path);
    base_buf_puts(&path, ".damaged");
    int err = memory_evidence_open(path.data, source->hash, out);
    base_buf_finish(&path);
    return err;
}

int memory_library_writer(struct library *library, const struct library_source *source, bool *busy,
                          struct evidence_writer **out)
{
    bool is_busy;
    struct base_buf path = {0};
    name_log(library, source->hash, &path);
    int err = memory_evidence_writer_open(path.data, source->hash, &is_busy, out);
    if (busy)
        *busy = is_busy;
    if (err < 0 && is_busy)
        err = base_fail(PR_ERR_IO, "%s: another pagereel is adding it; wait until that is done", source->path);
    base_buf_finish(&path);
    return err;
}

int memory_library_keys_path(struct library *library, const struct library_source *source, uint64_t model,
                             struct base_buf *out)
{
    char text[HASH_DIGITS + 1];
    base_hash_text(source->hash, text);
    name_file(library, "keys", out);
    int err = make_folder(out->data);
    base_buf_printf(out, "/%s-%016llx.keys", text, (unsigned long long)model);
    return err;
}

int memory_library_calibration_path(struct library *library, const unsigned char encoder[16], struct base_buf *out)
{
    name_file(library, "calibration", out);
    int err = make_folder(out->data);
    base_buf_puts(out, "/");
    for (int i = 0; i < 16; i++)
        base_buf_printf(out, "%02x", encoder[i]);
    return err;
}

/* ---- the text index ----------------------------------------------------------------------------------------------- */

typedef int (*change_fn)(struct text_index *index, int64_t id, const char *text, size_t len);

/* Adds or removes the passages of the segments [from, to) under a setup. Damaged segments have none; then *missed becomes true. */
static int change_passages(struct library *library, int64_t source, const struct evidence *evidence, uint64_t setup,
                           uint64_t from, uint64_t to, change_fn change, bool *missed)
{
    int err = PR_OK;
    for (size_t i = 0; i < memory_evidence_count(evidence) && err >= 0; i++) {
        uint64_t number = memory_evidence_number(evidence, i);
        struct evidence_segment segment;
        if (number < from || number >= to || memory_evidence_setup_of(evidence, i) != setup ||
            number >= 1u << SEGMENT_BITS)
            continue;
        if (memory_evidence_read(evidence, i, &segment) < 0) {
            *missed = true;
            continue;
        }
        /* An outline repeats a document's headings; a film's chapters stand nowhere else. */
        bool skip = segment.kind == EVIDENCE_OUTLINE && segment.t0 == PR_TIME_NONE;
        for (size_t first = 0, end; first < segment.n_lines && err >= 0 && !skip; first = end) {
            struct passage passage;
            end = memory_passage_end(&segment, first);
            memory_passage_make(&segment, first, end, &passage);
            err = change(library->text, passage_id(source, number, first), passage.text, passage.len);
            base_free(passage.text);
        }
        memory_evidence_release(&segment);
    }
    return err;
}

/* The mark of a source: the number of its text setup's record + 1, and the number of the first record that isn't indexed. */
int memory_library_index(struct library *library, const struct library_source *source, const struct evidence *evidence)
{
    int err;
    bool begun = false, missed = false;
    int64_t mark[2];
    const struct evidence_setup *setup = memory_evidence_setup(evidence, EVIDENCE_TEXT);
    const int64_t want[2] = {setup ? (int64_t)setup->number + 1 : 0, (int64_t)memory_evidence_end(evidence)};
    TRY(memory_text_index_marked(library->text, source->id, mark));
    if (!setup || (mark[0] == want[0] && mark[1] >= want[1]))
        return PR_OK;
    TRY(memory_text_index_begin(library->text));
    begun = true;
    TRY(memory_text_index_marked(library->text, source->id, mark)); /* another process may have been here */
    if (mark[0] != want[0] && mark[0] > 0)
        TRY(change_passages(library, source->id, evidence, (uint64_t)mark[0] - 1, 0, (uint64_t)mark[1],
                            memory_text_index_remove, &missed));
    if (missed) { /* what those segments had in the index can't be taken out of it any more */
        memory_text_index_end(library->text, false);
        return reindex(library, false);
    }
    if (mark[0] != want[0])
        mark[1] = 0;
    if (mark[1] < want[1]) {
        TRY(change_passages(library, source->id, evidence, setup->number, (uint64_t)mark[1], (uint64_t)want[1],
                            memory_text_index_add, &missed));
        TRY(memory_text_index_mark(library->text, source->id, want));
    }
    begun = false;
    return memory_text_index_end(library->text, true);
fail:
    if (begun)
        memory_text_index_end(library->text, false);
    return err;
}

/* Takes a source's passages out of the index; *missed: some couldn't be. */
static int unindex(struct library *library, const struct library_source *source, bool *missed)
{
    int err;
    bool begun = false;
    int64_t mark[2];
    const int64_t none[2] = {0};
    struct evidence *evidence = NULL;
    *missed = false;
    TRY(memory_text_index_marked(library->text, source->id, mark));
    if (mark[0] == 0)
        return PR_OK;
    if (memory_library_evidence(library, source, &evidence) < 0) {
        *missed = true;
        return PR_OK;
    }
    *missed = memory_evidence_damage(evidence) > 0;
    TRY(memory_text_index_begin(library->text));
    begun = true;
    TRY(change_passages(library, source->id, evidence, (uint64_t)mark[0] - 1, 0, (uint64_t)mark[1],
                        memory_text_index_remove, missed));
    TRY(memory_text_index_mark(library->text, source->id, none));
    begun = false;
    TRY(memory_text_index_end(library->text, true));
fail:
    if (begun)
        memory_text_index_end(library->text, false);
    memory_evidence_close(evidence);
    return err;
}

/* False: the index is damaged. */
static bool empty(struct text_index *index)
{
    int err = memory_text_index_begin(index);
    if (err < 0)
        return err != PR_ERR_FORMAT;
    err = memory_text_index_clear(index);
    return memory_text_index_end(index, err >= 0) >= 0 && err >= 0;
}

/* Makes the index again from all logs. A damaged file is replaced; one that is whole is emptied, since other processes may be using it. */
static int reindex(struct library *library, bool damaged)
{
    int err;
    struct library_source *list = NULL;
    size_t n;
    struct base_buf path = {0};
    name_file(library, "text.db", &path);
    if (!library->text && !damaged)
        damaged = memory_text_index_open(path.data, &library->text) < 0;
    if (damaged || !empty(library->text)) {
        static const char *const files[] = {"text.db", "text.db-wal", "text.db-shm"};
        memory_text_index_close(library->text);
        library->text = NULL;
        for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
            name_file(library, files[i], &path);
            unlink(path.data);
        }
        name_file(library, "text.db", &path);
        TRY(memory_text_index_open(path.data, &library->text));
    }
    TRY(memory_library_list(library, &list, &n));
    for (size_t i = 0; i < n && err >= 0; i++) {
        struct evidence *evidence;
        if (memory_library_evidence(library, &list[i], &evidence) < 0)
            continue;
        err = memory_library_index(library, &list[i], evidence);
        memory_evidence_close(evidence);
    }
fail:
    base_free(list);
    base_buf_finish(&path);
    return err;
}

/* ---- putting aside, forgetting ------------------------------------------------------------------------------------- */

int memory_library_restart(struct library *library, const struct library_source *source)
{
    struct base_buf path = {0}, aside = {0};
    name_log(library, source->hash, &path);
    base_buf_printf(&aside, "%s.damaged", path.data);
    delete_derived(library, source->hash);
    int err = PR_OK;
    if (rename(path.data, aside.data) < 0)
        err = base_fail(PR_ERR_IO, "%s: can't be put aside: %s", path.data, strerror(errno));
    base_buf_finish(&path);
    base_buf_finish(&aside);
    return err < 0 ? err : reindex(library, false);
}

int memory_library_remove(struct library *library, const struct library_source *source)
{
    int err;
    bool busy, missed = false;
    struct base_buf path = {0};
    struct evidence_writer *writer = NULL;
    name_log(library, source->hash, &path);
    /* Holding the writer's lock: nobody is adding to it while it goes. A log that can't be written can still be deleted. */
    err = memory_library_writer(library, source, &busy, &writer);
    if (err < 0 && busy)
        goto fail;
    TRY(unindex(library, source, &missed));
    if (unlink(path.data) < 0 && errno != ENOENT) {
        err = base_fail(PR_ERR_IO, "%s: can't be deleted: %s", path.data, strerror(errno));
        goto fail;
    }
    base_buf_puts(&path, ".damaged");
    unlink(path.data);
    delete_derived(library, source->hash);
    TRY(memory_library_run(library, "DELETE FROM file WHERE source = ?1", "i", source->id));
    TRY(memory_library_run(library, "DELETE FROM source WHERE id = ?1", "i", source->id));
    if (missed)
        TRY(reindex(library, false));
fail:
    memory_evidence_writer_close(writer);
    base_buf_finish(&path);
    return err < 0 ? err : PR_OK;
}

/* ---- search ------------------------------------------------------------------------------------------------------- */

/* Which passages may be found. */
struct accept {
    library_accept_fn fn;
    void *user;
    const int64_t *ids; /* ascending; [0]: of all sources */
    size_t n_ids;
};

static struct library_hit resolve(int64_t id, double score)
{
    return (struct library_hit){id >> (SEGMENT_BITS + LINE_BITS),
                                (uint64_t)(id >> LINE_BITS) & ((1u << SEGMENT_BITS) - 1),
                                (size_t)(id & ((1 << LINE_BITS) - 1)), score, 0};
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool accept_id(void *user, int64_t id)
{
    const struct accept *accept = user;
    struct library_hit hit = resolve(id, 0);
    if (accept->n_ids && !bsearch(&hit.source, accept->ids, accept->n_ids, sizeof *accept->ids, by_number))
        return false;
    return !accept->fn || accept->fn(accept->user, &hit);
}

static int by_score(const void *a, const void *b)
{
    const struct library_hit *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    if (x->source != y->source)
        return x->source < y->source ? -1 : 1;
    if (x->segment != y->segment)
        return x->segment < y->segment ? -1 : 1;
    return (x->line > y->line) - (x->line < y->line);
}

/* One search, however many sources: how rare words are is counted once, and all that match are ranked together. */
static int search_once(struct library *library, const char *question, struct accept *accept, size_t k,
                       struct library_hit *hits, size_t *n)
{
    struct text_hit *found = base_alloc_array(k, sizeof *found);
    struct text_range range = {0, INT64_MAX, accept->n_ids > 1 || accept->fn ? accept_id : NULL, accept};
    if (accept->n_ids) {
        range.first = passage_id(accept->ids[0], 0, 0);
        range.last = passage_id(accept->ids[accept->n_ids - 1] + 1, 0, 0) - 1;
    }
    int err = memory_text_index_search(library->text, question, &range, k, found, n);
    for (size_t i = 0; i < *n && err >= 0; i++) {
        hits[i] = resolve(found[i].id, found[i].score);
        hits[i].coverage = found[i].coverage;
    }
    base_free(found);
    if (err >= 0 && *n > 0)
        qsort(hits, *n, sizeof *hits, by_score);
    return err;
}

int memory_library_search(struct library *library, const char *question, const int64_t *ids, size_t n_ids,
                          library_accept_fn accept, void *user, size_t k, struct library_hit *hits, size_t *n)
{
    struct accept with = {accept, user, ids, n_ids};
    int err = search_once(library, question, &with, k, hits, n);
    if (err != PR_ERR_FORMAT)
        return err;
    err = reindex(library, true);
    return err < 0 ? err : search_once(library, question, &with, k, hits, n);
}
