/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *or_abort(void *p)
{
    if (!p)
        abort();
    return p;
}

void *base_alloc(size_t size)
{
    return or_abort(calloc(1, size ? size : 1));
}

void *base_alloc_array(size_t n, size_t size)
{
    return or_abort(calloc(n ? n : 1, size ? size : 1));
}

void *base_realloc(void *p, size_t size)
{
    return or_abort(realloc(p, size ? size : 1));
}

char *base_strdup(const char *text)
{
    return text ? or_abort(strdup(text)) : NULL;
}

void *base_try_alloc(size_t n, size_t size)
{
    size_t bytes, padded;
    if (!base_mul(n, size, &bytes) || !base_add(bytes, 64, &padded) || padded > SIZE_MAX / 2)
        return NULL;
    void *p = aligned_alloc(64, base_align(bytes ? bytes : 1, 64));
    if (p)
        memset(p, 0, bytes);
    return p;
}

void base_free(void *p)
{
    free(p);
}

static void buf_reserve(struct base_buf *b, size_t more)
{
    size_t need = b->len + more + 1;
    if (need <= b->cap)
        return;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < need)
        cap *= 2;
    b->data = base_realloc(b->data, cap);
    b->cap = cap;
}

void base_buf_append(struct base_buf *b, const void *data, size_t len)
{
    buf_reserve(b, len);
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void base_buf_puts(struct base_buf *b, const char *text)
{
    base_buf_append(b, text, strlen(text));
}

void base_buf_printf(struct base_buf *b, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n >= 0) {
        buf_reserve(b, (size_t)n);
        vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void base_buf_finish(struct base_buf *b)
{
    free(b->data);
    *b = (struct base_buf){0};
}
