/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The expressions are those of the families' own tokenizers (tokenizer.json). A cut by one expression makes words of what
 * matches and of what lies between; further expressions cut those words again.
 */
#include "model/pretokenize.h"

#include "base/mem.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* White_Space of the Unicode character database, which is what the families' engines mean by \s; PCRE2's own differs. */
#define WS      "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define BLANKS  "[" WS "]*[\\r\\n]+|[" WS "]+(?![^" WS "])|[" WS "]+"
#define SUFFIX  "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define UPPER   "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER   "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define LEAD    "[^\\r\\n\\p{L}\\p{N}]?"
#define SYMBOLS " ?[^" WS "\\p{L}\\p{N}]+"

#define GPT2   "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+|" SYMBOLS "|[" WS "]+(?![^" WS "])|[" WS "]+"
#define LLAMA3 SUFFIX "|" LEAD "\\p{L}+|\\p{N}{1,3}|" SYMBOLS "[\\r\\n]*|" BLANKS
#define QWEN2  SUFFIX "|" LEAD "\\p{L}+|\\p{N}|" SYMBOLS "[\\r\\n]*|" BLANKS
#define QWEN35 SUFFIX "|" LEAD "[\\p{L}\\p{M}]+|\\p{N}| ?[^" WS "\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" BLANKS
#define TEKKEN LEAD UPPER "*" LOWER "+|" LEAD UPPER "+" LOWER "*|\\p{N}|" SYMBOLS "[\\r\\n/]*|" BLANKS
#define GPT4O                                                                                                          \
    LEAD UPPER "*" LOWER "+" SUFFIX "?|" LEAD UPPER "+" LOWER "*" SUFFIX "?|\\p{N}{1,3}|" SYMBOLS "[\\r\\n/]*|" BLANKS

enum { MAX_CUTS = 4 };

static const struct family {
    const char *name;
    bool nfc, whole_words, bos;
    const char *cuts[MAX_CUTS];
} families[] = {
    {"gpt-2", .cuts = {GPT2}},
    {"smollm", .cuts = {"\\p{N}", GPT2}},
    {"default", .cuts = {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
    {"llama-bpe", .whole_words = true, .bos = true, .cuts = {LLAMA3}},
    {"llama3", .whole_words = true, .bos = true, .cuts = {LLAMA3}},
    {"llama-v3", .whole_words = true, .bos = true, .cuts = {LLAMA3}},
    {"falcon3", .whole_words = true, .bos = true, .cuts = {LLAMA3}},
    {"pixtral", .whole_words = true, .bos = true, .cuts = {LLAMA3}},
    {"lfm2", .whole_words = true, .bos = true, .cuts = {LLAMA3}},
    {"qwen2", .nfc = true, .cuts = {QWEN2}},
    {"deepseek-r1-qwen", .nfc = true, .cuts = {QWEN2}},
    {"qwen35", .nfc = true, .cuts = {QWEN35}},
    {"tekken", .whole_words = true, .bos = true, .cuts = {TEKKEN}},
    {"gpt-4o", .whole_words = true, .cuts = {GPT4O}},
    {"llama4", .whole_words = true, .cuts = {GPT4O}},
};

struct pretokenizer {
    const struct family *family;
    pcre2_code *cuts[MAX_CUTS];
    int n_cuts;
};

static const struct family *find_family(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strlen(families[i].name) == len && !memcmp(families[i].name, name, len))
            return &families[i];
    return NULL;
}

static int fail_with_pcre2(int code, const char *what)
{
    PCRE2_UCHAR text[256];
    if (code == PCRE2_ERROR_NOMEMORY)
        return base_fail(PR_ERR_NOMEM, "no memory for cutting text into words");
    if (pcre2_get_error_message(code, text, sizeof text) < 0)
        text[0] = '\0';
    return base_fail(PR_ERR_INTERNAL, "pre-tokenizer: %s: PCRE2 says \"%s\" (%d); please report it", what,
                     (const char *)text, code);
}

int model_pretokenizer_create(const char *name, size_t len, struct pretokenizer **out)
{
    const struct family *family = find_family(name, len);
    if (!family)
        return base_fail(PR_ERR_UNSUPPORTED,
                         "the pre-tokenizer \"%.*s\" (tokenizer.ggml.pre) isn't known; use a model of another family",
                         (int)(len < 80 ? len : 80), name);
    struct pretokenizer *pretokenizer = base_alloc(sizeof *pretokenizer);
    pretokenizer->family = family;
    for (int i = 0; i < MAX_CUTS && family->cuts[i]; i++) {
        int code;
        PCRE2_SIZE where;
        pretokenizer->cuts[i] =
            pcre2_compile((PCRE2_SPTR)family->cuts[i], PCRE2_ZERO_TERMINATED, PCRE2_UTF, &code, &where, NULL);
        if (!pretokenizer->cuts[i]) {
            model_pretokenizer_destroy(pretokenizer);
            return fail_with_pcre2(code, family->name);
        }
        /* Without executable memory PCRE2 interprets instead, with the same results. */
        (void)pcre2_jit_compile(pretokenizer->cuts[i], PCRE2_JIT_COMPLETE);
        pretokenizer->n_cuts = i + 1;
    }
    *out = pretokenizer;
    return PR_OK;
}

void model_pretokenizer_destroy(struct pretokenizer *pretokenizer)
{
    if (!pretokenizer)
        return;
    for (int i = 0; i < MAX_CUTS; i++)
        pcre2_code_free(pretokenizer->cuts[i]);
    base_free(pretokenizer);
}

bool model_pretokenizer_normalizes(const struct pretokenizer *pretokenizer)
{
    return pretokenizer->family->nfc;
}

bool model_pretokenizer_whole_words(const struct pretokenizer *pretokenizer)
{
    return pretokenizer->family->whole_words;
}

bool model_pretokenizer_begins_bos(const struct pretokenizer *pretokenizer)
{
    return pretokenizer->family->bos;
}

void model_words_finish(struct words *words)
{
    base_free(words->ends);
    *words = (struct words){0};
}

static void end_word(struct words *words, size_t end)
{
    if (words->n == words->cap) {
        words->cap = words->cap ? 2 * words->cap : 256;
        words->ends = base_realloc(words->ends, words->cap * sizeof *words->ends);
    }
    words->ends[words->n++] = end;
}

/* Cuts text[start, end), by itself: the expression sees nothing around it. */
static int cut(const pcre2_code *code, pcre2_match_context *limits, pcre2_match_data *match, const char *text,
               size_t start, size_t end, struct words *out)
{
    PCRE2_SPTR word = (PCRE2_SPTR)text + start;
    size_t size = end - start, at = 0;
    while (at < size) {
        int found = pcre2_match(code, word, size, at, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, match, limits);
        if (found == PCRE2_ERROR_NOMATCH)
            break;
        if (found < 0)
            return fail_with_pcre2(found, "matching");
        const PCRE2_SIZE *range = pcre2_get_ovector_pointer(match);
        if (range[0] > at)
            end_word(out, start + range[0]);
        end_word(out, start + range[1]);
        at = range[1];
    }
    if (at < size)
        end_word(out, end);
    return PR_OK;
}

int model_pretokenize(const struct pretokenizer *pretokenizer, const char *text, size_t size, struct words *words)
{
    int err = PR_OK;
    struct words before = {0};
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    words->n = 0;
    if (!match || !limits)
        TRY(base_fail(PR_ERR_NOMEM, "no memory for cutting text into words"));
    /* No expression goes back over a character more than a few times; the limit grows with the text, so that a long run of
     * one kind of character isn't refused. */
    size_t most = size < UINT32_MAX / 16 - 1000000 ? 16 * (size + 1000000) : UINT32_MAX;
    pcre2_set_match_limit(limits, (uint32_t)most);

    if (size)
        end_word(words, size);
    for (int i = 0; i < pretokenizer->n_cuts; i++) {
        struct words swap = before;
        before = *words;
        *words = swap;
        words->n = 0;
        for (size_t k = 0, start = 0; k < before.n; start = before.ends[k++])
            TRY(cut(pretokenizer->cuts[i], limits, match, text, start, before.ends[k], words));
    }
fail:
    pcre2_match_data_free(match);
    pcre2_match_context_free(limits);
    model_words_finish(&before);
    return err;
}
