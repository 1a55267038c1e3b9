/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A film of drawn pictures, each on the screen for as long as it is told: a QuickTime file whose frames are PNG, which needs no video
 * encoder and keeps every pixel (Apple, QuickTime File Format Specification, 2016). Hours of it are a few megabytes where pictures stay.
 */
#pragma once

#include "base/error.h"
#include "base/mem.h"

#include <stdint.h>

struct draw_film;

/* Begins a film at `path`. PR_ERR_IO. The caller owns *out and ends it with draw_film_finish(). */
int draw_film_create(const char *path, int32_t width, int32_t height, struct draw_film **out);
/* Appends a picture, a PNG of the film's size, shown for `ms` milliseconds. PR_ERR_IO. */
int draw_film_put(struct draw_film *film, const struct base_buf *png, uint32_t ms);
/* Writes the index and closes the file; destroys the film in any case. Takes NULL. PR_ERR_IO: the file is of no use. */
int draw_film_finish(struct draw_film *film);
