/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/recall_index.h"

#include "base/file.h"
#include "base/mem.h"
#include "memory/library_impl.h"
#include "memory/sketch.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECALL_MAGIC "PRRECAL3"

struct head { /* 192 bytes */
    char magic[8];
    uint64_t checksum; /* of what follows, up to the segments */
    unsigned char source[BASE_HASH_BYTES];
    uint64_t inode; /* of the log that it was made from: */
    int64_t size, mtime;
    uint64_t end; /* of the log: segments below this number are in here */
    uint64_t n, n_setups;
    uint64_t zero[2];
    struct recall_summary summary;
};

/* Behind the head; behind them the segments. */
struct disk_setup {
    uint64_t number;
    uint32_t made, complete;
    int32_t columns, row_type;
    unsigned char fingerprint[BASE_HASH_BYTES];
};
_Static_assert(sizeof(struct head) == 192 && sizeof(struct disk_setup) == 56 && sizeof(struct recall_segment) == 192,
               "as mapped");

struct recall_index {
    struct base_map map; /* empty: the segments are in memory */
    const struct recall_segment *segments;
    size_t n, n_setups;
    struct evidence_setup *setups;
    bool *complete; /* [n_setups] */
    struct recall_summary summary;
};

static void let_go(struct recall_index *index)
{
    if (index->map.data)
        base_file_unmap(&index->map);
    else
        base_free((void *)(uintptr_t)index->segments);
    base_free(index->setups);
    base_free(index->complete);
    *index = (struct recall_index){0};
}

void memory_recall_close(struct recall_index *index)
{
    if (!index)
        return;
    let_go(index);
    base_free(index);
}

const struct recall_summary *memory_recall_summary(const struct recall_index *index)
{
    return &index->summary;
}

const struct recall_segment *memory_recall_segments(const struct recall_index *index, size_t *n)
{
    *n = index->n;
    return index->segments;
}

const struct evidence_setup *memory_recall_setup_at(const struct recall_index *index, size_t i, bool *complete)
{
    if (i >= index->n_setups)
        return NULL;
    *complete = index->complete[i];
    return &index->setups[i];
}

/* ---- the file ----------------------------------------------------------------------------------------------------- */

static void take_setups(struct recall_index *index, const struct disk_setup *setups, size_t n)
{
    index->n_setups = n;
    index->setups = base_alloc_array(n + 1, sizeof *index->setups);
    index->complete = base_alloc_array(n + 1, sizeof *index->complete);
    for (size_t i = 0; i < n; i++) {
        const struct disk_setup *s = &setups[i];
        index->setups[i] = (struct evidence_setup){s->number, s->made, s->columns, s->row_type, .text = ""};
        memcpy(index->setups[i].fingerprint, s->fingerprint, BASE_HASH_BYTES);
        index->complete[i] = s->complete;
    }
}

/* Maps a file that is whole and of this source; false: there is none. */
static bool map(const char *path, const unsigned char *source, struct recall_index *index, struct head *head)
{
    enum { MOST_SETUPS = 1 << 16 };
    if (base_file_map(path, &index->map) < 0)
        return false;
    const char *data = index->map.data;
    size_t size = index->map.size, begin = 0;
    bool good = size >= sizeof *head;
    if (good) {
        memcpy(head, data, sizeof *head);
        begin = sizeof *head + (size_t)(head->n_setups % MOST_SETUPS) * sizeof(struct disk_setup);
        good =
            !memcmp(head->magic, RECALL_MAGIC, sizeof head->magic) && !memcmp(head->source, source, BASE_HASH_BYTES) &&
            head->n_setups < MOST_SETUPS && begin <= size && head->n <= size &&
            size == begin + head->n * sizeof(struct recall_segment) &&
            head->checksum == base_hash64(data + offsetof(struct head, source), begin - offsetof(struct head, source));
    }
    if (!good) {
        base_file_unmap(&index->map);
        return false;
    }
    index->segments = (const struct recall_segment *)(const void *)(data + begin);
    index->n = (size_t)head->n;
    index->summary = head->summary;
    take_setups(index, (const struct disk_setup *)(const void *)(data + sizeof *head), (size_t)head->n_setups);
    return true;
}

static int write_file(const char *path, struct head *head, const struct disk_setup *setups,
                      const struct recall_segment *segments)
{
    struct base_buf temporary = {0}, front = {0};
    base_buf_printf(&temporary, "%s.%ld", path, (long)getpid());
    base_buf_append(&front, head, sizeof *head);
    base_buf_append(&front, setups, (size_t)head->n_setups * sizeof *setups);
    head->checksum = base_hash64(front.data + offsetof(struct head, source), front.len - offsetof(struct head, source));
    memcpy(front.data, head, sizeof *head);
    FILE *file = fopen(temporary.data, "wb");
    bool good = file && fwrite(front.data, front.len, 1, file) == 1 &&
                (head->n == 0 || fwrite(segments, sizeof *segments, (size_t)head->n, file) == head->n);
    if (file)
        good = fclose(file) == 0 && good;
    good = good && rename(temporary.data, path) == 0;
    int err = good ? PR_OK : base_fail(PR_ERR_IO, "%s: can't be written: %s", path, strerror(errno));
    if (!good)
        unlink(temporary.data);
    base_buf_finish(&temporary);
    base_buf_finish(&front);
    return err;
}

void memory_recall_sketch(const float *row, size_t columns, int8_t out[RECALL_MEAN])
{
    float sketch[RECALL_MEAN] = {0};
    memory_sketch(row, 1, columns, sketch);
    for (int i = 0; i < RECALL_MEAN; i++)
        out[i] = (int8_t)lrintf(127 * sketch[i]);
}

float memory_recall_like(const struct recall_segment *segment, const int8_t sketch[RECALL_MEAN])
{
    int32_t sum = 0; /* whole numbers, which compilers add in parallel */
    for (int i = 0; i < RECALL_MEAN; i++)
        sum += segment->mean[i] * sketch[i];
    return (float)sum / (127 * 127);
}

static struct recall_segment summary(const struct evidence_segment *s, int32_t columns)
{
    struct recall_segment out = {.number = s->number,
                                 .setup = s->setup,
                                 .t0 = s->t0,
                                 .t1 = s->t1,
                                 .page = s->page,
                                 .kind = (uint32_t)s->kind,
                                 .n_tokens = s->n_tokens,
                                 .n_lines = (uint32_t)s->n_lines,
                                 .tile = s->tile_row >= 0,
                                 .stream = s->stream,
                                 .n_raw = s->n_raw};
    if (s->mean)
        memory_recall_sketch(s->mean, (size_t)columns, out.mean);
    return out;
}

/* ---- from the log ------------------------------------------------------------------------------------------------- */

static int32_t columns_of(const struct evidence *evidence, uint64_t number)
{
    const struct evidence_setup *setup = memory_evidence_setup_numbered(evidence, number);
    return setup ? setup->columns : 0;
}

/* Whether the log has lost some of the segments: they were merged, and the number of one of them is another's now. */
static bool has_lost(const struct evidence *evidence, const struct recall_index *index)
{
    size_t at;
    for (size_t i = 0; i < index->n; i++)
        if (!memory_evidence_find(evidence, index->segments[i].number, &at))
            return true;
    return false;
}

static struct disk_setup *list_setups(const struct evidence *evidence, size_t *n)
{
    const struct evidence_setup *setup;
    struct disk_setup *list = NULL;
    for (*n = 0; (setup = memory_evidence_setup_at(evidence, *n)); ++*n) {
        list = base_realloc(list, (*n + 1) * sizeof *list);
        list[*n] = (struct disk_setup){.number = setup->number,
                                       .made = setup->made,
                                       .complete = memory_evidence_seen(evidence, setup->number).complete,
                                       .columns = setup->columns,
                                       .row_type = setup->row_type};
        memcpy(list[*n].fingerprint, setup->fingerprint, BASE_HASH_BYTES);
    }
    return list;
}

/* Those of the file whose log numbers are below `from`, and the log's new ones. */
static int bring_up(struct recall_index *index, const char *path, const struct evidence *evidence, struct head *head,
                    uint64_t from)
{
    if (from && (from > memory_evidence_end(evidence) || has_lost(evidence, index)))
        from = 0;
    size_t n = memory_evidence_count(evidence), n_old = from ? index->n : 0, n_setups;
    struct recall_segment *all = base_try_alloc(n + n_old + 1, sizeof *all);
    if (!all)
        return base_fail(PR_ERR_NOMEM, "no memory for an index of %zu segments", n);
    const struct evidence_info *info = memory_evidence_info(evidence);
    head->summary = (struct recall_summary){memory_evidence_progress(evidence),
                                            info->start,
                                            info->duration,
                                            info->n_pages,
                                            memory_evidence_damage(evidence),
                                            from ? index->summary.damaged : 0};
    head->end = memory_evidence_end(evidence);
    if (n_old)
        memcpy(all, index->segments, n_old * sizeof *all);
    head->n = n_old;
    for (size_t i = 0; i < n; i++) {
        struct evidence_segment segment;
        if (memory_evidence_number(evidence, i) < from)
            continue;
        if (memory_evidence_read(evidence, i, &segment) < 0) {
            head->summary.damaged++;
            continue;
        }
        all[head->n++] = summary(&segment, columns_of(evidence, segment.setup));
        memory_evidence_release(&segment);
    }
    struct disk_setup *setups = list_setups(evidence, &n_setups);
    head->n_setups = n_setups;
    let_go(index);
    *index = (struct recall_index){.segments = all, .n = (size_t)head->n, .summary = head->summary};
    take_setups(index, setups, n_setups);
    write_file(path, head, setups, all); /* without it, the next question does this again */
    base_free(setups);
    return PR_OK;
}

/* What the log's file is now; all zero: it isn't there. */
static struct head look_at_log(const struct library *library, const unsigned char *source)
{
    struct stat st;
    struct base_buf log = {0};
    struct head head = {0};
    memcpy(head.magic, RECALL_MAGIC, sizeof head.magic);
    memcpy(head.source, source, sizeof head.source);
    memory_library_name(library, source, "log", &log);
    if (stat(log.data, &st) == 0) {
        head.inode = (uint64_t)st.st_ino;
        head.size = st.st_size;
        head.mtime = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    }
    base_buf_finish(&log);
    return head;
}

int memory_recall_open(struct library *library, const struct library_source *source, struct recall_index **out)
{
    int err = PR_OK;
    struct head old = {0}, now = look_at_log(library, source->hash);
    struct base_buf path = {0};
    struct evidence *evidence = NULL;
    struct recall_index *index = base_alloc(sizeof *index);
    memory_library_name(library, source->hash, "recall", &path);
    bool mapped = map(path.data, source->hash, index, &old), same = mapped && old.inode == now.inode;
    if (!same || old.size != now.size || old.mtime != now.mtime) {
        TRY(memory_library_evidence(library, source, &evidence));
        TRY(bring_up(index, path.data, evidence, &now, same ? old.end : 0));
    }
    *out = index;
    index = NULL;
fail:
    memory_evidence_close(evidence);
    memory_recall_close(index);
    base_buf_finish(&path);
    return err < 0 ? err : PR_OK;
}
