/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The words of subtitles: libav turns text of all kinds into events of ASS.
 */
#pragma once

#include "ingest/reader.h"

/* Adds the words of an event: what follows its eighth comma, without {\overrides}; \N and \n end a line, \h is a blank. With {\p1}
 * it is a drawing, which has no words. Takes time in proportion to its length. */
void ingest_ass_lines(struct ingest_lines *lines, const char *event);
