/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A model of one or more files: opens the set, answers for keys and tensors, describes it all.
 */
#include "model/gguf.h"

#include "base/error.h"
#include "base/mem.h"
#include "model/gguf_parse.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct gguf {
    char *path;
    struct gguf_shard *shards; /* the keys of the first are the keys of the model */
    size_t n_shards;
    const struct gguf_tensor **tensors; /* of all shards, in file order */
    const struct gguf_tensor **by_name; /* the same, sorted */
    size_t n_tensors;
    uint64_t tensor_bytes;
};

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
static int shard_i64(struct gguf_shard *shard, const char *key, int64_t min, int64_t max, int64_t *out)
{
    struct gguf one = {.path = (char *)shard->file.path, .shards = shard, .n_shards = 1};
    return model_gguf_i64(&one, key, min, max, out);
}

/* Reads split.no and split.count: file `no` of `count`, counted from 0; (0, 1) for a file that isn't split. */
static int read_split(struct gguf_shard *shard, int64_t *no, int64_t *count)
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
    struct gguf_shard *shards = base_try_alloc((size_t)count, sizeof *shards);
    if (!shards)
        return base_fail(PR_ERR_NOMEM, "%s: no memory for %" PRId64 " files", gguf->path, count);
    shards[0] = gguf->shards[0];
    base_free(gguf->shards);
    gguf->shards = shards;
    int64_t n_tensors = (int64_t)shards[0].n_tensors;
    for (int64_t i = 1; i < count; i++) {
        struct gguf_shard *shard = &shards[i];
        int64_t no, of;
        TRY(model_gguf_file_map_part(gguf->path, i, count, &shard->file));
        shard->mapped = true;
        gguf->n_shards++;
        TRY(model_gguf_parse(shard));
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
    gguf->shards[0] = (struct gguf_shard){.file = file, .mapped = mapped};
    if (!mapped)
        gguf->shards[0].file.path = gguf->path;

    int64_t no, count;
    TRY(model_gguf_parse(&gguf->shards[0]));
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
        model_gguf_shard_finish(&gguf->shards[i]);
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

static int wrong_kind(const struct gguf *gguf, const char *key, const struct gguf_key *found, const char *wanted)
{
    return base_fail(PR_ERR_FORMAT,
                     "%s: key \"%s\" is of kind %s instead of %s; the file is damaged or was converted wrongly, "
                     "get it again",
                     gguf->path, key, model_gguf_kind_names[found->kind], wanted);
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
    memcpy(&v, at, model_gguf_kind_sizes[kind]);
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
    const struct gguf_key *found = model_gguf_find_key(&gguf->shards[0], key);
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
    const struct gguf_key *found = model_gguf_find_key(&gguf->shards[0], key);
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
    const struct gguf_key *found = model_gguf_find_key(&gguf->shards[0], key);
    if (!found)
        return PR_ERR_NOT_FOUND;
    if (found->kind != GGUF_BOOL)
        return wrong_kind(gguf, key, found, "bool");
    *out = *found->number != 0;
    return PR_OK;
}

int model_gguf_string(const struct gguf *gguf, const char *key, struct gguf_string *out)
{
    const struct gguf_key *found = model_gguf_find_key(&gguf->shards[0], key);
    if (!found)
        return PR_ERR_NOT_FOUND;
    if (found->kind != GGUF_STRING)
        return wrong_kind(gguf, key, found, "string");
    *out = found->string;
    return PR_OK;
}

int model_gguf_array(const struct gguf *gguf, const char *key, struct gguf_array *out)
{
    const struct gguf_key *found = model_gguf_find_key(&gguf->shards[0], key);
    if (!found)
        return PR_ERR_NOT_FOUND;
    if (found->kind != GGUF_ARRAY)
        return wrong_kind(gguf, key, found, "array");
    *out = found->array;
    return PR_OK;
}

static const uint8_t *element(const struct gguf_array *array, size_t i)
{
    return (const uint8_t *)array->elements + i * model_gguf_kind_sizes[array->kind];
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
    if (strlen(name) >= sizeof wanted.name)
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
    const struct gguf_shard *first = &gguf->shards[0];
    for (size_t i = 0; i < first->n_keys; i++) {
        const struct gguf_key *key = &first->keys[i];
        base_buf_append(out, key->name.data, key->name.len);
        if (key->kind == GGUF_ARRAY) {
            base_buf_printf(out, " %s[%zu] ", model_gguf_kind_names[key->array.kind], key->array.n);
            describe_array(&key->array, out);
        } else {
            base_buf_printf(out, " %s ", model_gguf_kind_names[key->kind]);
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
