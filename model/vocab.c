/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/vocab.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <string.h>

/* Control tokens of the families that we know. Some files give them the wrong type; a text that can't be told from markup
 * (<s> is a tag of HTML) is taken for one only if the file doesn't call it normal. */
static const struct control_text {
    const char *text;
    bool is_end, is_markup;
} control_texts[] = {
    {"<|im_end|>", true, false},
    {"<|eot_id|>", true, false},
    {"<|eom_id|>", true, false},
    {"<|end|>", true, false},
    {"<|endoftext|>", true, false},
    {"<|end_of_text|>", true, false},
    {"<end_of_turn>", true, false},
    {"<turn|>", true, false},
    {"<end_of_utterance>", true, false},
    {"</s>", true, true},
    {"<eos>", true, true},
    {"<|im_start|>", false, false},
    {"<|start_header_id|>", false, false},
    {"<|end_header_id|>", false, false},
    {"<|begin_of_text|>", false, false},
    {"<start_of_turn>", false, false},
    {"<s>", false, true},
    {"<bos>", false, true},
};

static const struct control_text *control_text(const char *text, size_t len)
{
    for (size_t i = 0; i < sizeof control_texts / sizeof *control_texts; i++)
        if (strlen(control_texts[i].text) == len && !memcmp(control_texts[i].text, text, len))
            return &control_texts[i];
    return NULL;
}

bool model_vocab_is_end_text(const char *text, size_t len)
{
    const struct control_text *control = control_text(text, len);
    return control && control->is_end;
}

/* FNV-1a, which grows a byte at a time; mixed once more when it is used, because its low bits are weak. */
#define HASH_START 0xcbf29ce484222325u

static uint64_t hash_step(uint64_t hash, char byte)
{
    return (hash ^ (uint8_t)byte) * 0x100000001b3u;
}

static uint64_t hash_of(const char *bytes, size_t len)
{
    uint64_t hash = HASH_START;
    for (size_t i = 0; i < len; i++)
        hash = hash_step(hash, bytes[i]);
    return hash;
}

static size_t home_of(const struct vocab_index *index, uint64_t hash)
{
    return (size_t)((hash ^ hash >> 29) * 0xbf58476d1ce4e5b9u >> 20) & index->mask;
}

/* The slot that holds the token, or the free one where it would go. */
static size_t slot_of(const struct vocab *vocab, const struct vocab_index *index, uint64_t hash, const char *bytes,
                      size_t len)
{
    size_t slot = home_of(index, hash);
    for (; index->slots[slot] >= 0; slot = (slot + 1) & index->mask) {
        size_t other_len;
        const char *other = model_vocab_bytes(vocab, index->slots[slot], &other_len);
        if (other_len == len && !memcmp(other, bytes, len))
            break;
    }
    return slot;
}

static int index_init(struct vocab_index *index, size_t n)
{
    size_t capacity = 16;
    while (capacity < 2 * n)
        capacity *= 2;
    index->slots = base_try_alloc(capacity, sizeof *index->slots);
    if (!index->slots)
        return PR_ERR_NOMEM;
    memset(index->slots, 0xff, capacity * sizeof *index->slots);
    index->mask = capacity - 1;
    return PR_OK;
}

/* False: so many tokens crowd into a few slots that the file must have been made to be slow. */
static bool index_insert(const struct vocab *vocab, struct vocab_index *index, int32_t id)
{
    size_t len;
    const char *bytes = model_vocab_bytes(vocab, id, &len);
    uint64_t hash = hash_of(bytes, len);
    size_t slot = slot_of(vocab, index, hash, bytes, len);
    if (!len || index->slots[slot] >= 0)
        return true;
    index->slots[slot] = id;
    if (len > index->longest)
        index->longest = len;
    index->crowded += (slot - home_of(index, hash)) & index->mask;
    return index->crowded <= VOCAB_CROWDED * (index->mask + 1);
}

int32_t model_vocab_word(const struct vocab *vocab, const char *bytes, size_t len)
{
    if (len > vocab->words.longest)
        return -1;
    return vocab->words.slots[slot_of(vocab, &vocab->words, hash_of(bytes, len), bytes, len)];
}

int32_t model_vocab_added(const struct vocab *vocab, const char *bytes, size_t len)
{
    if (len > vocab->added.longest)
        return -1;
    return vocab->added.slots[slot_of(vocab, &vocab->added, hash_of(bytes, len), bytes, len)];
}

int32_t model_vocab_added_at(const struct vocab *vocab, const char *text, size_t size, size_t control, size_t *len)
{
    size_t longest = size ? vocab->added_from[(uint8_t)text[0]] : 0;
    if (longest > size)
        longest = size;
    uint64_t hash = HASH_START;
    int32_t found = -1;
    for (size_t i = 0; i < longest; i++) {
        hash = hash_step(hash, text[i]);
        int32_t id = vocab->added.slots[slot_of(vocab, &vocab->added, hash, text, i + 1)];
        if (id < 0 || (vocab->type[id] != TOKEN_USER_DEFINED && i + 1 > control))
            continue;
        found = id;
        *len = i + 1;
    }
    return found;
}

/* The GPT-2 alphabet shows each byte as a printable character: itself where it is one, else U+0100 and on. */
static bool is_printable_byte(unsigned byte)
{
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

static int byte_of(uint32_t codepoint)
{
    if (codepoint < 0x100)
        return is_printable_byte(codepoint) ? (int)codepoint : -1;
    unsigned place = codepoint - 0x100; /* among those that aren't printable: 0x00..0x20, 0x7f..0xa0, 0xad */
    if (place <= 0x20)
        return (int)place;
    if (place <= 0x42)
        return (int)(place - 0x21 + 0x7f);
    return place == 0x43 ? 0xad : -1;
}

bool model_vocab_unmap(const char *text, size_t size, char *out, size_t *len)
{
    size_t n = 0;
    for (size_t at = 0; at < size;) {
        uint32_t codepoint;
        size_t step = base_utf8_decode(text + at, size - at, &codepoint);
        int byte = step ? byte_of(codepoint) : -1;
        if (byte < 0)
            return false;
        out[n++] = (char)byte;
        at += step;
    }
    *len = n;
    return true;
}

static size_t undo_blanks(const char *text, size_t size, char *out)
{
    size_t n = 0;
    for (size_t at = 0; at < size;) {
        if (size - at >= 3 && !memcmp(text + at, "\xe2\x96\x81", 3)) {
            out[n++] = ' ';
            at += 3;
        } else {
            out[n++] = text[at++];
        }
    }
    return n;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

/* "<0x0A>" */
static int byte_token(struct gguf_string text)
{
    if (text.len != 6 || memcmp(text.data, "<0x", 3) || text.data[5] != '>')
        return -1;
    int high = hex_digit(text.data[3]), low = hex_digit(text.data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Writes what the token stands for; never more bytes than its text has. */
static int decode_token(const char *path, enum vocab_kind kind, enum token_type type, int32_t id,
                        struct gguf_string text, char *out, size_t *len)
{
    bool is_added = type == TOKEN_CONTROL || type == TOKEN_UNKNOWN || type == TOKEN_USER_DEFINED;
    if (kind == VOCAB_SENTENCEPIECE && type == TOKEN_BYTE) {
        int byte = byte_token(text);
        if (byte < 0)
            return base_fail(PR_ERR_FORMAT, "%s: token %d has the type of a byte but isn't <0xXX>; get the file again",
                             path, id);
        out[0] = (char)byte;
        *len = 1;
    } else if (kind == VOCAB_SENTENCEPIECE) {
        *len = undo_blanks(text.data, text.len, out);
    } else if (is_added || !model_vocab_unmap(text.data, text.len, out, len)) {
        memcpy(out, text.data, text.len);
        *len = text.len;
    }
    return PR_OK;
}

static int read_type(const char *path, const struct gguf_array *types, int32_t id, struct gguf_string text,
                     enum token_type *out)
{
    int64_t type = types ? model_gguf_array_i64(types, (size_t)id) : TOKEN_NORMAL;
    if (type < 0 || type > TOKEN_BYTE)
        return base_fail(PR_ERR_FORMAT, "%s: token %d has the type %lld, none that GGUF has; get the file again", path,
                         id, (long long)type);
    const struct control_text *control = control_text(text.data, text.len);
    if (control && (!control->is_markup || !types || type != TOKEN_NORMAL) && type != TOKEN_UNKNOWN)
        type = TOKEN_CONTROL;
    *out = type ? (enum token_type)type : TOKEN_NORMAL;
    return PR_OK;
}

/* False: as of index_insert(). */
static bool build_indices(struct vocab *vocab, enum vocab_kind kind)
{
    bool fine = true;
    memset(vocab->byte_id, 0xff, sizeof vocab->byte_id);
    for (int32_t id = 0; id < vocab->n && fine; id++) {
        size_t len;
        const char *bytes = model_vocab_bytes(vocab, id, &len);
        uint8_t first = len ? (uint8_t)bytes[0] : 0;
        switch ((enum token_type)vocab->type[id]) {
        case TOKEN_NORMAL:
            fine = index_insert(vocab, &vocab->words, id);
            if (kind == VOCAB_BYTE_LEVEL && len == 1 && vocab->byte_id[first] < 0)
                vocab->byte_id[first] = id;
            break;
        case TOKEN_BYTE:
            if (kind == VOCAB_SENTENCEPIECE && vocab->byte_id[first] < 0)
                vocab->byte_id[first] = id;
            break;
        case TOKEN_UNKNOWN:
        case TOKEN_CONTROL:
        case TOKEN_USER_DEFINED:
            fine = index_insert(vocab, &vocab->added, id);
            if (len > vocab->added_from[first])
                vocab->added_from[first] = (uint16_t)len;
            break;
        case TOKEN_UNUSED:
            break;
        }
    }
    return fine;
}

int model_vocab_init(struct vocab *vocab, const struct gguf *gguf, enum vocab_kind kind)
{
    int err;
    struct gguf_array tokens, types;
    bool have_types = false;
    const char *path = model_gguf_path(gguf);
    *vocab = (struct vocab){0};

    err = model_gguf_array(gguf, "tokenizer.ggml.tokens", &tokens);
    if (err == PR_ERR_NOT_FOUND)
        return base_fail(PR_ERR_FORMAT, "%s: has no tokenizer.ggml.tokens; convert the model again", path);
    TRY(err);
    if (tokens.kind != GGUF_STRING || tokens.n == 0 || tokens.n > INT32_MAX / 2)
        return base_fail(PR_ERR_FORMAT, "%s: tokenizer.ggml.tokens isn't a list of 1 to %d texts; get the file again",
                         path, INT32_MAX / 2);
    err = model_gguf_array(gguf, "tokenizer.ggml.token_type", &types);
    if (err != PR_ERR_NOT_FOUND) {
        TRY(err);
        if (types.kind == GGUF_STRING || types.kind == GGUF_F32 || types.kind == GGUF_F64 || types.n != tokens.n)
            return base_fail(PR_ERR_FORMAT,
                             "%s: tokenizer.ggml.token_type doesn't fit tokenizer.ggml.tokens; get the "
                             "file again",
                             path);
        have_types = true;
    }

    size_t total = 0, n_added = 0;
    for (size_t i = 0; i < tokens.n; i++)
        total += model_gguf_array_string(&tokens, i).len; /* they all lie in the file: no overflow */
    vocab->n = (int32_t)tokens.n;
    vocab->bytes = base_try_alloc(total, 1);
    vocab->start = base_try_alloc(tokens.n + 1, sizeof *vocab->start);
    vocab->type = base_try_alloc(tokens.n, 1);
    if (!vocab->bytes || !vocab->start || !vocab->type)
        TRY(base_fail(PR_ERR_NOMEM, "%s: no memory for a vocabulary of %d tokens", path, vocab->n));

    for (int32_t id = 0; id < vocab->n; id++) {
        struct gguf_string text = model_gguf_array_string(&tokens, (size_t)id);
        enum token_type type = TOKEN_NORMAL;
        size_t len = 0;
        TRY(read_type(path, have_types ? &types : NULL, id, text, &type));
        TRY(decode_token(path, kind, type, id, text, vocab->bytes + vocab->start[id], &len));
        bool is_added = type == TOKEN_CONTROL || type == TOKEN_UNKNOWN || type == TOKEN_USER_DEFINED;
        if (is_added && len > VOCAB_MAX_ADDED)
            TRY(base_fail(PR_ERR_FORMAT, "%s: control or user-defined token %d is %zu bytes long; %d is the most", path,
                          id, len, VOCAB_MAX_ADDED));
        n_added += is_added;
        vocab->type[id] = (uint8_t)type;
        vocab->start[id + 1] = vocab->start[id] + len;
    }
    if (index_init(&vocab->words, tokens.n) < 0 || index_init(&vocab->added, n_added) < 0)
        TRY(base_fail(PR_ERR_NOMEM, "%s: no memory for a vocabulary of %d tokens", path, vocab->n));
    if (!build_indices(vocab, kind))
        TRY(base_fail(PR_ERR_FORMAT, "%s: its tokens are made to be slow to find; don't use it", path));
    return PR_OK;

fail:
    model_vocab_finish(vocab);
    return err;
}

void model_vocab_finish(struct vocab *vocab)
{
    base_free(vocab->bytes);
    base_free(vocab->start);
    base_free(vocab->type);
    base_free(vocab->words.slots);
    base_free(vocab->added.slots);
    *vocab = (struct vocab){0};
}
