/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Single pictures, for readers of documents that hold them.
 */
#pragma once

#include "ingest/reader.h"

struct ingest_still; /* decoder and buffers, reused from picture to picture */

struct ingest_still *ingest_still_create(void);
void ingest_still_destroy(struct ingest_still *still); /* takes NULL */

/* Decodes a picture file of any kind that the video reader knows (of an animation, the first frame) and fills unit->rgb (valid
 * until the next call), picture_width/height, width and height. `name` is for messages. PR_ERR_FORMAT, PR_ERR_UNSUPPORTED. */
int ingest_still_decode(struct ingest_still *still, const void *data, size_t size, const char *name, int64_t max_pixels,
                        struct pr_unit *unit);
/* The same for a local file. */
int ingest_still_decode_file(struct ingest_still *still, const char *path, int64_t max_pixels, struct pr_unit *unit);
