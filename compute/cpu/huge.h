/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Memory in huge pages. A decode step reads all weights and the cache once and spends much of that on translating addresses when
 * pages are 4 KiB (measured, one core of a Sapphire Rapids guest: 12 GB/s, with huge pages 19), so what belongs to a device lies
 * together in chunks that the kernel is asked to back with pages of 2 MiB.
 */
#pragma once

#include <stddef.h>

struct cpu_huge_chunk;

/* Zero-initialised is empty and valid. Belongs to one thread at a time. */
struct cpu_huge {
    struct cpu_huge_chunk *chunks;
};

/* `size` bytes aligned to 64, zeroed; NULL when the system hasn't got them. */
void *cpu_huge_alloc(struct cpu_huge *huge, size_t size);
/* p: from cpu_huge_alloc() with this size, or NULL. Its whole pages go back at once, a chunk once nothing in it is left. */
void cpu_huge_free(struct cpu_huge *huge, void *p, size_t size);
