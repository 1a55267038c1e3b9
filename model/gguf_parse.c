/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The container, in file order: magic, version, counts; keys; tensor infos; padding; tensor data. Layout and limits: the
 * chapter "The container" of model/MODEL.md, after the specification (ggml/docs/gguf.md).
 */
#include "model/gguf_parse.h"

#include "base/error.h"
#include "base/mem.h"

#include <inttypes.h>
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

const char *const model_gguf_kind_names[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                             "bool", "string", "array", "u64", "i64", "f64"};
const uint8_t model_gguf_kind_sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

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
    size_t smallest = kind == GGUF_STRING ? sizeof(uint64_t) : model_gguf_kind_sizes[kind];
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

static int read_key(struct reader *r, struct gguf_key *key)
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
    TRY(skip(r, model_gguf_kind_sizes[kind], what));
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
    const struct gguf_key *const *x = a, *const *y = b;
    return compare_strings((*x)->name, (*y)->name);
}

/* Sorting instead of hashing: no file can make it slow. */
static int index_keys(const struct reader *r, struct gguf_shard *shard)
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

const struct gguf_key *model_gguf_find_key(const struct gguf_shard *shard, const char *name)
{
    struct gguf_key wanted = {.name = {name, strlen(name)}};
    const struct gguf_key *pointer = &wanted;
    const struct gguf_key **found =
        bsearch(&pointer, shard->by_name, shard->n_keys, sizeof *shard->by_name, compare_keys);
    return found ? *found : NULL;
}

static int compare_places(const void *a, const void *b)
{
    const struct gguf_tensor *const *x = a, *const *y = b;
    return ((*x)->data > (*y)->data) - ((*x)->data < (*y)->data);
}

/* Overlapping tensors would be harmless to read, but no writer makes them: one of the two offsets is wrong. */
static int check_overlap(const struct reader *r, const struct gguf_shard *shard)
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

static int read_alignment(const struct reader *r, const struct gguf_shard *shard, size_t *out)
{
    const struct gguf_key *key = model_gguf_find_key(shard, "general.alignment");
    uint32_t alignment = 32;
    if (key) {
        if (key->kind != GGUF_U32)
            return damaged(r, "key \"general.alignment\" is of kind %s instead of u32",
                           model_gguf_kind_names[key->kind]);
        memcpy(&alignment, key->number, sizeof alignment);
    }
    if (alignment < 8 || (alignment & (alignment - 1)) != 0)
        return damaged(r, "key \"general.alignment\" is %" PRIu32 ", not a power of two of 8 or more", alignment);
    *out = alignment;
    return PR_OK;
}

static int read_tensors(struct reader *r, struct gguf_shard *shard)
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

int model_gguf_parse(struct gguf_shard *shard)
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

void model_gguf_shard_finish(struct gguf_shard *shard)
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
