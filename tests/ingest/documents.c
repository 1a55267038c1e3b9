/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Folders of pictures, archives of them, Markdown with pictures.
 */
#include "ingest/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cairo.h>
#include <cmocka.h>

#include "tests/support/folder.h"

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(test_file(name), "wb");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* A picture of one grey level, by which it is known again. */
static void write_picture(const char *name, int level)
{
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, 40, 30);
    cairo_t *cr = cairo_create(surface);
    cairo_set_source_rgb(cr, level / 255.0, level / 255.0, level / 255.0);
    cairo_paint(cr);
    cairo_destroy(cr);
    assert_int_equal(cairo_surface_write_to_png(surface, test_file(name)), CAIRO_STATUS_SUCCESS);
    cairo_surface_destroy(surface);
}

static int make_folder(void **state)
{
    if (test_folder_make(state) < 0 || mkdir(test_file("set"), 0700) < 0 || mkdir(test_file("doc"), 0700) < 0)
        return -1;
    write_picture("set/page 2.png", 2);
    write_picture("set/page 10.png", 10);
    write_picture("set/page 1.png", 1);
    write_file("set/notes.txt", "not a picture");
    write_file("set/broken.png", "not a picture either");
    write_picture("doc/plot.png", 77);
    write_picture("outside.png", 99);
    return 0;
}

static struct ingest_source *open_source(const char *name)
{
    struct ingest_options options = ingest_options_default();
    struct ingest_source *source = NULL;
    if (ingest_open(test_file(name), &options, &source) < 0)
        fail_msg("%s", pr_error_message());
    return source;
}

/* The readable pages are 1, 2, 10 in that order; the broken one is an error that names it, and the others still come. */
static void check_set(const char *name)
{
    static const struct {
        const char *label;
        int level; /* -1: broken */
    } pages[] = {{"broken.png", -1}, {"page 1.png", 1}, {"page 2.png", 2}, {"page 10.png", 10}};
    struct ingest_source *source = open_source(name);
    struct pr_unit unit;
    assert_int_equal(ingest_info(source)->n_pages, 4);
    for (int i = 0; i < 4; i++) {
        int err = ingest_next(source, &unit);
        if (pages[i].level < 0) {
            assert_int_equal(err, PR_ERR_FORMAT);
            assert_non_null(strstr(pr_error_message(), "broken.png"));
            continue;
        }
        assert_int_equal(err, PR_OK);
        assert_int_equal(unit.kind, PR_UNIT_PAGE);
        assert_int_equal(unit.span.page, i);
        assert_string_equal(strrchr(unit.label, '/') ? strrchr(unit.label, '/') + 1 : unit.label, pages[i].label);
        assert_int_equal(unit.picture_width, 40);
        assert_int_equal(unit.picture_height, 30);
        assert_int_equal(unit.rgb[0], pages[i].level);
    }
    assert_int_equal(ingest_next(source, &unit), PR_EOF);
    ingest_close(source);
}

static void test_folders(void **state)
{
    (void)state;
    check_set("set");
}

static void test_archives(void **state)
{
    (void)state;
    static const char *const commands[] = {
        "cd %s && python3 -c \"import zipfile, os; z = zipfile.ZipFile('set.cbz', 'w', zipfile.ZIP_DEFLATED); "
        "[z.write('set/' + n) for n in sorted(os.listdir('set'), reverse=True)]; z.close()\"",
        "cd %s && tar cf set.cbt set",
    };
    for (int i = 0; i < 2; i++) {
        char command[512];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(command, sizeof command, commands[i], test_folder);
#pragma GCC diagnostic pop
        assert_int_equal(system(command), 0);
        check_set(i == 0 ? "set.cbz" : "set.cbt");
    }
}

/* A picture that unpacks to 300 MiB out of 300 KiB is left out, within memory limits. */
static void test_zip_bomb(void **state)
{
    (void)state;
    char command[512];
    snprintf(command, sizeof command,
             "cd %s && python3 -c \"import zipfile; z = zipfile.ZipFile('bomb.cbz', 'w', zipfile.ZIP_DEFLATED); "
             "z.writestr('a.png', bytes(300 << 20)); z.write('set/page 1.png', 'b.png'); z.close()\"",
             test_folder);
    assert_int_equal(system(command), 0);
    struct ingest_source *source = open_source("bomb.cbz");
    struct pr_unit unit;
    assert_int_equal(ingest_next(source, &unit), PR_ERR_FORMAT);
    assert_non_null(strstr(pr_error_message(), "256 MiB"));
    assert_int_equal(ingest_next(source, &unit), PR_OK);
    assert_int_equal(unit.rgb[0], 1);
    ingest_close(source);
}

static void test_markdown(void **state)
{
    (void)state;
    write_file(
        "doc/paper.md",
        "# Title\n\nSome text.\n\nBefore ![A plot](plot.png \"title\") behind\n\n"
        "```\n![no](plot.png)\n```\n## Second\nMore.\n![away](../outside.png)\n![](https://example.org/x.png)\n");
    static const struct {
        const char *first;
        int level; /* 0: no picture */
        bool partial;
    } pages[] = {
        {"# Title", 0, false},   {"A plot", 77, false}, {" behind", 0, false},
        {"## Second", 0, false}, {"away", 0, true},     {"https://example.org/x.png", 0, true},
    };
    struct ingest_source *source = open_source("doc/paper.md");
    struct pr_unit unit;
    for (int i = 0; i < 6; i++) {
        assert_int_equal(ingest_next(source, &unit), PR_OK);
        assert_int_equal(unit.span.page, i);
        assert_true(unit.n_lines > 0);
        assert_string_equal(unit.lines[0].text, pages[i].first);
        assert_int_equal(unit.rgb ? unit.rgb[0] : 0, pages[i].level);
        assert_int_equal(unit.partial, pages[i].partial);
    }
    assert_int_equal(ingest_next(source, &unit), PR_EOF);
    ingest_close(source);
}

/* A playlist that names itself and the network is read as the text that it is. */
static void test_playlists_are_text(void **state)
{
    (void)state;
    struct pr_unit unit;
    write_file("list.m3u8", "#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:1/x.ts\nlist.m3u8\n");
    write_file("list.ffconcat", "ffconcat version 1.0\nfile list.ffconcat\n");
    static const char *const names[] = {"list.m3u8", "list.ffconcat"};
    for (int i = 0; i < 2; i++) {
        struct ingest_source *source = open_source(names[i]);
        assert_string_equal(ingest_info(source)->kind, "text");
        assert_int_equal(ingest_next(source, &unit), PR_OK);
        assert_int_equal(ingest_next(source, &unit), PR_EOF);
        ingest_close(source);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folders),  cmocka_unit_test(test_archives),           cmocka_unit_test(test_zip_bomb),
        cmocka_unit_test(test_markdown), cmocka_unit_test(test_playlists_are_text),
    };
    return cmocka_run_group_tests(tests, make_folder, test_folder_remove);
}
