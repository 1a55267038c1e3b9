/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The table of families, and the keys of an mmproj file (clip.*) that they share. What model/hparams.c is for text models.
 */
#include "base/mem.h"
#include "vision/family.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct vision_family *const families[] = {
    &vision_family_idefics3, &vision_family_qwen3vl,  &vision_family_qwen2vl,
    &vision_family_qwen25vl, &vision_family_internvl,
};
enum { N_FAMILIES = sizeof families / sizeof families[0] };

/* Ranges that no encoder of today reaches and that keep every product of two of them inside an int32. */
enum { MAX_WIDTH = 1 << 16, MAX_HEADS = 1024, MAX_PATCH = 64, MAX_PICTURE = 8192, MAX_MERGE = 16 };

int vision_family_find(const char *name, const struct vision_family **out)
{
    struct base_buf known = {0};
    for (int i = 0; i < N_FAMILIES; i++)
        if (!strcmp(families[i]->name, name)) {
            *out = families[i];
            return PR_OK;
        }
    for (int i = 0; i < N_FAMILIES; i++)
        base_buf_printf(&known, "%s%s (%s)", i ? ", " : "", families[i]->name, families[i]->title);
    int err =
        base_fail(PR_ERR_UNSUPPORTED, "the vision family \"%s\" isn't supported; these are: %s", name, known.data);
    base_buf_finish(&known);
    return err;
}

const struct vision_family *vision_family_at(size_t i)
{
    return i < N_FAMILIES ? families[i] : NULL;
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

static int wrong(const struct gguf *gguf, const char *key, const char *what)
{
    return base_fail(PR_ERR_FORMAT, "%s: key \"%s\" %s; the file is damaged or was converted wrongly, get it again",
                     model_gguf_path(gguf), key, what);
}

int vision_key_int(const struct gguf *gguf, const char *key, int32_t min, int32_t max, int32_t fallback, int32_t *out)
{
    int64_t value = fallback;
    int err = model_gguf_i64(gguf, key, min, max, &value);
    if (err == PR_ERR_NOT_FOUND && fallback < 0)
        return wrong(gguf, key, "is missing");
    if (err < 0 && err != PR_ERR_NOT_FOUND)
        return err;
    *out = (int32_t)value;
    return PR_OK;
}

static int read_triple(const struct gguf *gguf, const char *key, bool positive, float out[3])
{
    struct gguf_array array;
    int err = model_gguf_array(gguf, key, &array);
    if (err < 0)
        return err == PR_ERR_NOT_FOUND ? wrong(gguf, key, "is missing") : err;
    if (array.n != 3 || (array.kind != GGUF_F32 && array.kind != GGUF_F64))
        return wrong(gguf, key, "is not an array of 3 numbers");
    for (size_t i = 0; i < 3; i++) {
        out[i] = model_gguf_array_f32(&array, i);
        if (!isfinite(out[i]) || fabsf(out[i]) > 1e3f || (positive && out[i] < 1e-3f))
            return wrong(gguf, key, "is out of range");
    }
    return PR_OK;
}

/* Without either key it is quick-GELU. */
static int read_activation(const struct gguf *gguf, enum activation *out)
{
    bool gelu = false, silu = false;
    int err = model_gguf_bool(gguf, "clip.use_gelu", &gelu);
    if (err < 0 && err != PR_ERR_NOT_FOUND)
        return err;
    err = model_gguf_bool(gguf, "clip.use_silu", &silu);
    if (err < 0 && err != PR_ERR_NOT_FOUND)
        return err;
    *out = silu ? ACT_SILU : gelu ? ACT_GELU_TANH : ACT_GELU_QUICK;
    return PR_OK;
}

/* Files from before families had names: LLaVA's and MiniCPM-V's, which say what they are by a flag. */
static const char *old_family(const struct gguf *gguf)
{
    bool is_it = false;
    if (model_gguf_bool(gguf, "clip.has_llava_projector", &is_it) == PR_OK && is_it)
        return "mlp (LLaVA)";
    if (model_gguf_bool(gguf, "clip.has_minicpmv_projector", &is_it) == PR_OK && is_it)
        return "resampler (MiniCPM-V)";
    return "";
}

static int read_family(const struct gguf *gguf, struct vision_params *p)
{
    static const char *const keys[] = {"clip.vision.projector_type", "clip.projector_type"};
    struct gguf_string s;
    char name[64] = "";
    if (model_gguf_string(gguf, "general.architecture", &s) < 0 || s.len != 4 || memcmp(s.data, "clip", 4) != 0)
        return base_fail(
            PR_ERR_FORMAT,
            "%s: is not the vision part of a model (mmproj); give the mmproj file with --mmproj and the text "
            "model with --model",
            model_gguf_path(gguf));
    for (int i = 0; i < 2 && !*name; i++)
        if (model_gguf_string(gguf, keys[i], &s) == PR_OK && s.len < sizeof name)
            memcpy(name, s.data, s.len);
    if (!*name)
        snprintf(name, sizeof name, "%s", old_family(gguf));
    bool hears = false, sees = true;
    model_gguf_bool(gguf, "clip.has_audio_encoder", &hears);
    model_gguf_bool(gguf, "clip.has_vision_encoder", &sees);
    if (hears && (!sees || !*name))
        return base_fail(PR_ERR_UNSUPPORTED,
                         "%s: it encodes sound alone, not pictures; give the model's mmproj file for those",
                         model_gguf_path(gguf));
    if (!*name)
        return wrong(gguf, keys[1], "is missing");
    int err = vision_family_find(name, &p->family);
    if (err < 0)
        return base_fail_prefix(err, "%s", model_gguf_path(gguf));
    if (model_gguf_string(gguf, "general.name", &s) == PR_OK)
        for (size_t i = 0; i < s.len && i < sizeof p->name - 1; i++) /* it will be printed: no control characters */
            p->name[i] = (unsigned char)s.data[i] < 0x20 || s.data[i] == 0x7f ? '?' : s.data[i];
    return PR_OK;
}

/* The key feed_forward_length isn't read: Qwen2-VL's files have something else there. The weights tell. */
static int read_feed_forward(const struct gguf *gguf, struct vision_params *p)
{
    const struct gguf_tensor *up = model_gguf_tensor(gguf, "v.blk.0.ffn_up.weight");
    int64_t width = !up ? 0 : up->ne[0] == p->d_model ? up->ne[1] : up->ne[0];
    if (width < 1 || width > MAX_WIDTH)
        return base_fail(PR_ERR_FORMAT,
                         "%s: tensor \"v.blk.0.ffn_up.weight\" is missing or of an impossible shape; the file is "
                         "damaged or was converted wrongly, get it again",
                         model_gguf_path(gguf));
    p->d_ff = (int32_t)width;
    return PR_OK;
}

int vision_params_read(const struct gguf *gguf, struct vision_params *out)
{
    int err;
    struct vision_params p = {.merge = 1, .n_frames = 1};
    TRY(read_family(gguf, &p));
    TRY(vision_key_int(gguf, "clip.vision.block_count", 1, VISION_MAX_LAYERS, -1, &p.n_layer));
    TRY(vision_key_int(gguf, "clip.vision.embedding_length", 1, MAX_WIDTH, -1, &p.d_model));
    TRY(read_feed_forward(gguf, &p));
    TRY(vision_key_int(gguf, "clip.vision.attention.head_count", 1, MAX_HEADS, -1, &p.n_head));
    TRY(vision_key_int(gguf, "clip.vision.projection_dim", 1, MAX_WIDTH, -1, &p.d_out));
    TRY(vision_key_int(gguf, "clip.vision.patch_size", 1, MAX_PATCH, -1, &p.patch));
    TRY(vision_key_int(gguf, "clip.vision.image_size", p.patch, MAX_PICTURE, -1, &p.image_size));
    if (p.d_model % p.n_head)
        TRY(wrong(gguf, "clip.vision.attention.head_count", "doesn't divide clip.vision.embedding_length"));
    TRY(read_triple(gguf, "clip.vision.image_mean", false, p.mean));
    TRY(read_triple(gguf, "clip.vision.image_std", true, p.std));
    TRY(read_activation(gguf, &p.activation));
    err = model_gguf_f32(gguf, "clip.vision.attention.layer_norm_epsilon", &p.norm_eps);
    if (err < 0)
        TRY(wrong(gguf, "clip.vision.attention.layer_norm_epsilon", "is missing or isn't a number"));
    if (!(p.norm_eps >= 0 && p.norm_eps < 1))
        TRY(wrong(gguf, "clip.vision.attention.layer_norm_epsilon", "is out of range"));
    TRY(p.family->read(gguf, &p));
    if (p.merge < 1 || p.merge > MAX_MERGE)
        TRY(wrong(gguf, "clip.vision.spatial_merge_size", "is out of range"));
    *out = p;
    return PR_OK;
fail:
    return err;
}
