/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which source a file is. Bytes decide; device, inode, size and time of change stand for the bytes while they stay the same, so that a
 * film of 10 GB isn't read before every question. A time that lies too near to the moment of hashing, or behind it (a clock that
 * was set back), could stand for other bytes: such a file is hashed again.
 */
#include "memory/library_impl.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 1 << 20 };
static const int64_t SETTLED = 2000000000; /* nanoseconds: the coarsest clock of a file system in use, FAT's */

char *memory_library_absolute(const char *name)
{
    char *resolved = realpath(name, NULL);
    if (resolved || name[0] == '/') {
        char *out = base_strdup(resolved ? resolved : name);
        free(resolved);
        return out;
    }
    struct base_buf out = {0};
    char folder[PATH_MAX];
    base_buf_printf(&out, "%s/%s", getcwd(folder, sizeof folder) ? folder : "", name);
    return out.data;
}

static int64_t mtime_of(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

enum library_state memory_library_file_state(const char *path, int64_t size, int64_t mtime)
{
    struct stat st;
    if (!*path || stat(path, &st) < 0)
        return LIBRARY_GONE;
    bool same = size < 0 || S_ISDIR(st.st_mode) || (st.st_size == size && mtime_of(&st) == mtime);
    return same ? LIBRARY_KNOWN : LIBRARY_CHANGED;
}

/* ---- hashing ------------------------------------------------------------------------------------------------------ */

struct progress {
    library_hash_fn fn;
    void *user;
    int64_t done, total;
    const struct base_cancel *cancel;
};

static int hash_file(struct base_hash *hash, const char *path, struct progress *progress)
{
    int err = PR_OK, fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat before, after;
    if (fd < 0)
        return base_fail(PR_ERR_IO, "%s: can't be opened: %s", path, strerror(errno));
    if (fstat(fd, &before) < 0) {
        close(fd);
        return base_fail(PR_ERR_IO, "%s: can't be read: %s", path, strerror(errno));
    }
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    char *block = base_alloc(BLOCK);
    for (ssize_t n; err >= 0 && (n = read(fd, block, BLOCK)) != 0;) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err = base_fail(PR_ERR_IO, "%s: can't be read: %s", path, strerror(errno));
            break;
        }
        base_hash_update(hash, block, (size_t)n);
        progress->done += n;
        if (progress->fn)
            progress->fn(progress->user, progress->done, progress->total);
        if (base_cancelled(progress->cancel))
            err = base_fail(PR_ERR_CANCELLED, "interrupted");
    }
    if (err >= 0 && (fstat(fd, &after) < 0 || after.st_size != before.st_size || mtime_of(&after) != mtime_of(&before)))
        err = base_fail(PR_ERR_IO, "%s: changes while it is read; add it once it is complete", path);
    base_free(block);
    close(fd);
    return err;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a folder but hidden ones, sorted. The caller frees each and the list. */
static int list_folder(const char *path, char ***out, size_t *n_out)
{
    char **names = NULL;
    size_t n = 0, cap = 0;
    struct dirent *entry;
    DIR *folder = opendir(path);
    if (!folder)
        return base_fail(PR_ERR_IO, "%s: can't be opened: %s", path, strerror(errno));
    while ((entry = readdir(folder))) {
        if (entry->d_name[0] == '.')
            continue;
        if (n == cap) {
            cap = cap ? 2 * cap : 64;
            names = base_realloc(names, cap * sizeof *names);
        }
        names[n++] = base_strdup(entry->d_name);
    }
    closedir(folder);
    if (n > 0)
        qsort(names, n, sizeof *names, by_name);
    *out = names;
    *n_out = n;
    return PR_OK;
}

/* A folder is the names and bytes of the files in it. */
static int hash_folder(struct base_hash *hash, const char *path, struct progress *progress)
{
    char **names;
    size_t n;
    int err = list_folder(path, &names, &n);
    if (err < 0)
        return err;
    base_hash_update(hash, "folder", 7);
    for (size_t i = 0; i < n; i++) {
        struct base_buf file = {0};
        struct stat st;
        base_buf_printf(&file, "%s/%s", path, names[i]);
        if (err >= 0 && stat(file.data, &st) == 0 && S_ISREG(st.st_mode)) {
            int64_t size = st.st_size;
            base_hash_update(hash, names[i], strlen(names[i]) + 1);
            base_hash_update(hash, &size, sizeof size);
            err = hash_file(hash, file.data, progress);
        }
        base_buf_finish(&file);
        base_free(names[i]);
    }
    base_free(names);
    return err;
}

/* What stands for the bytes of a folder, put in the place of its own size and time: a number of its files' names and figures, and the
 * latest of their times. */
static int folder_figures(const char *path, struct stat *st)
{
    char **names;
    size_t n;
    struct base_hash hash;
    unsigned char result[BASE_HASH_BYTES];
    int err = list_folder(path, &names, &n);
    if (err < 0)
        return err;
    base_hash_init(&hash);
    for (size_t i = 0; i < n; i++) {
        struct base_buf file = {0};
        struct stat entry;
        base_buf_printf(&file, "%s/%s", path, names[i]);
        if (stat(file.data, &entry) == 0 && S_ISREG(entry.st_mode)) {
            const int64_t figures[] = {(int64_t)entry.st_dev, (int64_t)entry.st_ino, entry.st_size, mtime_of(&entry)};
            base_hash_update(&hash, names[i], strlen(names[i]) + 1);
            base_hash_update(&hash, figures, sizeof figures);
            if (mtime_of(&entry) > mtime_of(st))
                st->st_mtim = entry.st_mtim;
        }
        base_buf_finish(&file);
        base_free(names[i]);
    }
    base_free(names);
    base_hash_final(&hash, result);
    uint64_t number;
    memcpy(&number, result, sizeof number);
    st->st_size = (off_t)(number >> 1);
    return PR_OK;
}

/* ---- who it is ---------------------------------------------------------------------------------------------------- */

/* The source of a file with these figures, if they can be trusted; id 0: none. */
static int find_by_figures(struct library *library, const char *path, const struct stat *st, struct library_source *out)
{
    struct library_source *list;
    size_t n;
    out->id = 0;
    int err = memory_library_select(
        library,
        "WHERE source.id IN (SELECT source FROM file WHERE ino = ?1 AND size = ?2 AND dev = ?3 AND "
        "mtime = ?4 AND seen > mtime + ?5)",
        &list, &n, "iiiii", (int64_t)st->st_ino, (int64_t)st->st_size, (int64_t)st->st_dev, mtime_of(st), SETTLED);
    if (err < 0)
        return err;
    if (n == 1) {
        *out = list[0];
        out->state = strcmp(list[0].path, path) ? LIBRARY_RENAMED : LIBRARY_KNOWN;
    }
    base_free(list);
    return PR_OK;
}

/* Enters a file by its hash. `out` gets the source; was_known: some file of it was here before. */
static int enter(struct library *library, const char *path, const struct stat *st, int64_t seen,
                 const unsigned char hash[BASE_HASH_BYTES], struct library_source *out)
{
    int err;
    struct library_source *by_hash = NULL, *by_path = NULL;
    size_t n_hash, n_path;
    TRY(memory_library_select(library, "WHERE source.hash = ?1", &by_hash, &n_hash, "h", hash));
    TRY(memory_library_select(library, "WHERE source.id IN (SELECT source FROM file WHERE path = ?1)", &by_path,
                              &n_path, "t", path));
    enum library_state state = LIBRARY_NEW;
    if (n_path == 1 && n_hash == 1 && by_path[0].id == by_hash[0].id)
        state = LIBRARY_KNOWN;
    else if (n_path == 1)
        state = LIBRARY_CHANGED;
    else if (n_hash == 1)
        state = LIBRARY_RENAMED;
    TRY(memory_library_run(library, "INSERT OR IGNORE INTO source(hash, added) VALUES (?1, ?2)", "hi", hash,
                           seen / 1000000000));
    TRY(memory_library_run(library,
                           "INSERT OR REPLACE INTO file(path, source, dev, ino, size, mtime, seen) "
                           "SELECT ?1, id, ?2, ?3, ?4, ?5, ?6 FROM source WHERE hash = ?7",
                           "tiiiiih", path, (int64_t)st->st_dev, (int64_t)st->st_ino, (int64_t)st->st_size,
                           mtime_of(st), seen, hash));
    base_free(by_hash);
    TRY(memory_library_select(library, "WHERE source.hash = ?1", &by_hash, &n_hash, "h", hash));
    if (n_hash != 1) {
        err = base_fail(PR_ERR_INTERNAL, "%s: didn't get into the catalogue", path);
        goto fail;
    }
    *out = by_hash[0];
    out->state = state;
fail:
    base_free(by_hash);
    base_free(by_path);
    return err;
}

static int identify(struct library *library, const char *path, struct progress *progress, struct library_source *out)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        int code = errno;
        if (code == ENOENT && memory_library_find(library, path, out) >= 0) {
            out->state = LIBRARY_GONE;
            return PR_OK;
        }
        return base_fail(PR_ERR_IO, "%s: can't be opened: %s", path, strerror(code));
    }
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return base_fail(PR_ERR_UNSUPPORTED, "%s: neither a file nor a folder; save it as a file first", path);
    int err = S_ISDIR(st.st_mode) ? folder_figures(path, &st) : PR_OK;
    if (err >= 0)
        err = find_by_figures(library, path, &st, out);
    if (err < 0)
        return err;
    if (out->id && out->state == LIBRARY_KNOWN)
        return PR_OK;
    if (out->id) /* moved, or another link to it: no need to read it */
        return enter(library, path, &st, now(), out->hash, out);
    int64_t begun = now();
    struct base_hash hash;
    unsigned char result[BASE_HASH_BYTES];
    base_hash_init(&hash);
    progress->total = S_ISREG(st.st_mode) ? st.st_size : 0;
    err = S_ISDIR(st.st_mode) ? hash_folder(&hash, path, progress) : hash_file(&hash, path, progress);
    if (err < 0)
        return err;
    base_hash_final(&hash, result);
    return enter(library, path, &st, begun, result, out);
}

int memory_library_identify(struct library *library, const char *path, library_hash_fn fn, void *user,
                            const struct base_cancel *cancel, struct library_source *out)
{
    struct progress progress = {.fn = fn, .user = user, .cancel = cancel};
    char *absolute = memory_library_absolute(path);
    *out = (struct library_source){0};
    int err = identify(library, absolute, &progress, out);
    base_free(absolute);
    return err;
}
