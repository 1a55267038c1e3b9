/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The program's side: starts a worker for each source, takes its units, and turns its death into an error.
 */
#include "ingest/source.h"

#include "ingest/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    POLL_MS = 100,    /* how often a cancel request is looked at */
    MAX_RESTARTS = 8, /* workers that one paged source may use up by dying over its pages */
};

struct ingest_source {
    char *path, *language, *password;
    int64_t *times;
    struct ingest_options options;
    struct pr_source_info info;
    struct wire_arena info_arena, unit_arena;
    char *info_data, *unit_data;
    size_t unit_cap;

    pid_t pid; /* 0: no worker */
    int socket;
    char *slots;
    size_t slot_size;
    int64_t position;
    int restarts;
    bool ended;
};

/* ---- starting and ending a worker ------------------------------------------------------------------------------- */

static bool is_program(const char *path)
{
    return access(path, X_OK) == 0;
}

/* The worker lies beside the program, or in libexec next to its bin, or where the build puts it, or where it was installed to;
 * PAGEREEL_INGEST names another. */
static int find_worker(char *out, size_t size)
{
    const char *named = getenv("PAGEREEL_INGEST");
    if (named && *named) {
        snprintf(out, size, "%s", named);
        return is_program(out) ? PR_OK : base_fail(PR_ERR_IO, "%s: PAGEREEL_INGEST names no program", named);
    }
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    self[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash)
        *slash = '\0';
    static const char *const places[] = {"%s/pagereel-ingest", "%s/../libexec/pagereel-ingest",
                                         "%s/../ingest/pagereel-ingest"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(out, size, places[i], self);
#pragma GCC diagnostic pop
        if (is_program(out))
            return PR_OK;
    }
    snprintf(out, size, "%s", PAGEREEL_LIBEXEC "/pagereel-ingest");
    return is_program(out) ? PR_OK
                           : base_fail(PR_ERR_IO, "the program pagereel-ingest isn't there; install pagereel again");
}

extern char **environ;

/* The environment plus language and password, which must not stand in the arguments. */
static char **make_environment(const struct ingest_source *source)
{
    size_t n = 0;
    while (environ[n])
        n++;
    char **out = base_alloc_array(n + 3, sizeof *out);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "PAGEREEL_INGEST_", 16) != 0)
            out[kept++] = environ[i];
    struct base_buf entry = {0};
    if (source->language) {
        base_buf_printf(&entry, "PAGEREEL_INGEST_LANGUAGE=%s", source->language);
        out[kept++] = entry.data;
        entry = (struct base_buf){0};
    }
    if (source->password) {
        base_buf_printf(&entry, "PAGEREEL_INGEST_PASSWORD=%s", source->password);
        out[kept++] = entry.data;
    }
    return out;
}

static void free_environment(char **list)
{
    for (size_t i = 0; list[i]; i++)
        if (strncmp(list[i], "PAGEREEL_INGEST_", 16) == 0)
            free(list[i]);
    free(list);
}

static int spawn(struct ingest_source *source, int socket_end, int memory)
{
    char program[PATH_MAX];
    int err = find_worker(program, sizeof program);
    if (err < 0)
        return err;
    struct base_buf options = {0};
    ingest_wire_put_options(&options, &source->options);
    char *arguments[] = {"pagereel-ingest", options.data, source->path, NULL};
    char **environment = make_environment(source);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    /* 3: the socket, 4: the slots. Standard input stays for "-"; what decoders print on their own goes nowhere. */
    posix_spawn_file_actions_adddup2(&files, socket_end, 3);
    posix_spawn_file_actions_adddup2(&files, memory, 4);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    if (!getenv("PAGEREEL_INGEST_STDERR"))
        posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0);
    int result = posix_spawn(&source->pid, program, &files, NULL, arguments, environment);
    posix_spawn_file_actions_destroy(&files);
    free_environment(environment);
    base_buf_finish(&options);
    if (result != 0) {
        source->pid = 0;
        return base_fail(PR_ERR_IO, "%s: can't be started: %s", program, strerror(result));
    }
    return PR_OK;
}

/* dup2 onto 3 and 4 must not hit the descriptors themselves. */
static int move_up(int fd)
{
    int up = fcntl(fd, F_DUPFD_CLOEXEC, 16);
    close(fd);
    return up;
}

static int start_worker(struct ingest_source *source)
{
    int err = PR_OK, ends[2] = {-1, -1}, memory = -1;
    size_t bytes = source->slot_size * WIRE_SLOTS;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return base_fail(PR_ERR_IO, "%s: no socket: %s", source->path, strerror(errno));
    ends[0] = move_up(ends[0]);
    ends[1] = move_up(ends[1]);
    memory = memfd_create("pagereel-ingest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memory >= 0)
        memory = move_up(memory);
    void *map = MAP_FAILED;
    /* Sealed in size: a worker that shrank it would make the program fault. */
    if (memory >= 0 && ftruncate(memory, (off_t)bytes) == 0 &&
        fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0)
        map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, memory, 0);
    if (ends[0] < 0 || ends[1] < 0 || map == MAP_FAILED) {
        err = base_fail(PR_ERR_NOMEM, "%s: no shared memory of %zu bytes for the ingest worker: %s", source->path,
                        bytes, strerror(errno));
        goto fail;
    }
    TRY(spawn(source, ends[1], memory));
    source->slots = map;
    source->socket = ends[0];
    close(ends[1]);
    close(memory);
    return PR_OK;
fail:
    if (map != MAP_FAILED)
        munmap(map, bytes);
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    if (memory >= 0)
        close(memory);
    return err;
}

/* Ends the worker and returns its wait status. */
static int stop_worker(struct ingest_source *source)
{
    int status = 0;
    if (source->pid == 0)
        return 0;
    close(source->socket);
    kill(source->pid, SIGKILL); /* it keeps nothing that could be lost */
    while (waitpid(source->pid, &status, 0) < 0 && errno == EINTR)
        ;
    source->pid = 0;
    munmap(source->slots, source->slot_size * WIRE_SLOTS);
    source->slots = NULL;
    return status;
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

static void describe_position(const struct ingest_source *source, char *out, size_t size)
{
    if (!source->info_data)
        snprintf(out, size, "its beginning");
    else if (source->info.n_pages > 0 || source->info.start == PR_TIME_NONE)
        snprintf(out, size, "page %lld", (long long)source->position + 1);
    else
        pr_time_text(source->position, out, size);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int worker_died(struct ingest_source *source)
{
    char where[64];
    describe_position(source, where, sizeof where);
    int status = 0;
    /* The socket is closed: it is dying or dead; its own status is the better word. */
    for (int i = 0; i < 20; i++) {
        pid_t done = waitpid(source->pid, &status, WNOHANG);
        if (done != 0)
            break;
        poll(NULL, 0, 10);
    }
    close(source->socket);
    munmap(source->slots, source->slot_size * WIRE_SLOTS);
    source->slots = NULL;
    source->pid = 0;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) /* decoders don't do that themselves */
        return base_fail(PR_ERR_FORMAT, "%s: the decoder was killed at %s; the system may be short of memory",
                         source->path, where);
    if (WIFSIGNALED(status))
        return base_fail(PR_ERR_FORMAT, "%s: the decoder crashed (%s) at %s; the file is damaged or hostile",
                         source->path, strsignal(WTERMSIG(status)), where);
    return base_fail(PR_ERR_FORMAT, "%s: the decoder gave up at %s (memory limit %lld MiB)", source->path, where,
                     (long long)(source->options.memory_limit >> 20));
}

static int worker_stalled(struct ingest_source *source)
{
    char where[64];
    describe_position(source, where, sizeof where);
    stop_worker(source);
    if (strcmp(source->path, "-") == 0)
        return base_fail(PR_ERR_FORMAT,
                         "-: standard input brought nothing, or its decoder made no progress for %d s at %s; what came "
                         "until then is read",
                         source->options.stall_seconds, where);
    return base_fail(PR_ERR_FORMAT, "%s: the decoder made no progress for %d s at %s; it was stopped", source->path,
                     source->options.stall_seconds, where);
}

/* Waits for a message. Its payload is in source->unit_data then, message->size bytes. */
static int receive(struct ingest_source *source, struct wire_message *message)
{
    double deadline = now() + source->options.stall_seconds;
    for (;;) {
        if (base_cancelled(source->options.cancel))
            return base_fail(PR_ERR_CANCELLED, "%s: stopped", source->path);
        struct pollfd fd = {source->socket, POLLIN, 0};
        int ready = poll(&fd, 1, POLL_MS);
        if (ready < 0 && errno != EINTR)
            return base_fail(PR_ERR_IO, "%s: poll: %s", source->path, strerror(errno));
        if (ready <= 0) {
            if (now() > deadline)
                return worker_stalled(source);
            continue;
        }
        ssize_t n = recv(source->socket, message, sizeof *message, 0);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n != (ssize_t)sizeof *message)
            return worker_died(source);
        source->position = message->position;
        if (message->type == WIRE_PROGRESS) {
            deadline = now() + source->options.stall_seconds;
            continue;
        }
        if (message->slot >= WIRE_SLOTS || message->size > source->slot_size)
            return base_fail(PR_ERR_FORMAT, "%s: the ingest worker sent a message that can't be understood",
                             source->path);
        if (message->size > source->unit_cap) {
            source->unit_data = base_realloc(source->unit_data, message->size);
            source->unit_cap = message->size;
        }
        if (message->size)
            memcpy(source->unit_data, source->slots + message->slot * source->slot_size, message->size);
        struct wire_credit credit = {message->slot};
        if (message->size)
            send(source->socket, &credit, sizeof credit, MSG_NOSIGNAL); /* a dead worker shows at the next receive */
        return PR_OK;
    }
}

/* Turns a message that isn't the expected one into a result. */
static int unexpected(struct ingest_source *source, const struct wire_message *message)
{
    int error;
    const char *text;
    if (message->type == WIRE_END)
        return PR_EOF;
    if (message->type != WIRE_ERROR || ingest_wire_get_error(source->unit_data, message->size, &error, &text) < 0)
        return base_fail(PR_ERR_FORMAT, "%s: the ingest worker sent a message that can't be understood", source->path);
    return base_fail(error, "%s", text);
}

/* ---- the interface ---------------------------------------------------------------------------------------------- */

static int receive_info(struct ingest_source *source)
{
    struct wire_message message;
    int err = receive(source, &message);
    if (err < 0)
        return err;
    if (message.type != WIRE_INFO)
        return unexpected(source, &message);
    if (source->info_data)
        return PR_OK; /* a restarted worker says it again */
    source->info_data = base_alloc(message.size);
    memcpy(source->info_data, source->unit_data, message.size);
    return ingest_wire_get_info(source->info_data, message.size, &source->info_arena, &source->info);
}

int ingest_open(const char *path, const struct ingest_options *options, struct ingest_source **out)
{
    int err;
    struct ingest_source *source = base_alloc(sizeof *source);
    source->path = base_strdup(path);
    source->options = *options;
    source->times = base_alloc_array((size_t)options->n_times + 1, sizeof *source->times);
    if (options->n_times > 0)
        memcpy(source->times, options->times, (size_t)options->n_times * sizeof *source->times);
    source->options.times = source->times;
    source->language = base_strdup(options->language);
    source->password = base_strdup(options->password);
    source->slot_size = ingest_wire_slot_size(options->max_pixels);
    if (source->options.memory_limit <= 0)
        source->options.memory_limit = (int64_t)2 << 30;
    if (source->options.stall_seconds <= 0)
        source->options.stall_seconds = 20;
    source->info.duration = PR_TIME_NONE;
    TRY(start_worker(source));
    TRY(receive_info(source));
    *out = source;
    return PR_OK;
fail:
    ingest_close(source);
    return err == PR_EOF ? base_fail(PR_ERR_FORMAT, "%s: holds nothing", path) : err;
}

void ingest_close(struct ingest_source *source)
{
    if (!source)
        return;
    stop_worker(source);
    ingest_wire_arena_reset(&source->info_arena);
    ingest_wire_arena_reset(&source->unit_arena);
    base_free(source->info_data);
    base_free(source->unit_data);
    base_free(source->path);
    base_free(source->language);
    base_free(source->times);
    base_free(source->password);
    base_free(source);
}

const struct pr_source_info *ingest_info(const struct ingest_source *source)
{
    return &source->info;
}

int64_t ingest_position(const struct ingest_source *source)
{
    return source->position;
}

/* A worker died over a page: another one goes on behind it. */
static bool restart_behind(struct ingest_source *source)
{
    int64_t next = source->position + 1;
    if (source->info.n_pages == 0 || next >= source->info.n_pages || source->restarts++ == MAX_RESTARTS)
        return false;
    source->options.first_page = (int32_t)next;
    if (start_worker(source) < 0)
        return false;
    return receive_info(source) >= 0;
}

int ingest_next(struct ingest_source *source, struct pr_unit *unit)
{
    *unit = (struct pr_unit){.span = {.page = PR_PAGE_NONE, .t0 = PR_TIME_NONE, .t1 = PR_TIME_NONE}};
    if (source->ended)
        return PR_EOF;
    struct wire_message message;
    int err = receive(source, &message);
    if (err >= 0)
        err = message.type == WIRE_UNIT
                  ? ingest_wire_get_unit(source->unit_data, message.size, &source->unit_arena, unit)
                  : unexpected(source, &message);
    if (err == PR_OK)
        return PR_OK;
    if (err == PR_EOF || err == PR_ERR_CANCELLED) {
        source->ended = true;
        stop_worker(source);
        return err;
    }
    /* The worker's error stays the message, also while another worker starts. */
    char text[1024];
    snprintf(text, sizeof text, "%s", pr_error_message());
    if (source->pid == 0 && !restart_behind(source)) {
        stop_worker(source);
        source->ended = true;
    }
    return base_fail(err, "%s", text);
}
