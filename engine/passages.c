/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/passages.h"

#include "base/mem.h"
#include "ingest/source.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* About 150 tokens of English: small enough that a citation points somewhere, large enough to be understood alone. */
enum { PASSAGE_BYTES = 600 };

static bool has_box(const struct pr_box *box)
{
    return box->x1 > box->x0 && box->y1 > box->y0;
}

static struct pr_box box_union(struct pr_box a, struct pr_box b)
{
    if (!has_box(&a))
        return b;
    if (!has_box(&b))
        return a;
    return (struct pr_box){fminf(a.x0, b.x0), fminf(a.y0, b.y0), fmaxf(a.x1, b.x1), fmaxf(a.y1, b.y1)};
}

/* A gap of more than a line's height, or a step back up to a new column, ends a paragraph. */
static bool starts_paragraph(const struct pr_line *above, const struct pr_line *line)
{
    if (!has_box(&above->box) || !has_box(&line->box))
        return false;
    float height = line->box.y1 - line->box.y0;
    return line->box.y0 - above->box.y1 > height || line->box.y1 < above->box.y0;
}

static void add_passage(struct passages *passages, const struct pr_unit *unit, int32_t source, size_t first, size_t end)
{
    struct base_buf text = {0};
    struct pr_box box = {0};
    for (size_t i = first; i < end; i++) {
        if (i > first)
            base_buf_puts(&text, "\n");
        base_buf_puts(&text, unit->lines[i].text);
        box = box_union(box, unit->lines[i].box);
    }
    if (passages->n == passages->cap) {
        passages->cap = passages->cap ? 2 * passages->cap : 256;
        passages->list = base_realloc(passages->list, passages->cap * sizeof *passages->list);
    }
    struct passage *passage = &passages->list[passages->n++];
    *passage = (struct passage){unit->span, base_strdup(unit->label), text.data, text.len};
    passage->span.source = source;
    passage->span.box = box;
}

/* Passages end with a paragraph once they are half full, and anyway when they are full. */
static void cut(struct passages *passages, const struct pr_unit *unit, int32_t source)
{
    size_t first = 0, bytes = 0;
    for (size_t i = 0; i < unit->n_lines; i++) {
        size_t len = strlen(unit->lines[i].text) + 1;
        bool full = bytes + len > PASSAGE_BYTES;
        bool paragraph =
            i > first && bytes > PASSAGE_BYTES / 2 && starts_paragraph(&unit->lines[i - 1], &unit->lines[i]);
        if (i > first && (full || paragraph)) {
            add_passage(passages, unit, source, first, i);
            first = i;
            bytes = 0;
        }
        bytes += len;
    }
    if (first < unit->n_lines)
        add_passage(passages, unit, source, first, unit->n_lines);
}

int engine_passages_read(struct passages *passages, const char *path, int32_t source)
{
    struct ingest_source *file;
    struct ingest_options options = ingest_options_default();
    options.max_pixels = 0;
    int err = ingest_open(path, &options, &file);
    if (err < 0)
        return err;
    int64_t before = passages->pages;
    struct pr_unit unit;
    while ((err = ingest_next(file, &unit)) != PR_EOF) {
        if (err == PR_ERR_IO)
            break;
        passages->pages++;
        if (err < 0) {
            passages->pages_failed++;
            continue;
        }
        passages->pages_without_text += unit.n_lines == 0;
        cut(passages, &unit, source);
    }
    ingest_close(file);
    if (err == PR_ERR_IO)
        return err;
    if (passages->pages == before)
        return base_fail(PR_ERR_FORMAT, "%s: has no pages", path);
    return PR_OK;
}

void engine_passages_finish(struct passages *passages)
{
    for (size_t i = 0; i < passages->n; i++) {
        base_free(passages->list[i].label);
        base_free(passages->list[i].text);
    }
    base_free(passages->list);
    *passages = (struct passages){0};
}
