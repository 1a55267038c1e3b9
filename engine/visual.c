/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/visual.h"

#include <stdio.h>
#include <string.h>

/* What rows depend on besides the file: change it when pictures are prepared otherwise. */
static const char preparation[] = "prepared 1";
/* What segments depend on besides the options: change it when frames are chosen, merged or ordered otherwise. */
static const char compression[] = "compressed 2";

enum { SAMPLE = 256 };

static void hash_tensor(struct base_hash *hash, const struct gguf_tensor *t)
{
    base_hash_update(hash, t->name, strlen(t->name) + 1);
    base_hash_update(hash, t->ne, sizeof t->ne);
    base_hash_update(hash, &t->size, sizeof t->size);
    if (t->size <= 2 * SAMPLE) {
        base_hash_update(hash, t->data, t->size);
        return;
    }
    base_hash_update(hash, t->data, SAMPLE);
    base_hash_update(hash, (const char *)t->data + t->size / 2, SAMPLE);
}

void engine_encoder_identity(const struct engine_vision *vision, unsigned char out[ENGINE_ENCODER_BYTES])
{
    struct base_hash hash;
    unsigned char result[BASE_HASH_BYTES];
    const struct vision_params *p = &vision->params;
    base_hash_init(&hash);
    base_hash_update(&hash, preparation, sizeof preparation);
    base_hash_update(&hash, p->family->name, strlen(p->family->name) + 1);
    base_hash_update(&hash, p->mean, sizeof p->mean);
    base_hash_update(&hash, p->std, sizeof p->std);
    const int64_t sizes[] = {p->n_layer, p->n_head,       p->image_size,    p->patch,      p->merge,
                             p->d_out,   p->longest_edge, p->min_pixels,    p->max_pixels, p->window,
                             p->rope,    p->activation,   p->window_pattern};
    base_hash_update(&hash, sizes, sizeof sizes);
    base_hash_update(&hash, &p->norm_eps, sizeof p->norm_eps);
    for (size_t i = 0; i < model_gguf_n_tensors(vision->gguf); i++)
        hash_tensor(&hash, model_gguf_tensor_at(vision->gguf, i));
    base_hash_final(&hash, result);
    memcpy(out, result, ENGINE_ENCODER_BYTES);
}

enum type engine_row_type(const struct pr_settings *s, int32_t d_out)
{
    return !strcmp(s->row_type, "q8_0") && d_out % 32 == 0 ? TYPE_Q8_0 : TYPE_F16;
}

void engine_visual_setup(const struct engine_vision *vision, const struct pr_settings *s, char text[256],
                         struct evidence_setup *out)
{
    struct base_hash hash;
    unsigned char result[BASE_HASH_BYTES];
    const struct vision_params *p = &vision->params;
    *out = (struct evidence_setup){.made = EVIDENCE_VISUAL,
                                   .columns = p->d_out * (1 + p->n_deepstack),
                                   .row_type = engine_row_type(s, p->d_out),
                                   .text = text};
    engine_encoder_identity(vision, out->fingerprint);
    const int32_t chosen[] = {s->frames, s->scenes, s->keys, s->image_tokens};
    base_hash_init(&hash);
    base_hash_update(&hash, compression, sizeof compression);
    base_hash_update(&hash, &s->keep, sizeof s->keep);
    base_hash_update(&hash, &s->fps, sizeof s->fps);
    base_hash_update(&hash, chosen, sizeof chosen);
    base_hash_update(&hash, &out->row_type, sizeof out->row_type);
    base_hash_final(&hash, result);
    memcpy(out->fingerprint + ENGINE_ENCODER_BYTES, result, BASE_HASH_BYTES - ENGINE_ENCODER_BYTES);
    char which[48];
    if (s->frames > 0)
        snprintf(which, sizeof which, "%d frames", s->frames);
    else if (s->scenes || s->keys)
        snprintf(which, sizeof which, "%s", s->scenes ? "a frame of each scene" : "key frames");
    else
        snprintf(which, sizeof which, "%g a second", (double)s->fps);
    snprintf(text, 256, "%s%s%.100s, %s, %g %% kept%s", p->family->title, *p->name ? " " : "", p->name, which,
             100 * (double)s->keep, out->row_type == TYPE_Q8_0 ? " in q8_0" : "");
}

static bool is_of(const struct evidence_setup *setup, const unsigned char *encoder)
{
    return setup->made == EVIDENCE_VISUAL && (!encoder || !memcmp(setup->fingerprint, encoder, ENGINE_ENCODER_BYTES));
}

const struct evidence_setup *engine_visual_find(const struct evidence *evidence,
                                                const unsigned char encoder[ENGINE_ENCODER_BYTES])
{
    const struct evidence_setup *best = NULL, *setup;
    for (size_t i = 0; (setup = memory_evidence_setup_at(evidence, i)); i++)
        if (is_of(setup, encoder) && (!best || memory_evidence_seen(evidence, setup->number).complete ||
                                      !memory_evidence_seen(evidence, best->number).complete))
            best = setup;
    return best;
}

const struct evidence_setup *engine_visual_recalled(const struct recall_index *index,
                                                    const unsigned char encoder[ENGINE_ENCODER_BYTES])
{
    const struct evidence_setup *best = NULL, *setup;
    bool complete, best_complete = false;
    for (size_t i = 0; (setup = memory_recall_setup_at(index, i, &complete)); i++)
        if (is_of(setup, encoder) && (!best || complete || !best_complete)) {
            best = setup;
            best_complete = complete;
        }
    return best;
}

const struct evidence_setup *engine_visual_exact(const struct evidence *evidence, const struct evidence_setup *wanted)
{
    const struct evidence_setup *setup;
    for (size_t i = 0; (setup = memory_evidence_setup_at(evidence, i)); i++)
        if (setup->made == EVIDENCE_VISUAL && !memcmp(setup->fingerprint, wanted->fingerprint, BASE_HASH_BYTES))
            return setup;
    return NULL;
}

const struct evidence_setup *engine_visual_latest(const struct evidence *evidence)
{
    return engine_visual_find(evidence, NULL);
}
