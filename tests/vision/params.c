/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Keys of mmproj files: right ones, and each wrong in its turn. A wrong file is an error that names it and the key.
 */
#include "tests/support/gguf_writer.h"
#include "vision/family.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NAME "mmproj.gguf"

/* A key that is left out, or written with another value. */
struct change {
    const char *key;
    bool leave_out;
    uint32_t value;
};

static void write_u32(struct gguf_writer *w, const struct change *change, const char *key, uint32_t value)
{
    bool is_it = change->key && !strcmp(change->key, key);
    if (!is_it || !change->leave_out)
        gguf_writer_u32(w, key, is_it ? change->value : value);
}

static int read_changed(const struct change *change, struct vision_params *out)
{
    struct gguf_writer w = GGUF_WRITER_INIT;
    struct base_buf file = {0};
    struct gguf *gguf;
    const float half[3] = {0.5F, 0.5F, 0.5F};
    const char *arch = change->key && !strcmp(change->key, "general.architecture") ? "llama" : "clip";
    const char *family = "idefics3";
    if (change->key && !strcmp(change->key, "clip.projector_type"))
        family = "unheard_of";
    if (change->key && !strcmp(change->key, "qwen2.5o"))
        family = change->key;
    if (change->key && !strcmp(change->key, "clip.vision.n_wa_pattern"))
        family = "qwen2.5vl_merger"; /* without that key */
    gguf_writer_string(&w, "general.architecture", arch);
    if (change->key && !strncmp(change->key, "clip.has_", strlen("clip.has_")))
        gguf_writer_bool(&w, change->key, true); /* and no family */
    else
        gguf_writer_string(&w, "clip.projector_type", family);
    write_u32(&w, change, "clip.vision.block_count", 2);
    write_u32(&w, change, "clip.vision.embedding_length", 48);
    write_u32(&w, change, "clip.vision.attention.head_count", 3);
    write_u32(&w, change, "clip.vision.projection_dim", 64);
    write_u32(&w, change, "clip.vision.patch_size", 8);
    write_u32(&w, change, "clip.vision.image_size", 48);
    write_u32(&w, change, "clip.vision.projector.scale_factor", 2);
    if (!change->key || strcmp(change->key, "clip.vision.image_mean") != 0)
        gguf_writer_array(&w, "clip.vision.image_mean", GGUF_F32, 3, half, sizeof half);
    const float zero[3] = {0.5F, 0, 0.5F};
    bool flat = change->key && !strcmp(change->key, "clip.vision.image_std");
    gguf_writer_array(&w, "clip.vision.image_std", GGUF_F32, 3, flat ? zero : half, sizeof half);
    gguf_writer_f32(&w, "clip.vision.attention.layer_norm_epsilon", 1e-6F);
    gguf_writer_bool(&w, "clip.use_gelu", true);
    bool no_up = change->key && !strcmp(change->key, "ffn_up");
    gguf_writer_tensor(&w, no_up ? "v.blk.0.ffn_gate.weight" : "v.blk.0.ffn_up.weight", TYPE_F32, 2,
                       (int64_t[]){48, 80});
    gguf_writer_header(&w, &file);
    gguf_writer_data(&w, 0, NULL, &file);
    gguf_writer_finish(&w);
    assert_int_equal(model_gguf_open_memory(file.data, file.len, NAME, &gguf), PR_OK);
    int err = vision_params_read(gguf, out);
    model_gguf_close(gguf);
    base_buf_finish(&file);
    return err;
}

static void test_right(void **state)
{
    (void)state;
    struct vision_params p;
    assert_int_equal(read_changed(&(struct change){0}, &p), PR_OK);
    assert_ptr_equal(p.family, &vision_family_idefics3);
    assert_int_equal(p.merge, 2);
    assert_int_equal(p.n_positions, 36);
    assert_int_equal(p.d_ff, 80);
    assert_int_equal(p.longest_edge, 4 * 48); /* the key is newer than many files */
    assert_int_equal(p.activation, ACT_GELU_TANH);
}

static void test_wrong(void **state)
{
    (void)state;
    static const struct {
        struct change change;
        int err;
        const char *says;
    } cases[] = {
        {{"general.architecture", false, 0}, PR_ERR_FORMAT, "not the vision part"},
        {{"clip.projector_type", false, 0}, PR_ERR_UNSUPPORTED, "unheard_of"},
        {{"clip.has_audio_encoder", false, 0}, PR_ERR_UNSUPPORTED, "sound"},
        {{"clip.has_llava_projector", false, 0}, PR_ERR_UNSUPPORTED, "LLaVA"},
        {{"clip.has_minicpmv_projector", false, 0}, PR_ERR_UNSUPPORTED, "resampler"},
        {{"clip.has_vision_encoder", false, 0}, PR_ERR_FORMAT, "clip.projector_type"},
        {{"qwen2.5o", false, 0},
         PR_ERR_UNSUPPORTED,
         "qwen2.5vl_merger (Qwen2.5-VL)"}, /* its films count time otherwise */
        {{"clip.vision.n_wa_pattern", true, 0}, PR_ERR_FORMAT, "n_wa_pattern"},
        {{"clip.vision.block_count", true, 0}, PR_ERR_FORMAT, "missing"},
        {{"clip.vision.block_count", false, 100000}, PR_ERR_FORMAT, "clip.vision.block_count"},
        {{"clip.vision.attention.head_count", false, 5}, PR_ERR_FORMAT, "divide"},
        {{"clip.vision.attention.head_count", false, 0}, PR_ERR_FORMAT, "head_count"},
        {{"clip.vision.patch_size", false, 0}, PR_ERR_FORMAT, "patch_size"},
        {{"clip.vision.patch_size", false, 9}, PR_ERR_FORMAT, "patches"},
        {{"ffn_up", false, 0}, PR_ERR_FORMAT, "ffn_up"},
        {{"clip.vision.image_size", false, 1 << 30}, PR_ERR_FORMAT, "image_size"},
        {{"clip.vision.projector.scale_factor", false, 4}, PR_ERR_FORMAT, "patches"},
        {{"clip.vision.projector.scale_factor", true, 0}, PR_ERR_FORMAT, "missing"},
        {{"clip.vision.image_mean", true, 0}, PR_ERR_FORMAT, "image_mean"},
        {{"clip.vision.image_std", false, 0}, PR_ERR_FORMAT, "image_std"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct vision_params p;
        assert_int_equal(read_changed(&cases[i].change, &p), cases[i].err);
        if (strncmp(pr_error_message(), NAME ": ", strlen(NAME) + 2) != 0 || !strstr(pr_error_message(), cases[i].says))
            fail_msg("\"%s\" doesn't name the file and say \"%s\"", pr_error_message(), cases[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right),
        cmocka_unit_test(test_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
