/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/keys.h"

#include "base/mem.h"
#include "compute/ref/ref.h"
#include "memory/sketch.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* TOUCHED: bytes that may stay mapped to pages of the file; what was read longer ago can be read again. */
enum { TOUCHED = 1 << 18 };
enum { VERSION = 3, FIRST = 8 /* rows with a checksum of their own */, MOST_KEYS = 1 << 16, MOST_COLUMNS = 1 << 16 };
static const char magic[8] = "PRKEYS\r\n", directory_magic[8] = "PRKEYDIR";
static const uint64_t DIRECTORY = UINT64_MAX; /* in the place of a segment */

struct disk_head { /* 128 bytes */
    char magic[8];
    uint32_t version;
    int32_t layer, n_kv, d_head;
    uint64_t model;
    unsigned char setup[BASE_HASH_BYTES];
    uint64_t zero[7];
    uint64_t checksum; /* of the bytes before it */
};

/* Behind it: n rows of q8_0, or of f16 where columns don't divide into blocks, padded to 8 bytes. */
struct disk_keys {
    uint64_t segment;
    uint32_t n, raw;      /* raw: of the segment, which has others once it was merged with its neighbour */
    uint64_t first, rest; /* checksums of the first 8 rows, and of the others with the padding */
    uint64_t checksum;    /* of the bytes before it */
};
/* A directory stands for the records before it, so that opening a file doesn't walk over them. It is a record of the segment DIRECTORY: n
 * entries with their checksum in `first`, and what finds it from the end of the file. */
struct disk_entry {
    uint64_t segment, offset; /* offset: of its rows */
    uint32_t n, raw;
};
struct disk_end {
    uint64_t directory; /* where its record begins */
    char magic[8];
};
_Static_assert(sizeof(struct disk_head) == 128 && sizeof(struct disk_keys) == 40 && sizeof(struct disk_entry) == 24,
               "as documented");

struct entry {
    uint64_t segment;
    size_t offset;              /* of its rows */
    uint32_t n, raw, n_checked; /* rows; of the segment; rows that match their checksums */
};

struct memory_keys {
    char *path;
    int fd; /* -1: nothing will be added any more */
    bool locked, damaged;
    bool listed; /* the file ends with a directory of all its records */
    struct keys_params params;
    enum type type;
    size_t columns, row_bytes, end;
    char *data; /* [mapped] the file as it was when it was opened, or when something behind that was asked for */
    size_t mapped, touched; /* touched: bytes that were read since the pages were given back */
    struct entry *entries;  /* ascending */
    size_t n, cap;
};

static struct disk_head head_of(const struct keys_params *p)
{
    struct disk_head head = {
        .version = VERSION, .layer = p->layer, .n_kv = p->n_kv, .d_head = p->d_head, .model = p->model};
    memcpy(head.magic, magic, sizeof head.magic);
    memcpy(head.setup, p->setup, sizeof head.setup);
    head.checksum = base_hash64(&head, offsetof(struct disk_head, checksum));
    return head;
}

static size_t body_bytes(const struct memory_keys *keys, uint32_t n)
{
    return base_align(n * keys->row_bytes, 8);
}

static size_t directory_bytes(size_t n)
{
    return n * sizeof(struct disk_entry) + sizeof(struct disk_end);
}

static size_t first_bytes(const struct memory_keys *keys, uint32_t n)
{
    return (n < FIRST ? n : FIRST) * keys->row_bytes;
}

static int can_not(const struct memory_keys *keys, const char *what)
{
    return base_fail(PR_ERR_IO, "%s: %s: %s", keys->path, what, strerror(errno));
}

/* The place of the first entry that isn't before a segment. */
static size_t place_of(const struct memory_keys *keys, uint64_t segment)
{
    size_t low = 0, high = keys->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (keys->entries[middle].segment < segment)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct entry *find(const struct memory_keys *keys, uint64_t segment)
{
    size_t i = place_of(keys, segment);
    return i < keys->n && keys->entries[i].segment == segment ? &keys->entries[i] : NULL;
}

static void make_room(struct memory_keys *keys, size_t n)
{
    if (n <= keys->cap)
        return;
    keys->cap = n > 2 * keys->cap ? n : 2 * keys->cap;
    keys->entries = base_realloc(keys->entries, keys->cap * sizeof *keys->entries);
}

/* The last keys of a segment count. */
static void add_entry(struct memory_keys *keys, const struct disk_keys *disk, size_t offset)
{
    size_t i = place_of(keys, disk->segment);
    if (i == keys->n || keys->entries[i].segment != disk->segment) {
        make_room(keys, keys->n + 1);
        memmove(&keys->entries[i + 1], &keys->entries[i], (keys->n - i) * sizeof *keys->entries);
        keys->n++;
    }
    keys->entries[i] = (struct entry){.segment = disk->segment, .offset = offset, .n = disk->n, .raw = disk->raw};
}

/* The head of a record at a place, if it and what follows it lie in the file; *size gets the bytes of all of it. */
static bool read_head(const struct memory_keys *keys, size_t at, struct disk_keys *out, size_t *size)
{
    if (at > keys->mapped || sizeof *out > keys->mapped - at)
        return false;
    memcpy(out, keys->data + at, sizeof *out);
    if (out->checksum != base_hash64(out, offsetof(struct disk_keys, checksum)) ||
        (out->segment != DIRECTORY && out->n > MOST_KEYS))
        return false;
    *size = sizeof *out + (out->segment == DIRECTORY ? directory_bytes(out->n) : body_bytes(keys, out->n));
    return *size <= keys->mapped - at;
}

/* Takes the entries of the directory that the file ends with; false: there is none. */
static bool read_directory(struct memory_keys *keys)
{
    struct disk_end end;
    struct disk_keys head;
    size_t size;
    if (keys->mapped < sizeof(struct disk_head) + sizeof end)
        return false;
    memcpy(&end, keys->data + keys->mapped - sizeof end, sizeof end);
    if (memcmp(end.magic, directory_magic, sizeof end.magic) || !read_head(keys, end.directory, &head, &size) ||
        head.segment != DIRECTORY || end.directory + size != keys->mapped)
        return false;
    const struct disk_entry *entries = (const void *)(keys->data + end.directory + sizeof head);
    if (base_hash64(entries, head.n * sizeof *entries) != head.first)
        return false;
    make_room(keys, head.n);
    for (uint32_t i = 0; i < head.n; i++) {
        const struct disk_entry *e = &entries[i];
        if (e->n > MOST_KEYS || e->offset < sizeof(struct disk_head) + sizeof head || e->offset > end.directory ||
            body_bytes(keys, e->n) > end.directory - e->offset || (i > 0 && e->segment <= entries[i - 1].segment))
            return keys->n = 0, false;
        keys->entries[keys->n++] = (struct entry){.segment = e->segment, .offset = e->offset, .n = e->n, .raw = e->raw};
    }
    keys->end = keys->mapped;
    return keys->listed = true;
}

/* Enters records whose heads are whole; the rest of the file begins at keys->end. Rows are checked when they are first asked for, since a
 * question asks for few of them. */
static void walk(struct memory_keys *keys)
{
    struct disk_keys disk;
    size_t size;
    keys->end = sizeof(struct disk_head);
    for (; read_head(keys, keys->end, &disk, &size); keys->end += size)
        if (disk.segment != DIRECTORY)
            add_entry(keys, &disk, keys->end + sizeof disk);
}

static int write_at(const struct memory_keys *keys, size_t offset, const void *data, size_t size)
{
    for (const char *at = data; size > 0;) {
        ssize_t n = pwrite(keys->fd, at, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return can_not(keys, "can't be written");
        at += n;
        offset += (size_t)n;
        size -= (size_t)n;
    }
    return PR_OK;
}

/* Whether the file begins as it should. */
static int map_file(struct memory_keys *keys, const struct disk_head *wanted, bool *right)
{
    struct stat st;
    *right = false;
    if (fstat(keys->fd, &st) < 0)
        return can_not(keys, "can't be read");
    if ((size_t)st.st_size < sizeof *wanted)
        return PR_OK;
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, keys->fd, 0);
    if (data == MAP_FAILED)
        return can_not(keys, "can't be mapped");
    keys->data = data;
    keys->mapped = (size_t)st.st_size;
    *right = !memcmp(data, wanted, sizeof *wanted);
    return PR_OK;
}

/* Another process may be reading the old file: it keeps that one. */
static int begin_anew(struct memory_keys *keys, const struct disk_head *head)
{
    if (keys->data)
        munmap(keys->data, keys->mapped);
    keys->data = NULL;
    keys->mapped = 0;
    close(keys->fd);
    unlink(keys->path);
    keys->fd = open(keys->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (keys->fd < 0)
        return can_not(keys, "can't be made");
    keys->locked = flock(keys->fd, LOCK_EX | LOCK_NB) == 0;
    if (!keys->locked)
        return PR_OK;
    keys->end = sizeof *head;
    return write_at(keys, 0, head, sizeof *head);
}

int memory_keys_open(const char *path, const struct keys_params *params, struct memory_keys **out)
{
    int err;
    bool right;
    struct memory_keys *keys = base_alloc(sizeof *keys);
    const struct disk_head head = head_of(params);
    keys->path = base_strdup(path);
    keys->params = *params;
    keys->columns = (size_t)params->n_kv * (size_t)params->d_head;
    keys->fd = -1;
    if (params->n_kv < 1 || params->d_head < 1 || keys->columns > MOST_COLUMNS)
        TRY(base_fail(PR_ERR_INVALID, "keys of %d x %d values can't be kept", params->n_kv, params->d_head));
    keys->type = keys->columns % 32 ? TYPE_F16 : TYPE_Q8_0;
    keys->row_bytes = (size_t)compute_row_bytes(keys->type, (int64_t)keys->columns);
    keys->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (keys->fd < 0) {
        err = can_not(keys, "can't be opened");
        goto fail;
    }
    keys->locked = flock(keys->fd, LOCK_EX | LOCK_NB) == 0;
    TRY(map_file(keys, &head, &right));
    keys->end = sizeof head;
    if (right && !read_directory(keys))
        walk(keys);
    else if (!right && keys->locked)
        TRY(begin_anew(keys, &head));
    *out = keys;
    return PR_OK;
fail:
    memory_keys_close(keys);
    return err;
}

/* Maps what was added since; without memory for that it is as if it weren't there. */
static void map_added(struct memory_keys *keys)
{
    if (keys->end <= keys->mapped || keys->fd < 0)
        return;
    void *data = mmap(NULL, keys->end, PROT_READ, MAP_SHARED, keys->fd, 0);
    if (data == MAP_FAILED)
        return;
    if (keys->data)
        munmap(keys->data, keys->mapped);
    keys->data = data;
    keys->mapped = keys->end;
}

static const char *rows_of(const struct memory_keys *keys, const struct entry *entry)
{
    return keys->data + entry->offset;
}

bool memory_keys_has(const struct memory_keys *keys, uint64_t segment)
{
    return find(keys, segment) != NULL;
}

static void drop(struct memory_keys *keys, struct entry *entry)
{
    memmove(entry, entry + 1, (size_t)(keys->entries + --keys->n - entry) * sizeof *entry);
}

/* Whether the first n rows are what was written. */
static bool check(const struct memory_keys *keys, struct entry *entry, uint32_t n)
{
    struct disk_keys disk;
    const char *rows = rows_of(keys, entry);
    size_t first = first_bytes(keys, entry->n);
    memcpy(&disk, rows - sizeof disk, sizeof disk);
    if (n > entry->n_checked && entry->n_checked == 0) {
        if (disk.checksum != base_hash64(&disk, offsetof(struct disk_keys, checksum)) ||
            disk.segment != entry->segment || disk.n != entry->n || base_hash64(rows, first) != disk.first)
            return false;
        entry->n_checked = entry->n < FIRST ? entry->n : FIRST;
    }
    if (n > entry->n_checked) {
        if (base_hash64(rows + first, body_bytes(keys, entry->n) - first) != disk.rest)
            return false;
        entry->n_checked = entry->n;
    }
    return true;
}

static void give_back(struct memory_keys *keys, size_t bytes)
{
    keys->touched += bytes;
    if (keys->touched <= TOUCHED)
        return;
    madvise(keys->data, keys->mapped, MADV_DONTNEED);
    keys->touched = 0;
}

bool memory_keys_find(struct memory_keys *keys, uint64_t segment, uint32_t most, uint32_t *n)
{
    struct entry *entry = find(keys, segment);
    if (entry && entry->offset >= keys->mapped)
        map_added(keys);
    if (entry && entry->offset >= keys->mapped)
        entry = NULL;
    *n = !entry ? 0 : entry->n < most ? entry->n : most;
    if (entry)
        give_back(keys, *n * keys->row_bytes);
    if (entry && !check(keys, entry, *n)) {
        drop(keys, entry);
        keys->damaged = true;
        *n = 0;
        return false;
    }
    return entry != NULL;
}

bool memory_keys_check(struct memory_keys *keys, uint64_t segment, uint32_t raw)
{
    struct entry *entry = find(keys, segment);
    if (entry && entry->raw != raw) {
        drop(keys, entry);
        return false;
    }
    return entry != NULL;
}

bool memory_keys_can_add(const struct memory_keys *keys)
{
    return keys->locked;
}

/* Writes a record behind the others, and cuts off what an interrupted one left there. */
static int append(struct memory_keys *keys, const struct base_buf *record)
{
    struct stat st;
    int err = write_at(keys, keys->end, record->data, record->len);
    if (err < 0)
        return err;
    keys->end += record->len;
    if (fstat(keys->fd, &st) == 0 && (size_t)st.st_size > keys->end && ftruncate(keys->fd, (off_t)keys->end) < 0)
        return can_not(keys, "can't be cut");
    return PR_OK;
}

/* Without it, records are walked over. */
static void write_directory(struct memory_keys *keys)
{
    struct base_buf record = {0};
    struct disk_keys head = {.segment = DIRECTORY, .n = (uint32_t)keys->n};
    struct disk_end end = {.directory = keys->end};
    struct disk_entry *entries = base_alloc_array(keys->n, sizeof *entries);
    for (size_t i = 0; i < keys->n; i++)
        entries[i] = (struct disk_entry){keys->entries[i].segment, keys->entries[i].offset, keys->entries[i].n,
                                         keys->entries[i].raw};
    head.first = base_hash64(entries, keys->n * sizeof *entries);
    head.checksum = base_hash64(&head, offsetof(struct disk_keys, checksum));
    memcpy(end.magic, directory_magic, sizeof end.magic);
    base_buf_append(&record, &head, sizeof head);
    base_buf_append(&record, entries, keys->n * sizeof *entries);
    base_buf_append(&record, &end, sizeof end);
    keys->listed = append(keys, &record) >= 0;
    base_buf_finish(&record);
    base_free(entries);
}

void memory_keys_done_adding(struct memory_keys *keys)
{
    if (keys->locked && !keys->listed && keys->n > 0)
        write_directory(keys);
    map_added(keys);
    if (keys->locked)
        flock(keys->fd, LOCK_UN); /* closing it doesn't while the file is mapped */
    if (keys->fd >= 0)
        close(keys->fd); /* a library has many sources, and a process few descriptors */
    keys->fd = -1;
    keys->locked = false;
}

void memory_keys_close(struct memory_keys *keys)
{
    if (!keys)
        return;
    bool adding = keys->locked;
    memory_keys_done_adding(keys);
    if (keys->data)
        munmap(keys->data, keys->mapped);
    if (keys->damaged && !adding)
        unlink(keys->path); /* the next one makes it anew */
    base_free(keys->entries);
    base_free(keys->path);
    base_free(keys);
}

int memory_keys_add(struct memory_keys *keys, uint64_t segment, uint32_t raw, const float *rows, uint32_t n)
{
    if (!keys->locked)
        return base_fail(PR_ERR_IO, "%s: another process adds to it", keys->path);
    size_t size = body_bytes(keys, n);
    struct base_buf record = {0};
    struct disk_keys disk = {.segment = segment, .n = n, .raw = raw};
    char *body = base_alloc(size + 1);
    for (uint32_t i = 0; i < n; i++)
        ref_quantize(keys->type, rows + i * keys->columns, body + i * keys->row_bytes, (int64_t)keys->columns);
    disk.first = base_hash64(body, first_bytes(keys, n));
    disk.rest = base_hash64(body + first_bytes(keys, n), size - first_bytes(keys, n));
    disk.checksum = base_hash64(&disk, offsetof(struct disk_keys, checksum));
    base_buf_append(&record, &disk, sizeof disk);
    base_buf_append(&record, body, size);
    size_t at = keys->end;
    int err = append(keys, &record);
    if (err >= 0) {
        add_entry(keys, &disk, at + sizeof disk);
        keys->listed = false;
    }
    base_buf_finish(&record);
    base_free(body);
    return err;
}

void memory_keys_scores(const struct memory_keys *keys, uint64_t segment, const float *queries, size_t n_queries,
                        int32_t n_head, uint32_t n, float *scores)
{
    const struct entry *entry = find(keys, segment);
    int32_t group = n_head / keys->params.n_kv, d = keys->params.d_head;
    float *key = base_alloc_array(keys->columns, sizeof *key);
    for (uint32_t i = 0; entry && i < n && i < entry->n; i++) {
        ref_dequantize(keys->type, rows_of(keys, entry) + i * keys->row_bytes, key, (int64_t)keys->columns);
        scores[i] = -INFINITY;
        for (size_t q = 0; q < n_queries; q++)
            for (int32_t h = 0; h < n_head; h++) {
                const float *query = queries + (q * (size_t)n_head + (size_t)h) * (size_t)d;
                scores[i] = fmaxf(scores[i], memory_dot(query, key + h / group * d, (size_t)d));
            }
    }
    base_free(key);
}
