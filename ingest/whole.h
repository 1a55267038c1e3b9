/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether a file is all there.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether a media file or picture breaks off: it says itself that it is longer, or lacks what must stand at its end. Told by its own
 * bytes alone; of kinds that don't tell, false. Reads a few pages of `data` only, but all of a GIF. */
bool ingest_is_cut(const void *data, size_t size);
/* Ends a PNG that breaks off, so that decoders show the rows that are there: data [size] has room for INGEST_PNG_END bytes more. Returns its
 * new size; 0: it breaks off before its pixels, or is no PNG. */
enum { INGEST_PNG_END = 16 };
size_t ingest_end_png(void *data, size_t size);
/* Cuts an animated WebP that breaks off behind its last whole frame, and writes its new size into it. Returns that; 0: there is none. */
size_t ingest_end_webp(void *data, size_t size);
/* How many pages a TIFF has, which decoders show the first one of; 1: damaged, or anything else. */
size_t ingest_tiff_pages(const void *data, size_t size);
size_t ingest_tiff_pages_file(const char *path);
/* ingest_is_cut() for a local file; false when it can't be read. */
bool ingest_is_cut_file(const char *path);
