/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/tokenizer.h"

#include "model/vocab.h"
#include "tests/support/gguf_writer.h"
#include "tests/support/golden_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define GOLDEN "tests/golden/tokenizer/"

static void check(int err)
{
    if (err < 0)
        fail_msg("%s: %s", pr_error_name(err), pr_error_message());
}

/* ---- vocabularies ---- */

static struct tokenizer *open_vocab(const char *path)
{
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    check(model_gguf_open(path, &gguf));
    check(model_tokenizer_create(gguf, &tokenizer));
    model_gguf_close(gguf);
    return tokenizer;
}

/* The tokenizer of the file that `w` describes; finishes w. */
static int open_writer(struct gguf_writer *w, struct tokenizer **out)
{
    struct base_buf bytes = {0};
    struct gguf *gguf;
    *out = NULL;
    gguf_writer_header(w, &bytes);
    gguf_writer_finish(w);
    check(model_gguf_open_memory(bytes.data, bytes.len, "vocab.gguf", &gguf));
    int err = model_tokenizer_create(gguf, out);
    model_gguf_close(gguf);
    base_buf_finish(&bytes);
    return err;
}

static void assert_refused(struct gguf_writer *w, int error, const char *words)
{
    struct tokenizer *tokenizer;
    int err = open_writer(w, &tokenizer);
    if (err != error || strncmp(pr_error_message(), "vocab.gguf: ", 12) != 0 || !strstr(pr_error_message(), words))
        fail_msg("%s: %s, not %s: ... %s ...", pr_error_name(err), pr_error_message(), pr_error_name(error), words);
    model_tokenizer_destroy(tokenizer);
}

static void write_types(struct gguf_writer *w, const int32_t *types, size_t n)
{
    gguf_writer_i32s(w, "tokenizer.ggml.token_type", types, n);
}

/* A byte-level vocabulary of a few letters. */
static struct gguf_writer small_bpe(void)
{
    static const char *const tokens[] = {"a",          "b",   "c",   "ab", "abc", "\xc4\xa0", "\xc4\xa0\x61",
                                         "<|im_end|>", "<u>", "<uu>"};
    static const int32_t types[] = {1, 1, 1, 1, 1, 1, 1, 3, 4, 4};
    static const char *const merges[] = {"a b", "ab c", "\xc4\xa0 a"};
    struct gguf_writer w = GGUF_WRITER_INIT;
    gguf_writer_string(&w, "general.architecture", "llama");
    gguf_writer_string(&w, "tokenizer.ggml.model", "gpt2");
    gguf_writer_string(&w, "tokenizer.ggml.pre", "gpt-2");
    gguf_writer_strings(&w, "tokenizer.ggml.tokens", tokens, 10);
    write_types(&w, types, 10);
    gguf_writer_strings(&w, "tokenizer.ggml.merges", merges, 3);
    return w;
}

/* ---- tokens and texts ---- */

static struct tokens tokenize(const struct tokenizer *tokenizer, const char *text, size_t len, unsigned flags)
{
    struct tokens tokens = {0};
    check(model_tokenize(tokenizer, text, len, flags, &tokens));
    return tokens;
}

static struct base_buf text_of(const struct tokenizer *tokenizer, const struct tokens *tokens)
{
    struct base_buf text = {0};
    for (size_t i = 0; i < tokens->n; i++) {
        size_t len;
        const char *bytes = model_token_bytes(tokenizer, tokens->ids[i], &len);
        base_buf_append(&text, bytes, len);
    }
    return text;
}

static void assert_ids(const struct tokenizer *tokenizer, const char *text, unsigned flags, const char *expected)
{
    struct tokens tokens = tokenize(tokenizer, text, strlen(text), flags);
    struct base_buf list = {0};
    base_buf_puts(&list, "");
    for (size_t i = 0; i < tokens.n; i++)
        base_buf_printf(&list, "%s%d", i ? " " : "", tokens.ids[i]);
    if (strcmp(list.data, expected) != 0)
        fail_msg("\"%s\" is %s, not %s", text, list.data, expected);
    base_buf_finish(&list);
    model_tokens_finish(&tokens);
}

/* ---- equal to Hugging Face tokenizers ---- */

static void print_text(const char *what, const struct base_buf *text)
{
    print_error("%s", what);
    for (size_t i = 0; i < text->len && i < 200; i++)
        print_error(text->data[i] >= 0x20 && text->data[i] < 0x7f ? "%c" : "\\x%02x", (uint8_t)text->data[i]);
    print_error("\n");
}

/* True if the ids of one text are right. */
static bool check_text(const struct tokenizer *tokenizer, const struct base_buf *text, bool special, bool gives_back,
                       const cJSON *expected)
{
    struct tokens tokens =
        tokenize(tokenizer, text->data, text->len, TOKENIZE_FIRST | (special ? TOKENIZE_SPECIAL : 0));
    bool right = true;
    if (cJSON_IsArray(expected)) {
        size_t n = 0;
        for (const cJSON *id = expected->child; id; id = id->next, n++)
            right = right && n < tokens.n && tokens.ids[n] == id->valueint;
        right = right && n == tokens.n;
    }
    if (!right) {
        print_text("text:     ", text);
        char *ids = cJSON_PrintUnformatted(expected);
        print_error("expected: %s\ngot:     ", ids);
        free(ids);
        for (size_t i = 0; i < tokens.n; i++)
            print_error(" %d", tokens.ids[i]);
        print_error("\n");
    }
    struct base_buf back = text_of(tokenizer, &tokens);
    if (gives_back && (back.len != text->len || (text->len && memcmp(back.data, text->data, text->len)))) {
        print_text("text:     ", text);
        print_text("comes back as ", &back);
        right = false;
    }
    for (size_t i = 0; i < tokens.n && !special; i++)
        if (model_token_is_special(tokenizer, tokens.ids[i]) && !cJSON_IsArray(expected)) {
            print_text("a control token from ", text);
            right = false;
        }
    base_buf_finish(&back);
    model_tokens_finish(&tokens);
    return right;
}

static bool is_in(const cJSON *list, int value)
{
    for (const cJSON *item = list->child; item; item = item->next)
        if (item->valueint == value)
            return true;
    return false;
}

/* gives_back: the bytes come back, which SentencePiece (a blank in front) and vocabularies without some bytes don't do. */
static void check_golden(const char *name, const char *vocab_path, bool gives_back)
{
    char path[256];
    snprintf(path, sizeof path, GOLDEN "%s.json", name);
    cJSON *golden = golden_json(path), *texts = golden_json(GOLDEN "texts.json");
    const cJSON *ids = golden_get(golden, "ids")->child, *composed = golden_get(golden, "composed");
    struct tokenizer *tokenizer = open_vocab(vocab_path);
    int wrong = 0, i = 0;
    for (const cJSON *text = texts->child; text; text = text->next, ids = ids->next, i++) {
        struct base_buf bytes = {0};
        assert_non_null(ids);
        golden_base64(golden_text(text, "text"), &bytes);
        bool special = cJSON_IsTrue(golden_get(text, "special"));
        wrong += !check_text(tokenizer, &bytes, special, gives_back && !is_in(composed, i), ids);
        base_buf_finish(&bytes);
    }
    assert_null(ids);
    assert_int_equal(wrong, 0);
    assert_true(i > 200);

    const cJSON *bos = golden_get(golden, "bos");
    struct tokens tokens = tokenize(tokenizer, "a", 1, TOKENIZE_BOS | TOKENIZE_FIRST);
    if (cJSON_IsNumber(bos))
        assert_int_equal(tokens.ids[0], bos->valueint);
    else
        assert_int_not_equal(tokens.ids[0], model_tokenizer_bos(tokenizer));
    model_tokens_finish(&tokens);
    model_tokenizer_destroy(tokenizer);
    cJSON_Delete(golden);
    cJSON_Delete(texts);
}

static void ids_equal_hugging_face(void **state)
{
    (void)state;
    static const char *const names[] = {"bpe-gpt-2", "bpe-smollm", "bpe-default", "bpe-llama-bpe",
                                        "bpe-qwen2", "bpe-qwen35", "spm"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[256];
        snprintf(path, sizeof path, GOLDEN "%s.gguf", names[i]);
        check_golden(names[i], path, strcmp(names[i], "spm") != 0);
    }
}

/* Real vocabularies are too large to keep here: PAGEREEL_VOCABS names the folders (separated by ':') with the files that
 * tests/golden/README.md lists. */
static void ids_equal_hugging_face_with_real_vocabularies(void **state)
{
    (void)state;
    static const char *const names[] = {"smollm2", "gpt-2", "llama3", "qwen2", "llama2"};
    const char *folders = getenv("PAGEREEL_VOCABS");
    int found = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names && folders; i++) {
        char path[512];
        snprintf(path, sizeof path, GOLDEN "%s.json", names[i]);
        cJSON *golden = golden_json(path);
        for (const char *folder = folders; *folder;) {
            size_t len = strcspn(folder, ":");
            snprintf(path, sizeof path, "%.*s/%s", (int)len, folder, golden_text(golden, "vocab"));
            if (access(path, R_OK) == 0) {
                check_golden(names[i], path, strcmp(names[i], "llama2") != 0 && strcmp(names[i], "smollm2") != 0);
                found++;
            }
            folder += len + (folder[len] == ':');
        }
        cJSON_Delete(golden);
    }
    print_message("%s%d real vocabularies%s\n", found ? "" : "skipped: ", found,
                  folders ? "" : ": PAGEREEL_VOCABS isn't set");
    if (!found)
        skip();
}

/* ---- added tokens, parts, bos ---- */

static void added_tokens_are_cut_first(void **state)
{
    (void)state;
    struct gguf_writer w = small_bpe();
    struct tokenizer *t;
    check(open_writer(&w, &t));
    assert_ids(t, "abc", 0, "4");
    assert_ids(t, " abc a", 0, "5 4 6");
    assert_ids(t, "ab<uu>c", 0, "3 9 2");    /* the longest of two that fit */
    assert_ids(t, "ab<u>c", 0, "3 8 2");     /* user-defined ones always */
    assert_ids(t, "a<|im_end|>b", 0, "0 1"); /* control ones only where we may; < and the others have no token */
    assert_ids(t, "a<|im_end|>b", TOKENIZE_SPECIAL, "0 7 1");
    assert_ids(t, "<|im_end|><|im_end|>", TOKENIZE_SPECIAL, "7 7");
    assert_ids(t, "", TOKENIZE_SPECIAL, "");
    model_tokenizer_destroy(t);
}

static void parts_are_one_text(void **state)
{
    (void)state;
    struct gguf_writer w = small_bpe();
    struct tokenizer *t;
    struct tokens tokens = {0};
    check(open_writer(&w, &t));
    const struct tokenize_part parts[] = {
        {"<|im_end|>a", 11, true}, {"", 0, false},  {"bc<|im", 6, false}, {"_end|>", 6, true},
        {"<|im_end|>", 10, false}, {"<u", 2, true}, {"u>", 2, false}};
    check(model_tokenize_parts(t, parts, 7, 0, &tokens));
    /* "abc" is one word over the border; a control token doesn't stretch over one and isn't found in the user's part. The
     * letters of "<|im_end|>" have no tokens here. */
    assert_int_equal(tokens.n, 3);
    assert_int_equal(tokens.ids[0], 7);
    assert_int_equal(tokens.ids[1], 4);
    assert_int_equal(tokens.ids[2], 9);
    model_tokens_finish(&tokens);
    check(model_tokenize_parts(t, NULL, 0, 0, &tokens));
    check(model_tokenize_parts(t, parts + 1, 1, 0, &tokens));
    assert_int_equal(tokens.n, 0);
    model_tokens_finish(&tokens);
    model_tokenizer_destroy(t);
}

/* What pieces of a rendered chat become must be what the whole text becomes, whatever the cuts. */
static void parts_of_words_give_the_same_ids(void **state)
{
    (void)state;
    static const char *const vocabs[] = {GOLDEN "bpe-qwen2.gguf", GOLDEN "bpe-smollm.gguf", GOLDEN "spm.gguf"};
    static const char text[] = "User: Gr\xc3\xbc\xc3\x9f"
                               "e,  the answer<extra_long>s in 2024.\n\n\xe4\xbd\xa0\xe5\xa5\xbd e\xcc\x81!";
    for (size_t v = 0; v < 3; v++) {
        struct tokenizer *t = open_vocab(vocabs[v]);
        struct tokens whole = tokenize(t, text, strlen(text), TOKENIZE_FIRST);
        for (size_t a = 0; a <= strlen(text); a++) {
            size_t b = a + (a * 7) % (strlen(text) - a + 1);
            struct tokenize_part parts[] = {
                {text, a, false}, {text + a, b - a, true}, {text + b, strlen(text) - b, false}};
            struct tokens tokens = {0};
            check(model_tokenize_parts(t, parts, 3, TOKENIZE_FIRST, &tokens));
            assert_int_equal(tokens.n, whole.n);
            assert_memory_equal(tokens.ids, whole.ids, whole.n * sizeof *whole.ids);
            model_tokens_finish(&tokens);
        }
        model_tokens_finish(&whole);
        model_tokenizer_destroy(t);
    }
}

static void bos_comes_once(void **state)
{
    (void)state;
    struct gguf_writer w = small_bpe();
    struct tokenizer *t;
    gguf_writer_u32(&w, "tokenizer.ggml.bos_token_id", 7);
    gguf_writer_bool(&w, "tokenizer.ggml.add_bos_token", true);
    check(open_writer(&w, &t));
    assert_int_equal(model_tokenizer_bos(t), 7);
    assert_ids(t, "a", TOKENIZE_BOS, "7 0");
    assert_ids(t, "a", 0, "0");
    assert_ids(t, "", TOKENIZE_BOS, "7");
    assert_ids(t, "<|im_end|>a", TOKENIZE_BOS | TOKENIZE_SPECIAL, "7 0");
    assert_ids(t, "<|im_end|>a", TOKENIZE_BOS, "7 0"); /* its letters have no tokens */
    struct tokens tokens = {0};
    check(model_tokenize(t, "b", 1, TOKENIZE_BOS, &tokens));
    check(model_tokenize(t, "<|im_end|>c", 11, TOKENIZE_BOS | TOKENIZE_SPECIAL, &tokens)); /* appends */
    static const int32_t expected[] = {7, 1, 7, 2};
    assert_int_equal(tokens.n, 4);
    assert_memory_equal(tokens.ids, expected, sizeof expected);
    model_tokens_finish(&tokens);
    model_tokenizer_destroy(t);

    w = small_bpe(); /* byte-level without the key: none */
    gguf_writer_u32(&w, "tokenizer.ggml.bos_token_id", 7);
    check(open_writer(&w, &t));
    assert_ids(t, "a", TOKENIZE_BOS, "0");
    model_tokenizer_destroy(t);
}

static void end_and_special_tokens(void **state)
{
    (void)state;
    struct gguf_writer w = small_bpe();
    struct tokenizer *t;
    gguf_writer_u32(&w, "tokenizer.ggml.eot_token_id", 8);
    check(open_writer(&w, &t));
    assert_int_equal(model_tokenizer_n_vocab(t), 10);
    assert_true(model_token_is_end(t, 7)); /* by its text */
    assert_true(model_token_is_end(t, 8)); /* by its key */
    assert_false(model_token_is_end(t, 0));
    assert_false(model_token_is_end(t, -1));
    assert_false(model_token_is_end(t, 10));
    assert_true(model_token_is_special(t, 7));
    assert_false(model_token_is_special(t, 8));
    assert_false(model_token_is_special(t, 0));
    assert_false(model_token_is_special(t, 10));
    assert_int_equal(model_token_find(t, "<|im_end|>"), 7);
    assert_int_equal(model_token_find(t, " a"), 6);
    assert_int_equal(model_token_find(t, "zz"), -1);
    assert_int_equal(model_token_find(t, ""), -1);
    size_t len = 1;
    assert_non_null(model_token_bytes(t, 10, &len));
    assert_int_equal(len, 0);
    model_token_bytes(t, -1, &len);
    assert_int_equal(len, 0);
    assert_memory_equal(model_token_bytes(t, 7, &len), "<|im_end|>", 10);
    assert_int_equal(len, 10);
    model_tokenizer_destroy(t);
}

/* Some files call control tokens user-defined or normal: text of the user's must not become them all the same. */
static void control_tokens_of_the_wrong_type(void **state)
{
    (void)state;
    static const char *const tokens[] = {"<", "|", "im_end", ">", "<|", "<|im_end|>", "</s>"};
    static const int32_t user_defined[] = {1, 1, 1, 1, 1, 4, 1};
    static const char *const merges[] = {"< |"};
    for (int with_types = 0; with_types < 2; with_types++) {
        struct gguf_writer w = GGUF_WRITER_INIT;
        struct tokenizer *t;
        gguf_writer_string(&w, "tokenizer.ggml.model", "gpt2");
        gguf_writer_string(&w, "tokenizer.ggml.pre", "qwen2");
        gguf_writer_strings(&w, "tokenizer.ggml.tokens", tokens, 7);
        if (with_types)
            write_types(&w, user_defined, 7);
        gguf_writer_strings(&w, "tokenizer.ggml.merges", merges, 1);
        check(open_writer(&w, &t));
        assert_ids(t, "<|im_end|>", 0, "4 1 3");
        assert_ids(t, "<|im_end|>", TOKENIZE_SPECIAL, "5");
        assert_true(model_token_is_special(t, 5));
        assert_true(model_token_is_end(t, 5));
        assert_int_equal(model_token_is_special(t, 6), !with_types); /* a tag of HTML, if the file says so */
        model_tokenizer_destroy(t);
    }
}

/* ---- SentencePiece ---- */

#define BLANK "\xe2\x96\x81"

static struct gguf_writer small_spm(void)
{
    static const char *const tokens[] = {"<unk>",   "<s>", "</s>",     BLANK,    "a",     "b",
                                         BLANK "a", "ab",  BLANK "ab", "<0xC3>", "<0xA9>"};
    static const int32_t types[] = {2, 3, 3, 1, 1, 1, 1, 1, 1, 6, 6};
    static const float scores[] = {0, 0, 0, -5, -6, -7, -2, -1, -3, 0, 0};
    struct gguf_writer w = GGUF_WRITER_INIT;
    gguf_writer_string(&w, "general.architecture", "llama");
    gguf_writer_string(&w, "tokenizer.ggml.model", "llama");
    gguf_writer_strings(&w, "tokenizer.ggml.tokens", tokens, 11);
    write_types(&w, types, 11);
    gguf_writer_array(&w, "tokenizer.ggml.scores", GGUF_F32, 11, scores, sizeof scores);
    return w;
}

static void sentencepiece(void **state)
{
    (void)state;
    struct gguf_writer w = small_spm();
    struct tokenizer *t;
    check(open_writer(&w, &t));
    assert_ids(t, "ab", TOKENIZE_FIRST, "8");
    assert_ids(t, "ab", 0, "7");
    assert_ids(t, "ab", TOKENIZE_FIRST | TOKENIZE_BOS, "1 8");
    assert_ids(t, "ab", TOKENIZE_BOS, "1 7");
    assert_ids(t, "<s>ab", TOKENIZE_BOS | TOKENIZE_FIRST | TOKENIZE_SPECIAL, "1 8");
    assert_ids(t, "ab</s>ab", TOKENIZE_SPECIAL, "7 2 8"); /* a blank in front after every added token */
    assert_ids(t, "a ab", 0, "4 8");
    assert_ids(t, "a" BLANK "ab", 0, "4 8"); /* the mark itself is a blank */
    assert_ids(t, "a\xc3\xa9", 0, "4 9 10"); /* falls back to bytes */
    assert_ids(t, "axyb", 0, "4 0 5");       /* bytes that have none: one unknown token */
    assert_ids(t, "\xc3", 0, "9");           /* a stray byte */
    assert_ids(t, "<0xC3>", 0, "0");         /* the name of a byte token is text */
    assert_ids(t, "", TOKENIZE_FIRST | TOKENIZE_BOS, "1");
    size_t len;
    assert_memory_equal(model_token_bytes(t, 8, &len), " ab", 3);
    assert_int_equal(len, 3);
    assert_memory_equal(model_token_bytes(t, 9, &len), "\xc3", 1);
    assert_int_equal(len, 1);
    assert_true(model_token_is_end(t, 2));
    model_tokenizer_destroy(t);

    w = small_spm();
    gguf_writer_bool(&w, "tokenizer.ggml.add_space_prefix", false);
    gguf_writer_bool(&w, "tokenizer.ggml.add_bos_token", false);
    check(open_writer(&w, &t));
    assert_ids(t, "ab", TOKENIZE_FIRST | TOKENIZE_BOS, "7");
    model_tokenizer_destroy(t);
}

/* ---- hostile files ---- */

static void bpe_of(struct gguf_writer *w, const char *const *tokens, size_t n, const char *const *merges,
                   size_t n_merges)
{
    *w = (struct gguf_writer)GGUF_WRITER_INIT;
    gguf_writer_string(w, "tokenizer.ggml.model", "gpt2");
    if (tokens)
        gguf_writer_strings(w, "tokenizer.ggml.tokens", tokens, n);
    if (merges)
        gguf_writer_strings(w, "tokenizer.ggml.merges", merges, n_merges);
}

static void damaged_vocabularies_are_refused(void **state)
{
    (void)state;
    static const char *const tokens[] = {"a", "b", "ab"}, *const merges[] = {"a b"};
    static const int32_t types[] = {1, 1, 1}, high_types[] = {1, 7, 1}, low_types[] = {1, -1, 1};
    struct gguf_writer w;

    bpe_of(&w, tokens, 3, NULL, 0);
    assert_refused(&w, PR_ERR_FORMAT, "has no tokenizer.ggml.merges");
    bpe_of(&w, tokens, 3, merges, 0);
    assert_refused(&w, PR_ERR_FORMAT, "has no tokenizer.ggml.merges");
    bpe_of(&w, NULL, 0, merges, 1);
    assert_refused(&w, PR_ERR_FORMAT, "has no tokenizer.ggml.tokens");
    bpe_of(&w, tokens, 0, merges, 1);
    assert_refused(&w, PR_ERR_FORMAT, "isn't a list of 1 to");

    static const char *const bad_merges[] = {"a c",  "c a", "b a", "a",     "",       " ",
                                             "a  b", "ab ", " ab", "a b c", "\xff b", "a b"};
    for (size_t i = 0; i + 1 < sizeof bad_merges / sizeof *bad_merges; i++) {
        bpe_of(&w, tokens, 3, &bad_merges[i], 1);
        assert_refused(&w, PR_ERR_FORMAT, "isn't two tokens that make a third");
    }

    bpe_of(&w, tokens, 3, merges, 1);
    write_types(&w, types, 2);
    assert_refused(&w, PR_ERR_FORMAT, "doesn't fit");
    bpe_of(&w, tokens, 3, merges, 1);
    write_types(&w, high_types, 3);
    assert_refused(&w, PR_ERR_FORMAT, "token 1 has the type 7");
    bpe_of(&w, tokens, 3, merges, 1);
    write_types(&w, low_types, 3);
    assert_refused(&w, PR_ERR_FORMAT, "token 1 has the type -1");
    bpe_of(&w, tokens, 3, merges, 1);
    gguf_writer_strings(&w, "tokenizer.ggml.token_type", tokens, 3);
    assert_refused(&w, PR_ERR_FORMAT, "doesn't fit");

    static const char *const ids[] = {"bos", "eos", "eot", "eom", "unknown"};
    for (size_t i = 0; i < 5; i++) {
        char key[64];
        snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", ids[i]);
        bpe_of(&w, tokens, 3, merges, 1);
        gguf_writer_u32(&w, key, 3);
        assert_refused(&w, PR_ERR_FORMAT, key);
    }
    bpe_of(&w, tokens, 3, merges, 1);
    gguf_writer_string(&w, "tokenizer.ggml.add_bos_token", "yes");
    assert_refused(&w, PR_ERR_FORMAT, "add_bos_token");
    bpe_of(&w, tokens, 3, merges, 1);
    gguf_writer_string(&w, "tokenizer.ggml.pre", "no-such");
    assert_refused(&w, PR_ERR_UNSUPPORTED, "\"no-such\"");
    bpe_of(&w, tokens, 3, merges, 1);
    gguf_writer_u32(&w, "tokenizer.ggml.pre", 1);
    assert_refused(&w, PR_ERR_FORMAT, "tokenizer.ggml.pre");
    w = (struct gguf_writer)GGUF_WRITER_INIT;
    gguf_writer_string(&w, "tokenizer.ggml.model", "bert");
    assert_refused(&w, PR_ERR_UNSUPPORTED, "\"bert\"");
    w = (struct gguf_writer)GGUF_WRITER_INIT;
    gguf_writer_string(&w, "general.architecture", "clip");
    assert_refused(&w, PR_ERR_FORMAT, "has no tokenizer");

    char long_token[VOCAB_MAX_ADDED + 2];
    memset(long_token, 'x', sizeof long_token - 1);
    long_token[sizeof long_token - 1] = '\0';
    const char *const with_long[] = {"a", long_token};
    static const int32_t long_types[] = {1, 4};
    bpe_of(&w, with_long, 2, merges, 1);
    write_types(&w, long_types, 2);
    assert_refused(&w, PR_ERR_FORMAT, "1025 bytes long");
}

static void damaged_sentencepiece_is_refused(void **state)
{
    (void)state;
    static const char *const tokens[] = {"<unk>", "a", "<0xZZ>"}, *const nothing_unknown[] = {"a", "b", "c"};
    static const int32_t types[] = {2, 1, 6};
    static const float scores[] = {0, -1, 0}, infinite[] = {0, -1.0f / 0.0f, 0};
    struct gguf_writer w = GGUF_WRITER_INIT;

    gguf_writer_string(&w, "tokenizer.ggml.model", "llama");
    gguf_writer_strings(&w, "tokenizer.ggml.tokens", tokens, 3);
    write_types(&w, types, 3);
    gguf_writer_array(&w, "tokenizer.ggml.scores", GGUF_F32, 3, scores, sizeof scores);
    assert_refused(&w, PR_ERR_FORMAT, "isn't <0xXX>");

    w = (struct gguf_writer)GGUF_WRITER_INIT;
    gguf_writer_string(&w, "tokenizer.ggml.model", "llama");
    gguf_writer_strings(&w, "tokenizer.ggml.tokens", tokens, 3);
    assert_refused(&w, PR_ERR_FORMAT, "has no tokenizer.ggml.scores");

    w = (struct gguf_writer)GGUF_WRITER_INIT;
    gguf_writer_string(&w, "tokenizer.ggml.model", "llama");
    gguf_writer_strings(&w, "tokenizer.ggml.tokens", tokens, 3);
    gguf_writer_array(&w, "tokenizer.ggml.scores", GGUF_F32, 2, scores, 8);
    assert_refused(&w, PR_ERR_FORMAT, "isn't one number for each token");

    w = (struct gguf_writer)GGUF_WRITER_INIT;
    gguf_writer_string(&w, "tokenizer.ggml.model", "llama");
    gguf_writer_strings(&w, "tokenizer.ggml.tokens", tokens, 3);
    gguf_writer_array(&w, "tokenizer.ggml.scores", GGUF_F32, 3, infinite, sizeof infinite);
    assert_refused(&w, PR_ERR_FORMAT, "isn't finite");

    static const int32_t none = -1;
    w = (struct gguf_writer)GGUF_WRITER_INIT;
    gguf_writer_string(&w, "tokenizer.ggml.model", "llama");
    gguf_writer_strings(&w, "tokenizer.ggml.tokens", nothing_unknown, 3);
    gguf_writer_array(&w, "tokenizer.ggml.scores", GGUF_F32, 3, scores, sizeof scores);
    gguf_writer_key(&w, "tokenizer.ggml.unknown_token_id", GGUF_I32, &none, 4);
    assert_refused(&w, PR_ERR_FORMAT, "0x00");
}

/* What is odd but harmless. */
static void duplicates_and_empty_tokens(void **state)
{
    (void)state;
    static const char *const tokens[] = {"a", "", "b", "a", "ab", "ab", "[PAD6]", "\xff\xfe", "<e>", "<e>", ""};
    static const int32_t types[] = {1, 1, 1, 1, 1, 1, 5, 1, 4, 3, 4};
    static const char *const merges[] = {"a b", "a b"};
    struct gguf_writer w;
    struct tokenizer *t;
    bpe_of(&w, tokens, 11, merges, 2);
    write_types(&w, types, 11);
    check(open_writer(&w, &t));
    assert_ids(t, "ababa", 0, "4 4 0");
    assert_ids(t, "<e>", 0, "8");
    size_t len;
    model_token_bytes(t, 1, &len);
    assert_int_equal(len, 0);
    assert_memory_equal(model_token_bytes(t, 7, &len), "\xff\xfe", 2); /* outside of the alphabet: as it is */
    assert_int_equal(len, 2);
    model_tokenizer_destroy(t);
}

/* ---- long texts ---- */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Each of these takes hours if anything is quadratic, and well under a second if nothing is. */
static void long_texts_take_linear_time(void **state)
{
    (void)state;
    enum { LENGTH = 1 << 20, LIMIT = 20 }; /* seconds of processor time: sanitizers and slow machines included */
    static const char *const vocabs[] = {"bpe-llama-bpe", "bpe-smollm", "spm"};
    static const char *const patterns[] = {"a",
                                           "A",
                                           " ",
                                           "\n",
                                           "7",
                                           "!",
                                           "\xcc\x81",
                                           "\xe4\xbd\xa0",
                                           "\xff",
                                           "ab",
                                           "Ab",
                                           " a",
                                           "\r\n",
                                           "<|im_start|>",
                                           "<extra",
                                           "The quick brown fox, 42 times;\n",
                                           "\xc3\xa9'll \xf0\x9f\x98\x80"};
    char *text = malloc(LENGTH);
    for (size_t v = 0; v < sizeof vocabs / sizeof *vocabs; v++) {
        char path[256];
        snprintf(path, sizeof path, GOLDEN "%s.gguf", vocabs[v]);
        struct tokenizer *t = open_vocab(path);
        for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
            size_t len = strlen(patterns[p]);
            for (size_t i = 0; i < LENGTH; i++)
                text[i] = patterns[p][i % len];
            double start = seconds();
            struct tokens tokens = tokenize(t, text, LENGTH, TOKENIZE_FIRST);
            double took = seconds() - start;
            if (took > LIMIT)
                fail_msg("%s: 1 MiB of \"%s\" took %.1f s", vocabs[v], patterns[p], took);
            if (took > 2)
                print_message("%s: 1 MiB of \"%s\" took %.1f s\n", vocabs[v], patterns[p], took);
            if (strcmp(vocabs[v], "spm") != 0 && patterns[p][0] != '\xcc') { /* NFC reorders marks */
                struct base_buf back = text_of(t, &tokens);
                assert_int_equal(back.len, LENGTH);
                assert_memory_equal(back.data, text, LENGTH);
                base_buf_finish(&back);
            }
            model_tokens_finish(&tokens);
        }
        model_tokenizer_destroy(t);
    }
    free(text);
}

/* Any bytes come back, in pieces of any kind. */
static void random_bytes_come_back(void **state)
{
    (void)state;
    static const char *const vocabs[] = {"bpe-gpt-2", "bpe-llama-bpe", "bpe-smollm", "bpe-default"};
    for (size_t v = 0; v < sizeof vocabs / sizeof *vocabs; v++) {
        char path[256];
        snprintf(path, sizeof path, GOLDEN "%s.gguf", vocabs[v]);
        struct tokenizer *t = open_vocab(path);
        uint32_t random = 1;
        for (int round = 0; round < 2000; round++) {
            char text[64];
            size_t len = (size_t)round % sizeof text;
            for (size_t i = 0; i < len; i++) {
                random = random * 1664525u + 1013904223u;
                text[i] = (char)(random >> 24 & (round % 3 ? 0xffu : 0x7fu));
            }
            struct tokens tokens = tokenize(t, text, len, 0);
            struct base_buf back = text_of(t, &tokens);
            assert_int_equal(back.len, len);
            if (len)
                assert_memory_equal(back.data, text, len);
            base_buf_finish(&back);
            model_tokens_finish(&tokens);
        }
        model_tokenizer_destroy(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_equal_hugging_face),
        cmocka_unit_test(ids_equal_hugging_face_with_real_vocabularies),
        cmocka_unit_test(added_tokens_are_cut_first),
        cmocka_unit_test(parts_are_one_text),
        cmocka_unit_test(parts_of_words_give_the_same_ids),
        cmocka_unit_test(bos_comes_once),
        cmocka_unit_test(end_and_special_tokens),
        cmocka_unit_test(control_tokens_of_the_wrong_type),
        cmocka_unit_test(sentencepiece),
        cmocka_unit_test(damaged_vocabularies_are_refused),
        cmocka_unit_test(damaged_sentencepiece_is_refused),
        cmocka_unit_test(duplicates_and_empty_tokens),
        cmocka_unit_test(long_texts_take_linear_time),
        cmocka_unit_test(random_bytes_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
