/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/mem.h"
#include "engine/model.h"

#include <stdio.h>
#include <string.h>

/* The tokens of all media, one behind the other. */
static int join(struct pr_visual *out, struct engine_media *media)
{
    size_t n_runs = 0;
    bool grid = false;
    for (size_t i = 0; i < media->n; i++)
        for (size_t k = 0; k < media->media[i].n_runs; k++) {
            const struct engine_run *run = &media->media[i].runs[k];
            n_runs += !run->text;
            out->n += run->text ? 0 : (size_t)run->n;
            grid |= run->positions != NULL;
        }
    out->runs = base_alloc_array(n_runs + 1, sizeof *out->runs);
    out->rows = base_try_alloc(out->n, out->width * sizeof *out->rows);
    out->positions = grid ? base_try_alloc(out->n, sizeof *out->positions) : NULL;
    if (!out->rows || (grid && !out->positions))
        return base_fail(PR_ERR_NOMEM, "no memory for %zu visual tokens", out->n);
    for (size_t i = 0, at = 0; i < media->n; i++) {
        out->tile_rows = media->media[i].tile_rows;
        out->tile_cols = media->media[i].tile_cols;
        for (size_t k = 0; k < media->media[i].n_runs; k++) {
            struct engine_run *run = &media->media[i].runs[k];
            size_t n = run->text ? 0 : (size_t)run->n;
            if (n > 0) {
                memcpy(out->rows + at * out->width, run->rows, n * out->width * sizeof *out->rows);
                if (grid)
                    memcpy(out->positions + at, run->positions, n * sizeof *out->positions);
                out->runs[out->n_runs++] =
                    (struct pr_visual_run){at, n, run->frames, run->grid_rows, run->grid_cols, media->media[i].partial};
            }
            at += n;
            engine_run_finish(run); /* what is copied goes, so that little is there twice */
        }
    }
    return PR_OK;
}

int pr_embed(const char *path, const struct pr_settings *settings, struct pr_cancel *cancel, struct pr_visual *out)
{
    int err;
    struct pr_settings s;
    struct engine_media media = {0};
    struct pr_model *model = base_alloc(sizeof *model);
    *out = (struct pr_visual){0};
    TRY(engine_settings(settings, &s));
    TRY(engine_open_devices(model, &s));
    TRY(engine_vision_open(&model->vision, s.mmproj, s.model, model->device, model->host, NULL, NULL));
    TRY(engine_media_read(&media, &model->vision, PR_ITEM_FILE, path, &s, cancel));
    out->width = (size_t)vision_encoder_width(model->vision.encoder);
    snprintf(out->family, sizeof out->family, "%s", vision_encoder_params(model->vision.encoder)->family->title);
    TRY(join(out, &media));
fail:
    engine_media_finish(&media);
    pr_model_close(model);
    if (err < 0)
        pr_visual_finish(out);
    return err;
}

int pr_visual_plan(const char *path, enum pr_item_kind kind, struct pr_model *model, const struct pr_settings *settings,
                   struct pr_cancel *cancel, struct pr_visual_plan *out)
{
    int err;
    struct pr_settings s;
    struct pr_model *own = NULL;
    *out = (struct pr_visual_plan){0};
    TRY(engine_settings(settings, &s));
    if (!model) {
        model = own = base_alloc(sizeof *own);
        TRY(engine_open_devices(own, &s));
        TRY(engine_vision_open(&own->vision, s.mmproj, s.model, own->device, own->host, NULL, NULL));
        kind = PR_ITEM_FILE;
    }
    TRY(engine_need_vision(model));
    TRY(engine_media_plan(&model->vision, kind, path, &s, cancel, out));
    if (own) /* rows stand in pr_visual's own array, too */
        out->memory += (uint64_t)out->tokens * ((uint64_t)out->width * sizeof(float) + 16);
fail:
    pr_model_close(own);
    return err;
}

void pr_visual_finish(struct pr_visual *visual)
{
    base_free(visual->rows);
    base_free(visual->runs);
    base_free(visual->positions);
    *visual = (struct pr_visual){0};
}
