/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/vision/rig.h"

#include "base/mem.h"
#include "model/gguf.h"
#include "model/tokenizer.h"
#include "tests/support/golden_json.h"
#include "tests/vision/pictures.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void add_pixels(struct rig_bytes *p, const struct vision_layout *layout, const struct vision_image *images)
{
    size_t size = vision_fill_size(layout, 0, layout->n_crops);
    p->rgb = base_realloc(p->rgb, p->size + size);
    assert_int_equal(vision_fill(layout, 0, layout->n_crops, images, p->rgb + p->size), 0);
    p->size += size;
}

/* "shape" [..., 3], "crc32" and "values" of a golden file. */
static void check_pixels(const cJSON *golden, const struct vision_params *params, const struct rig_bytes *p,
                         const char *what)
{
    size_t n = 1;
    const cJSON *i;
    cJSON_ArrayForEach(i, golden_get(golden, "shape")) n *= (size_t)i->valueint;
    if (p->size != n)
        fail_msg("%s: %zu bytes of pixels, the processor makes %zu", what, p->size, n);
    cJSON_ArrayForEach(i, golden_get(golden, "values"))
    {
        size_t at = (size_t)cJSON_GetArrayItem(i, 0)->valuedouble;
        double want = cJSON_GetArrayItem(i, 1)->valuedouble;
        double value = (p->rgb[at] / 255.0 - (double)params->mean[at % 3]) / (double)params->std[at % 3];
        if (fabs(value - want) > 2e-5)
            fail_msg("%s: value %zu is %g, the processor says %g", what, at, value, want);
    }
    if (test_crc32(p->rgb, p->size) != (uint32_t)golden_get(golden, "crc32")->valuedouble)
        fail_msg("%s: some pixels differ from the processor's", what);
}

void rig_picture(const cJSON *golden, const struct vision_params *params, struct vision_layout *layout,
                 struct rig_bytes *p)
{
    struct vision_image image = {0};
    const cJSON *max_tokens = cJSON_GetObjectItem(golden, "max_tokens");
    uint8_t *rgb = test_picture_json(golden_get(golden, "picture"), &image.width, &image.height);
    image.rgb = rgb;
    image.stride = 3 * (size_t)image.width;
    struct vision_request request = {
        .medium = VISION_IMAGE, .width = image.width, .height = image.height, .n_frames = 1};
    request.max_tokens = max_tokens ? max_tokens->valueint : 0;
    request.whole = cJSON_IsTrue(cJSON_GetObjectItem(golden, "whole"));
    assert_int_equal(vision_layout_init(layout, params, &request), 0);
    add_pixels(p, layout, &image);
    base_free(rgb);
}

static void check_grid(const cJSON *golden, const struct vision_layout *layout)
{
    const cJSON *rows = cJSON_GetObjectItem(golden, "rows"), *cols = cJSON_GetObjectItem(golden, "cols");
    if (rows) {
        assert_int_equal(layout->tile_rows, rows->valueint);
        assert_int_equal(layout->tile_cols, cols->valueint);
    }
}

void rig_pixels(const char *name, struct vision_params *params,
                void (*set)(struct vision_params *params, const cJSON *settings))
{
    char path[128], what[128];
    snprintf(path, sizeof path, "tests/golden/vision/%s.pixels.json", name);
    cJSON *golden = golden_json(path);
    const cJSON *c;
    int n = 0;
    cJSON_ArrayForEach(c, golden_get(golden, "cases"))
    {
        const cJSON *picture = golden_get(c, "picture");
        struct vision_layout layout;
        struct rig_bytes p = {0};
        set(params, golden_get(c, "settings"));
        rig_picture(c, params, &layout, &p);
        snprintf(what, sizeof what, "%s: %s of %d x %d", golden_text(c, "model"),
                 cJSON_GetArrayItem(picture, 0)->valuestring, cJSON_GetArrayItem(picture, 1)->valueint,
                 cJSON_GetArrayItem(picture, 2)->valueint);
        check_grid(c, &layout);
        check_pixels(c, params, &p, what);
        vision_layout_finish(&layout);
        base_free(p.rgb);
        n++;
    }
    assert_true(n > 0);
    cJSON_Delete(golden);
}

/* ---- prompts ------------------------------------------------------------------------------------------------------ */

/* "film": [kind, width, height, fps, frames in all], "frames": those that are sampled; frame i is the picture with seed i. */
void rig_film(const cJSON *golden, const struct vision_params *params, struct vision_layout *layout,
              struct rig_bytes *p)
{
    const cJSON *film = golden_get(golden, "film"), *frames = golden_get(golden, "frames");
    int w = cJSON_GetArrayItem(film, 1)->valueint, h = cJSON_GetArrayItem(film, 2)->valueint,
        n = cJSON_GetArraySize(frames);
    double fps = cJSON_GetArrayItem(film, 3)->valuedouble, total = cJSON_GetArrayItem(film, 4)->valuedouble;
    int64_t *times = base_alloc_array((size_t)n, sizeof *times);
    struct vision_image *images = base_alloc_array((size_t)n, sizeof *images);
    for (int i = 0; i < n; i++) {
        int frame = cJSON_GetArrayItem(frames, i)->valueint;
        times[i] = (int64_t)llround(frame / fps * 1e6);
        images[i] = (struct vision_image){.width = w, .height = h, .stride = 3 * (size_t)w};
        images[i].rgb = test_picture(cJSON_GetArrayItem(film, 0)->valuestring, w, h, (uint32_t)frame);
    }
    struct vision_request request = {.medium = VISION_VIDEO, .width = w, .height = h, .n_frames = n, .times = times};
    request.duration = (int64_t)llround(total / fps * 1e6);
    assert_int_equal(vision_layout_init(layout, params, &request), 0);
    add_pixels(p, layout, images);
    for (int i = 0; i < n; i++)
        base_free((void *)(uintptr_t)images[i].rgb);
    base_free(images);
    base_free(times);
}

/* A prompt that grows: parts of text since the last visual token, ids and positions so far. */
struct prompt {
    const struct tokenizer *tokenizer;
    struct tokenize_part parts[64];
    size_t n_parts;
    struct tokens ids;
    int32_t (*positions)[4];
    int32_t next; /* position */
};

static void add_text(struct prompt *p, const char *text, size_t len)
{
    assert_true(p->n_parts < 64);
    p->parts[p->n_parts++] = (struct tokenize_part){text, len, true};
}

static void end_text(struct prompt *p)
{
    size_t before = p->ids.n;
    assert_int_equal(model_tokenize_parts(p->tokenizer, p->parts, p->n_parts, 0, &p->ids), 0);
    p->n_parts = 0;
    p->positions = base_realloc(p->positions, (p->ids.n + 1) * sizeof *p->positions);
    for (size_t i = before; i < p->ids.n; i++, p->next++)
        for (int axis = 0; axis < 4; axis++)
            p->positions[i][axis] = p->next;
}

static void add_run(struct prompt *p, const struct vision_layout *layout, const struct vision_piece *run, int32_t pad)
{
    end_text(p);
    int64_t n = vision_tokens(layout, run->crop, run->n_crops);
    p->positions = base_realloc(p->positions, (p->ids.n + (size_t)n + 1) * sizeof *p->positions);
    int32_t *at = p->positions[p->ids.n], advance = (int32_t)n;
    for (int64_t i = 0; i < n; i++)
        model_tokens_append(&p->ids, &pad, 1);
    if (layout->params->family->grid_positions)
        vision_positions(layout, run, at, &advance);
    for (int64_t i = 0; i < n * 4; i++)
        at[i] = layout->params->family->grid_positions ? at[i] + p->next : p->next + (int32_t)(i / 4);
    p->next += advance;
}

static void add_medium(struct prompt *p, const struct vision_layout *layout, int32_t pad)
{
    for (int32_t i = 0; i < layout->n_pieces; i++) {
        const struct vision_piece *piece = &layout->pieces[i];
        if (piece->text)
            add_text(p, piece->text, strlen(piece->text));
        else
            add_run(p, layout, piece, pad);
    }
}

static const char *next_mark(const char *text, const struct rig_marks *marks, bool *video)
{
    const char *image = strstr(text, marks->image_mark),
               *film = marks->video_mark ? strstr(text, marks->video_mark) : NULL;
    *video = film && (!image || film < image);
    return *video ? film : image;
}

static void check_prompt(const cJSON *golden, const struct vision_params *params, const struct rig_marks *marks,
                         const struct tokenizer *tokenizer)
{
    struct prompt p = {.tokenizer = tokenizer};
    struct rig_bytes pixels = {0};
    struct vision_layout layouts[8];
    int n_layouts = 0, n_images = 0, n_films = 0;
    const char *text = golden_text(golden, "prompt"), *mark;
    bool video;
    while ((mark = next_mark(text, marks, &video)) != NULL) {
        struct vision_layout *layout = &layouts[n_layouts++];
        assert_true(n_layouts <= 8);
        const cJSON *medium =
            cJSON_GetArrayItem(golden_get(golden, video ? "films" : "images"), video ? n_films++ : n_images++);
        if (video)
            rig_film(medium, params, layout, &pixels);
        else {
            rig_picture(medium, params, layout, &pixels);
            check_grid(medium, layout);
        }
        add_text(&p, text, (size_t)(mark - text));
        add_medium(&p, layout, model_token_find(tokenizer, video ? marks->video_pad : marks->image_pad));
        text = mark + strlen(video ? marks->video_mark : marks->image_mark);
    }
    add_text(&p, text, strlen(text));
    end_text(&p);

    check_pixels(golden_get(golden, "pixels"), params, &pixels, golden_text(golden, "name"));
    const cJSON *ids = golden_get(golden, "ids"), *positions = cJSON_GetObjectItem(golden, "positions"), *i;
    size_t at = 0;
    cJSON_ArrayForEach(i, ids)
    {
        assert_true(at < p.ids.n);
        assert_int_equal(p.ids.ids[at++], i->valueint);
    }
    assert_int_equal(at, p.ids.n);
    for (int axis = 0; cJSON_IsArray(positions) && axis < 3; axis++) {
        at = 0;
        cJSON_ArrayForEach(i, cJSON_GetArrayItem(positions, axis))
            assert_int_equal(p.positions[at++][axis], i->valueint);
        assert_int_equal(at, p.ids.n);
    }
    for (int l = 0; l < n_layouts; l++)
        vision_layout_finish(&layouts[l]);
    model_tokens_finish(&p.ids);
    base_free(p.positions);
    base_free(pixels.rgb);
}

void rig_prompts(const char *name, const struct vision_params *params, const struct rig_marks *marks)
{
    char path[128];
    snprintf(path, sizeof path, "tests/golden/vision/%s.json", name);
    cJSON *golden = golden_json(path);
    snprintf(path, sizeof path, "tests/golden/vision/%s", golden_text(golden, "model"));
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    assert_int_equal(model_gguf_open(path, &gguf), 0);
    assert_int_equal(model_tokenizer_create(gguf, &tokenizer), 0);
    const cJSON *c;
    cJSON_ArrayForEach(c, golden_get(golden, "cases")) check_prompt(c, params, marks, tokenizer);
    model_tokenizer_destroy(tokenizer);
    model_gguf_close(gguf);
    cJSON_Delete(golden);
}
