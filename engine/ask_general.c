/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Questions about the whole ("What is this about?"): no passage shares words with them, so the model is shown passages from the beginning to the
 * end, or the notes that an earlier reading left.
 */
#include "engine/ask.h"

#include "base/mem.h"

#include <string.h>

enum { SPREAD = 8 };

/* Whether all that a question asks for is the whole itself. */
static bool is_general(const char *question)
{
    static const char words[] =
        " document documents film films video videos paper papers text texts page pages book books file files movie movies "
        "clip manual report article summary summarise summarize summarised summarized main topic topics subject "
        "happen happens happened happening describe description content contents story plot overview gist tell "
        "say says key points point idea ideas whole brief briefly shown show shows see seen give short "
        "dokument worum geht zusammenfassung fasse zusammen inhalt ";
    char word[64], spaced[68];
    size_t len;
    bool any = false;
    while ((len = engine_ask_next_word(&question, word))) {
        any = true;
        memcpy(spaced + 1, word, len);
        spaced[0] = ' ';
        memcpy(spaced + len + 1, " ", 2);
        if (!memory_is_function_word(word, len) && !strstr(words, spaced))
            return false;
    }
    return any;
}

/* The segments of one source whose passages stand for it: notes, or else all text. */
static size_t list_texts(const struct asking *asking, const struct recall_segment *segments, size_t n, bool notes,
                         uint32_t *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const struct recall_segment *s = &segments[i];
        bool wanted = notes ? s->kind == EVIDENCE_NOTE : s->kind == EVIDENCE_PAGE || s->kind == EVIDENCE_TIMED_TEXT;
        if (wanted && s->n_lines > 0 && engine_ask_in_range(asking, s->t0, s->t1, s->page))
            list[kept++] = (uint32_t)i;
    }
    return kept;
}

void engine_ask_general(const struct asking *asking, const char *question, struct ask_found *out)
{
    if (!is_general(question))
        return;
    out->n_hits = 0;
    size_t each = asking->n_sources < SPREAD ? SPREAD / asking->n_sources : 1;
    for (size_t s = 0; s < asking->n_sources && out->n_hits < SPREAD; s++) {
        const struct asked *asked = &asking->sources[s];
        size_t n;
        const struct recall_segment *segments = memory_recall_segments(asked->index, &n);
        uint32_t *list = base_alloc_array(n + 1, sizeof *list);
        size_t n_texts = list_texts(asking, segments, n, false, list), m = list_texts(asking, segments, n, true, list);
        if (2 * m < n_texts) /* the reading didn't get far */
            m = list_texts(asking, segments, n, false, list);
        size_t k = each < m ? each : m;
        for (size_t i = 0; i < k; i++) /* the beginning is among them */
            out->hits[out->n_hits++] =
                (struct library_hit){asked->source.id, segments[list[i * m / k]].number, 0, 1.0 / (double)(i + 1), 1};
        base_free(list);
    }
    out->coverage = out->n_hits > 0 ? 1 : 0;
}
