/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Results of every function that can fail: 0 is success, positive values are flow, negative values are failures.
 * A failing function leaves one line for the user (what was wrong, where, what to do) in pr_error_message().
 */
#ifndef PAGEREEL_ERROR_H
#define PAGEREEL_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

enum pr_error {
    PR_OK = 0,
    PR_EOF = 1,  /* the end of a stream was reached; not a failure */
    PR_MORE = 2, /* call again: more output is waiting */

    PR_ERR_INVALID = -1,     /* an argument or option is outside its documented range */
    PR_ERR_NOMEM = -2,       /* a size that a file or the user chose can't be had, on the host or on a device */
    PR_ERR_IO = -3,          /* the system refused to open, read or write */
    PR_ERR_FORMAT = -4,      /* a file is damaged or isn't what it claims to be */
    PR_ERR_UNSUPPORTED = -5, /* valid, but pagereel can't do it (yet) */
    PR_ERR_NOT_FOUND = -6,   /* a named thing isn't there */
    PR_ERR_DEVICE = -7,      /* a compute device can't be opened or used */
    PR_ERR_DEVICE_LOST = -8, /* a compute device disappeared while it worked */
    PR_ERR_CANCELLED = -9,   /* the caller asked to stop */
    PR_ERR_INTERNAL = -10    /* a fault of pagereel's own; please report it */
};

/* The line that the last failing call of this thread left; never NULL, "" when there was none.
 * Valid until the next failing call in the same thread. */
const char *pr_error_message(void);

/* A constant name for a result, such as "PR_ERR_IO". Never NULL. Thread-safe. */
const char *pr_error_name(int error);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
