/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which visual tokens of a page show nothing. Everything with ink on it may be text, so a cell is blank only when it is flat and all four
 * of its neighbours are (memory of documents: "PixelPrune", arXiv 2604.00886, for what can be left out without loss).
 */
#pragma once

#include "vision/preprocess.h"

#include <stdbool.h>

/* blank[rows * cols] of a crop, whose pixels are rgb [height, width, 3] as vision_fill() leaves them. Thread-safe. */
void vision_find_blank(const struct vision_crop *crop, const uint8_t *rgb, bool *blank);
