/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/utf8.h"

size_t base_utf8_decode(const char *text, size_t len, uint32_t *c)
{
    const unsigned char *s = (const unsigned char *)text;
    if (len == 0)
        return 0;
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : 4;
    if (s[0] > 0xf4 || (s[0] >= 0x80 && s[0] < 0xc2) || n > len)
        return 0;
    uint32_t value = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (s[i] & 0x3f);
    }
    if (value < smallest[n] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
        return 0;
    if (c)
        *c = value;
    return n;
}
