/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The forms that published mmproj files have: queries, keys and values together or apart, feed-forward matrices under each other's
 * name, keys that older converters didn't write. The goldens are written anew in each form and must give the same tokens, to the bit.
 * A file that lacks any one of its tensors, or has more layers than it says, is refused.
 */
#include "tests/support/gguf_writer.h"
#include "vision/encoder.h"

#include "compute/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct form {
    const char *family;
    bool together, apart, swapped;
    const char *without;        /* a key that is left out */
    const char *without_tensor; /* a tensor */
    bool fewer;                 /* layers, says the key, than there are */
    const char *projector_key;
    float eps;    /* in the place of the golden's; 0: that */
    bool surgery; /* as qwen2_vl_surgery.py wrote them until 2025 */
    bool hears;   /* sound beside pictures, as of Qwen3-Omni */
};

static size_t element_size(enum gguf_kind kind)
{
    switch (kind) {
    case GGUF_U8:
    case GGUF_I8:
    case GGUF_BOOL:
        return 1;
    case GGUF_U16:
    case GGUF_I16:
        return 2;
    case GGUF_U64:
    case GGUF_I64:
    case GGUF_F64:
        return 8;
    default:
        return 4;
    }
}

static void copy_key(const struct gguf *from, size_t i, const struct form *form, struct gguf_writer *to)
{
    enum gguf_kind kind;
    struct gguf_string name = model_gguf_key_at(from, i, &kind), text;
    struct gguf_array array;
    char key[128], value[256];
    int64_t integer;
    float real;
    bool yes;
    snprintf(key, sizeof key, "%.*s", (int)name.len, name.data);
    if (form->without && !strcmp(key, form->without))
        return;
    if (kind == GGUF_STRING) {
        assert_int_equal(model_gguf_string(from, key, &text), PR_OK);
        snprintf(value, sizeof value, "%.*s", (int)text.len, text.data);
        bool projector = form->projector_key && !strcmp(key, "clip.projector_type");
        gguf_writer_string(to, projector ? form->projector_key : key, value);
    } else if (kind == GGUF_ARRAY) {
        assert_int_equal(model_gguf_array(from, key, &array), PR_OK);
        gguf_writer_array(to, key, array.kind, array.n, array.elements, array.n * element_size(array.kind));
    } else if (kind == GGUF_F32) {
        assert_int_equal(model_gguf_f32(from, key, &real), PR_OK);
        gguf_writer_f32(to, key, form->eps != 0 && strstr(key, "layer_norm_epsilon") ? form->eps : real);
    } else if (kind == GGUF_BOOL) {
        assert_int_equal(model_gguf_bool(from, key, &yes), PR_OK);
        gguf_writer_bool(to, key, yes);
    } else {
        assert_int_equal(model_gguf_i64(from, key, 0, UINT32_MAX, &integer), PR_OK);
        if (form->fewer && !strcmp(key, "clip.vision.block_count"))
            integer--;
        gguf_writer_u32(to, key, form->surgery && strstr(key, "feed_forward_length") ? 0 : (uint32_t)integer);
    }
}

/* What is written: tensors with their data, which lies in the golden or in `own`. */
struct written {
    struct gguf_writer w;
    const void *data[512];
    void *own[512];
    size_t n, n_own;
};

static void put(struct written *out, const char *name, enum type type, int n_dims, const int64_t *ne, const void *data)
{
    assert_true(out->n < 512);
    gguf_writer_tensor(&out->w, name, type, n_dims, ne);
    out->data[out->n++] = data;
}

/* "v.blk.3.attn_q.weight" with another part. */
static void other_part(char to[64], const char *name, const char *part, const char *instead)
{
    const char *at = strstr(name, part);
    snprintf(to, 64, "%.*s%s%s", (int)(at - name), name, instead, at + strlen(part));
}

static void put_together(const struct gguf *from, const struct gguf_tensor *q, struct written *out)
{
    static const char *const parts[] = {".attn_q.", ".attn_k.", ".attn_v."};
    char name[64];
    char *data = out->own[out->n_own++] = malloc(3 * q->size);
    for (size_t i = 0; i < 3; i++) {
        other_part(name, q->name, ".attn_q.", parts[i]);
        const struct gguf_tensor *t = model_gguf_tensor(from, name);
        assert_true(t && t->size == q->size && t->type == q->type);
        memcpy(data + i * q->size, t->data, q->size);
    }
    int last = q->n_dims - 1;
    int64_t ne[4] = {q->ne[0], q->ne[1], 1, 1};
    ne[last] *= 3;
    other_part(name, q->name, ".attn_q.", ".attn_qkv.");
    put(out, name, q->type, q->n_dims, ne, data);
}

static void put_apart(const struct gguf_tensor *qkv, struct written *out)
{
    static const char *const parts[] = {".attn_q.", ".attn_k.", ".attn_v."};
    int64_t ne[4] = {qkv->ne[0], qkv->ne[1], 1, 1};
    ne[qkv->n_dims - 1] /= 3;
    for (size_t i = 0; i < 3; i++) {
        char name[64];
        other_part(name, qkv->name, ".attn_qkv.", parts[i]);
        put(out, name, qkv->type, qkv->n_dims, ne, (const char *)qkv->data + i * (qkv->size / 3));
    }
}

static void copy_tensor(const struct gguf *from, const struct gguf_tensor *t, const struct form *form,
                        struct written *out)
{
    char name[64];
    snprintf(name, sizeof name, "%s", t->name);
    if (form->without_tensor && !strcmp(name, form->without_tensor))
        return;
    if (form->together && strstr(t->name, ".attn_q."))
        put_together(from, t, out);
    else if (form->together && (strstr(t->name, ".attn_k.") || strstr(t->name, ".attn_v.")))
        return;
    else if (form->apart && strstr(t->name, ".attn_qkv."))
        put_apart(t, out);
    else {
        if (form->swapped && strstr(t->name, ".ffn_up."))
            other_part(name, t->name, ".ffn_up.", ".ffn_down.");
        else if (form->swapped && strstr(t->name, ".ffn_down."))
            other_part(name, t->name, ".ffn_down.", ".ffn_up.");
        put(out, name, t->type, t->n_dims, t->ne, t->data);
    }
}

/* Keys and tensors that nobody needs. */
static void put_more(const struct form *form, struct written *out)
{
    static const float zeros[100];
    if (form->surgery) {
        gguf_writer_bool(&out->w, "clip.has_text_encoder", false);
        gguf_writer_bool(&out->w, "clip.has_qwen2vl_merger", true);
        put(out, "v.position_embd.weight", TYPE_F32, 2, (int64_t[]){10, 10}, zeros);
    }
    if (form->hears) {
        gguf_writer_bool(&out->w, "clip.has_audio_encoder", true);
        gguf_writer_string(&out->w, "clip.audio.projector_type", "qwen3a");
        gguf_writer_u32(&out->w, "clip.audio.block_count", 32);
        put(out, "a.blk.0.attn_q.weight", TYPE_F32, 2, (int64_t[]){10, 10}, zeros);
    }
}

static uint8_t *write_form(const struct gguf *from, const struct form *form, size_t *size)
{
    struct written out = {.w = GGUF_WRITER_INIT};
    struct base_buf file = {0};
    for (size_t i = 0; i < model_gguf_n_keys(from); i++)
        copy_key(from, i, form, &out.w);
    for (size_t i = 0; i < model_gguf_n_tensors(from); i++)
        copy_tensor(from, model_gguf_tensor_at(from, i), form, &out);
    put_more(form, &out);
    gguf_writer_header(&out.w, &file);
    for (size_t i = 0; i < out.n; i++)
        gguf_writer_data(&out.w, i, out.data[i], &file);
    gguf_writer_finish(&out.w);
    for (size_t i = 0; i < out.n_own; i++)
        free(out.own[i]);
    uint8_t *memory = aligned_alloc(4096, base_align(file.len, 4096));
    memcpy(memory, file.data, file.len);
    *size = file.len;
    base_buf_finish(&file);
    return memory;
}

/* The visual tokens of a picture, seen whole. */
static float *encode(const struct gguf *gguf, struct device *device, size_t *n)
{
    enum { W = 60, H = 40 };
    struct vision_encoder *encoder;
    struct vision_layout layout;
    struct vision_encoder_options options = {.device = device, .host = device};
    uint8_t picture[W * H * 3];
    for (size_t i = 0; i < sizeof picture; i++)
        picture[i] = (uint8_t)(i * 37 % 251);
    if (vision_encoder_create(gguf, &options, &encoder) < 0)
        fail_msg("%s", pr_error_message());
    struct vision_image image = {.width = W, .height = H, .stride = W * 3, .rgb = picture};
    struct vision_request request = {.medium = VISION_IMAGE, .width = W, .height = H, .n_frames = 1, .whole = true};
    assert_int_equal(vision_layout_init(&layout, vision_encoder_params(encoder), &request), PR_OK);
    uint8_t *rgb = base_alloc(vision_fill_size(&layout, 0, layout.n_crops));
    *n = (size_t)layout.n_tokens * (size_t)vision_encoder_width(encoder);
    float *rows = base_alloc_array(*n, sizeof *rows);
    assert_int_equal(vision_fill(&layout, 0, layout.n_crops, &image, rgb), PR_OK);
    assert_int_equal(vision_encode(encoder, &layout, 0, layout.n_crops, rgb, rows, NULL), PR_OK);
    base_free(rgb);
    vision_layout_finish(&layout);
    vision_encoder_destroy(encoder);
    return rows;
}

static void check(const struct form *form)
{
    char path[128];
    size_t size, n_a, n_b;
    struct gguf *golden, *other;
    struct device *device;
    snprintf(path, sizeof path, "tests/golden/vision/%s.mmproj.f16.gguf", form->family);
    assert_int_equal(model_gguf_open(path, &golden), PR_OK);
    assert_int_equal(compute_device_open("cpu", NULL, &device), PR_OK);
    uint8_t *memory = write_form(golden, form, &size);
    if (model_gguf_open_memory(memory, size, "form.gguf", &other) < 0)
        fail_msg("%s", pr_error_message());
    float *a = encode(golden, device, &n_a), *b = encode(other, device, &n_b);
    assert_int_equal(n_a, n_b);
    assert_memory_equal(a, b, n_a * sizeof *a);
    base_free(a);
    base_free(b);
    model_gguf_close(golden);
    model_gguf_close(other);
    compute_device_close(device);
    free(memory);
}

static void test_forms(void **state)
{
    (void)state;
    static const struct form forms[] = {
        {"idefics3"}, /* as it is: the copy itself changes nothing */
        {"idefics3", .together = true},
        {"idefics3", .swapped = true},
        {"idefics3", .together = true, .swapped = true, .without = "clip.vision.feed_forward_length"},
        {"idefics3", .without = "clip.vision.preproc_image_size"}, /* SmolVLM files up to 2025; it isn't cut here */
        {"idefics3", .projector_key = "clip.vision.projector_type"},
        {"idefics3", .eps = 1e-5F}, /* what converters write when config.json says nothing, as of all SmolVLM models */
        {"qwen2vl", .surgery = true, .swapped = true, .without = "clip.vision.spatial_merge_size"},
        {"internvl", .together = true},
        {"internvl", .without = "clip.vision.preproc_max_tiles"}, /* InternVL 2.5; it isn't cut here */
        {"qwen2vl", .together = true},
        {"qwen2vl", .swapped = true},
        {"qwen2vl", .without = "clip.vision.spatial_merge_size"},
        {"qwen2.5vl", .together = true},
        {"qwen2.5vl", .swapped = true},
        {"qwen2.5vl", .without = "clip.vision.feed_forward_length"},
        {"qwen2.5vl", .surgery = true},
        {"qwen3vl", .apart = true},
        {"qwen3vl", .without = "clip.vision.is_deepstack_layers"},
        {"qwen3vl", .without = "clip.vision.spatial_merge_size"},
        {"qwen3vl", .hears = true, .projector_key = "clip.vision.projector_type"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        check(&forms[i]);
}

static void refuse(const struct gguf *golden, const struct form *form, struct device *device, int expected)
{
    size_t size;
    struct gguf *other;
    struct vision_encoder *encoder = NULL;
    struct vision_encoder_options options = {.device = device, .host = device};
    const char *what = form->without_tensor ? form->without_tensor : "its number of layers";
    uint8_t *memory = write_form(golden, form, &size);
    assert_int_equal(model_gguf_open_memory(memory, size, "form.gguf", &other), PR_OK);
    int err = vision_encoder_create(other, &options, &encoder);
    if (err >= 0 || (expected && err != expected))
        fail_msg("%s without %s: %d", form->family, what, err);
    assert_true(!strncmp(pr_error_message(), "form.gguf: ", 11));
    model_gguf_close(other);
    free(memory);
}

static void test_incomplete(void **state)
{
    (void)state;
    static const char *const families[] = {"idefics3", "qwen2vl", "qwen2.5vl", "qwen3vl", "internvl"};
    struct device *device;
    assert_int_equal(compute_device_open("cpu", NULL, &device), PR_OK);
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++) {
        char path[128];
        struct gguf *golden;
        snprintf(path, sizeof path, "tests/golden/vision/%s.mmproj.f16.gguf", families[f]);
        assert_int_equal(model_gguf_open(path, &golden), PR_OK);
        for (size_t i = 0; i < model_gguf_n_tensors(golden); i++)
            refuse(golden, &(struct form){families[f], .without_tensor = model_gguf_tensor_at(golden, i)->name}, device,
                   0);
        refuse(golden, &(struct form){families[f], .fewer = true}, device, PR_ERR_UNSUPPORTED);
        model_gguf_close(golden);
    }
    compute_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms), cmocka_unit_test(test_incomplete)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
