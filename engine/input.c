/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/input.h"

#include "base/error.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 1 << 16, WAIT_MS = 200 /* how soon a cancel is seen */ };

/* A file without a name, which is gone when the process is. -1: errno tells why. */
static int nameless_file(char *folder, size_t size)
{
    const char *asked = getenv("TMPDIR");
    snprintf(folder, size, "%s", asked && *asked ? asked : "/tmp");
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
        return fd;
    char path[512]; /* a file system that has none of these */
    if (snprintf(path, sizeof path, "%s/pagereel-XXXXXX", folder) >= (int)sizeof path)
        return -1;
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static int write_all(int fd, const char *data, size_t n, const char *folder)
{
    while (n > 0) {
        ssize_t done = write(fd, data, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return base_fail(PR_ERR_IO, "standard input: it can't be kept in %s (%s); write it to a file first", folder,
                             strerror(errno));
        data += done;
        n -= (size_t)done;
    }
    return PR_OK;
}

static int keep(int fd, const char *folder, const struct base_cancel *cancel)
{
    char *block = base_alloc(BLOCK);
    size_t total = 0;
    int err = PR_OK;
    for (ssize_t n = 1; err == PR_OK && n != 0;) {
        struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
        if (base_cancelled(cancel))
            err = base_fail(PR_ERR_CANCELLED, "cancelled");
        else if (poll(&in, 1, WAIT_MS) > 0) {
            n = read(STDIN_FILENO, block, BLOCK);
            if (n < 0 && errno != EINTR && errno != EAGAIN)
                err = base_fail(PR_ERR_IO, "standard input: it can't be read (%s)", strerror(errno));
            else if (n > 0)
                err = write_all(fd, block, (size_t)n, folder);
            total += n > 0 ? (size_t)n : 0;
        }
    }
    base_free(block);
    if (err == PR_OK && total == 0)
        return base_fail(PR_ERR_IO, "standard input is empty; send it a file, or give the name of one");
    return err;
}

/* The descriptor of the file that holds what standard input gave. */
static int make_file(const struct base_cancel *cancel, int *out)
{
    struct stat st;
    char folder[256];
    *out = STDIN_FILENO;
    if (isatty(STDIN_FILENO))
        return base_fail(PR_ERR_IO, "standard input is a terminal; send it a file, or give the name of one");
    if (fstat(STDIN_FILENO, &st) < 0)
        return base_fail(PR_ERR_IO, "standard input: it can't be read (%s)", strerror(errno));
    if (S_ISREG(st.st_mode) && st.st_size > 0)
        return PR_OK;
    int fd = nameless_file(folder, sizeof folder);
    if (fd < 0)
        return base_fail(PR_ERR_IO,
                         "standard input: no file can be made in %s to keep it (%s); write it to a file first", folder,
                         strerror(errno));
    int err = keep(fd, folder, cancel);
    if (err < 0)
        close(fd);
    *out = fd;
    return err;
}

int engine_input_path(const char *path, const struct base_cancel *cancel, const char **out)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static char kept[64];
    int fd, err = PR_OK;
    *out = path;
    if (strcmp(path, "-") != 0)
        return PR_OK;
    pthread_mutex_lock(&lock);
    if (!kept[0])
        err = make_file(cancel, &fd);
    if (!kept[0] && err == PR_OK) /* by the number of the process: a worker opens it */
        snprintf(kept, sizeof kept, "/proc/%ld/fd/%d", (long)getpid(), fd);
    pthread_mutex_unlock(&lock);
    *out = kept;
    return err;
}

int engine_input_name(int err, const char *path, const char *opened)
{
    if (err >= 0)
        return err;
    const char *message = pr_error_message(), *name = strcmp(path, "-") != 0 ? path : "standard input",
               *at = path == opened || !*opened ? NULL : strstr(message, opened);
    if (at) {
        char *copy = base_strdup(message);
        base_fail(err, "%.*s%s%s", (int)(at - message), copy, name, copy + (at - message) + strlen(opened));
        base_free(copy);
        return err;
    }
    return strstr(message, name) ? err : base_fail_prefix(err, "%s", name);
}
