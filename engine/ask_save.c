/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The evidence of an answer as files for people: the frame of a cited time and a clip, the part of a page with its lines framed, and the
 * text.
 */
#include "engine/ask.h"

#include "base/mem.h"
#include "draw/canvas.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE_PIXELS = 1 << 21, SHORTEST = 1000000 /* microseconds of a clip */ };
static const double MARGIN = 24; /* points around the lines of a page */

static double within(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

/* The part of the page that the model was shown, or all of it, with the cited line framed. */
static int draw_page(const struct pr_unit *unit, const struct pr_citation *citation, const char *path)
{
    int err;
    struct draw_canvas *canvas = NULL;
    double scale = unit->width > 0 ? unit->picture_width / unit->width : 1;
    double w = unit->picture_width, h = unit->picture_height;
    const float *box = citation->box, *shown = citation->shown_box;
    bool boxed = box[2] > box[0] && box[3] > box[1], cut = shown[2] > shown[0] && shown[3] > shown[1];
    double x0 = cut ? within((shown[0] - MARGIN) * scale, 0, w - 1) : 0;
    double y0 = cut ? within((shown[1] - MARGIN) * scale, 0, h - 1) : 0;
    double x1 = cut ? within((shown[2] + MARGIN) * scale, x0 + 1, w) : w;
    double y1 = cut ? within((shown[3] + MARGIN) * scale, y0 + 1, h) : h;
    TRY(draw_canvas_create((int32_t)(x1 - x0 + 0.5), (int32_t)(y1 - y0 + 0.5), 0xffffff, &canvas));
    draw_picture(canvas, unit->rgb, unit->picture_width, unit->picture_height, -x0, -y0, w, h);
    if (boxed)
        draw_frame(canvas, box[0] * scale - x0 - 3, box[1] * scale - y0 - 3, (box[2] - box[0]) * scale + 6,
                   (box[3] - box[1]) * scale + 6, 3, 0xd03030);
    err = draw_write_png(canvas, path);
fail:
    draw_canvas_destroy(canvas);
    return err;
}

static int save_page(const struct pr_settings *given, const struct pr_citation *citation, const char *path,
                     struct pr_cancel *cancel)
{
    int err;
    char page[32];
    struct pr_settings settings = *given;
    struct pr_source *source = NULL;
    struct pr_unit unit;
    snprintf(page, sizeof page, "%d", citation->page);
    settings.pages = page;
    settings.pixels = PAGE_PIXELS;
    TRY(pr_source_open(citation->source, &settings, cancel, &source));
    TRY(pr_source_next(source, &unit));
    if (err == PR_EOF || !unit.rgb)
        TRY(base_fail(PR_ERR_NOT_FOUND, "%s: page %d can't be drawn", citation->source, citation->page));
    err = draw_page(&unit, citation, path);
fail:
    pr_source_close(source);
    return err;
}

static int save_frame(const struct pr_settings *given, const struct pr_citation *citation, const char *path,
                      struct pr_cancel *cancel)
{
    char at[32];
    struct pr_settings settings = *given;
    int64_t t = citation->looked_at_us != PR_TIME_NONE ? citation->looked_at_us
                                                       : citation->t0_us + (citation->t1_us - citation->t0_us) / 2;
    pr_time_text(t, at, sizeof at);
    settings.at = at;
    settings.page = settings.box = settings.pages = settings.from = settings.to = "";
    settings.output = path;
    settings.pixels = PAGE_PIXELS;
    return pr_frame_write(citation->source, &settings, cancel);
}

/* ---- clips -------------------------------------------------------------------------------------------------------- */

/* Runs a program; false: there is none, or it failed. */
static int run(char *const argv[], struct pr_cancel *cancel, bool *good)
{
    int status = 0;
    pid_t pid;
    *good = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) == 0;
    if (!*good)
        return PR_OK;
    for (;;) {
        pid_t done = waitpid(pid, &status, WNOHANG);
        if (done < 0 && errno != EINTR)
            break;
        if (done == pid)
            break;
        if (base_cancelled(engine_cancel(cancel))) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            return base_fail(PR_ERR_CANCELLED, "interrupted");
        }
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    *good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return PR_OK;
}

/* The cited span of a film, cut and encoded anew by the program ffmpeg: copied streams would begin at the key frame before, which may be
 * minutes away. Without that program there is no clip; it is a process of its own, as decoders of other people's files are. */
static int save_clip(const struct pr_citation *citation, const char *path, struct pr_cancel *cancel)
{
    char from[32], length[32];
    bool good;
    struct base_buf in = {0}, out = {0};
    int64_t span = citation->t1_us - citation->t0_us;
    base_buf_printf(&in, "file:%s", citation->source);
    base_buf_printf(&out, "file:%s", path);
    snprintf(from, sizeof from, "%" PRId64 "us", citation->t0_us);
    snprintf(length, sizeof length, "%" PRId64 "us", span > SHORTEST ? span : SHORTEST);
    char *const argv[] = {"ffmpeg", "-nostdin", "-v",   "quiet",  "-y", "-seek_timestamp", "1",
                          "-ss",    from,       "-t",   length,   "-i", in.data,           "-map",
                          "0:v?",   "-map",     "0:a?", out.data, NULL};
    int err = run(argv, cancel, &good);
    if (err < 0 || !good)
        unlink(path);
    base_buf_finish(&in);
    base_buf_finish(&out);
    return err;
}

/* ---- text --------------------------------------------------------------------------------------------------------- */

/* Where it stands and what stands there, as text. */
static int save_text(const struct pr_citation *citation, const char *path)
{
    char t0[32], t1[32];
    FILE *file = fopen(path, "w");
    if (!file)
        return base_fail(PR_ERR_IO, "%s: can't be written: %s", path, strerror(errno));
    if (citation->page > 0)
        fprintf(file, "%s, page %d\n", citation->source, citation->page);
    else
        fprintf(file, "%s, %s to %s\n", citation->source, pr_time_text(citation->t0_us, t0, sizeof t0),
                pr_time_text(citation->t1_us, t1, sizeof t1));
    if (citation->text)
        fprintf(file, "\n%s\n", citation->text);
    bool good = !ferror(file);
    good = fclose(file) == 0 && good;
    return good ? PR_OK : base_fail(PR_ERR_IO, "%s: can't be written: %s", path, strerror(errno));
}

static int save(const struct pr_settings *settings, const struct pr_citation *citation, const char *folder,
                struct pr_cancel *cancel)
{
    struct base_buf path = {0};
    base_buf_printf(&path, "%s/S%d.txt", folder, citation->tag);
    int err = save_text(citation, path.data);
    path.len -= 3;
    base_buf_puts(&path, "png");
    if (err >= 0 && citation->page > 0)
        err = save_page(settings, citation, path.data, cancel);
    else if (err >= 0 && citation->t0_us != PR_TIME_NONE) {
        err = save_frame(settings, citation, path.data, cancel);
        path.len -= 3;
        base_buf_puts(&path, "mkv");
        int cut = err == PR_ERR_CANCELLED ? err : save_clip(citation, path.data, cancel);
        err = cut < 0 ? cut : err;
    }
    base_buf_finish(&path);
    return err;
}

int pr_answer_save(const struct pr_answer *answer, const struct pr_settings *given, const char *folder,
                   struct pr_cancel *cancel)
{
    int err;
    struct pr_settings settings;
    bool cited = false;
    TRY(engine_settings(given, &settings));
    if (mkdir(folder, 0777) < 0 && errno != EEXIST)
        return base_fail(PR_ERR_IO, "%s: can't be made: %s", folder, strerror(errno));
    for (size_t i = 0; i < answer->n_citations; i++)
        cited |= answer->citations[i].by_model || answer->citations[i].by_words;
    for (size_t i = 0; i < answer->n_citations; i++) {
        const struct pr_citation *citation = &answer->citations[i];
        if (citation->gist || (cited && !citation->by_model && !citation->by_words))
            continue;
        err = save(&settings, citation, folder, cancel);
        if (err == PR_ERR_CANCELLED || err == PR_ERR_IO)
            return err; /* what only has no picture (sound alone, a file without pages) has its text */
    }
    err = PR_OK;
fail:
    return err;
}
