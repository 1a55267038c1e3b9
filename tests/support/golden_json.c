/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/support/golden_json.h"

#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

cJSON *golden_json(const char *path)
{
    struct base_buf text = {0};
    if (base_file_read(path, 16 << 20, &text) < 0)
        fail_msg("%s", pr_error_message());
    cJSON *json = cJSON_Parse(text.data);
    if (!json)
        fail_msg("%s: not JSON", path);
    base_buf_finish(&text);
    return json;
}

const cJSON *golden_get(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!item)
        fail_msg("a golden file lacks \"%s\"", key);
    return item;
}

const char *golden_text(const cJSON *object, const char *key)
{
    const cJSON *item = golden_get(object, key);
    if (!cJSON_IsString(item))
        fail_msg("\"%s\" of a golden file isn't text", key);
    return item->valuestring;
}

void golden_base64(const char *text, struct base_buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    int n = 0;
    for (; *text && *text != '='; text++) {
        const char *digit = memchr(digits, *text, sizeof digits - 1);
        assert_non_null(digit);
        bits = bits << 6 | (uint32_t)(digit - digits);
        n += 6;
        if (n >= 8) {
            char byte = (char)(bits >> (n -= 8));
            base_buf_append(out, &byte, 1);
        }
    }
}
