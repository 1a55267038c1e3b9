/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sequences as files. The layout is in docs/FORMATS.md: header, cells, keys and values layer by layer, the caller's bytes,
 * checksum. Everything is little-endian, as every machine is that pagereel runs on.
 */
#include "llm/kv_impl.h"

#include "base/mem.h"
#include "compute/device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct header {
    char magic[4]; /* "PRKV" */
    uint32_t version;
    uint64_t fingerprint;
    int32_t n_layer, d_key, d_value, key_type, value_type, page_size;
    int32_t n, sinks, window, position_limit;
    int64_t evicted;
    uint64_t extra_size;
};
_Static_assert(sizeof(struct header) == 72, "the file's header has no padding");
_Static_assert(sizeof(struct llm_cell) == 8, "nor have its cells");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is written as memory has it");

enum { VERSION = 1 };

/* A file with the checksum of what went through it: FNV-1a, 64 bits. */
struct stream {
    FILE *file;
    const char *path;
    uint64_t sum;
};

static void add_to_sum(struct stream *s, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    uint64_t sum = s->sum;
    for (size_t i = 0; i < size; i++)
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    s->sum = sum;
}

static struct stream stream_of(FILE *file, const char *path)
{
    return (struct stream){file, path, 0xcbf29ce484222325u};
}

static int write_bytes(struct stream *s, const void *data, size_t size)
{
    add_to_sum(s, data, size);
    if (fwrite(data, 1, size, s->file) != size)
        return base_fail(PR_ERR_IO, "%s: can't write: %s", s->path, strerror(errno));
    return PR_OK;
}

static int read_bytes(struct stream *s, void *data, size_t size)
{
    if (fread(data, 1, size, s->file) != size)
        return base_fail(PR_ERR_IO, "%s: can't read: %s", s->path,
                         ferror(s->file) ? strerror(errno) : "it ends too early");
    add_to_sum(s, data, size);
    return PR_OK;
}

/* Runs `each` over the kept rows of every layer's keys and values, a page at a time. */
typedef int (*rows_fn)(struct stream *s, struct tensor *pool, size_t offset, void *scratch, size_t size);

static int for_all_rows(const struct llm_sequence *q, struct stream *s, rows_fn each)
{
    int err;
    const struct llm_kv *kv = q->kv;
    int32_t page_size = kv->params.page_size;
    size_t key_row = compute_row_bytes(kv->params.key_type, kv->params.d_key);
    size_t value_row = compute_row_bytes(kv->params.value_type, kv->params.d_value);
    void *scratch = base_alloc((size_t)page_size * (key_row > value_row ? key_row : value_row));
    for (int32_t l = 0; l < 2 * kv->params.n_layer; l++) {
        struct tensor *pool = l % 2 ? &kv->values[l / 2] : &kv->keys[l / 2];
        size_t row = l % 2 ? value_row : key_row;
        for (int32_t i = 0; i < q->n; i += page_size) {
            int32_t rows = q->n - i < page_size ? q->n - i : page_size;
            TRY(each(s, pool, pool->offset + (size_t)llm_sequence_row(q, i) * row, scratch, (size_t)rows * row));
        }
    }
    base_free(scratch);
    return PR_OK;
fail:
    base_free(scratch);
    return err;
}

static struct header header_of(const struct llm_sequence *q, uint64_t fingerprint, size_t extra_size)
{
    const struct llm_kv_params *p = &q->kv->params;
    return (struct header){.magic = {'P', 'R', 'K', 'V'},
                           .version = VERSION,
                           .fingerprint = fingerprint,
                           .n_layer = p->n_layer,
                           .d_key = p->d_key,
                           .d_value = p->d_value,
                           .key_type = (int32_t)p->key_type,
                           .value_type = (int32_t)p->value_type,
                           .page_size = p->page_size,
                           .n = q->n,
                           .sinks = q->slide.sinks,
                           .window = q->slide.window,
                           .position_limit = q->slide.position_limit,
                           .evicted = q->evicted,
                           .extra_size = extra_size};
}

/* ---- saving ----------------------------------------------------------------------------------------------------- */

static int save_rows(struct stream *s, struct tensor *pool, size_t offset, void *scratch, size_t size)
{
    int err = compute_buffer_read(pool->buffer, offset, scratch, size);
    return err < 0 ? err : write_bytes(s, scratch, size);
}

static int write_all(const struct llm_sequence *q, struct stream *s, uint64_t fingerprint, const void *extra,
                     size_t extra_size)
{
    int err;
    struct header header = header_of(q, fingerprint, extra_size);
    TRY(write_bytes(s, &header, sizeof header));
    TRY(write_bytes(s, q->cells, (size_t)q->n * sizeof *q->cells));
    TRY(for_all_rows(q, s, save_rows));
    if (extra_size)
        TRY(write_bytes(s, extra, extra_size));
    uint64_t sum = s->sum;
    TRY(write_bytes(s, &sum, sizeof sum));
    if (fflush(s->file) != 0 || fsync(fileno(s->file)) != 0)
        return base_fail(PR_ERR_IO, "%s: can't write: %s", s->path, strerror(errno));
    return PR_OK;
fail:
    return err;
}

int llm_sequence_save(const struct llm_sequence *q, const char *path, uint64_t fingerprint, const void *extra,
                      size_t extra_size)
{
    int err, fd = -1;
    FILE *file = NULL;
    struct base_buf temporary = {0};
    base_buf_printf(&temporary, "%s.XXXXXX", path);
    fd = mkstemp(temporary.data);
    file = fd < 0 ? NULL : fdopen(fd, "wb");
    if (!file)
        TRY(base_fail(PR_ERR_IO, "%s: can't be created: %s", path, strerror(errno)));
    struct stream s = stream_of(file, path);
    TRY(write_all(q, &s, fingerprint, extra, extra_size));
    err = fclose(file);
    file = NULL;
    if (err != 0 || rename(temporary.data, path) != 0)
        TRY(base_fail(PR_ERR_IO, "%s: can't be written: %s", path, strerror(errno)));
    base_buf_finish(&temporary);
    return PR_OK;
fail:
    if (file)
        fclose(file);
    else if (fd >= 0)
        close(fd);
    if (fd >= 0)
        unlink(temporary.data);
    base_buf_finish(&temporary);
    return err;
}

/* ---- restoring -------------------------------------------------------------------------------------------------- */

static int load_rows(struct stream *s, struct tensor *pool, size_t offset, void *scratch, size_t size)
{
    int err = read_bytes(s, scratch, size);
    return err < 0 ? err : compute_buffer_write(pool->buffer, offset, scratch, size);
}

static int damaged(const char *path)
{
    return base_fail(PR_ERR_FORMAT, "%s: not a saved session, or damaged; make it again", path);
}

static int check_header(const struct llm_kv *kv, const struct header *h, uint64_t fingerprint, uint64_t file_size,
                        const char *path)
{
    const struct llm_kv_params *p = &kv->params;
    if (memcmp(h->magic, "PRKV", 4) != 0)
        return damaged(path);
    if (h->version != VERSION)
        return base_fail(PR_ERR_UNSUPPORTED, "%s: saved by another version of pagereel; make it again", path);
    if (h->fingerprint != fingerprint || h->n_layer != p->n_layer || h->d_key != p->d_key || h->d_value != p->d_value)
        return base_fail(PR_ERR_INVALID, "%s: saved with another model; use that model, or make it again", path);
    if (h->key_type != (int32_t)p->key_type || h->value_type != (int32_t)p->value_type || h->page_size != p->page_size)
        return base_fail(PR_ERR_INVALID, "%s: saved with another --cache-type; use that one, or make it again", path);
    if (h->n < 0 || h->evicted < 0 || h->evicted % p->page_size != 0 || (h->evicted > 0 && h->window == 0))
        return damaged(path);

    uint64_t row = compute_row_bytes(p->key_type, p->d_key) + compute_row_bytes(p->value_type, p->d_value);
    uint64_t body = (row * (uint64_t)p->n_layer + sizeof(struct llm_cell)) * (uint64_t)h->n; /* < 2^63: n is 31 bits */
    uint64_t rest = file_size - sizeof *h - sizeof(uint64_t); /* the caller saw that the file holds these */
    if (body > rest || rest - body != h->extra_size)
        return damaged(path);
    return PR_OK;
}

static int check_cells(const struct llm_sequence *q, const char *path)
{
    for (int32_t i = 0; i < q->n; i++)
        if (q->cells[i].low < -(1 << 30) || q->cells[i].low > 1 << 30 || q->cells[i].next < -(1 << 30) ||
            q->cells[i].next > 1 << 30)
            return damaged(path);
    return PR_OK;
}

static int read_all(struct llm_kv *kv, struct stream *s, uint64_t file_size, uint64_t fingerprint,
                    struct llm_sequence **out, void **extra, size_t *extra_size)
{
    int err;
    struct header h;
    if (file_size < sizeof h + sizeof(uint64_t))
        return damaged(s->path);
    TRY(read_bytes(s, &h, sizeof h));
    TRY(check_header(kv, &h, fingerprint, file_size, s->path));
    struct llm_slide slide = {h.sinks, h.window, h.position_limit};
    err = llm_sequence_create(kv, &slide, out);
    if (err == PR_OK)
        err = llm_sequence_reserve(*out, h.n);
    if (err < 0)
        return base_fail_prefix(err, "%s", s->path);
    struct llm_sequence *q = *out;
    TRY(read_bytes(s, q->cells, (size_t)h.n * sizeof *q->cells));
    q->n = h.n;
    q->evicted = h.evicted;
    TRY(check_cells(q, s->path));
    TRY(for_all_rows(q, s, load_rows));

    *extra = base_try_alloc(h.extra_size + 1, 1);
    if (!*extra)
        TRY(base_fail(PR_ERR_NOMEM, "%s: no memory for %llu bytes", s->path, (unsigned long long)h.extra_size));
    TRY(read_bytes(s, *extra, h.extra_size));
    *extra_size = h.extra_size;
    uint64_t expected = s->sum, sum;
    TRY(read_bytes(s, &sum, sizeof sum));
    return sum == expected ? PR_OK : damaged(s->path);
fail:
    return err;
}

int llm_sequence_restore(struct llm_kv *kv, const char *path, uint64_t fingerprint, struct llm_sequence **out,
                         void **extra, size_t *extra_size)
{
    int err;
    struct stat st;
    *out = NULL;
    *extra = NULL;
    *extra_size = 0;
    FILE *file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &st) != 0)
        TRY(base_fail(PR_ERR_IO, "%s: can't be read: %s; check the path and its permissions", path, strerror(errno)));
    struct stream s = stream_of(file, path);
    TRY(read_all(kv, &s, (uint64_t)st.st_size, fingerprint, out, extra, extra_size));
    fclose(file);
    return PR_OK;
fail:
    if (file)
        fclose(file);
    llm_sequence_destroy(*out);
    *out = NULL;
    base_free(*extra);
    *extra = NULL;
    return err;
}
