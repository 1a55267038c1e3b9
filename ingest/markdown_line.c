/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ingest/markdown.h"

#include <string.h>

int ingest_markdown_heading(const char *line, size_t len)
{
    size_t level = 0;
    while (level < len && line[level] == '#')
        level++;
    return level >= 1 && level <= 6 && level < len && line[level] == ' ' ? (int)level : 0;
}

bool ingest_markdown_picture(const char *line, size_t len, struct markdown_picture *out)
{
    for (size_t i = 0; i + 4 < len; i++) {
        if (line[i] != '!' || line[i + 1] != '[')
            continue;
        const char *alt = line + i + 2;
        const char *alt_end = memchr(alt, ']', len - i - 2);
        if (!alt_end || alt_end + 1 >= line + len || alt_end[1] != '(')
            continue;
        const char *path = alt_end + 2;
        const char *close = memchr(path, ')', (size_t)(line + len - path));
        if (!close)
            continue;
        bool angled = *path == '<' && memchr(path, '>', (size_t)(close - path));
        const char *path_end = angled ? memchr(path, '>', (size_t)(close - path)) : close;
        path += angled;
        if (!angled) /* a title may follow: ![alt](file.png "title") */
            for (const char *c = path; c < path_end; c++)
                if (*c == ' ' || *c == '\t')
                    path_end = c;
        if (path_end == path)
            continue;
        *out = (struct markdown_picture){alt,       (size_t)(alt_end - alt),   path, (size_t)(path_end - path),
                                         (size_t)i, (size_t)(close + 1 - line)};
        return true;
    }
    return false;
}
