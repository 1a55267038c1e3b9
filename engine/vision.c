/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/vision.h"

#include "base/mem.h"
#include "engine/model.h"
#include "llm/arch.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- finding the file ------------------------------------------------------------------------------------------- */

static bool is_mmproj(const char *name)
{
    size_t len = strlen(name);
    return strstr(name, "mmproj") && len > 5 && !strcmp(name + len - 5, ".gguf");
}

/* Characters of a name before its ending and the format of its weights, which other models' files share: 11 of
 * "Qwen3-VL-2B-Q4_K_M.gguf". */
static size_t stem(const char *name)
{
    static const char *const formats[] = {"f16", "f32", "bf16", "mxfp4", "q1",  "q2",  "q3", "q4",
                                          "q5",  "q6",  "q8",   "iq1",   "iq2", "iq3", "iq4"};
    size_t len = strlen(name);
    if (len > 5 && !strcmp(name + len - 5, ".gguf"))
        len -= 5;
    for (size_t at = len; at-- > 1;)
        for (size_t i = 0; i < sizeof formats / sizeof *formats && strchr("-._", name[at - 1]); i++)
            if (!strncasecmp(name + at, formats[i], strlen(formats[i])))
                return at - 1;
    return len;
}

/* How much two names share: the longest run of characters that both stems have. */
static size_t likeness(const char *a, const char *b)
{
    size_t best = 0;
    const char *end_a = a + stem(a), *end_b = b + stem(b);
    for (const char *p = a; p < end_a; p++)
        for (const char *q = b; q < end_b; q++) {
            size_t n = 0;
            while (p + n < end_a && q + n < end_b && p[n] == q[n])
                n++;
            best = n > best ? n : best;
        }
    return best;
}

struct beside {
    char name[256];
    size_t likeness; /* to the model's name */
};

static int most_alike(const void *a, const void *b)
{
    const struct beside *x = a, *y = b;
    return x->likeness != y->likeness ? (x->likeness < y->likeness ? 1 : -1) : strcmp(x->name, y->name);
}

/* The mmproj files beside the model, those first whose names are most like the model's. *out is the caller's, also when there are
 * none. */
static size_t find_beside(const char *folder, const char *name, struct beside **out)
{
    size_t n = 0;
    *out = NULL;
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (!is_mmproj(e->d_name) || strlen(e->d_name) >= sizeof(*out)->name)
            continue;
        if (!(n & (n - 1)))
            *out = base_realloc(*out, (n ? 2 * n : 1) * sizeof **out);
        (*out)[n].likeness = likeness(e->d_name, name);
        snprintf((*out)[n++].name, sizeof(*out)->name, "%.250s", e->d_name);
    }
    if (dir)
        closedir(dir);
    if (n > 0)
        qsort(*out, n, sizeof **out, most_alike);
    return n;
}

static bool knows_marks(const struct tokenizer *tokenizer, const struct vision_family *family)
{
    for (size_t i = 0; i < sizeof family->marks / sizeof *family->marks; i++)
        if (family->marks[i] && model_token_find(tokenizer, family->marks[i]) < 0)
            return false;
    return true;
}

/* Whether a model has the marks of another family and not of this one. One that has none at all reads them as text. */
static bool is_of_another(const struct tokenizer *tokenizer, const struct vision_family *family)
{
    const struct vision_family *other;
    bool knows_other = false;
    for (size_t i = 0; (other = vision_family_at(i)); i++)
        knows_other |= other != family && knows_marks(tokenizer, other);
    return knows_other && !knows_marks(tokenizer, family);
}

static int check_fit(const struct engine_vision *v, const char *path, const char *model, const struct hparams *hp,
                     const struct tokenizer *tokenizer)
{
    const struct vision_params *p = &v->params;
    if (p->d_out != hp->d_model)
        return base_fail(PR_ERR_INVALID,
                         "%s doesn't belong to %s: it makes visual tokens of %d values, the model reads rows of %d",
                         path, model, p->d_out, hp->d_model);
    if (p->n_deepstack != hp->n_deepstack)
        return base_fail(PR_ERR_INVALID, "%s doesn't belong to %s: it makes %d DeepStack slices, the model reads %d",
                         path, model, p->n_deepstack, hp->n_deepstack);
    if (p->family->grid_positions != (hp->rope.kind == ROPE_MROPE || hp->rope.kind == ROPE_IMROPE))
        return base_fail(PR_ERR_INVALID,
                         "%s doesn't belong to %s: the positions of a %s encoder are not those of a %s model", path,
                         model, p->family->title, hp->arch);
    if (tokenizer && is_of_another(tokenizer, p->family))
        return base_fail(PR_ERR_INVALID,
                         "%s doesn't belong to %s: pictures of a %s encoder stand between marks like %s, which the "
                         "model doesn't know",
                         path, model, p->family->title, p->family->marks[0]);
    return PR_OK;
}

static int peek_at(struct engine_vision *out, const char *path, const char *model, const struct hparams *hp,
                   const struct tokenizer *tokenizer)
{
    int err;
    TRY(model_gguf_open(path, &out->gguf));
    TRY(vision_params_read(out->gguf, &out->params));
    if (hp)
        TRY(check_fit(out, path, model, hp, tokenizer));
    return PR_OK;
fail:
    engine_vision_close(out);
    return err;
}

/* Of those that lie beside the model the first one that fits; if none does, what is wrong with the likeliest. */
static int peek_fitting(struct engine_vision *out, const char *model, const struct hparams *hp,
                        const struct tokenizer *tokenizer)
{
    const char *slash = strrchr(model, '/');
    char why[1024] = "";
    struct base_buf folder = {0}, path = {0};
    struct beside *found;
    base_buf_printf(&folder, "%.*s", slash ? (int)(slash - model) + 1 : 2, slash ? model : "./");
    size_t n = find_beside(folder.data, slash ? slash + 1 : model, &found);
    int err = PR_OK, result = PR_ERR_NOT_FOUND;
    for (size_t i = 0; i < n && result < 0; i++) {
        path.len = 0;
        base_buf_printf(&path, "%s%s", slash ? folder.data : "", found[i].name);
        result = peek_at(out, path.data, model, hp, tokenizer);
        if (i == 0) {
            err = result;
            snprintf(why, sizeof why, "%s", pr_error_message());
        }
    }
    base_buf_finish(&folder);
    base_buf_finish(&path);
    base_free(found);
    if (n == 0)
        return base_fail(PR_ERR_NOT_FOUND,
                         "%s: no mmproj file lies beside it, so it can't see pictures; give one with --mmproj FILE",
                         model);
    return result < 0 ? base_fail(err, "%s", why) : PR_OK;
}

static int peek_beside(struct engine_vision *out, const char *model, const struct hparams *hp,
                       const struct tokenizer *tokenizer)
{
    int err;
    struct gguf *gguf = NULL;
    struct tokenizer *own = NULL;
    struct hparams read;
    const struct llm_arch *arch;
    if (hp)
        return peek_fitting(out, model, hp, tokenizer);
    TRY(model_gguf_open(model, &gguf));
    TRY(model_hparams_read(gguf, &read));
    TRY(llm_arch_find(read.arch, &arch));
    TRY(arch->prepare(&read));
    TRY(model_tokenizer_create(gguf, &own));
    err = peek_fitting(out, model, &read, own);
fail:
    model_tokenizer_destroy(own);
    model_gguf_close(gguf);
    return err;
}

int engine_vision_peek(struct engine_vision *out, const char *mmproj, const char *model, const struct hparams *hp,
                       const struct tokenizer *tokenizer)
{
    *out = (struct engine_vision){0};
    if (!*mmproj && !*model)
        return base_fail(PR_ERR_INVALID, "no vision part of a model was given; use --mmproj FILE");
    return *mmproj ? peek_at(out, mmproj, model, hp, tokenizer) : peek_beside(out, model, hp, tokenizer);
}

int engine_vision_open(struct engine_vision *out, const char *mmproj, const char *model, struct device *device,
                       struct device *host, const struct hparams *hp, const struct tokenizer *tokenizer)
{
    int err;
    struct vision_encoder_options options = {.device = device, .host = host};
    if (!out->gguf)
        TRY(engine_vision_peek(out, mmproj, model, hp, tokenizer));
    TRY(vision_encoder_create(out->gguf, &options, &out->encoder));
    return PR_OK;
fail:
    engine_vision_close(out);
    return err;
}

void engine_vision_close(struct engine_vision *v)
{
    vision_encoder_destroy(v->encoder);
    model_gguf_close(v->gguf);
    *v = (struct engine_vision){0};
}
