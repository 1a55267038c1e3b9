/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Standard output, standard input, and being interrupted.
 */
#pragma once

#include "base/mem.h"
#include "pagereel/model.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Takes what could move a terminal's cursor, recolour it or change its title out of text that a model or a file wrote: escape
 * sequences as a whole, and every control character but tab and line feed. Sequences may be split between calls. */
struct cli_filter {
    enum { FILTER_TEXT, FILTER_ESCAPE, FILTER_CSI, FILTER_STRING, FILTER_STRING_ESCAPE, FILTER_C2 } state;
    int swallowed; /* bytes of the sequence so far: one that never ends doesn't hide the rest */
};
void cli_filter(struct cli_filter *filter, const char *text, size_t len, struct base_buf *out);

/* Writes text to standard output at once; to a terminal through a filter. PR_ERR_IO: it can't be written. */
int cli_write(const char *text, size_t len);
/* Lines for people, through the filter wherever they go: names and quotes in them are other people's. */
int cli_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same on standard error. */
void cli_tell(const char *text);
/* Writes what is buffered. PR_ERR_IO: something since the start couldn't be written. */
int cli_flush(void);

/* All of standard input. PR_ERR_INVALID when it is a terminal: `instead` says what to give. */
int cli_read_input(const char *instead, struct base_buf *out);

/* Writes values [n, width], or [n] if width is 0, as a file for NumPy. */
int cli_write_npy(const char *path, const float *values, size_t n, size_t width);

/* Appends [{"id", "logprob"}, ...] of a token's best. */
void cli_json_top(struct base_buf *out, const struct pr_token *token);
void cli_json_ids(struct base_buf *out, const int32_t *ids, size_t n);

/* The program's cancel token; the first SIGINT or SIGTERM requests it, the second ends the program at once. */
struct pr_cancel *cli_cancel(void);
/* The signal that came first, or 0. */
int cli_interrupted(void);

/* On standard error: what looking at a file will take, before it is done. */
void cli_tell_plan(const char *path, const struct pr_visual_plan *plan);
/* On standard error, if so: something of what was seen couldn't be read. */
void cli_tell_partial(const struct pr_visual_run *runs, size_t n);
