/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "Did you mean ...?"
 */
#pragma once

#include <stdbool.h>

/* Letters to add, drop, change or swap with their neighbour to get from a to b, at most 99. */
int base_edit_distance(const char *a, const char *b);
/* Whether b is near enough to the mistyped a to be offered: a third of its letters, at least 1 and at most 3 edits. */
bool base_is_near(const char *a, const char *b);
