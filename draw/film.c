/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "draw/film.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { TICKS = 1000 /* a second */ };

struct sample {
    uint32_t size, ms;
    uint64_t offset;
};

struct draw_film {
    FILE *file;
    char *path;
    int32_t width, height;
    struct sample *samples;
    size_t n, cap;
    uint64_t end, duration;
    bool broken;
};

static int cant_write(const struct draw_film *film)
{
    return base_fail(PR_ERR_IO, "%s: can't be written: %s", film->path, strerror(errno));
}

static void put_int(struct base_buf *out, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) {
        char byte = (char)(value >> 8 * i & 255);
        base_buf_append(out, &byte, 1);
    }
}

static void put_zeros(struct base_buf *out, int n)
{
    for (int i = 0; i < n; i++)
        base_buf_append(out, "", 1);
}

/* Begins a box; the caller hands the result to end_box(). */
static size_t begin_box(struct base_buf *out, const char *type)
{
    size_t at = out->len;
    put_int(out, 0, 4);
    base_buf_append(out, type, 4);
    return at;
}

static void end_box(struct base_buf *out, size_t at)
{
    uint64_t size = out->len - at;
    for (int i = 0; i < 4; i++)
        out->data[at + (size_t)i] = (char)(size >> 8 * (3 - i) & 255);
}

static int append(struct draw_film *film, const void *data, size_t len)
{
    if (film->broken || fwrite(data, 1, len, film->file) != len) {
        film->broken = true;
        return cant_write(film);
    }
    film->end += len;
    return PR_OK;
}

int draw_film_create(const char *path, int32_t width, int32_t height, struct draw_film **out)
{
    int err;
    struct base_buf head = {0};
    struct draw_film *film = base_alloc(sizeof *film);
    film->path = base_strdup(path);
    film->width = width;
    film->height = height;
    film->file = fopen(path, "wb");
    if (!film->file)
        TRY(cant_write(film));
    size_t box = begin_box(&head, "ftyp");
    base_buf_append(&head, "qt  \0\0\2\0qt  ", 12);
    end_box(&head, box);
    put_int(&head, 1, 4); /* the size follows in 64 bits, at the end of all */
    base_buf_append(&head, "mdat", 4);
    put_int(&head, 0, 8);
    TRY(append(film, head.data, head.len));
    base_buf_finish(&head);
    *out = film;
    return PR_OK;
fail:
    base_buf_finish(&head);
    if (film->file)
        fclose(film->file);
    base_free(film->path);
    base_free(film);
    return err;
}

int draw_film_put(struct draw_film *film, const struct base_buf *png, uint32_t ms)
{
    if (film->n == film->cap) {
        film->cap = film->cap ? 2 * film->cap : 64;
        film->samples = base_realloc(film->samples, film->cap * sizeof *film->samples);
    }
    film->samples[film->n++] = (struct sample){(uint32_t)png->len, ms, film->end};
    film->duration += ms;
    return append(film, png->data, png->len);
}

static void put_matrix(struct base_buf *out)
{
    for (int i = 0; i < 9; i++)
        put_int(out, i == 8 ? 0x40000000 : i % 4 == 0 ? 0x10000 : 0, 4);
}

static void put_table(struct base_buf *out, const struct draw_film *film)
{
    size_t stbl = begin_box(out, "stbl"), box = begin_box(out, "stsd");
    put_int(out, 0, 4);
    put_int(out, 1, 4);
    size_t entry = begin_box(out, "png ");
    put_zeros(out, 6);
    put_int(out, 1, 2);
    put_zeros(out, 16);
    put_int(out, (uint64_t)film->width, 2);
    put_int(out, (uint64_t)film->height, 2);
    put_int(out, 72 << 16, 4);
    put_int(out, 72 << 16, 4);
    put_zeros(out, 4);
    put_int(out, 1, 2);
    put_zeros(out, 32);
    put_int(out, 24, 2);
    put_int(out, 0xffff, 2);
    end_box(out, entry);
    end_box(out, box);

    box = begin_box(out, "stts");
    put_int(out, 0, 4);
    put_int(out, film->n, 4);
    for (size_t i = 0; i < film->n; i++) {
        put_int(out, 1, 4);
        put_int(out, film->samples[i].ms, 4);
    }
    end_box(out, box);
    box = begin_box(out, "stsc");
    put_int(out, 0, 4);
    put_int(out, 1, 4);
    for (int i = 0; i < 3; i++)
        put_int(out, 1, 4);
    end_box(out, box);
    box = begin_box(out, "stsz");
    put_zeros(out, 8);
    put_int(out, film->n, 4);
    for (size_t i = 0; i < film->n; i++)
        put_int(out, film->samples[i].size, 4);
    end_box(out, box);
    box = begin_box(out, "co64");
    put_int(out, 0, 4);
    put_int(out, film->n, 4);
    for (size_t i = 0; i < film->n; i++)
        put_int(out, film->samples[i].offset, 8);
    end_box(out, box);
    end_box(out, stbl);
}

static void put_media(struct base_buf *out, const struct draw_film *film)
{
    size_t mdia = begin_box(out, "mdia"), box = begin_box(out, "mdhd");
    put_zeros(out, 12);
    put_int(out, TICKS, 4);
    put_int(out, film->duration, 4);
    put_zeros(out, 4);
    end_box(out, box);
    box = begin_box(out, "hdlr");
    put_zeros(out, 4);
    base_buf_append(out, "mhlrvide", 8);
    put_zeros(out, 13);
    end_box(out, box);
    size_t minf = begin_box(out, "minf");
    box = begin_box(out, "vmhd");
    put_int(out, 1, 4);
    put_zeros(out, 8);
    end_box(out, box);
    size_t dinf = begin_box(out, "dinf"), dref = begin_box(out, "dref");
    put_int(out, 0, 4);
    put_int(out, 1, 4);
    box = begin_box(out, "url ");
    put_int(out, 1, 4); /* in this file */
    end_box(out, box);
    end_box(out, dref);
    end_box(out, dinf);
    put_table(out, film);
    end_box(out, minf);
    end_box(out, mdia);
}

static void put_index(struct base_buf *out, const struct draw_film *film)
{
    size_t moov = begin_box(out, "moov"), box = begin_box(out, "mvhd");
    put_zeros(out, 12);
    put_int(out, TICKS, 4);
    put_int(out, film->duration, 4);
    put_int(out, 0x10000, 4);
    put_int(out, 0x100, 2);
    put_zeros(out, 10);
    put_matrix(out);
    put_zeros(out, 24);
    put_int(out, 2, 4);
    end_box(out, box);
    size_t trak = begin_box(out, "trak");
    box = begin_box(out, "tkhd");
    put_int(out, 7, 4);
    put_zeros(out, 8);
    put_int(out, 1, 4);
    put_zeros(out, 4);
    put_int(out, film->duration, 4);
    put_zeros(out, 16);
    put_matrix(out);
    put_int(out, (uint64_t)film->width << 16, 4);
    put_int(out, (uint64_t)film->height << 16, 4);
    end_box(out, box);
    put_media(out, film);
    end_box(out, trak);
    end_box(out, moov);
}

int draw_film_finish(struct draw_film *film)
{
    int err = PR_OK;
    struct base_buf index = {0}, size = {0};
    if (!film)
        return PR_OK;
    uint64_t data = film->end;
    put_index(&index, film);
    put_int(&size, data - 20, 8); /* behind ftyp of 20 bytes */
    err = append(film, index.data, index.len);
    if (err >= 0 && (fseek(film->file, 28, SEEK_SET) < 0 || fwrite(size.data, 1, 8, film->file) != 8))
        err = cant_write(film);
    if (fclose(film->file) != 0 && err >= 0)
        err = cant_write(film);
    base_buf_finish(&index);
    base_buf_finish(&size);
    base_free(film->samples);
    base_free(film->path);
    base_free(film);
    return err;
}
