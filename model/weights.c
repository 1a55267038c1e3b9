/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/weights.h"

#include "base/error.h"
#include "base/mem.h"

#include <inttypes.h>
#include <string.h>

enum { WEIGHT_ALIGNMENT = 32 }; /* of a tensor's offset in its buffer; what GGUF uses unless a file says otherwise */

/* Rows of a tensor that were asked for. */
struct entry {
    struct entry *next;  /* of the same tensor */
    int64_t first, rows; /* of a vector: elements */
    struct tensor tensor;
    struct buffer *copy; /* where the rows lie if not in the map, or NULL */
};

struct weights {
    const struct gguf *gguf;
    struct device *host;
    struct buffer **files;  /* [model_gguf_n_files()]: the maps */
    struct entry **entries; /* [model_gguf_n_tensors()]: lists */
};

int model_weights_create(const struct gguf *gguf, struct device *host, struct weights **out)
{
    int err = PR_OK;
    size_t n_files = model_gguf_n_files(gguf);
    struct weights *weights = base_alloc(sizeof *weights);
    weights->gguf = gguf;
    weights->host = host;
    weights->files = base_try_alloc(n_files, sizeof *weights->files);
    weights->entries = base_try_alloc(model_gguf_n_tensors(gguf), sizeof *weights->entries);
    if (!weights->files || !weights->entries) {
        err =
            base_fail(PR_ERR_NOMEM, "%s: no memory for %zu tensors", model_gguf_path(gguf), model_gguf_n_tensors(gguf));
        goto fail;
    }
    for (size_t i = 0; i < n_files; i++) {
        const struct gguf_file *file = model_gguf_file(gguf, i);
        TRY(compute_buffer_wrap(host, file->data, file->size, &weights->files[i]));
    }
    *out = weights;
    return PR_OK;
fail:
    model_weights_destroy(weights);
    return err;
}

void model_weights_destroy(struct weights *weights)
{
    if (!weights)
        return;
    for (size_t i = 0; weights->entries && i < model_gguf_n_tensors(weights->gguf); i++)
        for (struct entry *entry = weights->entries[i], *next; entry; entry = next) {
            next = entry->next;
            compute_tensor_unplace(&entry->tensor);
            compute_buffer_destroy(entry->copy);
            base_free(entry);
        }
    for (size_t i = 0; weights->files && i < model_gguf_n_files(weights->gguf); i++)
        compute_buffer_destroy(weights->files[i]);
    base_free(weights->entries);
    base_free(weights->files);
    base_free(weights);
}

/* Whether a tensor can be read as [rows, cols]: cols is ne[0], or of a convolution the product of all dimensions but the last. */
static bool has_shape(const struct gguf_tensor *source, int64_t rows, int64_t cols)
{
    const int64_t *ne = source->ne; /* their product's overflow was checked at opening */
    bool flat = source->n_dims == 4 && compute_type((int)source->type)->block == 1;
    return (ne[0] == cols && ne[1] * ne[2] * ne[3] == rows) || (flat && ne[0] * ne[1] * ne[2] == cols && ne[3] == rows);
}

static int check(const struct weights *weights, const struct gguf_tensor *source, int64_t rows, int64_t cols)
{
    const char *path = model_gguf_file(weights->gguf, source->file)->path;
    int64_t source_rows = source->ne[1] * source->ne[2] * source->ne[3];
    if (!has_shape(source, rows, cols))
        return base_fail(PR_ERR_FORMAT,
                         "%s: tensor \"%s\" is [%" PRId64 ", %" PRId64
                         "] but the model's other figures ask for [%" PRId64 ", %" PRId64
                         "]; the file is damaged or was converted wrongly, get it again",
                         path, source->name, source_rows, source->ne[0], rows, cols);
    if (!compute_type((int)source->type)->weight)
        return base_fail(PR_ERR_UNSUPPORTED,
                         "%s: tensor \"%s\" has type %s, which can't be a weight; get the model in another "
                         "quantisation, such as Q4_K_M or Q8_0",
                         path, source->name, compute_type((int)source->type)->name);
    return PR_OK;
}

/* Where a slice begins is a matter of its row size, and files may be aligned to less than operations ask for: such rows are
 * copied once. */
static int copy_rows(struct weights *weights, struct entry *entry, const uint8_t *rows)
{
    size_t bytes = compute_tensor_bytes(&entry->tensor);
    int err = compute_buffer_create(weights->host, bytes, &entry->copy);
    if (err < 0)
        return err;
    entry->tensor.buffer = entry->copy;
    entry->tensor.offset = 0;
    return compute_buffer_write(entry->copy, 0, rows, bytes);
}

static int add_entry(struct weights *weights, const struct gguf_tensor *source, bool vector, int64_t first,
                     int64_t rows, int64_t cols, struct entry **out)
{
    struct entry *entry = base_alloc(sizeof *entry);
    struct tensor *t = &entry->tensor;
    const struct gguf_file *file = model_gguf_file(weights->gguf, source->file);
    const uint8_t *at = (const uint8_t *)source->data + (size_t)first * compute_row_bytes(source->type, cols);
    entry->first = first;
    entry->rows = rows;
    t->role = TENSOR_WEIGHT;
    t->type = source->type;
    t->rows = vector ? 1 : rows;
    t->cols = vector ? rows : cols;
    t->index = -1;
    memcpy(t->name, source->name, sizeof t->name);
    t->buffer = weights->files[source->file];
    t->offset = (size_t)(at - (const uint8_t *)file->data);
    if (t->offset % WEIGHT_ALIGNMENT != 0 || (uintptr_t)file->data % WEIGHT_ALIGNMENT != 0) {
        int err = copy_rows(weights, entry, at);
        if (err < 0) {
            compute_buffer_destroy(entry->copy);
            base_free(entry);
            return err;
        }
    }
    entry->next = weights->entries[source->index];
    weights->entries[source->index] = entry;
    *out = entry;
    return PR_OK;
}

int model_weight_rows(struct weights *weights, const char *name, int64_t all_rows, int64_t first, int64_t rows,
                      int64_t cols, unsigned flags, struct tensor **out)
{
    *out = NULL;
    const struct gguf_tensor *source = model_gguf_tensor(weights->gguf, name);
    if (!source && (flags & WEIGHT_OPTIONAL))
        return PR_OK;
    if (!source)
        return base_fail(PR_ERR_NOT_FOUND,
                         "%s: tensor \"%s\" is missing; the file is incomplete or was converted wrongly, get it "
                         "again",
                         model_gguf_path(weights->gguf), name);
    bool vector = cols == 1 && source->n_dims == 1 && compute_type((int)source->type)->block == 1;
    int err = vector ? check(weights, source, 1, all_rows) : check(weights, source, all_rows, cols);
    if (err < 0)
        return err;
    if (first < 0 || rows < 1 || first > all_rows - rows)
        return base_fail(PR_ERR_INVALID, "rows %" PRId64 " to %" PRId64 " of %s, which has %" PRId64, first,
                         first + rows, name, all_rows);

    struct entry *entry = weights->entries[source->index];
    while (entry && (entry->first != first || entry->rows != rows || (!vector && entry->tensor.cols != cols)))
        entry = entry->next;
    if (!entry) {
        err = add_entry(weights, source, vector, first, rows, cols, &entry);
        if (err < 0)
            return err;
    }
    *out = &entry->tensor;
    return PR_OK;
}

int model_weight(struct weights *weights, const char *name, int64_t rows, int64_t cols, unsigned flags,
                 struct tensor **out)
{
    return model_weight_rows(weights, name, rows, 0, rows, cols, flags, out);
}

const struct gguf_tensor *model_weights_unread(const struct weights *weights, const char *prefix)
{
    for (size_t i = 0; i < model_gguf_n_tensors(weights->gguf); i++) {
        const struct gguf_tensor *tensor = model_gguf_tensor_at(weights->gguf, i);
        if (!weights->entries[tensor->index] && !strncmp(tensor->name, prefix, strlen(prefix)))
            return tensor;
    }
    return NULL;
}
