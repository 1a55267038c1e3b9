/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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

int base_file_map(const char *path, struct base_map *out)
{
    int err = PR_OK, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not to hang on a FIFO */
    struct stat st;
    *out = (struct base_map){0};
    if (fd < 0)
        return base_fail(errno == ENOENT ? PR_ERR_NOT_FOUND : PR_ERR_IO, "%s: can't be opened: %s", path,
                         strerror(errno));
    if (fstat(fd, &st) < 0) {
        err = base_fail(PR_ERR_IO, "%s: can't be examined: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        err = base_fail(PR_ERR_IO, "%s: is %s", path, S_ISDIR(st.st_mode) ? "a folder" : "not an ordinary file");
    } else if (st.st_size > 0) {
        void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            err = base_fail(PR_ERR_IO, "%s: can't be mapped: %s", path, strerror(errno));
        else
            *out = (struct base_map){data, (size_t)st.st_size};
    }
    close(fd);
    return err;
}

void base_file_unmap(struct base_map *map)
{
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (struct base_map){0};
}
