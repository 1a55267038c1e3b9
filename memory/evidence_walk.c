/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The walk over a log's records: which are whole, which are committed, and where the next one goes. It reads with pread(), since a
 * writer may cut off what isn't committed at any moment. What it says of a place doesn't depend on what was written behind it later,
 * so that a writer which goes on behind a commit finds that commit again.
 */
#include "memory/evidence_format.h"

#include "base/mem.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOK_AHEAD = 1 << 16 };

/* Reads up to `size` bytes; fewer only at the end of the file. */
static int read_at(int fd, const char *path, uint64_t offset, void *data, size_t size, size_t *got)
{
    *got = 0;
    while (*got < size) {
        ssize_t n = pread(fd, (char *)data + *got, size - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return base_fail(PR_ERR_IO, "%s: can't be read: %s", path, strerror(errno));
        if (n == 0)
            break;
        *got += (size_t)n;
    }
    return PR_OK;
}

/* It may end behind the file. */
static bool is_record(const struct disk_record *record, const struct evidence_walk *walk, uint64_t offset,
                      uint64_t least_number)
{
    uint64_t source;
    memcpy(&source, walk->source, sizeof source);
    return record->magic == EVIDENCE_MAGIC && record->offset == offset && record->source == source &&
           record->number >= least_number && record->size >= sizeof *record && record->size % EVIDENCE_ALIGN == 0 &&
           record->size <= EVIDENCE_MAX_RECORD &&
           record->checksum == base_hash64(record, offsetof(struct disk_record, checksum));
}

/* The next record whose header is whole, at or behind *offset; *offset becomes file_size when there is none. */
static int find_record(int fd, const char *path, const struct evidence_walk *walk, uint64_t file_size, uint64_t number,
                       uint64_t *offset, struct disk_record *record)
{
    int err;
    size_t whole;
    char *block = NULL;
    TRY(read_at(fd, path, *offset, record, sizeof *record, &whole));
    if (whole == sizeof *record && is_record(record, walk, *offset, number))
        return PR_OK; /* right where it should be */
    block = base_alloc(LOOK_AHEAD);
    while (*offset + sizeof *record <= file_size) {
        size_t got;
        TRY(read_at(fd, path, *offset, block, LOOK_AHEAD, &got));
        for (size_t i = 0; i + sizeof *record <= got; i += EVIDENCE_ALIGN, *offset += EVIDENCE_ALIGN) {
            memcpy(record, block + i, sizeof *record);
            if (is_record(record, walk, *offset, number)) {
                base_free(block);
                return PR_OK;
            }
        }
        if (got < sizeof *record)
            break;
    }
    *offset = file_size;
    err = PR_OK;
fail:
    base_free(block);
    return err;
}

static void add_place(struct evidence_place **list, size_t *n, size_t *cap, const struct disk_record *record)
{
    if (*n == *cap) {
        *cap = *cap ? 2 * *cap : 64;
        *list = base_realloc(*list, *cap * sizeof **list);
    }
    (*list)[(*n)++] = (struct evidence_place){record->number, record->setup, record->offset, record->size};
}

/* False: the commit is damaged. */
static bool read_commit(int fd, const char *path, const struct disk_record *record, struct disk_commit *out)
{
    size_t got, size = record->size - sizeof *record;
    return size == sizeof *out && read_at(fd, path, record->offset + sizeof *record, out, size, &got) >= 0 &&
           got == size && base_hash64(out, size) == record->body;
}

static void take_commit(struct evidence_walk *walk, const struct disk_commit *commit)
{
    size_t i = 0;
    walk->progress = commit->progress;
    if (commit->seen == 0)
        return;
    while (i < walk->n_seen && walk->seen[i].setup != commit->seen - 1)
        i++;
    if (i == walk->n_seen)
        walk->seen = base_realloc(walk->seen, ++walk->n_seen * sizeof *walk->seen);
    walk->seen[i] = (struct evidence_seen){commit->seen - 1, commit->position, commit->complete, commit->failed};
}

static int walk_records(int fd, const char *path, uint64_t file_size, struct evidence_walk *walk)
{
    size_t n_segments = 0, n_setups = 0, damage = walk->damage; /* what is committed */
    struct evidence_place info = {0}, last_info = {0};
    uint64_t offset = sizeof(struct disk_file), number = 0;
    walk->end = offset;
    for (;;) {
        struct disk_record record;
        struct disk_commit commit;
        uint64_t expected = offset;
        int err = find_record(fd, path, walk, file_size, number, &offset, &record);
        if (err < 0)
            return err;
        if (offset >= file_size || record.size > file_size - offset)
            break; /* the end, or a write that wasn't finished: nothing was committed behind it */
        uint64_t first = record.kind == EVIDENCE_GONE ? record.setup : record.number;
        walk->damage += offset > expected || first > number;
        switch (record.kind) {
        case EVIDENCE_INFO:
            last_info = (struct evidence_place){record.number, 0, offset, record.size};
            break;
        case EVIDENCE_SETUP:
            add_place(&walk->setups, &walk->n_setups, &walk->cap_setups, &record);
            break;
        case EVIDENCE_SEGMENT:
            add_place(&walk->segments, &walk->n_segments, &walk->cap_segments, &record);
            break;
        case EVIDENCE_COMMIT:
            if (!read_commit(fd, path, &record, &commit)) {
                walk->damage++;
                break;
            }
            take_commit(walk, &commit);
            n_segments = walk->n_segments;
            n_setups = walk->n_setups;
            damage = walk->damage;
            info = last_info;
            walk->end = offset + record.size;
            walk->next_number = record.number + 1;
            break;
        default: /* EVIDENCE_GONE: no numbers are missing; of a later version: passed over */
            break;
        }
        number = record.number + 1;
        offset += record.size;
    }
    walk->n_segments = n_segments;
    walk->n_setups = n_setups;
    walk->damage = damage;
    walk->info = info;
    return PR_OK;
}

int memory_evidence_walk(int fd, const char *path, const unsigned char *source, struct evidence_walk *out)
{
    int err;
    struct disk_file head;
    struct stat st;
    size_t got;
    *out = (struct evidence_walk){0};
    if (fstat(fd, &st) < 0)
        return base_fail(PR_ERR_IO, "%s: can't be read: %s", path, strerror(errno));
    TRY(read_at(fd, path, 0, &head, sizeof head, &got));
    if (got < sizeof head)
        return base_fail(PR_ERR_NOT_FOUND, "%s: holds nothing yet", path);
    bool whole = !memcmp(head.magic, EVIDENCE_FILE_MAGIC, sizeof head.magic) &&
                 head.checksum == base_hash64(&head, offsetof(struct disk_file, checksum));
    if (!whole && !source)
        return base_fail(PR_ERR_FORMAT, "%s: not an evidence log, or its beginning is damaged", path);
    if (whole && head.version != EVIDENCE_VERSION)
        return base_fail(PR_ERR_UNSUPPORTED, "%s: an evidence log of version %u, of a newer pagereel; update this one",
                         path, head.version);
    if (whole && source && memcmp(head.source, source, sizeof head.source))
        return base_fail(PR_ERR_FORMAT, "%s: is the evidence log of another source", path);
    memcpy(out->source, whole ? head.source : source, sizeof out->source);
    out->damage = !whole;
    TRY(walk_records(fd, path, (uint64_t)st.st_size, out));
    return PR_OK;
fail:
    memory_evidence_walk_finish(out);
    return err;
}

void memory_evidence_walk_finish(struct evidence_walk *walk)
{
    base_free(walk->segments);
    base_free(walk->setups);
    base_free(walk->seen);
    *walk = (struct evidence_walk){0};
}
