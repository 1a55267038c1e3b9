/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading an evidence log: what the walk found is mapped, and a segment is checked whenever it is read.
 */
#include "memory/evidence_format.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TOUCHED = 1 << 19 }; /* of the file may stay mapped to pages: what was read longer ago can be read again */

struct evidence {
    char *path;
    atomic_size_t *touched; /* bytes of segments read since the pages were given back */
    struct evidence_walk walk;
    const char *data; /* [walk.end] */
    struct evidence_setup *setups;
    size_t n_setups;
    struct evidence_info info;
};

bool memory_evidence_layout(const struct disk_segment *head, int32_t columns, struct segment_layout *out)
{
    if (head->n_tokens > EVIDENCE_MAX_TOKENS || head->n_lines > EVIDENCE_MAX_LINES || columns < 0 ||
        columns > EVIDENCE_MAX_COLUMNS || head->row_bytes > 4 * EVIDENCE_MAX_COLUMNS || head->label == 0 ||
        head->label > EVIDENCE_MAX_SMALL || head->texts > EVIDENCE_MAX_RECORD)
        return false;
    size_t at = sizeof *head;
    out->rows = at;
    at = base_align(at + head->n_tokens * head->row_bytes, EVIDENCE_ALIGN);
    out->tokens = at;
    at += head->n_tokens * sizeof(struct evidence_token);
    out->mean = at;
    at = base_align(at + (head->n_tokens ? (size_t)columns * sizeof(float) : 0), 8);
    out->lines = at;
    at += head->n_lines * sizeof(struct disk_line);
    out->label = at;
    at += head->label;
    out->texts = at;
    out->end = at + head->texts;
    return out->end <= EVIDENCE_MAX_RECORD - sizeof(struct disk_record) - EVIDENCE_ALIGN;
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

/* The body of a record whose checksum is right, or NULL. */
static const char *body_of(const struct evidence *evidence, const struct evidence_place *place, size_t *size)
{
    struct disk_record record;
    if (place->size < sizeof record || place->size > evidence->walk.end ||
        place->offset > evidence->walk.end - place->size)
        return NULL;
    memcpy(&record, evidence->data + place->offset, sizeof record);
    *size = place->size - sizeof record;
    const char *body = evidence->data + place->offset + sizeof record;
    return base_hash64(body, *size) == record.body ? body : NULL;
}

/* Takes a string of `size` bytes with its NUL; moves *at behind it. NULL: it isn't one. */
static const char *take_string(const char **at, const char *end, uint32_t size)
{
    const char *text = *at;
    if (size == 0 || size > (size_t)(end - text) || memchr(text, '\0', size) != text + size - 1 ||
        base_utf8_valid(text, size - 1) != size - 1)
        return NULL;
    *at += size;
    return text;
}

static bool read_info(struct evidence *evidence)
{
    struct disk_info disk;
    size_t size;
    const char *body = body_of(evidence, &evidence->walk.info, &size);
    if (!body || size < sizeof disk)
        return false;
    memcpy(&disk, body, sizeof disk);
    const char *at = body + sizeof disk, *end = body + size;
    struct evidence_info info = {.n_pages = disk.n_pages, .start = disk.start, .duration = disk.duration};
    info.path = take_string(&at, end, disk.path);
    info.kind = info.path ? take_string(&at, end, disk.kind) : NULL;
    info.format = info.kind ? take_string(&at, end, disk.format) : NULL;
    info.title = info.format ? take_string(&at, end, disk.title) : NULL;
    if (!info.title || info.n_pages < 0)
        return false;
    evidence->info = info;
    return true;
}

static bool read_setup(const struct evidence *evidence, const struct evidence_place *place, struct evidence_setup *out)
{
    struct disk_setup disk;
    size_t size;
    const char *body = body_of(evidence, place, &size);
    if (!body || size < sizeof disk)
        return false;
    memcpy(&disk, body, sizeof disk);
    const char *at = body + sizeof disk;
    const char *text = take_string(&at, body + size, disk.text);
    bool tokens = disk.made == EVIDENCE_VISUAL;
    if (!text || disk.made > EVIDENCE_VISUAL || (tokens ? disk.columns < 1 : disk.columns != 0) ||
        disk.columns > EVIDENCE_MAX_COLUMNS || (tokens && disk.row_type != TYPE_F16 && disk.row_type != TYPE_Q8_0) ||
        (disk.row_type == TYPE_Q8_0 && disk.columns % 32))
        return false;
    *out = (struct evidence_setup){place->number, disk.made, disk.columns, disk.row_type, .text = text};
    memcpy(out->fingerprint, disk.fingerprint, sizeof out->fingerprint);
    return true;
}

const struct evidence_setup *memory_evidence_setup_numbered(const struct evidence *evidence, uint64_t number)
{
    for (size_t i = 0; i < evidence->n_setups; i++)
        if (evidence->setups[i].number == number)
            return &evidence->setups[i];
    return NULL;
}

/* A segment without its setup could be of any model: it is lost, too. */
static void drop_orphans(struct evidence *evidence)
{
    struct evidence_walk *walk = &evidence->walk;
    size_t kept = 0;
    for (size_t i = 0; i < walk->n_segments; i++)
        if (memory_evidence_setup_numbered(evidence, walk->segments[i].setup))
            walk->segments[kept++] = walk->segments[i];
    walk->damage += kept < walk->n_segments;
    walk->n_segments = kept;
}

int memory_evidence_open(const char *path, const unsigned char *source, struct evidence **out)
{
    int err;
    struct evidence *evidence = base_alloc(sizeof *evidence);
    struct evidence_walk *walk = &evidence->walk;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    evidence->path = base_strdup(path);
    evidence->touched = base_alloc(sizeof *evidence->touched);
    evidence->info = (struct evidence_info){"", "", "", "", 0, PR_TIME_NONE, PR_TIME_NONE};
    if (fd < 0) {
        err =
            base_fail(errno == ENOENT ? PR_ERR_NOT_FOUND : PR_ERR_IO, "%s: can't be opened: %s", path, strerror(errno));
        goto fail;
    }
    TRY(memory_evidence_walk(fd, path, source, walk));
    void *data = mmap(NULL, walk->end, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
        err = base_fail(PR_ERR_NOMEM, "%s: can't be mapped: %s", path, strerror(errno));
        goto fail;
    }
    evidence->data = data;
    close(fd);
    fd = -1;
    if (walk->info.size && !read_info(evidence))
        walk->damage++;
    evidence->setups = base_alloc_array(walk->n_setups, sizeof *evidence->setups);
    for (size_t i = 0; i < walk->n_setups; i++) {
        if (read_setup(evidence, &walk->setups[i], &evidence->setups[evidence->n_setups]))
            evidence->n_setups++;
        else
            walk->damage++;
    }
    drop_orphans(evidence);
    *out = evidence;
    return PR_OK;
fail:
    if (fd >= 0)
        close(fd);
    memory_evidence_close(evidence);
    return err;
}

void memory_evidence_close(struct evidence *evidence)
{
    if (!evidence)
        return;
    if (evidence->data)
        munmap((void *)(uintptr_t)evidence->data, evidence->walk.end);
    memory_evidence_walk_finish(&evidence->walk);
    base_free(evidence->setups);
    base_free(evidence->touched);
    base_free(evidence->path);
    base_free(evidence);
}

/* ---- what it holds ------------------------------------------------------------------------------------------------ */

const unsigned char *memory_evidence_source(const struct evidence *evidence)
{
    return evidence->walk.source;
}

const struct evidence_info *memory_evidence_info(const struct evidence *evidence)
{
    return &evidence->info;
}

struct evidence_progress memory_evidence_progress(const struct evidence *evidence)
{
    return evidence->walk.progress;
}

uint64_t memory_evidence_bytes(const struct evidence *evidence)
{
    return evidence->walk.end;
}

uint64_t memory_evidence_end(const struct evidence *evidence)
{
    return evidence->walk.next_number;
}

size_t memory_evidence_damage(const struct evidence *evidence)
{
    return evidence->walk.damage;
}

const struct evidence_setup *memory_evidence_setup(const struct evidence *evidence, enum evidence_made made)
{
    for (size_t i = evidence->n_setups; i-- > 0;)
        if (evidence->setups[i].made == made)
            return &evidence->setups[i];
    return NULL;
}

const struct evidence_setup *memory_evidence_setup_at(const struct evidence *evidence, size_t i)
{
    return i < evidence->n_setups ? &evidence->setups[i] : NULL;
}

struct evidence_seen memory_evidence_seen(const struct evidence *evidence, uint64_t setup)
{
    for (size_t i = 0; i < evidence->walk.n_seen; i++)
        if (evidence->walk.seen[i].setup == setup)
            return evidence->walk.seen[i];
    return (struct evidence_seen){.setup = setup};
}

size_t memory_evidence_count(const struct evidence *evidence)
{
    return evidence->walk.n_segments;
}

uint64_t memory_evidence_number(const struct evidence *evidence, size_t i)
{
    return evidence->walk.segments[i].number;
}

uint64_t memory_evidence_setup_of(const struct evidence *evidence, size_t i)
{
    return evidence->walk.segments[i].setup;
}

/* What the head of a segment says, unchecked; zero where it can't be. */
static struct disk_segment head_of(const struct evidence *evidence, size_t i)
{
    struct disk_segment head = {0};
    const struct evidence_place *place = &evidence->walk.segments[i];
    if (place->size >= sizeof(struct disk_record) + sizeof head)
        memcpy(&head, evidence->data + place->offset + sizeof(struct disk_record), sizeof head);
    return head;
}

int64_t memory_evidence_tokens(const struct evidence *evidence, uint64_t setup)
{
    int64_t n = 0;
    for (size_t i = 0; i < evidence->walk.n_segments; i++)
        if (evidence->walk.segments[i].setup == setup)
            n += head_of(evidence, i).n_tokens;
    return n;
}

int64_t memory_evidence_visual_bytes(const struct evidence *evidence)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < evidence->walk.n_segments; i++)
        if (head_of(evidence, i).n_tokens > 0)
            bytes += (int64_t)evidence->walk.segments[i].size;
    return bytes;
}

uint32_t memory_evidence_raw(const struct evidence *evidence, size_t i)
{
    return head_of(evidence, i).n_raw;
}

uint64_t memory_evidence_size_of(const struct evidence *evidence, size_t i)
{
    return evidence->walk.segments[i].size;
}

bool memory_evidence_find(const struct evidence *evidence, uint64_t number, size_t *i)
{
    const struct evidence_walk *walk = &evidence->walk;
    size_t low = 0, high = walk->n_segments;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (walk->segments[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    *i = low;
    return low < walk->n_segments && walk->segments[low].number == number;
}

/* ---- a segment ---------------------------------------------------------------------------------------------------- */

static bool is_span(int64_t t0, int64_t t1)
{
    return (t0 == PR_TIME_NONE) == (t1 == PR_TIME_NONE) && t0 <= t1;
}

static bool check_tokens(const struct evidence_segment *segment)
{
    for (uint32_t i = 0; i < segment->n_tokens; i++) {
        const struct evidence_token *token = &segment->tokens[i];
        if (!is_span(token->t0, token->t1) || token->y0 >= token->y1 || token->y1 > segment->grid_h ||
            token->x0 >= token->x1 || token->x1 > segment->grid_w)
            return false;
    }
    return true;
}

static bool read_line(const struct disk_line *disk, const char *texts, size_t size, struct evidence_line *out)
{
    if (disk->offset > size || disk->len >= size - disk->offset || !is_span(disk->t0, disk->t1))
        return false;
    const char *text = texts + disk->offset;
    if (memchr(text, '\0', (size_t)disk->len + 1) != text + disk->len || base_utf8_valid(text, disk->len) != disk->len)
        return false;
    for (int i = 0; i < 4; i++)
        if (!isfinite(disk->box[i]))
            return false;
    *out = (struct evidence_line){disk->t0,   disk->t1,  {disk->box[0], disk->box[1], disk->box[2], disk->box[3]},
                                  disk->page, disk->len, text};
    return true;
}

static bool read_lines(const char *body, const struct segment_layout *at, struct evidence_segment *segment)
{
    struct evidence_line *lines = base_alloc_array(segment->n_lines, sizeof *lines);
    segment->lines = lines;
    for (size_t i = 0; i < segment->n_lines; i++) {
        struct disk_line disk;
        memcpy(&disk, body + at->lines + i * sizeof disk, sizeof disk);
        if (!read_line(&disk, body + at->texts, at->end - at->texts, &lines[i]))
            return false;
    }
    return true;
}

static bool read_segment(const struct evidence *evidence, const struct evidence_place *place,
                         struct evidence_segment *out)
{
    const struct evidence_setup *setup = memory_evidence_setup_numbered(evidence, place->setup);
    struct disk_segment head;
    struct segment_layout at;
    size_t size;
    const char *body = body_of(evidence, place, &size);
    if (!body || size < sizeof head)
        return false;
    memcpy(&head, body, sizeof head);
    if (!memory_evidence_layout(&head, setup->columns, &at) || base_align(at.end, EVIDENCE_ALIGN) != size ||
        head.kind < EVIDENCE_FRAMES || head.kind > EVIDENCE_NOTE || !is_span(head.t0, head.t1) || head.tile_row < 0 ||
        head.tile_col < 0 || head.tile_row > head.tile_rows || head.tile_col > head.tile_cols ||
        (head.n_tokens > 0 && (setup->made != EVIDENCE_VISUAL ||
                               head.row_bytes != compute_row_bytes((enum type)setup->row_type, setup->columns))))
        return false;
    const char *label = body + at.label;
    if (!take_string(&label, body + at.texts, head.label))
        return false;
    *out = (struct evidence_segment){
        .number = place->number,
        .setup = place->setup,
        .kind = (enum evidence_kind)head.kind,
        .flags = head.flags,
        .t0 = head.t0,
        .t1 = head.t1,
        .page = head.page,
        .stream = head.stream,
        .width = head.width,
        .height = head.height,
        .label = body + at.label,
        .tile_rows = head.tile_rows,
        .tile_cols = head.tile_cols,
        .tile_row = (int16_t)(head.tile_row - 1),
        .tile_col = (int16_t)(head.tile_col - 1),
        .n_tokens = head.n_tokens,
        .n_raw = head.n_raw,
        .n_frames = head.n_frames,
        .grid_h = head.grid_h,
        .grid_w = head.grid_w,
        .ax = head.ax,
        .bx = head.bx,
        .ay = head.ay,
        .by = head.by,
        .rows = body + at.rows,
        .tokens = (const void *)(body + at.tokens),
        .mean = head.n_tokens ? (const void *)(body + at.mean) : NULL,
        .n_lines = head.n_lines,
    };
    return check_tokens(out) && read_lines(body, &at, out);
}

int memory_evidence_read(const struct evidence *evidence, size_t i, struct evidence_segment *out)
{
    const struct evidence_place *place = &evidence->walk.segments[i];
    *out = (struct evidence_segment){0};
    /* Pages stay the file's: whoever still holds a segment finds it as it was. */
    if (atomic_fetch_add(evidence->touched, place->size) > TOUCHED) {
        madvise((void *)(uintptr_t)evidence->data, evidence->walk.end, MADV_DONTNEED);
        atomic_store(evidence->touched, 0);
    }
    if (read_segment(evidence, place, out))
        return PR_OK;
    memory_evidence_release(out);
    return base_fail(PR_ERR_FORMAT, "%s: segment %llu is damaged; remove the source from the library and add it again",
                     evidence->path, (unsigned long long)evidence->walk.segments[i].number);
}

size_t memory_evidence_check(const struct evidence *evidence)
{
    size_t damaged = 0;
    for (size_t i = 0; i < memory_evidence_count(evidence); i++) {
        struct evidence_segment segment;
        if (memory_evidence_read(evidence, i, &segment) < 0)
            damaged++;
        else
            memory_evidence_release(&segment);
    }
    return damaged;
}

void memory_evidence_release(struct evidence_segment *segment)
{
    base_free((void *)(uintptr_t)segment->lines);
    *segment = (struct evidence_segment){0};
}
