/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/json.h"
#include "base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void base_json_text(struct base_buf *out, const char *text, size_t len)
{
    base_buf_puts(out, "\"");
    for (size_t i = 0; i < len;) {
        size_t n = base_utf8_decode(text + i, len - i, NULL);
        unsigned char c = (unsigned char)text[i];
        if (n == 0)
            base_buf_puts(out, "\xef\xbf\xbd");
        else if (c == '"' || c == '\\')
            base_buf_printf(out, "\\%c", c);
        else if (c == '\n')
            base_buf_puts(out, "\\n");
        else if (c < 0x20 || c == 0x7f)
            base_buf_printf(out, "\\u%04x", c);
        else if (n == 2 && c == 0xc2 &&
                 (unsigned char)text[i + 1] < 0xa0) /* a terminal may take these as sequences, too */
            base_buf_printf(out, "\\u%04x", (unsigned char)text[i + 1]);
        else
            base_buf_append(out, text + i, n);
        i += n ? n : 1;
    }
    base_buf_puts(out, "\"");
}

/* The locale's decimal point, which may be any bytes, becomes '.'. */
static void append_number(struct base_buf *out, const char *number)
{
    while (*number) {
        size_t n = strspn(number, "0123456789+-e");
        base_buf_append(out, number, n);
        number += n;
        if (*number) {
            base_buf_puts(out, ".");
            number += strcspn(number, "0123456789+-e");
        }
    }
}

void base_json_float(struct base_buf *out, float value)
{
    char number[64];
    if (!isfinite(value)) {
        base_buf_puts(out, "null");
        return;
    }
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(number, sizeof number, "%.*g", digits, (double)value);
        if (strtof(number, NULL) == value)
            break;
    }
    append_number(out, number);
}

void base_json_double(struct base_buf *out, double value)
{
    char number[64];
    if (!isfinite(value)) {
        base_buf_puts(out, "null");
        return;
    }
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(number, sizeof number, "%.*g", digits, value);
        if (strtod(number, NULL) == value)
            break;
    }
    append_number(out, number);
}
