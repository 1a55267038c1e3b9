/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * PDF through poppler-glib and cairo: pages as pictures, their text layer line by line with boxes, outline, links, form fields,
 * notes, figures. The only file that includes poppler and cairo.
 *
 * The document is handed over as bytes of a mapped file, so that no other file is ever opened on its behalf. All boxes are in
 * points from the upper left corner of the page as it is shown (cropped and rotated).
 */
#include "base/mem.h"
#include "ingest/bidi.h"
#include "ingest/columns.h"
#include "ingest/figures.h"
#include "ingest/reader.h"

#include <endian.h>
#include <math.h>
#include <poppler.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum {
    MAX_MARKS = 10000, /* outlines may be cyclic or endless */
    MAX_NAMES = 100000,
    MAX_DEPTH = 16,
    MAX_REGIONS = 2000,  /* of a page */
    MIN_CHARACTERS = 50, /* fewer on an inked page: its text is in pictures */
};

struct pdf {
    GMappedFile *map;
    PopplerDocument *document;
    GHashTable *named_pages; /* name of a destination -> its page + 1: finding one walks over the pages */
    char *path, *title, *label;
    const char *problem;
    char format[16];
    int next, last;
    int64_t max_pixels;
    struct pr_mark *marks;
    size_t n_marks, marks_cap;
    struct ingest_lines lines;
    struct pr_region regions[MAX_REGIONS];
    size_t n_regions;
    uint8_t *rgb;
    size_t rgb_cap;
};

/* ---- the document ----------------------------------------------------------------------------------------------- */

static int open_failed(const char *path, const char *password, GError *error)
{
    int err;
    if (g_error_matches(error, POPPLER_ERROR, POPPLER_ERROR_ENCRYPTED) && password)
        err = base_fail(PR_ERR_FORMAT, "%s: the password is wrong; give the right one with --password", path);
    else if (g_error_matches(error, POPPLER_ERROR, POPPLER_ERROR_ENCRYPTED))
        err = base_fail(PR_ERR_FORMAT, "%s: is encrypted; give its password with --password", path);
    else
        err = base_fail(PR_ERR_FORMAT, "%s: not a readable PDF (%s); get the file again", path, error->message);
    g_error_free(error);
    return err;
}

static void add_mark(struct pdf *pdf, const char *title, int page, int depth)
{
    if (pdf->n_marks == pdf->marks_cap) {
        pdf->marks_cap = pdf->marks_cap ? 2 * pdf->marks_cap : 64;
        pdf->marks = base_realloc(pdf->marks, pdf->marks_cap * sizeof *pdf->marks);
    }
    pdf->marks[pdf->n_marks++] = (struct pr_mark){
        .span = {.page = page, .t0 = PR_TIME_NONE, .t1 = PR_TIME_NONE}, .depth = depth, .title = g_strdup(title)};
}

static int find_named_page(struct pdf *pdf, const char *name)
{
    gpointer known = g_hash_table_lookup(pdf->named_pages, name);
    if (known)
        return GPOINTER_TO_INT(known) - 1;
    PopplerDest *found = poppler_document_find_dest(pdf->document, name);
    int page = found && found->page_num > 0 ? found->page_num - 1 : PR_PAGE_NONE;
    if (found)
        poppler_dest_free(found);
    if (page >= 0 && g_hash_table_size(pdf->named_pages) < MAX_NAMES)
        g_hash_table_insert(pdf->named_pages, g_strdup(name), GINT_TO_POINTER(page + 1));
    return page;
}

/* The page that an action leads to, from 0; PR_PAGE_NONE if it leads elsewhere. */
static int action_page(struct pdf *pdf, const PopplerAction *action)
{
    if (action->type != POPPLER_ACTION_GOTO_DEST || !action->goto_dest.dest)
        return PR_PAGE_NONE;
    PopplerDest *dest = action->goto_dest.dest;
    if (dest->type == POPPLER_DEST_NAMED)
        return find_named_page(pdf, dest->named_dest);
    return dest->page_num > 0 ? dest->page_num - 1 : PR_PAGE_NONE;
}

static void read_outline(struct pdf *pdf, PopplerIndexIter *iter, int depth)
{
    if (!iter || depth == MAX_DEPTH)
        return;
    do {
        PopplerAction *action = poppler_index_iter_get_action(iter);
        if (action) {
            if (action->any.title)
                add_mark(pdf, action->any.title, action_page(pdf, action), depth);
            poppler_action_free(action);
        }
        PopplerIndexIter *child = poppler_index_iter_get_child(iter);
        read_outline(pdf, child, depth + 1);
        poppler_index_iter_free(child);
    } while (pdf->n_marks < MAX_MARKS && poppler_index_iter_next(iter));
}

/* poppler 22 crashes over a wrong password for bytes: a document with a password is opened by its name. */
static PopplerDocument *open_with_password(const char *path, const char *password, GError **error)
{
    char *full = g_canonicalize_filename(path, NULL);
    char *uri = g_filename_to_uri(full, NULL, error);
    PopplerDocument *document = uri ? poppler_document_new_from_file(uri, password, error) : NULL;
    g_free(uri);
    g_free(full);
    return document;
}

/* A whole document ends with a line that says so; some writers append bytes of their own. */
static bool breaks_off(GMappedFile *map)
{
    gsize size = g_mapped_file_get_length(map), tail = MIN(size, 4096);
    return !memmem(g_mapped_file_get_contents(map) + size - tail, tail, "%%EOF", 5);
}

static int pdf_open(void *priv, const char *path, const struct ingest_options *options, struct pr_source_info *info)
{
    struct pdf *pdf = priv;
    GError *error = NULL;
    pdf->path = base_strdup(path);
    pdf->named_pages = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    pdf->map = g_mapped_file_new(path, FALSE, &error);
    if (!pdf->map)
        return open_failed(path, NULL, error);
    GBytes *bytes = g_mapped_file_get_bytes(pdf->map);
    pdf->document = options->password ? open_with_password(path, options->password, &error)
                                      : poppler_document_new_from_bytes(bytes, NULL, &error);
    g_bytes_unref(bytes);
    if (!pdf->document)
        return open_failed(path, options->password, error);
    info->n_pages = poppler_document_get_n_pages(pdf->document);
    pdf->next = MAX(options->first_page, 0);
    pdf->last = options->last_page < 0 ? info->n_pages - 1 : MIN(options->last_page, info->n_pages - 1);
    pdf->max_pixels = options->max_pixels;
    pdf->title = poppler_document_get_title(pdf->document);
    info->title = pdf->title;
    guint major, minor;
    poppler_document_get_pdf_version(pdf->document, &major, &minor);
    snprintf(pdf->format, sizeof pdf->format, "PDF %u.%u", major, minor);
    info->format = pdf->format;
    info->partial = breaks_off(pdf->map);
    pdf->problem = info->partial ? "it breaks off; the pages that are there are read"
                                 : "not one page of it can be found; it is damaged";
    info->problems = &pdf->problem;
    info->n_problems = info->partial || info->n_pages <= 0;
    PopplerIndexIter *outline = poppler_index_iter_new(pdf->document);
    read_outline(pdf, outline, 0);
    poppler_index_iter_free(outline);
    info->marks = pdf->marks;
    info->n_marks = pdf->n_marks;
    return PR_OK;
}

/* ---- text ------------------------------------------------------------------------------------------------------- */

struct text_count {
    int64_t characters, unusable; /* not blank; private use, replacement, unassigned */
};

static void count_character(struct text_count *count, gunichar c)
{
    count->characters++;
    GUnicodeType type = g_unichar_type(c);
    count->unusable += c == 0xfffd || type == G_UNICODE_PRIVATE_USE || type == G_UNICODE_UNASSIGNED ||
                       type == G_UNICODE_CONTROL || type == G_UNICODE_SURROGATE;
}

/* Poppler puts no blank between words that it takes for parts of different lines but gives as one, such as the pins of a chip
 * on both sides: whether there is room for one between two characters. */
static bool are_apart(const PopplerRectangle *a, const PopplerRectangle *b)
{
    double height = MIN(a->y2 - a->y1, b->y2 - b->y1);
    return b->x1 - a->x2 > 0.1 * height || a->x1 - b->x2 > 0.5 * height;
}

/* Poppler wraps what it turns round in marks of direction, which have no box: what runs from right to left, or on a page where most does
 * everything but what runs from left to right in there. */
enum { LEFT_TO_RIGHT_MARK = 0x202a, RIGHT_TO_LEFT_MARK = 0x202b, END_MARK = 0x202c };

static bool is_mark(gunichar c)
{
    return c >= LEFT_TO_RIGHT_MARK && c <= END_MARK;
}

static bool has_right_to_left(const char *line, const char *end)
{
    for (; line < end; line = g_utf8_next_char(line))
        if (is_mark(g_utf8_get_char(line)) || ingest_bidi_is_right_to_left(g_utf8_get_char(line)))
            return true;
    return false;
}

static void reverse(gunichar *text, size_t n)
{
    for (size_t i = 0; i < n / 2; i++) {
        gunichar kept = text[i];
        text[i] = text[n - 1 - i];
        text[n - 1 - i] = kept;
    }
}

/* Copies a line in the order in which its boxes stand, without marks, to out [end - line]. Returns how many characters there are. */
static size_t undo_marks(const char *line, const char *end, gunichar *out)
{
    size_t n = 0, outer = 0, inner = 0;
    bool turned = false, kept = false;
    for (; line < end; line = g_utf8_next_char(line)) {
        gunichar c = g_utf8_get_char(line);
        if (!is_mark(c)) {
            out[n++] = c;
        } else if (c == RIGHT_TO_LEFT_MARK) {
            outer = n;
            turned = true;
        } else if (c == LEFT_TO_RIGHT_MARK) {
            inner = n;
            kept = true;
        } else if (kept) {
            reverse(out + inner, n - inner);
            kept = false;
        } else if (turned) {
            reverse(out + outer, n - outer);
            turned = false;
        }
    }
    return n;
}

static int by_place(const void *a, const void *b)
{
    const struct bidi_glyph *x = a, *y = b;
    return (x->x0 + x->x1 > y->x0 + y->x1) - (x->x0 + x->x1 < y->x0 + y->x1);
}

/* Letters that fonts of Arabic and Hebrew draw joined have characters of their own: people ask with the ordinary ones. */
static void put_ordinary(const char *text, size_t len, struct base_buf *out)
{
    for (const char *c = text, *end = text + len; c < end; c = g_utf8_next_char(c)) {
        gunichar value = g_utf8_get_char(c);
        gssize bytes = g_utf8_next_char(c) - c;
        bool drawn = (value >= 0xfb1d && value <= 0xfdff) || (value >= 0xfe70 && value <= 0xfefc);
        char *ordinary = drawn ? g_utf8_normalize(c, bytes, G_NORMALIZE_NFKC) : NULL;
        base_buf_append(out, ordinary ? ordinary : c, ordinary ? strlen(ordinary) : (size_t)bytes);
        g_free(ordinary);
    }
}

static struct pr_box join_boxes(struct pr_box box, const PopplerRectangle *r, bool first)
{
    return first ? (struct pr_box){(float)r->x1, (float)r->y1, (float)r->x2, (float)r->y2}
                 : (struct pr_box){MIN(box.x0, (float)r->x1), MIN(box.y0, (float)r->y1), MAX(box.x1, (float)r->x2),
                                   MAX(box.y1, (float)r->y2)};
}

/* A line that is being collected. Both functions below return how many boxes belong to it. */
struct text_line {
    struct base_buf words; /* UTF-8 */
    struct pr_box box;
    struct column_gap gap;
    bool empty;
};

/* Poppler's order of words in a line with right-to-left text isn't reliable, nor are its blanks: the line is read anew from the places
 * of its characters. */
static guint collect_right_to_left(const char *line, const char *end, const PopplerRectangle *boxes, guint n_boxes,
                                   struct text_count *count, struct text_line *out)
{
    gunichar *text = base_alloc_array((size_t)(end - line) + 1, sizeof *text);
    struct bidi_glyph *glyphs = base_alloc_array((size_t)(end - line) + 1, sizeof *glyphs);
    size_t n = undo_marks(line, end, text), kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (g_unichar_isspace(text[i]))
            continue;
        count_character(count, text[i]);
        if (i >= n_boxes)
            continue;
        glyphs[kept++] = (struct bidi_glyph){text[i], (float)boxes[i].x1, (float)boxes[i].x2};
        out->box = join_boxes(out->box, &boxes[i], out->empty);
        out->empty = false;
    }
    qsort(glyphs, kept, sizeof *glyphs, by_place);
    struct base_buf read = {0};
    /* Only on a page from right to left poppler marks what runs the other way. */
    bool page = memmem(line, (size_t)(end - line), "\u202a", 3) != NULL;
    ingest_bidi_line(glyphs, kept, 0.1f * (out->box.y1 - out->box.y0), page ? BIDI_RIGHT_TO_LEFT : BIDI_LEFT_TO_RIGHT,
                     &read);
    put_ordinary(read.data, read.len, &out->words);
    base_buf_finish(&read);
    base_free(glyphs);
    base_free(text);
    return (guint)n;
}

static guint collect_left_to_right(const char *line, const char *end, const PopplerRectangle *boxes, guint n_boxes,
                                   struct text_count *count, struct text_line *out)
{
    bool after_blank = true;
    size_t at = 0; /* the end of the last word */
    guint i = 0;
    for (const char *c = line; c < end; c = g_utf8_next_char(c), i++) {
        gunichar value = g_utf8_get_char(c);
        bool blank = g_unichar_isspace(value);
        if (!after_blank && !blank && i < n_boxes && are_apart(&boxes[i - 1], &boxes[i]))
            base_buf_puts(&out->words, " ");
        base_buf_append(&out->words, c, (size_t)(g_utf8_next_char(c) - c));
        after_blank = blank;
        if (blank)
            continue;
        count_character(count, value);
        if (i >= n_boxes)
            continue;
        float gap = out->empty ? 0 : (float)boxes[i].x1 - out->box.x1;
        if (gap > out->gap.x1 - out->gap.x0 && gap > (float)(boxes[i].y2 - boxes[i].y1))
            out->gap = (struct column_gap){at, out->box.x1, (float)boxes[i].x1};
        out->box = join_boxes(out->box, &boxes[i], out->empty);
        out->empty = false;
        at = out->words.len;
    }
    return i;
}

/* The text of a page and the box of each of its characters come as two parallel lists, in reading order (poppler follows
 * columns). */
struct page_text {
    char *text;
    PopplerRectangle *boxes;
    guint n_boxes;
};

/* What a selection from (x1, y1) to (x2, y2) takes in. */
static struct page_text select_text(PopplerPage *page, PopplerRectangle selection)
{
    struct page_text out = {poppler_page_get_text_for_area(page, &selection), NULL, 0};
    if (!out.text || !poppler_page_get_text_layout_for_area(page, &selection, &out.boxes, &out.n_boxes))
        out.n_boxes = 0;
    return out;
}

static void free_text(struct page_text *text)
{
    g_free(text->boxes);
    g_free(text->text);
}

/* The lines of a page, and the struct column_gap of each. */
struct page_lines {
    struct ingest_lines *lines;
    struct base_buf gaps;
};

/* A line is what lies between line breaks, its box the union of its characters' boxes. */
static void add_lines(const struct page_text *from, struct page_lines *to, struct text_count *count)
{
    guint at = 0;
    struct text_line found = {0};
    for (const char *line = from->text; line && *line;) {
        const char *end = strchrnul(line, '\n');
        const PopplerRectangle *boxes = from->boxes + MIN(at, from->n_boxes);
        guint left = at < from->n_boxes ? from->n_boxes - at : 0;
        found.words.len = 0;
        found.empty = true;
        found.gap = (struct column_gap){0};
        at += has_right_to_left(line, end) ? collect_right_to_left(line, end, boxes, left, count, &found)
                                           : collect_left_to_right(line, end, boxes, left, count, &found);
        if (!found.empty) {
            base_buf_append(&to->gaps, (const char *)&found.gap, sizeof found.gap);
            ingest_lines_add(to->lines, found.words.data, found.words.len, found.box);
        }
        at++; /* the line break has a box, too */
        line = *end ? end + 1 : end;
    }
    base_buf_finish(&found.words);
}

/* From before the first block of a page to behind the last one, as poppler looks for them: where most of the text runs from right to
 * left the first one is looked for on the right. */
static const PopplerRectangle from_left = {-1e6, -1e6, 1e6, 1e6}, from_right = {1e6, -1e6, 1e6, 1e6};

/* A selection from the right ends before the words of the last line: adds the lines that it takes in and that aren't there yet. */
static void add_missing_lines(PopplerPage *page, struct page_lines *to, struct text_count *count)
{
    PopplerRectangle selection = from_right;
    cairo_region_t *region = poppler_page_get_selected_region(page, 1, POPPLER_SELECTION_LINE, &selection);
    for (size_t i = 0; i < to->lines->n; i++) {
        struct pr_box b = to->lines->lines[i].box;
        cairo_rectangle_int_t box = {(int)floorf(b.x0) - 1, (int)floorf(b.y0) - 1, (int)ceilf(b.x1 - b.x0) + 3,
                                     (int)ceilf(b.y1 - b.y0) + 3};
        cairo_region_subtract_rectangle(region, &box);
    }
    for (int i = 0; i < cairo_region_num_rectangles(region) && i < 4; i++) {
        cairo_rectangle_int_t box;
        cairo_region_get_rectangle(region, i, &box);
        double middle = box.y + box.height / 2.0;
        struct page_text text = select_text(page, (PopplerRectangle){box.x + box.width + 1, middle, box.x - 1, middle});
        if (box.height > 3 && box.width > 3)
            add_lines(&text, to, count);
        free_text(&text);
    }
    cairo_region_destroy(region);
}

static struct text_count collect_lines(PopplerPage *page, struct ingest_lines *lines)
{
    struct text_count count = {0};
    struct page_text text = select_text(page, from_left);
    bool turned = text.text && has_right_to_left(text.text, text.text + strlen(text.text));
    struct page_text other = turned ? select_text(page, from_right) : (struct page_text){0};
    bool right = other.n_boxes > text.n_boxes;
    struct page_lines to = {lines, {0}};
    add_lines(right ? &other : &text, &to, &count);
    if (right)
        add_missing_lines(page, &to, &count);
    ingest_columns_sort(lines, (const struct column_gap *)to.gaps.data, right);
    base_buf_finish(&to.gaps);
    free_text(&text);
    free_text(&other);
    return count;
}

/* ---- links, fields, notes --------------------------------------------------------------------------------------- */

/* Mappings count y from the bottom. */
static struct pr_box flip(const PopplerRectangle *r, double page_height)
{
    return (struct pr_box){(float)MIN(r->x1, r->x2), (float)(page_height - MAX(r->y1, r->y2)), (float)MAX(r->x1, r->x2),
                           (float)(page_height - MIN(r->y1, r->y2))};
}

/* Takes ownership of `text`. */
static void add_region(struct pdf *pdf, enum pr_region_kind kind, struct pr_box box, char *text)
{
    if (!text || !*text || pdf->n_regions == MAX_REGIONS) {
        g_free(text);
        return;
    }
    pdf->regions[pdf->n_regions++] = (struct pr_region){kind, box, text};
}

static void add_links(struct pdf *pdf, PopplerPage *page, double height)
{
    GList *list = poppler_page_get_link_mapping(page);
    for (GList *l = list; l; l = l->next) {
        const PopplerLinkMapping *link = l->data;
        char *target = NULL;
        int to = action_page(pdf, link->action);
        if (link->action->type == POPPLER_ACTION_URI)
            target = g_strdup(link->action->uri.uri);
        else if (to >= 0)
            target = g_strdup_printf("page %d", to + 1);
        add_region(pdf, PR_REGION_LINK, flip(&link->area, height), target);
    }
    poppler_page_free_link_mapping(list);
}

static char *field_value(PopplerFormField *field)
{
    switch (poppler_form_field_get_field_type(field)) {
    case POPPLER_FORM_FIELD_TEXT:
        return poppler_form_field_text_get_text(field);
    case POPPLER_FORM_FIELD_BUTTON:
        return g_strdup(poppler_form_field_button_get_state(field) ? "on" : "off");
    case POPPLER_FORM_FIELD_CHOICE:
        for (int i = 0; i < poppler_form_field_choice_get_n_items(field); i++)
            if (poppler_form_field_choice_is_item_selected(field, i))
                return poppler_form_field_choice_get_item(field, i);
        return NULL;
    default:
        return NULL;
    }
}

static void add_fields_and_notes(struct pdf *pdf, PopplerPage *page, double height)
{
    GList *fields = poppler_page_get_form_field_mapping(page);
    for (GList *l = fields; l; l = l->next) {
        const PopplerFormFieldMapping *mapping = l->data;
        add_region(pdf, PR_REGION_FIELD, flip(&mapping->area, height), field_value(mapping->field));
    }
    poppler_page_free_form_field_mapping(fields);
    GList *notes = poppler_page_get_annot_mapping(page);
    for (GList *l = notes; l; l = l->next) {
        const PopplerAnnotMapping *mapping = l->data;
        add_region(pdf, PR_REGION_NOTE, flip(&mapping->area, height), poppler_annot_get_contents(mapping->annot));
    }
    poppler_page_free_annot_mapping(notes);
}

static void clear_regions(struct pdf *pdf)
{
    for (size_t i = 0; i < pdf->n_regions; i++)
        if (pdf->regions[i].kind == PR_REGION_FIGURE)
            base_free((void *)(uintptr_t)pdf->regions[i].text);
        else
            g_free((void *)(uintptr_t)pdf->regions[i].text);
    pdf->n_regions = 0;
}

/* ---- the picture ------------------------------------------------------------------------------------------------ */

/* Renders the page on white with at most max_pixels; pages of any size fit. */
static int render(struct pdf *pdf, PopplerPage *page, double width, double height, int64_t max_pixels, int32_t *out_w,
                  int32_t *out_h)
{
    double scale = sqrt((double)max_pixels / (width * height));
    /* A ribbon of a page: neither side may vanish, nor grow past what cairo can draw or the picture may hold. */
    double longest = (double)MIN(max_pixels, 32000);
    int32_t w = (int32_t)CLAMP(floor(width * scale), 1, longest), h = (int32_t)CLAMP(floor(height * scale), 1, longest);
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, w, h);
    if (cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS) {
        cairo_surface_destroy(surface);
        return base_fail(PR_ERR_NOMEM, "%s: no memory for a page of %d x %d pixels", pdf->path, w, h);
    }
    cairo_t *cr = cairo_create(surface);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    cairo_scale(cr, w / width, h / height);
    poppler_page_render(page, cr);
    cairo_destroy(cr);
    cairo_surface_flush(surface);
    size_t bytes = (size_t)w * (size_t)h * 3 + 1; /* four are written at a time */
    if (bytes > pdf->rgb_cap) {
        pdf->rgb = base_realloc(pdf->rgb, bytes);
        pdf->rgb_cap = bytes;
    }
    uint8_t *to = pdf->rgb;
    for (int32_t y = 0; y < h; y++) {
        const uint8_t *row =
            cairo_image_surface_get_data(surface) + (ptrdiff_t)y * cairo_image_surface_get_stride(surface);
        for (int32_t x = 0; x < w; x++, to += 3) {
            uint32_t pixel;
            memcpy(&pixel, row + 4 * (ptrdiff_t)x, sizeof pixel);
            pixel = htobe32(pixel << 8); /* in memory: red, green, blue, and what the next pixel overwrites */
            memcpy(to, &pixel, sizeof pixel);
        }
    }
    cairo_surface_destroy(surface);
    *out_w = w;
    *out_h = h;
    return PR_OK;
}

static void add_figures(struct pdf *pdf, PopplerPage *page, double width, double height, int32_t w, int32_t h)
{
    struct pr_box images[FIGURES_MAX];
    size_t n_images = 0;
    GList *list = poppler_page_get_image_mapping(page);
    for (GList *l = list; l && n_images < FIGURES_MAX; l = l->next) {
        const PopplerRectangle *r = &((const PopplerImageMapping *)l->data)->area;
        struct pr_box box = {(float)MIN(r->x1, r->x2), (float)MIN(r->y1, r->y2), (float)MAX(r->x1, r->x2),
                             (float)MAX(r->y1, r->y2)};
        /* A bitmap over the whole page is a scan, not a figure; of those drawn turned round poppler gives wrong boxes. */
        bool inside = box.x0 > -2 && box.y0 > -2 && box.x1 < width + 2 && box.y1 < height + 2;
        if (inside && (box.x1 - box.x0) * (box.y1 - box.y0) < 0.9 * width * height)
            images[n_images++] = box;
    }
    poppler_page_free_image_mapping(list);
    size_t room = MAX_REGIONS - pdf->n_regions;
    struct pr_region figures[FIGURES_MAX];
    size_t n =
        ingest_figures_find(pdf->rgb, w, h, width, height, pdf->lines.lines, pdf->lines.n, images, n_images, figures);
    for (size_t i = 0; i < n; i++)
        if (i < room)
            pdf->regions[pdf->n_regions++] = figures[i];
        else
            base_free((void *)(uintptr_t)figures[i].text);
}

/* ---- pages ------------------------------------------------------------------------------------------------------ */

static int read_page(struct pdf *pdf, PopplerPage *page, int index, struct pr_unit *unit)
{
    double width, height;
    poppler_page_get_size(page, &width, &height);
    if (!(width > 0) || !(height > 0) || !isfinite(width) || !isfinite(height))
        return base_fail(PR_ERR_FORMAT, "%s: page %d has no size", pdf->path, index + 1);
    g_free(pdf->label);
    pdf->label = poppler_page_get_label(page);
    ingest_lines_reset(&pdf->lines);
    clear_regions(pdf);
    struct text_count count = collect_lines(page, &pdf->lines);
    add_links(pdf, page, height);
    add_fields_and_notes(pdf, page, height);
    int32_t w = 0, h = 0;
    if (pdf->max_pixels > 0) {
        int err = render(pdf, page, width, height, pdf->max_pixels, &w, &h);
        if (err < 0)
            return err;
        add_figures(pdf, page, width, height, w, h);
        unit->rgb = pdf->rgb;
        unit->picture_width = w;
        unit->picture_height = h;
    }
    unit->visual_only = 10 * count.unusable > 3 * count.characters ||
                        (count.characters < MIN_CHARACTERS && w > 0 && ingest_figures_ink(pdf->rgb, w, h) > 0.02);
    unit->kind = PR_UNIT_PAGE;
    unit->span.page = index;
    unit->label = pdf->label;
    unit->width = width;
    unit->height = height;
    unit->lines = pdf->lines.lines;
    unit->n_lines = pdf->lines.n;
    unit->regions = pdf->regions;
    unit->n_regions = pdf->n_regions;
    return PR_OK;
}

/* What was read of the file stays mapped, and counts as resident: it is let go now and then. The kernel has it still. */
static void forget_file(const struct pdf *pdf)
{
    enum { PAGES = 8 };
    gsize size = pdf->map && pdf->next % PAGES == 0 ? g_mapped_file_get_length(pdf->map) : 0;
    if (size > 0)
        madvise(g_mapped_file_get_contents(pdf->map), size, MADV_DONTNEED);
}

static int pdf_next(void *priv, struct pr_unit *unit)
{
    struct pdf *pdf = priv;
    if (pdf->next > pdf->last)
        return PR_EOF;
    int index = pdf->next++;
    forget_file(pdf);
    ingest_report(index);
    PopplerPage *page = poppler_document_get_page(pdf->document, index);
    if (!page)
        return base_fail(PR_ERR_FORMAT, "%s: page %d can't be read", pdf->path, index + 1);
    int err = read_page(pdf, page, index, unit);
    g_object_unref(page);
    return err;
}

static void pdf_close(void *priv)
{
    struct pdf *pdf = priv;
    clear_regions(pdf);
    ingest_lines_finish(&pdf->lines);
    for (size_t i = 0; i < pdf->n_marks; i++)
        g_free((char *)pdf->marks[i].title);
    base_free(pdf->marks);
    base_free(pdf->rgb);
    g_free(pdf->label);
    g_free(pdf->title);
    g_hash_table_destroy(pdf->named_pages);
    if (pdf->document)
        g_object_unref(pdf->document);
    if (pdf->map)
        g_mapped_file_unref(pdf->map);
    base_free(pdf->path);
}

const struct ingest_reader ingest_pdf = {
    .kind = "PDF",
    .priv_size = sizeof(struct pdf),
    .open = pdf_open,
    .next = pdf_next,
    .close = pdf_close,
};
