/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which lines of a page are captions, and of which figure.
 */
#pragma once

#include "ingest/source.h"

/* Whether a line begins as captions do: "Figure", "Fig.", "Table" and their kin in some languages. */
bool ingest_caption_is(const char *text);

/* Sets the text of each figure to its caption, all lines of it, or "": memory of its own. Each caption goes to one figure: pairs are taken
 * by their distance, those first whose caption stands below and has a number with a sign behind it ("Fig. 3." and not "Figure 3
 * shows"), those beside the figure last. */
void ingest_captions_find(struct pr_region *figures, size_t n_figures, const struct pr_line *lines, size_t n_lines);
