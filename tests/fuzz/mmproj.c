/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Opens the bytes as an mmproj file: keys, weights with their shapes, the plan of a pass, and if that is small enough the visual tokens of
 * a picture. Whatever they are, it ends well or with a message that names the file.
 *
 * Blind changes rarely get past the container (tests/fuzz/gguf.c looks at that), so three in four change numbers in their places: values of
 * keys, shapes, types and offsets of tensors.
 */
#include "tests/fuzz/fuzz.h"

#include "base/mem.h"
#include "compute/pass.h"
#include "vision/encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double MOST_FLOPS = 3e5; /* of a picture; more takes too long here */

/* ---- looking ---------------------------------------------------------------------------------------------------- */

static void must_name_the_file(int err)
{
    if (err < 0 && err != PR_ERR_NOMEM && !strstr(pr_error_message(), "fuzz.gguf: "))
        abort();
}

/* The smallest picture that the encoder takes. */
static void look(struct vision_encoder *encoder)
{
    struct pass_cost cost;
    struct vision_layout layout;
    struct vision_request request = {
        .medium = VISION_IMAGE, .width = 9, .height = 7, .n_frames = 1, .whole = true, .max_tokens = 1};
    uint8_t picture[9 * 7 * 3];
    struct vision_image image = {.width = 9, .height = 7, .stride = sizeof picture / 7, .rgb = picture};
    memset(picture, 77, sizeof picture);
    if (vision_layout_init(&layout, vision_encoder_params(encoder), &request) < 0)
        return;
    const struct vision_crop *crop = &layout.crops[0];
    if (vision_encoder_cost(encoder, crop->width, crop->height, 1, &cost) == PR_OK && cost.flops < MOST_FLOPS) {
        size_t n = (size_t)layout.n_tokens * (size_t)vision_encoder_width(encoder);
        uint8_t *rgb = base_alloc(vision_fill_size(&layout, 0, layout.n_crops));
        float *rows = base_alloc_array(n, sizeof *rows);
        int err = vision_fill(&layout, 0, layout.n_crops, &image, rgb);
        if (err == PR_OK)
            err = vision_encode(encoder, &layout, 0, layout.n_crops, rgb, rows, NULL);
        must_name_the_file(err);
        for (size_t i = 0; err == PR_OK && i < n; i++)
            if (!isfinite(rows[i]))
                abort();
        base_free(rgb);
        base_free(rows);
    }
    vision_layout_finish(&layout);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct device *device; /* one for all runs: looking for devices takes far longer than a run */
    struct gguf *gguf;
    struct vision_encoder *encoder;
    struct device_options limits = {.memory_limit = 4 << 20};
    if (!device && compute_device_open("ref", &limits, &device) < 0)
        abort();
    if (model_gguf_open_memory(data, size, "fuzz.gguf", &gguf) < 0)
        return 0;
    struct vision_encoder_options options = {.device = device, .host = device};
    int err = vision_encoder_create(gguf, &options, &encoder);
    must_name_the_file(err);
    if (err == PR_OK) {
        const struct vision_params *p = vision_encoder_params(encoder);
        if (p->n_layer < 1 || p->d_model % p->n_head != 0 || p->patch < 1 || p->merge < 1 || !(p->std[0] > 0))
            abort();
        look(encoder);
    }
    vision_encoder_destroy(encoder);
    model_gguf_close(gguf);
    return 0;
}

/* ---- changing --------------------------------------------------------------------------------------------------- */

enum { PLACES = 1024, STRING = 8, ARRAY = 9, KINDS = 13 };

/* The bytes of a file, read in order, and where the numbers lie that may be changed. */
struct walk {
    uint8_t *data;
    size_t size, at;
    size_t places[PLACES], sizes[PLACES], n_places;
};

/* The next number; 0 behind the end. */
static uint64_t number(struct walk *w, size_t size, bool changes)
{
    uint64_t value = 0;
    if (size > w->size - w->at) {
        w->at = w->size;
        return 0;
    }
    memcpy(&value, w->data + w->at, size);
    if (changes && w->n_places < PLACES) {
        w->places[w->n_places] = w->at;
        w->sizes[w->n_places++] = size;
    }
    w->at += size;
    return value;
}

static void text(struct walk *w)
{
    uint64_t n = number(w, 8, false);
    w->at = n < w->size - w->at ? w->at + n : w->size;
}

static void value(struct walk *w, uint64_t kind)
{
    static const uint8_t sizes[KINDS] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    uint64_t n = 1;
    if (kind == ARRAY) {
        kind = number(w, 4, true);
        n = number(w, 8, true);
    }
    for (uint64_t i = 0; i < n && w->at < w->size && kind < KINDS && kind != ARRAY; i++)
        if (kind == STRING)
            text(w);
        else
            number(w, sizes[kind], true);
}

static void find_places(struct walk *w)
{
    w->at = 8;
    uint64_t n_tensors = number(w, 8, true), n_keys = number(w, 8, true);
    for (uint64_t i = 0; i < n_keys && w->at < w->size; i++) {
        text(w);
        value(w, number(w, 4, true));
    }
    for (uint64_t i = 0; i < n_tensors && w->at < w->size; i++) {
        text(w);
        uint64_t n_dims = number(w, 4, true);
        for (uint64_t d = 0; d < n_dims && w->at < w->size; d++)
            number(w, 8, true);
        number(w, 4, true); /* type */
        number(w, 8, true); /* offset */
    }
}

static void change(struct walk *w, unsigned seed)
{
    static const uint64_t values[] = {0,    1,    2,    3,     4,       5,         6,          7,         8,
                                      14,   16,   24,   32,    48,      64,        128,        255,       256,
                                      1024, 4096, 8192, 65536, 1 << 20, INT32_MAX, UINT32_MAX, UINT64_MAX};
    size_t place = rand_r(&seed) % w->n_places, other = rand_r(&seed) % w->n_places;
    uint64_t old = 0, new = values[rand_r(&seed) % (sizeof values / sizeof values[0])];
    memcpy(&old, w->data + w->places[place], w->sizes[place]);
    switch (rand_r(&seed) % 6) {
    case 0:
        new = old + 1;
        break;
    case 1:
        new = old - 1;
        break;
    case 2:
        new = old * 2;
        break;
    case 3:
        new = old / 2;
        break;
    case 4:
        memcpy(&new, w->data + w->places[other], w->sizes[other]);
        break;
    }
    memcpy(w->data + w->places[place], &new, w->sizes[place]);
}

/* libFuzzer's; a build without it has none. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct walk w = {.data = data, .size = size};
    if (size >= 24)
        find_places(&w);
    if (w.n_places == 0 || seed % 4 == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    for (unsigned i = 0; i <= seed / 4 % 3; i++)
        change(&w, seed + i);
    return size;
}
