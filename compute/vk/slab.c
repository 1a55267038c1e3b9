/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory for weights, many to a buffer: drivers have few allocations to give, and one dispatch can read the weights of several
 * products only if one view reaches them all. Weights that are placed one after the other lie side by side; those that are read
 * where the file is mapped share a window of the mapping.
 */
#include "base/mem.h"
#include "compute/vk/vk.h"

enum { SLAB_ALIGN = 256 };
static const size_t SLAB_SIZE = (size_t)64 << 20;

static struct vk_slab *add_slab(struct vk *vk, const struct vk_slab *slab)
{
    vk->slabs = base_realloc(vk->slabs, (size_t)(vk->n_slabs + 1) * sizeof vk->slabs[0]);
    struct vk_slab *added = vk->slabs[vk->n_slabs++] = base_alloc(sizeof *added);
    *added = *slab;
    return added;
}

/* The end of a slab may stay empty, which nobody counts: it is to be little beside what the device is said to have. */
static size_t usual_size(const struct vk *vk)
{
    size_t limit = (size_t)vk->device->options.memory_limit;
    return limit && limit / 16 < SLAB_SIZE ? limit / 16 : SLAB_SIZE;
}

static int open_slab(struct vk *vk, size_t size, struct vk_slab **out)
{
    struct vk_slab slab = {.size = usual_size(vk)};
    if (size < slab.size && vk_memory_create(vk, slab.size, false, &slab.memory) == PR_OK) {
        *out = vk->open_slab = add_slab(vk, &slab);
        return PR_OK;
    }
    slab.size = size; /* a large weight has one of its own, and so has the last one that the device has room for */
    int err = vk_memory_create(vk, size, false, &slab.memory);
    if (err == PR_OK)
        *out = add_slab(vk, &slab);
    return err;
}

int vk_slab_take(struct vk *vk, size_t size, struct vk_slab **out, size_t *offset)
{
    struct vk_slab *slab = vk->open_slab;
    if (!slab || slab->size - slab->used < size) {
        int err = open_slab(vk, size, &slab);
        if (err < 0)
            return err;
    }
    *offset = slab->used;
    slab->used = base_align(slab->used + size, SLAB_ALIGN);
    if (slab->used > slab->size)
        slab->used = slab->size;
    slab->users++;
    *out = slab;
    return PR_OK;
}

int vk_slab_import(struct vk *vk, const struct buffer *mapped, size_t at, size_t size, struct vk_slab **out,
                   size_t *offset)
{
    const char *base = mapped->host;
    for (int i = 0; i < vk->n_slabs; i++) {
        struct vk_slab *slab = vk->slabs[i];
        if (slab->window && base + at >= slab->window && base + at + size <= slab->window + slab->size) {
            *offset = slab->lead + (size_t)(base + at - slab->window);
            slab->users++;
            *out = slab;
            return PR_OK;
        }
    }
    /* Windows begin at whole multiples, whichever weight comes first, and reach over what begins in them. */
    size_t begin = at / SLAB_SIZE * SLAB_SIZE, end = begin + 2 * SLAB_SIZE;
    if (end < at + size)
        end = at + size;
    if (end > mapped->size)
        end = mapped->size;
    struct vk_slab slab = {.window = base + begin, .size = end - begin};
    int err = vk_memory_import(vk, slab.window, slab.size, &slab.memory, &slab.lead);
    if (err < 0) { /* perhaps less of it */
        slab.window = base + at;
        slab.size = size;
        err = vk_memory_import(vk, slab.window, slab.size, &slab.memory, &slab.lead);
    }
    if (err < 0)
        return err;
    *out = add_slab(vk, &slab);
    (*out)->users++;
    *offset = slab.lead + (size_t)(base + at - slab.window);
    return PR_OK;
}

void vk_slab_release(struct vk *vk, struct vk_slab *slab)
{
    if (--slab->users > 0)
        return;
    for (int i = 0; i < vk->n_slabs; i++)
        if (vk->slabs[i] == slab)
            vk->slabs[i] = vk->slabs[--vk->n_slabs];
    if (vk->open_slab == slab)
        vk->open_slab = NULL;
    vk_memory_destroy(vk, &slab->memory);
    base_free(slab);
}
