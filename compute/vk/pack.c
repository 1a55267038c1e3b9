/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Weights on the device. Blocks of 18, 34 or 210 bytes can't be read well: quants lie across words, and neighbouring
 * invocations would fetch pieces of pieces. So a weight is taken apart once, when it is placed: of each row first the quants of
 * all blocks as 16-byte words, then a second plane of words (upper bits), then small integers (scales, high bits), then f16
 * scales; rows are padded to 16 bytes. Nothing is rounded and nothing grows but for the padding. Formats whose blocks are words
 * already, and floats, stay as they are.
 */
#include "base/mem.h"
#include "compute/vk/vk.h"

#include <string.h>

enum place { WORDS, PLANE, EXTRAS, HALVES, N_PLACES };

/* What becomes of a block's bytes: `bytes` bytes from `offset` go to a place. */
struct piece {
    enum place place;
    int offset, bytes;
};
static const struct {
    struct piece pieces[N_PLACES]; /* bytes 0: no more */
    int extra_bytes;               /* of one small integer */
} formats[TYPE_LIMIT] = {
    [TYPE_Q4_0] = {{{WORDS, 2, 16}, {HALVES, 0, 2}}, 0},
    [TYPE_Q4_1] = {{{WORDS, 4, 16}, {HALVES, 0, 4}}, 0},
    [TYPE_Q5_0] = {{{WORDS, 6, 16}, {EXTRAS, 2, 4}, {HALVES, 0, 2}}, 4},
    [TYPE_Q5_1] = {{{WORDS, 8, 16}, {EXTRAS, 4, 4}, {HALVES, 0, 4}}, 4},
    [TYPE_Q8_0] = {{{WORDS, 2, 32}, {HALVES, 0, 2}}, 0},
    [TYPE_Q2_K] = {{{WORDS, 16, 64}, {EXTRAS, 0, 16}, {HALVES, 80, 4}}, 1},
    [TYPE_Q3_K] = {{{WORDS, 32, 64}, {PLANE, 0, 32}, {EXTRAS, 96, 12}, {HALVES, 108, 2}}, 1},
    [TYPE_Q6_K] = {{{WORDS, 0, 128}, {PLANE, 128, 64}, {EXTRAS, 192, 16}, {HALVES, 208, 2}}, 1},
    [TYPE_IQ4_NL] = {{{WORDS, 2, 16}, {HALVES, 0, 2}}, 0},
    [TYPE_IQ4_XS] = {{{WORDS, 8, 128}, {EXTRAS, 0, 8}}, 4},
    [TYPE_MXFP4] = {{{WORDS, 1, 16}, {EXTRAS, 0, 1}}, 1},
};

static bool is_packed_format(enum type type)
{
    return formats[type].pieces[0].bytes > 0;
}

/* Where each place begins in a row of `blocks` blocks; returns the row's bytes. */
static size_t lay_out_row(enum type type, size_t blocks, size_t begin[N_PLACES])
{
    size_t at = 0;
    for (int i = 0; i < N_PLACES && formats[type].pieces[i].bytes; i++) {
        begin[formats[type].pieces[i].place] = at;
        at += blocks * (size_t)formats[type].pieces[i].bytes;
    }
    return base_align(at, 16);
}

static VkFormat integers_of(int bytes)
{
    return bytes == 1 ? VK_FORMAT_R8_UINT : bytes == 2 ? VK_FORMAT_R16_UINT : VK_FORMAT_R32_UINT;
}

bool vk_packing(enum type type, int64_t cols, bool packed, struct vk_packing *out)
{
    const struct type_traits *traits = compute_type((int)type);
    *out = (struct vk_packing){.row_bytes = compute_row_bytes(type, cols), .unit = 32, .floats = 4};
    if (packed) {
        size_t begin[N_PLACES] = {0};
        out->row_bytes = lay_out_row(type, (size_t)(cols / traits->block), begin);
        out->plane = begin[PLANE];
        out->extra = begin[EXTRAS];
        out->half = begin[HALVES];
        out->words = VK_FORMAT_R32G32B32A32_UINT;
        if (formats[type].extra_bytes)
            out->extras = integers_of(formats[type].extra_bytes);
        out->halves = type != TYPE_IQ4_XS && type != TYPE_MXFP4;
        return true;
    }
    switch (type) {
    case TYPE_F32:
        out->words = cols % 4 ? VK_FORMAT_R32_UINT : VK_FORMAT_R32G32B32A32_UINT;
        out->floats = cols % 4 ? 1 : 4;
        out->unit = 4;
        return true;
    case TYPE_F16:
    case TYPE_BF16:
        out->words = cols % 4 ? VK_FORMAT_R16_UINT : cols % 8 ? VK_FORMAT_R32G32_UINT : VK_FORMAT_R32G32B32A32_UINT;
        out->floats = cols % 4 ? 1 : cols % 8 ? 4 : 8;
        out->unit = cols % 8 ? 4 : 8;
        return true;
    case TYPE_Q4_K:
    case TYPE_Q5_K:
        out->words = VK_FORMAT_R32G32B32A32_UINT;
        return true;
    case TYPE_Q8_0:
        out->extras = VK_FORMAT_R16_UINT;
        out->halves = true;
        return true;
    default:
        return false;
    }
}

size_t vk_packed_size(struct device *device, const struct tensor *weight)
{
    (void)device;
    struct vk_packing packing;
    vk_packing(weight->type, weight->cols, is_packed_format(weight->type), &packing);
    return packing.row_bytes * (size_t)weight->rows;
}

static void pack_row(enum type type, size_t blocks, const uint8_t *from, uint8_t *to)
{
    size_t block_bytes = (size_t)compute_type((int)type)->bytes, begin[N_PLACES];
    lay_out_row(type, blocks, begin);
    for (int i = 0; i < N_PLACES && formats[type].pieces[i].bytes; i++) {
        const struct piece *piece = &formats[type].pieces[i];
        size_t bytes = (size_t)piece->bytes;
        for (size_t b = 0; b < blocks; b++)
            memcpy(to + begin[piece->place] + b * bytes, from + b * block_bytes + piece->offset, bytes);
    }
}

/* To where `packed` says. */
static int take_apart(struct vk *vk, const struct tensor *weight, const struct vk_packed *packed)
{
    struct vk_packing packing;
    int err = PR_OK;
    vk_packing(weight->type, weight->cols, true, &packing);
    size_t row = packing.row_bytes, file_row = compute_row_bytes(weight->type, weight->cols);
    size_t blocks = (size_t)(weight->cols / compute_type((int)weight->type)->block);
    int64_t batch = row < ((size_t)1 << 20) ? (int64_t)(((size_t)1 << 20) / row) : 1;
    uint8_t *rows = base_alloc((size_t)batch * row); /* zeroed: so is the padding */

    for (int64_t r = 0; r < weight->rows; r += batch) {
        int64_t n = weight->rows - r < batch ? weight->rows - r : batch;
        for (int64_t i = 0; i < n; i++)
            pack_row(weight->type, blocks, (const uint8_t *)compute_tensor_data(weight) + (size_t)(r + i) * file_row,
                     rows + (size_t)i * row);
        TRY(vk_memory_write(vk, &packed->slab->memory, packed->offset + (size_t)r * row, rows, (size_t)n * row));
    }
fail:
    base_free(rows);
    return err;
}

bool vk_reads_in_place(struct device *device, const struct tensor *weight)
{
    const struct vk *vk = vk_of(device);
    bool own_memory = device->options.memory_limit > 0; /* whoever limits it means a device that has some */
    return vk->caps.host_import && vk->caps.unified && !own_memory && !is_packed_format(weight->type);
}

int vk_pack(struct device *device, struct tensor *weight)
{
    struct vk *vk = vk_of(device);
    struct vk_packed *packed = base_alloc(sizeof *packed);
    size_t bytes = compute_tensor_bytes(weight);
    int err;
    packed->plain = !is_packed_format(weight->type);
    if (vk_reads_in_place(device, weight)) {
        err = vk_slab_import(vk, weight->buffer, weight->offset, bytes, &packed->slab, &packed->offset);
        if (err < 0) {
            vk->caps.host_import = false; /* whoever asks again gets a copy */
            goto fail;
        }
    } else {
        TRY(vk_slab_take(vk, vk_packed_size(device, weight), &packed->slab, &packed->offset));
        if (packed->plain)
            TRY(vk_memory_write(vk, &packed->slab->memory, packed->offset, compute_tensor_data(weight), bytes));
        else
            TRY(take_apart(vk, weight, packed));
    }
    weight->packed = packed;
    return PR_OK;
fail:
    if (packed->slab)
        vk_slab_release(vk, packed->slab);
    base_free(packed);
    return err;
}

void vk_unpack(struct device *device, struct tensor *weight)
{
    struct vk_packed *packed = weight->packed;
    vk_slab_release(vk_of(device), packed->slab);
    base_free(packed);
}

VkBuffer vk_rows_of(const struct tensor *t, size_t *offset)
{
    const struct vk_packed *packed = t->packed;
    *offset = packed ? packed->offset : t->offset;
    return packed ? packed->slab->memory.buffer : vk_handle(t->buffer);
}
