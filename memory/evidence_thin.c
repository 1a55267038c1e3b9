/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Making a log smaller: evidence_tails.c says what stays of its visual segments, the rest is copied record by record. Of commits that
 * follow one another without anything between them the last one is enough.
 */
#include "memory/evidence_format.h"

#include "memory/evidence_tails.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE_BYTES = 4 << 20 };

/* Writes out what waits in the new log. */
static int flush(struct evidence_writer *new)
{
    int err = memory_evidence_write_at(new, new->end, new->pending.data, new->pending.len);
    new->end += new->pending.len;
    new->pending.len = 0;
    return err;
}

/* Puts what a group keeps as one segment, under the number of its last member. */
static int put_group(struct evidence_writer *new, const struct evidence *evidence, const struct tails *tails,
                     const struct tails_group *group)
{
    int err = PR_OK;
    size_t base = 0, row = 0, columns = 0;
    struct evidence_segment all = {0};
    char *rows = NULL;
    float *mean = NULL;
    struct evidence_token *tokens = base_alloc_array(group->n, sizeof *tokens);
    for (size_t m = 0; m < group->n_members; m++) {
        struct evidence_segment segment;
        const struct tails_member *member = &tails->members[group->first + m];
        TRY(memory_evidence_read(evidence, member->place, &segment));
        if (m == 0) {
            const struct evidence_setup *setup = memory_evidence_setup_numbered(evidence, segment.setup);
            columns = (size_t)setup->columns;
            row = (size_t)compute_row_bytes((enum type)setup->row_type, setup->columns);
            rows = base_alloc_array(group->n, row);
            mean = base_alloc_array(columns, sizeof *mean);
            memory_evidence_use_setup(new, setup);
            all = segment;
            all.n_raw = all.n_frames = 0;
        }
        for (uint32_t k = 0; k < group->n; k++) {
            size_t from = group->order ? group->order[k] : k;
            if (from < base || from - base >= member->tokens)
                continue;
            memcpy(rows + k * row, (const char *)segment.rows + (from - base) * row, row);
            tokens[k] = segment.tokens[from - base];
            tokens[k].radius = compute_f32_to_f16(group->radius[k]);
        }
        base += member->tokens;
        all.flags |= segment.flags;
        all.t1 = segment.t1;
        all.n_raw += segment.n_raw;
        all.n_frames += segment.n_frames;
        for (size_t i = 0; i < columns; i++)
            mean[i] += segment.mean[i] * (float)segment.n_raw;
        if (m > 0)
            memory_evidence_release(&segment); /* the first one's lines go into the log */
    }
    for (size_t i = 0; i < columns; i++)
        mean[i] /= (float)(all.n_raw ? all.n_raw : 1);
    all.n_tokens = group->n;
    all.rows = rows;
    all.tokens = tokens;
    all.mean = mean;
    err = memory_evidence_put_segment(new, &all);
fail:
    memory_evidence_release(&all);
    base_free(rows);
    base_free(mean);
    base_free(tokens);
    return err;
}

/* The checked body of a record. */
static int read_body(const struct evidence_writer *old, const struct disk_record *record, struct base_buf *out)
{
    size_t size = record->size - sizeof *record;
    base_buf_finish(out);
    out->data = base_try_alloc(size + 1, 1);
    if (!out->data)
        return base_fail(PR_ERR_NOMEM, "%s: no memory for a record of %zu bytes", old->path, size);
    out->len = size;
    out->cap = size + 1;
    if (pread(old->fd, out->data, size, (off_t)(record->offset + sizeof *record)) != (ssize_t)size ||
        base_hash64(out->data, size) != record->body)
        return base_fail(PR_ERR_FORMAT, "%s: is damaged; pagereel add reads it again", old->path);
    return PR_OK;
}

/* Records with numbers that stay follow one another in a copy; what says that those between them are gone comes before the next. */
struct copy {
    struct evidence_writer *new;
    uint64_t next; /* number that follows what was put */
    struct base_buf commit;
    struct disk_record
        commit_record; /* of the commit that waits: a later one of the same setup says the same and more */
    uint64_t commit_seen;
    bool waits;
};

static void put_gone(struct copy *copy, uint64_t number)
{
    struct base_buf nothing = {0};
    if (number > copy->next) {
        copy->new->now.number = number - 1;
        copy->new->now.setup = copy->next;
        memory_evidence_put_record(copy->new, &copy->new->pending, EVIDENCE_GONE, &nothing);
    }
    copy->new->now.number = number;
    copy->next = number + 1;
}

static void put_commit(struct copy *copy)
{
    if (!copy->waits)
        return;
    put_gone(copy, copy->commit_record.number);
    memory_evidence_put_record(copy->new, &copy->new->pending, EVIDENCE_COMMIT, &copy->commit);
    copy->waits = false;
}

static void take_commit(struct copy *copy, const struct disk_record *record, const struct base_buf *body)
{
    struct disk_commit commit = {0};
    memcpy(&commit, body->data, body->len < sizeof commit ? body->len : sizeof commit);
    if (copy->waits && copy->commit_seen != commit.seen)
        put_commit(copy);
    copy->commit.len = 0;
    base_buf_append(&copy->commit, body->data, body->len);
    copy->commit_record = *record;
    copy->commit_seen = commit.seen;
    copy->waits = true;
}

static int read_record(const struct evidence_writer *old, uint64_t offset, struct disk_record *record)
{
    bool whole = old->end - offset >= sizeof *record &&
                 pread(old->fd, record, sizeof *record, (off_t)offset) == (ssize_t)sizeof *record &&
                 record->magic == EVIDENCE_MAGIC && record->offset == offset && record->size >= sizeof *record &&
                 record->size <= old->end - offset &&
                 record->checksum == base_hash64(record, offsetof(struct disk_record, checksum));
    return whole ? PR_OK : base_fail(PR_ERR_FORMAT, "%s: is damaged; pagereel add reads it again", old->path);
}

static int copy_log(struct evidence_writer *new, const struct evidence_writer *old, const struct evidence *evidence,
                    const struct tails *tails)
{
    int err = PR_OK;
    size_t member = 0, group = 0;
    struct base_buf body = {0};
    struct copy copy = {.new = new};
    for (uint64_t offset = sizeof(struct disk_file); offset < old->end;) {
        struct disk_record record;
        TRY(read_record(old, offset, &record));
        offset += record.size;
        while (member < tails->n_members &&
               memory_evidence_number(evidence, tails->members[member].place) < record.number)
            member++;
        if (record.kind == EVIDENCE_GONE)
            continue;
        if (record.kind == EVIDENCE_SEGMENT && member < tails->n_members &&
            memory_evidence_number(evidence, tails->members[member].place) == record.number) {
            while (tails->groups[group].first + tails->groups[group].n_members <= member)
                group++;
            if (tails->groups[group].first + tails->groups[group].n_members - 1 > member)
                continue; /* its group stands where its last member does */
            put_commit(&copy);
            put_gone(&copy, record.number);
            TRY(put_group(new, evidence, tails, &tails->groups[group]));
        } else {
            TRY(read_body(old, &record, &body));
            if (record.kind == EVIDENCE_COMMIT) {
                take_commit(&copy, &record, &body);
                continue;
            }
            put_commit(&copy);
            put_gone(&copy, record.number);
            new->now.setup = record.setup;
            memory_evidence_put_record(new, &new->pending, record.kind, &body);
        }
        if (new->pending.len > WRITE_BYTES)
            TRY(flush(new));
    }
    if (tails->merged && copy.waits) /* what was made of the log before it was merged sees that it isn't the same */
        copy.commit_record.number = old->now.number;
    put_commit(&copy);
    TRY(flush(new));
fail:
    base_buf_finish(&body);
    base_buf_finish(&copy.commit);
    return err;
}

/* Writes the thinner log and puts it in the place of the old one. */
static int replace(struct evidence_writer *old, const struct evidence *evidence, const struct tails *tails)
{
    int err;
    struct base_buf path = {0};
    base_buf_printf(&path, "%s.new", old->path);
    struct evidence_writer new = {.path = path.data, .fd = -1};
    memcpy(new.source, old->source, sizeof new.source);
    new.fd = open(path.data, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (new.fd < 0 || flock(new.fd, LOCK_EX | LOCK_NB) < 0) {
        err = memory_evidence_can_not(&new, "can't be made");
        goto fail;
    }
    TRY(memory_evidence_begin_file(&new));
    TRY(copy_log(&new, old, evidence, tails));
    if (rename(path.data, old->path) < 0) {
        err = memory_evidence_can_not(&new, "can't be renamed");
        goto fail;
    }
    memory_evidence_sync_folder(old->path);
    int fd = old->fd;
    old->fd = new.fd; /* which is locked, too */
    old->end = new.end;
    old->now.number = old->committed.number = new.now.number;
    new.fd = fd;
fail:
    if (err < 0)
        unlink(path.data);
    if (new.fd >= 0)
        close(new.fd);
    base_buf_finish(&new.pending);
    base_buf_finish(&path);
    return err;
}

int memory_evidence_thin(struct evidence_writer *writer, int64_t tokens, int64_t bytes)
{
    int err;
    struct evidence *evidence = NULL;
    struct tails tails = {0};
    if (writer->pending.len > 0)
        return base_fail(PR_ERR_INTERNAL, "%s: thinned out before a commit", writer->path);
    TRY(memory_evidence_open(writer->path, writer->source, &evidence));
    TRY(memory_tails_choose(evidence, tokens, bytes, &tails));
    if (tails.smaller)
        TRY(replace(writer, evidence, &tails));
fail:
    memory_tails_finish(&tails);
    memory_evidence_close(evidence);
    return err;
}
