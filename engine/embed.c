/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/mem.h"
#include "engine/model.h"
#include "engine/source.h"
#include "ingest/source.h"

#include <stdio.h>
#include <string.h>

/* How a file is to be seen follows from what it is. */
static int kind_of(const char *path, const struct pr_settings *settings, struct pr_cancel *cancel,
                   enum pr_item_kind *out)
{
    int err;
    struct ingest_options options;
    struct ingest_source *source = NULL;
    TRY(engine_source_options(settings, cancel, &options));
    TRY(ingest_open(path, &options, &source));
    const char *kind = ingest_info(source)->kind;
    *out = !strcmp(kind, "video") ? PR_ITEM_VIDEO : !strcmp(kind, "image") ? PR_ITEM_IMAGE : PR_ITEM_PAGES;
fail:
    ingest_close(source);
    return err;
}

/* The tokens of one medium behind those that are there. */
static int append(struct pr_visual *out, const struct engine_medium *m)
{
    const struct vision_layout *layout = &m->layout;
    const struct vision_family *family = layout->params->family;
    size_t n = (size_t)layout->n_tokens, all = out->n + n;
    float *rows = base_try_alloc(all, out->width * sizeof *rows);
    int32_t(*positions)[4] = family->grid_positions ? base_try_alloc(all, sizeof *positions) : NULL;
    if (!rows || (family->grid_positions && !positions)) {
        base_free(rows);
        base_free(positions);
        return base_fail(PR_ERR_NOMEM, "no memory for %zu visual tokens", all);
    }
    if (out->n)
        memcpy(rows, out->rows, out->n * out->width * sizeof *rows);
    memcpy(rows + out->n * out->width, m->rows, n * out->width * sizeof *rows);
    if (positions && out->n)
        memcpy(positions, out->positions, out->n * sizeof *positions);
    base_free(out->rows);
    base_free(out->positions);
    out->rows = rows;
    out->positions = positions;
    out->tile_rows = layout->tile_rows;
    out->tile_cols = layout->tile_cols;
    for (int32_t i = 0; i < layout->n_pieces; i++) {
        const struct vision_piece *piece = &layout->pieces[i];
        int32_t advance;
        if (piece->text)
            continue;
        const struct vision_crop *crop = &layout->crops[piece->crop];
        struct pr_visual_run run = {.first = out->n + (size_t)vision_tokens(layout, 0, piece->crop),
                                    .n = (size_t)vision_tokens(layout, piece->crop, piece->n_crops),
                                    .frames = piece->n_crops,
                                    .rows = crop->rows,
                                    .cols = crop->cols};
        if (positions)
            vision_positions(layout, piece, positions[run.first], &advance);
        out->runs = base_realloc(out->runs, (out->n_runs + 1) * sizeof *out->runs);
        out->runs[out->n_runs++] = run;
    }
    out->n = all;
    return PR_OK;
}

int pr_embed(const char *path, const struct pr_settings *settings, struct pr_cancel *cancel, struct pr_visual *out)
{
    int err;
    struct pr_settings s;
    enum pr_item_kind kind;
    struct engine_media media = {0};
    struct pr_model *model = base_alloc(sizeof *model);
    *out = (struct pr_visual){0};
    TRY(engine_settings(settings, &s));
    TRY(engine_open_devices(model, &s));
    TRY(engine_vision_open(&model->vision, s.mmproj, s.model, model->device, model->host, NULL));
    TRY(kind_of(path, &s, cancel, &kind));
    TRY(engine_media_read(&media, &model->vision, kind, path, &s, cancel));
    out->width = (size_t)vision_encoder_width(model->vision.encoder);
    snprintf(out->family, sizeof out->family, "%s", vision_encoder_params(model->vision.encoder)->family->title);
    for (size_t i = 0; i < media.n; i++)
        TRY(append(out, &media.media[i]));
    err = PR_OK;
fail:
    engine_media_finish(&media);
    pr_model_close(model);
    if (err < 0)
        pr_visual_finish(out);
    return err;
}

void pr_visual_finish(struct pr_visual *visual)
{
    base_free(visual->rows);
    base_free(visual->runs);
    base_free(visual->positions);
    *visual = (struct pr_visual){0};
}
