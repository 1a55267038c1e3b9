/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * BLAKE2b with 32 bytes of result (RFC 7693): names contents, and tells whether stored bytes are still what was written.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { BASE_HASH_BYTES = 32 };

struct base_hash {
    uint64_t state[8];
    uint64_t n_bytes; /* compressed so far */
    unsigned char block[128];
    size_t n_block;
};
void base_hash_init(struct base_hash *hash);
void base_hash_update(struct base_hash *hash, const void *data, size_t len);
void base_hash_final(struct base_hash *hash, unsigned char out[BASE_HASH_BYTES]);

/* The first 8 bytes of the hash of data, as a little-endian number: a checksum. */
uint64_t base_hash64(const void *data, size_t len);

/* 64 lower-case hexadecimal digits and a NUL. */
void base_hash_text(const unsigned char hash[BASE_HASH_BYTES], char out[2 * BASE_HASH_BYTES + 1]);
