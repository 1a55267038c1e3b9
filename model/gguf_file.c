/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "model/gguf_parse.h"

#include "base/error.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int system_error(const char *path, const char *what)
{
    return base_fail(PR_ERR_IO, "%s: can't be %s: %s; check the path and its permissions", path, what, strerror(errno));
}

int model_gguf_file_map(const char *path, struct gguf_file *out)
{
    int err;
    struct stat st;
    const void *data = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not to hang on a FIFO */
    if (fd < 0)
        return system_error(path, "opened");
    if (fstat(fd, &st) < 0) {
        err = system_error(path, "examined");
        goto fail;
    }
    if (!S_ISREG(st.st_mode)) {
        err = base_fail(PR_ERR_IO, "%s: is %s; give a GGUF file", path,
                        S_ISDIR(st.st_mode) ? "a folder" : "not an ordinary file");
        goto fail;
    }
    if (st.st_size > 0) {
        data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            err = system_error(path, "mapped");
            goto fail;
        }
    }
    close(fd);
    *out = (struct gguf_file){base_strdup(path), data, (size_t)st.st_size};
    return PR_OK;
fail:
    close(fd);
    return err;
}

int model_gguf_file_map_part(const char *first, int64_t no, int64_t count, struct gguf_file *out)
{
    char ending[64];
    int n = snprintf(ending, sizeof ending, "-00001-of-%05" PRId64 ".gguf", count);
    size_t len = strlen(first);
    if (len < (size_t)n || strcmp(first + len - (size_t)n, ending) != 0)
        return base_fail(PR_ERR_FORMAT,
                         "%s: is the first of %" PRId64 " parts, but its name doesn't end in \"%s\", so the others "
                         "can't be found; give the parts their own names back",
                         first, count, ending);
    struct base_buf path = {0};
    base_buf_append(&path, first, len - (size_t)n);
    base_buf_printf(&path, "-%05" PRId64 "-of-%05" PRId64 ".gguf", no + 1, count);
    int err = model_gguf_file_map(path.data, out);
    if (err < 0)
        err =
            base_fail_prefix(err, "%s: part %" PRId64 " of %" PRId64 " is missing or unreadable", first, no + 1, count);
    base_buf_finish(&path);
    return err;
}

void model_gguf_file_unmap(struct gguf_file *file)
{
    if (file->data)
        munmap((void *)file->data, file->size);
    base_free((char *)file->path);
    *file = (struct gguf_file){0};
}
