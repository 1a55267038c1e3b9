/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "memory/recall_index.h"

#include "base/mem.h"
#include "memory/library_impl.h"
#include "memory/sketch.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECALL_MAGIC "PRRECAL2"

struct head { /* 64 bytes */
    char magic[8];
    unsigned char source[BASE_HASH_BYTES];
    uint64_t end; /* of the log: segments below this number are in here */
    uint64_t n, damage;
};
_Static_assert(sizeof(struct head) == 64 && sizeof(struct recall_segment) == 192, "as mapped");

struct recall_index {
    void *map; /* NULL: the segments are in memory */
    size_t size;
    struct recall_segment *segments;
    size_t n;
    int64_t damage;
};

void memory_recall_close(struct recall_index *index)
{
    if (!index)
        return;
    if (index->map)
        munmap(index->map, index->size);
    else
        base_free(index->segments);
    base_free(index);
}

const struct recall_segment *memory_recall_segments(const struct recall_index *index, size_t *n)
{
    *n = index->n;
    return index->segments;
}

int64_t memory_recall_damage(const struct recall_index *index)
{
    return index->damage;
}

/* Maps a file that is whole and of this log; false: there is none. */
static bool map(const char *path, const unsigned char *source, struct recall_index *index, struct head *head)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && fstat(fd, &st) == 0 && (size_t)st.st_size >= sizeof *head;
    if (good) {
        index->size = (size_t)st.st_size;
        index->map = mmap(NULL, index->size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (index->map == MAP_FAILED)
            index->map = NULL;
    }
    if (fd >= 0)
        close(fd);
    if (!index->map)
        return false;
    memcpy(head, index->map, sizeof *head);
    good = !memcmp(head->magic, RECALL_MAGIC, sizeof head->magic) && !memcmp(head->source, source, BASE_HASH_BYTES) &&
           head->n <= index->size && index->size == sizeof *head + head->n * sizeof(struct recall_segment);
    if (!good) {
        munmap(index->map, index->size);
        index->map = NULL;
        return false;
    }
    index->segments = (struct recall_segment *)((char *)index->map + sizeof *head);
    index->n = (size_t)head->n;
    index->damage = (int64_t)head->damage;
    return true;
}

static int write_file(const char *path, const struct head *head, const struct recall_segment *segments)
{
    struct base_buf temporary = {0};
    base_buf_printf(&temporary, "%s.%ld", path, (long)getpid());
    FILE *file = fopen(temporary.data, "wb");
    bool good = file && fwrite(head, sizeof *head, 1, file) == 1 &&
                (head->n == 0 || fwrite(segments, sizeof *segments, (size_t)head->n, file) == head->n);
    if (file)
        good = fclose(file) == 0 && good;
    good = good && rename(temporary.data, path) == 0;
    int err = good ? PR_OK : base_fail(PR_ERR_IO, "%s: can't be written: %s", path, strerror(errno));
    if (!good)
        unlink(temporary.data);
    base_buf_finish(&temporary);
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
                                 .stream = s->stream};
    if (s->mean)
        memory_recall_sketch(s->mean, (size_t)columns, out.mean);
    return out;
}

static int32_t columns_of(const struct evidence *evidence, uint64_t setup)
{
    const struct evidence_setup *s;
    for (size_t i = 0; (s = memory_evidence_setup_at(evidence, i)); i++)
        if (s->number == setup)
            return s->columns;
    return 0;
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

/* Those of the file, if the log still has them, and the log's new ones. */
static int bring_up(struct recall_index *index, const char *path, const unsigned char *source,
                    const struct evidence *evidence, uint64_t from)
{
    if (from && has_lost(evidence, index))
        from = 0;
    size_t n = memory_evidence_count(evidence), n_old = from ? index->n : 0;
    struct recall_segment *all = base_try_alloc(n + n_old + 1, sizeof *all);
    if (!all)
        return base_fail(PR_ERR_NOMEM, "no memory for an index of %zu segments", n);
    struct head head = {.end = memory_evidence_end(evidence), .damage = from ? (uint64_t)index->damage : 0};
    memcpy(head.magic, RECALL_MAGIC, sizeof head.magic);
    memcpy(head.source, source, sizeof head.source);
    if (n_old)
        memcpy(all, index->segments, n_old * sizeof *all);
    head.n = n_old;
    for (size_t i = 0; i < n; i++) {
        struct evidence_segment segment;
        if (memory_evidence_number(evidence, i) < from)
            continue;
        if (memory_evidence_read(evidence, i, &segment) < 0) {
            head.damage++;
            continue;
        }
        all[head.n++] = summary(&segment, columns_of(evidence, segment.setup));
        memory_evidence_release(&segment);
    }
    if (index->map)
        munmap(index->map, index->size);
    *index = (struct recall_index){.segments = all, .n = (size_t)head.n, .damage = (int64_t)head.damage};
    write_file(path, &head, all); /* without it, the next question does this again */
    return PR_OK;
}

int memory_recall_open(struct library *library, const struct library_source *source, const struct evidence *evidence,
                       struct recall_index **out)
{
    struct head head = {0};
    struct base_buf path = {0};
    struct recall_index *index = base_alloc(sizeof *index);
    memory_library_name(library, source->hash, "recall", &path);
    bool mapped = map(path.data, source->hash, index, &head);
    int err = PR_OK;
    if (!mapped || head.end != memory_evidence_end(evidence))
        err = bring_up(index, path.data, source->hash, evidence,
                       mapped && head.end < memory_evidence_end(evidence) ? head.end : 0);
    base_buf_finish(&path);
    if (err < 0) {
        memory_recall_close(index);
        return err;
    }
    *out = index;
    return PR_OK;
}
