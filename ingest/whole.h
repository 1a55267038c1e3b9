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
/* The same for a local file; false when it can't be read. */
bool ingest_is_cut_file(const char *path);
