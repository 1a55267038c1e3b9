/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * PDF through poppler-glib: the text layer, line by line with boxes. The only file that includes poppler.
 *
 * The document is handed over as bytes of a mapped file, so that no other file is ever opened on its behalf.
 */
#include "base/mem.h"
#include "ingest/reader.h"

#include <poppler.h>
#include <stdio.h>
#include <string.h>

struct pdf {
    GMappedFile *map;
    PopplerDocument *document;
    char *path, *title, *label;
    char format[16];
    int next, last;
    struct ingest_lines lines;
};

/* Some writers put bytes before the header; readers accept it within the first kilobyte. */
static bool pdf_probe(const unsigned char *head, size_t len, const char *path)
{
    (void)path;
    return memmem(head, len < 1024 ? len : 1024, "%PDF-", 5) != NULL;
}

static int open_failed(const char *path, GError *error)
{
    int err;
    if (g_error_matches(error, POPPLER_ERROR, POPPLER_ERROR_ENCRYPTED))
        err = base_fail(PR_ERR_FORMAT, "%s: is encrypted; give its password with --password", path);
    else
        err = base_fail(PR_ERR_FORMAT, "%s: not a readable PDF (%s); get the file again", path, error->message);
    g_error_free(error);
    return err;
}

static int pdf_open(void *priv, const char *path, const struct ingest_options *options, struct ingest_info *info)
{
    struct pdf *pdf = priv;
    GError *error = NULL;
    pdf->path = base_strdup(path);
    pdf->map = g_mapped_file_new(path, FALSE, &error);
    if (!pdf->map)
        return open_failed(path, error);
    GBytes *bytes = g_mapped_file_get_bytes(pdf->map);
    pdf->document = poppler_document_new_from_bytes(bytes, options->password, &error);
    g_bytes_unref(bytes);
    if (!pdf->document)
        return open_failed(path, error);
    info->n_pages = poppler_document_get_n_pages(pdf->document);
    pdf->next = MAX(options->first_page, 0);
    pdf->last = options->last_page < 0 ? info->n_pages - 1 : MIN(options->last_page, info->n_pages - 1);
    pdf->title = poppler_document_get_title(pdf->document);
    info->title = pdf->title;
    guint major, minor;
    poppler_document_get_pdf_version(pdf->document, &major, &minor);
    snprintf(pdf->format, sizeof pdf->format, "PDF %u.%u", major, minor);
    info->format = pdf->format;
    return PR_OK;
}

/* The text of a page and the box of each of its characters come as two parallel lists; a line is what lies between line
 * breaks, its box the union of its characters' boxes. */
static void collect_lines(PopplerPage *page, struct ingest_lines *lines)
{
    char *text = poppler_page_get_text(page);
    PopplerRectangle *boxes = NULL;
    guint n_boxes = 0;
    if (!text || !poppler_page_get_text_layout(page, &boxes, &n_boxes))
        n_boxes = 0;
    guint character = 0;
    for (const char *line = text; line && *line;) {
        const char *end = strchrnul(line, '\n');
        struct base_box box = {0};
        bool empty = true;
        for (const char *c = line; c < end; c = g_utf8_next_char(c), character++) {
            if (character >= n_boxes || g_unichar_isspace(g_utf8_get_char(c)))
                continue;
            const PopplerRectangle *r = &boxes[character];
            box.x0 = empty ? (float)r->x1 : MIN(box.x0, (float)r->x1);
            box.y0 = empty ? (float)r->y1 : MIN(box.y0, (float)r->y1);
            box.x1 = empty ? (float)r->x2 : MAX(box.x1, (float)r->x2);
            box.y1 = empty ? (float)r->y2 : MAX(box.y1, (float)r->y2);
            empty = false;
        }
        if (!empty)
            ingest_lines_add(lines, line, (size_t)(end - line), box);
        character++; /* the line break has a box, too */
        line = *end ? end + 1 : end;
    }
    g_free(boxes);
    g_free(text);
}

static int pdf_next(void *priv, struct ingest_unit *unit)
{
    struct pdf *pdf = priv;
    if (pdf->next > pdf->last)
        return PR_EOF;
    int index = pdf->next++;
    ingest_report(index);
    PopplerPage *page = poppler_document_get_page(pdf->document, index);
    if (!page)
        return base_fail(PR_ERR_FORMAT, "%s: page %d can't be read", pdf->path, index + 1);
    g_free(pdf->label);
    pdf->label = poppler_page_get_label(page);
    ingest_lines_reset(&pdf->lines);
    collect_lines(page, &pdf->lines);
    poppler_page_get_size(page, &unit->width, &unit->height);
    g_object_unref(page);
    unit->kind = INGEST_PAGE;
    unit->span.page = index;
    unit->label = pdf->label;
    unit->lines = pdf->lines.lines;
    unit->n_lines = pdf->lines.n;
    return PR_OK;
}

static void pdf_close(void *priv)
{
    struct pdf *pdf = priv;
    ingest_lines_finish(&pdf->lines);
    g_free(pdf->label);
    g_free(pdf->title);
    if (pdf->document)
        g_object_unref(pdf->document);
    if (pdf->map)
        g_mapped_file_unref(pdf->map);
    base_free(pdf->path);
}

const struct ingest_reader ingest_pdf = {
    .kind = "pdf",
    .priv_size = sizeof(struct pdf),
    .probe = pdf_probe,
    .open = pdf_open,
    .next = pdf_next,
    .close = pdf_close,
};
