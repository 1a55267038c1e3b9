/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/file.h"

#include <errno.h>
#include <string.h>

int base_file_read_stream(FILE *stream, const char *name, size_t max, struct base_buf *out)
{
    size_t before = out->len;
    char block[1 << 14];
    for (;;) {
        size_t n = fread(block, 1, sizeof block, stream);
        if (n > max - (out->len - before)) {
            out->len = before;
            return base_fail(PR_ERR_NOMEM, "%s: longer than %zu bytes; give less", name, max);
        }
        base_buf_append(out, block, n);
        if (n == 0)
            break;
    }
    if (ferror(stream)) {
        out->len = before;
        return base_fail(PR_ERR_IO, "%s: can't be read: %s", name, strerror(errno));
    }
    return PR_OK;
}

int base_file_read(const char *path, size_t max, struct base_buf *out)
{
    FILE *file = fopen(path, "rbe");
    if (!file)
        return base_fail(errno == ENOENT ? PR_ERR_NOT_FOUND : PR_ERR_IO, "%s: can't be opened: %s", path,
                         strerror(errno));
    int err = base_file_read_stream(file, path, max, out);
    fclose(file);
    return err;
}
