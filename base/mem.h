/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Allocation, in two kinds. Sizes that our own code chooses: base_alloc() and its kin, which abort when memory is gone,
 * so that no caller has a path that can't be tested. Sizes that a file or a user chooses: base_try_alloc(), which checks
 * for overflow and returns NULL (the caller answers PR_ERR_NOMEM).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *base_alloc(size_t size);                 /* zeroed; aborts on failure; never NULL */
void *base_alloc_array(size_t n, size_t size); /* zeroed; aborts on overflow or failure */
void *base_realloc(void *p, size_t size);      /* new bytes are undefined; aborts on failure */
char *base_strdup(const char *text);           /* NULL stays NULL; aborts on failure */
void *base_try_alloc(size_t n, size_t size);   /* zeroed; NULL on overflow or failure; 64-byte aligned; base_free() */
void base_free(void *p);                       /* takes NULL; for every pointer of this file */

/* Checked arithmetic: true and *out on success, false on overflow (then *out is undefined). */
static inline bool base_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool base_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}
/* Rounds up to a multiple of a power of two; the caller knows that it fits. */
static inline size_t base_align(size_t n, size_t power_of_two)
{
    return (n + power_of_two - 1) & ~(power_of_two - 1);
}

/* A growing byte string. Zero-initialised is empty and valid. `data` is always NUL-terminated once it isn't NULL. */
struct base_buf {
    char *data;
    size_t len, cap;
};
void base_buf_append(struct base_buf *b, const void *data, size_t len);
void base_buf_puts(struct base_buf *b, const char *text);
void base_buf_printf(struct base_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void base_buf_finish(struct base_buf *b); /* frees; the buffer is empty and valid again */
