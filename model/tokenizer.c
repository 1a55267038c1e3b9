/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From text to tokens: cut at control and user-defined tokens (vocab.c); of what lies between, in byte-level BPE, normalize
 * (nfc.c), cut into words (pretokenize.c) and merge each (bpe.c), in SentencePiece merge the whole (spm.c).
 */
#include "model/tokenizer.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "model/bpe.h"
#include "model/nfc.h"
#include "model/pretokenize.h"
#include "model/spm.h"
#include "model/vocab.h"

#include <string.h>

enum { MAX_TEXT = 1 << 30 };

struct tokenizer {
    struct vocab vocab;
    struct pretokenizer *pretokenizer; /* byte-level BPE: both */
    struct bpe *bpe;
    struct spm *spm; /* SentencePiece */
    int32_t bos;     /* -1: none */
    int32_t ends[3]; /* eos, eot, eom; -1: none */
    bool add_bos;
    bool space_prefix; /* a blank in front of every run of text: at the beginning and after each added token */
};

void model_tokens_append(struct tokens *tokens, const int32_t *ids, size_t n)
{
    if (n > tokens->cap - tokens->n) {
        size_t cap = tokens->cap ? tokens->cap : 64;
        while (cap < tokens->n + n)
            cap *= 2;
        tokens->ids = base_realloc(tokens->ids, cap * sizeof *tokens->ids);
        tokens->cap = cap;
    }
    if (n)
        memcpy(tokens->ids + tokens->n, ids, n * sizeof *ids);
    tokens->n += n;
}

void model_tokens_finish(struct tokens *tokens)
{
    base_free(tokens->ids);
    *tokens = (struct tokens){0};
}

/* ---- reading ---- */

/* The id at a key; `absent` when there is none. A file may say -1 for none. */
static int read_id(const struct gguf *gguf, const char *key, int32_t n_vocab, int32_t absent, int32_t *out)
{
    int64_t id = absent < n_vocab ? absent : -1;
    int err = model_gguf_i64(gguf, key, -1, n_vocab - 1, &id);
    *out = (int32_t)id;
    return err == PR_ERR_NOT_FOUND ? PR_OK : err;
}

static int read_bool(const struct gguf *gguf, const char *key, bool absent, bool *out)
{
    *out = absent;
    int err = model_gguf_bool(gguf, key, out);
    return err == PR_ERR_NOT_FOUND ? PR_OK : err;
}

static int read_kind(const struct gguf *gguf, enum vocab_kind *out)
{
    struct gguf_string model;
    int err = model_gguf_string(gguf, "tokenizer.ggml.model", &model);
    if (err == PR_ERR_NOT_FOUND)
        return base_fail(PR_ERR_FORMAT,
                         "%s: has no tokenizer (tokenizer.ggml.model); give a language model, not a part of one",
                         model_gguf_path(gguf));
    if (err < 0)
        return err;
    if (model.len == 4 && !memcmp(model.data, "gpt2", 4))
        *out = VOCAB_BYTE_LEVEL;
    else if (model.len == 5 && !memcmp(model.data, "llama", 5))
        *out = VOCAB_SENTENCEPIECE;
    else
        return base_fail(PR_ERR_UNSUPPORTED,
                         "%s: the tokenizer \"%.*s\" isn't known (gpt2 and llama are); use a model of another family",
                         model_gguf_path(gguf), (int)(model.len < 80 ? model.len : 80), model.data);
    return PR_OK;
}

static int read_pretokenizer(const struct gguf *gguf, struct pretokenizer **out)
{
    struct gguf_string name = {"default", 7};
    int err = model_gguf_string(gguf, "tokenizer.ggml.pre", &name);
    if (err < 0 && err != PR_ERR_NOT_FOUND)
        return err;
    err = model_pretokenizer_create(name.data, name.len, out);
    return err < 0 ? base_fail_prefix(err, "%s", model_gguf_path(gguf)) : PR_OK;
}

int model_tokenizer_create(const struct gguf *gguf, struct tokenizer **out)
{
    int err;
    enum vocab_kind kind = VOCAB_BYTE_LEVEL;
    int32_t unknown;
    struct tokenizer *t = base_alloc(sizeof *t);

    TRY(read_kind(gguf, &kind));
    bool is_spm = kind == VOCAB_SENTENCEPIECE;
    TRY(model_vocab_init(&t->vocab, gguf, kind));
    if (!is_spm)
        TRY(read_pretokenizer(gguf, &t->pretokenizer));

    /* What a SentencePiece file leaves unsaid is as in the first of them, Llama's. */
    int32_t n = t->vocab.n;
    TRY(read_id(gguf, "tokenizer.ggml.bos_token_id", n, is_spm ? 1 : -1, &t->bos));
    TRY(read_id(gguf, "tokenizer.ggml.eos_token_id", n, is_spm ? 2 : -1, &t->ends[0]));
    TRY(read_id(gguf, "tokenizer.ggml.eot_token_id", n, -1, &t->ends[1]));
    TRY(read_id(gguf, "tokenizer.ggml.eom_token_id", n, -1, &t->ends[2]));
    TRY(read_id(gguf, "tokenizer.ggml.unknown_token_id", n, is_spm ? 0 : -1, &unknown));
    bool add_bos = is_spm || model_pretokenizer_begins_bos(t->pretokenizer);
    TRY(read_bool(gguf, "tokenizer.ggml.add_bos_token", add_bos, &t->add_bos));
    TRY(read_bool(gguf, "tokenizer.ggml.add_space_prefix", is_spm, &t->space_prefix));

    if (is_spm)
        TRY(model_spm_create(gguf, &t->vocab, unknown, &t->spm));
    else
        TRY(model_bpe_create(gguf, &t->vocab, &t->bpe));
    *out = t;
    return PR_OK;

fail:
    model_tokenizer_destroy(t);
    return err;
}

void model_tokenizer_destroy(struct tokenizer *t)
{
    if (!t)
        return;
    model_spm_destroy(t->spm);
    model_bpe_destroy(t->bpe);
    model_pretokenizer_destroy(t->pretokenizer);
    model_vocab_finish(&t->vocab);
    base_free(t);
}

/* ---- tokenizing ---- */

/* Working memory of one call. */
struct scratch {
    struct merge_work merge;
    struct words words;
    struct base_buf text;
};

/* Valid UTF-8: words. */
static int bpe_characters(const struct tokenizer *t, const char *text, size_t len, struct scratch *scratch,
                          struct tokens *out)
{
    scratch->text.len = 0;
    if (model_pretokenizer_normalizes(t->pretokenizer) && !model_nfc(text, len, &scratch->text)) {
        text = scratch->text.data;
        len = scratch->text.len;
    }
    int err = model_pretokenize(t->pretokenizer, text, len, &scratch->words);
    bool whole_first = model_pretokenizer_whole_words(t->pretokenizer);
    for (size_t i = 0, start = 0; err >= 0 && i < scratch->words.n; start = scratch->words.ends[i++])
        err = model_bpe_word(t->bpe, text + start, scratch->words.ends[i] - start, whole_first, &scratch->merge, out);
    return err;
}

/* Any bytes: characters as above; a run of stray bytes is a word of its own. */
static int bpe_bytes(const struct tokenizer *t, const char *text, size_t len, struct scratch *scratch,
                     struct tokens *out)
{
    int err = PR_OK;
    for (size_t at = 0; err >= 0 && at < len;) {
        size_t n = base_utf8_valid(text + at, len - at);
        if (n) {
            err = bpe_characters(t, text + at, n, scratch, out);
        } else {
            while (at + n < len && !base_utf8_decode(text + at + n, len - at - n, NULL))
                n++;
            err = model_bpe_word(t->bpe, text + at, n, false, &scratch->merge, out);
        }
        at += n;
    }
    return err;
}

static int spm_bytes(const struct tokenizer *t, const char *text, size_t len, bool prefix, struct scratch *scratch,
                     struct tokens *out)
{
    struct base_buf *blanks = &scratch->text; /* the text with U+2581 as blanks, as the vocabulary has it */
    blanks->len = 0;
    if (prefix)
        base_buf_puts(blanks, " ");
    for (size_t at = 0; at < len;) {
        const char *mark = memmem(text + at, len - at, "\xe2\x96\x81", 3);
        size_t end = mark ? (size_t)(mark - text) : len;
        base_buf_append(blanks, text + at, end - at);
        if (mark)
            base_buf_puts(blanks, " ");
        at = mark ? end + 3 : len;
    }
    return model_spm_text(t->spm, blanks->data, blanks->len, &scratch->merge, out);
}

/* Text without added tokens. `first`: nothing but an added token, or nothing at all, stands before it. */
static int tokenize_run(const struct tokenizer *t, const char *text, size_t len, bool first, struct scratch *scratch,
                        struct tokens *out)
{
    if (!len)
        return PR_OK;
    if (t->spm)
        return spm_bytes(t, text, len, first && t->space_prefix, scratch, out);
    return bpe_bytes(t, text, len, scratch, out);
}

/* Cuts `text`, which is the parts in one, at added tokens. */
static int tokenize_text(const struct tokenizer *t, const char *text, size_t len, const struct tokenize_part *parts,
                         bool first, struct scratch *scratch, struct tokens *out)
{
    size_t run = 0, part = 0, part_end = parts[0].len;
    for (size_t at = 0; at < len;) {
        while (at >= part_end)
            part_end += parts[++part].len;
        size_t n;
        int32_t id = model_vocab_added_at(&t->vocab, text + at, len - at, parts[part].special ? part_end - at : 0, &n);
        if (id < 0) {
            at++;
            continue;
        }
        int err = tokenize_run(t, text + run, at - run, first, scratch, out);
        if (err < 0)
            return err;
        model_tokens_append(out, &id, 1);
        run = at += n;
        first = true;
    }
    return tokenize_run(t, text + run, len - run, first, scratch, out);
}

int model_tokenize_parts(const struct tokenizer *t, const struct tokenize_part *parts, size_t n, unsigned flags,
                         struct tokens *out)
{
    int err = PR_OK;
    size_t len = 0, begin = out->n;
    struct base_buf joined = {0};
    struct scratch scratch = {0};
    const char *text = n ? parts[0].text : NULL;
    for (size_t i = 0; i < n; i++)
        if (!base_add(len, parts[i].len, &len) || len >= MAX_TEXT)
            return base_fail(PR_ERR_INVALID, "a text of 1 GiB or more can't be tokenized at once; cut it");
    if (n > 1) {
        for (size_t i = 0; i < n; i++)
            base_buf_append(&joined, parts[i].text, parts[i].len);
        text = joined.data;
    }

    bool bos = (flags & TOKENIZE_BOS) && t->add_bos && t->bos >= 0;
    if (bos)
        model_tokens_append(out, &t->bos, 1);
    size_t after_bos = out->n;
    if (len)
        TRY(tokenize_text(t, text, len, parts, (flags & TOKENIZE_FIRST) != 0, &scratch, out));
    if (bos && out->n > after_bos && out->ids[after_bos] == t->bos) { /* the text has its own */
        memmove(out->ids + begin, out->ids + after_bos, (out->n - after_bos) * sizeof *out->ids);
        out->n--;
    }
fail:
    if (err < 0)
        out->n = begin;
    base_buf_finish(&joined);
    base_buf_finish(&scratch.text);
    model_merge_finish(&scratch.merge);
    model_words_finish(&scratch.words);
    return err;
}

int model_tokenize(const struct tokenizer *t, const char *text, size_t len, unsigned flags, struct tokens *out)
{
    struct tokenize_part part = {text, len, (flags & TOKENIZE_SPECIAL) != 0};
    return model_tokenize_parts(t, &part, 1, flags, out);
}

/* ---- asking ---- */

static bool is_token(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->vocab.n;
}

const char *model_token_bytes(const struct tokenizer *t, int32_t id, size_t *len)
{
    *len = 0;
    return is_token(t, id) ? model_vocab_bytes(&t->vocab, id, len) : "";
}

int32_t model_tokenizer_n_vocab(const struct tokenizer *t)
{
    return t->vocab.n;
}

int32_t model_tokenizer_bos(const struct tokenizer *t)
{
    return t->bos;
}

bool model_token_is_special(const struct tokenizer *t, int32_t id)
{
    return is_token(t, id) && (t->vocab.type[id] == TOKEN_CONTROL || t->vocab.type[id] == TOKEN_UNKNOWN);
}

bool model_token_is_end(const struct tokenizer *t, int32_t id)
{
    if (!is_token(t, id))
        return false;
    if (id == t->ends[0] || id == t->ends[1] || id == t->ends[2])
        return true;
    size_t len;
    const char *text = model_vocab_bytes(&t->vocab, id, &len);
    return t->vocab.type[id] == TOKEN_CONTROL && model_vocab_is_end_text(text, len);
}

int32_t model_token_find(const struct tokenizer *t, const char *text)
{
    size_t len = strlen(text);
    int32_t id = model_vocab_added(&t->vocab, text, len);
    return id >= 0 ? id : model_vocab_word(&t->vocab, text, len);
}
