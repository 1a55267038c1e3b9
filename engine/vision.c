/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/vision.h"

#include "base/mem.h"
#include "engine/model.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

/* ---- finding the file ------------------------------------------------------------------------------------------- */

static bool is_mmproj(const char *name)
{
    size_t len = strlen(name);
    return strstr(name, "mmproj") && len > 5 && !strcmp(name + len - 5, ".gguf");
}

/* How much two names share: the longest run of characters that both have. */
static size_t likeness(const char *a, const char *b)
{
    size_t best = 0;
    for (const char *p = a; *p; p++)
        for (const char *q = b; *q; q++) {
            size_t n = 0;
            while (p[n] && p[n] == q[n])
                n++;
            best = n > best ? n : best;
        }
    return best;
}

/* The mmproj beside the model: of several the one whose name is most like the model's. */
static int find_beside(const char *model, struct base_buf *out)
{
    const char *slash = strrchr(model, '/'), *name = slash ? slash + 1 : model;
    struct base_buf folder = {0};
    char best[256] = "";
    base_buf_printf(&folder, "%.*s", slash ? (int)(slash - model) : 1, slash ? model : ".");
    DIR *dir = opendir(folder.len ? folder.data : "/");
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (!is_mmproj(e->d_name) || strlen(e->d_name) >= sizeof best)
            continue;
        size_t old = likeness(best, name), new = likeness(e->d_name, name);
        if (!*best || new > old || (new == old &&strcmp(e->d_name, best) < 0))
            snprintf(best, sizeof best, "%.250s", e->d_name);
    }
    if (dir)
        closedir(dir);
    if (*best)
        base_buf_printf(out, "%s/%s", folder.data ? folder.data : "", best);
    base_buf_finish(&folder);
    return *best ? PR_OK
                 : base_fail(PR_ERR_NOT_FOUND,
                             "%s: no mmproj file lies beside it, so it can't see pictures; give one with --mmproj FILE",
                             model);
}

static int check_fit(const struct engine_vision *v, const char *path, const struct hparams *hp, const char *model)
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
    return PR_OK;
}

int engine_vision_peek(struct engine_vision *out, const char *mmproj, const char *model, const struct hparams *hp)
{
    int err;
    struct base_buf found = {0};
    const char *path = mmproj;
    *out = (struct engine_vision){0};
    if (!*path && !*model)
        return base_fail(PR_ERR_INVALID, "no vision part of a model was given; use --mmproj FILE");
    if (!*path) {
        TRY(find_beside(model, &found));
        path = found.data;
    }
    TRY(model_gguf_open(path, &out->gguf));
    TRY(vision_params_read(out->gguf, &out->params));
    if (hp)
        TRY(check_fit(out, path, hp, model));
    base_buf_finish(&found);
    return PR_OK;
fail:
    base_buf_finish(&found);
    engine_vision_close(out);
    return err;
}

int engine_vision_open(struct engine_vision *out, const char *mmproj, const char *model, struct device *device,
                       struct device *host, const struct hparams *hp)
{
    int err;
    struct vision_encoder_options options = {.device = device, .host = host};
    if (!out->gguf)
        TRY(engine_vision_peek(out, mmproj, model, hp));
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
