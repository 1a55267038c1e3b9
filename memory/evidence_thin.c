/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Making a log smaller. Tokens stand in farthest-point order, so what is dropped is the end of a segment, and the radii say how much each
 * end tells. The rest is copied record by record.
 */
#include "memory/evidence_format.h"

#include "memory/farthest.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE_BYTES = 4 << 20 };

/* Segments with tokens, by their place among all, and how many each may keep. */
struct tails {
    size_t *places;
    uint32_t *n;
    float **radius;
    size_t n_segments;
    int64_t tokens, bytes; /* of all those tokens */
};

static void tails_finish(struct tails *tails)
{
    for (size_t i = 0; i < tails->n_segments; i++)
        base_free(tails->radius[i]);
    base_free(tails->radius);
    base_free(tails->places);
    base_free(tails->n);
}

static const struct evidence_setup *setup_of(const struct evidence *evidence, uint64_t number)
{
    const struct evidence_setup *setup;
    for (size_t i = 0; (setup = memory_evidence_setup_at(evidence, i)); i++)
        if (setup->number == number)
            break;
    return setup;
}

static int find_tails(const struct evidence *evidence, struct tails *out)
{
    size_t n = memory_evidence_count(evidence);
    *out = (struct tails){.places = base_alloc_array(n, sizeof *out->places),
                          .n = base_alloc_array(n, sizeof *out->n),
                          .radius = base_alloc_array(n, sizeof *out->radius)};
    for (size_t i = 0; i < n; i++) {
        struct evidence_segment segment;
        const struct evidence_setup *setup = setup_of(evidence, memory_evidence_setup_of(evidence, i));
        if (!setup || setup->made != EVIDENCE_VISUAL)
            continue;
        int err = memory_evidence_read(evidence, i, &segment);
        if (err < 0)
            return err;
        if (segment.n_tokens > 0) {
            float *radius = base_alloc_array(segment.n_tokens, sizeof *radius);
            for (uint32_t k = 0; k < segment.n_tokens; k++)
                radius[k] = compute_f16_to_f32(segment.tokens[k].radius);
            out->places[out->n_segments] = i;
            out->n[out->n_segments] = segment.n_tokens;
            out->radius[out->n_segments++] = radius;
            out->tokens += segment.n_tokens;
            out->bytes +=
                (int64_t)segment.n_tokens * (int64_t)(compute_row_bytes((enum type)setup->row_type, setup->columns) +
                                                      sizeof(struct evidence_token));
        }
        memory_evidence_release(&segment);
    }
    return PR_OK;
}

/* Writes out what waits in the new log. */
static int flush(struct evidence_writer *new)
{
    int err = memory_evidence_write_at(new, new->end, new->pending.data, new->pending.len);
    new->end += new->pending.len;
    new->pending.len = 0;
    return err;
}

/* Puts a segment that loses its tail. */
static int put_short(struct evidence_writer *new, const struct evidence *evidence, size_t place, uint32_t n)
{
    struct evidence_segment segment;
    int err = memory_evidence_read(evidence, place, &segment);
    if (err < 0)
        return err;
    const struct evidence_setup *setup = setup_of(evidence, segment.setup);
    segment.n_tokens = n;
    memory_evidence_use_setup(new, setup);
    err = memory_evidence_put_segment(new, &segment);
    memory_evidence_release(&segment);
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

static int copy_log(struct evidence_writer *new, const struct evidence_writer *old, const struct evidence *evidence,
                    const struct tails *tails)
{
    int err = PR_OK;
    size_t segment = 0; /* of tails */
    uint64_t offset = sizeof(struct disk_file);
    struct base_buf body = {0};
    while (offset < old->end) {
        struct disk_record record;
        bool whole = old->end - offset >= sizeof record &&
                     pread(old->fd, &record, sizeof record, (off_t)offset) == (ssize_t)sizeof record &&
                     record.magic == EVIDENCE_MAGIC && record.offset == offset && record.size >= sizeof record &&
                     record.size <= old->end - offset &&
                     record.checksum == base_hash64(&record, offsetof(struct disk_record, checksum));
        if (!whole)
            TRY(base_fail(PR_ERR_FORMAT, "%s: is damaged; pagereel add reads it again", old->path));
        new->now.number = record.number;
        while (segment < tails->n_segments && memory_evidence_number(evidence, tails->places[segment]) < record.number)
            segment++;
        if (record.kind == EVIDENCE_SEGMENT && segment < tails->n_segments &&
            memory_evidence_number(evidence, tails->places[segment]) == record.number) {
            TRY(put_short(new, evidence, tails->places[segment], tails->n[segment]));
        } else {
            TRY(read_body(old, &record, &body));
            new->now.setup = record.setup;
            memory_evidence_put_record(new, &new->pending, record.kind, &body);
        }
        if (new->pending.len > WRITE_BYTES)
            TRY(flush(new));
        offset += record.size;
    }
    TRY(flush(new));
fail:
    base_buf_finish(&body);
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
    TRY(find_tails(evidence, &tails));
    int64_t cap = tokens >= 0 && tokens < tails.tokens ? tokens : tails.tokens;
    if (bytes >= 0 && (int64_t)writer->end > bytes && tails.tokens > 0) {
        int64_t padding = 2 * EVIDENCE_ALIGN * (int64_t)tails.n_segments; /* may fall otherwise than it did */
        int64_t rest = (int64_t)writer->end - tails.bytes + padding, fits = (bytes - rest) * tails.tokens / tails.bytes;
        cap = fits < cap ? fits : cap;
    }
    if (cap >= tails.tokens && (bytes < 0 || (int64_t)writer->end <= bytes))
        goto fail; /* as it is */
    size_t wanted = cap > 0 ? (size_t)cap : 0;
    size_t left = memory_drop_tails((const float *const *)tails.radius, NULL, tails.n, tails.n_segments, wanted);
    if ((int64_t)left < tails.tokens)
        TRY(replace(writer, evidence, &tails));
    if (left > wanted)
        TRY(base_fail(PR_ERR_NOMEM, "%s: can't become so small and keep something of every scene", writer->path));
fail:
    tails_finish(&tails);
    memory_evidence_close(evidence);
    return err;
}
