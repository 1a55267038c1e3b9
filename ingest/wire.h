/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How the worker and the program talk.
 *
 * A socket pair of the SEQPACKET kind carries messages of fixed size; what is larger lies in slots of a shared memory file.
 * The worker fills a slot, sends its number, and may go on with the next slot while the program reads; the program sends the
 * number back when it is done. Closing the socket ends the worker.
 *
 * The program trusts nothing that comes in: a worker may have been taken over by the file that it reads. The payload of a slot
 * is copied out before it is parsed, so that it can't change meanwhile.
 */
#pragma once

#include "base/mem.h"
#include "ingest/source.h"

enum { WIRE_VERSION = 3, WIRE_SLOTS = 4 };

/* From the worker. */
enum wire_type {
    WIRE_INFO = 1, /* payload: struct pr_source_info */
    WIRE_UNIT,     /* payload: struct pr_unit */
    WIRE_ERROR,    /* payload: enum pr_error, text. fatal: nothing follows */
    WIRE_END,
    WIRE_PROGRESS
};
struct wire_message {
    uint32_t type;
    uint32_t slot;
    uint64_t size;    /* bytes of payload in the slot */
    int64_t position; /* see ingest_position() */
};

/* To the worker: a slot is free again. */
struct wire_credit {
    uint32_t slot;
};

/* Bytes of a slot that holds a picture of at most max_pixels and the text of a page. */
size_t ingest_wire_slot_size(int64_t max_pixels);

/* Writing: into memory of fixed size; overflow is remembered. */
struct wire_writer {
    char *data;
    size_t cap, len;
    bool overflow;
};
void ingest_wire_put_info(struct wire_writer *writer, const struct pr_source_info *info);
void ingest_wire_put_unit(struct wire_writer *writer, const struct pr_unit *unit);
void ingest_wire_put_error(struct wire_writer *writer, int error, const char *text);

/* Reading: whatever the bytes are, the result is PR_OK with everything inside `data` and the arrays of `arena`, or
 * PR_ERR_FORMAT. Strings point into data. */
struct wire_arena {
    void *blocks[8];
    size_t n;
};
void ingest_wire_arena_reset(struct wire_arena *arena);
int ingest_wire_get_info(const char *data, size_t size, struct wire_arena *arena, struct pr_source_info *out);
int ingest_wire_get_unit(const char *data, size_t size, struct wire_arena *arena, struct pr_unit *out);
int ingest_wire_get_error(const char *data, size_t size, int *error, const char **text);

/* The options, handed to the worker as its arguments. Those read have times of their own, which the caller frees (base_free). */
void ingest_wire_put_options(struct base_buf *out, const struct ingest_options *options);
int ingest_wire_get_options(const char *text, struct ingest_options *out);
