/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ingest/captions.h"

#include "base/mem.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_CAPTIONS = 64, MAX_CAPTION_LINES = 20 };
static const float max_gap = 40; /* points between a figure and its caption */
/* What these cost, in points: no sign behind the number, standing above the figure, standing beside it. */
static const float unsigned_cost = 15, above_cost = 10, beside_cost = 20;

/* How many bytes of a line are the word that captions begin with; 0: it doesn't begin so. */
static size_t caption_word(const char *text)
{
    static const char *const words[] = {"figure",
                                        "fig.",
                                        "fig ",
                                        "figura",
                                        "figuur",
                                        "figur",
                                        "abbildung",
                                        "abb.",
                                        "bild ",
                                        "rysunek",
                                        "rys.",
                                        "obr\u00e1zek",
                                        "obr.",
                                        "\u0440\u0438\u0441",
                                        "\u0420\u0438\u0441",
                                        "h\u00ecnh",
                                        "H\u00ecnh",
                                        "\u56fe",
                                        "\u5716",
                                        "\u56f3",
                                        "\uadf8\ub9bc",
                                        "\u0634\u06a9\u0644",
                                        "\u0634\u0643\u0644",
                                        "table",
                                        "tabelle",
                                        "tableau",
                                        "tabla",
                                        "scheme",
                                        "plate",
                                        "chart",
                                        "video "};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strncasecmp(text, words[i], strlen(words[i])) == 0)
            return strlen(words[i]);
    return 0;
}

static const char *skip_blanks(const char *text)
{
    while (*text == ' ')
        text++;
    return text;
}

bool ingest_caption_is(const char *text)
{
    return caption_word(skip_blanks(text)) > 0;
}

/* Whether the word is followed by a number and a sign, or the line ends there: "Figure 3: Speed", "Fig. 2.1 -", "FIG. A.4". */
static bool is_signed(const char *text)
{
    const char *c = skip_blanks(text);
    c = skip_blanks(c + caption_word(c));
    const char *number = c;
    while (isalnum((unsigned char)*c) || (strchr(".-", *c) && *c && isalnum((unsigned char)c[1])))
        c++;
    return c > number && (*c == '\0' || strchr(".:|)-", *c) || (unsigned char)*c >= 0x80);
}

/* The distance in points; more than max_gap: not its caption. */
static float cost(struct pr_box figure, const struct pr_line *line)
{
    struct pr_box b = line->box;
    float height = b.y1 - b.y0, sign = is_signed(line->text) ? 0 : unsigned_cost;
    float shared = fminf(b.x1, figure.x1) - fmaxf(b.x0, figure.x0);
    bool over = shared > 0.3f * fminf(b.x1 - b.x0, figure.x1 - figure.x0);
    if (over && b.y0 >= figure.y1 - 4)
        return b.y0 - figure.y1 + sign;
    if (over && b.y1 <= figure.y0 + 4)
        return figure.y0 - b.y1 + sign + above_cost;
    bool level = b.y1 > figure.y0 - height && b.y0 < figure.y1 + height;
    float gap = b.x0 >= figure.x1 - 4 ? b.x0 - figure.x1 : b.x1 <= figure.x0 + 4 ? figure.x0 - b.x1 : max_gap;
    return !over && level ? gap + sign + beside_cost : 2 * max_gap;
}

/* Whether `next` goes on with the caption whose line before it is `line`: right below, of its size, and no caption itself. */
static bool goes_on(const struct pr_line *line, const struct pr_line *next)
{
    struct pr_box a = line->box, b = next->box;
    float height = a.y1 - a.y0, shared = fminf(a.x1, b.x1) - fmaxf(a.x0, b.x0);
    return b.y0 > a.y0 + 0.5f * height && b.y0 - a.y1 < 0.5f * height && fabsf(b.y1 - b.y0 - height) < 0.2f * height &&
           shared > 0.5f * fminf(a.x1 - a.x0, b.x1 - b.x0) && !ingest_caption_is(next->text);
}

/* The words of all lines of a caption; one that is divided at the end of a line is whole again. */
static char *whole_caption(const struct pr_line *lines, size_t n_lines, size_t first)
{
    struct base_buf out = {0};
    base_buf_puts(&out, lines[first].text);
    for (size_t i = first + 1; i < n_lines && i < first + MAX_CAPTION_LINES && goes_on(&lines[i - 1], &lines[i]); i++) {
        bool divided = out.len > 1 && out.data[out.len - 1] == '-' && isalpha((unsigned char)out.data[out.len - 2]) &&
                       islower((unsigned char)*lines[i].text);
        if (divided)
            out.len--;
        base_buf_printf(&out, "%s%s", divided ? "" : " ", lines[i].text);
    }
    return out.data;
}

void ingest_captions_find(struct pr_region *figures, size_t n_figures, const struct pr_line *lines, size_t n_lines)
{
    size_t captions[MAX_CAPTIONS], n = 0;
    for (size_t i = 0; i < n_lines && n < MAX_CAPTIONS; i++)
        if (ingest_caption_is(lines[i].text))
            captions[n++] = i;
    for (size_t i = 0; i < n_figures; i++)
        figures[i].text = NULL;
    for (;;) { /* the cheapest pair of what is left */
        float best = max_gap;
        size_t figure = 0, caption = 0;
        for (size_t i = 0; i < n_figures; i++)
            for (size_t k = 0; k < n && !figures[i].text; k++) {
                float here = cost(figures[i].box, &lines[captions[k]]);
                if (here < best) {
                    best = here;
                    figure = i;
                    caption = k;
                }
            }
        if (best >= max_gap)
            break;
        figures[figure].text = whole_caption(lines, n_lines, captions[caption]);
        captions[caption] = captions[--n];
    }
    for (size_t i = 0; i < n_figures; i++)
        if (!figures[i].text)
            figures[i].text = base_strdup("");
}
