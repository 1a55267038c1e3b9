/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A page of an illustrated paper, drawn here with cairo, so that the place of everything on it is known.
 */
#include "ingest/source.h"
#include "tests/support/make_pdf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cairo-pdf.h>
#include <cmocka.h>

static char path[] = "/tmp/pagereel-test-XXXXXX";

static const struct pr_box plot = {320, 100, 540, 260}, photo = {60, 420, 260, 560};

static void text(cairo_t *cr, double x, double y, const char *words)
{
    cairo_move_to(cr, x, y);
    cairo_show_text(cr, words);
}

/* Left column: paragraphs and a photo; right column: a drawn plot, then paragraphs. Each line names its column and number. */
static void draw_columns(cairo_t *cr)
{
    char words[64];
    cairo_set_font_size(cr, 10);
    for (int i = 0; i < 24; i++) {
        snprintf(words, sizeof words, "left %02d of a column with many words in it", i);
        text(cr, 60, 100 + 12 * i, words);
    }
    for (int i = 0; i < 24; i++) {
        snprintf(words, sizeof words, "right %02d of a column with many words in it", i);
        text(cr, 320, 320 + 12 * i, words);
    }
}

static void draw_plot(cairo_t *cr)
{
    cairo_set_line_width(cr, 1);
    cairo_rectangle(cr, plot.x0, plot.y0, plot.x1 - plot.x0, plot.y1 - plot.y0);
    for (int i = 0; i < 20; i++)
        cairo_line_to(cr, plot.x0 + 11 * i, plot.y1 - 5 - (i * 37 % 140));
    cairo_stroke(cr);
    cairo_set_font_size(cr, 7);
    text(cr, plot.x0 + 5, plot.y0 + 12, "speed");
    text(cr, plot.x1 - 60, plot.y1 - 8, "time in s");
    cairo_set_font_size(cr, 9);
    text(cr, plot.x0, plot.y1 + 18, "Figure 1: Speed over time");
}

static void draw_photo(cairo_t *cr)
{
    cairo_surface_t *image = cairo_image_surface_create(CAIRO_FORMAT_RGB24, 50, 35);
    unsigned char *data = cairo_image_surface_get_data(image);
    for (int y = 0; y < 35; y++)
        for (int x = 0; x < 50 * 4; x++)
            data[y * cairo_image_surface_get_stride(image) + x] = (unsigned char)(x * 5 + y * 3);
    cairo_surface_mark_dirty(image);
    cairo_save(cr);
    cairo_translate(cr, photo.x0, photo.y0);
    cairo_scale(cr, 4, 4);
    cairo_set_source_surface(cr, image, 0, 0);
    cairo_paint(cr);
    cairo_restore(cr);
    cairo_set_source_rgb(cr, 0, 0, 0);
    cairo_surface_destroy(image);
    text(cr, photo.x0, photo.y1 + 14, "Fig. 2. A photo of noise");
}

static int make_paper(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    if (fd < 0)
        return -1;
    close(fd);
    cairo_surface_t *surface = cairo_pdf_surface_create(path, 595, 842);
    cairo_t *cr = cairo_create(surface);
    cairo_select_font_face(cr, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_pdf_surface_set_page_label(surface, "iv");
    draw_columns(cr);
    draw_plot(cr);
    draw_photo(cr);
    cairo_tag_begin(cr, CAIRO_TAG_LINK, "uri='https://example.org/' rect=[60 700 100 15]");
    cairo_tag_end(cr, CAIRO_TAG_LINK);
    cairo_pdf_surface_add_outline(surface, CAIRO_PDF_OUTLINE_ROOT, "Introduction", "page=1", 0);
    int part = cairo_pdf_surface_add_outline(surface, CAIRO_PDF_OUTLINE_ROOT, "Results", "page=2", 0);
    cairo_pdf_surface_add_outline(surface, part, "Speed", "page=2", 0);
    cairo_show_page(cr);
    /* A scan: the whole page is one picture without text. */
    cairo_pdf_surface_set_page_label(surface, "1");
    cairo_set_source_rgb(cr, 0.2, 0.2, 0.2);
    for (int i = 0; i < 60; i++)
        cairo_rectangle(cr, 60, 60 + 12 * i, 470, 5);
    cairo_fill(cr);
    cairo_show_page(cr);
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
    return 0;
}

static int remove_paper(void **state)
{
    (void)state;
    return unlink(path);
}

static struct ingest_source *open_paper(int64_t max_pixels)
{
    struct ingest_options options = ingest_options_default();
    options.max_pixels = max_pixels;
    struct ingest_source *source;
    assert_int_equal(ingest_open(path, &options, &source), PR_OK);
    return source;
}

static void test_outline_and_labels(void **state)
{
    (void)state;
    struct ingest_source *source = open_paper(0);
    const struct pr_source_info *info = ingest_info(source);
    assert_int_equal(info->n_pages, 2);
    assert_int_equal(info->n_marks, 3);
    assert_string_equal(info->marks[0].title, "Introduction");
    assert_int_equal(info->marks[0].span.page, 0);
    assert_string_equal(info->marks[2].title, "Speed");
    assert_int_equal(info->marks[2].depth, 1);
    assert_int_equal(info->marks[2].span.page, 1);
    struct pr_unit unit;
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_string_equal(unit.label, "iv");
    assert_null(unit.rgb);
    ingest_close(source);
}

/* Lines of a column come in their order, and a column is finished before the next begins. */
static void test_reading_order(void **state)
{
    (void)state;
    struct ingest_source *source = open_paper(0);
    struct pr_unit unit;
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    int left = 0, right = 0;
    for (size_t i = 0; i < unit.n_lines; i++) {
        int number;
        if (sscanf(unit.lines[i].text, "left %d", &number) == 1) {
            assert_int_equal(number, left++);
            assert_int_equal(right, 0);
        } else if (sscanf(unit.lines[i].text, "right %d", &number) == 1) {
            assert_int_equal(number, right++);
            assert_int_equal(left, 24);
        }
    }
    assert_int_equal(right, 24);
    ingest_close(source);
}

static void assert_near(struct pr_box box, struct pr_box expected)
{
    const float slack = 14; /* points: two cells of the figure grid */
    assert_true(box.x0 > expected.x0 - slack && box.x0 < expected.x0 + slack);
    assert_true(box.y0 > expected.y0 - slack && box.y0 < expected.y0 + slack);
    assert_true(box.x1 > expected.x1 - slack && box.x1 < expected.x1 + slack);
    assert_true(box.y1 > expected.y1 - slack && box.y1 < expected.y1 + slack);
}

static void test_figures_with_captions(void **state)
{
    (void)state;
    struct ingest_source *source = open_paper(800 * 600);
    struct pr_unit unit;
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    int n = 0;
    for (size_t i = 0; i < unit.n_regions; i++) {
        if (unit.regions[i].kind != PR_REGION_FIGURE)
            continue;
        assert_near(unit.regions[i].box, n == 0 ? plot : photo);
        assert_string_equal(unit.regions[i].text, n == 0 ? "Figure 1: Speed over time" : "Fig. 2. A photo of noise");
        n++;
    }
    assert_int_equal(n, 2);
    assert_false(unit.visual_only);
    ingest_close(source);
}

/* Two plots with a caption below each, so that one caption stands as near to the one above as to the one below, and a plot with its
 * caption beside it; all of it in a frame, and a line of text that speaks of a figure. */
static void draw_framed(const char *file)
{
    static const struct pr_box plots[] = {{100, 100, 300, 200}, {100, 230, 300, 330}, {100, 450, 250, 560}};
    cairo_surface_t *surface = cairo_pdf_surface_create(file, 595, 842);
    cairo_t *cr = cairo_create(surface);
    cairo_set_font_size(cr, 9);
    cairo_rectangle(cr, 60, 60, 475, 720);
    for (int i = 0; i < 3; i++) {
        struct pr_box b = plots[i];
        cairo_rectangle(cr, b.x0, b.y0, b.x1 - b.x0, b.y1 - b.y0);
        for (int k = 0; k < 10; k++)
            cairo_line_to(cr, b.x0 + 14 * k, b.y1 - k * 37 % 90);
    }
    cairo_stroke(cr);
    text(cr, 100, 215, "Figure 1: The first of these plots is divi-");
    text(cr, 100, 226, "ded, as its caption is.");
    text(cr, 100, 345, "Figure 2: The second");
    text(cr, 100, 400, "Figure 3 shows what stands here as text of its own.");
    text(cr, 260, 500, "Figure 3: Beside it");
    cairo_show_page(cr);
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
}

static void test_captions(void **state)
{
    (void)state;
    static const char *const captions[] = {"Figure 1: The first of these plots is divided, as its caption is.",
                                           "Figure 2: The second", "Figure 3: Beside it"};
    char file[sizeof path + 8];
    snprintf(file, sizeof file, "%s.pdf", path);
    draw_framed(file);
    struct ingest_options options = ingest_options_default();
    struct ingest_source *source;
    struct pr_unit unit;
    options.max_pixels = 800 * 600;
    assert_int_equal(ingest_open(file, &options, &source), PR_OK);
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_int_equal(unit.n_regions, 3);
    for (int i = 0; i < 3; i++)
        assert_string_equal(unit.regions[i].text, captions[i]);
    ingest_close(source);
    unlink(file);
}

static void test_links(void **state)
{
    (void)state;
    struct ingest_source *source = open_paper(0);
    struct pr_unit unit;
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_int_equal(unit.n_regions, 1);
    assert_int_equal(unit.regions[0].kind, PR_REGION_LINK);
    assert_string_equal(unit.regions[0].text, "https://example.org/");
    assert_near(unit.regions[0].box, (struct pr_box){60, 700, 160, 715});
    ingest_close(source);
}

/* Hebrew, drawn here letter by letter as it stands on the page, is read from right to left, and its boxes are its own. */
static void test_right_to_left(void **state)
{
    (void)state;
    static const struct make_pdf_line lines[] = {
        {0, 72, 100, "רב 9 ב (טאל) תרגסנ הבאשמה"},
        {0, 72, 130, "The word הבאשמ means pump."},
        {0, 72, 160, "ﺖﺳﺮﻬﻓ"}, /* Persian in the forms that fonts draw */
    };
    static const char *const texts[] = {"המשאבה נסגרת (לאט) ב 9 בר", "The word משאבה means pump.", "فهرست"};
    char file[sizeof path + 8];
    snprintf(file, sizeof file, "%s.pdf", path);
    make_pdf(file, lines, 3);
    struct ingest_options options = ingest_options_default();
    struct ingest_source *source;
    struct pr_unit unit;
    options.max_pixels = 0;
    assert_int_equal(ingest_open(file, &options, &source), PR_OK);
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_int_equal(unit.n_lines, 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(unit.lines[i].text, texts[i]);
        assert_true(unit.lines[i].box.y0 < lines[i].y && unit.lines[i].box.y1 > lines[i].y);
        assert_true(unit.lines[i].box.y1 - unit.lines[i].box.y0 < 20);
        assert_true(unit.lines[i].box.x0 > 71 && unit.lines[i].box.x0 < 74);
    }
    ingest_close(source);
    unlink(file);
}

static void test_scan_is_visual_only(void **state)
{
    (void)state;
    struct ingest_source *source = open_paper(800 * 600);
    struct pr_unit unit;
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_true(unit.visual_only);
    assert_int_equal(unit.n_lines, 0);
    ingest_close(source);
}

/* A title over three columns whose lines don't stand beside each other, with a plot and its caption at the foot of the middle one;
 * then a chip with a number at each pin. */
static void draw_three_columns(const char *file)
{
    cairo_surface_t *surface = cairo_pdf_surface_create(file, 595, 842);
    cairo_t *cr = cairo_create(surface);
    char words[64];
    cairo_select_font_face(cr, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, 18);
    text(cr, 60, 60, "A title that stands over all of the columns");
    cairo_set_font_size(cr, 9);
    for (int column = 0; column < 3; column++)
        for (int i = 0; i < (column == 1 ? 30 : 50); i++) {
            snprintf(words, sizeof words, "c%d line %02d of many words", column, i);
            text(cr, 50 + 170 * column, 100 + 3.5 * column + 12 * i, words);
        }
    cairo_rectangle(cr, 225, 500, 130, 120);
    cairo_move_to(cr, 225, 620);
    cairo_line_to(cr, 355, 500);
    cairo_stroke(cr);
    text(cr, 225, 636, "Figure 3: A line");
    cairo_show_page(cr);
    cairo_set_font_size(cr, 10);
    cairo_rectangle(cr, 262, 150, 24, 64);
    cairo_stroke(cr);
    for (int pin = 1; pin <= 8; pin++) {
        snprintf(words, sizeof words, "%d", pin);
        text(cr, pin <= 4 ? 253 : 289, 160 + 16 * (pin <= 4 ? pin - 1 : 8 - pin), words);
    }
    cairo_show_page(cr);
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
}

static void test_three_columns(void **state)
{
    (void)state;
    char file[] = "/tmp/pagereel-test-XXXXXX";
    int fd = mkstemp(file), column, number, last = -1, n = 0, figures = 0;
    assert_true(fd >= 0);
    close(fd);
    draw_three_columns(file);
    struct ingest_options options = ingest_options_default();
    struct ingest_source *source;
    struct pr_unit unit;
    assert_int_equal(ingest_open(file, &options, &source), PR_OK);
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_string_equal(unit.lines[0].text, "A title that stands over all of the columns");
    for (size_t i = 0; i < unit.n_lines; i++)
        if (sscanf(unit.lines[i].text, "c%d line %d", &column, &number) == 2) {
            assert_true(100 * column + number > last);
            last = 100 * column + number;
            n++;
        }
    assert_int_equal(n, 130);
    for (size_t i = 0; i < unit.n_regions; i++)
        if (unit.regions[i].kind == PR_REGION_FIGURE) {
            assert_near(unit.regions[i].box, (struct pr_box){225, 500, 355, 620});
            assert_string_equal(unit.regions[i].text, "Figure 3: A line");
            figures++;
        }
    assert_int_equal(figures, 1);
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    for (size_t i = 0; i < unit.n_lines; i++) /* never "18" */
        for (const char *c = unit.lines[i].text; *c; c++)
            assert_true(*c == ' ' || c[1] == '\0' || c[1] == ' ');
    ingest_close(source);
    unlink(file);
}

static void test_picture_size(void **state)
{
    (void)state;
    static const int64_t sizes[] = {1, 1000, 262144, 2000000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct ingest_source *source = open_paper(sizes[i]);
        struct pr_unit unit;
        assert_int_equal(ingest_next(source, &unit), PR_OK);
        int64_t pixels = (int64_t)unit.picture_width * unit.picture_height;
        assert_true(pixels >= 1 && pixels <= sizes[i]);
        assert_true(sizes[i] < 1000 || pixels > sizes[i] * 9 / 10);
        ingest_close(source);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outline_and_labels),
        cmocka_unit_test(test_reading_order),
        cmocka_unit_test(test_figures_with_captions),
        cmocka_unit_test(test_captions),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_three_columns),
        cmocka_unit_test(test_right_to_left),
        cmocka_unit_test(test_scan_is_visual_only),
        cmocka_unit_test(test_picture_size),
    };
    return cmocka_run_group_tests(tests, make_paper, remove_paper);
}
