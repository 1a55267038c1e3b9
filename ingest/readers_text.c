/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The readers of pagereel-ingest: needs no foreign library.
 */
#include "ingest/reader.h"

extern const struct ingest_reader ingest_text;

const struct ingest_reader *const ingest_readers[] = {&ingest_text, NULL};
