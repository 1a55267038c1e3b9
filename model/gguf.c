/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The container, in file order: magic, version, counts; keys; tensor infos; padding; tensor data. Layout and limits: the
 * "GGUF" chapter of model/MODEL.md, after the specification (ggml/docs/gguf.md).
 */
#include "model/gguf.h"

#include "base/error.h"
#include "base/mem.h"
#include "model/gguf_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF is read in place, as little-endian numbers");

enum {
    KEY_MAX = 65535,      /* bytes of a key, by the specification */
    NAME_MAX_BYTES = 63,  /* of a tensor name */
    KEY_BYTES_MIN = 14,   /* length, one letter, kind, one byte: no key takes less */
    TENSOR_BYTES_MIN = 33 /* length, one letter, one dimension, type, offset */
};
#define STRING_MAX ((uint64_t)1 << 30)
#define ARRAY_MAX  ((uint64_t)1 << 30)

struct key {
    struct gguf_string name;
    enum gguf_kind kind;
    union {
        const uint8_t *number; /* unaligned */
        struct gguf_string string;
        struct gguf_array array;
    };
};

/* What one file of the set holds. */
struct shard {
    struct gguf_file file;
    bool mapped; /* by us: to be unmapped, and file.path is ours */
    struct key *keys;
    size_t n_keys;
    const struct key **by_name; /* [n_keys], sorted */
    struct gguf_tensor *tensors;
    size_t n_tensors;
};

struct gguf {
    char *path;
    struct shard *shards; /* the keys of the first are the keys of the model */
    size_t n_shards;
    const struct gguf_tensor **tensors; /* of all shards, in file order */
    const struct gguf_tensor **by_name; /* the same, sorted */
    size_t n_tensors;
    uint64_t tensor_bytes;
};

/* ---- reading one file ------------------------------------------------------------------------------------------- */

struct reader {
    const char *path;
    const uint8_t *data;
    size_t size, at;
};

/* "PATH: byte AT: what; the file is damaged, get it again" */
static int __attribute__((format(printf, 2, 3))) damaged(const struct reader *r, const char *format, ...)
{
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return base_fail(PR_ERR_FORMAT, "%s: byte %zu: %s; the file is damaged, get it again", r->path, r->at, what);
}

static int skip(struct reader *r, size_t n, const char *what)
{
    if (n > r->size - r->at)
        return base_fail(PR_ERR_FORMAT,
                         "%s: byte %zu: ends inside %s (it has %zu bytes); the file is incomplete or damaged, "
                         "get it again",
                         r->path, r->at, what, r->size);
    r->at += n;
    return PR_OK;
}

static int read_bytes(struct reader *r, void *to, size_t n, const char *what)
{
    const uint8_t *from = r->data + r->at;
    int err = skip(r, n, what);
    if (err >= 0)
        memcpy(to, from, n);
    return err;
}

static int read_string(struct reader *r, struct gguf_string *out, const char *what)
{
    uint64_t len;
    int err = read_bytes(r, &len, sizeof len, what);
    if (err < 0)
        return err;
    if (len > STRING_MAX)
        return damaged(r, "%s claims a text of %" PRIu64 " bytes", what, len);
    *out = (struct gguf_string){(const char *)r->data + r->at, (size_t)len};
    return skip(r, (size_t)len, what);
}

static const char *const kind_names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                         "bool", "string", "array", "u64", "i64", "f64"};
static const uint8_t kind_sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static bool printable(struct gguf_string s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] < 0x20 || s.data[i] > 0x7e) /* char may be signed: this rejects bytes over 0x7f either way */
            return false;
    return true;
}

/* Checks each string of an array once and keeps where it begins, so that any of them is found in one step. */
static int read_strings(struct reader *r, struct gguf_array *array, const char *what)
{
    uint64_t *offsets = base_try_alloc(array->n, sizeof *offsets);
    if (!offsets)
        return base_fail(PR_ERR_NOMEM, "%s: no memory for %s of %zu texts", r->path, what, array->n);
    array->offsets = offsets; /* freed with the key, also after a failure */
    size_t start = r->at;
    for (size_t i = 0; i < array->n; i++) {
        struct gguf_string s;
        offsets[i] = r->at - start;
        int err = read_string(r, &s, what);
        if (err < 0)
            return err;
    }
    return PR_OK;
}

static int read_bools(const struct reader *r, const uint8_t *bytes, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i] > 1)
            return damaged(r, "%s is a bool of value %d", what, bytes[i]);
    return PR_OK;
}

static int read_array(struct reader *r, struct gguf_array *array, const char *what)
{
    int err;
    uint32_t kind;
    uint64_t n;
    TRY(read_bytes(r, &kind, sizeof kind, what));
    TRY(read_bytes(r, &n, sizeof n, what));
    if (kind == GGUF_ARRAY)
        return base_fail(PR_ERR_UNSUPPORTED,
                         "%s: byte %zu: %s is an array of arrays, which pagereel doesn't read; convert the "
                         "model again with a current converter",
                         r->path, r->at, what);
    if (kind > GGUF_F64)
        return damaged(r, "%s is an array of the unknown kind %" PRIu32, what, kind);
    size_t smallest = kind == GGUF_STRING ? sizeof(uint64_t) : kind_sizes[kind];
    if (n > ARRAY_MAX || n > (r->size - r->at) / smallest)
        return damaged(r, "%s claims %" PRIu64 " elements, more than the file holds", what, n);
    *array = (struct gguf_array){.kind = (enum gguf_kind)kind, .n = (size_t)n, .elements = r->data + r->at};
    if (kind == GGUF_STRING)
        return read_strings(r, array, what);
    if (kind == GGUF_BOOL)
        TRY(read_bools(r, array->elements, array->n, what));
    return skip(r, array->n * smallest, what);
fail:
    return err;
}

static int read_key(struct reader *r, struct key *key)
{
    int err;
    uint32_t kind;
    char what[96];
    TRY(read_string(r, &key->name, "a key"));
    if (key->name.len == 0 || key->name.len > KEY_MAX || !printable(key->name))
        return damaged(r, "a key whose name is not 1 to %d printable characters", KEY_MAX);
    snprintf(what, sizeof what, "key \"%.*s\"", (int)(key->name.len < 80 ? key->name.len : 80), key->name.data);

    TRY(read_bytes(r, &kind, sizeof kind, what));
    if (kind > GGUF_F64)
        return damaged(r, "%s has the unknown kind %" PRIu32, what, kind);
    key->kind = (enum gguf_kind)kind;
    if (kind == GGUF_STRING)
        return read_string(r, &key->string, what);
    if (kind == GGUF_ARRAY) {
        key->array = (struct gguf_array){0};
        return read_array(r, &key->array, what);
    }
    key->number = r->data + r->at;
    TRY(skip(r, kind_sizes[kind], what));
    if (kind == GGUF_BOOL)
        TRY(read_bools(r, key->number, 1, what));
    return PR_OK;
fail:
    return err;
}

/* Names of types that other programs write and we don't read, for the message. */
static const char *foreign_type(uint32_t type)
{
    static const char *const names[] = {
        [9] = "Q8_1",   [15] = "Q8_K",  [16] = "IQ2_XXS", [17] = "IQ2_XS", [18] = "IQ3_XXS", [19] = "IQ1_S",
        [21] = "IQ3_S", [22] = "IQ2_S", [24] = "I8",      [25] = "I16",    [27] = "I64",     [28] = "F64",
        [29] = "IQ1_M", [34] = "TQ1_0", [35] = "TQ2_0",   [40] = "NVFP4",  [41] = "Q1_0",    [42] = "Q2_0"};
    return type < sizeof names / sizeof *names && names[type] ? names[type] : "removed or unknown";
}

/* Reads a tensor info; *offset counts from the start of the tensor data, which isn't known yet. */
static int read_tensor(struct reader *r, struct gguf_tensor *t, uint64_t *offset)
{
    int err;
    struct gguf_string name;
    uint32_t n_dims, type;
    char what[96];
    TRY(read_string(r, &name, "a tensor name"));
    if (name.len == 0 || name.len > NAME_MAX_BYTES || !printable(name))
        return damaged(r, "a tensor whose name is not 1 to %d printable characters", NAME_MAX_BYTES);
    memcpy(t->name, name.data, name.len);
    snprintf(what, sizeof what, "tensor \"%s\"", t->name);

    TRY(read_bytes(r, &n_dims, sizeof n_dims, what));
    if (n_dims < 1 || n_dims > 4)
        return damaged(r, "%s has %" PRIu32 " dimensions", what, n_dims);
    t->n_dims = (int)n_dims;
    size_t rows = 1;
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t ne = 1;
        if (i < n_dims)
            TRY(read_bytes(r, &ne, sizeof ne, what));
        if (ne < 1 || ne > INT64_MAX)
            return damaged(r, "%s has %" PRIu64 " elements in a dimension", what, ne);
        t->ne[i] = (int64_t)ne;
        if (i > 0 && (!base_mul(rows, (size_t)ne, &rows) || rows > INT64_MAX))
            return damaged(r, "%s is larger than any memory", what);
    }

    TRY(read_bytes(r, &type, sizeof type, what));
    const struct type_traits *traits = type < TYPE_LIMIT ? compute_type((int)type) : NULL;
    if (!traits)
        return base_fail(PR_ERR_UNSUPPORTED,
                         "%s: %s has type %" PRIu32 " (%s), which pagereel doesn't read; get the model in "
                         "another quantisation, such as Q4_K_M or Q8_0",
                         r->path, what, type, foreign_type(type));
    t->type = (enum type)type;
    if (t->ne[0] % traits->block != 0)
        return damaged(r, "%s has rows of %" PRId64 " elements, not a multiple of %s's %d", what, t->ne[0],
                       traits->name, traits->block);
    size_t elements, row_bytes;
    if (!base_mul((size_t)t->ne[0], rows, &elements) || elements > INT64_MAX ||
        !base_mul((size_t)(t->ne[0] / traits->block), (size_t)traits->bytes, &row_bytes) ||
        !base_mul(row_bytes, rows, &t->size))
        return damaged(r, "%s is larger than any memory", what);
    return read_bytes(r, offset, sizeof *offset, what);
fail:
    return err;
}

static int compare_strings(struct gguf_string a, struct gguf_string b)
{
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_keys(const void *a, const void *b)
{
    const struct key *const *x = a, *const *y = b;
    return compare_strings((*x)->name, (*y)->name);
}

/* Sorting instead of hashing: no file can make it slow. */
static int index_keys(const struct reader *r, struct shard *shard)
{
    shard->by_name = base_try_alloc(shard->n_keys, sizeof *shard->by_name);
    if (!shard->by_name)
        return base_fail(PR_ERR_NOMEM, "%s: no memory for %zu keys", r->path, shard->n_keys);
    for (size_t i = 0; i < shard->n_keys; i++)
        shard->by_name[i] = &shard->keys[i];
    qsort(shard->by_name, shard->n_keys, sizeof *shard->by_name, compare_keys);
    for (size_t i = 1; i < shard->n_keys; i++)
        if (compare_keys(&shard->by_name[i - 1], &shard->by_name[i]) == 0) {
            struct gguf_string name = shard->by_name[i]->name;
            return damaged(r, "key \"%.*s\" is there twice", (int)(name.len < 80 ? name.len : 80), name.data);
        }
    return PR_OK;
}

static const struct key *find_key(const struct shard *shard, const char *name)
{
    struct key wanted = {.name = {name, strlen(name)}};
    const struct key *pointer = &wanted;
    const struct key **found = bsearch(&pointer, shard->by_name, shard->n_keys, sizeof *shard->by_name, compare_keys);
    return found ? *found : NULL;
}

static int compare_places(const void *a, const void *b)
{
    const struct gguf_tensor *const *x = a, *const *y = b;
    return ((*x)->data > (*y)->data) - ((*x)->data < (*y)->data);
}

/* Overlapping tensors would be harmless to read, but no writer makes them: one of the two offsets is wrong. */
static int check_overlap(const struct reader *r, const struct shard *shard)
{
    const struct gguf_tensor **sorted = base_try_alloc(shard->n_tensors, sizeof *sorted);
    if (!sorted)
        return base_fail(PR_ERR_NOMEM, "%s: no memory for %zu tensors", r->path, shard->n_tensors);
    for (size_t i = 0; i < shard->n_tensors; i++)
        sorted[i] = &shard->tensors[i];
    qsort(sorted, shard->n_tensors, sizeof *sorted, compare_places);
    int err = PR_OK;
    for (size_t i = 1; i < shard->n_tensors && err >= 0; i++)
        if ((const uint8_t *)sorted[i - 1]->data + sorted[i - 1]->size > (const uint8_t *)sorted[i]->data)
            err = damaged(r, "tensors \"%s\" and \"%s\" overlap", sorted[i - 1]->name, sorted[i]->name);
    base_free(sorted);
    return err;
}

static int read_alignment(const struct reader *r, const struct shard *shard, size_t *out)
{
    const struct key *key = find_key(shard, "general.alignment");
    uint32_t alignment = 32;
    if (key) {
        if (key->kind != GGUF_U32)
            return damaged(r, "key \"general.alignment\" is of kind %s instead of u32", kind_names[key->kind]);
        memcpy(&alignment, key->number, sizeof alignment);
    }
    if (alignment < 8 || (alignment & (alignment - 1)) != 0)
        return damaged(r, "key \"general.alignment\" is %" PRIu32 ", not a power of two of 8 or more", alignment);
    *out = alignment;
    return PR_OK;
}

static int read_tensors(struct reader *r, struct shard *shard)
{
    int err;
    size_t alignment = 0;
    uint64_t *offsets = NULL;
    shard->tensors = base_try_alloc(shard->n_tensors, sizeof *shard->tensors);
    offsets = base_try_alloc(shard->n_tensors, sizeof *offsets);
    if (!shard->tensors || !offsets) {
        err = base_fail(PR_ERR_NOMEM, "%s: no memory for %zu tensors", r->path, shard->n_tensors);
        goto fail;
    }
    TRY(read_alignment(r, shard, &alignment));
    for (size_t i = 0; i < shard->n_tensors; i++)
        TRY(read_tensor(r, &shard->tensors[i], &offsets[i]));

    size_t padding = base_align(r->at, alignment) - r->at; /* at <= size <= SSIZE_MAX: no overflow */
    if (shard->n_tensors > 0)
        TRY(skip(r, padding, "the padding before the tensor data"));
    for (size_t i = 0; i < shard->n_tensors; i++) {
        struct gguf_tensor *t = &shard->tensors[i];
        size_t left = r->size - r->at;
        if (offsets[i] % alignment != 0) {
            err = damaged(r, "tensor \"%s\" has offset %" PRIu64 ", not a multiple of %zu", t->name, offsets[i],
                          alignment);
            goto fail;
        }
        if (offsets[i] > left || t->size > left - offsets[i]) {
            err = base_fail(PR_ERR_FORMAT,
                            "%s: tensor \"%s\" (%zu bytes at %" PRIu64
                            ") reaches past the end of the file (%zu bytes of tensor "
                            "data); the file is incomplete or damaged, get it again",
                            r->path, t->name, t->size, offsets[i], left);
            goto fail;
        }
        t->data = r->data + r->at + offsets[i];
    }
    TRY(check_overlap(r, shard));
    base_free(offsets);
    return PR_OK;
fail:
    base_free(offsets);
    return err;
}

/* Files that people give by mistake, by their first bytes. */
static int not_gguf(const struct reader *r)
{
    static const struct {
        const char *magic;
        size_t at;
        const char *what;
    } mistakes[] = {
        {"version https://git-lfs", 0, "is a Git LFS pointer, not the model; fetch it with \"git lfs pull\""},
        {"<", 0, "is a web page, not a model; download the file itself"},
        {"PK\x03\x04", 0, "is a PyTorch or zip file; convert it to GGUF"},
        {"{\"", 8, "is a safetensors file; convert it to GGUF"},
        {"tjgg", 0, "is of GGUF's predecessor GGML; convert the model again"},
        {"lmgg", 0, "is of GGUF's predecessor GGML; convert the model again"},
        {"FUGG", 0, "is a big-endian GGUF file; get a little-endian one"},
    };
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        size_t len = strlen(mistakes[i].magic);
        if (r->size >= mistakes[i].at + len && memcmp(r->data + mistakes[i].at, mistakes[i].magic, len) == 0)
            return base_fail(PR_ERR_FORMAT, "%s: %s", r->path, mistakes[i].what);
    }
    if (r->size == 0)
        return base_fail(PR_ERR_FORMAT, "%s: is empty; get the file again", r->path);
    return base_fail(PR_ERR_FORMAT, "%s: not a GGUF file (it doesn't begin with \"GGUF\"); give a model in GGUF format",
                     r->path);
}

static int read_version(struct reader *r)
{
    uint32_t version;
    int err = read_bytes(r, &version, sizeof version, "the header");
    if (err < 0)
        return err;
    if (version == 2 || version == 3)
        return PR_OK;
    if ((version & 0xffff) == 0)
        return base_fail(PR_ERR_UNSUPPORTED, "%s: is a big-endian GGUF file; get a little-endian one", r->path);
    return base_fail(
        PR_ERR_UNSUPPORTED, "%s: GGUF version %" PRIu32 ", but pagereel reads 2 and 3; %s", r->path, version,
        version > 3 && version < 100 ? "update pagereel or get the model in version 3" : "get the model again");
}

static int read_shard(struct shard *shard)
{
    int err;
    struct reader r = {shard->file.path, shard->file.data, shard->file.size, 0};
    uint64_t n_tensors, n_keys;
    if (r.size < 4 || memcmp(r.data, "GGUF", 4) != 0)
        return not_gguf(&r);
    r.at = 4;
    TRY(read_version(&r));
    TRY(read_bytes(&r, &n_tensors, sizeof n_tensors, "the header"));
    TRY(read_bytes(&r, &n_keys, sizeof n_keys, "the header"));
    if (n_keys > (r.size - r.at) / KEY_BYTES_MIN)
        return damaged(&r, "the header claims %" PRIu64 " keys, more than the file holds", n_keys);
    if (n_tensors > (r.size - r.at) / TENSOR_BYTES_MIN)
        return damaged(&r, "the header claims %" PRIu64 " tensors, more than the file holds", n_tensors);

    shard->keys = base_try_alloc((size_t)n_keys, sizeof *shard->keys);
    if (!shard->keys)
        return base_fail(PR_ERR_NOMEM, "%s: no memory for %" PRIu64 " keys", r.path, n_keys);
    while (shard->n_keys < n_keys)
        TRY(read_key(&r, &shard->keys[shard->n_keys++]));
    TRY(index_keys(&r, shard));
    shard->n_tensors = (size_t)n_tensors;
    TRY(read_tensors(&r, shard));
    return PR_OK;
fail:
    return err;
}

static void shard_finish(struct shard *shard)
{
    for (size_t i = 0; shard->keys && i < shard->n_keys; i++)
        if (shard->keys[i].kind == GGUF_ARRAY)
            base_free((void *)shard->keys[i].array.offsets);
    base_free(shard->keys);
    base_free(shard->by_name);
    base_free(shard->tensors);
    if (shard->mapped)
        model_gguf_file_unmap(&shard->file);
}

/* ---- the set of files ------------------------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
    const struct gguf_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int index_tensors(struct gguf *gguf)
{
    for (size_t i = 0; i < gguf->n_shards; i++)
        gguf->n_tensors += gguf->shards[i].n_tensors;
    gguf->tensors = base_try_alloc(gguf->n_tensors, sizeof *gguf->tensors);
    gguf->by_name = base_try_alloc(gguf->n_tensors, sizeof *gguf->by_name);
    if (!gguf->tensors || !gguf->by_name)
        return base_fail(PR_ERR_NOMEM, "%s: no memory for %zu tensors", gguf->path, gguf->n_tensors);
    size_t n = 0;
    for (size_t i = 0; i < gguf->n_shards; i++)
        for (size_t j = 0; j < gguf->shards[i].n_tensors; j++, n++) {
            struct gguf_tensor *t = &gguf->shards[i].tensors[j];
            t->file = i;
            t->index = n;
            gguf->tensors[n] = gguf->by_name[n] = t;
            gguf->tensor_bytes += t->size; /* parts of files that don't overlap: no overflow */
        }
    qsort(gguf->by_name, n, sizeof *gguf->by_name, compare_names);
    for (size_t i = 1; i < n; i++)
        if (compare_names(&gguf->by_name[i - 1], &gguf->by_name[i]) == 0)
            return base_fail(PR_ERR_FORMAT, "%s: tensor \"%s\" is there twice; the file is damaged, get it again",
                             gguf->shards[gguf->by_name[i]->file].file.path, gguf->by_name[i]->name);
    return PR_OK;
}

/* A key of a shard that isn't necessarily the first. */
static int shard_i64(struct shard *shard, const char *key, int64_t min, int64_t max, int64_t *out)
{
    struct gguf one = {.path = (char *)shard->file.path, .shards = shard, .n_shards = 1};
    return model_gguf_i64(&one, key, min, max, out);
}

/* Reads split.no and split.count: file `no` of `count`, counted from 0; (0, 1) for a file that isn't split. */
static int read_split(struct shard *shard, int64_t *no, int64_t *count)
{
    int err;
    *no = 0;
    *count = 1;
    err = shard_i64(shard, "split.count", 0, 65535, count);
    if (err == PR_ERR_NOT_FOUND || *count == 0) {
        *count = 1;
        return PR_OK;
    }
    if (err < 0)
        return err;
    err = shard_i64(shard, "split.no", 0, *count - 1, no);
    if (err == PR_ERR_NOT_FOUND && *count > 1)
        return base_fail(PR_ERR_FORMAT,
                         "%s: has \"split.count\" but no \"split.no\"; the file is damaged, get it again",
                         shard->file.path);
    return err == PR_ERR_NOT_FOUND ? PR_OK : err;
}

/* Opens the other files of a set. The first is there already. */
static int open_split(struct gguf *gguf, int64_t count)
{
    int err;
    struct shard *shards = base_try_alloc((size_t)count, sizeof *shards);
    if (!shards)
        return base_fail(PR_ERR_NOMEM, "%s: no memory for %" PRId64 " files", gguf->path, count);
    shards[0] = gguf->shards[0];
    base_free(gguf->shards);
    gguf->shards = shards;
    int64_t n_tensors = (int64_t)shards[0].n_tensors;
    for (int64_t i = 1; i < count; i++) {
        struct shard *shard = &shards[i];
        int64_t no, of;
        TRY(model_gguf_file_map_part(gguf->path, i, count, &shard->file));
        shard->mapped = true;
        gguf->n_shards++;
        TRY(read_shard(shard));
        TRY(read_split(shard, &no, &of));
        if (no != i || of != count)
            return base_fail(PR_ERR_FORMAT,
                             "%s: says that it is part %" PRId64 " of %" PRId64 ", but its name says %" PRId64
                             " of %" PRId64 "; get the parts again, under their own names",
                             shard->file.path, no + 1, of, i + 1, count);
        n_tensors += (int64_t)shard->n_tensors;
    }
    int64_t expected = n_tensors;
    err = shard_i64(&shards[0], "split.tensors.count", 0, INT64_MAX, &expected);
    if (err < 0 && err != PR_ERR_NOT_FOUND)
        return err;
    if (expected != n_tensors)
        return base_fail(PR_ERR_FORMAT,
                         "%s: its %" PRId64 " parts hold %" PRId64 " tensors instead of %" PRId64
                         "; get all parts again",
                         gguf->path, count, n_tensors, expected);
    return PR_OK;
fail:
    return err;
}

static int open_file(struct gguf_file file, bool mapped, struct gguf **out)
{
    int err;
    struct gguf *gguf = base_alloc(sizeof *gguf);
    gguf->path = base_strdup(file.path);
    gguf->shards = base_try_alloc(1, sizeof *gguf->shards);
    if (!gguf->shards)
        abort();
    gguf->n_shards = 1;
    gguf->shards[0] = (struct shard){.file = file, .mapped = mapped};
    if (!mapped)
        gguf->shards[0].file.path = gguf->path;

    int64_t no, count;
    TRY(read_shard(&gguf->shards[0]));
    TRY(read_split(&gguf->shards[0], &no, &count));
    if (no != 0) {
        err = base_fail(PR_ERR_FORMAT,
                        "%s: is part %" PRId64 " of %" PRId64 "; give the first part (its name ends in "
                        "-00001-of-%05" PRId64 ".gguf)",
                        gguf->path, no + 1, count, count);
        goto fail;
    }
    if (count > 1 && !mapped) {
        err = base_fail(PR_ERR_UNSUPPORTED, "%s: a split model can't be read from memory; give its first file",
                        gguf->path);
        goto fail;
    }
    if (count > 1)
        TRY(open_split(gguf, count));
    TRY(index_tensors(gguf));
    *out = gguf;
    return PR_OK;
fail:
    model_gguf_close(gguf);
    return err;
}

int model_gguf_open(const char *path, struct gguf **out)
{
    struct gguf_file file;
    int err = model_gguf_file_map(path, &file);
    return err < 0 ? err : open_file(file, true, out);
}

int model_gguf_open_memory(const void *data, size_t size, const char *name, struct gguf **out)
{
    return open_file((struct gguf_file){name, data, size}, false, out);
}

void model_gguf_close(struct gguf *gguf)
{
    if (!gguf)
        return;
    for (size_t i = 0; i < gguf->n_shards; i++)
        shard_finish(&gguf->shards[i]);
    base_free(gguf->shards);
    base_free(gguf->tensors);
    base_free(gguf->by_name);
    base_free(gguf->path);
    base_free(gguf);
}

const char *model_gguf_path(const struct gguf *gguf)
{
    return gguf->path;
}

uint64_t model_gguf_tensor_bytes(const struct gguf *gguf)
{
    return gguf->tensor_bytes;
}

size_t model_gguf_n_files(const struct gguf *gguf)
{
    return gguf->n_shards;
}

const struct gguf_file *model_gguf_file(const struct gguf *gguf, size_t i)
{
    return &gguf->shards[i].file;
}

/* ---- asking ----------------------------------------------------------------------------------------------------- */

static int wrong_kind(const struct gguf *gguf, const char *key, const struct key *found, const char *wanted)
{
    return base_fail(PR_ERR_FORMAT,
                     "%s: key \"%s\" is of kind %s instead of %s; the file is damaged or was converted wrongly, "
                     "get it again",
                     gguf->path, key, kind_names[found->kind], wanted);
}

static bool is_integer(enum gguf_kind kind)
{
    return kind <= GGUF_I32 || kind == GGUF_U64 || kind == GGUF_I64;
}

/* An integer or bool at an unaligned place; a u64 that doesn't fit becomes INT64_MAX. */
static int64_t load_i64(enum gguf_kind kind, const uint8_t *at)
{
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
    } v;
    memcpy(&v, at, kind_sizes[kind]);
    switch (kind) {
    case GGUF_U8:
    case GGUF_BOOL:
        return v.u8;
    case GGUF_I8:
        return v.i8;
    case GGUF_U16:
        return v.u16;
    case GGUF_I16:
        return v.i16;
    case GGUF_U32:
        return v.u32;
    case GGUF_I32:
        return v.i32;
    case GGUF_U64:
        return v.u64 > INT64_MAX ? INT64_MAX : (int64_t)v.u64;
    default:
        return v.i64;
    }
}

static double load_f64(enum gguf_kind kind, const uint8_t *at)
{
    float f;
    double d;
    if (kind == GGUF_F32) {
        memcpy(&f, at, sizeof f);
        return (double)f;
    }
    memcpy(&d, at, sizeof d);
    return d;
}

int model_gguf_i64(const struct gguf *gguf, const char *key, int64_t min, int64_t max, int64_t *out)
{
    const struct key *found = find_key(&gguf->shards[0], key);
    if (!found)
        return PR_ERR_NOT_FOUND;
    if (!is_integer(found->kind))
        return wrong_kind(gguf, key, found, "an integer");
    int64_t value = load_i64(found->kind, found->number);
    if (value < min || value > max)
        return base_fail(PR_ERR_FORMAT,
                         "%s: key \"%s\" is %" PRId64 ", outside %" PRId64 " to %" PRId64
                         "; the file is damaged or was converted wrongly, get it again",
                         gguf->path, key, value, min, max);
    *out = value;
    return PR_OK;
}

int model_gguf_f32(const struct gguf *gguf, const char *key, float *out)
{
    const struct key *found = find_key(&gguf->shards[0], key);
    if (!found)
        return PR_ERR_NOT_FOUND;
    if (found->kind != GGUF_F32 && found->kind != GGUF_F64)
        return wrong_kind(gguf, key, found, "f32");
    double value = load_f64(found->kind, found->number);
    if (!(fabs(value) <= (double)3.4028234e38f))
        return base_fail(PR_ERR_FORMAT,
                         "%s: key \"%s\" is not a finite number; the file is damaged or was converted wrongly, get "
                         "it again",
                         gguf->path, key);
    *out = (float)value;
    return PR_OK;
}

int model_gguf_bool(const struct gguf *gguf, const char *key, bool *out)
{
    const struct key *found = find_key(&gguf->shards[0], key);
    if (!found)
        return PR_ERR_NOT_FOUND;
    if (found->kind != GGUF_BOOL)
        return wrong_kind(gguf, key, found, "bool");
    *out = *found->number != 0;
    return PR_OK;
}

int model_gguf_string(const struct gguf *gguf, const char *key, struct gguf_string *out)
{
    const struct key *found = find_key(&gguf->shards[0], key);
    if (!found)
        return PR_ERR_NOT_FOUND;
    if (found->kind != GGUF_STRING)
        return wrong_kind(gguf, key, found, "string");
    *out = found->string;
    return PR_OK;
}

int model_gguf_array(const struct gguf *gguf, const char *key, struct gguf_array *out)
{
    const struct key *found = find_key(&gguf->shards[0], key);
    if (!found)
        return PR_ERR_NOT_FOUND;
    if (found->kind != GGUF_ARRAY)
        return wrong_kind(gguf, key, found, "array");
    *out = found->array;
    return PR_OK;
}

static const uint8_t *element(const struct gguf_array *array, size_t i)
{
    return (const uint8_t *)array->elements + i * kind_sizes[array->kind];
}

int64_t model_gguf_array_i64(const struct gguf_array *array, size_t i)
{
    return load_i64(array->kind, element(array, i));
}

float model_gguf_array_f32(const struct gguf_array *array, size_t i)
{
    return (float)load_f64(array->kind, element(array, i));
}

struct gguf_string model_gguf_array_string(const struct gguf_array *array, size_t i)
{
    const char *at = (const char *)array->elements + array->offsets[i];
    uint64_t len;
    memcpy(&len, at, sizeof len);
    return (struct gguf_string){at + sizeof len, (size_t)len};
}

size_t model_gguf_n_keys(const struct gguf *gguf)
{
    return gguf->shards[0].n_keys;
}

struct gguf_string model_gguf_key_at(const struct gguf *gguf, size_t i, enum gguf_kind *kind)
{
    *kind = gguf->shards[0].keys[i].kind;
    return gguf->shards[0].keys[i].name;
}

const struct gguf_tensor *model_gguf_tensor(const struct gguf *gguf, const char *name)
{
    struct gguf_tensor wanted;
    if (strlen(name) > NAME_MAX_BYTES)
        return NULL;
    strcpy(wanted.name, name);
    const struct gguf_tensor *pointer = &wanted;
    const struct gguf_tensor **found =
        bsearch(&pointer, gguf->by_name, gguf->n_tensors, sizeof *gguf->by_name, compare_names);
    return found ? *found : NULL;
}

size_t model_gguf_n_tensors(const struct gguf *gguf)
{
    return gguf->n_tensors;
}

const struct gguf_tensor *model_gguf_tensor_at(const struct gguf *gguf, size_t i)
{
    return gguf->tensors[i];
}

/* ---- describing ------------------------------------------------------------------------------------------------- */

/* At most 60 bytes, with control characters and bytes over 0x7e escaped: metadata may hold anything. */
static void describe_string(struct gguf_string s, struct base_buf *out)
{
    base_buf_puts(out, "\"");
    for (size_t i = 0; i < s.len && i < 60; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c == '"' || c == '\\' || c < 0x20 || c > 0x7e)
            base_buf_printf(out, "\\x%02x", c);
        else
            base_buf_append(out, &c, 1);
    }
    base_buf_puts(out, s.len > 60 ? "\"..." : "\"");
}

static void describe_number(enum gguf_kind kind, const uint8_t *at, struct base_buf *out)
{
    if (kind == GGUF_BOOL)
        base_buf_puts(out, *at ? "true" : "false");
    else if (kind == GGUF_F32 || kind == GGUF_F64)
        base_buf_printf(out, "%.9g", load_f64(kind, at));
    else
        base_buf_printf(out, "%" PRId64, load_i64(kind, at));
}

static void describe_array(const struct gguf_array *array, struct base_buf *out)
{
    enum { SHOWN = 6 };
    for (size_t i = 0; i < array->n && i < SHOWN; i++) {
        base_buf_puts(out, i ? ", " : "");
        if (array->kind == GGUF_STRING)
            describe_string(model_gguf_array_string(array, i), out);
        else
            describe_number(array->kind, element(array, i), out);
    }
    base_buf_puts(out, array->n > SHOWN ? ", ..." : "");
}

void model_gguf_describe(const struct gguf *gguf, struct base_buf *out)
{
    const struct shard *first = &gguf->shards[0];
    for (size_t i = 0; i < first->n_keys; i++) {
        const struct key *key = &first->keys[i];
        base_buf_append(out, key->name.data, key->name.len);
        if (key->kind == GGUF_ARRAY) {
            base_buf_printf(out, " %s[%zu] ", kind_names[key->array.kind], key->array.n);
            describe_array(&key->array, out);
        } else {
            base_buf_printf(out, " %s ", kind_names[key->kind]);
            if (key->kind == GGUF_STRING)
                describe_string(key->string, out);
            else
                describe_number(key->kind, key->number, out);
        }
        base_buf_puts(out, "\n");
    }
    for (size_t i = 0; i < gguf->n_tensors; i++) {
        const struct gguf_tensor *t = gguf->tensors[i];
        base_buf_printf(out, "%s %s [%" PRId64, t->name, compute_type((int)t->type)->name, t->ne[0]);
        for (int d = 1; d < t->n_dims; d++)
            base_buf_printf(out, ", %" PRId64, t->ne[d]);
        base_buf_printf(out, "] %zu bytes\n", t->size);
    }
}
