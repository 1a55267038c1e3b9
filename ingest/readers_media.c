/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The readers of pagereel-ingest-media: libav, and libarchive.
 */
#include "ingest/reader.h"

extern const struct ingest_reader ingest_archive, ingest_folder, ingest_markdown, ingest_video;

const struct ingest_reader *const ingest_readers[] = {&ingest_archive, &ingest_folder, &ingest_markdown, &ingest_video,
                                                      NULL};
