/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "compute/cpu/huge.h"

#include "base/mem.h"

#include <stdint.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 1 << 21, CHUNK = 16 * HUGE_PAGE };

/* Filled from the front and never refilled, so that all memory comes zeroed; weights and caches come and go together. */
struct cpu_huge_chunk {
    struct cpu_huge_chunk *next;
    void *map;
    size_t map_size;
    char *data; /* in the map, at a multiple of HUGE_PAGE */
    size_t size, used;
    int live; /* allocations that weren't freed */
};

static struct cpu_huge_chunk *add_chunk(struct cpu_huge *huge, size_t size)
{
    size = base_align(size < CHUNK ? CHUNK : size, HUGE_PAGE);
    void *map = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    struct cpu_huge_chunk *chunk = base_alloc(sizeof *chunk);
    *chunk = (struct cpu_huge_chunk){.next = huge->chunks, .map = map, .map_size = size + HUGE_PAGE, .size = size};
    chunk->data = (char *)base_align((uintptr_t)map, HUGE_PAGE);
    madvise(chunk->data, size, MADV_HUGEPAGE); /* where the kernel doesn't, small pages do */
    huge->chunks = chunk;
    return chunk;
}

void *cpu_huge_alloc(struct cpu_huge *huge, size_t size)
{
    if (size > SIZE_MAX / 2)
        return NULL;
    size = base_align(size, 64);
    struct cpu_huge_chunk *chunk = huge->chunks;
    while (chunk && chunk->size - chunk->used < size)
        chunk = chunk->next;
    if (!chunk)
        chunk = add_chunk(huge, size);
    if (!chunk)
        return NULL;
    void *p = chunk->data + chunk->used;
    chunk->used += size;
    chunk->live++;
    return p;
}

void cpu_huge_free(struct cpu_huge *huge, void *p, size_t size)
{
    struct cpu_huge_chunk **link = &huge->chunks;
    while (*link && ((char *)p < (*link)->data || (char *)p >= (*link)->data + (*link)->size))
        link = &(*link)->next;
    struct cpu_huge_chunk *chunk = *link;
    if (!chunk)
        return;
    if (--chunk->live) {
        size_t first = base_align((size_t)((char *)p - chunk->data), HUGE_PAGE);
        size_t end = ((size_t)((char *)p - chunk->data) + size) & ~((size_t)HUGE_PAGE - 1);
        if (first < end)
            madvise(chunk->data + first, end - first, MADV_DONTNEED);
        return;
    }
    *link = chunk->next;
    munmap(chunk->map, chunk->map_size);
    base_free(chunk);
}
