/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the tokenizer's tests don't reach: tests/model/tokenizer.c has the ids.
 */
#include "model/bpe.h"

#include "base/mem.h"
#include "tests/support/gguf_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The hash of pairs as bpe.c has it, to make merges that all fall into one place. */
static size_t place_of(int32_t left, int32_t right, size_t mask)
{
    uint64_t hash = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    hash = (hash ^ hash >> 31) * 0xbf58476d1ce4e5b9u;
    return (size_t)(hash ^ hash >> 29) & mask;
}

static void crowded_merges_are_refused(void **state)
{
    (void)state;
    enum { LETTERS = 60, PAIRS = LETTERS * LETTERS, MERGES = 64, SLOTS = 128 };
    static char texts[LETTERS + PAIRS][4], merges[PAIRS][8];
    const char *tokens[LETTERS + PAIRS], *lists[2][MERGES]; /* ordinary merges, crowded ones */
    int n = 0;
    for (int i = 0; i < LETTERS; i++)
        texts[i][0] = (char)('0' + i);
    for (int i = 0; i < PAIRS; i++) {
        char a = texts[i / LETTERS][0], b = texts[i % LETTERS][0];
        snprintf(texts[LETTERS + i], sizeof texts[0], "%c%c", a, b);
        snprintf(merges[i], sizeof merges[0], "%c %c", a, b);
        if (i < MERGES)
            lists[0][i] = merges[i];
        if (n < MERGES && place_of(i / LETTERS, i % LETTERS, SLOTS - 1) < 4)
            lists[1][n++] = merges[i];
    }
    assert_int_equal(n, MERGES);
    for (int i = 0; i < LETTERS + PAIRS; i++)
        tokens[i] = texts[i];

    for (int crowded = 0; crowded < 2; crowded++) {
        struct gguf_writer w = GGUF_WRITER_INIT;
        struct base_buf bytes = {0};
        struct gguf *gguf;
        struct vocab vocab;
        struct bpe *bpe = NULL;
        gguf_writer_strings(&w, "tokenizer.ggml.tokens", tokens, LETTERS + PAIRS);
        gguf_writer_strings(&w, "tokenizer.ggml.merges", lists[crowded], MERGES);
        gguf_writer_header(&w, &bytes);
        gguf_writer_finish(&w);
        assert_int_equal(model_gguf_open_memory(bytes.data, bytes.len, "bpe.gguf", &gguf), PR_OK);
        assert_int_equal(model_vocab_init(&vocab, gguf, VOCAB_BYTE_LEVEL), PR_OK);
        assert_int_equal(model_bpe_create(gguf, &vocab, &bpe), crowded ? PR_ERR_FORMAT : PR_OK);
        if (crowded)
            assert_non_null(strstr(pr_error_message(), "bpe.gguf: its merges are made to be slow"));
        model_bpe_destroy(bpe);
        model_vocab_finish(&vocab);
        model_gguf_close(gguf);
        base_buf_finish(&bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crowded_merges_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
