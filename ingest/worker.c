/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The worker process: opens one source with the reader that knows it, and sends its units until the end or until the program
 * goes away. Usage (by ingest/source.c only): pagereel-ingest OPTIONS PATH, socket on descriptor 3, slots on 4.
 *
 * All worker programs have this main() and differ in their readers. The first one, which loads no foreign library, looks at the
 * source and becomes the program that has the reader for it.
 */
#include "base/error.h"
#include "ingest/kinds.h"
#include "ingest/reader.h"
#include "ingest/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SOCKET = 3, MEMORY = 4 };

static char *slots;
static size_t slot_size;
static bool slot_free[WIRE_SLOTS] = {true, true, true, true};
static int64_t position;

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static void send_message(const struct wire_message *message)
{
    while (send(SOCKET, message, sizeof *message, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            _exit(0); /* the program is gone: nobody is left to tell */
}

/* Waits until a slot is free and returns its number. */
static uint32_t take_slot(void)
{
    for (;;) {
        for (uint32_t i = 0; i < WIRE_SLOTS; i++)
            if (slot_free[i]) {
                slot_free[i] = false;
                return i;
            }
        struct wire_credit credit;
        ssize_t n = recv(SOCKET, &credit, sizeof credit, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n != (ssize_t)sizeof credit || credit.slot >= WIRE_SLOTS)
            _exit(0);
        slot_free[credit.slot] = true;
    }
}

static struct wire_writer begin(uint32_t *slot)
{
    *slot = take_slot();
    return (struct wire_writer){slots + *slot * slot_size, slot_size, 0, false};
}

static void send_error(int error, const char *text)
{
    uint32_t slot;
    struct wire_writer writer = begin(&slot);
    ingest_wire_put_error(&writer, error, text);
    send_message(&(struct wire_message){WIRE_ERROR, slot, writer.len, position});
}

static void send_info(struct pr_source_info *info)
{
    uint32_t slot;
    struct wire_writer writer = begin(&slot);
    ingest_wire_put_info(&writer, info);
    if (writer.overflow) { /* a hostile outline: the rest of the source is still worth having */
        static const char *const problem = "its outline and track list are too large and were left out";
        info->n_marks = info->n_streams = 0;
        info->problems = &problem;
        info->n_problems = 1;
        writer.len = 0;
        writer.overflow = false;
        ingest_wire_put_info(&writer, info);
    }
    send_message(&(struct wire_message){WIRE_INFO, slot, writer.len, position});
}

static void send_unit(struct pr_unit *unit)
{
    uint32_t slot;
    struct wire_writer writer = begin(&slot);
    ingest_wire_put_unit(&writer, unit);
    while (writer.overflow && (unit->n_lines || unit->n_regions)) { /* keep what fits of a page with too much text */
        unit->n_regions /= 2;
        unit->n_lines /= 2;
        unit->partial = true;
        writer.len = 0;
        writer.overflow = false;
        ingest_wire_put_unit(&writer, unit);
    }
    send_message(&(struct wire_message){WIRE_UNIT, slot, writer.len, position});
}

void ingest_report(int64_t at)
{
    static struct timespec last;
    struct timespec t;
    position = at;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    if (t.tv_sec == last.tv_sec && t.tv_nsec - last.tv_nsec < 200000000)
        return;
    last = t;
    send_message(&(struct wire_message){WIRE_PROGRESS, 0, 0, at});
}

/* ---- limits ----------------------------------------------------------------------------------------------------- */

static void set_limit(int resource, rlim_t value)
{
    struct rlimit limit = {value, value};
    setrlimit(resource, &limit); /* a stricter limit of the user's stays: that failure is fine */
}

/* What a taken-over decoder could do is made small: no memory beyond the limit, no files written, no new privileges, and it
 * dies with the program. A system-call filter has its place here. */
static void confine(const struct ingest_options *options)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_FSIZE, 0);
#ifndef PAGEREEL_SANITIZED /* shadow memory takes terabytes of address space */
    set_limit(RLIMIT_AS, (rlim_t)options->memory_limit + WIRE_SLOTS * slot_size);
#else
    (void)options;
#endif
}

/* ---- the source ------------------------------------------------------------------------------------------------- */

static int choose_kind(const char *path, const struct ingest_kind **out)
{
    struct stat st;
    *out = &ingest_kinds[INGEST_KINDS - 1];
    if (strcmp(path, "-") == 0) /* a stream can't be probed without being used up: it is a film */
        return PR_OK;
    if (stat(path, &st) < 0)
        return base_fail(PR_ERR_IO, "%s: can't be opened: %s", path, strerror(errno));
    /* Opening a pipe waits for its writer, and a probe would use it up. */
    if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
        return base_fail(PR_ERR_UNSUPPORTED,
                         "%s: is no file but a pipe or a device; to read a stream, send it to "
                         "standard input and name it -",
                         path);
    unsigned char head[4096];
    size_t len = 0;
    if (!S_ISDIR(st.st_mode)) {
        FILE *file = fopen(path, "rb");
        if (!file)
            return base_fail(PR_ERR_IO, "%s: can't be opened: %s", path, strerror(errno));
        len = fread(head, 1, sizeof head, file);
        fclose(file);
        if (len == 0)
            return base_fail(PR_ERR_FORMAT, "%s: is empty", path);
    }
    for (*out = ingest_kinds; !(*out)->probe(head, len, path);)
        ++*out; /* the last one takes all that is left */
    return PR_OK;
}

/* The reader of a kind, if this program has it. */
static const struct ingest_reader *find_reader(const struct ingest_kind *kind)
{
    for (size_t i = 0; ingest_readers[i]; i++)
        if (strcmp(ingest_readers[i]->kind, kind->name) == 0)
            return ingest_readers[i];
    return NULL;
}

/* Becomes the program that has the reader; it begins anew. Returns on failure only. */
static int become(const char *program, char **argv)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    path[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash + 1 - path) : 0;
    snprintf(path + folder, sizeof path - folder, "%s", program);
    argv[0] = path;
    execv(path, argv);
    return base_fail(PR_ERR_IO, "the program %s can't be started (%s); install pagereel again", path, strerror(errno));
}

/* Sends everything; returns when the source is at its end or can't go on. */
static void run(char **argv, const struct ingest_options *options)
{
    const char *path = argv[2];
    const struct ingest_kind *kind;
    int err = choose_kind(path, &kind);
    const struct ingest_reader *reader = err < 0 ? NULL : find_reader(kind);
    if (err == PR_OK && !reader)
        err = become(kind->program, argv);
    if (err < 0) {
        send_error(err, pr_error_message());
        return;
    }
    struct pr_source_info info = {.kind = reader->kind, .start = PR_TIME_NONE, .duration = PR_TIME_NONE};
    void *priv = base_alloc(reader->priv_size);
    err = reader->open(priv, path, options, &info);
    if (err < 0) {
        send_error(err, pr_error_message());
    } else {
        send_info(&info);
        for (int failures = 0; err != PR_EOF;) {
            struct pr_unit unit = {.span = {.page = PR_PAGE_NONE, .t0 = PR_TIME_NONE, .t1 = PR_TIME_NONE},
                                   .stream = -1};
            err = reader->next(priv, &unit);
            if (err == PR_OK)
                send_unit(&unit);
            else if (err < 0)
                send_error(err, pr_error_message());
            /* A reader that only fails must not go on for ever. */
            failures = err < 0 ? failures + 1 : 0;
            if (failures == 1000)
                break;
        }
        send_message(&(struct wire_message){WIRE_END, 0, 0, position});
    }
    reader->close(priv);
    base_free(priv);
}

int main(int argc, char **argv)
{
    struct ingest_options options;
    if (argc != 3 || fcntl(SOCKET, F_GETFD) < 0 || fcntl(MEMORY, F_GETFD) < 0) {
        fprintf(stderr, "pagereel-ingest: a worker, started by pagereel only\n");
        return 2;
    }
    struct stat st;
    if (ingest_wire_get_options(argv[1], &options) < 0 || fstat(MEMORY, &st) < 0 || st.st_size <= 0)
        return 2;
    options.language = getenv("PAGEREEL_INGEST_LANGUAGE");
    options.password = getenv("PAGEREEL_INGEST_PASSWORD");
    slot_size = (size_t)st.st_size / WIRE_SLOTS;
    slots = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, MEMORY, 0);
    if (slots == MAP_FAILED)
        return 2;
    confine(&options);
    run(argv, &options);
    /* Wait until the program has read what was sent: it closes the socket. */
    struct wire_credit credit;
    while (recv(SOCKET, &credit, sizeof credit, 0) > 0)
        ;
    return 0;
}
