/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The text of generated tokens on its way out: whole characters only, and nothing of a stop string, however tokens cut either.
 */
#pragma once

#include "base/mem.h"

struct llm_stop;

/* `strings`: what ends the text, separated by line breaks; empty ones don't count; "": nothing does. */
struct llm_stop *llm_stop_create(const char *strings);
void llm_stop_destroy(struct llm_stop *stop); /* takes NULL */

/* Takes the bytes of a token and appends to *out what can't become part of a stop string or of an unfinished character any more.
 * True: a stop string is complete; *out got what stood before it, and nothing more comes. */
bool llm_stop_push(struct llm_stop *stop, const char *bytes, size_t len, struct base_buf *out);
/* The text ended without a stop string: appends what was held back. */
void llm_stop_flush(struct llm_stop *stop, struct base_buf *out);
