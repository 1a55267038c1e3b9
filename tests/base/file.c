/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void whole_files(void **state)
{
    (void)state;
    char path[] = "/tmp/pagereel-file-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    char data[40000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 7);
    assert_int_equal(write(fd, data, sizeof data), sizeof data);
    close(fd);

    struct base_buf b = {0};
    base_buf_puts(&b, "x");
    assert_int_equal(base_file_read(path, sizeof data - 1, &b), PR_ERR_NOMEM);
    assert_int_equal(b.len, 1);
    assert_int_equal(base_file_read(path, sizeof data, &b), PR_OK);
    assert_int_equal(b.len, 1 + sizeof data);
    assert_memory_equal(b.data + 1, data, sizeof data);
    base_buf_finish(&b);
    unlink(path);

    assert_int_equal(base_file_read(path, 10, &b), PR_ERR_NOT_FOUND);
    assert_non_null(strstr(pr_error_message(), path));
    assert_int_equal(base_file_read("/tmp", 10, &b), PR_ERR_IO);
    base_buf_finish(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
