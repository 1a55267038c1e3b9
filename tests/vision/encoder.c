/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Visual tokens against transformers' (tests/golden/vision) on every device: the same pixels go in. A token may differ by 1e-3 of
 * its length. Fails on a wrong order, position, norm or activation, which move tokens by their own size.
 */
#include "vision/encoder.h"

#include "base/mem.h"
#include "compute/pass.h"
#include "tests/support/golden_json.h"
#include "tests/vision/rig.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const families[] = {"idefics3", "qwen3vl", "qwen2vl", "qwen2.5vl", "internvl"};
enum { N_FAMILIES = sizeof families / sizeof families[0] };

struct rig {
    struct gguf *gguf;
    struct device *device, *host;
    struct vision_encoder *encoder;
};

static int rig_open(struct rig *r, const char *path, const char *device, uint64_t memory)
{
    *r = (struct rig){0};
    int err = model_gguf_open(path, &r->gguf);
    assert_int_equal(err, PR_OK);
    assert_int_equal(compute_device_open(device, NULL, &r->device), PR_OK);
    assert_int_equal(compute_device_open("ref", NULL, &r->host), PR_OK);
    bool is_host = strcmp(device, "vulkan") != 0;
    struct vision_encoder_options options = {
        .device = r->device, .host = is_host ? r->device : r->host, .memory = memory};
    return vision_encoder_create(r->gguf, &options, &r->encoder);
}

static void rig_close(struct rig *r)
{
    vision_encoder_destroy(r->encoder);
    compute_device_close(r->device);
    compute_device_close(r->host);
    model_gguf_close(r->gguf);
}

/* The visual tokens of all media of a case. */
static float *encode_case(struct rig *r, const cJSON *golden, int64_t *n)
{
    const struct vision_params *params = vision_encoder_params(r->encoder);
    size_t width = (size_t)vision_encoder_width(r->encoder);
    float *rows = NULL;
    const char *const kinds[] = {"images", "films"};
    *n = 0;
    for (int kind = 0; kind < 2; kind++) {
        const cJSON *medium;
        cJSON_ArrayForEach(medium, golden_get(golden, kinds[kind]))
        {
            struct vision_layout layout;
            struct rig_bytes pixels = {0};
            if (kind == 0)
                rig_picture(medium, params, &layout, &pixels);
            else
                rig_film(medium, params, &layout, &pixels);
            rows = base_realloc(rows, (size_t)(*n + layout.n_tokens) * width * sizeof *rows);
            if (vision_encode(r->encoder, &layout, 0, layout.n_crops, pixels.rgb, rows + (size_t)*n * width, NULL) < 0)
                fail_msg("%s", pr_error_message());
            struct pass_cost cost;
            assert_int_equal(vision_encoder_cost(r->encoder, layout.crops[0].width, layout.crops[0].height, 1, &cost),
                             PR_OK);
            assert_int_equal(cost.n_parts, 1); /* the host computed nothing for the device */
            *n += layout.n_tokens;
            vision_layout_finish(&layout);
            base_free(pixels.rgb);
        }
    }
    return rows;
}

static float *read_rows(const cJSON *golden, size_t n)
{
    char path[192];
    snprintf(path, sizeof path, "tests/golden/vision/%s", golden_text(golden, "rows_file"));
    float *rows = base_alloc_array(n, sizeof *rows);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(rows, sizeof *rows, n, file), n);
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
    return rows;
}

/* The largest distance of two tokens, as a share of the token's length. */
static double difference(const float *a, const float *b, int64_t n, size_t width)
{
    double worst = 0;
    for (int64_t i = 0; i < n; i++) {
        double length = 0, distance = 0;
        for (size_t j = 0; j < width; j++) {
            double x = (double)a[(size_t)i * width + j], y = (double)b[(size_t)i * width + j];
            distance += (x - y) * (x - y);
            length += y * y;
        }
        worst = fmax(worst, sqrt(distance / length));
        if (!isfinite(distance))
            return INFINITY;
    }
    return worst;
}

/* The model of a family by its golden file. */
static void mmproj_path(const char *family, char path[192])
{
    snprintf(path, 192, "tests/golden/vision/%s.mmproj.f16.gguf", family);
}

static void compare(const char *family, const char *device, uint64_t memory)
{
    char path[192];
    struct rig r;
    const cJSON *c;
    mmproj_path(family, path);
    if (rig_open(&r, path, device, memory) < 0)
        fail_msg("%s", pr_error_message());
    snprintf(path, sizeof path, "tests/golden/vision/%s.json", family);
    cJSON *golden = golden_json(path);
    size_t width = (size_t)vision_encoder_width(r.encoder);
    cJSON_ArrayForEach(c, golden_get(golden, "cases"))
    {
        int64_t n;
        float *rows = encode_case(&r, c, &n);
        assert_int_equal(golden_get(c, "row_width")->valueint, width);
        float *want = read_rows(c, (size_t)n * width);
        double d = difference(rows, want, n, width);
        if (!(d < 1e-3))
            fail_msg("%s, %s on %s: visual tokens differ by %g", family, golden_text(c, "name"), device, d);
        print_message("%s, %s on %s: %lld tokens, largest difference %.1e\n", family, golden_text(c, "name"), device,
                      (long long)n, d);
        base_free(rows);
        base_free(want);
    }
    cJSON_Delete(golden);
    rig_close(&r);
}

static bool have(const char *id)
{
    struct device *device;
    int err = compute_device_open(id, NULL, &device);
    if (err == PR_OK)
        compute_device_close(device);
    return err == PR_OK;
}

static void compare_all(const char *device)
{
    if (!have(device)) {
        printf("skipped: no %s device here\n", device);
        skip();
    }
    for (int i = 0; i < N_FAMILIES; i++)
        compare(families[i], device, 0);
}

static void test_ref(void **state)
{
    (void)state;
    compare_all("ref");
}

static void test_cpu(void **state)
{
    (void)state;
    compare_all("cpu");
}

static void test_vulkan(void **state)
{
    (void)state;
    compare_all("vulkan");
}

/* Little memory: one crop after the other. */
static void test_one_by_one(void **state)
{
    (void)state;
    for (int i = 0; i < N_FAMILIES; i++)
        compare(families[i], "cpu", 1);
}

/* What a pass takes is known before, grows with its crops, and bounds their number. */
static void test_cost(void **state)
{
    (void)state;
    char path[192];
    struct rig r;
    struct pass_cost one, four;
    mmproj_path("idefics3", path);
    assert_int_equal(rig_open(&r, path, "cpu", 0), PR_OK);
    int side = vision_encoder_params(r.encoder)->image_size;
    uint64_t before = r.device->allocated;
    assert_int_equal(vision_encoder_cost(r.encoder, side, side, 1, &one), PR_OK);
    assert_int_equal(vision_encoder_cost(r.encoder, side, side, 4, &four), PR_OK);
    assert_true(four.arena > one.arena && four.arena < 5 * one.arena);
    assert_true(r.device->peak - before >= one.arena); /* planned memory is taken */
    assert_int_equal(vision_encoder_cost(r.encoder, side + 8, side, 1, &one), PR_ERR_INVALID);
    assert_int_equal(vision_encoder_cost(r.encoder, 0, side, 1, &one), PR_ERR_INVALID);
    uint64_t size = one.arena + one.inputs + one.outputs;
    rig_close(&r);
    assert_int_equal(rig_open(&r, path, "cpu", 3 * size), PR_OK);
    assert_int_equal(vision_encoder_batch(r.encoder, side, side, 8), 3);
    assert_int_equal(vision_encoder_batch(r.encoder, side, side, 2), 2);
    rig_close(&r);
}

static void test_cancel(void **state)
{
    (void)state;
    char path[192];
    struct rig r;
    struct base_cancel cancel = {true};
    mmproj_path("idefics3", path);
    assert_int_equal(rig_open(&r, path, "cpu", 0), PR_OK);
    struct vision_request request = {.medium = VISION_IMAGE, .width = 1, .height = 1, .n_frames = 1};
    struct vision_layout layout;
    assert_int_equal(vision_layout_init(&layout, vision_encoder_params(r.encoder), &request), PR_OK);
    uint8_t *rgb = base_alloc(vision_fill_size(&layout, 0, layout.n_crops));
    float *rows = base_alloc((size_t)layout.n_tokens * (size_t)vision_encoder_width(r.encoder) * sizeof *rows);
    assert_int_equal(vision_encode(r.encoder, &layout, 0, layout.n_crops, rgb, rows, &cancel), PR_ERR_CANCELLED);
    assert_int_equal(vision_encode(r.encoder, &layout, 0, layout.n_crops, rgb, rows, NULL), PR_OK);
    vision_layout_finish(&layout);
    base_free(rgb);
    base_free(rows);
    rig_close(&r);
}

/* A golden mmproj in memory, to be changed. */
static uint8_t *load_file(const char *path, size_t *size)
{
    struct base_buf file = {0};
    char block[4096];
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    for (size_t n; (n = fread(block, 1, sizeof block, in)) > 0;)
        base_buf_append(&file, block, n);
    fclose(in);
    uint8_t *memory = aligned_alloc(4096, base_align(file.len, 4096));
    memcpy(memory, file.data, file.len);
    *size = file.len;
    base_buf_finish(&file);
    return memory;
}

/* Tiles that don't divide into patches, as those of SmolVLM2-2.2B (384 pixels, patches of 14): what is left over isn't seen. */
static void test_rest_of_a_tile(void **state)
{
    (void)state;
    enum { SIDE = 48, WIDER = 53 };
    char path[192];
    size_t size;
    struct gguf *gguf;
    struct rig r;
    struct vision_encoder *encoder;
    mmproj_path("idefics3", path);
    assert_int_equal(rig_open(&r, path, "cpu", 0), PR_OK);
    uint8_t *memory = load_file(path, &size);
    static const char key[] = "clip.vision.image_size";
    uint8_t *value = (uint8_t *)memmem(memory, size, key, strlen(key)) + strlen(key) + 4;
    assert_int_equal(value[0], SIDE);
    value[0] = WIDER;
    assert_int_equal(model_gguf_open_memory(memory, size, "wider.gguf", &gguf), PR_OK);
    struct vision_encoder_options options = {.device = r.device, .host = r.device};
    assert_int_equal(vision_encoder_create(gguf, &options, &encoder), PR_OK);

    uint8_t tile[SIDE * SIDE * 3], wide[WIDER * WIDER * 3];
    for (size_t i = 0; i < sizeof wide; i++)
        wide[i] = (uint8_t)(i * 37 % 251);
    for (int y = 0; y < SIDE; y++)
        memcpy(tile + y * SIDE * 3, wide + y * WIDER * 3, SIDE * 3);
    struct vision_crop a = {.width = SIDE, .height = SIDE, .rows = 3, .cols = 3},
                       b = {.width = WIDER, .height = WIDER, .rows = 3, .cols = 3};
    struct vision_layout la = {.params = vision_encoder_params(r.encoder), .crops = &a, .n_crops = 1},
                         lb = {.params = vision_encoder_params(encoder), .crops = &b, .n_crops = 1};
    float rows_a[9 * 64], rows_b[9 * 64];
    assert_int_equal(vision_encoder_width(encoder), 64);
    assert_int_equal(vision_encode(r.encoder, &la, 0, 1, tile, rows_a, NULL), PR_OK);
    assert_int_equal(vision_encode(encoder, &lb, 0, 1, wide, rows_b, NULL), PR_OK);
    assert_memory_equal(rows_a, rows_b, sizeof rows_a);
    vision_encoder_destroy(encoder);
    model_gguf_close(gguf);
    free(memory);
    rig_close(&r);
}

/* Weights that aren't numbers are an error that names the file, not tokens. */
static void test_nan(void **state)
{
    (void)state;
    char path[192];
    struct gguf *gguf;
    struct device *device;
    struct vision_encoder *encoder;
    size_t size;
    mmproj_path("idefics3", path);
    uint8_t *memory = load_file(path, &size);
    assert_int_equal(model_gguf_open_memory(memory, size, "damaged.gguf", &gguf), PR_OK);
    const struct gguf_tensor *t = model_gguf_tensor(gguf, "v.blk.0.ln1.weight");
    assert_non_null(t);
    memcpy(memory + ((const uint8_t *)t->data - memory), &(float){NAN}, sizeof(float));
    assert_int_equal(compute_device_open("cpu", NULL, &device), PR_OK);
    struct vision_encoder_options options = {.device = device, .host = device};
    assert_int_equal(vision_encoder_create(gguf, &options, &encoder), PR_OK);
    struct vision_request request = {.medium = VISION_IMAGE, .width = 5, .height = 5, .n_frames = 1};
    struct vision_layout layout;
    assert_int_equal(vision_layout_init(&layout, vision_encoder_params(encoder), &request), PR_OK);
    uint8_t *rgb = base_alloc(vision_fill_size(&layout, 0, layout.n_crops));
    float *rows = base_alloc((size_t)layout.n_tokens * (size_t)vision_encoder_width(encoder) * sizeof *rows);
    assert_int_equal(vision_encode(encoder, &layout, 0, layout.n_crops, rgb, rows, NULL), PR_ERR_FORMAT);
    assert_non_null(strstr(pr_error_message(), "damaged.gguf: visual tokens aren't finite"));
    vision_layout_finish(&layout);
    base_free(rgb);
    base_free(rows);
    vision_encoder_destroy(encoder);
    compute_device_close(device);
    model_gguf_close(gguf);
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ref),    cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_vulkan), cmocka_unit_test(test_one_by_one),
        cmocka_unit_test(test_cost),   cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_nan),    cmocka_unit_test(test_rest_of_a_tile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
