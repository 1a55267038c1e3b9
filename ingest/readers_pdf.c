/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The readers of pagereel-ingest-pdf: poppler and cairo.
 */
#include "ingest/reader.h"

extern const struct ingest_reader ingest_pdf;

const struct ingest_reader *const ingest_readers[] = {&ingest_pdf, NULL};
