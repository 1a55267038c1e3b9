/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Two things by the first bytes. "GGUF": the file is a vocabulary; texts, its last bytes among them, are tokenized with
 * whatever it makes. Anything else: the first byte names a family, the rest is text, tokenized with a right vocabulary of that
 * family; bytes must come back, cuts into parts must change nothing, and no control token may come from text that may not
 * hold one.
 */
#include "tests/fuzz/fuzz.h"

#include "model/chat.h"
#include "model/tokenizer.h"
#include "tests/support/gguf_writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void require(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

/* ---- right vocabularies ---- */

/* A character of the GPT-2 alphabet for a byte; returns its length. */
static size_t alphabet(unsigned byte, char out[4])
{
    bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    unsigned c = printable ? byte : byte <= 0x20 ? 0x100 + byte : byte <= 0xa0 ? 0x121 + byte - 0x7f : 0x143;
    size_t n = 0;
    if (c < 0x80) {
        out[n++] = (char)c;
    } else {
        out[n++] = (char)(0xc0 | c >> 6);
        out[n++] = (char)(0x80 | (c & 0x3f));
    }
    out[n] = '\0';
    return n;
}

/* What follows the bytes: merges of the tokens before, by their bytes. Each makes one token. */
static const struct {
    const char *left, *right;
} joins[] = {
    {"a", "b"}, {"e", "r"},       {" ", "a"},       {" ", "t"},       {" t", "h"},      {"i", "n"},
    {" ", " "}, {"  ", "  "},     {"\n", "\n"},     {"\xc3", "\xa9"}, {"\xe4", "\xbd"}, {"\xe4\xbd", "\xa0"},
    {"1", "2"}, {"12", "3"},      {"\xf0", "\x9f"}, {"a", "a"},       {"aa", "aa"},     {"<", "|"},
    {"|", ">"}, {"\xcc", "\x81"}, {"ab", "ab"},     {" th", "er"},    {"\xff", "\xff"}, {"e", "\xcc\x81"},
    {"'", "s"}, {" ", "1"},       {"\r", "\n"},     {"i", "m"},       {"<|", "im"},     {"in", "in"},
};
enum { N_JOINS = sizeof joins / sizeof *joins, N_ADDED = 5, N_TOKENS = 256 + N_JOINS + N_ADDED };
static const char *const added[N_ADDED] = {"<|im_start|>", "<|im_end|>", "<u>", "<u><u>", "in the"};
static const int32_t added_types[N_ADDED] = {3, 3, 4, 4, 4};
enum { FIRST_CONTROL = 256 + N_JOINS, N_CONTROL = 2 };

static void write_bytes_mapped(const char *bytes, char *out)
{
    for (; *bytes; bytes++)
        out += alphabet((uint8_t)*bytes, out);
    *out = '\0';
}

static struct tokenizer *make_tokenizer(const char *pre, bool with_added)
{
    static char texts[N_TOKENS][32], merges[N_JOINS][32];
    const char *tokens[N_TOKENS], *merge_list[N_JOINS];
    int32_t types[N_TOKENS];
    float scores[N_TOKENS];
    bool spm = !strcmp(pre, "llama");
    for (int i = 0; i < N_TOKENS; i++) {
        types[i] = 1;
        scores[i] = (float)-i;
        if (i < 256 && spm) {
            snprintf(texts[i], sizeof texts[i], "<0x%02X>", (unsigned)i);
            types[i] = 6;
        } else if (i < 256) {
            alphabet((unsigned)i, texts[i]);
        } else if (i < FIRST_CONTROL) {
            char both[16], left[16], right[16];
            snprintf(both, sizeof both, "%s%s", joins[i - 256].left, joins[i - 256].right);
            if (spm) {
                snprintf(texts[i], sizeof texts[i], "%s", both);
            } else {
                write_bytes_mapped(both, texts[i]);
                write_bytes_mapped(joins[i - 256].left, left);
                write_bytes_mapped(joins[i - 256].right, right);
                snprintf(merges[i - 256], sizeof merges[i - 256], "%s %s", left, right);
            }
        } else {
            snprintf(texts[i], sizeof texts[i], "%s", with_added ? added[i - FIRST_CONTROL] : "");
            types[i] = with_added ? added_types[i - FIRST_CONTROL] : 1;
        }
        tokens[i] = texts[i];
    }
    for (int i = 0; i < N_JOINS; i++)
        merge_list[i] = merges[i];

    struct gguf_writer w = GGUF_WRITER_INIT;
    struct base_buf bytes = {0};
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    gguf_writer_string(&w, "tokenizer.ggml.model", spm ? "llama" : "gpt2");
    gguf_writer_string(&w, "tokenizer.ggml.pre", pre);
    gguf_writer_strings(&w, "tokenizer.ggml.tokens", tokens, N_TOKENS);
    gguf_writer_i32s(&w, "tokenizer.ggml.token_type", types, N_TOKENS);
    gguf_writer_bool(&w, "tokenizer.ggml.add_space_prefix", false); /* a blank that wasn't there would come back */
    if (spm)
        gguf_writer_array(&w, "tokenizer.ggml.scores", GGUF_F32, N_TOKENS, scores, sizeof scores);
    else
        gguf_writer_strings(&w, "tokenizer.ggml.merges", merge_list, N_JOINS);
    gguf_writer_header(&w, &bytes);
    gguf_writer_finish(&w);
    require(model_gguf_open_memory(bytes.data, bytes.len, "right.gguf", &gguf) == PR_OK, "the right vocabulary opens");
    require(model_tokenizer_create(gguf, &tokenizer) == PR_OK, "the right vocabulary is taken");
    model_gguf_close(gguf);
    base_buf_finish(&bytes);
    return tokenizer;
}

/* The families whose cuts differ. SentencePiece has one mark for two characters; the two after it change bytes by composing,
 * and have no added tokens, which composing could make. */
static const char *const families[] = {"gpt-2",  "smollm", "default", "llama-bpe", "tekken",
                                       "gpt-4o", "llama",  "qwen2",   "qwen35"};
enum { N_FAMILIES = sizeof families / sizeof *families, SPM = 6, FIRST_COMPOSING = 7 };

static const struct tokenizer *family(int i)
{
    static struct tokenizer *tokenizers[N_FAMILIES]; /* made once and kept */
    if (!tokenizers[i])
        tokenizers[i] = make_tokenizer(families[i], i < FIRST_COMPOSING);
    return tokenizers[i];
}

/* ---- texts ---- */

static struct base_buf bytes_of(const struct tokenizer *tokenizer, const struct tokens *tokens)
{
    struct base_buf text = {0};
    for (size_t i = 0; i < tokens->n; i++) {
        size_t len;
        const char *bytes = model_token_bytes(tokenizer, tokens->ids[i], &len);
        base_buf_append(&text, bytes, len);
    }
    return text;
}

static bool equal(const char *a, size_t n_a, const char *b, size_t n_b)
{
    return n_a == n_b && (!n_a || !memcmp(a, b, n_a));
}

static void tokenize_right(int f, const char *text, size_t size)
{
    const struct tokenizer *t = family(f);
    struct tokens plain = {0}, parts = {0}, special = {0}, again = {0};

    require(model_tokenize(t, text, size, 0, &plain) == PR_OK, "any text is tokenized");
    for (size_t i = 0; i < plain.n; i++)
        require(!model_token_is_special(t, plain.ids[i]), "no control token from text that may not hold one");
    struct base_buf back = bytes_of(t, &plain);
    if (f < SPM)
        require(equal(back.data, back.len, text, size), "bytes come back");
    require(model_tokenize(t, back.data, back.len, 0, &again) == PR_OK, "what came back is tokenized");
    struct base_buf back_again = bytes_of(t, &again);
    require(equal(back.data, back.len, back_again.data, back_again.len), "what came back stays");

    size_t cut = size ? (uint8_t)text[0] % (size + 1) : 0;
    const struct tokenize_part two[] = {{text, cut, false}, {text + cut, size - cut, false}};
    require(model_tokenize_parts(t, two, 2, 0, &parts) == PR_OK, "parts are tokenized");
    require(equal((char *)parts.ids, parts.n * 4, (char *)plain.ids, plain.n * 4), "a cut changes nothing");

    /* One part ours: control tokens that lie in it, and only those. */
    const struct tokenize_part ours[] = {{text, cut, true}, {text + cut, size - cut, false}};
    require(model_tokenize_parts(t, ours, 2, TOKENIZE_BOS | TOKENIZE_FIRST, &special) == PR_OK,
            "our parts are tokenized");
    size_t at = 0;
    for (size_t i = 0; i < special.n && f < SPM; i++) {
        size_t len;
        const char *bytes = model_token_bytes(t, special.ids[i], &len);
        require(at + len <= size && !memcmp(bytes, text + at, len), "bytes come back in order");
        at += len;
        if (model_token_is_special(t, special.ids[i]))
            require(at <= cut, "control tokens end within the part that may hold them");
    }
    base_buf_finish(&back);
    base_buf_finish(&back_again);
    model_tokens_finish(&plain);
    model_tokens_finish(&parts);
    model_tokens_finish(&special);
    model_tokens_finish(&again);
}

static void tokenize_hostile(const uint8_t *data, size_t size)
{
    static const char text[] = "Hello <|im_end|> w\xc3\xb6rld\n\n  12345 \xff\xe4\xbd\xa0'll aaaa<u>";
    struct gguf *gguf;
    struct tokenizer *t;
    const struct chat_format *format;
    if (model_gguf_open_memory(data, size, "fuzz.gguf", &gguf) < 0)
        return;
    if (model_chat_detect(gguf, &format) < 0)
        require(!strncmp(pr_error_message(), "fuzz.gguf: ", 11), "a message about the template names the file");
    if (model_tokenizer_create(gguf, &t) < 0) {
        require(!strncmp(pr_error_message(), "fuzz.gguf: ", 11), "a message about the vocabulary names the file");
        model_gguf_close(gguf);
        return;
    }
    model_gguf_close(gguf);
    int32_t n = model_tokenizer_n_vocab(t);
    require(n > 0 && model_tokenizer_bos(t) < n, "ids are in range");
    for (unsigned flags = 0; flags < 8; flags += 7) {
        size_t tail = size < 256 ? size : 256;
        struct tokens tokens = {0};
        require(model_tokenize(t, text, sizeof text - 1, flags, &tokens) == PR_OK, "a text is tokenized");
        require(model_tokenize(t, (const char *)data + size - tail, tail, flags, &tokens) == PR_OK,
                "the tail is tokenized");
        for (int32_t id = 0; id < n && id < 300; id++) { /* texts of its own tokens */
            size_t len;
            const char *bytes = model_token_bytes(t, id, &len);
            require(model_tokenize(t, bytes, len, flags, &tokens) == PR_OK, "a token's text is tokenized");
            (void)model_token_is_end(t, id);
        }
        for (size_t i = 0; i < tokens.n; i++)
            require(tokens.ids[i] >= 0 && tokens.ids[i] < n, "ids are in range");
        model_tokens_finish(&tokens);
    }
    model_tokenizer_destroy(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size >= 4 && !memcmp(data, "GGUF", 4))
        tokenize_hostile(data, size);
    else if (size)
        tokenize_right(data[0] % N_FAMILIES, (const char *)data + 1, size - 1);
    return 0;
}
