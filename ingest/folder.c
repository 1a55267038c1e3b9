/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sets of pictures as documents: a folder, or an archive of them (CBZ and its kin, through libarchive). Each picture is a page, in
 * the order of the names as people count ("page 2" before "page 10"); its label is its name. Pictures of an archive are read into
 * memory one at a time: nothing is unpacked to disk.
 */
#include "base/mem.h"
#include "ingest/reader.h"
#include "ingest/still.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_PAGES = 100000, MAX_PICTURE = 256 << 20 /* bytes of one picture, unpacked: bombs end here */ };

struct entry {
    char *name;    /* within the folder or archive */
    int64_t index; /* of an archive: how many entries stand before it */
};

struct folder {
    char *path;
    bool archive;
    struct entry *entries;
    size_t n, cap;
    size_t next, last;
    int64_t max_pixels;
    struct ingest_still *still;
    struct archive *reader; /* open archive, standing before entry number `at` */
    int64_t at;
    char *data; /* of the current picture */
    char format[64];
    const char *problems[1];
};

static bool is_picture_name(const char *name)
{
    /* HEIC can't be decoded: it is better named than left out. */
    static const char *const endings[] = {".png", ".jpg",  ".jpeg", ".jfif", ".webp", ".gif", ".bmp",
                                          ".tif", ".tiff", ".jp2",  ".jxl",  ".ppm",  ".pgm", ".pbm",
                                          ".qoi", ".apng", ".avif", ".heic", ".heif"};
    const char *dot = strrchr(name, '.');
    const char *base = strrchr(name, '/');
    if (!dot || (base ? base[1] : name[0]) == '.')
        return false; /* hidden files are thumbnails and the like */
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strcasecmp(dot, endings[i]) == 0)
            return true;
    return false;
}

static void add_entry(struct folder *folder, const char *name, int64_t index)
{
    if (!is_picture_name(name) || folder->n == MAX_PAGES)
        return;
    if (folder->n == folder->cap) {
        folder->cap = folder->cap ? 2 * folder->cap : 64;
        folder->entries = base_realloc(folder->entries, folder->cap * sizeof *folder->entries);
    }
    folder->entries[folder->n++] = (struct entry){base_strdup(name), index};
}

static int by_name(const void *a, const void *b)
{
    return strverscmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* ---- archives --------------------------------------------------------------------------------------------------- */

static int open_archive(struct folder *folder)
{
    archive_read_free(folder->reader);
    folder->at = 0;
    folder->reader = archive_read_new();
    archive_read_support_filter_all(folder->reader);
    archive_read_support_format_zip(folder->reader);
    archive_read_support_format_tar(folder->reader);
    archive_read_support_format_7zip(folder->reader);
    archive_read_support_format_rar(folder->reader);
    archive_read_support_format_rar5(folder->reader);
    if (archive_read_open_filename(folder->reader, folder->path, 1 << 16) != ARCHIVE_OK)
        return base_fail(PR_ERR_FORMAT, "%s: the archive can't be opened (%s)", folder->path,
                         archive_error_string(folder->reader));
    return PR_OK;
}

static int list_archive(struct folder *folder)
{
    int err = open_archive(folder), result;
    struct archive_entry *entry;
    if (err < 0)
        return err;
    for (int64_t i = 0;
         (result = archive_read_next_header(folder->reader, &entry)) >= ARCHIVE_WARN && result != ARCHIVE_EOF; i++) {
        const char *name = archive_entry_pathname_utf8(entry);
        if (name && archive_entry_filetype(entry) == AE_IFREG)
            add_entry(folder, name, i);
        ingest_report(0);
    }
    const char *format = archive_format_name(folder->reader); /* known once an entry was read */
    snprintf(folder->format, sizeof folder->format, "%s", format && *format ? format : "archive");
    if (folder->n == 0 && result != ARCHIVE_EOF)
        return base_fail(PR_ERR_FORMAT, "%s: the archive is damaged (%s)", folder->path,
                         archive_error_string(folder->reader));
    return open_archive(folder);
}

/* Unpacks an entry into memory. Entries in order are read in one sweep; one that lies before needs the archive from its start. */
static int read_entry(struct folder *folder, const struct entry *wanted, size_t *size)
{
    struct archive_entry *entry;
    int err = PR_OK;
    if (folder->at > wanted->index)
        err = open_archive(folder);
    if (err < 0)
        return err;
    do {
        if (archive_read_next_header(folder->reader, &entry) < ARCHIVE_WARN)
            return base_fail(PR_ERR_FORMAT, "%s: %s can't be unpacked (%s)", folder->path, wanted->name,
                             archive_error_string(folder->reader));
    } while (folder->at++ < wanted->index);
    size_t cap = 1 << 20;
    ssize_t n;
    *size = 0;
    base_free(folder->data);
    folder->data = base_alloc(cap);
    while ((n = archive_read_data(folder->reader, folder->data + *size, cap - *size)) > 0) {
        *size += (size_t)n;
        if (*size < cap)
            continue;
        if (cap >= MAX_PICTURE)
            return base_fail(PR_ERR_FORMAT, "%s: %s unpacks to more than %d MiB; it was left out", folder->path,
                             wanted->name, MAX_PICTURE >> 20);
        cap *= 2;
        folder->data = base_realloc(folder->data, cap);
        ingest_report((int64_t)folder->next - 1);
    }
    if (n < 0)
        return base_fail(PR_ERR_FORMAT, "%s: %s can't be unpacked (%s)", folder->path, wanted->name,
                         archive_error_string(folder->reader));
    return PR_OK;
}

/* ---- the reader ------------------------------------------------------------------------------------------------- */

static int list_folder(struct folder *folder)
{
    DIR *dir = opendir(folder->path);
    struct dirent *entry;
    if (!dir)
        return base_fail(PR_ERR_IO, "%s: can't be opened: %s", folder->path, strerror(errno));
    while ((entry = readdir(dir)))
        add_entry(folder, entry->d_name, 0);
    closedir(dir);
    return PR_OK;
}

static int open_set(struct folder *folder, const char *path, const struct ingest_options *options,
                    struct pr_source_info *info)
{
    folder->path = base_strdup(path);
    folder->still = ingest_still_create();
    folder->max_pixels = options->max_pixels;
    int err = folder->archive ? list_archive(folder) : list_folder(folder);
    if (err < 0)
        return err;
    if (folder->n == 0)
        return base_fail(PR_ERR_UNSUPPORTED, "%s: holds no pictures", path);
    qsort(folder->entries, folder->n, sizeof *folder->entries, by_name);
    if (folder->n == MAX_PAGES) {
        folder->problems[0] = "it holds more pictures than are read";
        info->problems = folder->problems;
        info->n_problems = 1;
    }
    info->n_pages = (int32_t)folder->n;
    info->format = folder->archive ? folder->format : "folder";
    folder->next = options->first_page > 0 ? (size_t)options->first_page : 0;
    folder->last = options->last_page < 0 ? folder->n - 1 : (size_t)options->last_page;
    return PR_OK;
}

static int folder_open(void *priv, const char *path, const struct ingest_options *options, struct pr_source_info *info)
{
    return open_set(priv, path, options, info);
}

static int archive_open(void *priv, const char *path, const struct ingest_options *options, struct pr_source_info *info)
{
    struct folder *folder = priv;
    folder->archive = true;
    return open_set(folder, path, options, info);
}

static int folder_next(void *priv, struct pr_unit *unit)
{
    struct folder *folder = priv;
    if (folder->next >= folder->n || folder->next > folder->last)
        return PR_EOF;
    const struct entry *entry = &folder->entries[folder->next];
    unit->kind = PR_UNIT_PAGE;
    unit->span.page = (int32_t)folder->next;
    unit->label = entry->name;
    unit->visual_only = true;
    ingest_report((int64_t)folder->next++);
    if (folder->archive) {
        size_t size = 0;
        int err = read_entry(folder, entry, &size);
        return err < 0 ? err
                       : ingest_still_decode(folder->still, folder->data, size, entry->name, folder->max_pixels, unit);
    }
    struct base_buf path = {0};
    base_buf_printf(&path, "%s/%s", folder->path, entry->name);
    int err = ingest_still_decode_file(folder->still, path.data, folder->max_pixels, unit);
    base_buf_finish(&path);
    return err;
}

static void folder_close(void *priv)
{
    struct folder *folder = priv;
    archive_read_free(folder->reader);
    ingest_still_destroy(folder->still);
    for (size_t i = 0; i < folder->n; i++)
        base_free(folder->entries[i].name);
    base_free(folder->entries);
    base_free(folder->data);
    base_free(folder->path);
}

const struct ingest_reader ingest_folder = {
    .kind = "folder of pictures",
    .priv_size = sizeof(struct folder),
    .open = folder_open,
    .next = folder_next,
    .close = folder_close,
};

const struct ingest_reader ingest_archive = {
    .kind = "archive of pictures",
    .priv_size = sizeof(struct folder),
    .open = archive_open,
    .next = folder_next,
    .close = folder_close,
};
