/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The test pictures, the same formulas as tools/goldens/pictures.py, and the checksum that the goldens hold (zlib's crc32).
 */
#pragma once

#include <cjson/cJSON.h>
#include <stddef.h>
#include <stdint.h>

/* RGB bytes [h, w, 3]; base_free(). Kinds: "photo", "text", "black". */
uint8_t *test_picture(const char *kind, int w, int h, uint32_t seed);
/* From [kind, w, h, seed] of a golden file. */
uint8_t *test_picture_json(const cJSON *picture, int *w, int *h);

uint32_t test_crc32(const uint8_t *data, size_t n);
