/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/bpe.h"

#include "base/mem.h"

#include <string.h>

/* Merges by the pair of ids (open addressing; free slots have id -1). */
struct merge {
    int32_t left, right, id;
    uint32_t rank;
};

struct bpe {
    const struct vocab *vocab;
    struct merge *merges;
    size_t mask;
};

static size_t home_of(const struct bpe *bpe, int32_t left, int32_t right)
{
    uint64_t hash = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    hash = (hash ^ hash >> 31) * 0xbf58476d1ce4e5b9u;
    return (size_t)(hash ^ hash >> 29) & bpe->mask;
}

/* The slot that holds the pair, or the free one where it would go. */
static struct merge *merge_slot(const struct bpe *bpe, int32_t left, int32_t right)
{
    size_t slot = home_of(bpe, left, right);
    while (bpe->merges[slot].id >= 0 && (bpe->merges[slot].left != left || bpe->merges[slot].right != right))
        slot = (slot + 1) & bpe->mask;
    return &bpe->merges[slot];
}

/* The id of a text in the GPT-2 alphabet. */
static int32_t find_mapped(const struct vocab *vocab, const char *text, size_t size, char *scratch)
{
    size_t len;
    if (!model_vocab_unmap(text, size, scratch, &len))
        return -1;
    int32_t id = model_vocab_word(vocab, scratch, len);
    return id >= 0 ? id : model_vocab_added(vocab, scratch, len);
}

/* "A B": A ends at the first blank that isn't its first character. `scratch` has room for 2 * text.len bytes. */
static bool parse_merge(const struct vocab *vocab, struct gguf_string text, char *scratch, struct merge *out)
{
    const char *blank = text.len > 1 ? memchr(text.data + 1, ' ', text.len - 1) : NULL;
    if (!blank)
        return false;
    size_t left = (size_t)(blank - text.data), right = text.len - left - 1;
    out->left = find_mapped(vocab, text.data, left, scratch);
    out->right = find_mapped(vocab, blank + 1, right, scratch);
    char *both = scratch + text.len;
    memcpy(both, text.data, left);
    memcpy(both + left, blank + 1, right);
    out->id = find_mapped(vocab, both, left + right, scratch);
    return out->left >= 0 && out->right >= 0 && out->id >= 0;
}

int model_bpe_create(const struct gguf *gguf, const struct vocab *vocab, struct bpe **out)
{
    int err;
    struct gguf_array merges;
    struct bpe *bpe = base_alloc(sizeof *bpe);
    char *scratch = NULL;
    const char *path = model_gguf_path(gguf);
    bpe->vocab = vocab;

    err = model_gguf_array(gguf, "tokenizer.ggml.merges", &merges);
    if (err == PR_ERR_NOT_FOUND || (err == PR_OK && merges.n == 0))
        err = base_fail(PR_ERR_FORMAT, "%s: has no tokenizer.ggml.merges; convert the model again with its tokenizer",
                        path);
    TRY(err);
    if (merges.kind != GGUF_STRING || merges.n > INT32_MAX / 2)
        TRY(base_fail(PR_ERR_FORMAT, "%s: tokenizer.ggml.merges isn't a list of 1 to %d texts; get the file again",
                      path, INT32_MAX / 2));
    size_t longest = 0, capacity = 16, crowded = 0;
    for (size_t i = 0; i < merges.n; i++) {
        size_t len = model_gguf_array_string(&merges, i).len;
        longest = len > longest ? len : longest;
    }
    while (capacity < 2 * merges.n)
        capacity *= 2;
    scratch = base_try_alloc(longest, 2);
    bpe->merges = base_try_alloc(capacity, sizeof *bpe->merges);
    if (!scratch || !bpe->merges)
        TRY(base_fail(PR_ERR_NOMEM, "%s: no memory for %zu merges", path, merges.n));
    bpe->mask = capacity - 1;
    for (size_t i = 0; i < capacity; i++)
        bpe->merges[i].id = -1;

    for (size_t i = 0; i < merges.n; i++) {
        struct gguf_string text = model_gguf_array_string(&merges, i);
        struct merge merge = {.rank = (uint32_t)i};
        if (!parse_merge(vocab, text, scratch, &merge))
            TRY(base_fail(PR_ERR_FORMAT,
                          "%s: merge %zu (\"%.*s\") isn't two tokens that make a third; get the file again", path, i,
                          (int)(text.len < 80 ? text.len : 80), text.data));
        struct merge *slot = merge_slot(bpe, merge.left, merge.right);
        if (slot->id >= 0)
            continue;
        *slot = merge;
        crowded += ((size_t)(slot - bpe->merges) - home_of(bpe, merge.left, merge.right)) & bpe->mask;
        if (crowded > VOCAB_CROWDED * capacity)
            TRY(base_fail(PR_ERR_FORMAT, "%s: its merges are made to be slow to find; don't use it", path));
    }
    base_free(scratch);
    *out = bpe;
    return PR_OK;

fail:
    base_free(scratch);
    model_bpe_destroy(bpe);
    return err;
}

void model_bpe_destroy(struct bpe *bpe)
{
    if (!bpe)
        return;
    base_free(bpe->merges);
    base_free(bpe);
}

static bool by_rank(const void *context, const struct symbol *left, const struct symbol *right, uint32_t *key,
                    int32_t *id)
{
    const struct merge *merge = merge_slot(context, left->id, right->id);
    *key = merge->rank;
    *id = merge->id;
    return merge->id >= 0;
}

int model_bpe_word(const struct bpe *bpe, const char *word, size_t len, bool whole_first, struct merge_work *work,
                   struct tokens *out)
{
    int32_t whole = whole_first || len == 1 ? model_vocab_word(bpe->vocab, word, len) : -1;
    if (whole >= 0) {
        model_tokens_append(out, &whole, 1);
        return PR_OK;
    }
    int err = model_merge_reserve(work, len);
    if (err < 0)
        return err;
    work->n = 0;
    for (size_t i = 0; i < len; i++) {
        int32_t id = bpe->vocab->byte_id[(uint8_t)word[i]];
        if (id >= 0)
            work->symbols[work->n++] = (struct symbol){.start = (uint32_t)i, .len = 1, .id = id};
    }
    if (!work->n)
        return PR_OK;
    model_merge(work, by_rank, bpe);
    for (uint32_t i = 0; i != MERGE_NONE; i = work->symbols[i].next)
        model_tokens_append(out, &work->symbols[i].id, 1);
    return PR_OK;
}
