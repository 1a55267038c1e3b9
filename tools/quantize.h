/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Floats to blocks of every weight format, by rounding to nearest with scales taken from the extremes. Good enough for random
 * weights; a quantiser for real models would search for better scales.
 */
#pragma once

#include "compute/type.h"

/* Converts n floats, whole blocks of `type`, which is any weight type. The layouts are those of compute/ref/dequant.c. */
void quantize(enum type type, const float *in, void *blocks, int64_t n);
