/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/vision/pictures.h"

#include "base/mem.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

static uint32_t hashed(uint32_t x, uint32_t y, uint32_t c)
{
    uint32_t h = x * 374761393U + y * 668265263U + c * 2246822519U;
    h = (h ^ (h >> 13)) * 1274126177U;
    return h ^ (h >> 16);
}

static uint8_t photo(uint32_t x, uint32_t y, uint32_t c, uint32_t seed)
{
    uint32_t s = seed * 37, wave = (x * (c + 2) + y * (2 * c + 3) + ((x * y) >> 7) + s) & 511;
    wave = wave > 255 ? 511 - wave : wave;
    uint32_t block = (((x + s) >> 5) ^ (y >> 4)) & 1;
    return (uint8_t)((wave * 200 >> 8) + block * 40 + (hashed(x, y, c + s) & 15));
}

static uint8_t text(uint32_t x, uint32_t y, uint32_t c, uint32_t seed)
{
    uint32_t cell = x / 7, line = y / 12, dx = x % 7, dy = y % 12;
    bool blank = hashed(cell, line, seed) % 6 == 0;
    bool ink = ((hashed(cell * 16 + dy, line, seed + 1) >> (dx + 3)) & 1) && dx < 5 && dy < 9;
    return (uint8_t)(ink && !blank ? 20 : 255 - 5 * c);
}

uint8_t *test_picture(const char *kind, int w, int h, uint32_t seed)
{
    uint8_t *rgb = base_alloc_array((size_t)w * (size_t)h, 3), *p = rgb;
    bool is_text = !strcmp(kind, "text"), is_photo = !strcmp(kind, "photo");
    assert(is_text || is_photo || !strcmp(kind, "black"));
    for (uint32_t y = 0; y < (uint32_t)h; y++)
        for (uint32_t x = 0; x < (uint32_t)w; x++)
            for (uint32_t c = 0; c < 3; c++)
                *p++ = is_photo ? photo(x, y, c, seed) : is_text ? text(x, y, c, seed) : 0;
    return rgb;
}

uint8_t *test_picture_json(const cJSON *picture, int *w, int *h)
{
    *w = cJSON_GetArrayItem(picture, 1)->valueint;
    *h = cJSON_GetArrayItem(picture, 2)->valueint;
    return test_picture(cJSON_GetArrayItem(picture, 0)->valuestring, *w, *h,
                        (uint32_t)cJSON_GetArrayItem(picture, 3)->valueint);
}

uint32_t test_crc32(const uint8_t *data, size_t n)
{
    static uint32_t table[256];
    if (!table[1])
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int k = 0; k < 8; k++)
                c = c & 1 ? 0xedb88320U ^ (c >> 1) : c >> 1;
            table[i] = c;
        }
    uint32_t crc = ~0U;
    for (size_t i = 0; i < n; i++)
        crc = table[(crc ^ data[i]) & 255] ^ (crc >> 8);
    return ~crc;
}
