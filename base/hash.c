/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/hash.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are read as they lie in memory: little-endian"
#endif

/* RFC 7693, section 2.6: the fractions of the square roots of the first eight primes, as in SHA-512. */
static const uint64_t start[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
                                  0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

/* Section 2.7: which word of the message each round takes when. */
static const uint8_t order[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static uint64_t rotate(uint64_t x, int bits)
{
    return x >> bits | x << (64 - bits);
}

static inline void mix(uint64_t *v, int a, int b, int c, int d, uint64_t x, uint64_t y)
{
    v[a] += v[b] + x;
    v[d] = rotate(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 24);
    v[a] += v[b] + y;
    v[d] = rotate(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = rotate(v[b] ^ v[c], 63);
}

/* Section 3.2. */
static void compress(struct base_hash *hash, const unsigned char *block, size_t len, int last)
{
    uint64_t v[16], m[16];
    hash->n_bytes += len;
    memcpy(m, block, sizeof m);
    memcpy(v, hash->state, sizeof hash->state);
    memcpy(v + 8, start, sizeof start);
    v[12] ^= hash->n_bytes;
    if (last)
        v[14] = ~v[14];
    for (int round = 0; round < 12; round++) {
        const uint8_t *s = order[round % 10];
        for (int i = 0; i < 4; i++)
            mix(v, i, i + 4, i + 8, i + 12, m[s[2 * i]], m[s[2 * i + 1]]);
        for (int i = 0; i < 4; i++)
            mix(v, i, (i + 1) % 4 + 4, (i + 2) % 4 + 8, (i + 3) % 4 + 12, m[s[2 * i + 8]], m[s[2 * i + 9]]);
    }
    for (int i = 0; i < 8; i++)
        hash->state[i] ^= v[i] ^ v[i + 8];
}

void base_hash_init(struct base_hash *hash)
{
    memset(hash, 0, sizeof *hash);
    memcpy(hash->state, start, sizeof start);
    hash->state[0] ^= 0x01010000 ^ BASE_HASH_BYTES; /* no key */
}

void base_hash_update(struct base_hash *hash, const void *data, size_t len)
{
    const unsigned char *bytes = data;
    while (len > 0) {
        if (hash->n_block == sizeof hash->block) { /* never the last block: final() marks that one */
            compress(hash, hash->block, sizeof hash->block, 0);
            hash->n_block = 0;
        }
        if (hash->n_block == 0 && len > sizeof hash->block) {
            compress(hash, bytes, sizeof hash->block, 0);
            bytes += sizeof hash->block;
            len -= sizeof hash->block;
            continue;
        }
        size_t n = sizeof hash->block - hash->n_block;
        n = n < len ? n : len;
        memcpy(hash->block + hash->n_block, bytes, n);
        hash->n_block += n;
        bytes += n;
        len -= n;
    }
}

void base_hash_final(struct base_hash *hash, unsigned char out[BASE_HASH_BYTES])
{
    memset(hash->block + hash->n_block, 0, sizeof hash->block - hash->n_block);
    compress(hash, hash->block, hash->n_block, 1);
    memcpy(out, hash->state, BASE_HASH_BYTES);
}

uint64_t base_hash64(const void *data, size_t len)
{
    struct base_hash hash;
    unsigned char out[BASE_HASH_BYTES];
    uint64_t first;
    base_hash_init(&hash);
    base_hash_update(&hash, data, len);
    base_hash_final(&hash, out);
    memcpy(&first, out, sizeof first);
    return first;
}

void base_hash_text(const unsigned char hash[BASE_HASH_BYTES], char out[2 * BASE_HASH_BYTES + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < BASE_HASH_BYTES; i++) {
        out[2 * i] = digits[hash[i] >> 4];
        out[2 * i + 1] = digits[hash[i] & 15];
    }
    out[2 * BASE_HASH_BYTES] = '\0';
}
