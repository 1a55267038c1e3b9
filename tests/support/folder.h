/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A folder for the files of a test program, made before its tests and removed with all that is in it behind them.
 */
#pragma once

extern char test_folder[32]; /* its path; "" while there is none */

/* For cmocka: what a group or a test begins and ends with. */
int test_folder_make(void **state);
int test_folder_remove(void **state);

/* The path of a name in it; stays until the eighth call after this one. */
const char *test_file(const char *name);
