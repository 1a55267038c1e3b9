/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pictures in prompts, from files on: small random models of each family answer as transformers says (tests/golden/vision), on
 * every device; what doesn't fit together is said.
 */
#include "engine/session.h"

#include "draw/canvas.h"
#include "tests/support/folder.h"
#include "tests/support/golden_json.h"
#include "tests/vision/pictures.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A family, and what stands in its golden prompts where a picture or a film comes. */
#define QWEN_IMAGE "<|vision_start|><|image_pad|><|vision_end|>"
#define QWEN_VIDEO "<|vision_start|><|video_pad|><|vision_end|>"
static const struct family {
    const char *name, *image, *video;
} families[] = {{"idefics3", "<image>", "<video>"},
                {"qwen3vl", QWEN_IMAGE, "<|video_pad|>"},
                {"qwen2vl", QWEN_IMAGE, QWEN_VIDEO},
                {"qwen2.5vl", QWEN_IMAGE, QWEN_VIDEO},
                {"internvl", "<IMG_CONTEXT>", "<video>"}};
enum { N_FAMILIES = sizeof families / sizeof families[0], STEPS = 16, TOP = 20, MAX_ITEMS = 8 };

static const char *golden_file(const char *family, const char *suffix)
{
    static char paths[4][128];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "tests/golden/vision/%s%s", family, suffix);
    return path;
}

static void write_picture(const cJSON *picture, const char *path)
{
    int w, h;
    struct draw_canvas *canvas;
    uint8_t *rgb = test_picture_json(picture, &w, &h);
    assert_int_equal(draw_canvas_create(w, h, 0xffffff, &canvas), PR_OK);
    draw_picture(canvas, rgb, w, h, 0, 0, w, h);
    assert_int_equal(draw_write_png(canvas, path), PR_OK);
    draw_canvas_destroy(canvas);
    base_free(rgb);
}

/* A film [kind, width, height, frames a second, frames] without loss; frame i is the picture with seed i. */
static void write_film(const cJSON *film, const char *path)
{
    char command[256];
    const char *kind = cJSON_GetArrayItem(film, 0)->valuestring;
    int w = cJSON_GetArrayItem(film, 1)->valueint, h = cJSON_GetArrayItem(film, 2)->valueint;
    snprintf(command, sizeof command,
             "ffmpeg -y -v error -f rawvideo -pix_fmt rgb24 -s %dx%d -r %g -i - -c:v ffv1 -pix_fmt bgr0 '%s'", w, h,
             cJSON_GetArrayItem(film, 3)->valuedouble, path);
    FILE *pipe = popen(command, "w");
    assert_non_null(pipe);
    for (int i = 0; i < cJSON_GetArrayItem(film, 4)->valueint; i++) {
        uint8_t *rgb = test_picture(kind, w, h, i);
        assert_int_equal(fwrite(rgb, (size_t)3 * (size_t)w, (size_t)h, pipe), h);
        base_free(rgb);
    }
    assert_int_equal(pclose(pipe), 0);
}

/* Adds the text up to the mark and the file that stands in its place; returns what follows. */
static const char *add_file(const char *text, const char *mark, enum pr_item_kind kind, const char *path,
                            struct pr_item items[MAX_ITEMS], size_t *n)
{
    const char *at = strstr(text, mark);
    assert_true(at && *n + 3 <= MAX_ITEMS);
    items[(*n)++] = (struct pr_item){PR_ITEM_TEXT, text, (size_t)(at - text)};
    items[(*n)++] = (struct pr_item){kind, path, 0};
    return at + strlen(mark);
}

/* The prompt of a golden cut at its pictures and films, which are written as files. */
static size_t make_items(const struct family *f, const cJSON *golden, struct pr_item items[MAX_ITEMS])
{
    size_t n = 0;
    const char *text = golden_text(golden, "prompt");
    const cJSON *it;
    cJSON_ArrayForEach(it, golden_get(golden, "images"))
    {
        char name[32];
        snprintf(name, sizeof name, "%zu.png", n);
        const char *path = test_file(name);
        write_picture(golden_get(it, "picture"), path);
        text = add_file(text, f->image, PR_ITEM_IMAGE, path, items, &n);
    }
    cJSON_ArrayForEach(it, golden_get(golden, "films"))
    {
        const char *path = test_file("film.mkv");
        write_film(golden_get(it, "film"), path);
        text = add_file(text, f->video, PR_ITEM_VIDEO, path, items, &n);
    }
    items[n++] = (struct pr_item){PR_ITEM_TEXT, text, strlen(text)};
    return n;
}

/* The generated tokens' log-probabilities against the golden's. */
struct answer {
    const cJSON *step;
    int n;
    double worst;
};

static bool on_token(void *user, const struct pr_token *token)
{
    struct answer *a = user;
    const cJSON *top;
    if (token->id != golden_get(a->step, "id")->valueint)
        fail_msg("token %d is %d, transformers says %d", a->n, token->id, golden_get(a->step, "id")->valueint);
    cJSON_ArrayForEach(top, golden_get(a->step, "top"))
    {
        int32_t id = cJSON_GetArrayItem(top, 0)->valueint;
        double want = cJSON_GetArrayItem(top, 1)->valuedouble, difference = INFINITY;
        for (size_t i = 0; i < token->n_top; i++)
            if (token->top[i].id == id)
                difference = fabs((double)token->top[i].logprob - want);
        a->worst = fmax(a->worst, difference);
    }
    a->step = a->step->next;
    return ++a->n < STEPS && a->step;
}

/* The ids of the prompt, with as many -1 as there are visual tokens. */
static void check_prompt(const struct pr_session *session, const cJSON *golden)
{
    size_t n, n_runs, at = 0;
    const int32_t *ids = pr_session_prompt(session, &n);
    const struct pr_visual_run *runs = pr_session_visual(session, &n_runs);
    const cJSON *id;
    cJSON_ArrayForEach(id, golden_get(golden, "ids"))
    {
        assert_true(at < n);
        if (ids[at] >= 0)
            assert_int_equal(ids[at], id->valueint);
        at++;
    }
    assert_int_equal(at, n);
    assert_true(n_runs > 0);
    for (size_t i = 0; i < n_runs; i++) {
        assert_int_equal(runs[i].n, (size_t)runs[i].frames * (size_t)runs[i].rows * (size_t)runs[i].cols);
        for (size_t j = 0; j < runs[i].n; j++)
            assert_int_equal(ids[runs[i].first + j], -1);
    }
}

/* The positions that the model will be given, token by token, against transformers' position ids [axes][tokens]. */
static void check_positions(const struct pr_session *session, const cJSON *golden)
{
    const cJSON *axes = golden_get(golden, "positions");
    int32_t next = 0, at = 0;
    for (size_t i = 0; i < session->n_unread; i++) {
        const struct unread *u = &session->unread[i];
        for (int32_t k = 0; k < u->n; k++, at++)
            for (int axis = 0; axis < 3; axis++) {
                int32_t position = next + (u->position ? u->position[4 * k + axis] : k);
                int32_t want =
                    cJSON_IsArray(axes) ? cJSON_GetArrayItem(cJSON_GetArrayItem(axes, axis), at)->valueint : at;
                if (position != want)
                    fail_msg("token %d stands at %d on axis %d, transformers has it at %d", at, position, axis, want);
            }
        next += u->rows ? u->advance : u->n;
    }
    assert_int_equal(at, cJSON_GetArraySize(golden_get(golden, "ids")));
}

static void compare(const struct family *f, const cJSON *c, const char *device, double bound)
{
    struct pr_model *model = NULL;
    struct pr_session *session = NULL;
    struct pr_item items[MAX_ITEMS];
    struct pr_settings s = pr_settings_default();
    s.model = golden_file(f->name, ".f16.gguf");
    s.mmproj = golden_file(f->name, ".mmproj.f16.gguf");
    s.device = device;
    s.cache_type = "f32";
    s.logprobs = 1 << 20; /* all: transformers' 20 best may not be ours */
    size_t n = make_items(f, c, items);
    if (pr_model_open(&s, NULL, &model) < 0 || pr_session_create(model, &s, &session) < 0 ||
        pr_session_raw_items(session, items, n, true, &s, NULL) < 0)
        fail_msg("%s", pr_error_message());
    check_prompt(session, c);
    check_positions(session, c);
    struct answer answer = {.step = golden_get(c, "steps")->child};
    if (pr_session_generate(session, &s, on_token, &answer, NULL, NULL) < 0)
        fail_msg("%s", pr_error_message());
    assert_int_equal(answer.n, STEPS);
    print_message("%s, %s, on %s: top-%d log-probabilities within %.1e\n", f->name, golden_text(c, "name"), device, TOP,
                  answer.worst);
    assert_true(answer.worst <= bound);
    pr_session_destroy(session);
    pr_model_close(model);
}

static void compare_all(const char *device, double bound)
{
    struct device *d;
    if (compute_device_open(device, NULL, &d) < 0) {
        printf("skipped: no %s device here\n", device);
        skip();
    }
    compute_device_close(d);
    bool films = system("ffmpeg -version >/dev/null 2>&1") == 0;
    for (int i = 0; i < N_FAMILIES; i++) {
        cJSON *golden = golden_json(golden_file(families[i].name, ".json"));
        const cJSON *c;
        int n = 0;
        cJSON_ArrayForEach(c, golden_get(golden, "cases"))
        {
            bool film = cJSON_GetArraySize(golden_get(c, "films")) > 0;
            n += film ? 2 : 1;
            if (!film || films)
                compare(&families[i], c, device, bound);
        }
        assert_int_equal(n, 3); /* one with two pictures, one with a film */
        cJSON_Delete(golden);
    }
    if (!films) {
        print_message("skipped: the ffmpeg program makes the films of this test\n");
        skip();
    }
}

static void test_ref(void **state)
{
    (void)state;
    compare_all("ref", 0.02);
}

static void test_cpu(void **state)
{
    (void)state;
    compare_all("cpu", 0.04);
}

static void test_vulkan(void **state)
{
    (void)state;
    compare_all("vulkan", 0.04);
}

/* ---- messages, and what doesn't fit ------------------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to)
{
    char block[4096];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in && out);
    for (size_t n; (n = fread(block, 1, sizeof block, in)) > 0;)
        assert_int_equal(fwrite(block, 1, n, out), n);
    fclose(in);
    fclose(out);
}

static void open_session(const char *model_file, const char *mmproj, struct pr_model **model,
                         struct pr_session **session)
{
    struct pr_settings s = pr_settings_default();
    s.model = model_file;
    s.mmproj = mmproj;
    s.device = "cpu";
    s.chat_format = "smolvlm";
    if (pr_model_open(&s, NULL, model) < 0 || pr_session_create(*model, &s, session) < 0)
        fail_msg("%s", pr_error_message());
}

/* The mmproj beside the model is found; the picture leads the message, so that no blank follows "User:". */
static void test_beside(void **state)
{
    (void)state;
    struct pr_model *model = NULL;
    struct pr_session *session = NULL;
    size_t n, n_runs;
    const char *alone = test_file("alone.gguf"), *beside = test_file("mmproj-model-f16.gguf");
    copy_file(golden_file("idefics3", ".f16.gguf"), alone);
    cJSON *black = cJSON_Parse("[\"black\",1,1,0]");
    write_picture(black, test_file("one.png"));
    cJSON_Delete(black);
    struct pr_item items[] = {{PR_ITEM_IMAGE, test_file("one.png"), 0}, {PR_ITEM_TEXT, "What?", 5}};

    open_session(alone, "", &model, &session);
    assert_int_equal(pr_session_chat_items(session, PR_ROLE_USER, items, 2, NULL, NULL), PR_ERR_NOT_FOUND);
    assert_non_null(strstr(pr_error_message(), "--mmproj"));
    pr_session_destroy(session);
    pr_model_close(model);

    copy_file(golden_file("idefics3", ".mmproj.f16.gguf"), beside);
    open_session(alone, "", &model, &session);
    struct pr_settings s = pr_settings_default();
    s.max_tokens = 1;
    assert_int_equal(pr_session_chat_items(session, PR_ROLE_USER, items, 2, &s, NULL), PR_OK);
    assert_int_equal(pr_session_generate(session, &s, NULL, NULL, NULL, NULL), PR_OK);
    pr_session_prompt(session, &n);
    const struct pr_visual_run *runs = pr_session_visual(session, &n_runs);
    assert_true(n_runs >= 1);
    assert_int_equal(runs[0].rows, 3);
    assert_int_equal(runs[0].first, 8); /* bos, U s e r :, fake token, global-img or the first tile */
    pr_session_destroy(session);
    pr_model_close(model);

    /* Of several the one that fits, however alike another one's name is; if none does, what is wrong is told. */
    const char *other = test_file("alone-mmproj.gguf");
    copy_file(golden_file("qwen3vl", ".mmproj.f16.gguf"), other);
    open_session(alone, "", &model, &session);
    if (pr_session_chat_items(session, PR_ROLE_USER, items, 2, &s, NULL) < 0)
        fail_msg("%s", pr_error_message());
    pr_session_destroy(session);
    pr_model_close(model);
    unlink(beside);
    open_session(alone, "", &model, &session);
    assert_int_equal(pr_session_chat_items(session, PR_ROLE_USER, items, 2, &s, NULL), PR_ERR_INVALID);
    assert_non_null(strstr(pr_error_message(), "alone-mmproj.gguf doesn't belong to"));
    pr_session_destroy(session);
    pr_model_close(model);
    unlink(other);
}

/* A saved session keeps where its pictures are. */
static void test_saved(void **state)
{
    (void)state;
    struct pr_model *model;
    struct pr_session *a, *b;
    size_t n, n_a, n_b;
    struct pr_settings s = pr_settings_default();
    cJSON *picture = cJSON_Parse("[\"photo\",60,40,0]");
    write_picture(picture, test_file("photo.png"));
    cJSON_Delete(picture);
    open_session(golden_file("idefics3", ".f16.gguf"), golden_file("idefics3", ".mmproj.f16.gguf"), &model, &a);
    struct pr_item items[] = {
        {PR_ITEM_TEXT, "a", 1}, {PR_ITEM_IMAGE, test_file("photo.png"), 0}, {PR_ITEM_TEXT, "b", 1}};
    for (int i = 0; i < 2; i++) { /* an even and an odd number of tokens */
        assert_int_equal(pr_session_raw_items(a, items, 2 + (size_t)i, true, NULL, NULL), PR_OK);
        assert_int_equal(pr_session_save(a, test_file("saved")), PR_OK);
        assert_int_equal(pr_session_create(model, &s, &b), PR_OK);
        if (pr_session_restore(b, test_file("saved")) < 0)
            fail_msg("%s", pr_error_message());
        const struct pr_visual_run *runs_a = pr_session_visual(a, &n_a), *runs_b = pr_session_visual(b, &n_b);
        assert_true(n_a > 0 && n_a == n_b);
        for (size_t k = 0; k < n_a; k++)
            assert_true(runs_a[k].first == runs_b[k].first && runs_a[k].n == runs_b[k].n &&
                        runs_a[k].frames == runs_b[k].frames && runs_a[k].rows == runs_b[k].rows &&
                        runs_a[k].cols == runs_b[k].cols);
        assert_int_equal(pr_session_raw_items(b, items, 3, true, NULL, NULL), PR_OK); /* and more behind them */
        runs_b = pr_session_visual(b, &n_b);
        pr_session_prompt(b, &n);
        assert_true(n_b > n_a);
        assert_true(runs_b[n_b - 1].first + runs_b[n_b - 1].n < n);
        pr_session_destroy(b);
    }
    pr_session_destroy(a);
    pr_model_close(model);
}

/* A refused picture leaves the session as it was. */
static void test_refused_picture(void **state)
{
    (void)state;
    struct pr_model *model = NULL;
    struct pr_session *session = NULL;
    size_t n;
    FILE *file = fopen(test_file("text.png"), "wb");
    fputs("no picture", file);
    fclose(file);
    open_session(golden_file("idefics3", ".f16.gguf"), golden_file("idefics3", ".mmproj.f16.gguf"), &model, &session);
    struct pr_item items[] = {{PR_ITEM_TEXT, "a", 1}, {PR_ITEM_IMAGE, test_file("text.png"), 0}};
    assert_true(pr_session_raw_items(session, items, 2, true, NULL, NULL) < 0);
    assert_non_null(strstr(pr_error_message(), "text.png"));
    items[1].text = test_file("nothing.png");
    assert_int_equal(pr_session_chat_items(session, PR_ROLE_USER, items, 2, NULL, NULL), PR_ERR_IO);
    pr_session_prompt(session, &n);
    assert_int_equal(n, 0);
    pr_session_destroy(session);
    pr_model_close(model);
}

static void test_mismatch(void **state)
{
    (void)state;
    struct pr_model *model;
    struct pr_settings s = pr_settings_default();
    s.device = "cpu";
    s.mmproj = golden_file("idefics3", ".mmproj.f16.gguf");
    static const char *const wrong[][2] = {
        {"llama-mixed.gguf", "visual tokens of 64 values, the model reads rows of 256"},
        {"qwen3vl.f16.gguf", "0 DeepStack slices"},
        {"qwen2vl.f16.gguf", "positions"},
        {"qwen2.f16.gguf", "<fake_token_around_image>"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "tests/golden/llm/%s", wrong[i][0]);
        s.model = path;
        assert_int_equal(pr_model_open(&s, NULL, &model), PR_ERR_INVALID);
        if (!strstr(pr_error_message(), "doesn't belong to") || !strstr(pr_error_message(), wrong[i][1]))
            fail_msg("\"%s\" doesn't say \"%s\"", pr_error_message(), wrong[i][1]);
    }
    s.model = golden_file("idefics3", ".f16.gguf");
    s.mmproj = s.model;
    assert_int_equal(pr_model_open(&s, NULL, &model), PR_ERR_FORMAT);
    assert_non_null(strstr(pr_error_message(), "not the vision part"));
    s.mmproj = test_file("nowhere.gguf");
    assert_int_equal(pr_model_open(&s, NULL, &model), PR_ERR_IO);
}

/* Visual tokens of files, without a language model: the rows of the goldens' pictures, one behind the other. */
static void test_embed(void **state)
{
    (void)state;
    for (int i = 0; i < N_FAMILIES; i++) {
        cJSON *golden = golden_json(golden_file(families[i].name, ".json"));
        const cJSON *c = golden_get(golden, "cases")->child, *image;
        FILE *want = fopen(golden_file(families[i].name, ".images.rows.f32"), "rb");
        assert_non_null(want);
        struct pr_settings s = pr_settings_default();
        s.mmproj = golden_file(families[i].name, ".mmproj.f16.gguf");
        s.device = "ref";
        cJSON_ArrayForEach(image, golden_get(c, "images"))
        {
            struct pr_visual v;
            size_t n = 0;
            write_picture(golden_get(image, "picture"), test_file("seen.png"));
            if (pr_embed(test_file("seen.png"), &s, NULL, &v) < 0)
                fail_msg("%s", pr_error_message());
            assert_int_equal(v.width, golden_get(c, "row_width")->valueint);
            for (size_t j = 0; j < v.n * v.width; j++) {
                float x;
                assert_int_equal(fread(&x, sizeof x, 1, want), 1);
                assert_true(fabs((double)(v.rows[j] - x)) <= 1e-3 * fmax(1, fabs((double)x)));
            }
            for (size_t j = 0; j < v.n_runs; j++) {
                assert_int_equal(v.runs[j].first, n);
                n += v.runs[j].n;
            }
            assert_int_equal(n, v.n);
            assert_true((strncmp(families[i].name, "qwen", 4) == 0) == (v.positions != NULL));
            pr_visual_finish(&v);
        }
        assert_int_equal(fgetc(want), EOF);
        fclose(want);
        cJSON_Delete(golden);
    }
    struct pr_visual v;
    assert_int_equal(pr_embed(test_file("seen.png"), NULL, NULL, &v), PR_ERR_INVALID);
    assert_non_null(strstr(pr_error_message(), "--mmproj"));
}

/* ---- films, and places looked at again ------------------------------------------------------------------------------ */

enum { FILM_FRAMES = 70, FILM_RATE = 10, FILM_W = 64, FILM_H = 48 };

/* A film whose frame i is grey of 3 * i. */
static bool make_film(void)
{
    char command[512];
    snprintf(command, sizeof command,
             "ffmpeg -y -v error -f lavfi -i \"color=black:s=%dx%d:r=%d:d=%d,format=rgb24,geq=r=3*N:g=3*N:b=3*N\" "
             "-c:v ffv1 -pix_fmt bgr0 %s 2>/dev/null",
             FILM_W, FILM_H, FILM_RATE, FILM_FRAMES / FILM_RATE, test_file("grey.mkv"));
    return system(command) == 0;
}

/* The visual tokens of the frames that the family's rule takes, made in one go. */
static float *rows_of_film(struct vision_encoder *encoder, size_t *n_values)
{
    struct vision_layout layout;
    const struct vision_family *family = vision_encoder_params(encoder)->family;
    int64_t frames[1024], times[1024];
    struct vision_image images[1024];
    int32_t n = family->sample(family, FILM_FRAMES, FILM_RATE, frames);
    for (int32_t i = 0; i < n; i++) {
        uint8_t *rgb = base_alloc((size_t)3 * FILM_W * FILM_H);
        memset(rgb, (int)(3 * frames[i]), (size_t)3 * FILM_W * FILM_H);
        times[i] = frames[i] * 1000000 / FILM_RATE;
        images[i] = (struct vision_image){.width = FILM_W, .height = FILM_H, .stride = (size_t)3 * FILM_W, .rgb = rgb};
    }
    struct vision_request request = {.medium = VISION_VIDEO,
                                     .width = FILM_W,
                                     .height = FILM_H,
                                     .n_frames = n,
                                     .times = times,
                                     .duration = FILM_FRAMES / FILM_RATE * (int64_t)1000000,
                                     .fps = (double)n * FILM_RATE / FILM_FRAMES};
    assert_int_equal(vision_layout_init(&layout, vision_encoder_params(encoder), &request), PR_OK);
    *n_values = (size_t)layout.n_tokens * (size_t)vision_encoder_width(encoder);
    float *rows = base_alloc_array(*n_values, sizeof *rows);
    uint8_t *rgb = base_alloc(vision_fill_size(&layout, 0, layout.n_crops));
    assert_int_equal(vision_fill(&layout, 0, layout.n_crops, images, rgb), PR_OK);
    assert_int_equal(vision_encode(encoder, &layout, 0, layout.n_crops, rgb, rows, NULL), PR_OK);
    for (int32_t i = 0; i < n; i++)
        base_free((void *)images[i].rgb);
    base_free(rgb);
    vision_layout_finish(&layout);
    return rows;
}

static void open_vision(struct pr_model *model, const char *family, const char *device)
{
    struct pr_settings s = pr_settings_default();
    *model = (struct pr_model){0};
    s.device = device;
    if (engine_open_devices(model, &s) < 0 ||
        engine_vision_open(&model->vision, golden_file(family, ".mmproj.f16.gguf"), "", model->device, model->host,
                           NULL, NULL) < 0)
        fail_msg("%s", pr_error_message());
}

static void close_vision(struct pr_model *model)
{
    engine_vision_close(&model->vision);
    compute_device_close(model->device);
    if (model->host != model->device)
        compute_device_close(model->host);
}

/* Exactly the frames of the family's rule, and the same values again and again. (Fewer rows in a batch may be rounded otherwise.) */
static void test_film(void **state)
{
    (void)state;
    if (!make_film()) {
        print_message("skipped: no ffmpeg here\n");
        skip();
    }
    for (int i = 0; i < N_FAMILIES; i++) {
        size_t n;
        struct pr_model model;
        struct engine_media media = {0};
        struct pr_settings s = pr_settings_default();
        open_vision(&model, families[i].name, "cpu");
        float *rows = rows_of_film(model.vision.encoder, &n), *at = rows;
        for (int again = 0; again < 2; again++)
            if (engine_media_read(&media, &model.vision, PR_ITEM_VIDEO, test_file("grey.mkv"), &s, NULL) < 0)
                fail_msg("%s", pr_error_message());
        assert_int_equal(media.n, 2);
        for (size_t k = 0; k < media.media[0].n_runs; k++) {
            const struct engine_run *run = &media.media[0].runs[k];
            size_t values = run->text ? 0 : (size_t)run->n * (size_t)vision_encoder_width(model.vision.encoder);
            assert_true(at + values <= rows + n);
            for (size_t j = 0; j < values; j++)
                assert_true(fabs((double)(run->rows[j] - at[j])) <= 1e-3 * fmax(1, fabs((double)at[j])));
            if (values)
                assert_memory_equal(run->rows, media.media[1].runs[k].rows, values * sizeof *at);
            at += values;
        }
        assert_true(at == rows + n);
        engine_media_finish(&media);
        close_vision(&model);
        base_free(rows);
    }
}

/* A place, looked at again, is the same as a picture of that place. */
static void same_as_picture(struct engine_vision *vision, const char *path, const struct engine_place *place,
                            int32_t max_tokens, struct pr_settings *frame)
{
    struct engine_medium m;
    struct engine_media want = {0};
    struct pr_settings s = pr_settings_default();
    frame->output = test_file("part.png");
    frame->pixels = 1 << 26;
    s.image_tokens = max_tokens;
    assert_int_equal(pr_frame_write(path, frame, NULL), PR_OK);
    assert_int_equal(engine_media_read(&want, vision, PR_ITEM_IMAGE, frame->output, &s, NULL), PR_OK);
    if (engine_look_again(vision, path, place, max_tokens, "", NULL, &m) < 0)
        fail_msg("%s", pr_error_message());
    const struct engine_run *a = &m.runs[1], *b = &want.media[0].runs[1]; /* words, tokens, words */
    assert_int_equal(m.n_runs, 3);
    assert_int_equal(a->n, b->n);
    assert_true(max_tokens == 0 || a->n <= max_tokens);
    assert_memory_equal(a->rows, b->rows, (size_t)(a->n * vision_encoder_width(vision->encoder)) * sizeof *a->rows);
    engine_medium_finish(&m);
    engine_media_finish(&want);
}

static void test_look_again(void **state)
{
    (void)state;
    struct pr_model model;
    struct engine_medium m;
    struct engine_place place = {.at = PR_TIME_NONE, .page = PR_PAGE_NONE, .box = {20, 30, 120, 90}};
    struct pr_settings frame = pr_settings_default();
    cJSON *picture = cJSON_Parse("[\"photo\",200,150,7]");
    write_picture(picture, test_file("whole.png"));
    cJSON_Delete(picture);
    open_vision(&model, "qwen2vl", "cpu");
    frame.box = "20,30,120,90";
    same_as_picture(&model.vision, test_file("whole.png"), &place, 6, &frame);
    place.box = (struct pr_box){300, 10, 400, 20};
    assert_int_equal(engine_look_again(&model.vision, test_file("whole.png"), &place, 6, "", NULL, &m), PR_ERR_INVALID);
    assert_non_null(strstr(pr_error_message(), "outside"));
    if (make_film()) {
        place = (struct engine_place){.at = 2050000, .page = PR_PAGE_NONE};
        frame.at = "2.05s";
        frame.box = "";
        same_as_picture(&model.vision, test_file("grey.mkv"), &place, 0, &frame);
        place.at = 100000000;
        assert_int_equal(engine_look_again(&model.vision, test_file("grey.mkv"), &place, 0, "", NULL, &m),
                         PR_ERR_NOT_FOUND);
    }
    close_vision(&model);
}

static void test_bench(void **state)
{
    (void)state;
    struct pr_bench_vision b;
    struct pr_settings s = pr_settings_default();
    s.mmproj = golden_file("idefics3", ".mmproj.f16.gguf");
    s.device = "cpu";
    s.runs = 2;
    assert_int_equal(pr_bench_vision(&s, NULL, &b), PR_OK);
    assert_int_equal(b.crops, 17);
    assert_int_equal(b.tokens, 17 * 9);
    assert_true(b.encode_s > 0 && b.gflop_s > 0 && b.arena_bytes > 0 && b.peak_device_bytes >= b.arena_bytes);
    s.side = 64;
    s.image_tokens = 9;
    assert_int_equal(pr_bench_vision(&s, NULL, &b), PR_OK);
    assert_int_equal(b.side, 64);
    assert_int_equal(b.crops, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ref),        cmocka_unit_test(test_cpu),   cmocka_unit_test(test_vulkan),
        cmocka_unit_test(test_beside),     cmocka_unit_test(test_saved), cmocka_unit_test(test_refused_picture),
        cmocka_unit_test(test_mismatch),   cmocka_unit_test(test_embed), cmocka_unit_test(test_film),
        cmocka_unit_test(test_look_again), cmocka_unit_test(test_bench),
    };
    return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
