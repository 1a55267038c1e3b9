/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Tensors of a GGUF file by name, with their shapes checked, as weights that operations take.
 */
#pragma once

#include "compute/device.h"
#include "model/gguf.h"

struct weights; /* the wrapped map of a GGUF file; not thread-safe while weights are fetched */

/* `host` is a ref or cpu device; `gguf` and `host` outlive *out. */
int model_weights_create(const struct gguf *gguf, struct device *host, struct weights **out);
void model_weights_destroy(struct weights *weights); /* takes NULL; unplaces what was placed */

enum weight_flags {
    WEIGHT_OPTIONAL = 1, /* absent: *out is NULL and the result is PR_OK */
};

/* The tensor `name` as a matrix [rows, cols]: cols must be ne[0], rows the product of the others; or of a convolution (four
 * dimensions, not quantised) rows is ne[3], cols the product of the others. The tensor belongs to `weights`; asking twice
 * gives the same one.
 * PR_ERR_NOT_FOUND: it isn't there (message: which file lacks which tensor); PR_ERR_FORMAT: another shape, with both shapes in
 * the message; PR_ERR_UNSUPPORTED: a type that can't be a weight. */
int model_weight(struct weights *weights, const char *name, int64_t rows, int64_t cols, unsigned flags,
                 struct tensor **out);
/* Rows first .. first + rows - 1 of `name`, whose whole shape is [all_rows, cols]; for fused tensors such as attn_qkv.
 * With cols 1 a vector of the file counts as all_rows elements, and *out is its elements first .. as [1, rows]: a part of a
 * bias. */
int model_weight_rows(struct weights *weights, const char *name, int64_t all_rows, int64_t first, int64_t rows,
                      int64_t cols, unsigned flags, struct tensor **out);
/* The first tensor of the file whose name begins with `prefix` and that nobody asked for, or NULL. */
const struct gguf_tensor *model_weights_unread(const struct weights *weights, const char *prefix);
