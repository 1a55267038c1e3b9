/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * kill -9 at a hundred random moments in a row, of a process that adds to one log: after each, all that it had committed is
 * there, whole and once, and the next one goes on from there.
 */
#include "memory/evidence.h"

#include "base/mem.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/memory/evidence_sample.h"

static char path[] = "/tmp/pagereel-evidence-XXXXXX";

static void add_for_ever(int told)
{
    struct evidence_writer *writer;
    struct evidence *evidence;
    uint64_t units = 0;
    if (memory_evidence_open(path, sample_source, &evidence) >= 0) {
        units = memory_evidence_progress(evidence).units;
        memory_evidence_close(evidence);
    }
    if (memory_evidence_writer_open(path, sample_source, NULL, &writer) < 0)
        _exit(1);
    memory_evidence_put_setup(writer, &sample_visual_setup);
    for (;;) {
        struct sample s;
        for (int i = 0; i < 5; i++, units++) {
            sample_frames(&s, (uint32_t)units);
            if (memory_evidence_put_segment(writer, &s.segment) < 0)
                _exit(2);
        }
        if (memory_evidence_commit(writer, &(struct evidence_progress){.units = units}) < 0)
            _exit(3);
        if (write(told, &units, sizeof units) != sizeof units)
            _exit(4);
    }
}

static void check_log(uint64_t at_least)
{
    struct evidence *evidence;
    int err = memory_evidence_open(path, sample_source, &evidence);
    if (err == PR_ERR_NOT_FOUND) {
        assert_int_equal(at_least, 0);
        return;
    }
    assert_int_equal(err, PR_OK);
    uint64_t units = memory_evidence_progress(evidence).units;
    assert_true(units >= at_least);
    assert_int_equal(memory_evidence_count(evidence), units);
    assert_int_equal(memory_evidence_damage(evidence), 0);
    size_t first = units > 50 ? (size_t)units - 50 : 0;
    for (size_t i = first; i < units; i++) {
        struct evidence_segment segment;
        struct sample s;
        assert_int_equal(memory_evidence_read(evidence, i, &segment), PR_OK);
        sample_frames(&s, (uint32_t)i);
        assert_memory_equal(segment.rows, s.rows, sizeof s.rows);
        assert_memory_equal(segment.tokens, s.tokens, sizeof s.tokens);
        memory_evidence_release(&segment);
    }
    memory_evidence_close(evidence);
}

static void test_kill(void **state)
{
    (void)state;
    unsigned random = 12345;
    uint64_t committed = 0, started = 0;
    for (int i = 0; i < 100; i++) {
        int pipes[2];
        assert_int_equal(pipe(pipes), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            close(pipes[0]);
            add_for_ever(pipes[1]);
        }
        close(pipes[1]);
        /* Every other one gets to its first commit before the random time begins, however busy the machine is. */
        if (i % 2)
            poll(&(struct pollfd){.fd = pipes[0], .events = POLLIN}, 1, 10000);
        random = random * 1103515245 + 12345;
        usleep((random >> 16) % 40000);
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        uint64_t told, before = committed;
        while (read(pipes[0], &told, sizeof told) == sizeof told)
            committed = told;
        close(pipes[0]);
        started += committed > before;
        check_log(committed);
    }
    assert_true(started >= 20); /* most of them came to something */
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kill)};
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
