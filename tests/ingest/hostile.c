/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Files that are damaged, that lie or that are made to do harm: each gives a message that names it, or what of it can be read,
 * within a bounded time; the program lives on.
 */
#include "ingest/source.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/folder.h"

enum { MAX_SECONDS = 60 /* for one file */, MAX_UNITS = 300, MAX_FILE = 4 << 20, ROUNDS = 4 };

static char path[128];
static bool have_ffmpeg;

static int make_folder(void **state)
{
    have_ffmpeg = system("ffmpeg -version > /dev/null 2>&1") == 0;
    return test_folder_make(state);
}

static void name_path(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", test_folder, name);
}

static void write_file(const char *name, const void *data, size_t len)
{
    name_path(name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, len, file), len);
    fclose(file);
}

static size_t read_file(const char *name, unsigned char *out)
{
    name_path(name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t len = fread(out, 1, MAX_FILE, file);
    fclose(file);
    return len;
}

/* ---- looking at one file ---------------------------------------------------------------------------------------- */

struct outcome {
    int opened; /* the result of opening */
    int units, pictures, partial, failed;
    char message[512]; /* the last one */
    char kind[64];
};

static void check_message(struct outcome *outcome, const char *what)
{
    snprintf(outcome->message, sizeof outcome->message, "%s", pr_error_message());
    if (!strstr(outcome->message, what) || strchr(outcome->message, '\n') ||
        strlen(outcome->message) < strlen(what) + 5)
        fail_msg("%s: a bad message: %s", what, outcome->message);
}

/* Reads a file to its end, or MAX_UNITS units of it. A file that takes longer than MAX_SECONDS ends the whole test. */
static struct outcome look_with(const char *what, const struct ingest_options *options)
{
    struct outcome outcome = {0};
    struct ingest_source *source = NULL;
    struct pr_unit unit;
    int err;
    fflush(stdout);
    alarm(MAX_SECONDS);
    outcome.opened = ingest_open(what, options, &source);
    if (outcome.opened < 0) {
        assert_null(source);
        check_message(&outcome, what);
    } else {
        snprintf(outcome.kind, sizeof outcome.kind, "%s", ingest_info(source)->kind);
        for (int i = 0; i < MAX_UNITS && (err = ingest_next(source, &unit)) != PR_EOF; i++) {
            outcome.failed += err < 0;
            outcome.units += err == PR_OK;
            if (err < 0)
                check_message(&outcome, strcmp(outcome.kind, "archive of pictures") == 0 ? "" : what);
            if (err == PR_OK) {
                outcome.pictures += unit.rgb != NULL;
                outcome.partial += unit.partial;
                assert_true(!unit.rgb || (int64_t)unit.picture_width * unit.picture_height <= options->max_pixels);
            }
        }
        ingest_close(source);
    }
    alarm(0);
    return outcome;
}

static struct outcome look(void)
{
    struct ingest_options options = ingest_options_default();
    options.max_pixels = 128 * 128;
    return look_with(path, &options);
}

/* A sanitizer that finds something in the worker ends it with a status of its own; so does a program that runs out of what it
 * may take. Neither may come of a file that is merely damaged, nor may the worker crash. */
static void look_at_damaged(void)
{
    struct outcome outcome = look();
    if (strstr(outcome.message, "crashed") || strstr(outcome.message, "gave up") ||
        strstr(outcome.message, "no progress"))
        fail_msg("%s", outcome.message);
}

/* ---- damaged files ---------------------------------------------------------------------------------------------- */

static uint32_t seed;
static uint32_t any(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)((uint64_t)seed * n >> 32);
}

/* Cuts the file at spread positions, and turns bits over in it: a few, mostly in its head, and many. */
static void damage(const char *name)
{
    static unsigned char whole[MAX_FILE], broken[MAX_FILE];
    size_t len = read_file(name, whole);
    assert_true(len > 16);
    seed = (uint32_t)len;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        size_t cut = i == 0 ? 1 : i == 1 ? len - 1 : 1 + any((uint32_t)len - 1);
        write_file(name, whole, cut);
        look_at_damaged();
    }
    for (uint32_t i = 0; i < ROUNDS; i++) {
        memcpy(broken, whole, len);
        for (uint32_t flips = i < 2 ? 8 : (uint32_t)len / 50 + 1; flips; flips--)
            broken[any(i % 2 ? (uint32_t)len : len < 512 ? (uint32_t)len : 512)] ^= (unsigned char)(1u << any(8));
        write_file(name, broken, len);
        look_at_damaged();
    }
    write_file(name, whole, len);
}

/* Small files are cut behind every byte. */
static void cut_everywhere(const char *name)
{
    static unsigned char whole[MAX_FILE];
    size_t len = read_file(name, whole);
    assert_true(len > 16 && len < 4096);
    for (size_t cut = 1; cut < len; cut++) {
        write_file(name, whole, cut);
        look_at_damaged();
    }
    write_file(name, whole, len);
}

static bool run_ffmpeg(const char *name, const char *arguments)
{
    char command[512];
    name_path(name);
    snprintf(command, sizeof command, "ffmpeg -v error -y -f lavfi -i testsrc=s=64x48:r=10:d=2 %s %s", arguments, path);
    return system(command) == 0;
}

static void test_damaged_media(void **state)
{
    (void)state;
    static const char *const files[][2] = {
        {"film.mp4", "-c:v libx264 -preset ultrafast -g 5 -pix_fmt yuv420p"},
        {"film.mkv", "-c:v mpeg4"},
        {"film.avi", "-c:v mpeg4"},
        {"film.ts", "-c:v mpeg2video"},
        {"film.gif", ""},
        {"picture.png", "-frames:v 1"},
        {"picture.jpg", "-frames:v 1"},
    };
    if (!have_ffmpeg) {
        print_message("skipped: the program ffmpeg isn't there\n");
        skip();
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        assert_true(run_ffmpeg(files[i][0], files[i][1]));
        struct outcome outcome = look();
        assert_true(outcome.opened == PR_OK && outcome.pictures > 0);
        damage(files[i][0]);
    }
    char command[512];
    snprintf(command, sizeof command,
             "cd %s && python3 -c \"import zipfile; z = zipfile.ZipFile('set.cbz', 'w', zipfile.ZIP_DEFLATED); "
             "z.write('picture.png'); z.write('picture.jpg')\"",
             test_folder);
    assert_int_equal(system(command), 0);
    name_path("set.cbz");
    assert_int_equal(look().pictures, 2);
    damage("set.cbz");
}

/* What a wrong name promises doesn't matter. */
static void test_wrong_extension(void **state)
{
    (void)state;
    static const char pixels[] = "P6\n2 2\n255\n\1\2\3\4\5\6\7\1\2\3\4\5";
    write_file("picture.pdf", pixels, sizeof pixels - 1);
    assert_int_equal(look().pictures, 1);
    write_file("words.mp4", "only words\n", 11);
    assert_string_equal(look().kind, "text");
    write_file("empty.mkv", "", 0);
    assert_int_equal(look().opened, PR_ERR_FORMAT);
    write_file("blank.pdf", "    ", 4);
    look_at_damaged();
    unsigned char noise[5000];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (unsigned char)any(256);
    write_file("noise.mp4", noise, sizeof noise);
    assert_true(look().pictures == 0);
}

/* Playlists that open other files, behind bytes that make them look like no text. */
static void test_hidden_playlists(void **state)
{
    (void)state;
    static const char hls[] = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n\0";
    static const char concat[] = "ffconcat version 1.0\nfile /etc/passwd\n\1";
    static const char hidden[] = "\0\1\2\n#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:1/x.ts\n";
    write_file("list.mp4", hls, sizeof hls);
    assert_true(look().opened < 0);
    write_file("list.mkv", concat, sizeof concat);
    assert_true(look().opened < 0);
    write_file("hidden.mp4", hidden, sizeof hidden);
    assert_true(look().opened < 0);
}

/* ---- things that are no files ----------------------------------------------------------------------------------- */

static void test_pipes_and_devices(void **state)
{
    (void)state;
    name_path("pipe.mp4");
    assert_int_equal(mkfifo(path, 0600), 0);
    struct outcome outcome = look();
    assert_int_equal(outcome.opened, PR_ERR_UNSUPPORTED);
    assert_non_null(strstr(outcome.message, "pipe"));
    struct ingest_options options = ingest_options_default();
    assert_int_equal(look_with("/dev/zero", &options).opened, PR_ERR_UNSUPPORTED);

    /* A folder whose picture is a pipe, and a film with a pipe in the place of its subtitles. */
    name_path("folder");
    assert_int_equal(mkdir(path, 0700), 0);
    assert_true(look().opened < 0);
    name_path("folder/a.png");
    assert_int_equal(mkfifo(path, 0600), 0);
    name_path("folder");
    outcome = look();
    assert_int_equal(outcome.units, 0);
    assert_int_equal(outcome.failed, 1);
    name_path("folder/film.srt");
    assert_int_equal(mkfifo(path, 0600), 0);
    static const char pixels[] = "P6\n2 2\n255\n\1\2\3\4\5\6\7\1\2\3\4\5";
    write_file("folder/film.ppm", pixels, sizeof pixels - 1);
    assert_int_equal(look().pictures, 1);
}

static void test_unreadable(void **state)
{
    (void)state;
    if (geteuid() == 0) {
        print_message("skipped: the superuser reads everything\n");
        skip();
    }
    write_file("secret.pdf", "%PDF-1.4", 8);
    chmod(path, 0);
    assert_int_equal(look().opened, PR_ERR_IO);
}

/* Runs a shell command whose output is standard input while the source is read. */
static struct outcome look_at_stream(const char *command, int stall_seconds)
{
    int ends[2], kept = dup(0);
    assert_int_equal(pipe(ends), 0);
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], 1);
        close(ends[1]);
        close(ends[0]);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    dup2(ends[0], 0);
    close(ends[0]);
    struct ingest_options options = ingest_options_default();
    options.max_pixels = 128 * 128;
    options.stall_seconds = stall_seconds;
    struct outcome outcome = look_with("-", &options);
    dup2(kept, 0);
    close(kept);
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    return outcome;
}

static void test_endless_streams(void **state)
{
    (void)state;
    assert_true(look_at_stream("exec yes", 20).opened < 0);
    assert_true(look_at_stream("exec cat /dev/zero", 20).opened < 0);
    assert_true(look_at_stream("exec true", 20).opened < 0);
    struct outcome outcome = look_at_stream("exec sleep 100", 1);
    assert_true(outcome.opened < 0);
    assert_non_null(strstr(outcome.message, "no progress for 1 s"));
    if (!have_ffmpeg)
        return;
    outcome = look_at_stream("exec ffmpeg -v quiet -f lavfi -i testsrc=s=64x48:r=1 -c:v mpeg2video -f mpegts -", 20);
    assert_int_equal(outcome.opened, PR_OK);
    assert_int_equal(outcome.units, MAX_UNITS); /* it would go on: the reader stops */
}

/* ---- sizes that lie --------------------------------------------------------------------------------------------- */

static uint32_t png_check(const unsigned char *data, size_t len)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* A PNG of 8-bit RGB whose header claims width x height and whose data are a few bytes. */
static void write_png(const char *name, uint32_t width, uint32_t height)
{
    unsigned char png[] = "\x89PNG\r\n\x1a\n\0\0\0\15IHDR\0\0\0\0\0\0\0\0\10\2\0\0\0\0\0\0\0"
                          "\0\0\0\14IDAT\x78\x9c\x63\x60\x60\x60\0\0\0\4\0\1\0\0\0\0\0\0\0\0IEND\xae\x42\x60\x82";
    for (int i = 0; i < 4; i++) {
        png[16 + i] = (unsigned char)(width >> (24 - 8 * i));
        png[20 + i] = (unsigned char)(height >> (24 - 8 * i));
    }
    uint32_t check = png_check(png + 12, 17);
    for (int i = 0; i < 4; i++)
        png[29 + i] = (unsigned char)(check >> (24 - 8 * i));
    write_file(name, png, sizeof png - 1);
}

static void test_lying_sizes(void **state)
{
    (void)state;
    struct outcome outcome;
    write_png("wide.png", 60000, 60000);
    outcome = look();
    assert_true(outcome.pictures == 0 && (outcome.opened < 0 || outcome.failed > 0));
    write_png("huge.png", 0x7fffffff, 0x7fffffff);
    assert_int_equal(look().pictures, 0);
    write_png("none.png", 0, 0);
    assert_int_equal(look().pictures, 0);
    write_png("large.png", 16000, 16000); /* allowed, but its data aren't there */
    look();

    static unsigned char strip[65535 + 32];
    int head = snprintf((char *)strip, 32, "P5\n1 65535\n255\n");
    write_file("high.pgm", strip, (size_t)head + 65535);
    outcome = look();
    assert_int_equal(outcome.opened, PR_OK);
    assert_int_equal(outcome.pictures + outcome.failed, 1);
    head = snprintf((char *)strip, 32, "P5\n65535 1\n255\n");
    write_file("wide.pgm", strip, (size_t)head + 65535);
    outcome = look();
    assert_int_equal(outcome.opened, PR_OK);
    assert_int_equal(outcome.pictures + outcome.failed, 1);
}

/* ---- documents -------------------------------------------------------------------------------------------------- */

/* A PDF of the given objects (from number 1, the catalog, on), without a table of them: poppler looks for them itself. */
static void write_pdf(const char *name, const char *const *objects, int n)
{
    name_path(name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("%PDF-1.4\n", file);
    for (int i = 0; i < n; i++)
        fprintf(file, "%d 0 obj\n%s\nendobj\n", i + 1, objects[i]);
    fprintf(file, "trailer\n<</Root 1 0 R/Size %d>>\n%%%%EOF\n", n + 1);
    fclose(file);
}

#define CATALOG "<</Type/Catalog/Pages 2 0 R/Outlines 4 0 R>>"
#define PAGES   "<</Type/Pages/Kids[3 0 R]/Count 1>>"

static void test_page_sizes(void **state)
{
    (void)state;
    static const char *const boxes[] = {
        "0 0 1000000000 1000000000",
        "0 0 1000000000 0.1",
        "0 0 0.1 0.1",
        "0 0 0.1 1000000000",
        "0 0 0 0",
        "-5 -5 -5 -5",
        "100 100 0 0",
        "0 0 1e300 99999999999999999999999",
        "1 2",
    };
    for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++) {
        char page[256];
        snprintf(page, sizeof page, "<</Type/Page/Parent 2 0 R/MediaBox[%s]>>", boxes[i]);
        write_pdf("size.pdf", (const char *const[]){CATALOG, PAGES, page}, 3);
        struct outcome outcome = look();
        assert_int_equal(outcome.opened, PR_OK);
        assert_int_equal(outcome.units + outcome.failed, 1);
    }
}

static void test_cycles(void **state)
{
    (void)state;
    static const char page[] = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]>>";
    /* An outline whose entry is its own neighbour and child. */
    write_pdf("outline.pdf",
              (const char *const[]){CATALOG, PAGES, page, "<</Type/Outlines/First 5 0 R/Last 5 0 R/Count 1>>",
                                    "<</Title(again)/Parent 4 0 R/Next 5 0 R/First 5 0 R/Last 5 0 R/Count 1>>"},
              5);
    struct outcome outcome = look();
    assert_int_equal(outcome.opened, PR_OK);
    assert_int_equal(outcome.units, 1);
    /* Two entries that are each other's next. */
    write_pdf("outline2.pdf",
              (const char *const[]){CATALOG, PAGES, page, "<</Type/Outlines/First 5 0 R/Last 6 0 R/Count 2>>",
                                    "<</Title(one)/Parent 4 0 R/Next 6 0 R>>",
                                    "<</Title(two)/Parent 4 0 R/Next 5 0 R>>"},
              6);
    assert_int_equal(look().opened, PR_OK);
    write_pdf("pages.pdf", (const char *const[]){CATALOG, "<</Type/Pages/Kids[2 0 R 2 0 R 2 0 R]/Count 3>>"}, 2);
    look();
    write_pdf("count.pdf", (const char *const[]){CATALOG, "<</Type/Pages/Kids[3 0 R]/Count 2000000000>>", page}, 3);
    look();
    write_pdf("parent.pdf",
              (const char *const[]){CATALOG, PAGES, "<</Type/Page/Parent 3 0 R/Resources 3 0 R/Contents 3 0 R>>"}, 3);
    look();
}

/* Content with too deep brackets, states and dictionaries. */
static void test_deep_nesting(void **state)
{
    (void)state;
    enum { DEPTH = 200000 };
    static char text[2 * DEPTH + 256];
    static const char page[] = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/Contents 4 0 R>>";
    static const char *const pieces[] = {"[", "q ", "<<", "("};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        size_t piece = strlen(pieces[i]), len = (size_t)sprintf(text, "<</Length %zu>>stream\n", DEPTH * piece);
        for (int k = 0; k < DEPTH; k++, len += piece)
            memcpy(text + len, pieces[i], piece);
        strcpy(text + len, "\nendstream");
        write_pdf("deep.pdf", (const char *const[]){CATALOG, PAGES, page, text}, 4);
        look_at_damaged();
        /* The same in the document itself. */
        len = (size_t)sprintf(text, "<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/A ");
        for (int k = 0; k < DEPTH; k++, len += piece)
            memcpy(text + len, pieces[i], piece);
        text[len] = '\0';
        write_pdf("deeper.pdf", (const char *const[]){CATALOG, PAGES, text}, 3);
        look_at_damaged();
    }
}

/* Page 1 draws a form that draws the next one ten times, and so on: 10^12 times in the end. It is given up, page 2 is read. */
static void test_page_that_hangs(void **state)
{
    (void)state;
    enum { FORMS = 12 };
    char forms[FORMS][512];
    const char *objects[6 + FORMS] = {
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R 4 0 R]/Count 2>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/Contents 5 0 R/Resources<</XObject<</X 7 0 R>>>>>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 100 100]/Contents 6 0 R>>",
        "<</Length 4>>stream\n/X Do\nendstream",
        "<</Length 20>>stream\n1 0 0 rg 0 0 50 50 re f\nendstream",
    };
    for (int i = 0; i < FORMS; i++) {
        char next[64] = "";
        if (i + 1 < FORMS)
            snprintf(next, sizeof next, "/Resources<</XObject<</X %d 0 R>>>>", 8 + i);
        snprintf(forms[i], sizeof forms[i],
                 "<</Type/XObject/Subtype/Form/BBox[0 0 100 100]%s/Length 60>>stream\n"
                 "/X Do /X Do /X Do /X Do /X Do /X Do /X Do /X Do /X Do /X Do \nendstream",
                 next);
        objects[6 + i] = forms[i];
    }
    write_pdf("hang.pdf", objects, 6 + FORMS);
    struct ingest_options options = ingest_options_default();
    options.max_pixels = 64 * 64;
    options.stall_seconds = 3;
    struct outcome outcome = look_with(path, &options);
    assert_int_equal(outcome.opened, PR_OK);
    assert_int_equal(outcome.failed, 1);
    assert_non_null(strstr(outcome.message, "no progress for 3 s at page 1"));
    assert_int_equal(outcome.units, 1);
}

static void test_cut_at_every_byte(void **state)
{
    (void)state;
    static const char page[] = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</Font<</F "
                               "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>";
    write_pdf("small.pdf",
              (const char *const[]){"<</Type/Catalog/Pages 2 0 R>>", PAGES, page,
                                    "<</Length 35>>stream\nBT /F 9 Tf 9 50 Td (words) Tj ET    \nendstream"},
              4);
    assert_int_equal(look().units, 1);
    cut_everywhere("small.pdf");
    static const char markdown[] = "# A\n\n![b](small.png)\n\n```\nc\n";
    write_file("small.md", markdown, strlen(markdown));
    cut_everywhere("small.md");
    static const char text[] = "\xc3\xa4 line\n\fa \xf0\x9f\x98\x80 page\n";
    write_file("small.txt", text, strlen(text));
    cut_everywhere("small.txt");
    if (!have_ffmpeg)
        return;
    static const char *const files[][2] = {
        {"small.png", "-frames:v 1 -vf scale=4:4"},
        {"small.webp", "-frames:v 3 -vf scale=4:4 -c:v libwebp_anim -lossless 1"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        assert_true(run_ffmpeg(files[i][0], files[i][1]));
        assert_true(look().pictures > 0);
        cut_everywhere(files[i][0]);
    }
    char command[256];
    snprintf(command, sizeof command,
             "cd %s && python3 -c \"import zipfile; zipfile.ZipFile('small.cbz', 'w').write('small.png')\"",
             test_folder);
    assert_int_equal(system(command), 0);
    name_path("small.cbz");
    assert_int_equal(look().pictures, 1);
    cut_everywhere("small.cbz");
}

static void test_damaged_documents(void **state)
{
    (void)state;
    static const char page[] =
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 5 0 R/Resources<</Font<</F "
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>/Annots[<</Type/Annot/Subtype/Link/Rect"
        "[0 0 9 9]/A<</S/URI/URI(http://127.0.0.1:1/)>>>>]>>";
    write_pdf("text.pdf",
              (const char *const[]){CATALOG, PAGES, page, "<</Type/Outlines/First 6 0 R/Last 6 0 R/Count 1>>",
                                    "<</Length 60>>stream\nBT /F 12 Tf 10 100 Td (Some words of text.) Tj ET\n"
                                    "1 0 0 rg 10 10 90 60 re f      \nendstream",
                                    "<</Title(Here)/Parent 4 0 R/Dest[3 0 R/Fit]>>"},
              6);
    struct outcome outcome = look();
    assert_int_equal(outcome.units, 1);
    damage("text.pdf");
    static const char words[] = "# Head\n\nText ![plot](picture.png) and ![](../x.png)\n\n## Next\n\n```\ncode\n";
    write_file("words.md", words, sizeof words - 1);
    assert_true(look().units >= 2);
    damage("words.md");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_media),     cmocka_unit_test(test_damaged_documents),
        cmocka_unit_test(test_wrong_extension),   cmocka_unit_test(test_hidden_playlists),
        cmocka_unit_test(test_pipes_and_devices), cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_endless_streams),   cmocka_unit_test(test_lying_sizes),
        cmocka_unit_test(test_page_sizes),        cmocka_unit_test(test_cycles),
        cmocka_unit_test(test_deep_nesting),      cmocka_unit_test(test_page_that_hangs),
        cmocka_unit_test(test_cut_at_every_byte),
    };
    return cmocka_run_group_tests(tests, make_folder, test_folder_remove);
}
