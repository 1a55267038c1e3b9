/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ingest/source.h"

#include "base/mem.h"
#include "ingest/reader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* In the order of probing: text takes what no other reader knows, as long as it is text. */
static const struct ingest_reader *const readers[] = {&ingest_pdf, &ingest_text};

struct ingest_source {
    const struct ingest_reader *reader;
    struct ingest_info info;
    void *priv;
};

static int choose_reader(const char *path, const struct ingest_reader **out)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return base_fail(PR_ERR_IO, "%s: can't be opened: %s", path, strerror(errno));
    if (S_ISDIR(st.st_mode))
        return base_fail(PR_ERR_UNSUPPORTED, "%s: is a directory; name the files in it", path);
    FILE *file = fopen(path, "rb");
    if (!file)
        return base_fail(PR_ERR_IO, "%s: can't be opened: %s", path, strerror(errno));
    unsigned char head[4096];
    size_t len = fread(head, 1, sizeof head, file);
    fclose(file);
    if (len == 0)
        return base_fail(PR_ERR_FORMAT, "%s: is empty", path);
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (readers[i]->probe(head, len)) {
            *out = readers[i];
            return PR_OK;
        }
    return base_fail(PR_ERR_UNSUPPORTED, "%s: not a kind of file that pagereel reads; it reads PDF and plain text",
                     path);
}

int ingest_open(const char *path, struct ingest_source **out)
{
    const struct ingest_reader *reader;
    int err = choose_reader(path, &reader);
    if (err < 0)
        return err;
    struct ingest_source *source = base_alloc(sizeof *source);
    source->reader = reader;
    source->priv = base_alloc(reader->priv_size);
    source->info = (struct ingest_info){.kind = reader->kind, .title = ""};
    err = reader->open(source->priv, path, &source->info);
    if (err < 0) {
        ingest_close(source);
        return err;
    }
    *out = source;
    return PR_OK;
}

void ingest_close(struct ingest_source *source)
{
    if (!source)
        return;
    source->reader->close(source->priv);
    base_free(source->priv);
    base_free(source);
}

const struct ingest_info *ingest_info(const struct ingest_source *source)
{
    return &source->info;
}

int ingest_next(struct ingest_source *source, struct ingest_unit *unit)
{
    *unit = (struct ingest_unit){.span = {.page = BASE_PAGE_NONE, .t0 = BASE_TIME_NONE, .t1 = BASE_TIME_NONE}};
    return source->reader->next(source->priv, unit);
}

void ingest_lines_add(struct ingest_lines *lines, const char *text, size_t len, struct base_box box)
{
    if (lines->n == lines->cap) {
        lines->cap = lines->cap ? 2 * lines->cap : 64;
        lines->lines = base_realloc(lines->lines, lines->cap * sizeof *lines->lines);
    }
    char *copy = base_alloc(len + 1);
    memcpy(copy, text, len);
    lines->lines[lines->n++] = (struct ingest_line){copy, box};
}

void ingest_lines_reset(struct ingest_lines *lines)
{
    for (size_t i = 0; i < lines->n; i++)
        base_free(lines->lines[i].text);
    lines->n = 0;
}

void ingest_lines_finish(struct ingest_lines *lines)
{
    ingest_lines_reset(lines);
    base_free(lines->lines);
    *lines = (struct ingest_lines){0};
}
