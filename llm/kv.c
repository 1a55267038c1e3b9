/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "llm/kv_impl.h"

#include "base/mem.h"
#include "compute/device.h"
#include "compute/pass.h"
#include "llm/plan.h"

#include <string.h>

/* ---- the pool --------------------------------------------------------------------------------------------------- */

static int check_params(const struct llm_kv_params *p)
{
    const struct type_traits *key = compute_type(p->key_type), *value = compute_type(p->value_type);
    enum type types[2] = {p->key_type, p->value_type};
    for (int i = 0; i < 2; i++)
        if (types[i] != TYPE_F32 && types[i] != TYPE_F16 && types[i] != TYPE_Q8_0)
            return base_fail(PR_ERR_INVALID, "the KV cache can't be kept in %s; use f32, f16 or q8_0",
                             compute_type(types[i]) ? compute_type(types[i])->name : "this type");
    if (p->d_key % key->block || p->d_value % value->block)
        return base_fail(PR_ERR_INVALID,
                         "this model's keys and values are %d and %d wide, which q8_0 (blocks of 32) can't hold; "
                         "use --cache-type f16",
                         p->d_key, p->d_value);
    if (p->page_size < 16 || p->page_size & (p->page_size - 1) || p->n_layer < 1 || p->cells < 1)
        return base_fail(PR_ERR_INTERNAL, "wrong KV cache parameters");
    if (p->cells > INT32_MAX - p->page_size)
        return base_fail(PR_ERR_NOMEM, "a context of %lld tokens is too large; use a smaller --ctx",
                         (long long)p->cells);
    return PR_OK;
}

static int64_t pages_of(int64_t cells, int32_t page_size)
{
    return (cells + page_size - 1) / page_size;
}

uint64_t llm_kv_bytes(const struct llm_kv_params *p)
{
    uint64_t row = compute_row_bytes(p->key_type, p->d_key) + compute_row_bytes(p->value_type, p->d_value), bytes;
    uint64_t cells = (uint64_t)(pages_of(p->cells, p->page_size) * p->page_size);
    if (__builtin_mul_overflow(row * (uint64_t)p->n_layer, cells, &bytes))
        return UINT64_MAX;
    return bytes;
}

int llm_kv_create(const struct llm_kv_params *params, struct llm_kv **out)
{
    int err;
    *out = NULL;
    struct llm_kv *kv = base_alloc(sizeof *kv);
    TRY(check_params(params));

    kv->params = *params;
    size_t n_layer = (size_t)params->n_layer;
    kv->devices = base_alloc_array(n_layer, sizeof *kv->devices);
    kv->divisors = base_alloc_array(n_layer, sizeof *kv->divisors);
    memcpy(kv->devices, params->devices, n_layer * sizeof *kv->devices);
    if (params->divisors)
        memcpy(kv->divisors, params->divisors, n_layer * sizeof *kv->divisors);
    kv->params.devices = kv->devices;
    kv->params.divisors = kv->divisors;

    kv->n_pages = (int32_t)pages_of(params->cells, params->page_size);
    kv->params.cells = (int64_t)kv->n_pages * params->page_size;
    kv->references = base_alloc_array((size_t)kv->n_pages, sizeof *kv->references);
    kv->free_pages = base_alloc_array((size_t)kv->n_pages, sizeof *kv->free_pages);
    for (int32_t i = kv->n_pages - 1; i >= 0; i--) /* the first pages are handed out first */
        kv->free_pages[kv->n_free++] = i;

    kv->keys = base_alloc_array(n_layer, sizeof *kv->keys);
    kv->values = base_alloc_array(n_layer, sizeof *kv->values);
    for (size_t i = 0; i < n_layer; i++) {
        TRY(compute_state_create(kv->devices[i], params->key_type, kv->params.cells, params->d_key, "kv.keys",
                                 &kv->keys[i]));
        TRY(compute_state_create(kv->devices[i], params->value_type, kv->params.cells, params->d_value, "kv.values",
                                 &kv->values[i]));
    }
    *out = kv;
    return PR_OK;
fail:
    if (err == PR_ERR_NOMEM && kv->keys)
        base_fail_prefix(
            err, "a cache of %lld tokens needs %llu MiB (a smaller --ctx, --window or --cache-type q8_0 needs less)",
            (long long)params->cells, (unsigned long long)(llm_kv_bytes(params) >> 20));
    llm_kv_destroy(kv);
    return err;
}

void llm_kv_destroy(struct llm_kv *kv)
{
    if (!kv)
        return;
    for (int i = 0; i < LLM_PLANS; i++)
        llm_plan_destroy(kv->plans[i]);
    compute_pass_destroy(kv->shift);
    for (int32_t i = 0; kv->values && i < kv->params.n_layer; i++) {
        compute_state_destroy(&kv->keys[i]);
        compute_state_destroy(&kv->values[i]);
    }
    base_free(kv->keys);
    base_free(kv->values);
    base_free(kv->references);
    base_free(kv->free_pages);
    base_free(kv->devices);
    base_free(kv->divisors);
    base_free(kv);
}

uint64_t llm_kv_cache_bytes(const struct llm_kv *kv)
{
    return llm_kv_bytes(&kv->params);
}

int64_t llm_kv_cells(const struct llm_kv *kv)
{
    return kv->params.cells;
}

int64_t llm_kv_free_cells(const struct llm_kv *kv)
{
    return (int64_t)kv->n_free * kv->params.page_size;
}

int64_t llm_kv_slide_cells(const struct llm_slide *slide, int32_t batch, int32_t page_size)
{
    /* The pages of the sinks, those that a window and a batch cover wherever they begin, and one for a copy on write. */
    return (pages_of(slide->sinks, page_size) + pages_of((int64_t)slide->window + batch, page_size) + 2) * page_size;
}

static void release_page(struct llm_kv *kv, int32_t page)
{
    if (--kv->references[page] == 0)
        kv->free_pages[kv->n_free++] = page;
}

static int take_page(struct llm_kv *kv, int32_t *page)
{
    if (!kv->n_free)
        return base_fail(PR_ERR_NOMEM, "the context of %lld tokens is full; use a larger --ctx, or --window to slide",
                         (long long)kv->params.cells);
    *page = kv->free_pages[--kv->n_free];
    kv->references[*page] = 1;
    return PR_OK;
}

static int copy_rows(struct tensor *pool, int32_t from, int32_t to, int32_t rows, void *scratch)
{
    size_t row = compute_row_bytes(pool->type, pool->cols);
    int err = compute_buffer_read(pool->buffer, pool->offset + (size_t)from * row, scratch, (size_t)rows * row);
    if (err < 0)
        return err;
    return compute_buffer_write(pool->buffer, pool->offset + (size_t)to * row, scratch, (size_t)rows * row);
}

/* ---- sequences -------------------------------------------------------------------------------------------------- */

static int check_slide(const struct llm_kv *kv, struct llm_slide *slide)
{
    if (slide->window < 0 || slide->sinks < 0)
        return base_fail(PR_ERR_INVALID, "window and sinks can't be negative");
    if (slide->window == 0) {
        *slide = (struct llm_slide){0};
        return PR_OK;
    }
    if (kv->params.key_type == TYPE_Q8_0)
        return base_fail(PR_ERR_INVALID, "a sliding cache rotates its keys, which q8_0 can't bear; keep keys in f16");
    if (slide->position_limit <= 0)
        slide->position_limit = kv->params.n_ctx_train / 4 * 3;
    /* Between two shifts lie (limit - sinks - window) tokens, and a key is visible for `window` of them. */
    int64_t room = (int64_t)slide->position_limit - slide->sinks - slide->window;
    if (room < slide->window / 4 || room < 1)
        return base_fail(PR_ERR_INVALID,
                         "a window of %d tokens with %d sinks is too large for positions up to %d; use at most "
                         "--window %d",
                         slide->window, slide->sinks, slide->position_limit,
                         slide->position_limit > slide->sinks + 4 ? (slide->position_limit - slide->sinks) / 5 * 4 : 1);
    return PR_OK;
}

int llm_sequence_create(struct llm_kv *kv, const struct llm_slide *slide, struct llm_sequence **out)
{
    struct llm_slide s = slide ? *slide : (struct llm_slide){0};
    *out = NULL;
    int err = check_slide(kv, &s);
    if (err < 0)
        return err;
    struct llm_sequence *sequence = base_alloc(sizeof *sequence);
    sequence->kv = kv;
    sequence->slide = s;
    sequence->pages = base_alloc_array((size_t)kv->n_pages, sizeof *sequence->pages);
    sequence->cells = base_alloc_array((size_t)kv->params.cells, sizeof *sequence->cells);
    *out = sequence;
    return PR_OK;
}

void llm_sequence_destroy(struct llm_sequence *s)
{
    if (!s)
        return;
    for (int32_t i = 0; i < s->n_pages; i++)
        release_page(s->kv, s->pages[i]);
    base_free(s->pages);
    base_free(s->cells);
    base_free(s);
}

int llm_sequence_fork(const struct llm_sequence *from, struct llm_sequence **out)
{
    int err = llm_sequence_create(from->kv, &from->slide, out);
    if (err < 0)
        return err;
    struct llm_sequence *s = *out;
    memcpy(s->pages, from->pages, (size_t)from->n_pages * sizeof *s->pages);
    memcpy(s->cells, from->cells, (size_t)from->n * sizeof *s->cells);
    s->n_pages = from->n_pages;
    s->n = from->n;
    s->evicted = from->evicted;
    for (int32_t i = 0; i < s->n_pages; i++)
        s->kv->references[s->pages[i]]++;
    llm_sequence_trim(s);
    return PR_OK;
}

int32_t llm_sequence_sink_pages(const struct llm_sequence *s)
{
    return (int32_t)pages_of(s->slide.sinks, s->kv->params.page_size);
}

int64_t llm_sequence_length(const struct llm_sequence *s)
{
    return s->n + s->evicted;
}

const struct llm_slide *llm_sequence_slide(const struct llm_sequence *s)
{
    return &s->slide;
}

int32_t llm_sequence_next_position(const struct llm_sequence *s)
{
    return s->n ? s->cells[s->n - 1].next : 0;
}

void llm_sequence_trim(struct llm_sequence *s)
{
    int32_t keep = (int32_t)pages_of(s->n, s->kv->params.page_size);
    while (s->n_pages > keep)
        release_page(s->kv, s->pages[--s->n_pages]);
}

int llm_sequence_rollback(struct llm_sequence *s, int64_t n)
{
    int64_t length = llm_sequence_length(s);
    if (n < 0 || n > length)
        return base_fail(PR_ERR_INVALID, "can't go back to token %lld of %lld", (long long)n, (long long)length);
    if (s->evicted && n < length) {
        /* The token that comes next sees indices from n + 1 - window on; those that are kept behind the sinks begin here. */
        int64_t kept = (int64_t)llm_sequence_sink_pages(s) * s->kv->params.page_size + s->evicted;
        if (n + 1 - s->slide.window < kept)
            return base_fail(PR_ERR_INVALID, "can't go back to token %lld: what it saw has slid out of the window",
                             (long long)n);
    }
    s->n = (int32_t)(n - s->evicted);
    llm_sequence_trim(s);
    return PR_OK;
}

int llm_sequence_own_page(struct llm_sequence *s, int32_t i)
{
    struct llm_kv *kv = s->kv;
    int32_t page_size = kv->params.page_size, shared = s->pages[i], own = -1;
    if (kv->references[shared] == 1)
        return PR_OK;
    int err = take_page(kv, &own);
    if (err < 0)
        return err;

    size_t key_row = compute_row_bytes(kv->params.key_type, kv->params.d_key);
    size_t value_row = compute_row_bytes(kv->params.value_type, kv->params.d_value);
    void *scratch = base_alloc((size_t)page_size * (key_row > value_row ? key_row : value_row));
    for (int32_t l = 0; l < kv->params.n_layer; l++) {
        TRY(copy_rows(&kv->keys[l], shared * page_size, own * page_size, page_size, scratch));
        TRY(copy_rows(&kv->values[l], shared * page_size, own * page_size, page_size, scratch));
    }
    base_free(scratch);
    release_page(kv, shared);
    s->pages[i] = own;
    return PR_OK;
fail:
    base_free(scratch);
    release_page(kv, own);
    return err;
}

/* Gives back pages behind the sinks whose last cell the next token doesn't see. */
static void evict(struct llm_sequence *s)
{
    if (!s->slide.window)
        return;
    int32_t page_size = s->kv->params.page_size, first = llm_sequence_sink_pages(s);
    int32_t visible = s->n + 1 - s->slide.window; /* the first place that the next token sees */
    int32_t gone = visible / page_size - first;
    if (gone <= 0)
        return;
    for (int32_t i = first; i < first + gone; i++)
        release_page(s->kv, s->pages[i]);
    int32_t cells = gone * page_size;
    memmove(s->pages + first, s->pages + first + gone, (size_t)(s->n_pages - first - gone) * sizeof *s->pages);
    memmove(s->cells + first * page_size, s->cells + (first + gone) * page_size,
            (size_t)(s->n - (first + gone) * page_size) * sizeof *s->cells);
    s->n_pages -= gone;
    s->n -= cells;
    s->evicted += cells;
}

int llm_sequence_reserve(struct llm_sequence *s, int32_t n)
{
    int err;
    int32_t page_size = s->kv->params.page_size;
    evict(s);
    if (s->n % page_size)
        TRY(llm_sequence_own_page(s, s->n / page_size));
    while ((int64_t)s->n_pages * page_size < (int64_t)s->n + n) {
        if (s->n_pages == s->kv->n_pages) /* the list is as long as the pool; taking fails with the right words */
            TRY(take_page(s->kv, &(int32_t){0}));
        TRY(take_page(s->kv, &s->pages[s->n_pages]));
        s->n_pages++;
    }
    return PR_OK;
fail:
    llm_sequence_trim(s);
    return err;
}

void llm_sequence_append(struct llm_sequence *s, const struct llm_cell *cells, int32_t n)
{
    memcpy(s->cells + s->n, cells, (size_t)n * sizeof *cells);
    s->n += n;
}
