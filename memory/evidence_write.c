/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writing an evidence log. Records wait in memory until the commit writes them behind the last one, has the disk take them
 * (fdatasync), and then writes the commit record in the same way: whenever the process or the machine ends, what a valid commit
 * follows is whole.
 */
#include "memory/evidence_format.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int memory_evidence_can_not(const struct evidence_writer *writer, const char *what)
{
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
        return base_fail(PR_ERR_IO, "%s: %s: %s; what was added before is kept: make room and add the rest",
                         writer->path, what, strerror(errno));
    return base_fail(PR_ERR_IO, "%s: %s: %s", writer->path, what, strerror(errno));
}

int memory_evidence_write_at(const struct evidence_writer *writer, uint64_t offset, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = pwrite(writer->fd, data, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return memory_evidence_can_not(writer, "can't be written");
        data += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return fdatasync(writer->fd) < 0 ? memory_evidence_can_not(writer, "can't be written") : PR_OK;
}

/* The folder must remember a new file, too. */
void memory_evidence_sync_folder(const char *path)
{
    char *folder = base_strdup(path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = '\0';
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    base_free(folder);
}

int memory_evidence_begin_file(struct evidence_writer *writer)
{
    struct disk_file head = {.magic = EVIDENCE_FILE_MAGIC, .version = EVIDENCE_VERSION};
    memcpy(head.source, writer->source, sizeof head.source);
    head.checksum = base_hash64(&head, offsetof(struct disk_file, checksum));
    int err = memory_evidence_write_at(writer, 0, (const char *)&head, sizeof head);
    if (err < 0)
        return err;
    memory_evidence_sync_folder(writer->path);
    writer->end = sizeof head;
    return PR_OK;
}

/* Goes on with the last setup, so that a segment may follow without a new one. */
static int recall_setup(struct evidence_writer *writer, const struct evidence_walk *walk)
{
    struct evidence *evidence;
    if (walk->n_setups == 0)
        return PR_OK;
    int err = memory_evidence_open(writer->path, writer->source, &evidence);
    if (err < 0)
        return err;
    const struct evidence_setup *last = NULL;
    for (uint32_t made = EVIDENCE_TEXT; made <= EVIDENCE_VISUAL; made++) {
        const struct evidence_setup *setup = memory_evidence_setup(evidence, (enum evidence_made)made);
        if (setup && (!last || setup->number > last->number))
            last = setup;
    }
    if (last) {
        writer->now.setup = last->number;
        writer->now.made = last->made;
        writer->now.columns = last->columns;
        writer->now.row_type = last->row_type;
    }
    memory_evidence_close(evidence);
    return PR_OK;
}

/* Whether the open file is still the one of that name. */
static bool is_current(const struct evidence_writer *writer)
{
    struct stat mine, named;
    return fstat(writer->fd, &mine) == 0 && stat(writer->path, &named) == 0 && mine.st_ino == named.st_ino &&
           mine.st_dev == named.st_dev;
}

/* What a process that was killed while it made a thinner log has left. Only who holds the lock of a log writes one. */
static void remove_copy(const char *path)
{
    struct base_buf copy = {0};
    base_buf_printf(&copy, "%s.new", path);
    unlink(copy.data);
    base_buf_finish(&copy);
}

int memory_evidence_writer_open(const char *path, const unsigned char source[BASE_HASH_BYTES], bool *busy,
                                struct evidence_writer **out)
{
    int err;
    struct evidence_walk walk = {0};
    struct evidence_writer *writer = base_alloc(sizeof *writer);
    if (busy)
        *busy = false;
    writer->path = base_strdup(path);
    writer->now.setup = UINT64_MAX;
    memcpy(writer->source, source, sizeof writer->source);
again:
    writer->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (writer->fd < 0) {
        err = memory_evidence_can_not(writer, "can't be opened");
        goto fail;
    }
    if (flock(writer->fd, LOCK_EX | LOCK_NB) < 0) {
        if (busy)
            *busy = errno == EWOULDBLOCK;
        err = errno == EWOULDBLOCK
                  ? base_fail(PR_ERR_IO, "%s: another process is adding this source; wait until it is done", path)
                  : memory_evidence_can_not(writer, "can't be locked");
        goto fail;
    }
    if (!is_current(writer)) { /* another process has just put a thinner one in its place */
        close(writer->fd);
        goto again;
    }
    remove_copy(path);
    err = memory_evidence_walk(writer->fd, path, source, &walk);
    if (err == PR_ERR_NOT_FOUND)
        err = memory_evidence_begin_file(writer);
    else if (err >= 0)
        writer->end = walk.end;
    TRY(err);
    writer->now.number = walk.next_number;
    if (ftruncate(writer->fd, (off_t)writer->end) < 0) {
        err = memory_evidence_can_not(writer, "can't be written");
        goto fail;
    }
    TRY(recall_setup(writer, &walk));
    writer->committed = writer->now;
    memory_evidence_walk_finish(&walk);
    *out = writer;
    return PR_OK;
fail:
    memory_evidence_walk_finish(&walk);
    memory_evidence_writer_close(writer);
    return err;
}

void memory_evidence_writer_close(struct evidence_writer *writer)
{
    if (!writer)
        return;
    if (writer->fd >= 0)
        close(writer->fd); /* which unlocks it */
    base_buf_finish(&writer->pending);
    base_free(writer->path);
    base_free(writer);
}

/* ---- records ------------------------------------------------------------------------------------------------------ */

void memory_evidence_put_record(struct evidence_writer *writer, struct base_buf *out, uint32_t kind,
                                const struct base_buf *body)
{
    static const char zeros[EVIDENCE_ALIGN];
    size_t padding = base_align(body->len, EVIDENCE_ALIGN) - body->len;
    struct base_hash hash;
    unsigned char result[BASE_HASH_BYTES];
    struct disk_record record = {
        .magic = EVIDENCE_MAGIC,
        .kind = kind,
        .size = sizeof record + body->len + padding,
        .number = writer->now.number++,
        .offset = writer->end + writer->pending.len,
        .setup = kind == EVIDENCE_SEGMENT || kind == EVIDENCE_GONE ? writer->now.setup : 0,
    };
    base_hash_init(&hash);
    base_hash_update(&hash, body->data, body->len);
    base_hash_update(&hash, zeros, padding);
    base_hash_final(&hash, result);
    memcpy(&record.body, result, sizeof record.body);
    memcpy(&record.source, writer->source, sizeof record.source);
    record.checksum = base_hash64(&record, offsetof(struct disk_record, checksum));
    base_buf_append(out, &record, sizeof record);
    base_buf_append(out, body->data, body->len);
    base_buf_append(out, zeros, padding);
}

/* Appends a string with its NUL, whole characters of at most 4,096 bytes; returns how many bytes that were. */
static uint32_t put_string(struct base_buf *out, const char *text)
{
    size_t len = base_utf8_valid(text, strnlen(text, 4096));
    base_buf_append(out, text, len);
    base_buf_append(out, "", 1);
    return (uint32_t)len + 1;
}

int memory_evidence_put_info(struct evidence_writer *writer, const struct evidence_info *info)
{
    struct base_buf body = {0};
    struct disk_info disk = {.start = info->start, .duration = info->duration, .n_pages = info->n_pages};
    base_buf_append(&body, &disk, sizeof disk);
    disk.path = put_string(&body, info->path);
    disk.kind = put_string(&body, info->kind);
    disk.format = put_string(&body, info->format);
    disk.title = put_string(&body, info->title);
    memcpy(body.data, &disk, sizeof disk);
    memory_evidence_put_record(writer, &writer->pending, EVIDENCE_INFO, &body);
    base_buf_finish(&body);
    return PR_OK;
}

int memory_evidence_put_setup(struct evidence_writer *writer, const struct evidence_setup *setup)
{
    bool visual = setup->made == EVIDENCE_VISUAL;
    if (setup->made > EVIDENCE_VISUAL || (visual ? setup->columns < 1 : setup->columns != 0) ||
        setup->columns > EVIDENCE_MAX_COLUMNS ||
        (visual && setup->row_type != TYPE_F16 && setup->row_type != TYPE_Q8_0) ||
        (visual && setup->row_type == TYPE_Q8_0 && setup->columns % 32))
        return base_fail(PR_ERR_INVALID, "evidence: rows of %d columns of type %d can't be kept", (int)setup->columns,
                         (int)setup->row_type);
    struct base_buf body = {0};
    struct disk_setup disk = {.made = setup->made, .columns = setup->columns, .row_type = setup->row_type};
    memcpy(disk.fingerprint, setup->fingerprint, sizeof disk.fingerprint);
    base_buf_append(&body, &disk, sizeof disk);
    disk.text = put_string(&body, setup->text);
    memcpy(body.data, &disk, sizeof disk);
    writer->now.setup = writer->now.number;
    writer->now.made = setup->made;
    writer->now.columns = setup->columns;
    writer->now.row_type = setup->row_type;
    memory_evidence_put_record(writer, &writer->pending, EVIDENCE_SETUP, &body);
    base_buf_finish(&body);
    return PR_OK;
}

void memory_evidence_use_setup(struct evidence_writer *writer, const struct evidence_setup *setup)
{
    writer->now.setup = setup->number;
    writer->now.made = setup->made;
    writer->now.columns = setup->columns;
    writer->now.row_type = setup->row_type;
}

void memory_evidence_put_seen(struct evidence_writer *writer, const struct evidence_seen *seen)
{
    writer->seen = *seen;
    writer->seen.setup = writer->now.setup;
    writer->has_seen = writer->now.setup != UINT64_MAX;
}

static void pad(struct base_buf *out, size_t align)
{
    static const char zeros[EVIDENCE_ALIGN];
    base_buf_append(out, zeros, base_align(out->len, align) - out->len);
}

static void put_lines(struct base_buf *body, struct base_buf *texts, const struct evidence_segment *segment)
{
    for (size_t i = 0; i < segment->n_lines; i++) {
        const struct evidence_line *line = &segment->lines[i];
        struct disk_line disk = {
            .t0 = line->t0,
            .t1 = line->t1,
            .box = {line->box.x0, line->box.y0, line->box.x1, line->box.y1},
            .page = line->page,
            .offset = (uint32_t)texts->len,
            .len = line->len,
        };
        base_buf_append(texts, line->text, line->len);
        base_buf_append(texts, "", 1);
        base_buf_append(body, &disk, sizeof disk);
    }
}

int memory_evidence_put_segment(struct evidence_writer *writer, const struct evidence_segment *segment)
{
    if (writer->now.setup == UINT64_MAX || (segment->n_tokens > 0 && writer->now.made != EVIDENCE_VISUAL))
        return base_fail(PR_ERR_INVALID, "evidence: a segment needs a setup before it");
    struct disk_segment head = {
        .t0 = segment->t0,
        .t1 = segment->t1,
        .width = segment->width,
        .height = segment->height,
        .kind = segment->kind,
        .flags = segment->flags,
        .page = segment->page,
        .stream = segment->stream,
        .tile_rows = segment->tile_rows,
        .tile_cols = segment->tile_cols,
        .tile_row = segment->tile_rows ? (int16_t)(segment->tile_row + 1) : 0,
        .tile_col = segment->tile_rows ? (int16_t)(segment->tile_col + 1) : 0,
        .n_tokens = segment->n_tokens,
        .n_raw = segment->n_raw,
        .n_frames = segment->n_frames,
        .n_lines = (uint32_t)segment->n_lines,
        .grid_h = segment->grid_h,
        .grid_w = segment->grid_w,
        .ax = segment->ax,
        .bx = segment->bx,
        .ay = segment->ay,
        .by = segment->by,
    };
    size_t texts_size = 0;
    for (size_t i = 0; i < segment->n_lines; i++)
        if (!base_add(texts_size, (size_t)segment->lines[i].len + 1, &texts_size))
            return base_fail(PR_ERR_INVALID, "evidence: a segment with too much text");
    head.texts = texts_size;
    head.row_bytes = segment->n_tokens ? compute_row_bytes((enum type)writer->now.row_type, writer->now.columns) : 0;
    head.label = (uint32_t)base_utf8_valid(segment->label, strnlen(segment->label, 4096)) + 1;
    struct segment_layout at;
    if (segment->n_lines > EVIDENCE_MAX_LINES || !memory_evidence_layout(&head, writer->now.columns, &at))
        return base_fail(PR_ERR_INVALID, "evidence: a segment of %u tokens and %zu lines is too large",
                         segment->n_tokens, segment->n_lines);

    struct base_buf body = {0}, texts = {0};
    base_buf_append(&body, &head, sizeof head);
    base_buf_append(&body, segment->rows, segment->n_tokens * (size_t)head.row_bytes);
    pad(&body, EVIDENCE_ALIGN);
    base_buf_append(&body, segment->tokens, segment->n_tokens * sizeof *segment->tokens);
    if (segment->n_tokens)
        base_buf_append(&body, segment->mean, (size_t)writer->now.columns * sizeof *segment->mean);
    pad(&body, 8);
    put_lines(&body, &texts, segment);
    put_string(&body, segment->label);
    base_buf_append(&body, texts.data, texts.len);
    memory_evidence_put_record(writer, &writer->pending, EVIDENCE_SEGMENT, &body);
    base_buf_finish(&body);
    base_buf_finish(&texts);
    return PR_OK;
}

uint64_t memory_evidence_size(const struct evidence_writer *writer)
{
    return writer->end;
}

uint64_t memory_evidence_end_of(const struct evidence_writer *writer)
{
    return writer->now.number;
}

size_t memory_evidence_pending(const struct evidence_writer *writer)
{
    return writer->pending.len;
}

int memory_evidence_commit(struct evidence_writer *writer, const struct evidence_progress *progress)
{
    int err;
    struct base_buf commit = {0};
    uint64_t records = writer->end + writer->pending.len;
    struct disk_commit body = {.progress = *progress};
    if (writer->has_seen) {
        body.seen = writer->seen.setup + 1;
        body.position = writer->seen.position;
        body.complete = writer->seen.complete;
        body.failed = writer->seen.failed;
    }
    memory_evidence_put_record(writer, &commit, EVIDENCE_COMMIT, &(struct base_buf){(char *)&body, sizeof body, 0});
    TRY(memory_evidence_write_at(writer, writer->end, writer->pending.data, writer->pending.len));
    TRY(memory_evidence_write_at(writer, records, commit.data, commit.len));
    writer->end = records + commit.len;
    writer->committed = writer->now;
fail:
    if (err < 0) {
        int ignored = ftruncate(writer->fd, (off_t)writer->end);
        (void)ignored;
        writer->now = writer->committed;
    }
    writer->has_seen = false;
    writer->pending.len = 0;
    base_buf_finish(&commit);
    return err;
}
