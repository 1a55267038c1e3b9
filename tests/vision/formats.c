/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An encoder whose matrices are in each format that weights may have, against the same weights written out as f32, on every device. The
 * tokens may differ by what a device rounds activations by: nothing on ref, 16 bits on cpu, 8 bits on vulkan.
 */
#include "vision/encoder.h"

#include "compute/ref/ref.h"
#include "tests/support/gguf_writer.h"
#include "tools/quantize.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { D = 256, FF = 512, TILE = 32, PATCH = 8, MERGE = 2, HEADS = 4, LAYERS = 2, TOKENS = 4, MOST_TENSORS = 64 };

struct file {
    struct gguf_writer w;
    enum type type;
    bool written_out; /* as f32 */
    unsigned seed;
    void *data[MOST_TENSORS];
    size_t n;
};

static void put(struct file *f, const char *name, enum type type, int n_dims, const int64_t *ne, void *data)
{
    assert_true(f->n < MOST_TENSORS);
    gguf_writer_tensor(&f->w, name, type, n_dims, ne);
    f->data[f->n++] = data;
}

/* n numbers around `mean`; in whole numbers, so that every machine has the same. */
static float *numbers(struct file *f, int64_t n, float mean, float deviation)
{
    float *x = base_alloc_array((size_t)n, sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        int32_t sum = 0;
        for (int k = 0; k < 4; k++) {
            f->seed = f->seed * 1664525U + 1013904223U;
            sum += (int32_t)(f->seed >> 20) - 2048;
        }
        x[i] = mean + deviation * (float)sum / 2365; /* the deviation of four */
    }
    return x;
}

static void put_vector(struct file *f, const char *name, int64_t n, float mean)
{
    put(f, name, TYPE_F32, 1, &n, numbers(f, n, mean, 0.1F));
}

static void put_matrix(struct file *f, const char *name, int64_t rows, int64_t cols)
{
    float *x = numbers(f, rows * cols, 0, 1 / sqrtf((float)cols));
    void *blocks = base_alloc((size_t)rows * compute_row_bytes(f->type, cols));
    quantize(f->type, x, blocks, rows * cols);
    if (f->written_out)
        ref_dequantize(f->type, blocks, x, rows * cols);
    base_free(f->written_out ? blocks : (void *)x);
    put(f, name, f->written_out ? TYPE_F32 : f->type, 2, (int64_t[]){cols, rows}, f->written_out ? (void *)x : blocks);
}

static void put_norm(struct file *f, const char *name)
{
    char full[72];
    snprintf(full, sizeof full, "%s.weight", name);
    put_vector(f, full, D, 1);
    snprintf(full, sizeof full, "%s.bias", name);
    put_vector(f, full, D, 0);
}

static void put_keys(struct gguf_writer *w)
{
    static const float half[3] = {0.5F, 0.5F, 0.5F};
    gguf_writer_string(w, "general.architecture", "clip");
    gguf_writer_string(w, "clip.projector_type", "idefics3");
    gguf_writer_u32(w, "clip.vision.block_count", LAYERS);
    gguf_writer_u32(w, "clip.vision.embedding_length", D);
    gguf_writer_u32(w, "clip.vision.attention.head_count", HEADS);
    gguf_writer_u32(w, "clip.vision.projection_dim", D);
    gguf_writer_u32(w, "clip.vision.patch_size", PATCH);
    gguf_writer_u32(w, "clip.vision.image_size", TILE);
    gguf_writer_u32(w, "clip.vision.projector.scale_factor", MERGE);
    gguf_writer_array(w, "clip.vision.image_mean", GGUF_F32, 3, half, sizeof half);
    gguf_writer_array(w, "clip.vision.image_std", GGUF_F32, 3, half, sizeof half);
    gguf_writer_f32(w, "clip.vision.attention.layer_norm_epsilon", 1e-6F);
    gguf_writer_bool(w, "clip.use_gelu", true);
}

static uint8_t *write_encoder(enum type type, bool written_out, size_t *size)
{
    struct file f = {.w = GGUF_WRITER_INIT, .type = type, .written_out = written_out, .seed = 7};
    struct base_buf bytes = {0};
    static const struct {
        const char *name;
        int64_t rows, cols;
    } matrices[] = {{"attn_q", D, D},   {"attn_k", D, D},  {"attn_v", D, D},
                    {"attn_out", D, D}, {"ffn_up", FF, D}, {"ffn_down", D, FF}};
    put_keys(&f.w);
    put(&f, "v.patch_embd.weight", TYPE_F32, 4, (int64_t[]){PATCH, PATCH, 3, D},
        numbers(&f, 3 * PATCH * PATCH * D, 0, 1 / sqrtf(3 * PATCH * PATCH)));
    put_vector(&f, "v.patch_embd.bias", D, 0);
    put(&f, "v.position_embd.weight", TYPE_F32, 2, (int64_t[]){D, 16}, numbers(&f, 16 * D, 0, 0.5F));
    for (int layer = 0; layer < LAYERS; layer++) {
        char name[64];
        for (int i = 1; i <= 2; i++) {
            snprintf(name, sizeof name, "v.blk.%d.ln%d", layer, i);
            put_norm(&f, name);
        }
        for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++) {
            snprintf(name, sizeof name, "v.blk.%d.%s.weight", layer, matrices[i].name);
            put_matrix(&f, name, matrices[i].rows, matrices[i].cols);
        }
    }
    put_norm(&f, "v.post_ln");
    put_matrix(&f, "mm.model.fc.weight", D, MERGE * MERGE * D);
    gguf_writer_header(&f.w, &bytes);
    for (size_t i = 0; i < f.n; i++) {
        gguf_writer_data(&f.w, i, f.data[i], &bytes);
        base_free(f.data[i]);
    }
    gguf_writer_finish(&f.w);
    uint8_t *memory = aligned_alloc(4096, base_align(bytes.len, 4096));
    memcpy(memory, bytes.data, bytes.len);
    *size = bytes.len;
    base_buf_finish(&bytes);
    return memory;
}

static void encode(enum type type, bool written_out, struct device *device, struct device *host, float rows[TOKENS * D])
{
    size_t size;
    struct gguf *gguf;
    struct vision_encoder *encoder;
    struct vision_encoder_options options = {.device = device, .host = host};
    uint8_t *memory = write_encoder(type, written_out, &size), rgb[TILE * TILE * 3];
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)(i * 37 % 251);
    if (model_gguf_open_memory(memory, size, "formats.gguf", &gguf) < 0 ||
        vision_encoder_create(gguf, &options, &encoder) < 0)
        fail_msg("%s: %s", compute_type((int)type)->name, pr_error_message());
    struct vision_crop crop = {.width = TILE, .height = TILE, .rows = 2, .cols = 2};
    struct vision_layout layout = {.params = vision_encoder_params(encoder), .crops = &crop, .n_crops = 1};
    if (vision_encode(encoder, &layout, 0, 1, rgb, rows, NULL) < 0)
        fail_msg("%s: %s", compute_type((int)type)->name, pr_error_message());
    vision_encoder_destroy(encoder);
    model_gguf_close(gguf);
    free(memory);
}

static void check_device(const char *id, double bound)
{
    struct device *device, *host;
    assert_int_equal(compute_device_open("ref", NULL, &host), PR_OK);
    if (compute_device_open(id, NULL, &device) < 0) {
        compute_device_close(host);
        printf("skipped: no %s device here\n", id);
        skip();
    }
    double worst = 0;
    for (int type = 0; type < TYPE_LIMIT; type++) {
        static float got[TOKENS * D], want[TOKENS * D];
        double error = 0, sum = 0;
        if (!compute_type(type) || !compute_type(type)->weight)
            continue;
        encode((enum type)type, false, device, strcmp(id, "vulkan") ? device : host, got);
        encode((enum type)type, true, host, host, want);
        for (size_t i = 0; i < TOKENS * D; i++) {
            double d = (double)got[i] - (double)want[i];
            error += d * d;
            sum += (double)want[i] * (double)want[i];
        }
        error = sqrt(error / sum);
        worst = fmax(worst, error);
        if (!(error <= bound))
            fail_msg("%s on %s: visual tokens differ by %g", compute_type(type)->name, id, error);
    }
    print_message("%s: at most %.1e\n", id, worst);
    compute_device_close(device);
    compute_device_close(host);
}

static void test_ref(void **state)
{
    (void)state;
    check_device("ref", 1e-6);
}

static void test_cpu(void **state)
{
    (void)state;
    check_device("cpu", 2e-4);
}

static void test_vulkan(void **state)
{
    (void)state;
    check_device("vulkan", 2e-2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ref),
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_vulkan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
