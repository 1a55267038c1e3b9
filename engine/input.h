/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is looked at more than once, or jumped about in, when it comes from standard input.
 */
#pragma once

#include "base/cancel.h"

/* The path under which `path` can be opened again and again: itself, or for "-" a file that holds what standard input gave (a nameless
 * one in TMPDIR or /tmp, unless standard input is a file). It is read once in a process, up to its end; the answer stays valid.
 * Thread-safe. PR_ERR_IO: it can't be read, nothing came, or there is no room for it; PR_ERR_CANCELLED. */
int engine_input_path(const char *path, const struct base_cancel *cancel, const char **out);

/* Names the file that failed in the message: `path` as the user gave it, in the place of where it was opened. Returns err. */
int engine_input_name(int err, const char *path, const char *opened);
