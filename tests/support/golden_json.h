/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * JSON files under tests/golden. Everything here fails the test when the file isn't as it should be.
 */
#pragma once

#include "base/mem.h"

#include <cjson/cJSON.h>

cJSON *golden_json(const char *path);                          /* cJSON_Delete() */
const cJSON *golden_get(const cJSON *object, const char *key); /* a member that must be there */
const char *golden_text(const cJSON *object, const char *key); /* a string member */
void golden_base64(const char *text, struct base_buf *out);    /* appends the bytes */
