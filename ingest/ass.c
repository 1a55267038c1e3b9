/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ingest/ass.h"

#include "base/mem.h"

#include <string.h>

void ingest_ass_lines(struct ingest_lines *lines, const char *event)
{
    const char *text = event;
    for (int commas = 0; commas < 8 && text; commas++) {
        text = strchr(text, ',');
        text = text ? text + 1 : NULL;
    }
    if (!text)
        return;
    const char *last_brace = strrchr(text, '}');
    struct base_buf line = {0};
    bool drawing = false;
    for (const char *c = text;; c++) {
        if (*c == '\0' || (c[0] == '\\' && (c[1] == 'N' || c[1] == 'n')) || *c == '\n' || *c == '\r') {
            if (line.len > 0)
                ingest_lines_add(lines, line.data, line.len, (struct pr_box){0});
            line.len = 0;
            if (*c == '\0')
                break;
            c += *c == '\\';
        } else if (c[0] == '{' && c[1] == '\\' && last_brace && c < last_brace) {
            const char *end = strchr(c, '}');
            for (; c < end; c++)
                if (c[0] == '\\' && c[1] == 'p' && c[2] >= '0' && c[2] <= '9')
                    drawing = c[2] != '0';
        } else if (c[0] == '\\' && (c[1] == '{' || c[1] == '}')) { /* braces that are text */
            if (!drawing)
                base_buf_append(&line, ++c, 1);
        } else if (c[0] == '\\' && c[1] == 'h') {
            base_buf_puts(&line, " ");
            c++;
        } else if (!drawing) {
            base_buf_append(&line, c, 1);
        }
    }
    base_buf_finish(&line);
}
