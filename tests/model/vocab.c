/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/vocab.h"

#include "base/utf8.h"
#include "tests/support/gguf_writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void the_alphabet_has_every_byte_once(void **state)
{
    (void)state;
    int seen[256] = {0}, n = 0;
    for (uint32_t c = 0; c < 0x300; c++) {
        char text[4], out[4];
        size_t len;
        if (!model_vocab_unmap(text, base_utf8_encode(c, text), out, &len))
            continue;
        assert_int_equal(len, 1);
        seen[(uint8_t)out[0]]++;
        n++;
        if (c < 0x100)
            assert_int_equal((uint8_t)out[0], c);
    }
    assert_int_equal(n, 256);
    for (int i = 0; i < 256; i++)
        assert_int_equal(seen[i], 1);
    char out[16];
    size_t len;
    assert_true(model_vocab_unmap("\xc4\xa0the\xc4\x8a", 7, out, &len)); /* U+0120 is a blank, U+010A a newline */
    assert_int_equal(len, 5);
    assert_memory_equal(out, " the\n", 5);
    assert_false(model_vocab_unmap("a b", 3, out, &len));
    assert_false(model_vocab_unmap("\xff", 1, out, &len));
    assert_true(model_vocab_unmap("", 0, out, &len));
    assert_int_equal(len, 0);
}

static int try_vocab(struct vocab *vocab, enum vocab_kind kind, const char *const *tokens, const int32_t *types,
                     size_t n)
{
    struct gguf_writer w = GGUF_WRITER_INIT;
    struct base_buf bytes = {0};
    struct gguf *gguf;
    gguf_writer_strings(&w, "tokenizer.ggml.tokens", tokens, n);
    gguf_writer_i32s(&w, "tokenizer.ggml.token_type", types, n);
    gguf_writer_header(&w, &bytes);
    gguf_writer_finish(&w);
    assert_int_equal(model_gguf_open_memory(bytes.data, bytes.len, "vocab.gguf", &gguf), PR_OK);
    int err = model_vocab_init(vocab, gguf, kind);
    model_gguf_close(gguf);
    base_buf_finish(&bytes);
    return err;
}

static void open_vocab(struct vocab *vocab, enum vocab_kind kind, const char *const *tokens, const int32_t *types,
                       size_t n)
{
    assert_int_equal(try_vocab(vocab, kind, tokens, types, n), PR_OK);
}

static void finds_words_and_added_tokens(void **state)
{
    (void)state;
    static const char *const tokens[] = {"a", "ab", "\xc4\xa0", "<c>", "<c><u>", "<u>", "<", "x"};
    static const int32_t types[] = {1, 1, 1, 3, 3, 4, 4, 5};
    struct vocab v;
    size_t len;
    open_vocab(&v, VOCAB_BYTE_LEVEL, tokens, types, 8);
    assert_int_equal(model_vocab_word(&v, "ab", 2), 1);
    assert_int_equal(model_vocab_word(&v, " ", 1), 2);
    assert_int_equal(model_vocab_word(&v, "abc", 3), -1);
    assert_int_equal(model_vocab_word(&v, "", 0), -1);
    assert_int_equal(model_vocab_word(&v, "<c>", 3), -1); /* added tokens are no words, nor are unused ones */
    assert_int_equal(model_vocab_word(&v, "x", 1), -1);
    assert_int_equal(model_vocab_added(&v, "<c>", 3), 3);
    assert_int_equal(model_vocab_added(&v, "a", 1), -1);
    assert_int_equal(v.byte_id['a'], 0);
    assert_int_equal(v.byte_id[' '], 2);
    assert_int_equal(v.byte_id['x'], -1);

    static const char text[] = "<c><u>";
    assert_int_equal(model_vocab_added_at(&v, text, 6, 6, &len), 4);
    assert_int_equal(len, 6);
    assert_int_equal(model_vocab_added_at(&v, text, 6, 5, &len), 3); /* the longer one ends too late */
    assert_int_equal(len, 3);
    assert_int_equal(model_vocab_added_at(&v, text, 6, 0, &len), 6); /* no control tokens */
    assert_int_equal(len, 1);
    assert_int_equal(model_vocab_added_at(&v, text + 3, 3, 0, &len), 5);
    assert_int_equal(model_vocab_added_at(&v, text + 3, 2, 0, &len), 6);
    assert_int_equal(model_vocab_added_at(&v, "a", 1, 1, &len), -1);
    assert_int_equal(model_vocab_added_at(&v, "", 0, 0, &len), -1);
    model_vocab_finish(&v);
}

static void sentencepiece_texts(void **state)
{
    (void)state;
    static const char *const tokens[] = {"\xe2\x96\x81\x61\xe2\x96\x81", "<0x0a>", "<0xFF>", "\xc4\xa0"};
    static const int32_t types[] = {1, 6, 6, 1};
    struct vocab v;
    size_t len;
    open_vocab(&v, VOCAB_SENTENCEPIECE, tokens, types, 4);
    assert_memory_equal(model_vocab_bytes(&v, 0, &len), " a ", 3);
    assert_int_equal(len, 3);
    assert_int_equal(v.byte_id['\n'], 1);
    assert_int_equal(v.byte_id[0xff], 2);
    assert_int_equal(v.byte_id['a'], -1);
    assert_memory_equal(model_vocab_bytes(&v, 3, &len), "\xc4\xa0", 2); /* a letter here, not the GPT-2 alphabet */
    assert_int_equal(model_vocab_word(&v, "\n", 1), -1);
    model_vocab_finish(&v);
}

/* The hash of bytes as vocab.c has it, to make tokens that all fall into one place. */
static size_t place_of(const char *bytes, size_t mask)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *bytes; bytes++)
        hash = (hash ^ (uint8_t)*bytes) * 0x100000001b3u;
    return (size_t)((hash ^ hash >> 29) * 0xbf58476d1ce4e5b9u >> 20) & mask;
}

static void crowded_tokens_are_refused(void **state)
{
    (void)state;
    enum { TOKENS = 128, SLOTS = 256 };
    static char texts[TOKENS][12];
    const char *tokens[TOKENS];
    int32_t types[TOKENS];
    struct vocab v;
    for (int crowded = 0; crowded < 2; crowded++)
        for (int type = TOKEN_NORMAL; type <= TOKEN_USER_DEFINED; type += TOKEN_USER_DEFINED - TOKEN_NORMAL) {
            for (int i = 0, number = 0; i < TOKENS; i++) {
                do
                    snprintf(texts[i], sizeof texts[i], "%d", number++);
                while (crowded && place_of(texts[i], SLOTS - 1) > 3);
                tokens[i] = texts[i];
                types[i] = type;
            }
            int err = try_vocab(&v, VOCAB_BYTE_LEVEL, tokens, types, TOKENS);
            assert_int_equal(err, crowded ? PR_ERR_FORMAT : PR_OK);
            if (crowded)
                assert_non_null(strstr(pr_error_message(), "vocab.gguf: its tokens are made to be slow"));
            else
                model_vocab_finish(&v);
        }
}

static void end_texts(void **state)
{
    (void)state;
    assert_true(model_vocab_is_end_text("<|im_end|>", 10));
    assert_true(model_vocab_is_end_text("</s>", 4));
    assert_false(model_vocab_is_end_text("<|im_start|>", 12));
    assert_false(model_vocab_is_end_text("<|im_end|>", 9));
    assert_false(model_vocab_is_end_text("", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_alphabet_has_every_byte_once),
        cmocka_unit_test(finds_words_and_added_tokens),
        cmocka_unit_test(sentencepiece_texts),
        cmocka_unit_test(crowded_tokens_are_refused),
        cmocka_unit_test(end_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
