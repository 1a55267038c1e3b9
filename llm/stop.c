/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "llm/stop.h"

#include "base/utf8.h"

#include <string.h>

struct llm_stop {
    char **strings;
    size_t n;
    struct base_utf8_stream characters;
    struct base_buf held; /* the beginning of a stop string, perhaps */
};

struct llm_stop *llm_stop_create(const char *strings)
{
    struct llm_stop *stop = base_alloc(sizeof *stop);
    while (*strings) {
        size_t len = strcspn(strings, "\n");
        if (len > 0) {
            stop->strings = base_realloc(stop->strings, (stop->n + 1) * sizeof *stop->strings);
            stop->strings[stop->n] = base_alloc(len + 1);
            memcpy(stop->strings[stop->n++], strings, len);
        }
        strings += len + (strings[len] == '\n');
    }
    return stop;
}

void llm_stop_destroy(struct llm_stop *stop)
{
    if (!stop)
        return;
    for (size_t i = 0; i < stop->n; i++)
        base_free(stop->strings[i]);
    base_free(stop->strings);
    base_buf_finish(&stop->held);
    base_free(stop);
}

/* Where the first stop string begins, or len. */
static size_t find(const struct llm_stop *stop, const char *text, size_t len)
{
    size_t first = len;
    for (size_t i = 0; i < stop->n && len > 0; i++) {
        const char *at = memmem(text, len, stop->strings[i], strlen(stop->strings[i]));
        if (at && (size_t)(at - text) < first)
            first = (size_t)(at - text);
    }
    return first;
}

/* Whether text[0..len) is the beginning of a stop string. */
static bool may_become_one(const struct llm_stop *stop, const char *text, size_t len)
{
    for (size_t i = 0; i < stop->n; i++)
        if (len < strlen(stop->strings[i]) && !memcmp(text, stop->strings[i], len))
            return true;
    return false;
}

static void release(struct llm_stop *stop, size_t n, struct base_buf *out)
{
    if (n == 0)
        return;
    base_buf_append(out, stop->held.data, n);
    memmove(stop->held.data, stop->held.data + n, stop->held.len - n);
    stop->held.len -= n;
}

bool llm_stop_push(struct llm_stop *stop, const char *bytes, size_t len, struct base_buf *out)
{
    struct base_buf *held = &stop->held;
    base_utf8_stream_push(&stop->characters, bytes, len, held);
    size_t at = find(stop, held->data, held->len);
    if (at < held->len) {
        release(stop, at, out);
        return true;
    }
    size_t safe = 0;
    while (safe < held->len && !may_become_one(stop, held->data + safe, held->len - safe))
        safe++;
    release(stop, safe, out);
    return false;
}

void llm_stop_flush(struct llm_stop *stop, struct base_buf *out)
{
    base_utf8_stream_flush(&stop->characters, &stop->held);
    release(stop, stop->held.len, out);
}
