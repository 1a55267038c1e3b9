/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How failures travel inside pagereel: a negative enum pr_error as the return value, and one line of text for the user
 * in a slot of the calling thread (read by pr_error_message()).
 */
#pragma once

#include "pagereel/error.h"

/* Leaves a message for the user and returns `error`, so that a failure is one statement:
 *     return base_fail(PR_ERR_FORMAT, "%s: not a GGUF file; get the file again", path);
 * The message names the thing, says what was wrong and what to do. At most 1023 bytes are kept; control characters and
 * broken UTF-8 (file names and metadata are hostile) are replaced by '?'. */
int base_fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Puts "prefix: " before the message that is already there; keeps `error`. For adding a file name on the way up. */
int base_fail_prefix(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Runs a call that returns enum pr_error; on failure keeps its result in `err` and jumps to the one `fail:` label.
 * The enclosing function declares `int err`. */
#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        err = (call);                                                                                                  \
        if (err < 0)                                                                                                   \
            goto fail;                                                                                                 \
    } while (0)
